"""A second lock, written from docs/spec.md alone: slow, mutable and obvious, to compare the real one with."""

from __future__ import annotations

from dataclasses import dataclass, field


class No(Exception):
    """A refusal, by its code."""


@dataclass
class S:
    keeper: bool
    seen: float
    timeout: float
    idle_from: float
    busy: bool = False
    suspect: bool = False
    streams: dict[str, int] = field(default_factory=lambda: {"feed": 0, "keeper": 0})
    closed_at: float | None = None


@dataclass
class L:
    session: str
    timeout: float
    used: float
    claim_by: float | None = None
    drove: bool = False
    waited_since: float | None = None
    waited: float = 0.0
    draining: str | None = None  # "finish" or "stop"
    stop_owed: bool = False
    deadline: float = 0.0


@dataclass
class E:
    apart: bool
    on_idle: str | None
    on_loss: str
    on_silence: str
    max_hold: float | None
    fence: int = 0
    lock: L | None = None
    observers: dict[str, list[float]] = field(default_factory=dict)  # session: [timeout, used]
    queue: list[tuple[str, str, float]] = field(default_factory=list)  # session, mode, timeout
    running: tuple[str, str] | None = None  # key, session
    behind: list[tuple[str, str]] = field(default_factory=list)
    moving: bool = False
    stopped: bool = False
    fault: bool = False
    losers: list[str] = field(default_factory=list)


class Naive:
    """`advance(now)` lets all that is due by now happen; a request is a method, which may raise `No`."""

    def __init__(self, equipment: dict[str, E]) -> None:
        self.e = equipment
        self.s: dict[str, S] = {}
        self.now = 0.0

    # -- time

    def instants(self) -> set[float]:
        """Every instant at which something could be due; some at which nothing is."""
        found: set[float] = set()
        for s in self.s.values():
            found |= {s.seen + 60, s.seen + s.timeout, s.seen + 86400, (s.closed_at or 0) + 5}
        for e in self.e.values():
            found |= {used + timeout for timeout, used in e.observers.values()}
            if e.lock is not None:
                lock = e.lock
                found |= {lock.used + lock.timeout, lock.claim_by or 0, lock.deadline}
                if lock.session in self.s:
                    found.add(self.s[lock.session].idle_from + lock.timeout)
                if e.max_hold is not None and lock.waited_since is not None:
                    found.add(lock.waited_since + e.max_hold - lock.waited)
        return found

    def advance(self, now: float) -> None:
        self.now = now
        changed = True
        while changed:
            changed = sum(self._lives(name) for name in list(self.s)) + sum(self._due(e) for e in self.e.values()) > 0
        for e in self.e.values():
            self._count_turn(e)

    def _lives(self, name: str) -> bool:
        s = self.s[name]
        if not s.keeper:
            if s.timeout and not self._works(name) and self.now >= s.seen + s.timeout:  # LIVE-15, LIVE-16
                return self._end(name, dead=False)
        elif s.closed_at is not None and self.now >= s.closed_at + 5:  # LIVE-3
            return self._end(name, dead=True)
        elif s.suspect and not self._has_anything(name) and self.now >= s.seen + 86400:  # LIVE-13
            return self._end(name, dead=False)
        elif not s.suspect and self.now >= s.seen + 60:  # LIVE-6
            s.suspect = True
            return True
        return False

    def _works(self, name: str) -> bool:
        commands = [c for e in self.e.values() for c in [e.running, *e.behind] if c]
        return self.s[name].streams["feed"] > 0 or any(session == name for _, session in commands)

    def _has_anything(self, name: str) -> bool:
        return any(
            (e.lock and e.lock.session == name)
            or name in e.observers
            or self._entry(e, name)
            or (e.running and e.running[1] == name)
            for e in self.e.values()
        )

    def _due(self, e: E) -> bool:
        before = repr(e)
        for name, (timeout, used) in list(e.observers.items()):  # OBS-13
            if not self.s[name].keeper and timeout and self.now >= used + timeout:
                del e.observers[name]
        if e.lock and e.lock.draining:
            self._drain(e, e.lock)
        elif e.lock:
            self._may_end(e, e.lock)
        self._serve(e)
        return repr(e) != before

    def _drain(self, e: E, lock: L) -> None:
        if self._at_rest(e):  # LOSS-9
            self._free(e)
        elif self.now >= lock.deadline and lock.draining == "finish":  # LOSS-5
            self._stop_for_hand_over(lock)
        elif self.now >= lock.deadline:  # LOSS-7
            e.fault = True
            self._free(e)

    def _may_end(self, e: E, lock: L) -> None:
        wanted, idled = bool(self._awake(e)), self._idled(e)
        turn = None if e.max_hold is None or lock.waited_since is None else lock.waited_since + e.max_hold - lock.waited
        unclaimed = lock.claim_by is not None and self.now >= lock.claim_by
        if unclaimed or (idled and self._on_idle(e) == "release"):  # CLAIM-3, IDLE-6
            self._lose(e, "finish")
        elif wanted and ((turn is not None and self.now >= turn) or self.s[lock.session].suspect):  # TURN-2, LIVE-11
            self._lose(e, e.on_silence)
        elif wanted and idled:  # IDLE-5
            self._lose(e, "finish")

    def _on_idle(self, e: E) -> str:
        return e.on_idle or ("offer" if self.s[e.lock.session].keeper else "release")  # IDLE-4

    def _idled(self, e: E) -> bool:
        lock, s = e.lock, self.s[e.lock.session]
        if not lock.timeout or lock.claim_by is not None or e.running or e.behind or e.on_idle == "keep":
            return False
        if s.keeper and s.busy:  # IDLE-3
            return False
        return self.now >= (max(lock.used, s.idle_from) if s.keeper else lock.used) + lock.timeout

    def _count_turn(self, e: E) -> None:  # TURN-1
        blocked = any(mode == "exclusive" or e.apart for _, mode, _ in e.queue)
        if e.lock and blocked and e.lock.waited_since is None:
            e.lock.waited_since = self.now
        elif e.lock and not blocked and e.lock.waited_since is not None:
            e.lock.waited += self.now - e.lock.waited_since
            e.lock.waited_since = None

    # -- a lock ends, the next is granted

    def _at_rest(self, e: E) -> bool:  # LOSS-2, LOSS-3
        lock = e.lock
        return not e.running and not (e.moving and lock.drove) and not lock.stop_owed

    def _lose(self, e: E, how: str, *, forced: bool = False) -> None:
        self._drop_behind(e)
        lock = e.lock
        if self._at_rest(e) and not (forced and lock.drove):
            self._free(e)
            return
        lock.draining, lock.deadline, e.stopped = how, self.now + 60, False
        if how == "stop":
            self._stop_for_hand_over(lock)

    def _stop_for_hand_over(self, lock: L) -> None:
        lock.draining, lock.stop_owed, lock.deadline = "stop", True, self.now + 5

    def _free(self, e: E) -> None:
        e.losers = [*e.losers, e.lock.session][-8:]  # LOCK-11
        e.lock, e.stopped = None, False

    def _drop_behind(self, e: E) -> None:
        for command in e.behind:
            self._is_over(e, command[1])
        e.behind = []

    def _is_over(self, e: E, session: str) -> None:
        if session in self.s and not self.s[session].keeper:
            self.s[session].seen = self.now
        if e.lock and e.lock.session == session:
            e.lock.used = self.now

    def _awake(self, e: E) -> list[tuple[str, str, float]]:  # LIVE-12
        return [entry for entry in e.queue if not self.s[entry[0]].suspect]

    def _serve(self, e: E) -> None:  # QUEUE-7, QUEUE-8
        while not e.fault and self._awake(e):
            entry = self._awake(e)[0]
            session, mode, timeout = entry
            if e.lock and (mode == "exclusive" or e.apart):
                return
            e.queue.remove(entry)
            if mode == "exclusive":
                self._grant(e, session, timeout)
                e.lock.claim_by = self.now + 120  # CLAIM-1
            else:
                e.observers[session] = [timeout, self.now]

    def _grant(self, e: E, session: str, timeout: float) -> None:
        e.observers = {} if e.apart else {k: v for k, v in e.observers.items() if k != session}  # OBS-5, OBS-9
        e.fence += 1
        e.lock = L(session, timeout, self.now)

    def _end(self, name: str, *, dead: bool) -> bool:  # LIVE-17
        for e in self.e.values():
            e.observers.pop(name, None)
            e.queue = [entry for entry in e.queue if entry[0] != name]
            if e.lock and e.lock.session == name and not e.lock.draining:
                self._lose(e, e.on_loss)  # LOSS-4
            elif e.lock and e.lock.session == name and e.lock.draining == "finish" and dead:
                self._stop_for_hand_over(e.lock)  # LOSS-19
        del self.s[name]
        return True

    # -- requests

    def speak(self, name: str) -> None:
        if name not in self.s:
            raise No("session_ended")
        self.s[name].seen, self.s[name].suspect = self.now, False
        self.advance(self.now)

    def _entry(self, e: E, name: str) -> tuple[str, str, float] | None:
        return next((entry for entry in e.queue if entry[0] == name), None)

    def _holds(self, e: E, name: str) -> bool:
        return e.lock is not None and not e.lock.draining and e.lock.session == name

    def _lost(self, e: E, name: str) -> bool:
        return name in e.losers or (e.lock is not None and e.lock.session == name)

    def acquire(self, name: str, e: E, mode: str, timeout: float, *, wait: bool) -> None:
        if mode == "observer":
            self._acquire_observer(name, e, timeout, wait=wait)
        elif self._holds(e, name):  # LOCK-4
            e.lock.timeout, e.lock.used, e.lock.claim_by, e.stopped = timeout, self.now, None, False
        elif e.fault:  # LOSS-13
            raise No("equipment_fault")
        else:
            lock = e.lock
            if lock and not lock.draining and (self._at_rest(e) or wait):
                if self.s[lock.session].suspect:  # LIVE-8, LIVE-10
                    self._lose(e, e.on_silence)
                elif self._idled(e):  # IDLE-5
                    self._lose(e, "finish")
            if e.lock is None:
                self._grant(e, name, timeout)
            else:
                self._wait(name, e, mode, timeout, wait=wait)

    def _wait(self, name: str, e: E, mode: str, timeout: float, *, wait: bool) -> None:
        if not wait:
            raise No("equipment_in_use")
        if not self._entry(e, name):  # QUEUE-3
            e.queue.append((name, mode, timeout))

    def _acquire_observer(self, name: str, e: E, timeout: float, *, wait: bool) -> None:
        if self._holds(e, name):
            if any(mode == "exclusive" for _, mode, _ in self._awake(e)):  # OBS-8
                raise No("waiters_present")
            if not self._at_rest(e):  # OBS-14
                raise No("not_at_rest")
            self._free(e)  # OBS-7
        elif e.lock and e.apart:  # OBS-4
            self._wait(name, e, "observer", timeout, wait=wait)
            return
        e.queue = [x for x in e.queue if x[:2] != (name, "observer")]
        e.observers[name] = [timeout, self.now]

    def release(self, name: str, e: E, *, stop: bool) -> None:
        if self._holds(e, name):
            self._lose(e, "stop" if stop else "finish")
        elif name in e.observers:
            del e.observers[name]
        else:
            raise No("not_holder" if e.lock and e.lock.session != name else "no_lock")

    def force(self, e: E) -> None:
        if not e.lock or e.lock.draining:
            raise No("no_lock")
        self._lose(e, "stop", forced=True)

    def _claim(self, e: E) -> None:
        if e.lock.claim_by is not None:
            e.lock.claim_by, e.lock.used = None, self.now

    def claim(self, name: str, e: E) -> None:
        if not self._holds(e, name):
            raise No("lock_lost" if self._lost(e, name) else "no_lock")
        self._claim(e)

    def use(self, name: str, e: E, otherwise: str) -> None:
        """An observe command or `activity`."""
        if self._holds(e, name):
            self._claim(e)
            e.lock.used = self.now
        elif name in e.observers:
            e.observers[name][1] = self.now
        else:
            raise No(otherwise)

    def leave(self, name: str, e: E) -> None:
        if not self._entry(e, name):
            raise No("unknown_entry")
        e.queue.remove(self._entry(e, name))

    def control(self, name: str, e: E, key: str, fence: int | None) -> None:
        if e.fault:
            raise No("equipment_fault")
        if not self._holds(e, name):
            raise No("lock_lost" if self._lost(e, name) else "lock_required")
        if fence not in (None, e.fence):
            raise No("lock_lost")
        if e.stopped:
            raise No("stopped_by")
        self._claim(e)
        e.lock.used = self.now
        e.behind.append((key, name))
        self._run_next(e)

    def _run_next(self, e: E) -> None:  # CMD-4
        if not e.running and e.behind:
            e.running = e.behind.pop(0)
            e.lock.drove, e.lock.used = True, self.now

    def finish(self, e: E, *, moving: bool) -> None:
        if e.running:
            session, e.running, e.moving = e.running[1], None, moving
            self._is_over(e, session)
            self._run_next(e)

    def stop(self, name: str | None, e: E, *, named: bool, delivered: bool, moving: bool) -> None:
        self._drop_behind(e)  # STOP-5
        e.moving = moving
        if e.lock and e.lock.draining and delivered:
            e.lock.stop_owed = False
        elif e.lock and not e.lock.draining and e.lock.session != name and named:  # STOP-6
            e.stopped = True

    def resume(self, name: str, e: E) -> None:
        if not self._holds(e, name):
            raise No("not_holder")
        if e.stopped:
            e.stopped, e.lock.used = False, self.now

    def clear_fault(self, e: E) -> None:
        if not e.fault:
            raise No("no_fault")
        e.fault = False

    def end(self, name: str, *, dead: bool) -> None:
        if name not in self.s:
            raise No("session_ended")
        self._end(name, dead=dead)

    def beat(self, name: str, *, busy: bool) -> None:
        if self.s[name].busy != busy:
            self.s[name].busy, self.s[name].idle_from = busy, self.now

    def stream(self, name: str, role: str, change: int) -> None:
        s = self.s[name]
        s.streams[role] += change
        s.closed_at = None if any(s.streams.values()) else self.now
        if not s.keeper:
            s.seen = self.now

    def restart(self) -> None:  # LIVE-20, STORE-4
        for name, s in self.s.items():
            self.s[name] = S(s.keeper, self.now, s.timeout, self.now)
        for e in self.e.values():
            e.behind, e.moving = [], e.moving or e.running is not None
            e.running = None
            e.observers = {name: [timeout, self.now] for name, (timeout, _) in e.observers.items()}
            if e.lock:
                lock = e.lock
                lock.used, lock.waited, lock.waited_since = self.now, 0.0, None
                lock.claim_by = lock.claim_by and self.now + 120
                lock.deadline = self.now + (5 if lock.draining == "stop" else 60)

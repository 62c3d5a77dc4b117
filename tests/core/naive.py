"""A second lock, written from docs/spec.md alone: slow, mutable and obvious, to compare the real one with."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field


class No(Exception):
    """A refusal, by its code; `place` is the equipment it names, where a rule says which."""

    def __init__(self, code: str, place: str | None = None) -> None:
        super().__init__(code)
        self.place = place


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
    grant: int  # the locks of one group have the same
    claim_by: float | None = None
    kept: float | None = None
    drove: bool = False
    arrived: bool = False  # its last command was done, and nobody stopped it since
    parking: bool = False
    waited_since: float | None = None
    waited: float = 0.0
    draining: str | None = None  # "finish" or "stop"
    stop_owed: bool = False
    deadline: float = 0.0
    heir: W | None = None


@dataclass(eq=False)
class W:
    """Somebody who waits: the same object in the queue of each of `names`."""

    session: str
    mode: str
    timeout: float
    names: tuple[str, ...]
    priority: int = 0
    at: float = 0.0
    swap_with: W | None = None
    asks: dict[str, A] = field(default_factory=dict)  # by equipment


@dataclass
class A:
    limit: float
    due: float
    answer: str | None = None
    promised: float | None = None


@dataclass
class E:
    name: str
    apart: bool
    on_idle: str | None
    on_loss: str
    on_silence: str
    max_hold: float | None
    max_keep: float | None
    park: bool
    fence: int = 0
    lock: L | None = None
    observers: dict[str, list[float]] = field(default_factory=dict)  # session: [timeout, used]
    queue: list[W] = field(default_factory=list)
    running: tuple[str, str] | None = None  # key, session
    under: L | None = None  # the lock under which it runs
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
        self.grants = 0
        self.passed_silent = False  # since there was last no cycle: only this can make one

    # -- time

    def instants(self) -> set[float]:
        """Every instant at which something could be due; some at which nothing is."""
        found: set[float] = set()
        for s in self.s.values():
            found |= {s.seen + 60, s.seen + s.timeout, s.seen + 86400, (s.closed_at or 0) + 5}
        for e in self.e.values():
            found |= {used + timeout for timeout, used in e.observers.values()}
            found |= {ask.due for w in e.queue for ask in w.asks.values()}
            if e.lock is not None:
                lock = e.lock
                found |= {lock.used + lock.timeout, lock.claim_by or 0, lock.deadline, (lock.kept or 0) + lock.timeout}
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
            changed = changed or self._serve()
        for e in self.e.values():
            self._count_turn(e)
        self.passed_silent = self.passed_silent and self.has_cycle()

    def _lives(self, name: str) -> bool:
        s = self.s[name]
        if not s.keeper:
            if s.timeout and not self._works(name) and self.now >= s.seen + s.timeout:  # LIVE-15, LIVE-16
                return self._end(name, dead=False)
        elif s.closed_at is not None and self.now >= s.closed_at + 5:  # LIVE-3
            return self._end(name, dead=True)
        elif s.suspect and self.now >= s.seen + 86400:  # LIVE-13
            return self._end(name, dead=False)
        elif not s.suspect and self.now >= s.seen + 60:  # LIVE-6
            s.suspect = True
            return True
        return False

    def _works(self, name: str) -> bool:
        commands = [c for e in self.e.values() for c in [e.running, *e.behind] if c]
        return self.s[name].streams["feed"] > 0 or any(session == name for _, session in commands)

    def _due(self, e: E) -> bool:
        before = self._look(e)
        for name, (timeout, used) in list(e.observers.items()):  # OBS-13
            if not self.s[name].keeper and timeout and self.now >= used + timeout:
                del e.observers[name]
        for ask in [w.asks[e.name] for w in e.queue if e.name in w.asks]:
            if ask.answer is None and self.now >= ask.due:  # QUEUE-19
                ask.answer = "unanswered"
        if e.lock and e.lock.draining:
            self._drain(e, e.lock)
        elif e.lock:
            self._may_end(e, e.lock)
        return self._look(e) != before

    def _look(self, e: E) -> object:
        lock = e.lock
        drain = lock and (lock.session, lock.draining, lock.deadline)
        answers = [w.asks[e.name].answer for w in e.queue if e.name in w.asks]
        return drain, e.fence, e.fault, set(e.observers), list(e.queue), len(e.losers), list(e.behind), answers

    def _drain(self, e: E, lock: L) -> None:
        if self._at_rest(e) and self._parks(e, lock.draining):  # LOSS-16
            lock.parking, lock.deadline = True, self.now + 60
            e.behind.append((f"park {e.fence}", lock.session))
            self._run_next(e)
        elif self._at_rest(e):  # LOSS-9
            self._free(e)
            if lock.heir in e.queue and not self.s[lock.heir.session].suspect:  # QUEUE-12
                self._give(lock.heir)
        elif self.now >= lock.deadline and lock.draining == "finish":  # LOSS-5
            self._stop_for_hand_over(lock)
        elif self.now >= lock.deadline:  # LOSS-7
            e.fault = True
            self._free(e)

    def _may_end(self, e: E, lock: L) -> None:
        unclaimed = lock.claim_by is not None and self.now >= lock.claim_by
        if unclaimed or (self._idled(e) and self._on_idle(e) == "release"):  # CLAIM-3, IDLE-6
            self._lose(e, "finish")

    def _yields(self, e: E) -> str | None:
        """How rest is reached if the lock passes on because somebody wants it; None: it does not."""
        lock = e.lock
        if lock.draining:
            return None
        turn = None if e.max_hold is None or lock.waited_since is None else lock.waited_since + e.max_hold - lock.waited
        if (turn is not None and self.now >= turn) or self.s[lock.session].suspect:  # TURN-2, LIVE-11
            return e.on_silence
        return "finish" if self._idled(e) else None  # IDLE-5

    def _on_idle(self, e: E) -> str:
        return e.on_idle or ("offer" if self.s[e.lock.session].keeper else "release")  # IDLE-4

    def _idled(self, e: E) -> bool:
        lock, s = e.lock, self.s[e.lock.session]
        if not lock.timeout or lock.claim_by is not None or e.running or e.behind or e.on_idle == "keep":
            return False
        if s.keeper and s.busy:  # IDLE-3
            return False
        begins = max(lock.used, lock.kept or 0.0)  # IDLE-8
        return self.now >= (max(begins, s.idle_from) if s.keeper else begins) + lock.timeout

    def _count_turn(self, e: E) -> None:  # TURN-1
        blocked = any(e.lock and w.session != e.lock.session and (w.mode == "exclusive" or e.apart) for w in e.queue)
        if e.lock and blocked and e.lock.waited_since is None:
            e.lock.waited_since = self.now
        elif e.lock and not blocked and e.lock.waited_since is not None:
            e.lock.waited += self.now - e.lock.waited_since
            e.lock.waited_since = None

    # -- a lock ends, the next is granted

    def _at_rest(self, e: E) -> bool:  # LOSS-2, LOSS-3
        lock = e.lock
        return not e.running and not (e.moving and lock.drove) and not lock.stop_owed

    def _parks(self, e: E, how: str) -> bool:
        return e.park and how == "finish" and e.lock.arrived

    def _passes(self, e: E, how: str | None) -> bool:
        return self._at_rest(e) and not self._parks(e, how or "stop")

    def _lose(self, e: E, how: str, *, forced: bool = False) -> None:
        self._drop_behind(e)
        self._forget_asks(e)
        lock = e.lock
        if self._passes(e, how) and not (forced and lock.drove):
            self._free(e)
            return
        lock.draining, lock.deadline, e.stopped = how, self.now + 60, False
        if how == "stop":
            self._stop_for_hand_over(lock)
        elif self._at_rest(e):
            self._drain(e, lock)

    def _stop_for_hand_over(self, lock: L) -> None:
        lock.draining, lock.stop_owed, lock.deadline = "stop", True, self.now + 5

    def _forget_asks(self, e: E) -> None:  # QUEUE-19
        for w in e.queue:
            w.asks.pop(e.name, None)

    def _free(self, e: E) -> None:
        self._forget_asks(e)
        e.losers = [*e.losers, e.lock.session][-8:]  # LOCK-11
        e.lock, e.stopped = None, False
        e.queue.sort(key=lambda w: (-w.priority, w.at))  # who was to be the heir, too

    def _drop_behind(self, e: E) -> None:
        for command in e.behind:
            self._is_over(e, command[1])
        e.behind = []

    def _is_over(self, e: E, session: str) -> None:
        if session in self.s and not self.s[session].keeper:
            self.s[session].seen = self.now
        if e.lock and e.lock.session == session:
            e.lock.used = self.now

    def _awake(self, e: E) -> list[W]:  # LIVE-12
        return [w for w in e.queue if not self.s[w.session].suspect]

    def _ahead(self, e: E, w: W) -> list[W]:
        return e.queue[: e.queue.index(w)]

    def _blocks(self, e: E, session: str, mode: str) -> bool:
        """Whether the present lock, or its draining, is in the way."""
        return e.lock is not None and not self._holds(e, session) and (mode == "exclusive" or e.apart)

    def _serve(self) -> bool:  # QUEUE-7, GROUP-6
        """Give to the first entry that can have all it waits for; return whether there was one."""
        for w in [w for e in self.e.values() for w in e.queue]:
            if self._gettable(w):
                for name in w.names:
                    e = self.e[name]
                    if self._blocks(e, w.session, w.mode):  # GROUP-7
                        self._lose(e, self._yields(e))
                if not any(self._blocks(self.e[name], w.session, w.mode) for name in w.names):
                    self._give(w)
                return True
        return False

    def _gettable(self, w: W) -> bool:
        if self.s[w.session].suspect or self._is_blocked(w):
            return False
        passes_another = False
        for e in [self.e[name] for name in w.names]:
            for ahead in self._ahead(e, w):
                if self.s[ahead.session].suspect or ahead.mode == w.mode == "observer":  # LIVE-12, QUEUE-8
                    continue
                if self._gettable(ahead) or (len(ahead.names) == 1 and self._is_blocked(ahead)):  # QUEUE-2
                    return False
                passes_another = True  # GROUP-2, GROUP-11
        return not (passes_another and self.would_wait_for_itself(w))  # GROUP-9

    def _is_blocked(self, w: W) -> bool:
        for e in [self.e[name] for name in w.names]:
            if e.fault and w.mode == "exclusive":  # LOSS-13
                return True
            if self._blocks(e, w.session, w.mode) and self._yields(e) is None:
                return True
        return False

    def _give(self, w: W) -> None:
        for name in w.names:
            self.passed_silent |= any(self.s[x.session].suspect for x in self._ahead(self.e[name], w))
        self._remove(w)
        missing = [name for name in w.names if not self._holds(self.e[name], w.session)]  # GROUP-5
        if w.mode == "exclusive":
            for e in [self.e[name] for name in w.names if name not in missing]:
                if e.lock.claim_by is None and not e.stopped:  # no act of the holder's: CLAIM-2, STOP-6
                    e.lock.timeout, e.lock.used = w.timeout, self.now
            self._grant(missing, w.session, w.timeout, claim_by=self.now + 120)  # CLAIM-1
            return
        for name in missing:
            self.e[name].observers[w.session] = [w.timeout, self.now]

    def _remove(self, w: W) -> None:  # GROUP-8
        for e in self.e.values():
            e.queue = [x for x in e.queue if x is not w]
            for x in e.queue:
                x.swap_with = None if x.swap_with is w else x.swap_with  # QUEUE-15

    def _grant(self, names: list[str], session: str, timeout: float, *, claim_by: float | None = None) -> None:
        self.grants += 1
        for e in [self.e[name] for name in names]:
            e.observers = {} if e.apart else {k: v for k, v in e.observers.items() if k != session}  # OBS-5, OBS-9
            e.fence += 1
            e.lock = L(session, timeout, self.now, self.grants, claim_by)

    # -- who waits for whom

    def _edges(self) -> set[tuple[str, str]]:  # GROUP-4
        found = set()
        for e in self.e.values():
            for w in e.queue:
                if self._blocks(e, w.session, w.mode) and not e.lock.draining:
                    found.add((w.session, e.lock.session))
                found |= {(w.session, ahead.session) for ahead in self._ahead(e, w)}
        return found

    def waits_for_itself(self, session: str) -> bool:
        edges, reached = self._edges(), {session}
        while True:
            further = {b for a, b in edges if a in reached}
            if session in further:
                return True
            if further <= reached:
                return False
            reached |= further

    def has_cycle(self) -> bool:
        return any(self.waits_for_itself(name) for name in self.s)

    def would_wait_for_itself(self, w: W) -> bool:
        """Whether giving `w` what it waits for would close a cycle, tried on a copy."""
        if w.mode == "observer":
            return False
        trial = Naive(deepcopy(self.e))
        for name in w.names:
            e = trial.e[name]
            del e.queue[self.e[name].queue.index(w)]
            e.lock = L(w.session, 0.0, 0.0, 0)
        return trial.waits_for_itself(w.session)

    def _end(self, name: str, *, dead: bool) -> bool:  # LIVE-17
        for e in self.e.values():
            e.observers.pop(name, None)
            for w in [w for w in e.queue if w.session == name]:
                self._remove(w)
            if e.lock and e.lock.session == name and not e.lock.draining:
                self._lose(e, e.on_loss)  # LOSS-4
            elif e.lock and e.lock.session == name and e.lock.draining == "finish" and dead and not e.lock.parking:
                self._stop_for_hand_over(e.lock)  # LOSS-19
        del self.s[name]
        return True

    # -- requests

    def speak(self, name: str) -> None:
        if name not in self.s:
            raise No("session_ended")
        was_suspect = self.s[name].suspect
        self.s[name].seen, self.s[name].suspect = self.now, False
        if was_suspect:
            self.advance(self.now)

    def _entry(self, e: E, name: str) -> W | None:
        return next((w for w in e.queue if w.session == name), None)

    def _holds(self, e: E, name: str) -> bool:
        return e.lock is not None and not e.lock.draining and e.lock.session == name

    def _lost(self, e: E, name: str) -> bool:
        return name in e.losers or (e.lock is not None and e.lock.session == name)

    def acquire(
        self, name: str, names: tuple[str, ...], mode: str, timeout: float, *, wait: bool, priority: int = 0
    ) -> None:
        before = deepcopy((self.e, self.s))
        try:
            if mode == "observer":
                self._acquire_observer(name, names, timeout, wait=wait, priority=priority)
            else:
                self._acquire_exclusive(name, names, timeout, wait=wait, priority=priority)
        except No:  # LOCK-7
            self.e, self.s = before
            raise

    def _acquire_exclusive(
        self, name: str, names: tuple[str, ...], timeout: float, *, wait: bool, priority: int
    ) -> None:
        missing = [x for x in names if not self._holds(self.e[x], name)]
        wanted = [self.e[x] for x in missing]
        for e in wanted:
            if e.fault:  # LOSS-13
                raise No("equipment_fault", e.name)
        held = [e for e in wanted if e.lock]
        hows = [self._yields(e) for e in held]
        firm = [e.name for e, how in zip(held, hows, strict=True) if how is None]
        passes = [self._passes(e, how) for e, how in zip(held, hows, strict=True)]
        in_the_way = firm or [e.name for e, ready in zip(held, passes, strict=True) if not ready]  # GROUP-10
        if None not in hows and (wait or all(passes)):  # LIVE-8, LIVE-10, GROUP-7
            for e, how in zip(held, hows, strict=True):
                self._lose(e, how)
        if any(e.lock for e in wanted):
            if not wait:
                raise No("equipment_in_use", in_the_way[0])
            self._wait(name, missing, "exclusive", timeout, priority)
            return
        self._refuse_another_entry(name, missing)
        waits = self._entry(wanted[0], name) if wanted and wait else None
        if waits is not None and set(waits.names) == set(missing):  # it is held back: GROUP-9, QUEUE-3
            return
        if missing:
            for w in {self._entry(e, name) for e in wanted} - {None}:
                if set(w.names) <= set(missing):
                    self._remove(w)
            self._grant(missing, name, timeout)
            self._refuse_deadlock(name)
        for e in [self.e[x] for x in names if x not in missing]:  # LOCK-4, GROUP-5
            self._claim(e)
            e.lock.timeout, e.lock.used, e.stopped = timeout, self.now, False

    def _refuse_another_entry(self, name: str, names: list[str]) -> None:  # GROUP-8
        entries = [self._entry(self.e[x], name) for x in names]
        if len(names) > 1 and any(w is not None and set(w.names) != set(names) for w in entries):
            raise No("already_waiting")

    def _refuse_deadlock(self, name: str) -> None:
        if self.waits_for_itself(name):
            raise No("would_deadlock")

    def _wait(self, name: str, names: list[str], mode: str, timeout: float, priority: int) -> None:
        self._refuse_another_entry(name, names)
        if self._entry(self.e[names[0]], name):  # QUEUE-3
            return
        w = W(name, mode, timeout, tuple(names), priority, self.now)
        for e in [self.e[x] for x in names]:
            e.queue.append(w)
            heir = e.lock.heir if e.lock and e.lock.draining else None
            e.queue.sort(key=lambda x, heir=heir: (x is not heir, -x.priority, x.at))  # QUEUE-10, QUEUE-12
        self._refuse_deadlock(name)

    def _acquire_observer(
        self, name: str, names: tuple[str, ...], timeout: float, *, wait: bool, priority: int
    ) -> None:
        missing = [x for x in names if not self._holds(self.e[x], name)]
        in_the_way = [x for x in missing if self._blocks(self.e[x], name, "observer")]
        if in_the_way:  # OBS-4
            if not wait:
                raise No("equipment_in_use", in_the_way[0])
            self._wait(name, missing, "observer", timeout, priority)
            return
        self._refuse_another_entry(name, missing)
        for e in [self.e[x] for x in names]:
            if self._holds(e, name):
                if any(w.mode == "exclusive" and w.session != name for w in self._awake(e)):  # OBS-8
                    raise No("waiters_present")
                if not self._at_rest(e):  # OBS-14
                    raise No("not_at_rest")
                self._drop_behind(e)
                self._free(e)  # OBS-7
            e.observers[name] = [timeout, self.now]
        for w in {self._entry(self.e[x], name) for x in names} - {None}:
            if w.mode == "observer" and set(w.names) <= set(names):
                self._remove(w)

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

    def _claim(self, e: E) -> None:  # GROUP-3
        for lock in [x.lock for x in self.e.values() if x.lock and not x.lock.draining]:
            if lock.grant == e.lock.grant and lock.claim_by is not None:
                lock.claim_by, lock.used = None, self.now

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
        self._remove(self._own(name, e))

    def _own(self, name: str, e: E) -> W:
        w = self._entry(e, name)
        if w is None:
            raise No("unknown_entry")
        return w

    def swap(self, name: str, e: E, other: str | None) -> None:
        """Offer to swap with the entry of the session `other`, or agree to its offer; None takes an offer back."""
        mine = self._own(name, e)
        if other is None:
            mine.swap_with = None
            return
        w = self._own(other, e)
        if w is mine or len(mine.names) > 1 or len(w.names) > 1:  # QUEUE-15
            raise No("cannot_swap")
        if w.swap_with is not mine:
            mine.swap_with = w
            return
        queue, heir = list(e.queue), e.lock.heir if e.lock else None
        i, j = queue.index(mine), queue.index(w)
        e.queue[i], e.queue[j] = w, mine
        (mine.priority, mine.at), (w.priority, w.at) = (w.priority, w.at), (mine.priority, mine.at)
        if heir in (mine, w):
            e.lock.heir = w if heir is mine else mine
        if self.waits_for_itself(name) or self.waits_for_itself(other):
            e.queue = queue
            (mine.priority, mine.at), (w.priority, w.at) = (w.priority, w.at), (mine.priority, mine.at)
            if e.lock:
                e.lock.heir = heir
            raise No("would_deadlock")
        mine.swap_with = w.swap_with = None

    def ask(self, name: str, e: E, limit: float) -> None:
        w = self._own(name, e)
        if w.mode != "exclusive":  # QUEUE-20
            raise No("unknown_entry")
        if not e.lock or e.lock.draining:
            raise No("no_lock")
        w.asks[e.name] = A(limit, self.now + limit)

    def answer(self, name: str, e: E, asker: str, answer: str, seconds: float) -> None:
        if not self._holds(e, name):
            raise No("not_holder")
        w = self._entry(e, asker)
        ask = w and w.asks.get(e.name)
        if not ask or ask.answer == "no":  # QUEUE-20
            raise No("unknown_ask")
        if answer == "yield":
            self._hand_over(e, w)
        else:
            ask.answer, ask.promised = answer, self.now + seconds if answer == "later" else None

    def hand_over(self, name: str, e: E, to: list[str]) -> None:
        """Give the lock to whom a name means: the sessions in `to`."""
        if not self._holds(e, name):
            raise No("not_holder")
        named = [w for w in e.queue if w.mode == "exclusive" and w.session in to]
        if len(named) != 1:
            raise No("ambiguous" if named else "unknown_entry")
        self._hand_over(e, named[0])

    def _hand_over(self, e: E, w: W) -> None:  # QUEUE-12, QUEUE-16
        past_higher = any(x.priority > w.priority for x in self._awake(e))
        if len(w.names) > 1 or self.s[w.session].suspect or past_higher:
            raise No("cannot_hand_over")
        queue = list(e.queue)
        e.queue = [w, *(x for x in queue if x is not w)]
        if self.would_wait_for_itself(w):
            e.queue = queue
            raise No("would_deadlock")
        e.lock.heir = w
        self._lose(e, "finish")
        if e.lock is None:
            self._give(w)

    def keep(self, name: str, e: E, seconds: float) -> None:
        if not self._holds(e, name):  # IDLE-12
            raise No("lock_lost" if self._lost(e, name) else "no_lock")
        if e.max_keep is not None and seconds > e.max_keep:
            raise No("outside_limits")
        self._claim(e)
        e.lock.kept = self.now + seconds if seconds else None
        e.lock.used = self.now

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
            e.lock.drove, e.lock.used, e.lock.arrived = True, self.now, False
            e.under = e.lock

    def finish(self, e: E, *, moving: bool, done: bool) -> None:
        if e.running:
            e.under.arrived = done and not e.under.parking
            session, e.running, e.moving = e.running[1], None, moving
            self._is_over(e, session)
            self._run_next(e)

    def stop(self, name: str | None, e: E, *, named: bool, delivered: bool, moving: bool) -> None:
        self._drop_behind(e)  # STOP-5
        e.moving = moving
        if e.lock:
            e.lock.arrived = False  # LOSS-16
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
            if e.running:
                e.under.arrived = False
            e.running = None
            e.observers = {name: [timeout, self.now] for name, (timeout, _) in e.observers.items()}
            for ask in [w.asks[e.name] for w in e.queue if e.name in w.asks]:
                ask.due = self.now + ask.limit
            if e.lock:
                lock = e.lock
                lock.used, lock.waited, lock.waited_since = self.now, 0.0, None
                lock.claim_by = None if lock.claim_by is None else self.now + 120
                lock.deadline = self.now + (5 if lock.draining == "stop" else 60)

"""Events and entries in the one form that is stored, pushed and shown."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import msgspec

from .core import clocks, waiting
from .core import messages as m
from .core.model import Ask, Drain, Entry, Equipment, Lock, Loss, Observing, Session, SessionId, Table, Why
from .ports import Clock, Readback
from .wire import (
    AskView,
    DrainView,
    EndingView,
    EntryView,
    HolderView,
    KeptView,
    LockView,
    LossView,
    ReadbackView,
    RunningView,
    SessionView,
    StatusView,
    StopView,
)

_NAMES: dict[type[m.Event], str] = {
    m.SessionCreated: "session_created",
    m.SessionSuspect: "session_suspect",
    m.SessionResumed: "session_resumed",
    m.LockAcquired: "lock_acquired",
    m.LockRefreshed: "lock_refreshed",
    m.LockClaimed: "lock_claimed",
    m.LockKept: "lock_kept",
    m.SwapOffered: "swap_offered",
    m.QueueSwapped: "queue_swapped",
    m.LockDraining: "lock_draining",
    m.HolderGone: "holder_gone",
    m.ObserverAcquired: "observer_lock_acquired",
    m.ObserverEnded: "observer_lock_released",
    m.Queued: "queued",
    m.QueueLeft: "queue_processed",
    m.CommandStarted: "command_started",
    m.CommandFinished: "command_finished",
    m.Stopped: "stopped",
    m.Resumed: "resumed",
    m.Faulted: "fault",
    m.FaultCleared: "fault_cleared",
    m.FenceRaised: "fence_raised",
    m.MovedOutside: "moved_outside",
}
_PLACED = (
    m.LockAcquired, m.LockEnded, m.CommandStarted, m.CommandFinished, m.Stopped, m.Faulted, m.MovedOutside,
)  # fmt: skip
_RELEASED = frozenset({Why.LOGOUT, Why.HANDED_OVER, Why.DOWNGRADED, Why.SESSION_ENDED})


class Known(Protocol):
    """What the lab file and the worker know of one piece of equipment, beyond the rules."""

    kind: str
    label: str
    readback: Readback
    read_at: float

    @property
    def fraction(self) -> float | None:
        """How much of the way the running command has gone."""


def iso(wall: float) -> str:
    """Return UTC wall seconds as people and programs read them."""
    minute, rest = divmod(int(wall * 1e6), 60_000_000)
    second, microsecond = divmod(rest, 1_000_000)
    return f"{_minute(minute)}{second:02d}.{microsecond:06d}+00:00"


@lru_cache(maxsize=64)
def _minute(minute: int) -> str:
    return datetime.fromtimestamp(60 * minute, UTC).strftime("%Y-%m-%dT%H:%M:")


def name_of(event: m.Event) -> str:
    """Return the event's name in the interface."""
    if isinstance(event, m.SessionOver):
        return "session_expired" if event.why in {Why.SESSION_EXPIRED, Why.CONNECTIONS_LOST} else "session_ended"
    if isinstance(event, m.LockEnded):
        if event.loss.why is Why.FORCED:
            return "lock_force_released"
        return "lock_released" if event.loss.why in _RELEASED else "lock_expired"
    if isinstance(event, m.AskChanged):
        return {None: "asked", "unanswered": "ask_expired"}.get(event.ask.answer, "ask_answered")
    return _NAMES[type(event)]


def encode_event(event: m.Event, seq: int, timestamp: str, readback: Readback | None) -> bytes:
    """Return the JSON of a stored event; `readback` is what its equipment said last, for the events that say where."""
    head: dict[str, object] = {"seq": seq, "event": name_of(event), "timestamp": timestamp}
    head["equipment_id"] = event.equipment if isinstance(event, m.EquipmentEvent) else None
    head["session_id"] = getattr(event, "session", None)
    head["user"] = getattr(event, "user", None)
    if readback is not None and isinstance(event, _PLACED):
        head |= {"position": readback.position, "units": readback.units}
    return msgspec.json.encode(head | _details(event))


def _details(event: m.Event) -> dict[str, object]:
    match event:
        case m.SessionCreated(opened=s):
            return {"client_name": s.client_name, "client_ip": s.client_ip}
        case m.SessionOver():
            return {"duration_seconds": event.duration_seconds, "why": event.why, "reason": event.reason}
        case m.LockAcquired(lock=lock):
            return {
                "lock_id": lock.lock_id,
                "lock_mode": "exclusive",
                "timeout_seconds": lock.timeout_s,
                "fence": lock.fence,
                "from_queue": event.from_queue,
                "claim_seconds": None if lock.claim_by is None else lock.claim_by - event.at,
                "note": lock.note,
            }
        case m.LockDraining(drain=drain):
            head = {"lock_id": event.lock_id, "fence": event.fence}
            head |= {"why": drain.why, "how": drain.how, "by": drain.by, "reason": drain.reason}
            return head | {"parking": drain.parking}
        case m.FenceRaised(fence=fence):
            return {"fence": fence}
        case m.LockEnded(loss=x):
            head = {"lock_id": event.lock_id, "fence": x.fence, "duration_seconds": event.duration_seconds}
            return head | {"why": x.why, "by": x.by, "reason": x.reason}
        case m.ObserverAcquired(observing=o):
            return {"timeout_seconds": o.timeout_s}
        case m.Queued(entry=entry, position=position):
            head = {"queue_id": entry.queue_id, "position": position, "lock_mode": entry.mode, "note": entry.note}
            return head | {"equipment_ids": entry.group or (event.equipment,), "priority": entry.priority}
        case m.AskChanged(ask=ask):
            promised = None if ask.promised_at is None else ask.promised_at - event.at
            head = {"queue_id": event.queue_id, "holder": event.holder, "seconds": ask.due - ask.at}
            return head | {"reason": ask.reason, "answer": ask.answer, "promised_seconds": promised, "note": ask.note}
        case m.LockKept(kept=kept):
            seconds, note = (0.0, None) if kept is None else (kept.until - event.at, kept.note)
            return {"lock_id": event.lock_id, "seconds": seconds, "note": note}
        case m.CommandStarted(command=c):
            return {"command_id": c.command_id, "action": c.action, "parameters": c.parameters, "fence": c.fence}
        case _:
            rest = msgspec.to_builtins(event)
            return {k: v for k, v in rest.items() if k not in _HEAD}


_HEAD = frozenset({"at", "equipment", "session", "user", "key", "moving", "blocks"})


class Views:
    """Makes what people see of entries: wall times instead of monotonic ones, and nothing secret."""

    def __init__(self, table: Table, clock: Clock) -> None:
        """Render entries of `table` as of `clock`."""
        self._table = table
        self._clock = clock

    def time(self, at: float) -> str:
        """Return a monotonic time as UTC wall time."""
        return iso(self._clock.wall(at))

    def lock(self, e: Equipment, lock: Lock) -> LockView:
        """Render an exclusive lock."""
        return LockView(
            lock_id=lock.lock_id,
            equipment_id=e.id,
            session_id=lock.session,
            acquired_at=self.time(lock.since),
            last_activity=self.time(lock.used_at),
            timeout_seconds=lock.timeout_s,
            fence=lock.fence,
            claimed=lock.claim_by is None,
            note=lock.note,
            user=lock.user,
        )

    def entry(self, e: Equipment, entry: Entry) -> EntryView:
        """Render a place in the queue."""
        session = self._table.session(entry.session)
        return EntryView(
            queue_id=entry.queue_id,
            equipment_id=e.id,
            session_id=entry.session,
            lock_mode=entry.mode,
            queued_at=self.time(entry.at),
            position=1 + e.queue.index(entry),
            priority=entry.priority,
            user=entry.user,
            note=entry.note,
            suspect=session is not None and session.suspect,
            equipment_ids=[str(x) for x in entry.group or (e.id,)],
            swap_with=entry.swap_with,
            ask=None if entry.ask is None else self._ask(entry.ask),
            expected_wait_seconds=waiting.expected_wait_s(e, entry, self._clock.now()),
        )

    def _ask(self, ask: Ask) -> AskView:
        return AskView(
            at=self.time(ask.at),
            due=self.time(ask.due),
            reason=ask.reason,
            answer=ask.answer,
            promised_at=None if ask.promised_at is None else self.time(ask.promised_at),
            note=ask.note,
        )

    def user(self, session: SessionId) -> str:
        """Return who a session belongs to."""
        found = self._table.session(session)
        return "somebody" if found is None else found.user

    def queue(self, e: Equipment) -> list[EntryView]:
        """Render the queue, the next first."""
        return [self.entry(e, x) for x in e.queue]

    def session(self, s: Session) -> SessionView:
        """Render a session."""
        now = self._clock.now()
        due = None if s.keeper else clocks.session_due(self._table, s)
        return SessionView(
            session_id=s.id,
            client_name=s.client_name,
            client_ip=s.client_ip,
            created_at=self.time(s.created_at),
            last_activity=self.time(s.last_seen),
            time_remaining=None if due is None else max(0.0, due - now),
            duration_seconds=now - s.created_at,
            metadata=s.metadata,
            user=s.user,
            user_verified=s.user_verified,
            has_keeper=s.keeper,
            suspect=s.suspect,
        )

    def holder(self, h: Lock | Observing) -> HolderView:
        """Render who has a lock of either kind."""
        session = self._table.session(h.session)
        return HolderView(
            session_id=h.session,
            user=h.user,
            user_verified=h.user_verified,
            client_name=h.client_name,
            note=h.note,
            since=self.time(h.since),
            suspect=session is not None and session.suspect,
            busy=session is not None and session.busy,
        )

    def readback(self, known: Known) -> ReadbackView:
        """Render the cached readback."""
        r = known.readback
        return ReadbackView(
            connected=r.connected,
            moving=r.moving is True,
            position=r.position,
            target=r.target,
            velocity=r.velocity,
            fraction=known.fraction,
            units=r.units,
            values=dict(r.values),
            error=r.error,
            age_seconds=round(max(0.0, self._clock.now() - known.read_at), 3),
        )

    def status(self, e: Equipment, known: Known) -> StatusView:
        """Render one piece of equipment."""
        lock, ending = e.lock, self.ending(e)
        mode = "exclusive" if lock is not None else "observer" if e.observers else None
        return StatusView(
            equipment_id=e.id,
            locked=lock is not None,
            lock_mode=mode,
            session_id=lock.session if lock else None,
            lock_id=lock.lock_id if lock else None,
            acquired_at=self.time(lock.since) if lock else None,
            time_remaining=ending.in_seconds if ending else None,
            observer_count=len(e.observers),
            observer_sessions=[o.session for o in e.observers],
            queue_length=len(e.queue),
            kind=known.kind,
            label=known.label,
            state=e.state,
            fence=e.fence,
            claimed=lock is not None and lock.claim_by is None,
            holder=self.holder(lock) if lock else None,
            observers=[self.holder(o) for o in e.observers],
            queue=self.queue(e),
            ending=ending,
            kept=self._kept(lock),
            running=self._running(e),
            readback=self.readback(known),
            stopped_by=self._stop(e),
            fault=e.fault,
            fault_at=None if e.fault_at is None else self.time(e.fault_at),
            draining=None if e.drain is None else self._drain(e.drain),
            last_lost=self._loss(e),
        )

    def ending(self, e: Equipment) -> EndingView | None:
        """Render what ends the present lock first."""
        found = clocks.ending(self._table, e)
        if found is None or e.lock is None:
            return None
        left = None if found.at is None else max(0.0, found.at - self._clock.now())
        return EndingView(
            what=found.what,
            at=None if found.at is None else self.time(found.at),
            in_seconds=left,
            text=_ENDING[found.what].format(user=e.lock.user, equipment=e.id),
        )

    def _kept(self, lock: Lock | None) -> KeptView | None:
        kept = None if lock is None else lock.kept
        if kept is None or kept.until <= self._clock.now():
            return None
        return KeptView(until=self.time(kept.until), note=kept.note)

    def _running(self, e: Equipment) -> RunningView | None:
        c = e.running
        if c is None or c.started_at is None:
            return None
        return RunningView(
            action=c.action,
            parameters=c.parameters,
            command_id=c.command_id,
            session_id=c.session,
            user=c.user,
            started_at=self.time(c.started_at),
        )

    def _stop(self, e: Equipment) -> StopView | None:
        s = e.stopped_by
        if s is None:
            return None
        return StopView(user=s.user, session_id=s.session, at=self.time(s.at), reason=s.reason)

    def _drain(self, d: Drain) -> DrainView:
        return DrainView(
            since=self.time(d.since),
            why=d.why,
            how=d.how.value,
            parking=d.parking,
            stop_owed=d.stop_owed,
            deadline=self.time(d.deadline),
            by=d.by,
            reason=d.reason,
        )

    def _loss(self, e: Equipment) -> LossView | None:
        return self.loss(e.losses[-1]) if e.losses else None

    def loss(self, x: Loss) -> LossView:
        """Render a lock that was lost."""
        return LossView(
            session_id=x.session,
            user=x.user,
            fence=x.fence,
            why=x.why,
            by=x.by,
            reason=x.reason,
            at=self.time(x.at),
        )


_ENDING: dict[str, str] = {
    "claim": "passes to the next in the queue unless {user} takes it up",
    "idle": "is released unless {user} uses it",
    "offer": "may be taken over by whoever asks unless {user} uses it",
    "silence": "{user} is silent: it passes to whoever asks, unless {user} is heard from first",
    "turn": "passes to the next in the queue: the turn of {user} is over then",
    "drain": "passes on as soon as {equipment} is at rest",
}

"""What people see of locks, queues, sessions and equipment, made from the model: the types of `wire`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Protocol, TypeVar, get_args

import msgspec
from msgspec import Struct

from . import sentences
from .codec import iso
from .core import clocks, waiting
from .core.model import (
    Equipment,
    EquipmentId,
    Lock,
    LockLoss,
    ObserverLock,
    QueueEntry,
    Session,
    SessionId,
    Table,
)
from .ports import Clock, Readback
from .wire import (
    AskView,
    Copied,
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
    Time,
)

CopiedView = TypeVar("CopiedView", bound=Copied)
Source = TypeVar("Source", bound=Struct)


class ReadbackSource(Protocol):
    """What the lab file and the worker know of one piece of equipment, beyond the rules."""

    kind: str
    label: str

    @property
    def readback(self) -> Readback:
        """The last readback."""

    @property
    def read_at(self) -> float:
        """When that was, in `Clock.now`'s seconds."""

    @property
    def fraction(self) -> float | None:
        """How much of the way the running command has gone."""


class Views:
    """Makes what people see of entries: wall times instead of monotonic ones, and nothing secret."""

    def __init__(self, table: Table, sources: Mapping[EquipmentId, ReadbackSource], clock: Clock) -> None:
        """Render entries of `table` as of `clock`, with what `sources` know of each equipment."""
        self._table = table
        self._sources = sources
        self._clock = clock

    def time(self, at: float) -> str:
        """Return a monotonic time as UTC wall time."""
        return iso(self._clock.wall(at))

    def _time_if_known(self, at: float | None) -> str | None:
        if at is None:
            return None
        return self.time(at)

    def lock(self, equipment: Equipment, lock: Lock) -> LockView:
        """Render an exclusive lock."""
        return LockView(
            lock_id=lock.lock_id,
            equipment_id=equipment.id,
            session_id=lock.session,
            acquired_at=self.time(lock.since),
            last_activity=self.time(lock.used_at),
            timeout_seconds=lock.timeout_s,
            fence=lock.fence,
            claimed=lock.claim_by is None,
            note=lock.note,
            user=lock.user,
        )

    def entry(self, equipment: Equipment, entry: QueueEntry) -> EntryView:
        """Render a place in the queue."""
        session = self._table.session(entry.session)
        return EntryView(
            queue_id=entry.queue_id,
            equipment_id=equipment.id,
            session_id=entry.session,
            lock_mode=entry.mode,
            queued_at=self.time(entry.at),
            position=1 + equipment.queue.index(entry),
            priority=entry.priority,
            user=entry.user,
            note=entry.note,
            suspect=session is not None and session.suspect,
            equipment_ids=[str(x) for x in entry.group or (equipment.id,)],
            swap_with=entry.swap_with,
            ask=self._copy(AskView, entry.ask, lambda ask: sentences.ask_clause(ask, self.time)),
            expected_wait_seconds=waiting.expected_wait_s(equipment, entry, self._clock.now()),
        )

    def user(self, session: SessionId) -> str:
        """Return who a session belongs to."""
        found = self._table.session(session)
        if found is None:
            return "somebody"
        return found.user

    def queue(self, equipment: Equipment) -> list[EntryView]:
        """Render the queue, the next first."""
        return [self.entry(equipment, x) for x in equipment.queue]

    def session(self, session: Session) -> SessionView:
        """Render a session."""
        now = self._clock.now()
        due = None
        if not session.keeper:
            due = clocks.session_due(self._table, session)
        time_remaining = None
        if due is not None:
            time_remaining = max(0.0, due - now)
        return SessionView(
            session_id=session.id,
            client_name=session.client_name,
            client_ip=session.client_ip,
            created_at=self.time(session.created_at),
            last_activity=self.time(session.last_seen),
            time_remaining=time_remaining,
            duration_seconds=now - session.created_at,
            metadata=session.metadata,
            user=session.user,
            user_verified=session.user_verified,
            has_keeper=session.keeper,
            suspect=session.suspect,
        )

    def holder(self, lock: Lock | ObserverLock) -> HolderView:
        """Render who has a lock of either kind."""
        session = self._table.session(lock.session)
        return HolderView(
            session_id=lock.session,
            user=lock.user,
            user_verified=lock.user_verified,
            client_name=lock.client_name,
            note=lock.note,
            since=self.time(lock.since),
            suspect=session is not None and session.suspect,
            busy=session is not None and session.busy,
        )

    def readback(self, key: EquipmentId) -> ReadbackView:
        """Render the cached readback."""
        known = self._sources[key]
        readback = known.readback
        return ReadbackView(
            connected=readback.connected,
            moving=readback.moving is True,
            position=readback.position,
            target=readback.target,
            velocity=readback.velocity,
            fraction=known.fraction,
            units=readback.units,
            values=dict(readback.values),
            error=readback.error,
            age_seconds=round(max(0.0, self._clock.now() - known.read_at), 3),
        )

    def status(self, key: EquipmentId) -> StatusView:
        """Render one piece of equipment."""
        equipment = self._table.equipment(key)
        assert equipment is not None
        known = self._sources[key]
        lock = equipment.lock
        ending = self.ending(equipment)
        if lock is not None:
            mode = "exclusive"
        elif equipment.observers:
            mode = "observer"
        else:
            mode = None
        time_remaining = None
        if ending:
            time_remaining = ending.in_seconds
        session_id = None
        lock_id = None
        acquired_at = None
        holder = None
        if lock is not None:
            session_id = lock.session
            lock_id = lock.lock_id
            holder = self.holder(lock)
            acquired_at = holder.since
        kept = self._kept(lock)
        return StatusView(
            equipment_id=equipment.id,
            locked=lock is not None,
            lock_mode=mode,
            session_id=session_id,
            lock_id=lock_id,
            acquired_at=acquired_at,
            time_remaining=time_remaining,
            observer_count=len(equipment.observers),
            observer_sessions=[o.session for o in equipment.observers],
            queue_length=len(equipment.queue),
            kind=known.kind,
            label=known.label,
            state=equipment.state,
            fence=equipment.fence,
            claimed=lock is not None and lock.claim_by is None,
            holder=holder,
            observers=[self.holder(o) for o in equipment.observers],
            queue=self.queue(equipment),
            ending=ending,
            kept=kept,
            running=self._copy(RunningView, equipment.running),
            readback=self.readback(key),
            stopped_by=self._copy(
                StopView, equipment.stopped_by, lambda stop: sentences.stop_sentence(equipment, stop, self.time)
            ),
            fault=equipment.fault,
            fault_at=self._time_if_known(equipment.fault_at),
            draining=self._copy(DrainView, equipment.drain, sentences.past_end_clause),
            last_lost=self._copy(LossView, next(reversed(equipment.losses), None), sentences.past_end_clause),
            text=sentences.status_sentence(
                equipment, is_silent=holder is not None and holder.suspect, is_kept=kept is not None, time=self.time
            ),
        )

    def ending(self, equipment: Equipment) -> EndingView | None:
        """Render what ends the present lock first."""
        found = clocks.ending(self._table, equipment)
        if found is None or equipment.lock is None:
            return None
        left = None
        if found.at is not None:
            left = max(0.0, found.at - self._clock.now())
        return EndingView(
            what=found.what,
            at=self._time_if_known(found.at),
            in_seconds=left,
            text=sentences.future_end_clause(found.what, equipment.id, equipment.lock.user),
        )

    def _kept(self, lock: Lock | None) -> KeptView | None:
        if lock is None or lock.kept is None or lock.kept.until <= self._clock.now():
            return None
        return self._copy(KeptView, lock.kept)

    def loss(self, loss: LockLoss) -> LossView:
        """Render a lock that was lost."""
        view = self._copy(LossView, loss, sentences.past_end_clause)
        assert view is not None
        return view

    def _copy(
        self, kind: type[CopiedView], source: Source | None, make_text: Callable[[Source], str] | None = None
    ) -> CopiedView | None:
        """Make a view of what `source` has under the same names, with wall times; `make_text` makes its `text`."""
        if source is None:
            return None
        values = {name: getattr(source, name) for name in kind.__struct_fields__ if name != "text"}
        if make_text is not None:
            values["text"] = make_text(source)
        for name in _time_fields(kind):
            values[name] = self._time_if_known(values[name])
        return kind(**values)


@cache
def _time_fields(kind: type[Copied]) -> tuple[str, ...]:
    return tuple(x.name for x in msgspec.structs.fields(kind) if x.type is Time or Time in get_args(x.type))

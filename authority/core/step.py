"""One decision in the making, and the two moves every rule is made of: a lock ends, the next is granted."""

from __future__ import annotations

from collections.abc import Callable, Container

from msgspec.structs import replace

from . import messages, waiting
from .evolve import evolve
from .model import (
    Command,
    Drain,
    Equipment,
    EquipmentId,
    Lock,
    LockMode,
    LossCause,
    ObserverLock,
    Outcome,
    Owner,
    QueueEntry,
    RestMethod,
    Session,
    SessionId,
    Table,
)
from .refusals import SessionEnded, UnknownEquipment

FINISHED_WHYS = frozenset(
    {
        LossCause.LOGOUT,
        LossCause.IDLE,
        LossCause.OFFERED,
        LossCause.UNCLAIMED,
        LossCause.DOWNGRADED,
        LossCause.HANDED_OVER,
    }
)
SILENT_WHYS = frozenset({LossCause.SILENCE, LossCause.TURN})
PARK_ACTION = "park"
DEAD_WHYS = frozenset({LossCause.GONE, LossCause.CONNECTIONS_LOST})


class Step:
    """The events of one decision so far, and the table as it stands after them."""

    def __init__(self, table: Table, now: float) -> None:
        """Begin on top of `table`, which is not changed."""
        self.table = Table(table)
        self.now = now
        self.events: list[messages.Event] = []
        self.touched: dict[EquipmentId, None] = {}

    def emit(self, event: messages.Event) -> None:
        """Let `event` have happened."""
        self.events.append(event)
        evolve(self.table, event)

    def emit_for(
        self, fact: Callable[..., messages.EquipmentEvent], key: EquipmentId, who: Owner | Command, /, **details: object
    ) -> None:
        """Let a fact about equipment have happened that concerns `who`."""
        self.emit(fact(at=self.now, equipment=key, session=who.session, user=who.user, **details))

    def equipment(self, key: EquipmentId) -> Equipment:
        """Return the equipment as it stands now, or refuse."""
        found = self.table.equipment(key)
        if found is None:
            raise UnknownEquipment(key)
        return found

    def session(self, key: SessionId) -> Session:
        """Return the living session, or refuse."""
        found = self.table.session(key)
        if found is None:
            raise SessionEnded(key)
        return found

    # -- a lock ends

    def end_lock(
        self,
        key: EquipmentId,
        why: LossCause,
        *,
        by: str | None = None,
        reason: str | None = None,
        heir: str | None = None,
        how: RestMethod | None = None,
    ) -> None:
        """End the holder's right to send; the lock itself ends now if the equipment is at rest, else when it is."""
        equipment = self.equipment(key)
        lock = equipment.lock
        assert lock is not None
        how = how or how_to_rest(equipment, why)
        stop_owed = how is RestMethod.STOP and (not equipment.at_rest or (why is LossCause.FORCED and lock.has_driven))
        if how is RestMethod.STOP:
            limit = equipment.policy.stop_seconds
        else:
            limit = equipment.policy.finish_seconds
        drain = Drain(
            why=why, how=how, since=self.now, deadline=self.now + limit, stop_owed=stop_owed, by=by, reason=reason,
            heir=heir,
        )  # fmt: skip
        for command in equipment.accepted:
            error = "the lock ended before the command began"
            self.finish_command(equipment, command, Outcome.NOT_RUN, error, moving=equipment.moving)
        parks = equipment.parks(how) and why is not LossCause.DOWNGRADED
        if equipment.at_rest and not stop_owed and not parks:
            self._finish_lock(key, lock, drain)
        elif equipment.at_rest and parks:
            self.park(self.equipment(key), drain)
        else:
            self._drain(key, lock, drain)

    def stop_draining(self, key: EquipmentId) -> None:
        """Turn a draining that was to let the command finish into a stop."""
        equipment = self.equipment(key)
        assert equipment.lock is not None
        assert equipment.drain is not None
        deadline = self.now + equipment.policy.stop_seconds
        self._drain(
            key, equipment.lock, replace(equipment.drain, how=RestMethod.STOP, stop_owed=True, deadline=deadline)
        )

    def end_drain(self, key: EquipmentId) -> None:
        """The equipment is at rest, or at fault: the last holder's lock ends."""
        equipment = self.equipment(key)
        assert equipment.lock is not None
        assert equipment.drain is not None
        self._finish_lock(key, equipment.lock, equipment.drain)

    def park(self, equipment: Equipment, drain: Drain) -> None:
        """Let the authority park what its last holder left, under their fence, before the lock passes on."""
        assert equipment.lock is not None
        self._drain(
            equipment.id,
            equipment.lock,
            replace(drain, parking=True, deadline=self.now + equipment.policy.finish_seconds),
        )
        command = Command(
            key=f"park {equipment.lock.fence}", command_id="", session=equipment.lock.session, user="the authority",
            fence=equipment.lock.fence, action=PARK_ACTION, parameters={}, started_at=self.now,
        )  # fmt: skip
        self.emit_for(messages.CommandStarted, equipment.id, command, command=command)

    def _drain(self, key: EquipmentId, lock: Lock, drain: Drain) -> None:
        self.emit_for(messages.LockDraining, key, lock, lock_id=lock.lock_id, fence=lock.fence, drain=drain)

    def _finish_lock(self, key: EquipmentId, lock: Lock, drain: Drain) -> None:
        held = self.now - lock.since
        self.emit_for(
            messages.LockEnded, key, lock, lock_id=lock.lock_id, duration_seconds=held, loss=drain.loss_of(lock)
        )
        self.mark_touched(key)
        self.mark_session_touched(lock.session)
        equipment = self.equipment(key)
        heir = equipment.place(drain.heir)
        if heir is not None and heir in waiting.awake_entries(self.table, equipment) and equipment.fault is None:
            self.grant_entry(key, heir)

    def finish_command(
        self, equipment: Equipment, command: Command, outcome: Outcome, error: str | None, *, moving: bool
    ) -> None:
        """Give a command its outcome."""
        self.emit_for(
            messages.CommandFinished,
            equipment.id,
            command,
            key=command.key,
            command_id=command.command_id,
            action=command.action,
            outcome=outcome,
            error=error,
            moving=moving,
        )

    # -- the next is granted

    def grant_entry(self, key: EquipmentId, entry: QueueEntry) -> None:
        """Give a waiter all that its entry waits for."""
        names = entry.group or (key,)
        for name in names:
            self.leave_queue(name, entry, "granted")
        self.mark_touched(*names)
        self.mark_session_touched(entry.session)
        for place, name in enumerate(names):
            equipment = self.equipment(name)
            if equipment.holds(entry.session):
                if entry.mode is LockMode.EXCLUSIVE:
                    self._refresh_unasked(equipment, entry)
            elif entry.mode is LockMode.OBSERVER:
                self.observe(name, entry)
            else:
                self.grant(name, entry, group_lock_id(f"lock_{entry.queue_id}", place), from_queue=True)

    def _refresh_unasked(self, equipment: Equipment, entry: QueueEntry) -> None:
        """Refresh what a waiter holds of its group: no act of theirs, so it claims nothing and lifts no stop."""
        lock = equipment.lock
        if lock is not None and lock.claim_by is None and equipment.stopped_by is None:
            if entry.note is None:
                note = lock.note
            else:
                note = entry.note
            self.emit_for(
                messages.LockRefreshed, equipment.id, lock, lock_id=lock.lock_id, new_timeout=entry.timeout_s, note=note
            )

    def grant(self, key: EquipmentId, want: QueueEntry, lock_id: str, *, from_queue: bool) -> None:
        """Give the exclusive lock to `want`; observers that may not stay lose theirs."""
        equipment = self.equipment(key)
        for observer in equipment.observers:
            own = observer.session == want.session
            if own or equipment.policy.observers == "apart":
                if own:
                    why = LossCause.UPGRADED
                else:
                    why = LossCause.EXCLUSIVE_GRANT
                self.emit_for(messages.ObserverEnded, key, observer, why=why, by=want.user)
        claim_by = None
        if from_queue:
            claim_by = self.now + equipment.policy.claim_seconds
        lock = Lock(
            lock_id=lock_id, session=want.session, user=want.user, user_verified=want.user_verified,
            client_name=want.client_name, fence=equipment.fence + 1, timeout_s=want.timeout_s, since=self.now,
            used_at=self.now, note=want.note, claim_by=claim_by,
            group=want.group,
        )  # fmt: skip
        self.emit_for(messages.LockAcquired, key, want, lock=lock, from_queue=from_queue)

    def observe(self, key: EquipmentId, want: QueueEntry) -> None:
        """Give an observer's lock to `want`, or refresh the one it has."""
        since = self.now
        had = self.equipment(key).observer(want.session)
        if had is not None:
            since = had.since
        observing = ObserverLock(
            session=want.session, user=want.user, user_verified=want.user_verified, client_name=want.client_name,
            timeout_s=want.timeout_s, since=since, used_at=self.now, note=want.note,
        )  # fmt: skip
        self.emit_for(messages.ObserverAcquired, key, want, observing=observing)

    def leave_queue(self, key: EquipmentId, entry: QueueEntry, result: str) -> None:
        """Take an entry out of the queue."""
        self.emit_for(messages.QueueLeft, key, entry, queue_id=entry.queue_id, result=result)

    def leave_all(self, key: EquipmentId, entry: QueueEntry, result: str) -> None:
        """Take an entry out of every queue that it is in."""
        for name in entry.group or (key,):
            self.leave_queue(name, entry, result)
            self.mark_touched(name)
        self.mark_session_touched(entry.session)

    # -- what to look at again

    def mark_touched(self, *keys: EquipmentId) -> None:
        """Note equipment of which something may now be due."""
        self.touched.update(dict.fromkeys(keys))

    def mark_session_touched(self, key: SessionId, but: Container[EquipmentId] = ()) -> None:
        """Note all equipment that a session has to do with, but what is in `but`."""
        session = self.table.session(key)
        if session is not None:
            self.mark_touched(*(x for x in session.equipment if x not in but))

    # -- a session ends

    def end_session(self, session: Session, why: LossCause, *, reason: str | None = None) -> None:
        """End a session: its locks, its observing and its waiting end with it."""
        for key in session.equipment:
            equipment = self.equipment(key)
            entry = equipment.entry(session.id)
            observing = equipment.observer(session.id)
            if entry is not None:
                self.leave_queue(key, entry, "session_ended")
            if observing is not None:
                self.emit_for(messages.ObserverEnded, key, observing, why=why)
            if equipment.holds(session.id) and not equipment.policy.release_with_session:
                self.emit(
                    messages.HolderGone(at=self.now, equipment=key, session=session.id, user=session.user, why=why)
                )
            elif equipment.holds(session.id):
                self.end_lock(key, why, reason=reason)
            elif (
                equipment.lock is not None
                and equipment.lock.session == session.id
                and _is_finishing(equipment)
                and why in DEAD_WHYS
            ):
                self.stop_draining(key)
        self.emit(
            messages.SessionOver(
                at=self.now, session=session.id, user=session.user, why=why, reason=reason,
                duration_seconds=self.now - session.created_at,
            )
        )  # fmt: skip
        self.mark_touched(*session.equipment)


def how_to_rest(equipment: Equipment, why: LossCause) -> RestMethod:
    """How the equipment is brought to rest when a lock ends for this reason."""
    if why in FINISHED_WHYS:
        return RestMethod.FINISH
    if why in SILENT_WHYS:
        return equipment.policy.on_silence
    if why is LossCause.FORCED:
        return RestMethod.STOP
    return equipment.policy.on_loss


def group_lock_id(name: str, place: int) -> str:
    """Return the id of the lock at `place` of a group; the first one has the plain name."""
    if place:
        return f"{name}_{place}"
    return name


def _is_finishing(equipment: Equipment) -> bool:
    return equipment.drain is not None and equipment.drain.how is RestMethod.FINISH and not equipment.drain.parking

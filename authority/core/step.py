"""One decision in the making, and the two moves every rule is made of: a lock ends, the next is granted."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from . import clocks
from . import messages as m
from .evolve import evolve
from .model import (
    RECONNECT_S,
    Command,
    Drain,
    Entry,
    Equipment,
    EquipmentId,
    How,
    Lock,
    Mode,
    Observing,
    Outcome,
    Session,
    SessionId,
    Table,
    Why,
)
from .refusals import SessionIsOver, UnknownEquipment

FINISHED_WHYS = frozenset({Why.LOGOUT, Why.IDLE, Why.OFFERED, Why.UNCLAIMED, Why.DOWNGRADED})
SILENT_WHYS = frozenset({Why.SILENCE, Why.TURN})
DEAD_WHYS = frozenset({Why.GONE, Why.CONNECTIONS_LOST})


class Step:
    """The events of one decision so far, and the table as it stands after them."""

    def __init__(self, table: Table, now: float) -> None:
        """Begin on top of `table`, which is not changed."""
        self.table = Table(table)
        self.now = now
        self.events: list[m.Event] = []
        self._touched: dict[EquipmentId, None] = {}

    def emit(self, event: m.Event) -> None:
        """Let `event` have happened."""
        self.events.append(event)
        evolve(self.table, event)

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
            raise SessionIsOver(key)
        return found

    # -- a lock ends

    def end_lock(self, key: EquipmentId, why: Why, *, by: str | None = None, reason: str | None = None) -> None:
        """End the holder's right to send; the lock itself ends now if the equipment is at rest, else when it is."""
        e = self.equipment(key)
        lock = e.lock
        assert lock is not None
        how = how_to_rest(e, why)
        stop_owed = how is How.STOP and (not e.at_rest or (why is Why.FORCED and lock.has_driven))
        limit = e.policy.stop_seconds if how is How.STOP else e.policy.finish_seconds
        drain = Drain(
            why=why, how=how, since=self.now, deadline=self.now + limit, stop_owed=stop_owed, by=by, reason=reason
        )
        self._drop_accepted(e, Outcome.NOT_RUN, f"the lock ended ({why}) before the command began")
        if e.at_rest and not stop_owed:
            self._finish_lock(key, lock, drain)
        else:
            self._emit_drain(key, lock, drain)

    def hurry(self, key: EquipmentId) -> None:
        """Turn a draining that was to let the command finish into a stop."""
        e = self.equipment(key)
        assert e.lock is not None
        assert e.drain is not None
        deadline = self.now + e.policy.stop_seconds
        self._emit_drain(key, e.lock, replace(e.drain, how=How.STOP, stop_owed=True, deadline=deadline))

    def end_drain(self, key: EquipmentId) -> None:
        """The equipment is at rest, or at fault: the last holder's lock ends."""
        e = self.equipment(key)
        assert e.lock is not None
        assert e.drain is not None
        self._finish_lock(key, e.lock, e.drain)

    def _emit_drain(self, key: EquipmentId, lock: Lock, drain: Drain) -> None:
        self.emit(
            m.LockDraining(
                at=self.now, equipment=key, session=lock.session, user=lock.user,
                lock_id=lock.lock_id, fence=lock.fence, drain=drain,
            )
        )  # fmt: skip

    def _finish_lock(self, key: EquipmentId, lock: Lock, drain: Drain) -> None:
        self.emit(
            m.LockEnded(
                at=self.now, equipment=key, session=lock.session, user=lock.user,
                lock_id=lock.lock_id, duration_seconds=self.now - lock.since, loss=drain.loss_of(lock),
            )
        )  # fmt: skip

    def _drop_accepted(self, e: Equipment, outcome: Outcome, error: str) -> None:
        for c in e.accepted:
            self.finish_command(e, c, outcome, error, moving=e.moving)

    def finish_command(self, e: Equipment, c: Command, outcome: Outcome, error: str | None, *, moving: bool) -> None:
        """Give a command its outcome."""
        self.emit(
            m.CommandFinished(
                at=self.now, equipment=e.id, session=c.session, user=c.user, key=c.key, command_id=c.command_id,
                action=c.action, outcome=outcome, error=error, moving=moving,
            )
        )  # fmt: skip

    # -- the next is granted

    def grant(self, key: EquipmentId, want: Entry, lock_id: str, *, from_queue: bool) -> None:
        """Give the exclusive lock to `want`; observers that may not stay are told."""
        e = self.equipment(key)
        for o in e.observers:
            own = o.session == want.session
            if own or e.policy.observers == "apart":
                self.end_observer(key, o, Why.UPGRADED if own else Why.EXCLUSIVE_GRANT, by=want.user)
        lock = Lock(
            lock_id=lock_id, session=want.session, user=want.user, user_verified=want.user_verified,
            client_name=want.client_name, fence=e.fence + 1, timeout_s=want.timeout_s, since=self.now,
            used_at=self.now, note=want.note, claim_by=self.now + e.policy.claim_seconds if from_queue else None,
        )  # fmt: skip
        self.emit(
            m.LockAcquired(
                at=self.now,
                equipment=key,
                session=want.session,
                user=want.user,
                lock=lock,
                from_queue=from_queue,
            )
        )

    def observe(self, key: EquipmentId, want: Entry) -> None:
        """Give an observer's lock to `want`, or refresh the one it has."""
        had = self.equipment(key).observer(want.session)
        observing = Observing(
            session=want.session, user=want.user, user_verified=want.user_verified, client_name=want.client_name,
            timeout_s=want.timeout_s, since=had.since if had else self.now, used_at=self.now, note=want.note,
        )  # fmt: skip
        self.emit(
            m.ObserverAcquired(at=self.now, equipment=key, session=want.session, user=want.user, observing=observing)
        )

    def end_observer(self, key: EquipmentId, o: Observing, why: Why, *, by: str | None = None) -> None:
        """End an observer's lock, never silently."""
        self.emit(m.ObserverEnded(at=self.now, equipment=key, session=o.session, user=o.user, why=why, by=by))

    def leave_queue(self, key: EquipmentId, entry: Entry, result: str) -> None:
        """Take an entry out of the queue."""
        self.emit(
            m.QueueLeft(
                at=self.now, equipment=key, session=entry.session, user=entry.user,
                queue_id=entry.queue_id, result=result,
            )
        )  # fmt: skip

    def serve_queue(self, key: EquipmentId) -> None:
        """Grant what the head of the queue asked for: one exclusive lock, or a run of observers."""
        while True:
            e = self.equipment(key)
            entry = clocks.next_entry(self.table, e)
            if entry is None or e.fault is not None:
                return
            if e.lock is not None and clocks.blocks(e, entry):
                return
            self.leave_queue(key, entry, "granted")
            if entry.mode is Mode.EXCLUSIVE:
                self.grant(key, entry, f"lock_{entry.queue_id}", from_queue=True)
                return
            self.observe(key, entry)

    # -- what is due

    def catch_up(self, session: SessionId | None, equipment: EquipmentId | None) -> None:
        """Let all happen that was due before this session asked something, of this equipment or of itself."""
        if session is not None:
            self.advance_session(session)
            s = self.table.session(session)
            if equipment is None and s is not None:
                self.touch(*s.equipment)
        if equipment is not None:
            self.touch(equipment)
        self.settle()

    def touch(self, *keys: EquipmentId) -> None:
        """Note equipment of which something may now be due."""
        self._touched.update(dict.fromkeys(keys))

    def settle(self) -> None:
        """Let happen what is due of the equipment that was touched, and of what that touches in turn."""
        while self._touched:
            self.advance(self._touched.popitem()[0])

    def advance_session(self, key: SessionId) -> None:
        """Let what is due of one session happen: it ends, or becomes suspect."""
        s = self.table.session(key)
        if s is None or not clocks.may_be_due(s, self.now):
            return
        due = clocks.session_due(self.table, s)
        if due is None or self.now < due:
            return
        if not s.keeper:
            self.end_session(s, Why.SESSION_EXPIRED)
        elif s.disconnected_at is not None and self.now >= s.disconnected_at + RECONNECT_S:
            self.end_session(s, Why.CONNECTIONS_LOST)
        elif s.suspect:
            self.end_session(s, Why.SESSION_EXPIRED)
        else:
            self.emit(m.SessionSuspect(at=self.now, session=s.id, user=s.user))
            self.touch(*s.equipment)

    def end_session(self, s: Session, why: Why, *, reason: str | None = None) -> None:
        """End a session: its locks, its observing and its waiting end with it."""
        for key in s.equipment:
            e = self.equipment(key)
            entry, observing = e.entry(s.id), e.observer(s.id)
            if entry is not None:
                self.leave_queue(key, entry, "session_ended")
            if observing is not None:
                self.end_observer(key, observing, why)
            if e.holds(s.id) and not e.policy.release_with_session:
                self.emit(m.HolderGone(at=self.now, equipment=key, session=s.id, user=s.user, why=why))
            elif e.holds(s.id):
                self.end_lock(key, why, reason=reason)
            elif e.lock is not None and e.lock.session == s.id and _lets_finish(e) and why in DEAD_WHYS:
                self.hurry(key)
        self.emit(
            m.SessionOver(
                at=self.now, session=s.id, user=s.user, why=why, reason=reason,
                duration_seconds=self.now - s.created_at,
            )
        )  # fmt: skip
        self.touch(*s.equipment)

    def advance(self, key: EquipmentId) -> None:
        """Let all that is due of one piece of equipment happen, its sessions first."""
        e = self.equipment(key)
        for session in _sessions_of(e):
            self.advance_session(session)
        e = self.equipment(key)
        if clocks.is_quiet(e, self.now):
            return
        for o in e.observers:
            due = clocks.observer_due(o.used_at, o.timeout_s, self.table.session(o.session))
            if due is not None and self.now >= due:
                self.end_observer(key, o, Why.IDLE)
        self._advance_lock(key)
        self.serve_queue(key)

    def _advance_lock(self, key: EquipmentId) -> None:
        e = self.equipment(key)
        if e.lock is None or e.fault is not None:
            return
        if e.drain is not None:
            self._advance_drain(e, e.drain)
            return
        wanted = clocks.next_entry(self.table, e)
        holder = self.table.session(e.lock.session)
        turn, idle = clocks.turn_due(e, e.lock), clocks.idle_due(e, e.lock, holder)
        if e.lock.claim_by is not None and self.now >= e.lock.claim_by:
            self.end_lock(key, Why.UNCLAIMED)
        elif idle is not None and self.now >= idle and clocks.idle_releases(e, holder):
            self.end_lock(key, Why.IDLE)
        elif wanted is not None and turn is not None and self.now >= turn:
            self.end_lock(key, Why.TURN, by=wanted.user)
        elif wanted is not None and (why := clocks.available(self.table, e, self.now)) is not None:
            self.end_lock(key, why, by=wanted.user)

    def _advance_drain(self, e: Equipment, drain: Drain) -> None:
        if e.at_rest:
            self.end_drain(e.id)
        elif self.now >= drain.deadline and drain.how is How.FINISH:
            self.hurry(e.id)
        elif self.now >= drain.deadline:
            reason = f"{e.id} did not come to rest within {e.policy.stop_seconds:g} s of a stop"
            self.emit(m.Faulted(at=self.now, equipment=e.id, reason=reason))
            self.end_drain(e.id)


def how_to_rest(e: Equipment, why: Why) -> How:
    """How the equipment is brought to rest when a lock ends for this reason."""
    if why in FINISHED_WHYS:
        return How.FINISH
    if why in SILENT_WHYS:
        return e.policy.on_silence
    return How.STOP if why is Why.FORCED else e.policy.on_loss


def _lets_finish(e: Equipment) -> bool:
    return e.drain is not None and e.drain.how is How.FINISH


def _sessions_of(e: Equipment) -> Iterable[SessionId]:
    if not e.queue and not e.observers:
        return () if e.lock is None else (e.lock.session,)
    found = dict.fromkeys(x.session for x in e.queue)
    found.update(dict.fromkeys(o.session for o in e.observers))
    if e.lock is not None:
        found[e.lock.session] = None
    return found

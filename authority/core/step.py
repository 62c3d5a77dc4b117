"""One decision in the making, and the two moves every rule is made of: a lock ends, the next is granted."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from msgspec.structs import replace

from . import clocks, waiting
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
    Who,
    Why,
)
from .refusals import SessionIsOver, UnknownEquipment

FINISHED_WHYS = frozenset({Why.LOGOUT, Why.IDLE, Why.OFFERED, Why.UNCLAIMED, Why.DOWNGRADED, Why.HANDED_OVER})
SILENT_WHYS = frozenset({Why.SILENCE, Why.TURN})
PARK = "park"
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

    def tell(
        self, fact: Callable[..., m.EquipmentEvent], key: EquipmentId, who: Who | Command, **details: object
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
            raise SessionIsOver(key)
        return found

    # -- a lock ends

    def end_lock(
        self,
        key: EquipmentId,
        why: Why,
        *,
        by: str | None = None,
        reason: str | None = None,
        heir: str | None = None,
        how: How | None = None,
    ) -> None:
        """End the holder's right to send; the lock itself ends now if the equipment is at rest, else when it is."""
        e = self.equipment(key)
        lock = e.lock
        assert lock is not None
        how = how or how_to_rest(e, why)
        stop_owed = how is How.STOP and (not e.at_rest or (why is Why.FORCED and lock.has_driven))
        limit = e.policy.stop_seconds if how is How.STOP else e.policy.finish_seconds
        drain = Drain(
            why=why, how=how, since=self.now, deadline=self.now + limit, stop_owed=stop_owed, by=by, reason=reason,
            heir=heir,
        )  # fmt: skip
        for c in e.accepted:
            error = f"the lock ended ({why}) before the command began"
            self.finish_command(e, c, Outcome.NOT_RUN, error, moving=e.moving)
        parks = e.parks(how) and why is not Why.DOWNGRADED
        if e.at_rest and not stop_owed and not parks:
            self._finish_lock(key, lock, drain)
        elif e.at_rest and parks:
            self._park(self.equipment(key), drain)
        else:
            self._drain(key, lock, drain)

    def hurry(self, key: EquipmentId) -> None:
        """Turn a draining that was to let the command finish into a stop."""
        e = self.equipment(key)
        assert e.lock is not None
        assert e.drain is not None
        deadline = self.now + e.policy.stop_seconds
        self._drain(key, e.lock, replace(e.drain, how=How.STOP, stop_owed=True, deadline=deadline))

    def end_drain(self, key: EquipmentId) -> None:
        """The equipment is at rest, or at fault: the last holder's lock ends."""
        e = self.equipment(key)
        assert e.lock is not None
        assert e.drain is not None
        self._finish_lock(key, e.lock, e.drain)

    def _park(self, e: Equipment, drain: Drain) -> None:
        """Let the authority park what its last holder left, under their fence, before the lock passes on."""
        assert e.lock is not None
        self._drain(e.id, e.lock, replace(drain, parking=True, deadline=self.now + e.policy.finish_seconds))
        command = Command(
            key=f"park {e.lock.fence}", command_id="", session=e.lock.session, user="the authority",
            fence=e.lock.fence, action=PARK, parameters={}, started_at=self.now,
        )  # fmt: skip
        self.tell(m.CommandStarted, e.id, command, command=command)

    def _drain(self, key: EquipmentId, lock: Lock, drain: Drain) -> None:
        self.tell(m.LockDraining, key, lock, lock_id=lock.lock_id, fence=lock.fence, drain=drain)

    def _finish_lock(self, key: EquipmentId, lock: Lock, drain: Drain) -> None:
        held = self.now - lock.since
        self.tell(m.LockEnded, key, lock, lock_id=lock.lock_id, duration_seconds=held, loss=drain.loss_of(lock))
        self.touch(key)
        self._touch_all_of(lock.session)
        e = self.equipment(key)
        heir = e.place(drain.heir)
        if heir is not None and heir in waiting.awake(self.table, e) and e.fault is None:
            self.give(key, heir)

    def finish_command(self, e: Equipment, c: Command, outcome: Outcome, error: str | None, *, moving: bool) -> None:
        """Give a command its outcome."""
        self.emit(
            m.CommandFinished(
                at=self.now, equipment=e.id, session=c.session, user=c.user, key=c.key, command_id=c.command_id,
                action=c.action, outcome=outcome, error=error, moving=moving,
            )
        )  # fmt: skip

    # -- the next is granted

    def give(self, key: EquipmentId, entry: Entry) -> None:
        """Give a waiter all that its entry waits for."""
        names = entry.group or (key,)
        for name in names:
            self.leave_queue(name, entry, "granted")
        self.touch(*names)
        self._touch_all_of(entry.session)
        for place, name in enumerate(names):
            e = self.equipment(name)
            if e.holds(entry.session):
                if entry.mode is Mode.EXCLUSIVE:
                    self._refresh_unasked(e, entry)
            elif entry.mode is Mode.OBSERVER:
                self.observe(name, entry)
            else:
                self.grant(name, entry, numbered(f"lock_{entry.queue_id}", place), from_queue=True)

    def _refresh_unasked(self, e: Equipment, entry: Entry) -> None:
        """Refresh what a waiter holds of its group: no act of theirs, so it claims nothing and lifts no stop."""
        lock = e.lock
        if lock is not None and lock.claim_by is None and e.stopped_by is None:
            note = lock.note if entry.note is None else entry.note
            self.tell(m.LockRefreshed, e.id, lock, lock_id=lock.lock_id, new_timeout=entry.timeout_s, note=note)

    def grant(self, key: EquipmentId, want: Entry, lock_id: str, *, from_queue: bool) -> None:
        """Give the exclusive lock to `want`; observers that may not stay are told."""
        e = self.equipment(key)
        for o in e.observers:
            own = o.session == want.session
            if own or e.policy.observers == "apart":
                self.tell(m.ObserverEnded, key, o, why=Why.UPGRADED if own else Why.EXCLUSIVE_GRANT, by=want.user)
        lock = Lock(
            lock_id=lock_id, session=want.session, user=want.user, user_verified=want.user_verified,
            client_name=want.client_name, fence=e.fence + 1, timeout_s=want.timeout_s, since=self.now,
            used_at=self.now, note=want.note, claim_by=self.now + e.policy.claim_seconds if from_queue else None,
            group=want.group,
        )  # fmt: skip
        self.tell(m.LockAcquired, key, want, lock=lock, from_queue=from_queue)

    def observe(self, key: EquipmentId, want: Entry) -> None:
        """Give an observer's lock to `want`, or refresh the one it has."""
        had = self.equipment(key).observer(want.session)
        observing = Observing(
            session=want.session, user=want.user, user_verified=want.user_verified, client_name=want.client_name,
            timeout_s=want.timeout_s, since=had.since if had else self.now, used_at=self.now, note=want.note,
        )  # fmt: skip
        self.tell(m.ObserverAcquired, key, want, observing=observing)

    def leave_queue(self, key: EquipmentId, entry: Entry, result: str) -> None:
        """Take an entry out of the queue."""
        self.tell(m.QueueLeft, key, entry, queue_id=entry.queue_id, result=result)

    def leave_all(self, key: EquipmentId, entry: Entry, result: str) -> None:
        """Take an entry out of every queue that it is in."""
        for name in entry.group or (key,):
            self.leave_queue(name, entry, result)
            self.touch(name)
        self._touch_all_of(entry.session)

    def serve_queue(self, key: EquipmentId) -> None:
        """Give what is obtainable to those whose turn it is: one exclusive lock, or a run of observers."""
        while True:
            entry, at = waiting.next_at(self.table, self.equipment(key), self.now)
            if entry is None or at is None or at > self.now:
                return
            names = entry.group or (key,)
            for name in names:
                self._make_way(name, entry)
            if any(waiting.in_the_way(self.equipment(name), entry) for name in names):
                return
            self.give(key, entry)
            if entry.mode is Mode.EXCLUSIVE:
                return

    def _make_way(self, key: EquipmentId, entry: Entry) -> None:
        e = self.equipment(key)
        why = waiting.yields_why(self.table, e, self.now)
        if why is not None and waiting.in_the_way(e, entry):
            self.end_lock(key, why, by=entry.user)

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
        spread: set[EquipmentId] = set()
        while self._touched:
            key = self._touched.popitem()[0]
            self.advance(key)
            if key not in spread:
                spread.add(key)
                # Who waits here may be kept from passing a group elsewhere until the way here is clear.
                for entry in self.equipment(key).queue:
                    self._touch_all_of(entry.session, but=spread)

    def _touch_all_of(self, key: SessionId, but: Container[EquipmentId] = ()) -> None:
        session = self.table.session(key)
        if session is not None:
            self.touch(*(x for x in session.equipment if x not in but))

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
                self.tell(m.ObserverEnded, key, observing, why=why)
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
        """Let all that is due of one piece of equipment happen, and of what groups tie it to."""
        for name in waiting.connected(self.table, self.equipment(key)):
            self._advance_alone(name)
        if self.equipment(key).queue:
            self.serve_queue(key)

    def _advance_alone(self, key: EquipmentId) -> None:
        for session in _sessions_of(self.equipment(key)):
            self.advance_session(session)
        e = self.equipment(key)
        if clocks.is_quiet(e, self.now):
            return
        for o in e.observers:
            due = clocks.observer_due(o.used_at, o.timeout_s, self.table.session(o.session))
            if due is not None and self.now >= due:
                self.tell(m.ObserverEnded, key, o, why=Why.IDLE)
        for entry in e.queue:
            if e.lock is not None and entry.ask is not None and entry.ask.answer is None and self.now >= entry.ask.due:
                ask = replace(entry.ask, answer="unanswered")
                self.tell(m.AskChanged, key, entry, holder=e.lock.user, queue_id=entry.queue_id, ask=ask)
        self._advance_lock(key)

    def _advance_lock(self, key: EquipmentId) -> None:
        e = self.equipment(key)
        if e.lock is None or e.fault is not None:
            return
        if e.drain is not None:
            self._advance_drain(e, e.drain)
            return
        holder = self.table.session(e.lock.session)
        idle = clocks.idle_due(e, e.lock, holder)
        wanted = next((x.user for x in waiting.awake(self.table, e) if waiting.in_the_way(e, x)), None)
        if e.lock.claim_by is not None and self.now >= e.lock.claim_by:
            self.end_lock(key, Why.UNCLAIMED, by=wanted)
        elif idle is not None and self.now >= idle and clocks.idle_releases(e, holder):
            self.end_lock(key, Why.IDLE, by=wanted)

    def _advance_drain(self, e: Equipment, drain: Drain) -> None:
        if e.at_rest and e.parks(drain.how):
            self._park(e, drain)
        elif e.at_rest:
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


def numbered(name: str, place: int) -> str:
    """Return the id of the lock at `place` of a group; the first one has the plain name."""
    return f"{name}_{place}" if place else name


def _lets_finish(e: Equipment) -> bool:
    return e.drain is not None and e.drain.how is How.FINISH and not e.drain.parking


def _sessions_of(e: Equipment) -> Iterable[SessionId]:
    if not e.queue and not e.observers:
        return () if e.lock is None else (e.lock.session,)
    found = dict.fromkeys(x.session for x in e.queue)
    found.update(dict.fromkeys(o.session for o in e.observers))
    if e.lock is not None:
        found[e.lock.session] = None
    return found

"""How an event changes the table. No policy lives here: whatever is told has happened."""

from __future__ import annotations

from msgspec.structs import replace

from . import messages as m
from .model import (
    HOLDS_KEPT,
    LOSSES_KEPT,
    Command,
    Equipment,
    EquipmentId,
    Lock,
    Mode,
    Outcome,
    Session,
    SessionId,
    StoppedBy,
    Table,
    Why,
)


def evolve(table: Table, event: m.Event) -> None:
    """Put the entries that `event` changes into `table`."""
    if isinstance(event, m.SessionEvent):
        _session(table, event)
        return
    assert isinstance(event, m.EquipmentEvent)
    before = table.equipment(event.equipment)
    assert before is not None
    after = _equipment(table, before, event)
    if after.queue is not before.queue or after.lock is not before.lock:
        after = _count_blocking(after, event.at)
    table.put(after)
    for session in _involved(event):
        _link(table, session, after)


def _session(table: Table, event: m.SessionEvent) -> None:
    session = event.opened if isinstance(event, m.SessionCreated) else table.session(event.session)
    assert session is not None
    match event:
        case m.SessionSeen(busy=busy):
            session = replace(session, last_seen=event.at)
            if busy is not None:
                session = replace(session, busy=busy, idle_since=event.at)
        case m.ConnectionsChanged():
            session = replace(session, feeds=event.feeds, keepers=event.keepers, disconnected_at=event.disconnected_at)
            if not session.keeper:  # its timeout stood still while the stream was open
                session = replace(session, last_seen=event.at)
        case m.SessionSuspect():
            session = replace(session, suspect=True)
        case m.SessionResumed():
            session = replace(session, suspect=False, last_seen=event.at)
        case m.SessionOver():
            table.drop(event.session)
            return
        case _:
            pass
    table.put(session)


def _equipment(table: Table, e: Equipment, event: m.EquipmentEvent) -> Equipment:
    match event:
        case m.CommandStarted(command=command):
            lock = None if e.lock is None else replace(e.lock, used_at=event.at, has_driven=True, has_arrived=False)
            return replace(e, lock=lock, running=command, accepted=_without(e, command.key))
        case m.CommandFinished():
            return _finished(table, e, event)
        case m.CommandAccepted(command=command):
            return replace(e, lock=_used(e.lock, event.at), accepted=(*e.accepted, command))
        case m.LockUsed():
            return _refresh_idle(table, e, event)
        case m.MotionChanged(moving=moving):
            return replace(e, moving=moving)
        case m.LockAcquired(lock=lock):
            return replace(e, lock=lock, fence=lock.fence, stopped_by=None)
        case m.LockRefreshed():
            assert e.lock is not None
            lock = replace(e.lock, timeout_s=event.new_timeout, used_at=event.at, claim_by=None, note=event.note)
            return replace(e, lock=lock, stopped_by=None)
        case m.LockKept(kept=kept):
            assert e.lock is not None
            return replace(e, lock=replace(e.lock, kept=kept, used_at=event.at))
        case m.LockClaimed():
            assert e.lock is not None
            return replace(e, lock=replace(e.lock, claim_by=None, used_at=event.at))
        case m.LockDraining(drain=drain):
            unasked = (replace(x, ask=None) for x in e.queue)
            e = replace(e, queue=tuple(sorted(unasked, key=lambda x: x.queue_id != drain.heir)))
            return replace(e, drain=drain, stopped_by=None)
        case m.LockEnded(loss=loss):
            losses = (*e.losses, loss)[-LOSSES_KEPT:]
            queue = tuple(sorted((replace(x, ask=None) for x in e.queue), key=lambda x: -x.priority))
            held = () if loss.why is Why.UNCLAIMED else (event.duration_seconds,)
            e = replace(e, lock=None, drain=None, stopped_by=None, losses=losses)
            return replace(e, queue=queue, holds_s=(*e.holds_s, *held)[-HOLDS_KEPT:])
        case m.ObserverAcquired(observing=observing):
            others = tuple(o for o in e.observers if o.session != observing.session)
            return replace(e, observers=(*others, observing))
        case m.ObserverEnded():
            return replace(e, observers=tuple(o for o in e.observers if o.session != event.session))
        case m.Queued(entry=entry):
            heir = None if e.drain is None else e.drain.heir
            return replace(e, queue=tuple(sorted((*e.queue, entry), key=lambda x: (x.queue_id != heir, -x.priority))))
        case m.QueueLeft(queue_id=queue_id):
            left = (x for x in e.queue if x.queue_id != queue_id)
            return replace(e, queue=tuple(replace(x, swap_with=_unless(x.swap_with, queue_id)) for x in left))
        case m.SwapOffered(queue_id=queue_id, partner=partner):
            return _with_entry(e, queue_id, swap_with=partner)
        case m.QueueSwapped():
            return _swapped(e, event)
        case m.AskChanged(queue_id=queue_id, ask=ask):
            return _with_entry(e, queue_id, ask=ask)
        case m.Stopped():
            return _stopped(e, event)
        case m.Resumed():
            return replace(e, stopped_by=None, lock=_used(e.lock, event.at))
        case m.Faulted(reason=reason):
            return replace(e, fault=reason, fault_at=event.at)
        case m.FenceRaised(fence=fence):
            return replace(e, fence=fence, lock=None if e.lock is None else replace(e.lock, fence=fence))
        case m.FaultCleared():
            return replace(e, fault=None, fault_at=None)
        case m.ClocksRestarted():
            return _restart_clocks(e, event.at)
        case _:
            return e


def _finished(table: Table, e: Equipment, event: m.CommandFinished) -> Equipment:
    session = table.session(event.session) if event.session is not None else None
    if session is not None and not session.keeper:
        table.put(replace(session, last_seen=event.at))
    lock = e.lock if e.lock is None or e.lock.session != event.session else _used(e.lock, event.at)
    if e.running is not None and e.running.key == event.key:
        parked = e.drain is not None and e.drain.parking
        if lock is not None and lock.fence == e.running.fence:
            lock = replace(lock, has_arrived=event.outcome is Outcome.DONE and not parked)
        return replace(e, lock=lock, running=None, moving=event.moving)
    return replace(e, lock=lock, accepted=_without(e, event.key))


def _with_entry(e: Equipment, queue_id: str, **changes: object) -> Equipment:
    return replace(e, queue=tuple(replace(x, **changes) if x.queue_id == queue_id else x for x in e.queue))


def _unless(text: str | None, other: str) -> str | None:
    return None if text == other else text


def _swapped(e: Equipment, event: m.QueueSwapped) -> Equipment:
    one, other = e.place(event.queue_id), e.place(event.partner)
    assert one is not None
    assert other is not None
    moved = {
        one.queue_id: replace(other, priority=one.priority, at=one.at, swap_with=None),
        other.queue_id: replace(one, priority=other.priority, at=other.at, swap_with=None),
    }
    drain = e.drain
    if drain is not None and drain.heir in moved:  # whoever has the heir's place is given the lock
        drain = replace(drain, heir=moved[drain.heir].queue_id)
    return replace(e, drain=drain, queue=tuple(moved.get(x.queue_id, x) for x in e.queue))


def _without(e: Equipment, key: str) -> tuple[Command, ...]:
    return tuple(c for c in e.accepted if c.key != key)


def _used(lock: Lock | None, at: float) -> Lock | None:
    return None if lock is None else replace(lock, used_at=at)


def _refresh_idle(table: Table, e: Equipment, event: m.LockUsed) -> Equipment:
    session = None if event.session is None else table.session(event.session)
    if session is not None:
        table.put(replace(session, last_seen=event.at))
    if e.lock is not None and e.lock.session == event.session:
        return replace(e, lock=_used(e.lock, event.at))
    observers = tuple(replace(o, used_at=event.at) if o.session == event.session else o for o in e.observers)
    return replace(e, observers=observers)


def _stopped(e: Equipment, event: m.Stopped) -> Equipment:
    stop = e.stopped_by
    if event.blocks:
        stop = StoppedBy(session=event.session, user=event.by or "the authority", at=event.at, reason=event.reason)
    drain = e.drain
    if drain is not None and event.delivered:
        drain = replace(drain, stop_owed=False)
    lock = None if e.lock is None else replace(e.lock, has_arrived=False)
    return replace(e, lock=lock, moving=event.moving, stopped_by=stop, drain=drain)


def _restart_clocks(e: Equipment, at: float) -> Equipment:
    lock, drain = e.lock, e.drain
    if lock is not None:
        claim_by = None if lock.claim_by is None else at + e.policy.claim_seconds
        lock = replace(lock, used_at=at, claim_by=claim_by, blocked_s=0.0, blocking_since=None)
    if drain is not None:
        limit = e.policy.stop_seconds if drain.how == "stop" else e.policy.finish_seconds
        drain = replace(drain, deadline=at + limit)
    observers = tuple(replace(o, used_at=at) for o in e.observers)
    queue = tuple(x if x.ask is None else replace(x, ask=replace(x.ask, due=at + x.ask.seconds)) for x in e.queue)
    return _count_blocking(replace(e, lock=lock, drain=drain, observers=observers, queue=queue, accepted=()), at)


def restarted(session: Session, at: float) -> Session:
    """Return a stored session as it starts in a new run of the authority: every clock in full, no connection yet."""
    fresh = replace(session, last_seen=at, idle_since=at, feeds=0, keepers=0, disconnected_at=None)
    return replace(fresh, busy=False, suspect=False)


def _count_blocking(e: Equipment, at: float) -> Equipment:
    """Keep the turn clock: it runs while an entry blocked by this lock waits."""
    if e.lock is None:
        return e
    holder, apart = e.lock.session, e.policy.observers == "apart"
    blocked = any(x.session != holder and (x.mode is Mode.EXCLUSIVE or apart) for x in e.queue)
    if blocked and e.lock.blocking_since is None:
        return replace(e, lock=replace(e.lock, blocking_since=at))
    if not blocked and e.lock.blocking_since is not None:
        spent = e.lock.blocked_s + at - e.lock.blocking_since
        return replace(e, lock=replace(e.lock, blocking_since=None, blocked_s=spent))
    return e


def _involved(event: m.EquipmentEvent) -> tuple[SessionId, ...]:
    match event:
        case m.LockAcquired() | m.ObserverAcquired() | m.Queued():
            pass
        case m.LockEnded() | m.ObserverEnded() | m.QueueLeft() | m.CommandFinished():
            pass
        case _:
            return ()
    return () if event.session is None else (event.session,)


def _link(table: Table, session_id: SessionId, e: Equipment) -> None:
    """Keep the session's list of what it holds, watches, waits for or has a command in."""
    session = table.session(session_id)
    if session is None:
        return
    mine = (
        (e.lock is not None and e.lock.session == session_id)
        or e.observer(session_id) is not None
        or e.entry(session_id) is not None
        or (e.running is not None and e.running.session == session_id)
    )
    known: tuple[EquipmentId, ...] = session.equipment
    if mine and e.id not in known:
        table.put(replace(session, equipment=(*known, e.id)))
    elif not mine and e.id in known:
        table.put(replace(session, equipment=tuple(x for x in known if x != e.id)))

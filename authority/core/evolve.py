"""How an event changes the table. No policy lives here: an event has happened, whatever it says."""

from __future__ import annotations

from msgspec.structs import replace

from . import messages
from .model import (
    HOLDS_KEPT,
    LOSSES_KEPT,
    Command,
    Equipment,
    EquipmentId,
    Lock,
    LockMode,
    LossCause,
    Outcome,
    QueueEntry,
    Session,
    SessionId,
    StoppedBy,
    Table,
    queue_order,
)


def evolve(table: Table, event: messages.Event) -> None:
    """Put the entries that `event` changes into `table`."""
    if isinstance(event, messages.SessionEvent):
        _session(table, event)
        return
    assert isinstance(event, messages.EquipmentEvent)
    before = table.equipment(event.equipment)
    assert before is not None
    after = _equipment(table, before, event)
    if after.queue is not before.queue or after.lock is not before.lock:
        after = _count_blocking(after, event.at)
    table.put(after)
    for session in _linked_sessions(event):
        _link(table, session, after)


def _session(table: Table, event: messages.SessionEvent) -> None:
    session = event.opened if isinstance(event, messages.SessionCreated) else table.session(event.session)
    assert session is not None
    match event:
        case messages.SessionSeen(busy=busy):
            session = replace(session, last_seen=event.at)
            if busy is not None:
                session = replace(session, busy=busy, idle_since=event.at)
        case messages.ConnectionsChanged():
            session = replace(session, feeds=event.feeds, keepers=event.keepers, disconnected_at=event.disconnected_at)
            if not session.keeper:  # its timeout stood still while the stream was open
                session = replace(session, last_seen=event.at)
        case messages.SessionSuspect():
            session = replace(session, suspect=True)
        case messages.SessionResumed():
            session = replace(session, suspect=False, last_seen=event.at)
        case messages.SessionOver():
            table.drop(event.session)
            return
        case _:
            pass
    table.put(session)


def _equipment(table: Table, equipment: Equipment, event: messages.EquipmentEvent) -> Equipment:
    """Return the equipment after `event`, of commands and motion here, of lock and queue below."""
    match event:
        case messages.CommandStarted(command=command):
            lock = None
            if equipment.lock is not None:
                lock = replace(equipment.lock, used_at=event.at, has_driven=True, has_arrived=False)
            return replace(equipment, lock=lock, running=command, accepted=_without_command(equipment, command.key))
        case messages.CommandFinished():
            return _finished(table, equipment, event)
        case messages.CommandAccepted(command=command):
            return replace(
                equipment, lock=_restart_idle_clock(equipment.lock, event.at), accepted=(*equipment.accepted, command)
            )
        case messages.LockUsed():
            return _refresh_idle(table, equipment, event)
        case messages.MotionChanged(moving=moving):
            return replace(equipment, moving=moving)
        case messages.Stopped():
            return _stopped(equipment, event)
        case messages.Resumed():
            return replace(equipment, stopped_by=None, lock=_restart_idle_clock(equipment.lock, event.at))
        case messages.Faulted(reason=reason):
            return replace(equipment, fault=reason, fault_at=event.at)
        case messages.FaultCleared():
            return replace(equipment, fault=None, fault_at=None)
        case messages.ClocksRestarted():
            return _restart_clocks(equipment, event.at)
        case _:
            return _lock(equipment, event)


def _lock(equipment: Equipment, event: messages.EquipmentEvent) -> Equipment:
    match event:
        case messages.LockAcquired(lock=lock):
            return replace(equipment, lock=lock, fence=lock.fence, stopped_by=None)
        case messages.LockRefreshed():
            refreshed = _changed_lock(
                equipment, timeout_s=event.new_timeout, used_at=event.at, claim_by=None, note=event.note
            )
            return replace(refreshed, stopped_by=None)
        case messages.LockKept(kept=kept):
            return _changed_lock(equipment, kept=kept, used_at=event.at)
        case messages.LockClaimed():
            return _changed_lock(equipment, claim_by=None, used_at=event.at)
        case messages.LockDraining(drain=drain):
            unasked = (replace(entry, ask=None) for entry in equipment.queue)
            queue = tuple(sorted(unasked, key=lambda entry: entry.queue_id != drain.heir))
            return replace(equipment, queue=queue, drain=drain, stopped_by=None)
        case messages.LockEnded(loss=loss):
            queue = tuple(sorted((replace(x, ask=None) for x in equipment.queue), key=queue_order))
            losses = (*equipment.losses, loss)[-LOSSES_KEPT:]
            holds_s = equipment.holds_s
            if loss.why is not LossCause.UNCLAIMED:
                holds_s = (*holds_s, event.duration_seconds)[-HOLDS_KEPT:]
            ended = replace(equipment, lock=None, drain=None, stopped_by=None)
            return replace(ended, queue=queue, losses=losses, holds_s=holds_s)
        case messages.FenceRaised(fence=fence):
            raised = replace(equipment, fence=fence)
            if raised.lock is None:
                return raised
            return _changed_lock(raised, fence=fence)
        case _:
            return _queue(equipment, event)


def _queue(equipment: Equipment, event: messages.EquipmentEvent) -> Equipment:
    match event:
        case messages.ObserverAcquired(observing=observing):
            others = tuple(o for o in equipment.observers if o.session != observing.session)
            return replace(equipment, observers=(*others, observing))
        case messages.ObserverEnded():
            return replace(equipment, observers=tuple(o for o in equipment.observers if o.session != event.session))
        case messages.Queued(entry=entry):
            heir = None
            if equipment.drain is not None:
                heir = equipment.drain.heir
            queue = sorted((*equipment.queue, entry), key=lambda one: (one.queue_id != heir, queue_order(one)))
            return replace(equipment, queue=tuple(queue))
        case messages.QueueLeft(queue_id=queue_id):
            left = (x for x in equipment.queue if x.queue_id != queue_id)
            unpaired = tuple(replace(x, swap_with=None) if x.swap_with == queue_id else x for x in left)
            return replace(equipment, queue=unpaired)
        case messages.SwapOffered(queue_id=queue_id, partner=partner):
            return _with_entry(equipment, queue_id, swap_with=partner)
        case messages.QueueSwapped():
            return _swapped(equipment, event)
        case messages.AskChanged(queue_id=queue_id, ask=ask):
            return _with_entry(equipment, queue_id, ask=ask)
        case _:
            return equipment


def _changed_lock(equipment: Equipment, **changes: object) -> Equipment:
    assert equipment.lock is not None
    return replace(equipment, lock=replace(equipment.lock, **changes))


def _finished(table: Table, equipment: Equipment, event: messages.CommandFinished) -> Equipment:
    session = None
    if event.session is not None:
        session = table.session(event.session)
    if session is not None and not session.keeper:
        table.put(replace(session, last_seen=event.at))
    if equipment.lock is None or equipment.lock.session != event.session:
        lock = equipment.lock
    else:
        lock = _restart_idle_clock(equipment.lock, event.at)
    if equipment.running is not None and equipment.running.key == event.key:
        parked = equipment.drain is not None and equipment.drain.parking
        if lock is not None and lock.fence == equipment.running.fence:
            lock = replace(lock, has_arrived=event.outcome is Outcome.DONE and not parked)
        return replace(equipment, lock=lock, running=None, moving=event.moving)
    return replace(equipment, lock=lock, accepted=_without_command(equipment, event.key))


def _with_entry(equipment: Equipment, queue_id: str, **changes: object) -> Equipment:
    return replace(
        equipment, queue=tuple(replace(x, **changes) if x.queue_id == queue_id else x for x in equipment.queue)
    )


def _swapped(equipment: Equipment, event: messages.QueueSwapped) -> Equipment:
    one = equipment.place(event.queue_id)
    other = equipment.place(event.partner)
    assert one is not None
    assert other is not None
    moved = {
        one.queue_id: replace(other, priority=one.priority, at=one.at, swap_with=None),
        other.queue_id: replace(one, priority=other.priority, at=other.at, swap_with=None),
    }
    drain = equipment.drain
    if drain is not None and drain.heir in moved:  # whoever has the heir's place is given the lock
        drain = replace(drain, heir=moved[drain.heir].queue_id)
    return replace(equipment, drain=drain, queue=tuple(moved.get(x.queue_id, x) for x in equipment.queue))


def _without_command(equipment: Equipment, key: str) -> tuple[Command, ...]:
    return tuple(c for c in equipment.accepted if c.key != key)


def _restart_idle_clock(lock: Lock | None, at: float) -> Lock | None:
    if lock is None:
        return None
    return replace(lock, used_at=at)


def _refresh_idle(table: Table, equipment: Equipment, event: messages.LockUsed) -> Equipment:
    session = None
    if event.session is not None:
        session = table.session(event.session)
    if session is not None:
        table.put(replace(session, last_seen=event.at))
    if equipment.lock is not None and equipment.lock.session == event.session:
        return replace(equipment, lock=_restart_idle_clock(equipment.lock, event.at))
    observers = tuple(replace(o, used_at=event.at) if o.session == event.session else o for o in equipment.observers)
    return replace(equipment, observers=observers)


def _stopped(equipment: Equipment, event: messages.Stopped) -> Equipment:
    stop = equipment.stopped_by
    if event.blocks:
        stop = StoppedBy(session=event.session, user=event.by or "the authority", at=event.at, reason=event.reason)
    drain = equipment.drain
    if drain is not None and event.delivered:
        drain = replace(drain, stop_owed=False)
    lock = None
    if equipment.lock is not None:
        lock = replace(equipment.lock, has_arrived=False)
    return replace(equipment, lock=lock, moving=event.moving, stopped_by=stop, drain=drain)


def _restart_ask_clock(entry: QueueEntry, at: float) -> QueueEntry:
    if entry.ask is None:
        return entry
    return replace(entry, ask=replace(entry.ask, due=at + entry.ask.seconds))


def _restart_clocks(equipment: Equipment, at: float) -> Equipment:
    lock = equipment.lock
    drain = equipment.drain
    if lock is not None:
        claim_by = None
        if lock.claim_by is not None:
            claim_by = at + equipment.policy.claim_seconds
        lock = replace(lock, used_at=at, claim_by=claim_by, blocked_s=0.0, blocking_since=None)
    if drain is not None:
        if drain.how == "stop":
            limit = equipment.policy.stop_seconds
        else:
            limit = equipment.policy.finish_seconds
        drain = replace(drain, deadline=at + limit)
    observers = tuple(replace(o, used_at=at) for o in equipment.observers)
    queue = tuple(_restart_ask_clock(entry, at) for entry in equipment.queue)
    return _count_blocking(
        replace(equipment, lock=lock, drain=drain, observers=observers, queue=queue, accepted=()), at
    )


def session_after_restart(session: Session, at: float) -> Session:
    """Return a stored session as it starts in a new run of the authority: every clock in full, no connection yet."""
    fresh = replace(session, last_seen=at, idle_since=at, feeds=0, keepers=0, disconnected_at=None)
    return replace(fresh, busy=False, suspect=False)


def _count_blocking(equipment: Equipment, at: float) -> Equipment:
    """Keep the turn clock: it runs while an entry blocked by this lock waits."""
    if equipment.lock is None:
        return equipment
    holder = equipment.lock.session
    apart = equipment.policy.observers == "apart"
    blocked = any(x.session != holder and (x.mode is LockMode.EXCLUSIVE or apart) for x in equipment.queue)
    if blocked and equipment.lock.blocking_since is None:
        return replace(equipment, lock=replace(equipment.lock, blocking_since=at))
    if not blocked and equipment.lock.blocking_since is not None:
        spent = equipment.lock.blocked_s + at - equipment.lock.blocking_since
        return replace(equipment, lock=replace(equipment.lock, blocking_since=None, blocked_s=spent))
    return equipment


def _linked_sessions(event: messages.EquipmentEvent) -> tuple[SessionId, ...]:
    match event:
        case messages.LockAcquired() | messages.ObserverAcquired() | messages.Queued():
            pass
        case messages.LockEnded() | messages.ObserverEnded() | messages.QueueLeft() | messages.CommandFinished():
            pass
        case _:
            return ()
    if event.session is None:
        return ()
    return (event.session,)


def _link(table: Table, session_id: SessionId, equipment: Equipment) -> None:
    """Keep the session's list of what it holds, watches, waits for or has a command in."""
    session = table.session(session_id)
    if session is None:
        return
    mine = (
        (equipment.lock is not None and equipment.lock.session == session_id)
        or equipment.observer(session_id) is not None
        or equipment.entry(session_id) is not None
        or (equipment.running is not None and equipment.running.session == session_id)
    )
    known: tuple[EquipmentId, ...] = session.equipment
    if mine and equipment.id not in known:
        table.put(replace(session, equipment=(*known, equipment.id)))
    elif not mine and equipment.id in known:
        table.put(replace(session, equipment=tuple(x for x in known if x != equipment.id)))

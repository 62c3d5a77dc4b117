"""The rules of acquiring: what is granted at once, who waits, and what is refused."""

from __future__ import annotations

from typing import NamedTuple

from . import messages, refusals, waiting
from .control import claim
from .model import Equipment, EquipmentId, LockMode, LossCause, QueueEntry, SessionId, queue_order
from .step import Step, group_lock_id, how_to_rest

QUEUE_LIMIT = 100


def acquire(step: Step, request: messages.Acquire) -> None:
    """Grant a lock, refresh it, give a place in the queue, or refuse."""
    session = step.session(request.session)
    names = request.group or (request.equipment,)
    missing = tuple(x for x in names if not step.equipment(x).holds(session.id)) or names
    if len(missing) > 1:
        group = missing
    else:
        group = ()
    want = QueueEntry(
        queue_id=request.queue_id,
        session=session.id,
        user=session.user,
        user_verified=session.user_verified,
        client_name=session.client_name,
        mode=request.mode,
        timeout_s=request.timeout_s,
        at=step.now,
        note=request.note,
        priority=request.priority,
        group=group,
    )
    if request.mode is LockMode.OBSERVER:
        _acquire_observer(step, request, want, names, missing)
    elif step.equipment(missing[0]).holds(session.id):
        _refresh(step, request, names)
    else:
        _acquire_exclusive(step, request, want, missing)


def refuse_deadlock(step: Step, session: SessionId) -> None:
    """Refuse what has just happened in this step if `session` would wait for itself."""
    cycle = waiting.deadlock_cycle(step.table, session)
    if cycle:
        raise refusals.WouldDeadlock(step.equipment(cycle[0].equipment), cycle)


class _HeldLock(NamedTuple):
    """The lock of one wanted piece of equipment, as it stood before anything ended."""

    equipment: EquipmentId
    yields_for: LossCause | None  # why it passes to who wants it; None: it does not
    passes_at_once: bool  # nothing has to come to rest before it ends


def _acquire_exclusive(
    step: Step, request: messages.Acquire, want: QueueEntry, missing: tuple[EquipmentId, ...]
) -> None:
    _refuse_fault(step, missing)
    held = _held_locks(step, missing)
    if request.wait or all(lock.passes_at_once for lock in held):
        _end_if_all_yield(step, held, by=want.user)
    in_the_way = _first_in_the_way(held)
    if in_the_way is not None:
        _wait_or_refuse(step, request, step.equipment(in_the_way.equipment), want, missing)
        return
    _refuse_another_entry(step, want.session, missing)
    if request.wait and _waits_already(step, want, missing):
        return  # it is kept from passing a group, and waits until it may
    _grant_at_once(step, request, want, missing)
    refuse_deadlock(step, request.session)
    _refresh(step, request, tuple(name for name in request.group if name not in missing))


def _refuse_fault(step: Step, names: tuple[EquipmentId, ...]) -> None:
    for name in names:
        equipment = step.equipment(name)
        if equipment.fault is not None:
            raise refusals.EquipmentAtFault(equipment)


def _held_locks(step: Step, names: tuple[EquipmentId, ...]) -> list[_HeldLock]:
    held = []
    for name in names:
        equipment = step.equipment(name)
        if equipment.lock is None:
            continue
        why = waiting.yield_reason(step.table, equipment, step.now)
        parks_first = why is not None and equipment.parks(how_to_rest(equipment, why))
        held.append(_HeldLock(name, why, passes_at_once=equipment.at_rest and not parks_first))
    return held


def _end_if_all_yield(step: Step, held: list[_HeldLock], *, by: str) -> None:
    """End the held locks; where one of them does not yield, the others stay too."""
    if any(lock.yields_for is None for lock in held):
        return
    for lock in held:
        assert lock.yields_for is not None
        step.end_lock(lock.equipment, lock.yields_for, by=by)


def _first_in_the_way(held: list[_HeldLock]) -> _HeldLock | None:
    """Return a lock that does not yield, or else one that yields only after some time."""
    for lock in held:
        if lock.yields_for is None:
            return lock
    for lock in held:
        if not lock.passes_at_once:
            return lock
    return None


def _waits_already(step: Step, want: QueueEntry, names: tuple[EquipmentId, ...]) -> bool:
    own = step.equipment(names[0]).entry(want.session)
    return own is not None and set(own.group) == set(want.group)


def _grant_at_once(step: Step, request: messages.Acquire, want: QueueEntry, names: tuple[EquipmentId, ...]) -> None:
    for place, name in enumerate(names):
        own = step.equipment(name).entry(want.session)
        if own is not None and set(own.group) <= set(names):
            step.leave_queue(name, own, "direct")
        step.grant(name, want, group_lock_id(request.lock_id, place), from_queue=False)


def _wait_or_refuse(
    step: Step, request: messages.Acquire, equipment: Equipment, want: QueueEntry, names: tuple[EquipmentId, ...]
) -> None:
    if not request.wait:
        raise refusals.EquipmentInUse(equipment)
    _refuse_another_entry(step, want.session, names)
    if step.equipment(names[0]).entry(want.session) is not None:
        return
    for name in names:
        _make_room(step, step.equipment(name))
    for name in names:
        equipment = step.equipment(name)
        heir = None
        if equipment.drain is not None:
            heir = equipment.drain.heir
        position = 1 + sum(1 for x in equipment.queue if queue_order(x) <= queue_order(want) or x.queue_id == heir)
        step.emit_for(messages.Queued, name, want, entry=want, position=position)
    refuse_deadlock(step, request.session)


def _make_room(step: Step, equipment: Equipment) -> None:
    """Let the entry that was silent longest leave a full queue; refuse where nobody in it is silent."""
    if len(equipment.queue) < QUEUE_LIMIT:
        return
    silent_since = {}
    for entry in equipment.queue:
        session = step.session(entry.session)
        if session.suspect:
            silent_since[entry] = session.last_seen
    if not silent_since:
        raise refusals.QueueFull(equipment)
    step.leave_all(equipment.id, min(silent_since, key=silent_since.__getitem__), "silent")


def _refuse_another_entry(step: Step, session: SessionId, names: tuple[EquipmentId, ...]) -> None:
    """Refuse a group of which a part is waited for in another entry; in the same one, its order does not matter."""
    if len(names) == 1:
        return
    for name in names:
        equipment = step.equipment(name)
        own = equipment.entry(session)
        if own is not None and not equipment.holds(session) and set(own.group) != set(names):
            raise refusals.AlreadyWaiting(equipment)


def _refresh(step: Step, request: messages.Acquire, names: tuple[EquipmentId, ...]) -> None:
    for name in names:
        claim(step, step.equipment(name))
        lock = step.equipment(name).lock
        assert lock is not None
        if request.note is None:
            note = lock.note
        else:
            note = request.note
        step.emit_for(
            messages.LockRefreshed, name, lock, lock_id=lock.lock_id, new_timeout=request.timeout_s, note=note
        )


def _acquire_observer(
    step: Step,
    request: messages.Acquire,
    want: QueueEntry,
    names: tuple[EquipmentId, ...],
    missing: tuple[EquipmentId, ...],
) -> None:
    for name in missing:
        equipment = step.equipment(name)
        if waiting.is_blocked(equipment, want):
            _wait_or_refuse(step, request, equipment, want, missing)
            return
    _refuse_another_entry(step, want.session, missing)
    for name in names:
        equipment = step.equipment(name)
        if equipment.holds(want.session):
            if any(
                x.mode is LockMode.EXCLUSIVE and x.session != want.session
                for x in waiting.awake_entries(step.table, equipment)
            ):
                raise refusals.WaitersPresent(equipment)
            if not equipment.at_rest:
                raise refusals.NotAtRest(equipment)
            step.end_lock(name, LossCause.DOWNGRADED)
        own = equipment.entry(want.session)
        if own is not None and own.mode is LockMode.OBSERVER and set(own.group) <= set(names):
            step.leave_all(name, own, "direct")
        step.observe(name, want)

"""The rules of the lock: what each request causes, decided on the newest state at the time `now`.

What ended before `now` ends first, so a late timer never lets an expired holder in. A refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from . import messages, refusals, waiting
from .control import (
    accept_control,
    accept_observe,
    claim,
    clear_fault,
    finish_command,
    raise_fence,
    record_motion,
    recover_after_restart,
    require_holder,
    resume,
    stop,
)
from .model import (
    QUEUE_LIMIT,
    Equipment,
    EquipmentId,
    HolderAsk,
    KeepPromise,
    LockMode,
    LossCause,
    QueueEntry,
    RestMethod,
    Role,
    Session,
    SessionId,
    Table,
)
from .step import Step, group_lock_id, how_to_rest


def decide(table: Table, request: messages.Request, now: float) -> tuple[messages.Event, ...]:
    """Return the events that `request` causes at `now`, or raise a `Refusal`. Changes nothing."""
    return tuple(compute_step(table, request, now).events)


def compute_step(table: Table, request: messages.Request, now: float) -> Step:
    """Decide as `decide` does, and return the step: its events, and the overlay that `Table.absorb` takes over."""
    step = Step(table, now)
    session = getattr(request, "session", None)
    equipment = getattr(request, "equipment", None)
    if isinstance(request, messages.Acquire):
        group = request.group
    else:
        group = ()
    if not isinstance(request, messages.Recover):
        step.mark_touched(*group)
        step.apply_due(SessionId(session) if isinstance(session, str) else None, equipment)
    if isinstance(request, messages.Stop | messages.ForceRelease):  # anybody's, but who has a session has spoken
        speaker = None
        if session is not None:
            speaker = step.table.session(session)
    elif isinstance(request, messages.SessionRequest) and not isinstance(
        request, messages.EndSession | messages.DetachConnection
    ):
        speaker = step.session(request.session)
    else:
        speaker = None
    if speaker is not None:
        _record_sign_of_life(step, speaker, request)
    if (rule := _RULES[type(request)]) is not None:
        rule(step, request)
    if equipment is not None and not all(
        isinstance(event, messages.LockUsed | messages.SessionSeen) for event in step.events
    ):
        step.mark_touched(equipment, *group)
    step.apply_touched()
    return step


# -- sessions


def _record_sign_of_life(step: Step, session: Session, request: messages.Request) -> None:
    if session.suspect:
        step.emit(messages.SessionResumed(at=step.now, session=session.id, user=session.user))
        step.mark_touched(*session.equipment)
        step.apply_touched()
    if isinstance(request, messages.Observe | messages.NoteActivity):
        return  # their `LockUsed` says it too
    busy = None
    if isinstance(request, messages.SignOfLife) and request.busy != session.busy:
        busy = request.busy
    step.emit(messages.SessionSeen(at=step.now, session=session.id, busy=busy))


def _change_connections(step: Step, request: messages.AttachConnection | messages.DetachConnection) -> None:
    session = step.table.session(request.session)
    if session is None:
        return
    if isinstance(request, messages.AttachConnection):
        change = 1
    else:
        change = -1
    feeds = session.feeds
    keepers = session.keepers
    if request.role is Role.FEED:
        feeds += change
    elif request.role is Role.KEEPER:
        keepers += change
    ours = isinstance(request, messages.DetachConnection) and request.ours
    lost = None
    if feeds == keepers == 0 and not ours:
        lost = step.now
    step.emit(
        messages.ConnectionsChanged(at=step.now, session=session.id, feeds=feeds, keepers=keepers, disconnected_at=lost)
    )


# -- locks


def _acquire(step: Step, request: messages.Acquire) -> None:
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
    _refuse_deadlock(step, request.session)
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
        position = 1 + sum(1 for x in equipment.queue if x.priority >= want.priority or x.queue_id == heir)
        step.emit_for(messages.Queued, name, want, entry=want, position=position)
    _refuse_deadlock(step, request.session)


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


def _refuse_deadlock(step: Step, session: SessionId) -> None:
    """Refuse what has just happened in this step if `session` would wait for itself."""
    cycle = waiting.deadlock_cycle(step.table, session)
    if cycle:
        raise refusals.WouldDeadlock(step.equipment(cycle[0].equipment), cycle)


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


def _release(step: Step, request: messages.Release) -> None:
    equipment = step.equipment(request.equipment)
    observing = equipment.observer(request.session)
    if equipment.holds(request.session):
        how = None
        if request.stop:
            how = RestMethod.STOP
        step.end_lock(equipment.id, LossCause.LOGOUT, how=how)
    elif observing is not None:
        step.emit_for(messages.ObserverEnded, equipment.id, observing, why=LossCause.LOGOUT)
    elif equipment.lock is not None and equipment.lock.session != request.session:
        raise refusals.NotHolder(equipment)
    else:
        raise refusals.NoLock(equipment)


def _force_release(step: Step, request: messages.ForceRelease) -> None:
    equipment = step.equipment(request.equipment)
    if equipment.lock is None or equipment.drain is not None:
        raise refusals.NoLock(equipment)
    step.end_lock(equipment.id, LossCause.FORCED, by=request.by, reason=request.reason)


def _claim(step: Step, request: messages.Claim) -> None:
    claim(step, require_holder(step, request))


def _keep_lock(step: Step, request: messages.Keep) -> None:
    equipment = require_holder(step, request)
    assert equipment.lock is not None
    if equipment.policy.max_keep_seconds is not None and request.seconds > equipment.policy.max_keep_seconds:
        raise refusals.KeepTooLong(equipment)
    claim(step, equipment)
    kept = None
    if request.seconds > 0:
        kept = KeepPromise(until=step.now + request.seconds, note=request.note)
    step.emit_for(messages.LockKept, equipment.id, equipment.lock, lock_id=equipment.lock.lock_id, kept=kept)


def _activity(step: Step, request: messages.NoteActivity) -> None:
    equipment = step.equipment(request.equipment)
    if not equipment.holds(request.session) and equipment.observer(request.session) is None:
        raise refusals.NoLock(equipment)
    if equipment.holds(request.session):
        claim(step, equipment)
    step.emit(messages.LockUsed(at=step.now, equipment=equipment.id, session=request.session))


# -- those who wait


def _queue_entry_of(step: Step, request: messages.LockRequest) -> tuple[Equipment, QueueEntry]:
    equipment = step.equipment(request.equipment)
    entry = equipment.entry(request.session)
    if entry is None:
        raise refusals.UnknownEntry(equipment)
    return equipment, entry


def _leave_queue(step: Step, request: messages.LeaveQueue) -> None:
    equipment, entry = _queue_entry_of(step, request)
    if entry.queue_id != request.queue_id:
        raise refusals.UnknownEntry(equipment)
    step.leave_all(equipment.id, entry, "left")


def _offer_swap(step: Step, request: messages.OfferSwap) -> None:
    equipment, mine = _queue_entry_of(step, request)
    other = equipment.place(request.partner)
    if request.partner is not None and other is None:
        raise refusals.UnknownEntry(equipment)
    if other is not None and (other is mine or mine.group or other.group):
        raise refusals.CannotSwap(equipment)
    if other is None or other.swap_with != mine.queue_id:
        step.emit_for(messages.SwapOffered, equipment.id, mine, queue_id=mine.queue_id, partner=request.partner)
        return
    step.emit_for(
        messages.QueueSwapped, equipment.id, mine, queue_id=mine.queue_id, partner=other.queue_id, by=other.user
    )
    _refuse_deadlock(step, mine.session)
    _refuse_deadlock(step, other.session)


def _ask_holder(step: Step, request: messages.AskHolder) -> None:
    equipment, entry = _queue_entry_of(step, request)
    if entry.mode is not LockMode.EXCLUSIVE:
        raise refusals.UnknownEntry(equipment)
    if equipment.lock is None or equipment.drain is not None:
        raise refusals.NoLock(equipment)
    ask = HolderAsk(at=step.now, due=step.now + request.seconds, seconds=request.seconds, reason=request.reason)
    step.emit_for(
        messages.AskChanged, equipment.id, entry, holder=equipment.lock.user, queue_id=entry.queue_id, ask=ask
    )


def _answer_ask(step: Step, request: messages.AnswerAsk) -> None:
    equipment = step.equipment(request.equipment)
    if equipment.lock is None or not equipment.holds(request.session):
        raise refusals.NotHolder(equipment)
    entry = equipment.place(request.queue_id)
    if entry is None or entry.ask is None or entry.ask.answer == "no":
        raise refusals.UnknownAsk(equipment)
    if request.answer == "yield":
        _hand_over_to(step, equipment, entry)
        return
    promised = None
    if request.answer == "later":
        promised = step.now + request.seconds
    ask = replace(entry.ask, answer=request.answer, promised_at=promised, note=request.note)
    step.emit_for(
        messages.AskChanged, equipment.id, entry, holder=equipment.lock.user, queue_id=entry.queue_id, ask=ask
    )


def _hand_over(step: Step, request: messages.HandOver) -> None:
    equipment = step.equipment(request.equipment)
    if not equipment.holds(request.session):
        raise refusals.NotHolder(equipment)
    named = [
        x for x in equipment.queue if x.mode is LockMode.EXCLUSIVE and request.to in (x.user, x.session, x.queue_id)
    ]
    if not named:
        raise refusals.UnknownEntry(equipment)
    if len(named) > 1:
        raise refusals.Ambiguous(equipment)
    _hand_over_to(step, equipment, named[0])


def _hand_over_to(step: Step, equipment: Equipment, heir: QueueEntry) -> None:
    assert equipment.lock is not None
    awake = list(waiting.awake_entries(step.table, equipment))
    if heir.group or heir not in awake or any(x.priority > heir.priority for x in awake):
        raise refusals.CannotHandOver(equipment)
    step.end_lock(
        equipment.id, LossCause.HANDED_OVER, by=equipment.lock.user, reason=f"to {heir.user}", heir=heir.queue_id
    )
    _refuse_deadlock(step, heir.session)


def _open_session(step: Step, request: messages.OpenSession) -> None:
    session = request.session
    step.emit(messages.SessionCreated(at=step.now, session=session.id, user=session.user, opened=session))


def _end_session(step: Step, request: messages.EndSession) -> None:
    step.end_session(step.session(request.session), request.why, reason=request.reason)


# What each request causes beyond what was due and that its session has spoken.
_RULES: dict[type[messages.Request], Callable[[Step, Any], None] | None] = {
    messages.OpenSession: _open_session,
    messages.EndSession: _end_session,
    messages.AttachConnection: _change_connections,
    messages.DetachConnection: _change_connections,
    messages.Acquire: _acquire,
    messages.Release: _release,
    messages.ForceRelease: _force_release,
    messages.Claim: _claim,
    messages.Keep: _keep_lock,
    messages.NoteActivity: _activity,
    messages.LeaveQueue: _leave_queue,
    messages.OfferSwap: _offer_swap,
    messages.AskHolder: _ask_holder,
    messages.AnswerAsk: _answer_ask,
    messages.HandOver: _hand_over,
    messages.Control: accept_control,
    messages.Observe: accept_observe,
    messages.FinishCommand: finish_command,
    messages.Stop: stop,
    messages.Resume: resume,
    messages.ClearFault: clear_fault,
    messages.MotionReport: record_motion,
    messages.RaiseFence: raise_fence,
    messages.Recover: recover_after_restart,
    messages.SignOfLife: None,
    messages.TimerTick: None,
}

"""The rules of the lock: what each request causes, decided on the newest state at the time `now`.

What ended before `now` ends first, so a late timer never lets an expired holder in. A refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from . import messages, refusals, waiting
from .acquire import acquire, refuse_deadlock
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
    use_lock,
)
from .due import apply_due, apply_touched
from .model import (
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
from .step import Step


def decide(table: Table, request: messages.Request, now: float) -> tuple[messages.Event, ...]:
    """Return the events that `request` causes at `now`, or raise a `Refusal`. Changes nothing."""
    return tuple(compute_step(table, request, now).events)


def compute_step(table: Table, request: messages.Request, now: float) -> Step:
    """Decide as `decide` does, and return the step: its events, and the overlay that `Table.absorb` takes over."""
    step = Step(table, now)
    session = getattr(request, "session", None)
    equipment = getattr(request, "equipment", None)
    group: tuple[EquipmentId, ...] = getattr(request, "group", ())
    if not isinstance(request, messages.Recover):
        step.mark_touched(*group)
        apply_due(step, SessionId(session) if isinstance(session, str) else None, equipment)
    speaker = _speaker(step, request)
    if speaker is not None:
        _record_sign_of_life(step, speaker, request)
    rule = _RULES[type(request)]
    if rule is not None:
        rule(step, request)
    if equipment is not None and not all(
        isinstance(event, messages.LockUsed | messages.SessionSeen) for event in step.events
    ):
        step.mark_touched(equipment, *group)
    apply_touched(step)
    return step


# -- sessions


def _speaker(step: Step, request: messages.Request) -> Session | None:
    """Return the session that speaks by this request, or refuse where it must live and does not."""
    if isinstance(request, messages.Stop | messages.ForceRelease):  # anybody's, but who has a session has spoken
        if request.session is None:
            return None
        return step.table.session(request.session)
    if isinstance(request, messages.EndSession | messages.DetachConnection):
        return None
    if isinstance(request, messages.SessionRequest):
        return step.session(request.session)
    return None


def _record_sign_of_life(step: Step, session: Session, request: messages.Request) -> None:
    if session.suspect:
        step.emit(messages.SessionResumed(at=step.now, session=session.id, user=session.user))
        step.mark_touched(*session.equipment)
        apply_touched(step)
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
    use_lock(step, equipment, request.session)


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
    refuse_deadlock(step, mine.session)
    refuse_deadlock(step, other.session)


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
    refuse_deadlock(step, heir.session)


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
    messages.Acquire: acquire,
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

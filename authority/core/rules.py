"""The rules of the lock: what each request causes, decided on the newest state at the time `now`.

What ended before `now` ends first, so a late timer never lets an expired holder in. A refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import messages, refusals
from .acquire import acquire
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
    EquipmentId,
    KeepPromise,
    LossCause,
    RestMethod,
    Role,
    Session,
    SessionId,
    Table,
)
from .sharing import answer_ask, ask_holder, hand_over, leave_queue, offer_swap
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
    messages.LeaveQueue: leave_queue,
    messages.OfferSwap: offer_swap,
    messages.AskHolder: ask_holder,
    messages.AnswerAsk: answer_ask,
    messages.HandOver: hand_over,
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

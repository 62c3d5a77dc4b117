"""The rules of commands, stop, motion and fault: who may move what, and what a motion's end means for the lock."""

from __future__ import annotations

from msgspec.structs import replace

from . import messages, refusals
from .model import Command, Equipment, EquipmentId, Outcome, SessionId
from .step import Step

COMMANDS_LIMIT = 100


def permit_control(equipment: Equipment, session: SessionId, fence: int | None) -> None:
    """Refuse unless `session` may drive `equipment` now, under `fence` if it names one."""
    if equipment.fault is not None:
        raise refusals.EquipmentAtFault(equipment)
    if not equipment.policy.enforce_locks:
        return
    if not equipment.holds(session):
        loss = equipment.loss(session)
        if loss is None:
            raise refusals.LockRequired(equipment)
        raise refusals.LockLost(equipment, loss)
    if fence is not None and fence != equipment.fence:
        raise refusals.LockLost(equipment, equipment.loss(session))
    if equipment.stopped_by is not None:
        raise refusals.StoppedByAnother(equipment, equipment.stopped_by)


def permit_observe(equipment: Equipment, session: SessionId) -> None:
    """Refuse unless `session` has a lock of either kind on `e`."""
    if equipment.policy.enforce_locks and not equipment.holds(session) and equipment.observer(session) is None:
        raise refusals.ObserveRequired(equipment)


def require_holder(step: Step, request: messages.LockRequest) -> Equipment:
    """Return the equipment, or refuse with how its session lost it, if it ever had it."""
    equipment = step.equipment(request.equipment)
    if equipment.holds(request.session):
        return equipment
    loss = equipment.loss(request.session)
    if loss is None:
        raise refusals.NoLock(equipment)
    raise refusals.LockLost(equipment, loss)


def claim(step: Step, equipment: Equipment) -> None:
    """Take up a grant from the queue, all of it, if that is still to be done."""
    lock = equipment.lock
    if lock is None or lock.claim_by is None:
        return
    for name in lock.group or (equipment.id,):
        granted = step.equipment(name).lock
        if granted is None or granted.session != lock.session or granted.group != lock.group:
            continue  # given back, and perhaps granted anew
        if granted.claim_by is not None:
            step.emit_for(messages.LockClaimed, name, granted, lock_id=granted.lock_id)


def accept_control(step: Step, request: messages.Control) -> None:
    """Accept a control command; it is in flight at once if none runs."""
    equipment = step.equipment(request.equipment)
    permit_control(equipment, request.session, request.fence)
    if equipment.holds(request.session):
        claim(step, equipment)
    command = Command(
        key=request.key,
        command_id=request.command_id,
        session=request.session,
        user=step.session(request.session).user,
        fence=equipment.fence,
        action=request.action,
        parameters=request.parameters,
    )
    if equipment.running is None and not equipment.accepted:
        _start_command(step, equipment, command)
    elif len(equipment.accepted) >= COMMANDS_LIMIT:
        raise refusals.TooBusy(equipment)
    else:
        step.emit_for(messages.CommandAccepted, equipment.id, command, command=command)


def _start_command(step: Step, equipment: Equipment, command: Command) -> None:
    step.emit_for(messages.CommandStarted, equipment.id, command, command=replace(command, started_at=step.now))


def accept_observe(step: Step, request: messages.Observe) -> None:
    """Allow an observe command; it restarts the idle clock of the lock it runs under."""
    equipment = step.equipment(request.equipment)
    permit_observe(equipment, request.session)
    use_lock(step, equipment, request.session)


def use_lock(step: Step, equipment: Equipment, session: SessionId) -> None:
    """Restart the idle clock of a lock of either kind; a grant from the queue is taken up by that."""
    if equipment.holds(session):
        claim(step, equipment)
    step.emit(messages.LockUsed(at=step.now, equipment=equipment.id, session=session))


def finish_command(step: Step, request: messages.FinishCommand) -> None:
    """Record the end of the command in flight and start the next, if its fence is still the present one."""
    equipment = step.equipment(request.equipment)
    running = equipment.running
    if running is None or running.key != request.key:
        return
    step.finish_command(equipment, running, request.outcome, request.error, moving=request.moving)
    equipment = step.equipment(request.equipment)
    if equipment.accepted and equipment.drain is None:
        _start_command(step, equipment, equipment.accepted[0])


def stop(step: Step, request: messages.Stop) -> None:
    """Record a stop: it ends what was accepted, and blocks control if somebody else than the holder gave it."""
    equipment = step.equipment(request.equipment)
    for command in equipment.accepted:
        step.finish_command(
            equipment,
            command,
            Outcome.STOPPED,
            f"{request.user or 'the authority'} stopped {equipment.id}",
            moving=equipment.moving,
        )
    equipment = step.equipment(request.equipment)
    held_by_another = (
        equipment.lock is not None and equipment.drain is None and equipment.lock.session != request.session
    )
    step.emit(
        messages.Stopped(
            at=step.now,
            equipment=equipment.id,
            session=request.session,
            user=request.user,
            by=request.user,
            reason=request.reason,
            delivered=request.delivered,
            error=request.error,
            moving=request.moving,
            blocks=held_by_another and request.user is not None,
        )
    )


def resume(step: Step, request: messages.Resume) -> None:
    """Let the holder take up control after somebody's stop."""
    equipment = step.equipment(request.equipment)
    if not equipment.holds(request.session):
        raise refusals.NotHolder(equipment)
    if equipment.stopped_by is not None:
        assert equipment.lock is not None
        step.emit_for(messages.Resumed, equipment.id, equipment.lock)


def clear_fault(step: Step, request: messages.ClearFault) -> None:
    """Declare the equipment fit for use; the queue is served again."""
    equipment = step.equipment(request.equipment)
    if equipment.fault is None:
        raise refusals.NoFault(equipment)
    step.emit(
        messages.FaultCleared(
            at=step.now, equipment=equipment.id, user=request.by, by=request.by, reason=request.reason
        )
    )


def raise_fence(step: Step, request: messages.RaiseFence) -> None:
    """Never fall behind what the device has obeyed: it would refuse every command until the fence had caught up."""
    equipment = step.equipment(request.equipment)
    if request.fence > equipment.fence:
        # Somebody else had that fence: a lock that is held goes on under one that nobody had.
        if equipment.lock is None:
            fence = request.fence
        else:
            fence = request.fence + 1
        step.emit(messages.FenceRaised(at=step.now, equipment=equipment.id, fence=fence))


def record_motion(step: Step, request: messages.MotionReport) -> None:
    """Take note that the equipment began or ceased to move."""
    equipment = step.equipment(request.equipment)
    if equipment.moving != request.moving:
        step.emit(messages.MotionChanged(at=step.now, equipment=equipment.id, moving=request.moving))
    if request.outside is not None:
        step.emit(messages.MovedOutside(at=step.now, equipment=equipment.id, position=request.outside))


def recover_after_restart(step: Step, request: messages.Recover) -> None:
    """Start the clocks anew; a command that was in flight has an unknown outcome."""
    equipment = step.equipment(request.equipment)
    for name in _tied_equipment(step, equipment):
        step.emit(messages.ClocksRestarted(at=step.now, equipment=name))
    if equipment.running is not None:
        step.finish_command(
            equipment,
            equipment.running,
            Outcome.UNKNOWN,
            "the authority ended while the command ran; check the position",
            moving=True,
        )


def _tied_equipment(step: Step, equipment: Equipment) -> list[EquipmentId]:
    """Return `e` and all that a decision about it may look at: what those who wait have to do with."""
    found = [equipment.id]
    for name in found:
        for entry in step.equipment(name).queue:
            found += [x for x in step.session(entry.session).equipment if x not in found]
    return found

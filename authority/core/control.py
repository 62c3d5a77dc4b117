"""The rules of commands, stop, motion and fault: who may move what, and what a motion's end means for the lock."""

from __future__ import annotations

from msgspec.structs import replace

from . import messages as m
from . import refusals as no
from .model import COMMANDS_LIMIT, Command, Equipment, EquipmentId, Outcome, SessionId
from .step import Step


def permit_control(e: Equipment, session: SessionId, fence: int | None) -> None:
    """Refuse unless `session` may drive `e` now, under `fence` if it names one."""
    if e.fault is not None:
        raise no.EquipmentAtFault(e)
    if not e.policy.enforce_locks:
        return
    if not e.holds(session):
        loss = e.loss(session)
        raise no.LockRequired(e) if loss is None else no.LockLost(e, loss)
    if fence is not None and fence != e.fence:
        raise no.LockLost(e, e.loss(session))
    if e.stopped_by is not None:
        raise no.StoppedBySomebody(e, e.stopped_by)


def permit_observe(e: Equipment, session: SessionId) -> None:
    """Refuse unless `session` has a lock of either kind on `e`."""
    if e.policy.enforce_locks and not e.holds(session) and e.observer(session) is None:
        raise no.ObserveRequired(e)


def permit_holder(step: Step, r: m.OfLock) -> Equipment:
    """Return the equipment, or refuse with how its session lost it, if it ever had it."""
    e = step.equipment(r.equipment)
    if e.holds(r.session):
        return e
    loss = e.loss(r.session)
    raise no.NoLock(e) if loss is None else no.LockLost(e, loss)


def claim(step: Step, e: Equipment) -> None:
    """Take up a grant from the queue, all of it, if that is still to be done."""
    lock = e.lock
    if lock is None or lock.claim_by is None:
        return
    for name in lock.group or (e.id,):
        granted = step.equipment(name).lock
        if granted is None or granted.session != lock.session or granted.group != lock.group:
            continue  # given back, and perhaps granted anew
        if granted.claim_by is not None:
            step.tell(m.LockClaimed, name, granted, lock_id=granted.lock_id)


def control(step: Step, r: m.Control) -> None:
    """Accept a control command; it is in flight at once if none runs."""
    e = step.equipment(r.equipment)
    permit_control(e, r.session, r.fence)
    if e.holds(r.session):
        claim(step, e)
    command = Command(
        key=r.key, command_id=r.command_id, session=r.session, user=step.session(r.session).user, fence=e.fence,
        action=r.action, parameters=r.parameters,
    )  # fmt: skip
    if e.running is None and not e.accepted:
        _start(step, e, command)
    elif len(e.accepted) >= COMMANDS_LIMIT:
        raise no.TooBusy(e)
    else:
        step.emit(m.CommandAccepted(at=step.now, equipment=e.id, session=r.session, user=command.user, command=command))


def _start(step: Step, e: Equipment, command: Command) -> None:
    started = replace(command, started_at=step.now)
    step.emit(
        m.CommandStarted(at=step.now, equipment=e.id, session=command.session, user=command.user, command=started)
    )


def observe(step: Step, r: m.Observe) -> None:
    """Allow an observe command; it restarts the idle clock of the lock it runs under."""
    e = step.equipment(r.equipment)
    permit_observe(e, r.session)
    if e.holds(r.session):
        claim(step, e)
    step.emit(m.LockUsed(at=step.now, equipment=e.id, session=r.session))


def finish(step: Step, r: m.Finish) -> None:
    """Record the end of the command in flight and start the next, if its fence is still the present one."""
    e = step.equipment(r.equipment)
    running = e.running
    if running is None or running.key != r.key:
        return
    step.finish_command(e, running, r.outcome, r.error, moving=r.moving)
    e = step.equipment(r.equipment)
    if e.accepted and e.drain is None:
        _start(step, e, e.accepted[0])


def stop(step: Step, r: m.Stop) -> None:
    """Record a stop: it ends what was accepted, and blocks control if somebody else than the holder gave it."""
    e = step.equipment(r.equipment)
    for c in e.accepted:
        step.finish_command(e, c, Outcome.STOPPED, f"{r.user or 'the authority'} stopped {e.id}", moving=e.moving)
    e = step.equipment(r.equipment)
    held_by_another = e.lock is not None and e.drain is None and e.lock.session != r.session
    step.emit(
        m.Stopped(
            at=step.now, equipment=e.id, session=r.session, user=r.user, by=r.user, reason=r.reason,
            delivered=r.delivered, error=r.error, moving=r.moving,
            blocks=held_by_another and r.user is not None,
        )
    )  # fmt: skip


def resume(step: Step, r: m.Resume) -> None:
    """Let the holder take up control after somebody's stop."""
    e = step.equipment(r.equipment)
    if not e.holds(r.session):
        raise no.NotHolder(e)
    if e.stopped_by is not None:
        assert e.lock is not None
        step.emit(m.Resumed(at=step.now, equipment=e.id, session=r.session, user=e.lock.user))


def clear_fault(step: Step, r: m.ClearFault) -> None:
    """Declare the equipment fit for use; the queue is served again."""
    e = step.equipment(r.equipment)
    if e.fault is None:
        raise no.NoFault(e)
    step.emit(m.FaultCleared(at=step.now, equipment=e.id, user=r.by, by=r.by, reason=r.reason))


def raise_fence(step: Step, r: m.RaiseFence) -> None:
    """Never fall behind what the device has obeyed: it would refuse every command until the fence had caught up."""
    e = step.equipment(r.equipment)
    if r.fence > e.fence:
        # Somebody else had that fence: a lock that is held goes on under one that nobody had.
        fence = r.fence if e.lock is None else r.fence + 1
        step.emit(m.FenceRaised(at=step.now, equipment=e.id, fence=fence))


def moved(step: Step, r: m.Moved) -> None:
    """Take note that the equipment began or ceased to move."""
    e = step.equipment(r.equipment)
    if e.moving != r.moving:
        step.emit(m.MotionChanged(at=step.now, equipment=e.id, moving=r.moving))
    if r.outside is not None:
        step.emit(m.MovedOutside(at=step.now, equipment=e.id, position=r.outside))


def recover(step: Step, r: m.Recover) -> None:
    """Start the clocks anew; a command that was in flight has an unknown outcome."""
    e = step.equipment(r.equipment)
    for name in _tied_to(step, e):
        step.emit(m.ClocksRestarted(at=step.now, equipment=name))
    if e.running is not None:
        step.finish_command(
            e,
            e.running,
            Outcome.UNKNOWN,
            "the authority ended while the command ran; check the position",
            moving=True,
        )


def _tied_to(step: Step, e: Equipment) -> list[EquipmentId]:
    """Return `e` and all that a decision about it may look at: what those who wait have to do with."""
    found = [e.id]
    for name in found:
        for entry in step.equipment(name).queue:
            found += [x for x in step.session(entry.session).equipment if x not in found]
    return found

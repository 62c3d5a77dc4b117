"""Why equipment stands as it does, for a person: who has it, since when, what it waits for, who can change that."""

from __future__ import annotations

from authority.codec import Views
from authority.core.model import Drain, Equipment, How
from authority.worker import Worker

from .problems import LOST, ago, who_holds


def explain(e: Equipment, worker: Worker, views: Views, now: float) -> str:
    """Return one paragraph on how `e` stands at `now`, in monotonic seconds."""
    told = [_standing(e, now)]
    told += [*_running(e, worker, now), *_stopped(e, now), *_device(worker, now), *_next(e, views)]
    if not e.policy.enforce_locks:
        told.append("Locks are switched off: everybody may drive it, and nothing arbitrates.")
    return " ".join(told)


def _standing(e: Equipment, now: float) -> str:
    if e.fault is not None:
        return (
            f"{e.id} has been at fault for {ago(now - (e.fault_at or now))}: {e.fault}. It is given to nobody to drive "
            "until a person has looked at it and clears the fault with a reason; anybody in the trusted network may "
            f"(motorlock clear-fault {e.id} --reason ...). {_before(e, now)}"
        ).rstrip()
    if e.lock is None:
        return f"{e.id} is free: whoever asks first gets it. {_before(e, now)}".rstrip()
    if e.drain is not None:
        return _draining(e, e.drain, now)
    session = f", fence {e.fence}" if e.lock.claim_by is None else f", fence {e.fence}, and has still to take it up"
    return f"{who_holds(e, e.lock, now)}{session}."


def _before(e: Equipment, now: float) -> str:
    if not e.losses:
        return ""
    last = e.losses[-1]
    reason = f" ({last.reason})" if last.reason else ""
    how = LOST.get(last.why, "ended").format(by=last.by or "the next", reason=reason)
    return f"{last.user} had it last; that lock {how} {ago(now - last.at)} ago."


def _draining(e: Equipment, drain: Drain, now: float) -> str:
    assert e.lock is not None
    reason = f" ({drain.reason})" if drain.reason else ""
    how = LOST.get(drain.why, "ended").format(by=drain.by or "the next", reason=reason)
    left = ago(drain.deadline - now)
    if drain.parking:
        waits = f"it is parked first, and stopped if that takes longer than {left} more"
    elif drain.how is How.FINISH:
        waits = f"its motion may end by itself, and is stopped in {left}"
    elif drain.stop_owed:
        waits = f"it was told to stop and has not taken the order yet; in {left} it counts as at fault"
    else:
        waits = f"it was stopped and does not rest yet; in {left} it counts as at fault"
    return (
        f"{e.id} passes on as soon as it is at rest: the lock of {e.lock.user} {how} {ago(now - drain.since)} ago, and "
        f"{waits}. Nobody needs to do anything; everybody may stop it."
    )


def _running(e: Equipment, worker: Worker, now: float) -> list[str]:
    if e.running is None or e.running.started_at is None:
        moving = worker.readback.moving and worker.readback.connected
        return [f"It moves{_place(worker)}, and no command of ours is why."] if moving else []
    behind = f", and {len(e.accepted)} more wait behind it" if e.accepted else ""
    c = e.running
    return [f"{c.user}'s {c.action} has run for {ago(now - e.running.started_at)}{_place(worker)}{behind}."]


def _place(worker: Worker) -> str:
    r = worker.readback
    if r.position is None:
        return ""
    units = f" {r.units}" if r.units else ""
    to = "" if r.target is None or r.target == r.position else f" on the way to {r.target:.6g}{units}"
    return f" and is at {r.position:.6g}{units}{to}"


def _stopped(e: Equipment, now: float) -> list[str]:
    stop = e.stopped_by
    if stop is None or e.lock is None:
        return []
    reason = f" ({stop.reason})" if stop.reason else ""
    holder = e.lock.user
    return [
        f"{stop.user} stopped it {ago(now - stop.at)} ago{reason}: nothing moves it until {holder} resumes or logs in "
        "again."
    ]


def _device(worker: Worker, now: float) -> list[str]:
    r = worker.readback
    if r.connected:
        return []
    why = f" ({r.error.rstrip('.')})" if r.error else ""
    moving = "; it moved when it was last heard of" if r.moving else ""
    return [
        f"Its driver cannot reach it{why}{moving}; it is tried again and again, and locks are kept. "
        f"Last tried {ago(now - worker.read_at)} ago."
    ]


def _next(e: Equipment, views: Views) -> list[str]:
    told = []
    found = views.ending(e)
    if found is not None and e.drain is None and found.what != "drain":
        when = "" if found.in_seconds is None else f"In {ago(found.in_seconds)} it "
        told.append(f"{when}{found.text}." if when else f"{found.text}.")
    if e.queue:
        others = "nobody else waits" if len(e.queue) == 1 else f"{len(e.queue)} wait in all"
        told.append(f"{e.queue[0].user} is next; {others}.")
    return told

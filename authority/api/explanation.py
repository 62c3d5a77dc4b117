"""Why equipment stands as it does, for a person: who has it, since when, what it waits for, who can change that."""

from __future__ import annotations

from authority.core.model import Drain, Equipment, RestMethod
from authority.sentences import duration_text, in_parentheses, past_end_clause
from authority.views import Views
from authority.worker import Worker

from .refusal_table import holder_sentence


def explain(equipment: Equipment, worker: Worker, views: Views, now: float) -> str:
    """Return one paragraph on the state of `equipment` at `now`, in monotonic seconds."""
    sentences = [_current_state(equipment, now)]
    sentences += [
        *_running(equipment, worker, now),
        *_stopped(equipment, now),
        *_device(worker, now),
        *_next(equipment, views),
    ]
    if not equipment.policy.enforce_locks:
        sentences.append("Locks are switched off: everybody may drive it, and nothing arbitrates.")
    return " ".join(sentences)


def _current_state(equipment: Equipment, now: float) -> str:
    if equipment.fault is not None:
        return (
            f"{equipment.id} has been at fault for {duration_text(now - (equipment.fault_at or now))}: "
            f"{equipment.fault}. It is given to nobody to drive "
            "until a person with the right to has looked at it and clears the fault with a reason "
            f"(motorlock clear-fault {equipment.id} --reason ...). {_events_before(equipment, now)}"
        ).rstrip()
    if equipment.lock is None:
        return f"{equipment.id} is free: whoever asks first gets it. {_events_before(equipment, now)}".rstrip()
    if equipment.drain is not None:
        return _draining(equipment, equipment.drain, now)
    if equipment.lock.claim_by is None:
        session = f", fence {equipment.fence}"
    else:
        session = f", fence {equipment.fence}, and has not claimed it yet"
    return f"{holder_sentence(equipment, equipment.lock, now)}{session}."


def _events_before(equipment: Equipment, now: float) -> str:
    if not equipment.losses:
        return ""
    last = equipment.losses[-1]
    ago = duration_text(now - last.at)
    return f"{last.user} had it last; that lock ended {ago} ago because {past_end_clause(last)}."


def _draining(equipment: Equipment, drain: Drain, now: float) -> str:
    assert equipment.lock is not None
    left = duration_text(drain.deadline - now)
    if drain.parking:
        waits = f"it is parked first, and stopped if that takes longer than {left} more"
    elif drain.how is RestMethod.FINISH:
        waits = f"its motion may end by itself, and is stopped in {left}"
    elif drain.stop_owed:
        waits = f"it was told to stop and has not taken the order yet; in {left} it counts as at fault"
    else:
        waits = f"it was stopped and does not rest yet; in {left} it counts as at fault"
    return (
        f"{equipment.id} passes on as soon as it is at rest: "
        f"the lock of {equipment.lock.user} ended {duration_text(now - drain.since)} ago because "
        f"{past_end_clause(drain)}, and "
        f"{waits}. Nobody needs to do anything; everybody may stop it."
    )


def _running(equipment: Equipment, worker: Worker, now: float) -> list[str]:
    if equipment.running is None or equipment.running.started_at is None:
        moving = worker.readback.moving and worker.readback.connected
        if moving:
            return [f"It moves{_place(worker)}, and no command of ours is why."]
        return []
    behind = ""
    if equipment.accepted:
        behind = f", and {len(equipment.accepted)} more wait behind it"
    command = equipment.running
    return [
        f"{command.user}'s {command.action} has run for "
        f"{duration_text(now - equipment.running.started_at)}{_place(worker)}{behind}."
    ]


def _place(worker: Worker) -> str:
    readback = worker.readback
    if readback.position is None:
        return ""
    units = ""
    if readback.units:
        units = f" {readback.units}"
    if readback.target is None or readback.target == readback.position:
        to = ""
    else:
        to = f" on the way to {readback.target:.6g}{units}"
    return f" and is at {readback.position:.6g}{units}{to}"


def _stopped(equipment: Equipment, now: float) -> list[str]:
    stop = equipment.stopped_by
    if stop is None or equipment.lock is None:
        return []
    stopped = f"{stop.user} stopped it {duration_text(now - stop.at)} ago{in_parentheses(stop.reason)}"
    return [f"{stopped}: nothing moves it until {equipment.lock.user} resumes or logs in again."]


def _device(worker: Worker, now: float) -> list[str]:
    readback = worker.readback
    if readback.connected:
        return []
    why = in_parentheses(readback.error)
    moving = ""
    if readback.moving:
        moving = "; it moved when it was last heard of"
    return [
        f"Its driver cannot reach it{why}{moving}; it is tried again and again, and locks are kept. "
        f"Last tried {duration_text(now - worker.read_at)} ago."
    ]


def _next(equipment: Equipment, views: Views) -> list[str]:
    sentences = []
    found = views.ending(equipment)
    if found is not None and equipment.drain is None and found.what != "drain":
        when = ""
        if found.in_seconds is not None:
            when = f"In {duration_text(found.in_seconds)} it "
        sentences.append(f"{when}{found.text}.")
    if equipment.queue:
        if len(equipment.queue) == 1:
            others = "nobody else waits"
        else:
            others = f"{len(equipment.queue)} wait in all"
        sentences.append(f"{equipment.queue[0].user} is next; {others}.")
    return sentences

"""How a refusal is answered: the one table of statuses, and one sentence for a person each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from starlette.responses import Response

from authority.codec import Views
from authority.core import refusals
from authority.core.model import Equipment, Lock, SessionId

TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    415: "Not JSON",
    422: "Invalid",
    426: "Upgrade required",
    429: "Too many",
    431: "Headers too large",
    500: "Failed",
    503: "Unavailable",
}

STATUS = {
    "unknown_equipment": 404,
    "unknown_session": 404,
    "session_ended": 404,
    "unknown_entry": 404,
    "unknown_ask": 404,
    "no_lock": 404,
    "equipment_in_use": 409,
    "equipment_fault": 409,
    "waiters_present": 409,
    "not_at_rest": 409,
    "queue_full": 409,
    "already_waiting": 409,
    "cannot_swap": 409,
    "cannot_hand_over": 409,
    "ambiguous": 409,
    "would_deadlock": 409,
    "outside_limits": 422,
    "too_busy": 503,
    "no_fault": 409,
    "stopped_by": 409,
    "lock_required": 403,
    "lock_lost": 403,
    "observe_required": 403,
    "not_holder": 403,
}

LOST = {
    "logout": "was released",
    "forced": "was taken away by {by}{reason}",
    "idle": "was released after idling",
    "offered": "passed to {by}, who asked while it was idle",
    "silence": "passed on to {by} while nothing was heard from you",
    "unclaimed": "passed on because it was not taken up in time",
    "turn": "passed on to {by} because your turn was over",
    "handed_over": "was handed over{reason}",
    "session_ended": "ended with its session",
    "session_expired": "ended because its session was silent for too long",
    "gone": "ended because its process ended",
    "connections_lost": "ended because both connections of its process closed",
    "downgraded": "was changed to observing",
}


class ProblemResponse(Exception):
    """An edge said no: a status, a code, a sentence, and what else a program may want to know."""

    def __init__(self, status: int, code: str, detail: str, **data: object) -> None:
        """Keep what the answer says."""
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.data = data
        self.always = True  # whatever commands run before


def problem(status: int, code: str, detail: str, data: Mapping[str, object] | None = None) -> Response:
    """Return an `application/problem+json` answer."""
    body = problem_fields(ProblemResponse(status, code, detail, **dict(data or {})))
    return Response(msgspec.json.encode(body), status, media_type="application/problem+json")


def problem_fields(refused: ProblemResponse) -> dict[str, object]:
    """Return a problem's fields."""
    return {
        "type": f"urn:motorlock:{refused.code}",
        "title": TITLES.get(refused.status, "Problem"),
        "status": refused.status,
        "detail": refused.detail,
        "code": refused.code,
        **refused.data,
    }


def refusal_to_problem(refusal: refusals.Refusal, views: Views, now: float) -> ProblemResponse:
    """Return a rule's refusal as this edge tells it."""
    code = refusal.code
    if isinstance(refusal, refusals.UnknownEquipment):
        return ProblemResponse(404, code, f"There is no equipment named {refusal.equipment_id!r} here.")
    if isinstance(refusal, refusals.SessionEnded):
        return ProblemResponse(404, code, "This session has ended; log in again to begin a new one.")
    if isinstance(refusal, refusals.UnknownSession):
        return ProblemResponse(404, code, "There is no such session; create one first.")
    assert isinstance(refusal, refusals.EquipmentRefusal)
    equipment = refusal.equipment
    data = _lock_fields(equipment, views)
    if isinstance(refusal, refusals.LockLost) and refusal.loss is not None:
        loss = views.loss(refusal.loss)
        data |= {"why": loss.why, "by": loss.by, "reason": loss.reason, "at": loss.at}
    if isinstance(refusal, refusals.StoppedByAnother):
        data |= {"by": refusal.stop.user, "at": views.time(refusal.stop.at), "reason": refusal.stop.reason}
    if isinstance(refusal, refusals.WouldDeadlock):
        who = {x: views.user(x) for wait in refusal.cycle for x in (wait.waiter, wait.blocker)}
        data["cycle"] = [
            {"session_id": x.waiter, "user": who[x.waiter], "waits_for": x.equipment, "behind": who[x.blocker]}
            for x in refusal.cycle
        ]
        return ProblemResponse(STATUS[code], code, _deadlock_sentence(refusal.cycle, who), **data)
    return ProblemResponse(STATUS[code], code, _SENTENCES[type(refusal)](refusal, now), **data)


def _lock_fields(equipment: Equipment, views: Views) -> dict[str, object]:
    fields: dict[str, object] = {
        "equipment_id": equipment.id,
        "state": equipment.state,
        "queue_length": len(equipment.queue),
    }
    lock = equipment.lock
    if lock is None:
        return fields | {"holder": None, "since": None, "note": None}
    return fields | {"holder": views.holder(lock), "since": views.time(lock.since), "note": lock.note}


def duration_in_words(seconds: float) -> str:
    """Return a length of time as people say it."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{max(0, int(seconds))} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h"


def holder_sentence(equipment: Equipment, lock: Lock, now: float) -> str:
    """Return "Ann has stage_x for 3 min ("night scan")"."""
    note = ""
    if lock.note:
        note = f' ("{lock.note}")'
    return f"{lock.user}{note} has had {equipment.id} for {duration_in_words(now - lock.since)}"


def _equipment_in_use_sentence(refusal: refusals.Refusal, now: float) -> str:
    assert isinstance(refusal, refusals.EquipmentRefusal)
    equipment = refusal.equipment
    lock = refusal.equipment.lock
    if lock is None:
        return f"{equipment.id} is being handed over; ask again in a moment, or wait in the queue."
    waiting = ""
    if len(equipment.queue) == 1:
        waiting = " and 1 waits for it"
    elif equipment.queue:
        waiting = f" and {len(equipment.queue)} wait for it"
    if equipment.drain is not None:
        return (
            f"{equipment.id} is being brought to rest after {lock.user} had it{waiting}; wait in the queue to be next."
        )
    return f"{holder_sentence(equipment, lock, now)}{waiting}; wait in the queue to get it, or ask {lock.user}."


def _lock_required_sentence(refusal: refusals.Refusal, now: float) -> str:
    assert isinstance(refusal, refusals.EquipmentRefusal)
    equipment = refusal.equipment
    lock = refusal.equipment.lock
    if lock is None:
        return f"You do not hold {equipment.id}; nobody does: log in to it first."
    return f"You do not hold {equipment.id}: {holder_sentence(equipment, lock, now)}; wait in the queue to get it."


def _lock_lost_sentence(refusal: refusals.Refusal, now: float) -> str:
    assert isinstance(refusal, refusals.LockLost)
    equipment = refusal.equipment
    loss = refusal.loss
    if loss is None:
        return f"Your lock on {equipment.id} has ended; log in again to go on."
    reason = ""
    if loss.reason:
        reason = f" ({loss.reason})"
    how = LOST.get(loss.why, "ended").format(by=loss.by or "the next", reason=reason)
    return f"Your lock on {equipment.id} {how} {duration_in_words(now - loss.at)} ago; log in again to go on."


def _stopped_by_sentence(refusal: refusals.Refusal, now: float) -> str:
    assert isinstance(refusal, refusals.StoppedByAnother)
    reason = ""
    if refusal.stop.reason:
        reason = f" ({refusal.stop.reason})"
    stopped = f"{refusal.stop.user} stopped {refusal.equipment.id} {duration_in_words(now - refusal.stop.at)} ago"
    return f"{stopped}{reason}; resume it, or log in again."


def _deadlock_sentence(cycle: tuple[refusals.WaitEdge, ...], who: Mapping[SessionId, str]) -> str:
    named = {**who, cycle[0].waiter: "you"}
    first, *others = cycle
    clauses = [f"you would wait for {first.equipment} behind {named[first.blocker]}"]
    clauses += [f"{named[x.waiter]} waits for {x.equipment} behind {named[x.blocker]}" for x in others]
    return f"That would be a deadlock: {', and '.join(clauses)}; give one of them back, or leave its queue, first."


def _keep_too_long_sentence(refusal: refusals.Refusal, now: float) -> str:  # noqa: ARG001 - one signature for all
    assert isinstance(refusal, refusals.EquipmentRefusal)
    longest = duration_in_words(refusal.equipment.policy.max_keep_seconds or 0.0)
    return f"{refusal.equipment.id} may be kept for at most {longest} at a time; nothing has changed."


def _sentence_from(text: str) -> Callable[[refusals.Refusal, float], str]:
    def sentence(refusal: refusals.Refusal, now: float) -> str:  # noqa: ARG001 - one signature for all
        assert isinstance(refusal, refusals.EquipmentRefusal)
        holder = "nobody"
        if refusal.equipment.lock is not None:
            holder = refusal.equipment.lock.user
        return text.format(equipment=refusal.equipment.id, holder=holder, fault=refusal.equipment.fault)

    return sentence


_SENTENCES: dict[type[refusals.Refusal], Callable[[refusals.Refusal, float], str]] = {
    refusals.EquipmentInUse: _equipment_in_use_sentence,
    refusals.LockRequired: _lock_required_sentence,
    refusals.LockLost: _lock_lost_sentence,
    refusals.StoppedByAnother: _stopped_by_sentence,
    refusals.EquipmentAtFault: _sentence_from(
        "{equipment} is at fault ({fault}); have it looked at, then clear the fault with a reason: on the page of the "
        "authority, or with motorlock clear-fault {equipment} --reason ..."
    ),
    refusals.WaitersPresent: _sentence_from(
        "Others wait for {equipment}; release it instead of changing to observing."
    ),
    refusals.NotAtRest: _sentence_from("{equipment} still moves; wait until it is at rest, or stop it."),
    refusals.QueueFull: _sentence_from("The queue for {equipment} is full; try again later."),
    refusals.TooBusy: _sentence_from("As many commands wait for {equipment} as may; let some of them end first."),
    refusals.ObserveRequired: _sentence_from(
        "You have no lock on {equipment}; log in to it, or watch it as an observer, first."
    ),
    refusals.NotHolder: _sentence_from("{equipment} is held by {holder}, not by you; nothing has changed."),
    refusals.UnknownEntry: _sentence_from("There is no such place in the queue for {equipment}; nothing has changed."),
    refusals.UnknownAsk: _sentence_from("Nobody asks you for {equipment} from that place in the queue."),
    refusals.AlreadyWaiting: _sentence_from(
        "You wait for {equipment} already, in another place in the queue; leave that one first."
    ),
    refusals.CannotSwap: _sentence_from(
        "Places are swapped with somebody else, each of you waiting for {equipment} alone."
    ),
    refusals.CannotHandOver: _sentence_from(
        "{equipment} cannot be handed over there: somebody with a higher priority waits, or the one you named is "
        "silent or waits for other equipment with it; log out, and it goes to the next in the queue."
    ),
    refusals.Ambiguous: _sentence_from(
        "Several who wait for {equipment} have that name; name the queue_id of the one you mean."
    ),
    refusals.KeepTooLong: _keep_too_long_sentence,
    refusals.NoLock: _sentence_from("You have no lock on {equipment}; nothing has changed."),
    refusals.NoFault: _sentence_from("{equipment} has no fault to clear."),
}

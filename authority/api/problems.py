"""How a refusal is told: the one table of statuses, and one sentence for a person each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from starlette.responses import Response

from authority.codec import Views
from authority.core import refusals as r
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
    501: "Not here",
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


class Refused(Exception):
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
    body = body_of(Refused(status, code, detail, **dict(data or {})))
    return Response(msgspec.json.encode(body), status, media_type="application/problem+json")


def body_of(refused: Refused) -> dict[str, object]:
    """Return a problem's fields."""
    return {
        "type": f"urn:motorlock:{refused.code}",
        "title": TITLES.get(refused.status, "Problem"),
        "status": refused.status,
        "detail": refused.detail,
        "code": refused.code,
        **refused.data,
    }


def told(refusal: r.Refusal, views: Views, now: float) -> Refused:
    """Return a rule's refusal as this edge tells it."""
    code = refusal.code
    if isinstance(refusal, r.UnknownEquipment):
        return Refused(404, code, f"There is no equipment named {refusal.equipment_id!r} here.")
    if isinstance(refusal, r.SessionIsOver):
        return Refused(404, code, "This session has ended; log in again to begin a new one.")
    if isinstance(refusal, r.UnknownSession):
        return Refused(404, code, "There is no such session; create one first.")
    assert isinstance(refusal, r.OfEquipment)
    e = refusal.equipment
    data = _data(e, views)
    if isinstance(refusal, r.LockLost) and refusal.loss is not None:
        loss = views.loss(refusal.loss)
        data |= {"why": loss.why, "by": loss.by, "reason": loss.reason, "at": loss.at}
    if isinstance(refusal, r.StoppedBySomebody):
        data |= {"by": refusal.stop.user, "at": views.time(refusal.stop.at), "reason": refusal.stop.reason}
    if isinstance(refusal, r.WouldDeadlock):
        who = {x: views.user(x) for wait in refusal.cycle for x in (wait.waiter, wait.blocker)}
        data["cycle"] = [
            {"session_id": x.waiter, "user": who[x.waiter], "waits_for": x.equipment, "behind": who[x.blocker]}
            for x in refusal.cycle
        ]
        return Refused(STATUS[code], code, _deadlock(refusal.cycle, who), **data)
    return Refused(STATUS[code], code, _SENTENCES[type(refusal)](refusal, now), **data)


def _data(e: Equipment, views: Views) -> dict[str, object]:
    lock = e.lock
    return {
        "equipment_id": e.id,
        "state": e.state,
        "queue_length": len(e.queue),
        "holder": None if lock is None else views.holder(lock),
        "since": None if lock is None else views.time(lock.since),
        "note": None if lock is None else lock.note,
    }


def ago(seconds: float) -> str:
    """Return a length of time as people say it."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{max(0, int(seconds))} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def who_holds(e: Equipment, lock: Lock, now: float) -> str:
    """Return "Ann has stage_x for 3 min ("night scan")"."""
    note = f' ("{lock.note}")' if lock.note else ""
    return f"{lock.user}{note} has had {e.id} for {ago(now - lock.since)}"


def _in_use(x: r.Refusal, now: float) -> str:
    assert isinstance(x, r.OfEquipment)
    e, lock = x.equipment, x.equipment.lock
    if lock is None:
        return f"{e.id} is being handed over; ask again in a moment, or wait in the queue."
    waiting = f" and {len(e.queue)} wait{'s' if len(e.queue) == 1 else ''} for it" if e.queue else ""
    if e.drain is not None:
        return f"{e.id} is being brought to rest after {lock.user} had it{waiting}; wait in the queue to be next."
    return f"{who_holds(e, lock, now)}{waiting}; wait in the queue to get it, or ask {lock.user}."


def _lock_required(x: r.Refusal, now: float) -> str:
    assert isinstance(x, r.OfEquipment)
    e, lock = x.equipment, x.equipment.lock
    if lock is None:
        return f"You do not hold {e.id}; nobody does: log in to it first."
    return f"You do not hold {e.id}: {who_holds(e, lock, now)}; wait in the queue to get it."


def _lost(x: r.Refusal, now: float) -> str:
    assert isinstance(x, r.LockLost)
    e, loss = x.equipment, x.loss
    if loss is None:
        return f"Your lock on {e.id} has ended; log in again to go on."
    reason = f" ({loss.reason})" if loss.reason else ""
    how = LOST.get(loss.why, "ended").format(by=loss.by or "the next", reason=reason)
    return f"Your lock on {e.id} {how} {ago(now - loss.at)} ago; log in again to go on."


def _stopped(x: r.Refusal, now: float) -> str:
    assert isinstance(x, r.StoppedBySomebody)
    reason = f" ({x.stop.reason})" if x.stop.reason else ""
    return f"{x.stop.user} stopped {x.equipment.id} {ago(now - x.stop.at)} ago{reason}; resume it, or log in again."


def _deadlock(cycle: tuple[r.Wait, ...], who: Mapping[SessionId, str]) -> str:
    named = {**who, cycle[0].waiter: "you"}
    first, *others = cycle
    told = [f"you would wait for {first.equipment} behind {named[first.blocker]}"]
    told += [f"{named[x.waiter]} waits for {x.equipment} behind {named[x.blocker]}" for x in others]
    return f"That would be a deadlock: {', and '.join(told)}; give one of them back, or leave its queue, first."


def _keep_too_long(x: r.Refusal, now: float) -> str:  # noqa: ARG001 - one signature for all
    assert isinstance(x, r.OfEquipment)
    longest = ago(x.equipment.policy.max_keep_seconds or 0.0)
    return f"{x.equipment.id} may be kept for at most {longest} at a time; nothing has changed."


def _about(text: str) -> Callable[[r.Refusal, float], str]:
    def sentence(x: r.Refusal, now: float) -> str:  # noqa: ARG001 - one signature for all
        assert isinstance(x, r.OfEquipment)
        holder = x.equipment.lock.user if x.equipment.lock is not None else "nobody"
        return text.format(equipment=x.equipment.id, holder=holder, fault=x.equipment.fault)

    return sentence


_SENTENCES: dict[type[r.Refusal], Callable[[r.Refusal, float], str]] = {
    r.EquipmentInUse: _in_use,
    r.LockRequired: _lock_required,
    r.LockLost: _lost,
    r.StoppedBySomebody: _stopped,
    r.EquipmentAtFault: _about(
        "{equipment} is at fault ({fault}); have it looked at, then clear the fault with a reason: on the page of the "
        "authority, or with motorlock clear-fault {equipment} --reason ..."
    ),
    r.WaitersPresent: _about("Others wait for {equipment}; release it instead of changing to observing."),
    r.NotAtRest: _about("{equipment} still moves; wait until it is at rest, or stop it."),
    r.QueueFull: _about("The queue for {equipment} is full; try again later."),
    r.TooBusy: _about("As many commands wait for {equipment} as may; let some of them end first."),
    r.ObserveRequired: _about("You have no lock on {equipment}; log in to it, or watch it as an observer, first."),
    r.NotHolder: _about("{equipment} is held by {holder}, not by you; nothing has changed."),
    r.UnknownEntry: _about("There is no such place in the queue for {equipment}; nothing has changed."),
    r.UnknownAsk: _about("Nobody asks you for {equipment} from that place in the queue."),
    r.AlreadyWaiting: _about("You wait for {equipment} already, in another place in the queue; leave that one first."),
    r.CannotSwap: _about("Places are swapped with somebody else, each of you waiting for {equipment} alone."),
    r.CannotHandOver: _about(
        "{equipment} cannot be handed over there: somebody with a higher priority waits, or the one you named is "
        "silent or waits for other equipment with it; log out, and it goes to the next in the queue."
    ),
    r.Ambiguous: _about("Several who wait for {equipment} have that name; name the queue_id of the one you mean."),
    r.KeepTooLong: _keep_too_long,
    r.NoLock: _about("You have no lock on {equipment}; nothing has changed."),
    r.NoFault: _about("{equipment} has no fault to clear."),
}

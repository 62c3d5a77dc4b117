"""The one table of refusals, those of the rules and those of the edge: of each its code, status and sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authority.core import refusals
from authority.core.model import Equipment, Lock
from authority.sentences import duration_text, in_parentheses, past_end_clause

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

# A template, or a function of what a rule refused and of the time.
Sentence = str | Callable[[Any, float], str]


def holder_sentence(equipment: Equipment, lock: Lock, now: float) -> str:
    """Return "Ann ("night scan") has had stage_x for 3 min"."""
    note = ""
    if lock.note:
        note = f' ("{lock.note}")'
    return f"{lock.user}{note} has had {equipment.id} for {duration_text(now - lock.since)}"


# Sentences that depend on more than a name


def _equipment_in_use(refusal: refusals.EquipmentInUse, now: float) -> str:
    equipment = refusal.equipment
    lock = equipment.lock
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


def _lock_required(refusal: refusals.LockRequired, now: float) -> str:
    equipment = refusal.equipment
    if equipment.lock is None:
        return f"You do not hold {equipment.id}; nobody does: log in to it first."
    holder = holder_sentence(equipment, equipment.lock, now)
    return f"You do not hold {equipment.id}: {holder}; wait in the queue to get it."


def _lock_lost(refusal: refusals.LockLost, now: float) -> str:
    name = refusal.equipment.id
    loss = refusal.loss
    if loss is None:
        return f"Your lock on {name} has ended; log in again to go on."
    ago = duration_text(now - loss.at)
    return f"Your lock on {name} ended {ago} ago because {past_end_clause(loss)}; log in again to go on."


def _stopped_by(refusal: refusals.StoppedByAnother, now: float) -> str:
    stop = refusal.stop
    stopped = f"{stop.user} stopped {refusal.equipment.id} {duration_text(now - stop.at)} ago"
    return f"{stopped}{in_parentheses(stop.reason)}; resume it, or log in again."


def _keep_too_long(refusal: refusals.KeepTooLong, now: float) -> str:  # noqa: ARG001 - one signature for all
    longest = duration_text(refusal.equipment.policy.max_keep_seconds or 0.0)
    return f"{refusal.equipment.id} may be kept for at most {longest} at a time; nothing has changed."


# Of each code its status and its sentence. Where a code has several sentences, a word behind a dot tells which.
REFUSALS: dict[str, tuple[int, Sentence]] = {
    # A request that cannot be read
    "invalid": (422, "The request is not valid: {where}: {message}."),
    "invalid.parameters": (422, "{message}"),
    "invalid.no_http": (400, "What came is no HTTP request."),
    "invalid.two_hosts": (
        400,
        "This request bears two Host or Origin headers, of which one would be taken on trust; send one.",
    ),
    "invalid.cut_short": (400, "The connection closed before the body was complete."),
    "invalid.chunks": (400, "The body's chunks cannot be read."),
    "not_json": (415, "The body must be JSON, with the content type application/json."),
    "too_large": (413, "The body is larger than {limit}."),
    "too_slow": (408, "The body was not complete in time; send it again."),
    "too_slow.head": (408, "The head of the request was not complete after {seconds:g} s."),
    "headers_too_large": (431, "The head of a request has at most {headers} headers and {kib} KiB."),
    # A request for what is not here
    "not_found": (404, "There is nothing at {path}; /docs lists what there is."),
    "not_found.websocket": (404, "There is no WebSocket at {path}, only at {only}."),
    "method_not_allowed": (405, "{method} is not possible at {path}."),
    "upgrade_required": (
        426,
        "This door is for WebSockets; what comes between may have taken the upgrade out of the request.",
    ),
    # Who asks
    "foreign_origin": (
        403,
        "This request came by way of another site or under another name; use the authority's own address.",
    ),
    "token_required": (401, "This authority asks for the lab's token; set MOTORLOCK_TOKEN, or type it into the page."),
    "bad_token": (
        401,
        "This token has expired, was revoked or is of another authority; ask for a new one, and set MOTORLOCK_TOKEN "
        "to it, or type it into the page.",
    ),
    "not_identified": (
        401,
        "This authority cannot tell who you are; use it on its own machine, or ask for a token of yours, and set "
        "MOTORLOCK_TOKEN to it, or type it into the page.",
    ),
    "bad_token.hub": (
        401,
        "This token is none of the Hub's users for this service alone, or has expired; log in again from the notebook.",
    ),
    "hub_unavailable": (
        503,
        "The Hub, which says who you are, does not answer; open sessions go on, and for a new one try again later.",
    ),
    "not_identified.hub": (
        401,
        "This authority cannot tell who you are; log in from a notebook of the Hub, or show a token of yours.",
    ),
    "not_your_session": (401, "This session is of {user}; begin one of your own."),
    "not_allowed": (403, "{user} lacks the right `{right}`{where}; whoever looks after the lab can give it."),
    "bad_session_token": (
        401,
        "This session acts only with its own token; log in again from the notebook that began it.",
    ),
    "unknown_token": (404, "There is no token {token_id!r}; motorlock token list shows those there are."),
    "session_required": (401, "A control command needs session_id: log in to {equipment} first."),
    "unknown_session": (404, "There is no such session; create one first."),
    "session_ended": (404, "This session has ended; log in again to begin a new one."),
    # Too many at once
    "too_many_sessions": (429, "This address has {limit} sessions; end some that are not needed, or try again later."),
    "too_many_sessions.unused": (
        429,
        "This address has {limit} sessions that were never used; end some that are not needed, or try again later.",
    ),
    "too_many_sessions.metadata": (
        429,
        "The sessions of this address have {mib} MiB of metadata; end some that are not needed, or try again later.",
    ),
    "too_many_waiting": (
        429,
        "{limit} clients of this address wait for {equipment} already; leave some of these places, or try again later.",
    ),
    "too_busy": (503, "As many commands wait for {equipment} as may; let some of them end first."),
    "too_busy.connections": (503, "Too many connections are open; close some, or try again later."),
    "too_busy.stop_only": (503, "Too many connections are open; only a stop is served on this one."),
    # The lock
    "unknown_equipment": (404, "There is no equipment named {equipment!r} here."),
    "equipment_in_use": (409, _equipment_in_use),
    "equipment_fault": (
        409,
        "{equipment} is at fault ({fault}); have it looked at, then clear the fault with a reason: on the page of the "
        "authority, or with motorlock clear-fault {equipment} --reason ...",
    ),
    "no_fault": (409, "{equipment} has no fault to clear."),
    "lock_required": (403, _lock_required),
    "lock_lost": (403, _lock_lost),
    "observe_required": (403, "You have no lock on {equipment}; log in to it, or watch it as an observer, first."),
    "not_holder": (403, "{equipment} is held by {holder}, not by you; nothing has changed."),
    "no_lock": (404, "You have no lock on {equipment}; nothing has changed."),
    "stopped_by": (409, _stopped_by),
    "waiters_present": (409, "Others wait for {equipment}; release it instead of changing to observing."),
    "not_at_rest": (409, "{equipment} still moves; wait until it is at rest, or stop it."),
    "outside_limits": (422, _keep_too_long),
    "observing_disabled": (
        409,
        "Observing is switched off in this lab; everybody sees the state and readings without a lock.",
    ),
    # The queue
    "queue_full": (409, "The queue for {equipment} is full; try again later."),
    "queue_disabled": (409, "Queueing is switched off in this lab; try again when it is free."),
    "already_waiting": (409, "You wait for {equipment} already, in another place in the queue; leave that one first."),
    "would_deadlock": (409, "That would be a deadlock: {waits}; give one of them back, or leave its queue, first."),
    "unknown_entry": (404, "There is no such place in the queue for {equipment}; nothing has changed."),
    "unknown_ask": (404, "Nobody asks you for {equipment} from that place in the queue."),
    "ambiguous": (409, "Several who wait for {equipment} have that name; name the queue_id of the one you mean."),
    "cannot_swap": (409, "Places are swapped with somebody else, each of you waiting for {equipment} alone."),
    "cannot_hand_over": (
        409,
        "{equipment} cannot be handed over there: somebody with a higher priority waits, or the one you named is "
        "silent or waits for other equipment with it; log out, and it goes to the next in the queue.",
    ),
    # Commands
    "unknown_command": (404, "{equipment} has no command {action!r}; it has: {names}."),
    "unknown_key": (404, "No command of this session on {equipment} bore that key, or it is older than a day."),
    "idempotency_mismatch": (
        422,
        "This idempotency key came with another command before; send a new key with a new command.",
    ),
    "outside_limits.parameters": (422, "{equipment}: {problem}; it has not moved."),
    "driver_unavailable": (503, "{equipment} cannot be reached now{why}; locks are kept, try again."),
    "driver_unavailable.check": (
        503,
        "{equipment}: the driver cannot say whether {action} is allowed ({why}); it has not moved.",
    ),
    # The authority's own faults
    "request_failed": (
        500,
        "The request could not be carried out, and nothing has changed; the authority's log says why.",
    ),
    "store_unavailable": (503, "The authority cannot write its journal; only stop is served until it is restarted."),
}

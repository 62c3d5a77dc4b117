"""The routes of those who wait, and of the holder towards them: leave, swap, ask, answer, hand over."""

from __future__ import annotations

import msgspec

from authority.core import messages

from . import answers, bodies
from .request_body import invalid_request
from .request_context import RequestContext
from .routing import Route


def leave(context: RequestContext) -> answers.LeftAnswer:
    """Give up one's place in the queue."""
    key = context.equipment_id
    queue_id = context.path["queue_id"]
    session = context.acting_session(context.query("session_id"))
    context.service.apply(messages.LeaveQueue(equipment=key, session=session.id, queue_id=queue_id))
    return answers.LeftAnswer(True, key, queue_id)


def swap(context: RequestContext, body: bodies.SwapBody) -> answers.StandingAnswer:
    """Offer to swap places with another waiter, or agree to their offer."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.OfferSwap(equipment=key, session=session.id, partner=body.partner))
    return answers.StandingAnswer(True, context.service.status(key))


def ask(context: RequestContext, body: bodies.AskBody) -> answers.StandingAnswer:
    """Ask the holder to yield."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(
        messages.AskHolder(equipment=key, session=session.id, seconds=body.seconds, reason=body.reason)
    )
    return answers.StandingAnswer(True, context.service.status(key))


def answer(context: RequestContext, body: bodies.AnswerBody) -> answers.StandingAnswer:
    """Answer one who asked."""
    if (body.answer == "later") == (body.seconds is msgspec.UNSET):
        raise invalid_request("seconds", "it comes with `later`, and with nothing else")
    seconds = 0.0
    if isinstance(body.seconds, float):
        seconds = body.seconds
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(
        messages.AnswerAsk(
            equipment=key,
            session=session.id,
            queue_id=body.queue_id,
            answer=body.answer,
            seconds=seconds,
            note=body.note,
        )
    )
    return answers.StandingAnswer(True, context.service.status(key))


def hand_over(context: RequestContext, body: bodies.HandOverBody) -> answers.StandingAnswer:
    """Give the lock to somebody who waits."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.HandOver(equipment=key, session=session.id, to=body.to))
    return answers.StandingAnswer(True, context.service.status(key))


_CODES = (401, 403, 404, 409)

ROUTES = (
    Route(
        "DELETE",
        "/api/locks/queue/{equipment_id}/{queue_id}",
        leave,
        "Leave the queue",
        query={"session_id": (str, "")},
        codes=(401, 404),
    ),
    Route(
        "POST",
        "/api/locks/queue/{equipment_id}/swap",
        swap,
        "Offer to swap places with another waiter, or agree",
        codes=(401, 404, 409),
    ),
    Route("POST", "/api/locks/ask/{equipment_id}", ask, "Ask the holder to yield", codes=(401, 404)),
    Route("POST", "/api/locks/answer/{equipment_id}", answer, "Answer one who asked", codes=_CODES),
    Route("POST", "/api/locks/handover/{equipment_id}", hand_over, "Give the lock to somebody who waits", codes=_CODES),
)

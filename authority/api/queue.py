"""The doors of those who wait, and of the holder towards them: leave, swap, ask, answer, hand over."""

from __future__ import annotations

import msgspec

from authority.core import messages as m

from . import bodies as b
from .doors import Door, Visit
from .request_body import invalid


def leave(v: Visit) -> b.LeftAnswer:
    """Give up one's place in the queue."""
    key, queue_id = v.equipment_id, v.request.path_params["queue_id"]
    session = v.acting(str(v.query("session_id", str, "")))
    v.service.apply(m.Leave(equipment=key, session=session.id, queue_id=queue_id))
    return b.LeftAnswer(True, key, queue_id)


def swap(v: Visit) -> b.StandingAnswer:
    """Offer to swap places with another waiter, or agree to their offer."""
    key, body = v.equipment_id, v.body_as(b.SwapBody)
    session = v.acting(body.session_id)
    v.service.apply(m.Swap(equipment=key, session=session.id, partner=body.partner))
    return b.StandingAnswer(True, v.service.status(key))


def ask(v: Visit) -> b.StandingAnswer:
    """Ask the holder to yield."""
    key, body = v.equipment_id, v.body_as(b.AskBody)
    session = v.acting(body.session_id)
    v.service.apply(m.AskHolder(equipment=key, session=session.id, seconds=body.seconds, reason=body.reason))
    return b.StandingAnswer(True, v.service.status(key))


def answer(v: Visit) -> b.StandingAnswer:
    """Answer one who asked."""
    body = v.body_as(b.AnswerBody)
    if (body.answer == "later") == (body.seconds is msgspec.UNSET):
        raise invalid("seconds", "it comes with `later`, and with nothing else")
    seconds = body.seconds if isinstance(body.seconds, float) else 0.0
    key = v.equipment_id
    session = v.acting(body.session_id)
    v.service.apply(
        m.AnswerAsk(
            equipment=key,
            session=session.id,
            queue_id=body.queue_id,
            answer=body.answer,
            seconds=seconds,
            note=body.note,
        )
    )
    return b.StandingAnswer(True, v.service.status(key))


def hand_over(v: Visit) -> b.StandingAnswer:
    """Give the lock to somebody who waits."""
    key, body = v.equipment_id, v.body_as(b.HandOverBody)
    session = v.acting(body.session_id)
    v.service.apply(m.HandOver(equipment=key, session=session.id, to=body.to))
    return b.StandingAnswer(True, v.service.status(key))


_CODES = (401, 403, 404, 409)

DOORS = (
    Door("DELETE", "/api/locks/queue/{equipment_id}/{queue_id}", leave, b.LeftAnswer, "Leave the queue",
         query=(("session_id", str, ""),), codes=(401, 404)),
    Door("POST", "/api/locks/queue/{equipment_id}/swap", swap, b.StandingAnswer,
         "Offer to swap places with another waiter, or agree", b.SwapBody, codes=(401, 404, 409)),
    Door("POST", "/api/locks/ask/{equipment_id}", ask, b.StandingAnswer, "Ask the holder to yield", b.AskBody,
         codes=(401, 404)),
    Door("POST", "/api/locks/answer/{equipment_id}", answer, b.StandingAnswer, "Answer one who asked", b.AnswerBody,
         codes=_CODES),
    Door("POST", "/api/locks/handover/{equipment_id}", hand_over, b.StandingAnswer,
         "Give the lock to somebody who waits", b.HandOverBody, codes=_CODES),
)  # fmt: skip

"""A refusal as it is answered: a problem in JSON, with what the table of refusals has of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from authority.core import refusals
from authority.core.model import Equipment, LockLoss
from authority.views import Views

from .refusal_table import REFUSALS, TITLES


class ProblemResponse(Exception):
    """A refusal as it is answered: a status, a code, a sentence, and what else a program may want to know."""

    always = True  # whatever commands run before

    def __init__(self, name: str, data: Mapping[str, object] | None = None, **words: Any) -> None:
        """Take what the table has under `name`; `words` fill its sentence, `data` joins the answer."""
        self.status, sentence = REFUSALS[name]
        self.code = name.partition(".")[0]
        if isinstance(sentence, str):
            self.detail = sentence.format(**words)
        else:
            self.detail = sentence(words["refusal"], words["now"])
        self.data = data or {}
        super().__init__(self.detail)

    def fields(self) -> dict[str, object]:
        """Return the fields of the answer."""
        return {
            "type": f"urn:motorlock:{self.code}",
            "title": TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.data,
        }

    def response(self) -> Response:
        """Return an `application/problem+json` answer."""
        return Response(msgspec.json.encode(self.fields()), self.status, media_type="application/problem+json")


def refusal_to_problem(refusal: refusals.Refusal, views: Views, now: float) -> ProblemResponse:
    """Return how a rule's refusal is answered."""
    if isinstance(refusal, refusals.UnknownEquipment):
        return ProblemResponse(refusal.code, equipment=refusal.equipment_id)
    if not isinstance(refusal, refusals.EquipmentRefusal):
        return ProblemResponse(refusal.code)
    equipment = refusal.equipment
    data = _lock_fields(equipment, views)
    words = {"refusal": refusal, "now": now, "equipment": equipment.id, "fault": equipment.fault, "holder": "nobody"}
    if equipment.lock is not None:
        words["holder"] = equipment.lock.user
    match refusal:
        case refusals.LockLost(loss=LockLoss() as lost):
            loss = views.loss(lost)
            data |= {"why": loss.why, "by": loss.by, "reason": loss.reason, "at": loss.at}
        case refusals.StoppedByAnother(stop=stop):
            data |= {"by": stop.user, "at": views.time(stop.at), "reason": stop.reason}
        case refusals.WouldDeadlock(cycle=cycle):
            data["cycle"], words["waits"] = _cycle_fields_and_words(cycle, views)
    return ProblemResponse(refusal.code, data, **words)


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


def _cycle_fields_and_words(cycle: tuple[refusals.WaitEdge, ...], views: Views) -> tuple[list[dict[str, object]], str]:
    fields: list[dict[str, object]] = []
    clauses: list[str] = []
    users = {session: views.user(session) for edge in cycle for session in (edge.waiter, edge.blocker)}
    names = {**users, cycle[0].waiter: "you"}
    for edge in cycle:
        fields.append(
            {
                "session_id": edge.waiter,
                "user": users[edge.waiter],
                "waits_for": edge.equipment,
                "behind": users[edge.blocker],
            }
        )
        waits = "waits"
        if not clauses:
            waits = "would wait"
        clauses.append(f"{names[edge.waiter]} {waits} for {edge.equipment} behind {names[edge.blocker]}")
    return fields, ", and ".join(clauses)

"""The routes of the equipment: what there is, how it stands, stop, and health."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec
from starlette.responses import Response

from authority import __version__
from authority.committer import StoreFailed
from authority.core import messages
from authority.core.model import Equipment, SessionId
from authority.core.refusals import Refusal
from authority.identity.access import Right
from authority.service import RequestFailed
from authority.stop_delivery import StopResult

from . import answers, bodies
from .explanation import explain
from .problems import ProblemResponse
from .request_body import read_small_body, usable_fields
from .request_context import RequestContext
from .routing import Route

_LABLINK_TYPES = frozenset(
    {"oscilloscope", "power_supply", "electronic_load", "multimeter", "function_generator", "unknown"}
)


def listing(context: RequestContext) -> Response:
    """List the equipment of this lab."""
    return Response(
        msgspec.json.encode([_list_item(context, equipment) for equipment in context.visible_equipment()]),
        headers=_JSON,
    )


_JSON = {"content-type": "application/json"}
_STOP_WAITS_FOR_BODY_S = 0.02
STOP_BODY_S = 0.5
_RECORD_S = 0.5


def _lablink_type(kind: str) -> str:
    if kind in _LABLINK_TYPES:
        return kind
    return "unknown"


def _list_item(context: RequestContext, equipment: Equipment) -> answers.ListedEquipment:
    worker = context.worker(equipment.id)
    holder = None
    if equipment.lock is not None:
        holder = equipment.lock.user
    return answers.ListedEquipment(
        id=equipment.id,
        type=_lablink_type(worker.kind),
        model=type(worker.driver).__name__,
        resource_string=worker.driver.address or equipment.id,
        nickname=worker.label,
        kind=worker.kind,
        label=worker.label,
        state=equipment.state,
        holder=holder,
        queue_length=len(equipment.queue),
    )


def describe(context: RequestContext) -> answers.EquipmentAnswer:
    """Tell the commands of one piece of equipment, its policies, and how it stands."""
    key = context.equipment_id
    worker = context.worker(key)
    equipment = context.equipment(key)
    policies: dict[str, object] = msgspec.to_builtins(equipment.policy)
    return answers.EquipmentAnswer(
        key, worker.kind, worker.label, list(worker.commands.values()), policies, context.service.status(key)
    )


def why(context: RequestContext) -> answers.WhyAnswer:
    """Tell why it stands as it does."""
    key = context.equipment_id
    service = context.service
    return answers.WhyAnswer(
        key, explain(context.equipment(key), context.worker(key), service.views, service.clock.now())
    )


def device_status(context: RequestContext) -> answers.DeviceStatusAnswer:
    """Tell whether the device answers."""
    key = context.equipment_id
    worker = context.worker(key)
    capabilities: dict[str, object] = {"commands": list(worker.commands), "kind": worker.kind}
    seen = context.service.views.time(worker.read_at)
    return answers.DeviceStatusAnswer(
        id=key,
        connected=worker.readback.connected,
        error=worker.readback.error,
        capabilities=capabilities,
        last_seen=seen,
    )


def readings(context: RequestContext) -> Response:
    """Tell the last readback as numbers, and each beside `readings` too, where LabLink's control panel looks for it."""
    key = context.equipment_id
    seen = context.service.views.readback(key)
    values: dict[str, object] = dict(seen.values)
    if seen.position is not None:
        values = {"position": seen.position, **values}
    answer: dict[str, object] = msgspec.to_builtins(answers.ReadingsAnswer(key, values, seen.age_seconds))
    return Response(msgspec.json.encode(values | answer), headers=_JSON)


async def stop(context: RequestContext) -> answers.StopAnswer:
    """Stop equipment: everybody may, always; a session that cannot be proved counts as nobody's.

    A body that keeps the driver waiting is not waited for: it may say afterwards who stopped, and why.
    """
    equipment_id = context.equipment_id
    reading = asyncio.ensure_future(_stop_body(context))
    await asyncio.wait({reading}, timeout=_STOP_WAITS_FOR_BODY_S)
    if reading.done():
        user = _stopper(context, reading.result()[0])[1]
    else:
        user = context.user_called() or f"somebody at {context.peer}"
    result = await context.service.deliver_stop(equipment_id, user)
    body, ignored = await reading
    session_id, user = _stopper(context, body)
    try:
        context.service.record_stop(equipment_id, session_id, user, body.reason, result)
        recorded = await _is_recorded(context)
    except (Refusal, RequestFailed, StoreFailed):  # the driver has the order, whatever becomes of its record
        recorded = False
    outcome = _stop_outcome(result)
    return answers.StopAnswer(
        result.delivered, equipment_id, result.delivered, outcome, result.error, recorded, ignored
    )


async def _stop_body(context: RequestContext) -> tuple[bodies.StopBody, list[str]]:
    """Return what of the body can be used, and what is wrong with the rest; raises nothing."""
    try:
        async with asyncio.timeout(STOP_BODY_S):
            raw = await read_small_body(context.request.scope, context.headers, context.request.receive)
    except TimeoutError:
        return bodies.StopBody(), [f"the body was not complete after {STOP_BODY_S:g} s"]
    except ProblemResponse as refused:
        return bodies.StopBody(), [refused.detail[:1].lower() + refused.detail[1:].rstrip(".")]
    return usable_fields(bodies.StopBody, raw)


def _stopper(context: RequestContext, body: bodies.StopBody) -> tuple[SessionId | None, str]:
    """Return the session that stops, where it is proved, and the user who counts as having stopped."""
    session = None
    if body.session_id:
        session = context.service.table.session(SessionId(body.session_id))
    if session is not None:
        try:
            context.require_session_token(session)
        except ProblemResponse:
            session = None
    if session is None:
        return None, context.user_called(body.user) or f"somebody at {context.peer}"
    return session.id, session.user


async def _is_recorded(context: RequestContext) -> bool:
    """Wait a moment for the stop to be on disk."""
    try:
        async with asyncio.timeout(_RECORD_S):
            await context.service.wait_until_committed()
    except TimeoutError:
        return False
    return context.service.failure is None


def _stop_outcome(result: StopResult) -> answers.StopOutcome:
    if not result.delivered:
        return "stop_not_delivered"
    if result.error is None:
        return "stopped"
    return "nothing_to_stop"


def resume(context: RequestContext, body: bodies.StrictActingBody) -> answers.DoneAnswer:
    """Allow control again after somebody else's stop."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.Resume(equipment=key, session=session.id))
    return answers.DoneAnswer(True, key)


def clear_fault(context: RequestContext, body: bodies.ClearFaultBody) -> answers.DoneAnswer:
    """Declare equipment fit for use again."""
    key = context.equipment_id
    by = context.user_called(body.user) or "somebody"
    if body.session_id is not None:
        by = context.acting_session(body.session_id).user
    context.service.apply(messages.ClearFault(equipment=key, by=by, reason=body.reason))
    return answers.DoneAnswer(True, key)


def health(context: RequestContext) -> answers.HealthAnswer:
    """Tell whether the authority can do its work."""
    service = context.service
    status: Literal["ok", "store_slow", "store_failed"] = "ok"
    if service.failure is not None:
        status = "store_failed"
    elif service.committer.is_slow:
        status = "store_slow"
    locks_enabled = context.app.options.locks
    return answers.HealthAnswer(status, "motorlock", __version__, service.instance, locks_enabled, len(service.workers))


_PATH = "/api/equipment/{equipment_id}"
ROUTES = (
    Route("GET", "/health", health, "Whether the authority can do its work", open_to_all=True, right=None),
    Route("GET", "/api/equipment/list", listing, "The equipment of this lab", answer=list[answers.ListedEquipment]),
    Route("GET", _PATH, describe, "What one piece of equipment can do", codes=(404,)),
    Route("GET", _PATH + "/why", why, "Why it stands as it does, and who can change that", codes=(404,)),
    Route("GET", _PATH + "/status", device_status, "Whether a device answers", codes=(404,)),
    Route("GET", _PATH + "/readings", readings, "The last readback", answer=answers.ReadingsAnswer, codes=(404,)),
    Route(
        "POST",
        _PATH + "/stop",
        stop,
        "Stop: everybody may, always",
        own_body=bodies.StopBody,
        codes=(404,),
        open_to_all=True,
        right=Right.STOP,
    ),
    Route("POST", _PATH + "/resume", resume, "Go on after somebody's stop", codes=(401, 403, 404), right=Right.CONTROL),
    Route(
        "POST",
        _PATH + "/clear-fault",
        clear_fault,
        "Declare equipment fit again",
        codes=(401, 403, 404, 409),
        right=Right.CLEAR_FAULT,
    ),
)

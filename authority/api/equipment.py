"""The doors of the equipment: what there is, how it stands, stop, and health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec
from starlette.responses import Response

from authority import __version__
from authority.committer import StoreFailed
from authority.core import messages as m
from authority.core.model import Equipment, SessionId
from authority.core.refusals import Refusal
from authority.service import RequestFailed
from authority.worker import StopResult

from . import bodies as b
from .doors import Door, Visit
from .problems import Refused
from .request_body import read_small_body, usable_fields
from .why import explain

_LABLINK_TYPES = frozenset(
    {"oscilloscope", "power_supply", "electronic_load", "multimeter", "function_generator", "unknown"}
)


def listing(v: Visit) -> Response:
    """List the equipment of this lab."""
    return Response(msgspec.json.encode([_listed(v, e) for e in v.service.table.all_equipment()]), headers=_JSON)


_JSON = {"content-type": "application/json"}
_STOP_WAITS_FOR_BODY_S = 0.02
_STOP_BODY_S = 0.5
_RECORD_S = 0.5


def _listed(v: Visit, e: Equipment) -> b.ListedEquipment:
    w = v.worker(e.id)
    return b.ListedEquipment(
        id=e.id,
        type=w.kind if w.kind in _LABLINK_TYPES else "unknown",
        model=type(w.driver).__name__,
        resource_string=w.driver.address or e.id,
        nickname=w.label,
        kind=w.kind,
        label=w.label,
        state=e.state,
        holder=None if e.lock is None else e.lock.user,
        queue_length=len(e.queue),
    )


def describe(v: Visit) -> b.EquipmentAnswer:
    """Tell the commands of one piece of equipment, its policies, and how it stands."""
    key = v.equipment_id
    w, e = v.worker(key), v.equipment(key)
    policies: dict[str, object] = msgspec.to_builtins(e.policy)
    return b.EquipmentAnswer(key, w.kind, w.label, list(w.commands.values()), policies, v.service.status(key))


def why(v: Visit) -> b.WhyAnswer:
    """Tell why it stands as it does."""
    key = v.equipment_id
    service = v.service
    return b.WhyAnswer(key, explain(v.equipment(key), v.worker(key), service.views, service.clock.now()))


def device_status(v: Visit) -> b.DeviceStatusAnswer:
    """Tell whether the device answers."""
    key = v.equipment_id
    w = v.worker(key)
    capabilities: dict[str, object] = {"commands": list(w.commands), "kind": w.kind}
    seen = v.service.views.time(w.read_at)
    return b.DeviceStatusAnswer(
        id=key, connected=w.readback.connected, error=w.readback.error, capabilities=capabilities, last_seen=seen
    )


def readings(v: Visit) -> Response:
    """Tell the last readback as numbers, and each beside `readings` too, where LabLink's control panel looks for it."""
    key = v.equipment_id
    seen = v.service.views.readback(v.worker(key))
    values: dict[str, object] = dict(seen.values)
    if seen.position is not None:
        values = {"position": seen.position, **values}
    answer: dict[str, object] = msgspec.to_builtins(b.ReadingsAnswer(key, values, seen.age_seconds))
    return Response(msgspec.json.encode(values | answer), headers=_JSON)


async def stop(v: Visit) -> b.StopAnswer:
    """Stop equipment: everybody may, always; a session that cannot be proved counts as nobody's.

    A body that keeps the driver waiting is not waited for: it may say afterwards who stopped, and why.
    """
    equipment_id = v.equipment_id
    reading = asyncio.ensure_future(_stop_body(v))
    await asyncio.wait({reading}, timeout=_STOP_WAITS_FOR_BODY_S)
    user = _stopper(v, reading.result()[0])[1] if reading.done() else f"somebody at {v.peer}"
    result = await v.service.deliver_stop(equipment_id, user)
    body, ignored = await reading
    session_id, user = _stopper(v, body)
    try:
        v.service.record_stop(equipment_id, session_id, user, body.reason, result)
        recorded = await _is_recorded(v)
    except (Refusal, RequestFailed, StoreFailed):  # the driver has the order, whatever becomes of its record
        recorded = False
    outcome = _stop_outcome(result)
    return b.StopAnswer(result.delivered, equipment_id, result.delivered, outcome, result.error, recorded, ignored)


async def _stop_body(v: Visit) -> tuple[b.StopBody, list[str]]:
    """Return what of the body can be used, and what is wrong with the rest; raises nothing."""
    try:
        async with asyncio.timeout(_STOP_BODY_S):
            raw = await read_small_body(v.request.scope, v.headers, v.receive)
    except TimeoutError:
        return b.StopBody(), [f"the body was not complete after {_STOP_BODY_S:g} s"]
    except Refused as refused:
        return b.StopBody(), [refused.detail[:1].lower() + refused.detail[1:].rstrip(".")]
    return usable_fields(b.StopBody, raw)


def _stopper(v: Visit, body: b.StopBody) -> tuple[SessionId | None, str]:
    """Return the session that stops, where it is proved, and the user who is told to have stopped."""
    session = v.service.table.session(SessionId(body.session_id)) if body.session_id else None
    if session is not None:
        try:
            v.prove(session)
        except Refused:
            session = None
    if session is None:
        return None, body.user or f"somebody at {v.peer}"
    return session.id, session.user


async def _is_recorded(v: Visit) -> bool:
    """Wait a moment for the stop to be on disk."""
    try:
        async with asyncio.timeout(_RECORD_S):
            await v.service.settled()
    except TimeoutError:
        return False
    return v.service.failure is None


def _stop_outcome(result: StopResult) -> b.StopOutcome:
    if not result.delivered:
        return "stop_not_delivered"
    return "stopped" if result.error is None else "nothing_to_stop"


def resume(v: Visit) -> b.DoneAnswer:
    """Allow control again after somebody else's stop."""
    key, session = v.equipment_id, v.acting(v.body_as(b.StrictActingBody).session_id)
    v.service.apply(m.Resume(equipment=key, session=session.id))
    return b.DoneAnswer(True, key)


def clear_fault(v: Visit) -> b.DoneAnswer:
    """Declare equipment fit for use again."""
    body = v.body_as(b.ClearFaultBody)
    key = v.equipment_id
    by = body.user or "somebody"
    if body.session_id is not None:
        by = v.acting(body.session_id).user
    v.service.apply(m.ClearFault(equipment=key, by=by, reason=body.reason))
    return b.DoneAnswer(True, key)


def _not_here(name: str) -> Callable[[Visit], b.DoneAnswer]:
    """Return a handler that refuses what LabLink connects over its interface: here the lab file decides it."""

    def handler(v: Visit) -> b.DoneAnswer:  # noqa: ARG001 - a handler's signature
        detail = "What is connected here is decided by the lab file; change it there and restart the authority."
        raise Refused(501, "lab_file_decides", detail)

    handler.__name__ = name
    return handler


def health(v: Visit) -> b.HealthAnswer:
    """Tell whether the authority can do its work."""
    service = v.service
    status: Literal["ok", "store_slow", "store_failed"] = "ok"
    if service.failure is not None:
        status = "store_failed"
    elif service.committer.is_slow:
        status = "store_slow"
    locks_enabled = v.house.options.locks
    return b.HealthAnswer(status, "motorlock", __version__, service.instance, locks_enabled, len(service.workers))


_EQ = "/api/equipment/{equipment_id}"
_DECIDED = "Not over the interface: the lab file decides what is connected"
DOORS = (
    Door("GET", "/health", health, b.HealthAnswer, "Whether the authority can do its work", open_to_all=True),
    Door("GET", "/api/equipment/list", listing, list[b.ListedEquipment], "The equipment of this lab"),
    Door("POST", "/api/equipment/connect", _not_here("connect"), b.DoneAnswer, _DECIDED, codes=(501,)),
    Door("POST", "/api/equipment/discover", _not_here("discover"), b.DoneAnswer, _DECIDED, codes=(501,)),
    Door("POST", "/api/equipment/disconnect/{equipment_id}", _not_here("disconnect"), b.DoneAnswer, _DECIDED,
         codes=(501,)),
    Door("GET", _EQ, describe, b.EquipmentAnswer, "What one piece of equipment can do", codes=(404,)),
    Door("GET", _EQ + "/why", why, b.WhyAnswer, "Why it stands as it does, and who can change that", codes=(404,)),
    Door("GET", _EQ + "/status", device_status, b.DeviceStatusAnswer, "Whether a device answers", codes=(404,)),
    Door("GET", _EQ + "/readings", readings, b.ReadingsAnswer, "The last readback", codes=(404,)),
    Door("POST", _EQ + "/stop", stop, b.StopAnswer, "Stop: everybody may, always", b.StopBody, body_optional=True,
         codes=(404,), open_to_all=True, reads_body_itself=True),
    Door("POST", _EQ + "/resume", resume, b.DoneAnswer, "Go on after somebody's stop", b.StrictActingBody,
         codes=(401, 403, 404)),
    Door("POST", _EQ + "/clear-fault", clear_fault, b.DoneAnswer, "Declare equipment fit again", b.ClearFaultBody,
         codes=(401, 404, 409)),
)  # fmt: skip

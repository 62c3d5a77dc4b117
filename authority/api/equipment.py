"""The doors of the equipment: what there is, commands, stop, and health."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec
from starlette.responses import Response

from authority import __version__
from authority.codec import iso
from authority.committer import StoreFailed
from authority.core import messages as m
from authority.core.control import permit_control, permit_observe
from authority.core.model import Equipment, EquipmentId, SessionId
from authority.core.refusals import LockLost, LockRequired, ObserveRequired, Refusal
from authority.drivers.declare import Command, InvalidParameters, bind
from authority.journal import Call
from authority.ports import DriverUnavailable, OutsideLimits

from . import bodies as b
from .doors import Door, Visit, invalid
from .problems import Refused
from .why import explain

_LABLINK_TYPES = frozenset(
    {"oscilloscope", "power_supply", "electronic_load", "multimeter", "function_generator", "unknown"}
)
_REPLAYED = {"Idempotency-Replayed": "true"}
KEY_LIMIT = 128


def listing(v: Visit) -> Response:
    """List the equipment of this lab."""
    return Response(msgspec.json.encode([_listed(v, e) for e in v.service.table.all_equipment()]), headers=_JSON)


_JSON = {"content-type": "application/json"}


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
    w, e = v.worker(key), _equipment(v, key)
    policies: dict[str, object] = msgspec.to_builtins(e.policy)
    return b.EquipmentAnswer(key, w.kind, w.label, list(w.commands.values()), policies, v.service.status(key))


def why(v: Visit) -> b.WhyAnswer:
    """Tell why it stands as it does."""
    key = v.equipment_id
    service = v.service
    return b.WhyAnswer(key, explain(_equipment(v, key), v.worker(key), service.views, service.clock.now()))


def device_status(v: Visit) -> b.DeviceStatusAnswer:
    """Tell whether the device answers."""
    key = v.equipment_id
    w = v.worker(key)
    capabilities: dict[str, object] = {"commands": list(w.commands), "kind": w.kind}
    seen = v.service.views.time(w.read_at)
    return b.DeviceStatusAnswer(
        id=key, connected=w.readback.connected, error=w.readback.error, capabilities=capabilities, last_seen=seen
    )


def readings(v: Visit) -> b.ReadingsAnswer:
    """Tell the last readback as numbers."""
    key = v.equipment_id
    seen = v.service.views.readback(v.worker(key))
    values: dict[str, object] = dict(seen.values)
    if seen.position is not None:
        values = {"position": seen.position, **values}
    return b.ReadingsAnswer(key, values, seen.age_seconds)


async def command(v: Visit) -> Response:
    """Run a command, after the checks in their order: body, equipment, command, session, lock, parameters, driver."""
    body = v.body_as(b.CommandBody)
    if body.equipment_id != v.request.path_params["equipment_id"]:
        raise invalid("equipment_id", "it is not the equipment of the path")
    key = v.equipment_id
    declared = v.worker(key).commands.get(body.action)
    if declared is None:
        names = ", ".join(v.worker(key).commands)
        raise Refused(404, "unknown_command", f"{key} has no command {body.action!r}; it has: {names}.")
    if declared.kind == "observe":
        return await _observe(v, key, declared, body)
    return await _control(v, key, declared, body)


async def _control(v: Visit, key: EquipmentId, declared: Command, body: b.CommandBody) -> Response:
    session = _control_session(v, key, body.session_id)
    with _speaking(v, session):
        name, digest = _name_and_digest(v, session, body)
        known = None if digest is None else v.service.find_call(name)
        if known is not None:
            _refuse_other_content(known, digest)
            v.service.apply(m.Seen(session=session))
        else:
            permit_control(_equipment(v, key), session, body.fence)
            parameters = _bound(v, key, declared, body)
            call = Call(name, body.command_id, key, digest)
            v.service.control(
                call,
                m.Control(
                    equipment=key,
                    session=session,
                    key=name,
                    command_id=body.command_id,
                    action=body.action,
                    parameters=parameters,
                    fence=body.fence,
                ),
            )
    if known is None:
        return await _wait(v, call, body.wait_seconds)
    answer = await _wait(v, known, body.wait_seconds)
    answer.headers.update(_REPLAYED)
    return answer


async def past_command(v: Visit) -> Response:
    """Answer what became of a command, by the key that it bore; it runs nothing."""
    key, session = v.headers.get(b"idempotency-key", b"").decode("latin-1"), v.query("session_id", str, "")
    if not 1 <= len(key) <= KEY_LIMIT:
        raise _bad_key()
    known = v.service.find_call(f"{session}\n{key}")
    if known is None or known.equipment != v.equipment_id:
        detail = f"No command of this session on {v.equipment_id} bore that key, or it is older than a day."
        raise Refused(404, "unknown_key", detail)
    wait_s = v.query("wait_seconds", b.Wait, 30.0)
    assert isinstance(wait_s, float)
    answer = await _wait(v, known, wait_s)
    answer.headers.update(_REPLAYED)
    return answer


def _bad_key() -> Refused:
    return invalid("Idempotency-Key", f"it has 1 to {KEY_LIMIT} characters")


@contextmanager
def _speaking(v: Visit, session: SessionId) -> Iterator[None]:
    """Hear the session also where the edge refuses: who asks in vain has spoken all the same."""
    try:
        yield
    except (Refusal, Refused):
        with suppress(Refusal):
            v.service.apply(m.Seen(session=session))
        raise


def _name_and_digest(v: Visit, session: SessionId, body: b.CommandBody) -> tuple[str, bytes | None]:
    """Return under which name a command is recorded and, where it bears a key, what else must be the same."""
    key = v.headers.get(b"idempotency-key", b"").decode("latin-1")
    if not key:
        return uuid.uuid4().hex, None
    if len(key) > KEY_LIMIT:
        raise _bad_key()
    content = [body.equipment_id, body.action, body.parameters, body.command_id]
    return f"{session}\n{key}", hashlib.sha256(msgspec.json.encode(content)).digest()


def _control_session(v: Visit, key: EquipmentId, name: str | None) -> SessionId:
    if not _equipment(v, key).policy.enforce_locks:
        return _anybody(v, name)
    if not name:
        detail = f"A control command needs session_id: log in to {key} first."
        raise Refused(401, "session_required", detail)
    session = v.service.table.session(SessionId(name))
    if session is None:
        e = _equipment(v, key)
        loss = e.loss(SessionId(name))
        raise LockLost(e, loss) if loss is not None or v.house.ids.made(name) else LockRequired(e)
    v.prove(session)
    return session.id


def _anybody(v: Visit, name: str | None) -> SessionId:
    """Return whose command it is where locks are switched off: a session's, or everybody's at that address."""
    known = v.service.table.session(SessionId(name)) if name else None
    if known is None:
        return v.begun(f"anybody at {v.peer}").id
    v.prove(known)
    return known.id


def _bound(v: Visit, key: EquipmentId, declared: Command, body: b.CommandBody) -> dict[str, object]:
    worker = v.worker(key)
    try:
        parameters: dict[str, object] = dict(bind(declared, body.parameters, key))
        worker.driver.check(body.action, parameters)
    except InvalidParameters as error:
        raise Refused(422, "invalid", str(error), errors=error.errors) from None
    except OutsideLimits as error:
        raise Refused(422, "outside_limits", f"{key}: {error}".rstrip(".") + "; it has not moved.") from None
    if not worker.readback.connected:
        worker.seek()
        raise _unavailable(key, worker.readback.error)
    return parameters


def _unavailable(key: str, error: str | None) -> Refused:
    why = f" ({error.rstrip('.')})" if error else ""
    return Refused(503, "driver_unavailable", f"{key} cannot be reached now{why}; locks are kept, try again.")


def _refuse_other_content(call: Call, digest: bytes | None) -> None:
    if call.digest != digest:
        detail = "This idempotency key came with another command before; send a new key with a new command."
        raise Refused(422, "idempotency_mismatch", detail)


async def _wait(v: Visit, call: Call, seconds: float) -> Response:
    try:
        async with asyncio.timeout(seconds):
            await call.over.wait()
    except TimeoutError:
        pass
    if call.reply is not None and call.over.is_set():
        return Response(call.reply, 200, _JSON)
    await v.service.settled()
    return _still_runs(call.command_id, call.equipment)


def _still_runs(command_id: str, equipment: str) -> Response:
    return Response(msgspec.json.encode(_answer(command_id, equipment, "running", None, None)), 202, _JSON)


def _observe_session(v: Visit, e: Equipment, name: str | None) -> SessionId:
    if not e.policy.enforce_locks:
        return _anybody(v, name)
    session = v.service.table.session(SessionId(name)) if name else None
    if session is None:
        raise ObserveRequired(e)
    v.prove(session)
    return session.id


async def _observe(v: Visit, key: EquipmentId, declared: Command, body: b.CommandBody) -> Response:
    e = _equipment(v, key)
    session = _observe_session(v, e, body.session_id)
    with _speaking(v, session):
        permit_observe(e, session)
        parameters = _bound(v, key, declared, body)
        v.service.apply(m.Observe(equipment=key, session=session))
    await v.service.settled()
    asking: Awaitable[object] = v.worker(key).observe(body.action, parameters)
    if not v.worker(key).answers_at_once(body.action):
        asking = task = asyncio.ensure_future(asking)
        if not (await asyncio.wait({task}, timeout=body.wait_seconds))[0]:
            # The driver still works on it, and nobody waits for what it will say.
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
            return _still_runs(body.command_id, key)
    try:
        data = await asking
    except DriverUnavailable as down:
        raise _unavailable(key, str(down)) from None
    except Exception as failed:  # noqa: BLE001 - whatever a driver raises is the command's outcome
        answer = _answer(body.command_id, key, "failed", None, str(failed) or type(failed).__name__)
    else:
        answer = _answer(body.command_id, key, "done", data, None)
    return Response(msgspec.json.encode(answer, enc_hook=str), 200, _JSON)


def _answer(command_id: str, equipment: str, outcome: str, data: object, error: str | None) -> dict[str, object]:
    return {
        "command_id": command_id,
        "equipment_id": equipment,
        "success": outcome in {"done", "running"},
        "data": data,
        "error": error,
        "timestamp": iso(time.time()),
        "outcome": outcome,
    }


async def stop(v: Visit) -> b.StopAnswer:
    """Stop equipment: everybody may, always; a session that cannot be proved counts as nobody's."""
    body = v.body_as(b.StopBody)
    key = v.equipment_id
    session = v.service.table.session(SessionId(body.session_id)) if body.session_id else None
    if session is not None:
        try:
            v.prove(session)
        except Refused:
            session = None
    peer = v.request.client.host if v.request.client is not None else "unknown"
    user = session.user if session is not None else body.user or f"somebody at {peer}"
    delivered = await v.service.stop(key, None if session is None else session.id, user, body.reason)
    with suppress(StoreFailed):  # the driver has the order, whatever becomes of its record
        await v.service.settled()
    return b.StopAnswer(delivered, key, delivered, "stopped" if delivered else "stop_not_delivered")


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
    s = v.service
    return b.HealthAnswer(
        "ok" if s.failure is None else "store_failed",
        "motorlock",
        __version__,
        s.instance,
        v.house.options.locks,
        len(s.workers),
    )


def _equipment(v: Visit, key: EquipmentId) -> Equipment:
    found = v.service.table.equipment(key)
    assert found is not None
    return found


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
    Door("POST", _EQ + "/command", command, b.CommandAnswer, "Run a command", b.CommandBody,
         codes=(401, 403, 404, 409, 503), statuses=(200, 202)),
    Door("GET", _EQ + "/command", past_command, b.CommandAnswer, "What became of a command, by its key",
         query=(("session_id", str, ""), ("wait_seconds", b.Wait, 30.0)), codes=(404, 422), statuses=(200, 202)),
    Door("POST", _EQ + "/stop", stop, b.StopAnswer, "Stop: everybody may, always", b.StopBody, body_optional=True,
         codes=(404,), open_to_all=True),
    Door("POST", _EQ + "/resume", resume, b.DoneAnswer, "Go on after somebody's stop", b.StrictActingBody,
         codes=(401, 403, 404)),
    Door("POST", _EQ + "/clear-fault", clear_fault, b.DoneAnswer, "Declare equipment fit again", b.ClearFaultBody,
         codes=(401, 404, 409)),
)  # fmt: skip

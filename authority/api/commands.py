"""The doors of commands: run one, hear what became of one, ask beforehand whether they would be accepted."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager, suppress

import msgspec
from starlette.responses import Response

from authority.codec import iso
from authority.core import messages as m
from authority.core.control import permit_control, permit_observe
from authority.core.model import EquipmentId, Session, SessionId
from authority.core.refusals import LockLost, LockRequired, ObserveRequired, Refusal
from authority.driver_calls import DriverFailed
from authority.drivers.declare import Command, InvalidParameters, bind
from authority.journal import Call
from authority.ports import DriverUnavailable, OutsideLimits

from . import bodies as b
from .doors import Door, Visit
from .problems import Refused, body_of, told
from .request_body import invalid

_REPLAYED = {"Idempotency-Replayed": "true"}
_JSON = {"content-type": "application/json"}
KEY_LIMIT = 128


async def command(v: Visit) -> Response:
    """Run a command, after the checks in their order: body, equipment, command, session, lock, parameters, driver."""
    body = v.body_as(b.CommandBody)
    if body.equipment_id != v.request.path_params["equipment_id"]:
        raise invalid("equipment_id", "it is not the equipment of the path")
    key = v.equipment_id
    declared = _declared(v, key, body.action)
    known = _session(v, key, declared, body.session_id)
    session = v.begun(_anybody(v)) if known is None else known
    return await (_observe if declared.kind == "observe" else _control)(v, key, declared, session.id, body)


def check(v: Visit) -> b.CheckAnswer:
    """Tell of each command whether it would be accepted now, by the checks of `command`; it changes nothing."""
    body, key = v.body_as(b.CheckBody), v.equipment_id
    return b.CheckAnswer(key, [_checked(v, key, asked, body) for asked in body.commands])


def _checked(v: Visit, key: EquipmentId, asked: b.AskedCommand, body: b.CheckBody) -> b.CheckedView:
    try:
        declared = _declared(v, key, asked.action)
        known = _session(v, key, declared, body.session_id)
        session = SessionId(_anybody(v)) if known is None else known.id
        parameters = _admitted(v, key, declared, session, body.fence, asked.parameters)
        first = () if known is not None else v.beginning(session)
        v.service.weigh(*first, _request(key, declared, session, body.fence, asked.action, parameters))
    except Refusal as refusal:
        refused = told(refusal, v.service.views, v.service.clock.now())
    except Refused as said:
        refused = said
    else:
        return b.CheckedView(asked.action, True, None, False)
    return b.CheckedView(asked.action, False, body_of(refused), refused.always and refused.code not in _PASSING)


_PASSING = frozenset({"driver_unavailable", "too_busy"})


# The checks, in their order: each is passed by what is run and by what is only asked about.


def _declared(v: Visit, key: EquipmentId, action: str) -> Command:
    declared = v.worker(key).commands.get(action)
    if declared is None:
        names = ", ".join(v.worker(key).commands)
        raise Refused(404, "unknown_command", f"{key} has no command {action!r}; it has: {names}.")
    return declared


def _session(v: Visit, key: EquipmentId, declared: Command, name: str | None) -> Session | None:
    """Return whose command it is; None is anybody's, where locks are switched off."""
    e = v.equipment(key)
    session = v.service.table.session(SessionId(name)) if name else None
    if session is not None:
        v.prove(session)
    elif e.policy.enforce_locks and declared.kind == "observe":
        raise ObserveRequired(e)
    elif e.policy.enforce_locks and not name:
        detail = f"A control command needs session_id: log in to {key} first."
        raise Refused(401, "session_required", detail)
    elif e.policy.enforce_locks:
        loss = e.loss(SessionId(name or ""))
        raise LockLost(e, loss) if loss is not None or v.house.ids.made(name or "") else LockRequired(e)
    return session


def _anybody(v: Visit) -> str:
    """Return the session of everybody at that address."""
    return f"anybody at {v.peer}"


def _admitted(
    v: Visit, key: EquipmentId, declared: Command, session: SessionId, fence: int | None, given: Mapping[str, object]
) -> dict[str, object]:
    """Check the lock, the parameters and limits, and the driver; return the parameters as the driver gets them."""
    e, worker = v.equipment(key), v.worker(key)
    if declared.kind == "observe":
        permit_observe(e, session)
    else:
        permit_control(e, session, fence)
    try:
        parameters: dict[str, object] = dict(bind(declared, given, key))
        worker.check(declared.name, parameters)
    except InvalidParameters as error:
        raise Refused(422, "invalid", str(error), errors=error.errors) from None
    except OutsideLimits as error:
        detail = f"{key}: {error}".rstrip(".") + "; it has not moved."
        refused = Refused(422, "outside_limits", detail)
        refused.always = error.always
        raise refused from None
    except (DriverFailed, DriverUnavailable) as failed:
        detail = f"{key}: the driver cannot say whether {declared.name} is allowed ({failed}); it has not moved."
        raise Refused(503, "driver_unavailable", detail) from None
    if not worker.readback.connected:
        raise _unavailable(key, worker.readback.error)
    return parameters


def _request(
    key: EquipmentId,
    declared: Command,
    session: SessionId,
    fence: int | None,
    command_id: str,
    parameters: dict[str, object],
    *,
    name: str = "",
) -> m.Control | m.Observe:
    """Return what the rules decide on at last: on the newest state, with all that is due."""
    if declared.kind == "observe":
        return m.Observe(equipment=key, session=session)
    return m.Control(
        equipment=key,
        session=session,
        key=name,
        command_id=command_id,
        action=declared.name,
        parameters=parameters,
        fence=fence,
    )


# What is run


async def _control(v: Visit, key: EquipmentId, declared: Command, session: SessionId, body: b.CommandBody) -> Response:
    with _in_earnest(v, key, session):
        name, digest = _name_and_digest(v, session, body)
        known = None if digest is None else _asked_again(v, v.service.find_call(name), session, digest)
        if known is None:
            parameters = _admitted(v, key, declared, session, body.fence, body.parameters)
            call = Call(name, body.command_id, key, digest)
            request = _request(key, declared, session, body.fence, body.command_id, parameters, name=name)
            assert isinstance(request, m.Control)
            v.service.control(call, request)
    return await (_wait(v, call, body.wait_seconds) if known is None else _wait_again(v, known, body.wait_seconds))


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
    return await _wait_again(v, known, wait_s)


def _bad_key() -> Refused:
    return invalid("Idempotency-Key", f"it has 1 to {KEY_LIMIT} characters")


@contextmanager
def _in_earnest(v: Visit, key: EquipmentId, session: SessionId) -> Iterator[None]:
    """Hear the session also where the edge refuses, for who asks in vain has spoken; seek a device that is wanted."""
    try:
        yield
    except (Refusal, Refused) as refused:
        with suppress(Refusal):
            v.service.apply(m.Seen(session=session))
        if refused.code == "driver_unavailable":
            v.worker(key).seek()
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


def _unavailable(key: str, error: str | None) -> Refused:
    why = f" ({error.rstrip('.')})" if error else ""
    return Refused(503, "driver_unavailable", f"{key} cannot be reached now{why}; locks are kept, try again.")


def _asked_again(v: Visit, known: Call | None, session: SessionId, digest: bytes) -> Call | None:
    """Return the call that bears this key already, where there is one: its session is heard, and nothing runs."""
    if known is not None:
        if known.digest != digest:
            detail = "This idempotency key came with another command before; send a new key with a new command."
            raise Refused(422, "idempotency_mismatch", detail)
        v.service.apply(m.Seen(session=session))
    return known


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


async def _wait_again(v: Visit, known: Call, seconds: float) -> Response:
    answer = await _wait(v, known, seconds)
    answer.headers.update(_REPLAYED)
    return answer


def _still_runs(command_id: str, equipment: str) -> Response:
    return Response(msgspec.json.encode(_answer(command_id, equipment, "running", None, None)), 202, _JSON)


async def _observe(v: Visit, key: EquipmentId, declared: Command, session: SessionId, body: b.CommandBody) -> Response:
    with _in_earnest(v, key, session):
        name, digest = _name_and_digest(v, session, body)
        known = None if digest is None else _asked_again(v, v.service.running_call(name), session, digest)
        if known is None:
            parameters = _admitted(v, key, declared, session, None, body.parameters)
            v.service.apply(_request(key, declared, session, None, body.command_id, parameters))
    if known is not None:
        return await _wait_again(v, known, body.wait_seconds)
    await v.service.settled()
    asking: Awaitable[msgspec.Raw] = v.worker(key).observe(body.action, parameters)
    if not v.worker(key).answers_at_once(body.action):
        asking = task = asyncio.ensure_future(asking)
        if not (await asyncio.wait({task}, timeout=body.wait_seconds))[0]:
            call = Call(name, body.command_id, key, digest)
            if digest is not None:
                v.service.outlasts(call)
            # The driver still works on it; who asks again under its key waits for what it will say.
            task.add_done_callback(lambda _: _conclude(v, call, task))
            return _still_runs(body.command_id, key)
    try:
        answer = _answer(body.command_id, key, "done", await asking, None)
    except DriverUnavailable as down:
        raise _unavailable(key, str(down)) from None
    except Exception as failed:  # noqa: BLE001 - whatever a driver raises is the command's outcome
        answer = _failed(body.command_id, key, failed)
    return Response(msgspec.json.encode(answer), 200, _JSON)


def _conclude(v: Visit, call: Call, late: asyncio.Task[msgspec.Raw]) -> None:
    if late.cancelled():  # the authority ends
        return
    failed = late.exception()
    of = call.command_id, call.equipment
    answer = _failed(*of, failed) if failed is not None else _answer(*of, "done", late.result(), None)
    v.service.conclude(call, msgspec.json.encode(answer))


def _failed(command_id: str, equipment: str, error: BaseException) -> dict[str, object]:
    return _answer(command_id, equipment, "failed", None, str(error) or type(error).__name__)


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


_COMMAND = "/api/equipment/{equipment_id}/command"
DOORS = (
    Door("POST", _COMMAND, command, b.CommandAnswer, "Run a command", b.CommandBody,
         codes=(401, 403, 404, 409, 503), statuses=(200, 202)),
    Door("GET", _COMMAND, past_command, b.CommandAnswer, "What became of a command, by its key",
         query=(("session_id", str, ""), ("wait_seconds", b.Wait, 30.0)), codes=(404, 422), statuses=(200, 202)),
    Door("POST", "/api/equipment/{equipment_id}/check", check, b.CheckAnswer,
         "Whether commands would be accepted now", b.CheckBody, codes=(404,)),
)  # fmt: skip

"""The routes of commands: run one, hear what became of one, ask beforehand whether they would be accepted."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import msgspec
from starlette.responses import Response

from authority.codec import encode_reply, iso
from authority.core import messages
from authority.core.control import permit_control, permit_observe
from authority.core.model import EquipmentId, Session, SessionId
from authority.core.refusals import LockLost, LockRequired, ObserveRequired, Refusal
from authority.driver_calls import DriverFailed
from authority.identity.access import Right
from authority.journal import JournalCall
from authority.parameters import Command, InvalidParameters, bind
from authority.ports import DriverUnavailable, OutsideLimits
from authority.sentences import in_parentheses

from . import bodies
from .problems import ProblemResponse, refusal_to_problem
from .request_body import invalid_request
from .request_context import RequestContext
from .routing import Route

_REPLAYED = {"Idempotency-Replayed": "true"}
_JSON = {"content-type": "application/json"}
KEY_LIMIT = 128
RIGHT_TO_RUN = {"control": Right.CONTROL, "observe": Right.OBSERVE}


async def command(context: RequestContext, body: bodies.CommandBody) -> Response:
    """Run a command, after the checks in their order: body, equipment, command, session, lock, parameters, driver."""
    if body.equipment_id != context.path["equipment_id"]:
        raise invalid_request("equipment_id", "it is not the equipment of the path")
    key = context.equipment_id
    declared = _declared_command(context, key, body.action)
    known = _session_of_command(context, key, declared, body.session_id)
    if known is None:
        session = context.session_or_new(_anonymous_session_id(context))
    else:
        session = known
    if declared.kind == "observe":
        return await _run_observe_command(context, key, declared, session.id, body)
    return await _run_control_command(context, key, declared, session.id, body)


def check(context: RequestContext, body: bodies.CheckBody) -> bodies.CheckAnswer:
    """Tell of each command whether it would be accepted now, by the checks of `command`; it changes nothing."""
    key = context.equipment_id
    return bodies.CheckAnswer(key, [_check_command(context, key, asked, body) for asked in body.commands])


def _check_command(
    context: RequestContext, key: EquipmentId, asked: bodies.AskedCommand, body: bodies.CheckBody
) -> bodies.CheckedView:
    try:
        declared = _declared_command(context, key, asked.action)
        known = _session_of_command(context, key, declared, body.session_id)
        first: tuple[messages.Request, ...] = ()
        if known is None:
            session = SessionId(_anonymous_session_id(context))
        else:
            session = known.id
        parameters = _admit_command(context, key, declared, session, body.fence, asked.parameters)
        if known is None:
            first = context.requests_to_begin(session)
        context.service.check_request(
            *first, _core_request(key, declared, session, body.fence, asked.action, parameters)
        )
    except Refusal as refusal:
        refused = refusal_to_problem(refusal, context.service.views, context.service.clock.now())
    except ProblemResponse as problem_response:
        refused = problem_response
    else:
        return bodies.CheckedView(asked.action, True, None, False)
    return bodies.CheckedView(asked.action, False, refused.fields(), refused.always and refused.code not in _MAY_CHANGE)


_MAY_CHANGE = frozenset({"driver_unavailable", "too_busy"})


# The checks, in their order: each is passed by what is run and by what is only asked about.


def _declared_command(context: RequestContext, key: EquipmentId, action: str) -> Command:
    declared = context.worker(key).commands.get(action)
    if declared is None:
        names = ", ".join(context.worker(key).commands)
        raise ProblemResponse("unknown_command", equipment=key, action=action, names=names)
    context.require(RIGHT_TO_RUN[declared.kind], key)
    return declared


def _session_of_command(
    context: RequestContext, key: EquipmentId, declared: Command, name: str | None
) -> Session | None:
    """Return whose command it is; None is anybody's, where locks are switched off."""
    equipment = context.equipment(key)
    session = None
    if name:
        session = context.service.table.session(SessionId(name))
    if session is not None:
        context.require_session_token(session)
    elif equipment.policy.enforce_locks and declared.kind == "observe":
        raise ObserveRequired(equipment)
    elif equipment.policy.enforce_locks and not name:
        raise ProblemResponse("session_required", equipment=key)
    elif equipment.policy.enforce_locks:
        loss = equipment.loss(SessionId(name or ""))
        if loss is None and not context.app.ids.made(name or ""):
            raise LockRequired(equipment)
        raise LockLost(equipment, loss)
    return session


def _anonymous_session_id(context: RequestContext) -> str:
    """Return the session of everybody at that address."""
    return f"anybody at {context.peer}"


def _admit_command(
    context: RequestContext,
    key: EquipmentId,
    declared: Command,
    session: SessionId,
    fence: int | None,
    given: Mapping[str, object],
) -> dict[str, object]:
    """Check the lock, the parameters and limits, and the driver; return the parameters as the driver gets them."""
    equipment = context.equipment(key)
    worker = context.worker(key)
    if declared.kind == "observe":
        permit_observe(equipment, session)
    else:
        permit_control(equipment, session, fence)
    try:
        parameters: dict[str, object] = dict(bind(declared, given, key))
        worker.check(declared.name, parameters)
    except InvalidParameters as error:
        raise ProblemResponse("invalid.parameters", {"errors": error.errors}, message=str(error)) from None
    except OutsideLimits as error:
        refused = ProblemResponse("outside_limits.parameters", equipment=key, problem=str(error).rstrip("."))
        refused.always = error.always
        raise refused from None
    except (DriverFailed, DriverUnavailable) as failed:
        raise ProblemResponse("driver_unavailable.check", equipment=key, action=declared.name, why=failed) from None
    if not worker.readback.connected:
        raise _driver_unavailable(key, worker.readback.error)
    return parameters


def _core_request(
    key: EquipmentId,
    declared: Command,
    session: SessionId,
    fence: int | None,
    command_id: str,
    parameters: dict[str, object],
    *,
    name: str = "",
) -> messages.Control | messages.Observe:
    """Return what the rules decide on at last: on the newest state, with all that is due."""
    if declared.kind == "observe":
        return messages.Observe(equipment=key, session=session)
    return messages.Control(
        equipment=key,
        session=session,
        key=name,
        command_id=command_id,
        action=declared.name,
        parameters=parameters,
        fence=fence,
    )


# What is run


async def _run_control_command(
    context: RequestContext, key: EquipmentId, declared: Command, session: SessionId, body: bodies.CommandBody
) -> Response:
    with _record_attempt(context, key, session):
        name, digest = _journal_key_and_digest(context, session, body)
        known = _known_call(context, context.service.find_call, name, session, digest)
        if known is None:
            parameters = _admit_command(context, key, declared, session, body.fence, body.parameters)
            call = JournalCall(name, body.command_id, key, digest)
            request = _core_request(key, declared, session, body.fence, body.command_id, parameters, name=name)
            assert isinstance(request, messages.Control)
            context.service.control(call, request)
    if known is not None:
        return await _wait_for_known_reply(context, known, body.wait_seconds)
    return await _wait_for_reply(context, call, body.wait_seconds)


async def past_command(context: RequestContext) -> Response:
    """Answer what became of a command, by the key that it bore; it runs nothing."""
    key = context.headers.get(b"idempotency-key", b"").decode("latin-1")
    session = SessionId(context.query("session_id"))
    if not 1 <= len(key) <= KEY_LIMIT:
        raise _bad_key()
    acting = context.service.table.session(session)
    if acting is not None:
        context.require_session_token(acting)
    known = context.service.find_call(f"{session}\n{key}")
    if known is None or known.equipment != context.equipment_id:
        raise ProblemResponse("unknown_key", equipment=context.equipment_id)
    return await _wait_for_known_reply(context, known, context.query("wait_seconds"))


def _bad_key() -> ProblemResponse:
    return invalid_request("Idempotency-Key", f"it has 1 to {KEY_LIMIT} characters")


@contextmanager
def _record_attempt(context: RequestContext, key: EquipmentId, session: SessionId) -> Iterator[None]:
    """Hear the session also where the edge refuses, for who asks in vain has spoken; seek a device that is wanted."""
    try:
        yield
    except (Refusal, ProblemResponse) as refused:
        with suppress(Refusal):
            context.service.apply(messages.SignOfLife(session=session))
        if refused.code == "driver_unavailable":
            context.worker(key).reconnect_soon()
        raise


def _journal_key_and_digest(
    context: RequestContext, session: SessionId, body: bodies.CommandBody
) -> tuple[str, bytes | None]:
    """Return under which name a command is recorded and, where it bears a key, what else must be the same."""
    key = context.headers.get(b"idempotency-key", b"").decode("latin-1")
    if not key:
        return uuid.uuid4().hex, None
    if len(key) > KEY_LIMIT:
        raise _bad_key()
    content = [body.equipment_id, body.action, body.parameters, body.command_id]
    return f"{session}\n{key}", hashlib.sha256(msgspec.json.encode(content)).digest()


def _driver_unavailable(key: str, error: str | None) -> ProblemResponse:
    return ProblemResponse("driver_unavailable", equipment=key, why=in_parentheses(error))


def _known_call(
    context: RequestContext,
    find: Callable[[str], JournalCall | None],
    name: str,
    session: SessionId,
    digest: bytes | None,
) -> JournalCall | None:
    """Return the call that bears this key already, where there is one: its session is heard, and nothing runs."""
    if digest is None:
        return None
    known = find(name)
    if known is not None:
        if known.digest != digest:
            raise ProblemResponse("idempotency_mismatch")
        context.service.apply(messages.SignOfLife(session=session))
    return known


async def _wait_for_reply(context: RequestContext, call: JournalCall, seconds: float) -> Response:
    try:
        async with asyncio.timeout(seconds):
            await call.over.wait()
    except TimeoutError:
        pass
    if call.reply is not None and call.over.is_set():
        return Response(call.reply, 200, _JSON)
    await context.service.wait_until_committed()
    return _still_running_response(call.command_id, call.equipment)


async def _wait_for_known_reply(context: RequestContext, known: JournalCall, seconds: float) -> Response:
    answer = await _wait_for_reply(context, known, seconds)
    answer.headers.update(_REPLAYED)
    return answer


def _still_running_response(command_id: str, equipment: str) -> Response:
    return Response(_reply(command_id, equipment, "running"), 202, _JSON)


async def _run_observe_command(
    context: RequestContext, key: EquipmentId, declared: Command, session: SessionId, body: bodies.CommandBody
) -> Response:
    with _record_attempt(context, key, session):
        name, digest = _journal_key_and_digest(context, session, body)
        known = _known_call(context, context.service.journal.get, name, session, digest)
        if known is None:
            parameters = _admit_command(context, key, declared, session, None, body.parameters)
            context.service.apply(_core_request(key, declared, session, None, body.command_id, parameters))
    if known is not None:
        return await _wait_for_known_reply(context, known, body.wait_seconds)
    await context.service.wait_until_committed()
    asking: Awaitable[msgspec.Raw] = context.worker(key).observe(body.action, parameters)
    if not context.worker(key).answers_at_once(body.action):
        asking = task = asyncio.ensure_future(asking)
        if not (await asyncio.wait({task}, timeout=body.wait_seconds))[0]:
            call = JournalCall(name, body.command_id, key, digest)
            if digest is not None:
                context.service.journal.open(call)
            # The driver still works on it; who asks again under its key waits for what it will say.
            task.add_done_callback(lambda _: _conclude_late_observe(context, call, task))
            return _still_running_response(body.command_id, key)
    try:
        reply = _reply(body.command_id, key, "done", await asking)
    except DriverUnavailable as down:
        raise _driver_unavailable(key, str(down)) from None
    except Exception as failed:  # noqa: BLE001 - whatever a driver raises is the command's outcome
        reply = _failure_reply(body.command_id, key, failed)
    return Response(reply, 200, _JSON)


def _conclude_late_observe(context: RequestContext, call: JournalCall, late: asyncio.Task[msgspec.Raw]) -> None:
    if late.cancelled():  # the authority ends
        return
    failed = late.exception()
    of = call.command_id, call.equipment
    if failed is not None:
        reply = _failure_reply(*of, failed)
    else:
        reply = _reply(*of, "done", late.result())
    context.service.journal.conclude(call, reply)


def _failure_reply(command_id: str, equipment: str, error: BaseException) -> bytes:
    return _reply(command_id, equipment, "failed", None, str(error) or type(error).__name__)


def _reply(command_id: str, equipment: str, outcome: str, data: object = None, error: str | None = None) -> bytes:
    return encode_reply(command_id, equipment, outcome, data, error, iso(time.time()))


_COMMAND = "/api/equipment/{equipment_id}/command"
ROUTES = (
    Route(
        "POST",
        _COMMAND,
        command,
        "Run a command",
        answer=bodies.CommandAnswer,
        codes=(401, 403, 404, 409, 503),
        statuses=(200, 202),
    ),
    Route(
        "GET",
        _COMMAND,
        past_command,
        "What became of a command, by its key",
        answer=bodies.CommandAnswer,
        query={"session_id": (str, ""), "wait_seconds": (bodies.Wait, 30.0)},
        codes=(401, 404, 422),
        statuses=(200, 202),
    ),
    Route("POST", "/api/equipment/{equipment_id}/check", check, "Whether commands would be accepted now", codes=(404,)),
)

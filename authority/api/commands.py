"""The routes of commands: run one, hear what became of one, ask beforehand whether they would be accepted."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec
from starlette.responses import Response

from authority.codec import encode_reply, iso
from authority.core import messages
from authority.core.model import SessionId
from authority.core.refusals import Refusal
from authority.journal import JournalCall
from authority.ports import DriverUnavailable

from . import answers, bodies
from .command_request import CommandRequest, command_request, driver_unavailable
from .problems import ProblemResponse, refusal_to_problem
from .request_body import invalid_request
from .request_context import RequestContext
from .routing import Route

_REPLAYED = {"Idempotency-Replayed": "true"}
_JSON = {"content-type": "application/json"}
KEY_LIMIT = 128
_MAY_CHANGE = frozenset({"driver_unavailable", "too_busy"})


async def command(context: RequestContext, body: bodies.CommandBody) -> Response:
    """Run a command, after the checks in their order: body, equipment, command, session, lock, parameters, driver."""
    if body.equipment_id != context.path["equipment_id"]:
        raise invalid_request("equipment_id", "it is not the equipment of the path")
    request = command_request(context, body.action, body.parameters, body)
    if request.session is None:
        context.session_or_new(request.session_id)
    if request.declared.kind == "observe":
        return await _run_observe_command(request, body)
    return await _run_control_command(request, body)


def check(context: RequestContext, body: bodies.CheckBody) -> answers.CheckAnswer:
    """Tell of each command whether it would be accepted now, by the checks of `command`; it changes nothing."""
    equipment_id = context.equipment_id
    return answers.CheckAnswer(equipment_id, [_check_command(context, asked, body) for asked in body.commands])


def _check_command(context: RequestContext, asked: bodies.AskedCommand, body: bodies.CheckBody) -> answers.CheckedView:
    try:
        request = command_request(context, asked.action, asked.parameters, body)
        parameters = request.admit()
        message: messages.Request = request.observe_message()
        if request.declared.kind == "control":
            message = request.control_message(asked.action, parameters)
        context.service.check_request(*context.requests_to_begin(request.session_id), message)
    except Refusal as refusal:
        refused = refusal_to_problem(refusal, context.service.views, context.service.clock.now())
    except ProblemResponse as problem_response:
        refused = problem_response
    else:
        return answers.CheckedView(asked.action, True, None, False)
    return answers.CheckedView(
        asked.action, False, refused.fields(), refused.always and refused.code not in _MAY_CHANGE
    )


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


async def _run_control_command(request: CommandRequest, body: bodies.CommandBody) -> Response:
    service = request.context.service
    with _record_attempt(request):
        call, is_known = _journal_call(request, body, service.find_call)
        if not is_known:
            service.control(call, request.control_message(body.command_id, request.admit(), call.key))
    if is_known:
        return await _wait_for_known_reply(request.context, call, body.wait_seconds)
    return await _wait_for_reply(request.context, call, body.wait_seconds)


async def _run_observe_command(request: CommandRequest, body: bodies.CommandBody) -> Response:
    context = request.context
    with _record_attempt(request):
        call, is_known = _journal_call(request, body, context.service.journal.get)
        if not is_known:
            parameters = request.admit()
            context.service.apply(request.observe_message())
    if is_known:
        return await _wait_for_known_reply(context, call, body.wait_seconds)
    await context.service.wait_until_committed()
    worker = context.worker(request.equipment_id)
    asking: Awaitable[msgspec.Raw] = worker.observe(body.action, parameters)
    if not worker.answers_at_once(body.action):
        asking = task = asyncio.ensure_future(asking)
        if not (await asyncio.wait({task}, timeout=body.wait_seconds))[0]:
            if call.digest is not None:
                context.service.journal.open(call)
            # The driver still works on it; who asks again under its key waits for what it will say.
            task.add_done_callback(lambda _: _conclude_late_observe(context, call, task))
            return _still_running_response(call)
    try:
        reply = _reply(call, "done", await asking)
    except DriverUnavailable as down:
        raise driver_unavailable(call.equipment, str(down)) from None
    except Exception as failed:  # noqa: BLE001 - whatever a driver raises is the command's outcome
        reply = _failure_reply(call, failed)
    return Response(reply, 200, _JSON)


@contextmanager
def _record_attempt(request: CommandRequest) -> Iterator[None]:
    """Hear the session also where the edge refuses, for who asks in vain has spoken; seek a device that is wanted."""
    try:
        yield
    except (Refusal, ProblemResponse) as refused:
        with suppress(Refusal):
            request.context.service.apply(messages.SignOfLife(session=request.session_id))
        if refused.code == "driver_unavailable":
            request.context.worker(request.equipment_id).reconnect_soon()
        raise


def _journal_call(
    request: CommandRequest, body: bodies.CommandBody, find: Callable[[str], JournalCall | None]
) -> tuple[JournalCall, bool]:
    """Return the call that bears the request's key already and true, else a new one and false.

    Where there is one, its session is heard, and nothing runs.
    """
    key = request.context.headers.get(b"idempotency-key", b"").decode("latin-1")
    if not key:
        return JournalCall(uuid.uuid4().hex, body.command_id, request.equipment_id, None), False
    if len(key) > KEY_LIMIT:
        raise _bad_key()
    # What else must be the same where the key is.
    content = [body.equipment_id, body.action, body.parameters, body.command_id]
    digest = hashlib.sha256(msgspec.json.encode(content)).digest()
    name = f"{request.session_id}\n{key}"
    known = find(name)
    if known is None:
        return JournalCall(name, body.command_id, request.equipment_id, digest), False
    if known.digest != digest:
        raise ProblemResponse("idempotency_mismatch")
    request.context.service.apply(messages.SignOfLife(session=request.session_id))
    return known, True


def _bad_key() -> ProblemResponse:
    return invalid_request("Idempotency-Key", f"it has 1 to {KEY_LIMIT} characters")


async def _wait_for_reply(context: RequestContext, call: JournalCall, seconds: float) -> Response:
    try:
        async with asyncio.timeout(seconds):
            await call.over.wait()
    except TimeoutError:
        pass
    if call.reply is not None and call.over.is_set():
        return Response(call.reply, 200, _JSON)
    await context.service.wait_until_committed()
    return _still_running_response(call)


async def _wait_for_known_reply(context: RequestContext, known: JournalCall, seconds: float) -> Response:
    answer = await _wait_for_reply(context, known, seconds)
    answer.headers.update(_REPLAYED)
    return answer


def _still_running_response(call: JournalCall) -> Response:
    return Response(_reply(call, "running"), 202, _JSON)


def _conclude_late_observe(context: RequestContext, call: JournalCall, late: asyncio.Task[msgspec.Raw]) -> None:
    if late.cancelled():  # the authority ends
        return
    failed = late.exception()
    if failed is not None:
        reply = _failure_reply(call, failed)
    else:
        reply = _reply(call, "done", late.result())
    context.service.journal.conclude(call, reply)


def _failure_reply(call: JournalCall, error: BaseException) -> bytes:
    return _reply(call, "failed", None, str(error) or type(error).__name__)


def _reply(call: JournalCall, outcome: str, data: object = None, error: str | None = None) -> bytes:
    return encode_reply(call.command_id, call.equipment, outcome, data, error, iso(time.time()))


_COMMAND = "/api/equipment/{equipment_id}/command"
ROUTES = (
    Route(
        "POST",
        _COMMAND,
        command,
        "Run a command",
        answer=answers.CommandAnswer,
        codes=(401, 403, 404, 409, 503),
        statuses=(200, 202),
    ),
    Route(
        "GET",
        _COMMAND,
        past_command,
        "What became of a command, by its key",
        answer=answers.CommandAnswer,
        query={"session_id": (str, ""), "wait_seconds": (bodies.Wait, 30.0)},
        codes=(401, 404, 422),
        statuses=(200, 202),
    ),
    Route("POST", "/api/equipment/{equipment_id}/check", check, "Whether commands would be accepted now", codes=(404,)),
)

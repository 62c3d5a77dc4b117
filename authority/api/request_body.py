"""The body of a request: read within limits of size and time, and decoded as the type that its route says.

A body that cannot be read hurts its own request. That of a stop hurts nothing: what of it cannot be used is left out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.types import Receive, Scope

from .claimed_names import printable
from .problems import ProblemResponse

BODY_LIMIT = 1024 * 1024
SMALL_BODY = 64 * 1024
LARGE_BODIES = 16
DEPTH_LIMIT = 32
NESTED_LIMIT = 10_000
IGNORED_LIMIT = 10
# What people write and others read, in every body that has it.
TEXTS = frozenset({"user", "client_name", "note", "reason"})

# What the connection notes in the scope of a request whose body it gave up.
BODY_FAULT = "motorlock.body_fault"
BODY_IS_TOO_SLOW = "too slow"
BODY_IS_MALFORMED = "malformed"

_Fields = TypeVar("_Fields", bound=msgspec.Struct)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_ONE_KIND_OF_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def invalid_request(where: str, message: str) -> ProblemResponse:
    """Return a 422: one sentence, and the list for programs."""
    errors = [{"loc": where, "msg": message, "type": "value_error"}]
    return ProblemResponse("invalid", {"errors": errors}, where=where, message=message)


class BodyReader:
    """Reads the bodies of one server: of large ones a few at once, of which one is decoded in a turn of the loop."""

    def __init__(self) -> None:
        self._large = asyncio.Semaphore(LARGE_BODIES)
        self._decoding = asyncio.Lock()

    async def read(self, kind: type, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> object:
        """Return the body as `kind`; refuse one that is too large or cannot be read."""
        _refuse_announced(headers)
        raw = bytearray()
        is_complete = await _receive_body(raw, SMALL_BODY, scope, receive)
        if len(raw) <= SMALL_BODY:
            return decode_body(kind, headers, bytes(raw))
        async with self._large:
            if not is_complete:
                await _receive_body(raw, BODY_LIMIT, scope, receive)
            if len(raw) > BODY_LIMIT:
                raise ProblemResponse("too_large", limit="1 MiB")
            async with self._decoding:
                await asyncio.sleep(0)  # a stop that came meanwhile is first
                return decode_body(kind, headers, bytes(raw))


async def read_small_body(scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Return a body of at most `SMALL_BODY` bytes, or refuse it."""
    _refuse_announced(headers)
    raw = bytearray()
    await _receive_body(raw, SMALL_BODY, scope, receive)
    if len(raw) > SMALL_BODY:
        raise ProblemResponse("too_large", limit="64 KiB")
    return bytes(raw)


def _refuse_announced(headers: Mapping[bytes, bytes]) -> None:
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > BODY_LIMIT:
        raise ProblemResponse("too_large", limit="1 MiB")


async def _receive_body(raw: bytearray, limit: int, scope: Scope, receive: Receive) -> bool:
    """Add to `raw` what comes, until it is complete or more than `limit`; return whether it is complete."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemResponse("invalid.cut_short")
        raw += message.get("body", b"")
        if not message.get("more_body", False):
            break
        if len(raw) > limit:
            return False
    fault = scope.get(BODY_FAULT)
    if fault == BODY_IS_TOO_SLOW:
        raise ProblemResponse("too_slow")
    if fault == BODY_IS_MALFORMED:
        raise ProblemResponse("invalid.chunks")
    return True


def decode_body(kind: type, headers: Mapping[bytes, bytes], raw: bytes) -> object:
    """Return the body as `kind`; refuse what is no JSON, nested too deep, or not of that shape."""
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise ProblemResponse("not_json")
    refused = _nesting_problem(raw)
    if refused is not None:
        raise invalid_request("body", refused)
    try:
        raw.decode()  # msgspec does not look into fields that it leaves out
        return _with_printable_texts(msgspec.json.decode(raw, type=kind, strict=False))
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        raise invalid_request(
            where.strip("`").removeprefix("$.") or "body", message[:1].lower() + message[1:]
        ) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise invalid_request("body", "it is not well-formed JSON in UTF-8") from None


def _with_printable_texts(body: object) -> object:
    for name in TEXTS:
        text = getattr(body, name, None)
        if isinstance(text, str) and not text.isprintable():
            setattr(body, name, printable(text))
    return body


def _nesting_problem(raw: bytes) -> str | None:
    """Return what is wrong with lists and objects in one another, for decoding them takes long; None where nothing is.

    What is no well-formed JSON may be refused as either.
    """
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_LIMIT:
        return None
    brackets = _STRING.sub(b"", raw).translate(_ONE_KIND_OF_BRACKET, _NO_BRACKETS)
    if brackets.count(b"[") > NESTED_LIMIT:
        return f"it has more than {NESTED_LIMIT} lists and objects"
    for _ in range(DEPTH_LIMIT):
        brackets = brackets.replace(b"[]", b"")  # each time the innermost go
    if b"[" in brackets and b"]" in brackets:
        return f"it is nested more than {DEPTH_LIMIT} deep"
    return None


def usable_fields(kind: type[_Fields], raw: bytes) -> tuple[_Fields, list[str]]:
    """Return what of a body can be used as `kind`, all of whose fields have defaults, and of the rest what is wrong.

    For a request that must not fail for its body: each field is taken or left out by itself.
    """
    if not raw.strip():
        return kind(), []
    refused = _nesting_problem(raw)
    if refused is not None:
        return kind(), [refused]
    try:
        given = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return kind(), ["the body is no JSON object in UTF-8"]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    taken: dict[str, object] = {}
    ignored: list[str] = []
    for name, value in given.items():
        if name not in fields:
            ignored.append(f"{name[:40]!r} is no field of it")
            continue
        try:
            taken[fields[name].name] = msgspec.convert(value, fields[name].type, strict=False)
        except msgspec.ValidationError as error:
            message = str(error)
            ignored.append(f"{name}: {message[:1].lower()}{message[1:]}")
    body = kind(**taken)
    _with_printable_texts(body)
    return body, ignored[:IGNORED_LIMIT]

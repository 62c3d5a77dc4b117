"""The body of a request: read within limits of size and time, and decoded as the type that its route says.

A body that cannot be read hurts its own request. That of a stop hurts nothing: what of it cannot be used is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.types import Receive, Scope

from .problems import Refused

BODY_LIMIT = 1024 * 1024
DEPTH_LIMIT = 32
IGNORED_LIMIT = 10

# What the connection notes in the scope of a request whose body it gave up.
BODY_FAULT = "motorlock.body_fault"
BODY_IS_TOO_SLOW = "too slow"
BODY_IS_MALFORMED = "malformed"

_Fields = TypeVar("_Fields", bound=msgspec.Struct)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_ONE_KIND_OF_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def invalid(where: str, message: str) -> Refused:
    """Return a 422: one sentence, and the list for programs."""
    detail = f"The request is not valid: {where}: {message}." if where else f"The request is not valid: {message}."
    return Refused(422, "invalid", detail, errors=[{"loc": where, "msg": message, "type": "value_error"}])


async def read_raw_body(scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Return the whole body; refuse one that is larger than `BODY_LIMIT`, or that the connection gave up."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > BODY_LIMIT:
        raise _too_large()
    raw = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "invalid", "The connection closed before the body was complete.")
        raw += message.get("body", b"")
        if len(raw) > BODY_LIMIT:
            raise _too_large()
        if not message.get("more_body", False):
            break
    fault = scope.get(BODY_FAULT)
    if fault == BODY_IS_TOO_SLOW:
        raise Refused(408, "too_slow", "The body was not complete in time; send it again.")
    if fault == BODY_IS_MALFORMED:
        raise Refused(400, "invalid", "The body's chunks cannot be read.")
    return bytes(raw)


def _too_large() -> Refused:
    return Refused(413, "too_large", "The body is larger than 1 MiB.")


def decode_body(kind: type, headers: Mapping[bytes, bytes], raw: bytes) -> object:
    """Return the body as `kind`; refuse what is no JSON, nested too deep, or not of that shape."""
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise Refused(415, "not_json", "The body must be JSON, with the content type application/json.")
    try:
        raw.decode()  # msgspec does not look into fields that it leaves out
        body: object = msgspec.json.decode(raw, type=kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        raise invalid(where.strip("`").removeprefix("$.") or "body", message[:1].lower() + message[1:]) from None
    except (msgspec.DecodeError, UnicodeError):
        raise invalid("body", "it is not well-formed JSON in UTF-8") from None
    except RecursionError:
        raise invalid("body", _TOO_DEEP) from None
    if is_too_deep(raw):
        raise invalid("body", _TOO_DEEP)
    return body


_TOO_DEEP = f"it is nested more than {DEPTH_LIMIT} deep"


def is_too_deep(raw: bytes) -> bool:
    """Tell whether lists and objects of well-formed JSON stand in one another more than `DEPTH_LIMIT` deep."""
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_LIMIT:
        return False
    brackets = _STRING.sub(b"", raw).translate(_ONE_KIND_OF_BRACKET, _NO_BRACKETS)
    for _ in range(DEPTH_LIMIT):
        brackets = brackets.replace(b"[]", b"")  # each time the innermost go
    return bool(brackets)


def usable_fields(kind: type[_Fields], raw: bytes) -> tuple[_Fields, list[str]]:
    """Return what of a body can be used as `kind`, all of whose fields have defaults, and of the rest what is wrong.

    For a request that must not fail for its body: each field is taken or left out by itself.
    """
    if not raw.strip():
        return kind(), []
    try:
        given = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return kind(), ["the body is no JSON object in UTF-8"]
    if is_too_deep(raw):
        return kind(), [_TOO_DEEP]
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
    return kind(**taken), ignored[:IGNORED_LIMIT]

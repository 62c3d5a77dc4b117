"""The body of a request: read within limits of size and time, and decoded as the type that its route says.

A body that cannot be read hurts its own request. That of a stop hurts nothing: what of it cannot be used is left out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.types import Receive

from .problems import Refused

BODY_LIMIT = 1024 * 1024
BODY_TIMEOUT_S = 30.0
DEPTH_LIMIT = 32

_Fields = TypeVar("_Fields", bound=msgspec.Struct)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def invalid(where: str, message: str) -> Refused:
    """Return a 422: one sentence, and the list for programs."""
    detail = f"The request is not valid: {where}: {message}." if where else f"The request is not valid: {message}."
    return Refused(422, "invalid", detail, errors=[{"loc": where, "msg": message, "type": "value_error"}])


async def read_raw_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Return the whole body; refuse one that is larger than `BODY_LIMIT` or not there in `BODY_TIMEOUT_S`."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > BODY_LIMIT:
        raise Refused(413, "too_large", "The body is larger than 1 MiB.")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _collect(receive)
    except TimeoutError:
        detail = f"The body was not complete after {BODY_TIMEOUT_S:g} s; send it again."
        raise Refused(408, "too_slow", detail) from None


async def _collect(receive: Receive) -> bytes:
    raw = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "invalid", "The connection closed before the body was complete.")
        raw += bytes(message.get("body", b""))
        if len(raw) > BODY_LIMIT:
            raise Refused(413, "too_large", "The body is larger than 1 MiB.")
        if not message.get("more_body", False):
            return raw


def decode_body(kind: type, headers: Mapping[bytes, bytes], raw: bytes) -> object:
    """Return the body as `kind`; refuse what is no JSON, nested too deep, or not of that shape."""
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise Refused(415, "not_json", "The body must be JSON, with the content type application/json.")
    if is_too_deep(raw):
        raise invalid("body", f"it is nested more than {DEPTH_LIMIT} deep")
    try:
        raw.decode()  # msgspec does not look into fields that it leaves out
        return msgspec.json.decode(raw, type=kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        raise invalid(where.strip("`").removeprefix("$.") or "body", message[:1].lower() + message[1:]) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise invalid("body", "it is not well-formed JSON in UTF-8") from None


def is_too_deep(raw: bytes) -> bool:
    """Tell whether lists and objects stand in one another more than `DEPTH_LIMIT` deep."""
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_LIMIT:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_LIMIT:
            return True
    return False


def usable_fields(kind: type[_Fields], raw: bytes) -> tuple[_Fields, list[str]]:
    """Return what of a body can be used as `kind`, all of whose fields have defaults, and of the rest what is wrong.

    For a request that must not fail for its body: each field is taken or left out by itself.
    """
    if not raw.strip():
        return kind(), []
    if is_too_deep(raw):
        return kind(), [f"the body is nested more than {DEPTH_LIMIT} deep"]
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
    return kind(**taken), ignored

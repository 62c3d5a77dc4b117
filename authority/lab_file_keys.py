"""The keys of a lab file's table: each value is compared with its type, and whatever is wrong is said at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from difflib import get_close_matches
from typing import TypeVar

import msgspec
from msgspec import inspect

Keys = TypeVar("Keys", bound=msgspec.Struct)
_LONGEST = 60


def read_table_as(
    where: str, table: Mapping[str, object], kind: type[Keys], mistakes: list[str], besides: Iterable[str] = ()
) -> Keys:
    """Return `table` as `kind`, all of whose keys have defaults; what is wrong is added to `mistakes` and left out.

    `besides` are allowed keys that the caller has read himself.
    """
    types = {f.name: f.type for f in msgspec.structs.fields(kind)}
    allowed = [*besides, *types]
    good: dict[str, object] = {}
    for key, value in table.items():
        if key not in types:
            mistakes.append(
                f"{where} has no key {key_in_sentence(key)}{did_you_mean(key, allowed)}; "
                f"allowed keys are {', '.join(allowed)}."
            )
        elif _fits(value, types[key]):
            good[key] = value
        else:
            mistakes.append(
                f"{where} {key} must be {_expected(inspect.type_info(types[key]))}, not {value_in_sentence(value)}."
            )
    return msgspec.convert(good, kind)


def read_table(where: str, value: object, mistakes: list[str]) -> dict[str, object]:
    """Return `value` where it is a table, else an empty one."""
    if isinstance(value, dict):
        return value
    mistakes.append(f"{where} must be a table, not {value_in_sentence(value)}.")
    return {}


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return a clause that names the allowed word that was probably meant; empty where none is near."""
    near = get_close_matches(word, list(allowed), n=1)
    if near:
        return f", perhaps {near[0]} is meant"
    return ""


def key_in_sentence(key: str) -> str:
    """Return a key as it fits into a sentence of one line."""
    if key.isprintable() and key:
        return key
    return repr(key)


def value_in_sentence(value: object) -> str:
    """Return a value as it stands in a lab file, short and in one line."""
    match value:
        case bool():
            text = str(value).lower()
        case dict():
            text = "a table"
        case list():
            text = f"[{', '.join(value_in_sentence(one) for one in value[:8])}]"
        case date() | time():
            text = value.isoformat()
        case int() if not -(10**_LONGEST) < value < 10**_LONGEST:
            text = "a number too large"
        case str():
            text = repr(value[: _LONGEST + 1])
        case _:
            text = repr(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 3]}..."


def _fits(value: object, kind: object) -> bool:
    try:
        found: object = msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        return False
    # Whatever has a fraction in a lab file is a duration.
    return not isinstance(found, float) or 0 < found < math.inf


def _expected(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType(types=types):
            return _expected(types[0])
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(str(value) for value in values)}"
        case inspect.EnumType(cls=cls):
            return f"one of {', '.join(str(member.value) for member in cls)}"
        case inspect.FloatType():
            return "a finite number above 0"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=int() as low, le=int() as high):
            return f"a whole number from {low} to {high}"
        case inspect.IntType():
            return "a whole number"
        case inspect.ListType():
            return "a list of texts"
        case _:
            return "a text"

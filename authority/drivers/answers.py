"""What a Python object answers, made into what JSON can hold: numpy, pint, enumerations, data classes, dates.

What cannot be, or is too much, is refused with a sentence; nothing is turned into the text that `repr` makes of it.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import os
from collections.abc import Mapping, Sequence, Set
from typing import Protocol, SupportsFloat, TypeGuard

from authority.drivers.parameters import Scalar
from authority.drivers.table import answer_name

__all__ = ["NoAnswer", "as_type", "plain"]

Plain = float | int | bool | str | None | list["Plain"] | dict[str, "Plain"]

MOST_VALUES = 1_000_000
_DEEPEST = 20


class NoAnswer(Exception):
    """What came back is not what can be answered; the text says what came and what to do."""


class _Array(Protocol):
    size: int
    dtype: object

    def tolist(self) -> object: ...


class _Quantity(Protocol):
    magnitude: object
    units: object

    def to(self, units: str) -> _Quantity: ...


def plain(value: object, units: str | None = None) -> Plain:
    """Return `value` as JSON has it, a quantity as its number in `units` if they are given; raises `NoAnswer`."""
    return _plain(value, units, 0)


def as_type(value: object, kind: answer_name, units: str | None = None) -> Plain:
    """Return `value` as the type that the lab file says; raises `NoAnswer` for one that is not of it."""
    if kind == "nothing":
        return None
    found = plain(value, units)
    match kind, found:
        case "number", bool():
            pass
        case "number", int() | float():
            return float(found)
        case "integer", bool():
            pass
        case ("integer", int()) | ("text", str()) | ("boolean", bool()) | ("list", list()) | ("object", _):
            return found
        case "integer", float() if found.is_integer():
            return int(found)
        case "boolean", int() | float() if found in (0, 1):
            return bool(found)
        case "text", int() | float():
            return str(found)
    raise NoAnswer(f"it answered {_shown(value)}, which is no {kind}: check its type in the lab file")


def as_scalar(value: object, kind: answer_name, units: str | None = None) -> Scalar | None:
    """Return a reading as its type, None where there is none now; raises `NoAnswer`."""
    found = None if value is None else as_type(value, kind, units)
    if isinstance(found, list | dict):
        raise NoAnswer(f"it answered {_shown(value)}, which is no single value: name one of its elements")
    return found


def _plain(value: object, units: str | None, depth: int) -> Plain:
    if depth > _DEEPEST:
        raise NoAnswer("it answered something that contains itself, or is too deep")
    match value:
        case None | bool():
            return value
        case enum.Enum():  # before int and str, which it may be too
            return value.name if value.name is not None else _plain(value.value, units, depth + 1)
        case int() | str():
            return int(value) if isinstance(value, int) else str(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case complex():
            return {"real": _plain(value.real, None, depth + 1), "imag": _plain(value.imag, None, depth + 1)}
        case bytes() | bytearray():
            return _text(bytes(value))
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case decimal.Decimal() | fractions.Fraction():
            return _plain(float(value), None, depth)
        case os.PathLike():
            return os.fsdecode(value)
        case BaseException():
            return f"{type(value).__name__}: {value}"
    if _is_quantity(value):
        return _of_quantity(value, units, depth)
    if _is_array(value):
        if value.size > MOST_VALUES:
            raise NoAnswer(f"it answered {value.size} values, but at most {MOST_VALUES} can be answered")
        return _plain(value.tolist(), units, depth + 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    match value:
        case Mapping():
            return {str(_plain(key, None, depth + 1)): _plain(one, units, depth + 1) for key, one in value.items()}
        case Sequence() | Set():
            if len(value) > MOST_VALUES:
                raise NoAnswer(f"it answered {len(value)} values, but at most {MOST_VALUES} can be answered")
            return [_plain(one, units, depth + 1) for one in value]
        case SupportsFloat() if not callable(value):
            return _plain(float(value), None, depth)
    raise NoAnswer(
        f"it answered {_shown(value)}, which cannot be sent on: name one of its attributes, such as .get or .value"
    )


def _of_quantity(value: _Quantity, units: str | None, depth: int) -> Plain:
    if units is None:
        return {"value": _plain(value.magnitude, None, depth + 1), "units": str(value.units)}
    try:
        return _plain(value.to(units).magnitude, None, depth + 1)
    except Exception as wrong:  # pint's own errors, which need no import of pint this way
        raise NoAnswer(f"it answered {_shown(value)}, which cannot be had in {units}: {wrong}") from wrong


def _is_quantity(value: object) -> TypeGuard[_Quantity]:
    return hasattr(value, "magnitude") and hasattr(value, "units") and hasattr(value, "to")


def _is_array(value: object) -> TypeGuard[_Array]:
    return hasattr(value, "tolist") and hasattr(value, "dtype") and hasattr(value, "size")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise NoAnswer(f"it answered {len(raw)} bytes that are no text: name what makes numbers of them") from None


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return f"a {type(value).__name__}, {text if len(text) <= 40 else text[:37] + '...'}"

"""What a driver hands over, made plain: numbers, texts, lists and tables that JSON can hold, and nothing else.

Every value, text, readback and exception of every driver passes here (`driver_calls` sees to it). What cannot be made
plain is refused with a sentence; nothing is turned into the text that `repr` makes of it.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import itertools
import math
import os
from collections.abc import Mapping, Sequence, Set
from typing import Protocol, SupportsFloat, SupportsIndex, TypeGuard

import msgspec

from .ports import Readback

PlainValue = float | int | bool | str | None | list["PlainValue"] | dict[str, "PlainValue"]

MOST_VALUES = 1_000_000
MOST_RESULT_BYTES = 16 * 2**20
MOST_READBACK_BYTES = 64 * 2**10
LONGEST_SENTENCE = 1_000
HIGHEST_FENCE = 2**53 - 1  # readers of JSON hold whole numbers exactly up to here
_DEEPEST = 20


class UnusableAnswer(Exception):
    """What came back is not what can be answered; the text says what came and what to do."""


class _Array(Protocol):
    size: int
    dtype: object

    def tolist(self) -> object: ...


class _Quantity(Protocol):
    magnitude: object
    units: object

    def to(self, units: str) -> _Quantity: ...


def plain_value(value: object, units: str | None = None) -> PlainValue:
    """Return `value` as JSON has it, a quantity as its number in `units` if they are given; raises `UnusableAnswer`.

    A number that is not finite (NaN, an infinity) is None, in a list and a table too: JSON has no such number.
    """
    return _Conversion(units).plain(value, 0)


def plain_text(text: str) -> str:
    """Return `text` with each lone surrogate, which no encoding can hold, written as its escape."""
    return str.encode(text, "utf-8", "backslashreplace").decode()


def plain_fence(found: object) -> int:
    """Return the highest fence that a device says it has obeyed, 0 where that can be none."""
    if type(found) is int and 0 <= found < HIGHEST_FENCE:
        return found
    return 0


def sentence_of(error: BaseException) -> str:
    """Return what an exception says, in one line that can be encoded; its name where it says nothing."""
    try:
        text = " ".join(plain_text(str(error)).split())
    except BaseException:  # noqa: BLE001 - foreign code: whatever it raises, it has said nothing
        text = ""
    if len(text) > LONGEST_SENTENCE:
        text = text[: LONGEST_SENTENCE - 3] + "..."
    return text or plain_text(type(error).__name__)


def plain_result(value: object) -> msgspec.Raw:
    """Return a command's result as the JSON that is sent on; raises `UnusableAnswer` for one that cannot be."""
    encoded = msgspec.json.encode(plain_value(value))
    if len(encoded) > MOST_RESULT_BYTES:
        raise UnusableAnswer(f"it answered {len(encoded)} bytes, but at most {MOST_RESULT_BYTES} can be answered")
    return msgspec.Raw(encoded)


def plain_readback(found: object) -> Readback:
    """Return a readback of plain values, its numbers None where they are not finite; raises `UnusableAnswer`."""
    if not isinstance(found, Readback):
        raise UnusableAnswer(f"its readback is {described_value(found)}, not a Readback")
    units = _text_or_none(found.units, "units")
    tolerance = _number_or_none(found.tolerance, "tolerance", units)
    if tolerance is None:
        tolerance = Readback().tolerance
    moving = None
    if found.moving is not None:
        moving = _flag(found.moving, "moving")
    readback = Readback(
        moving=moving,
        connected=_flag(found.connected, "connected"),
        position=_number_or_none(found.position, "position", units),
        target=_number_or_none(found.target, "target", units),
        velocity=_number_or_none(found.velocity, "velocity", None),
        tolerance=tolerance,
        units=units,
        values=_scalars(found.values),
        error=_text_or_none(found.error, "error"),
    )
    size = len(msgspec.json.encode(readback))
    if size > MOST_READBACK_BYTES:
        raise UnusableAnswer(f"its readback is {size} bytes long, but at most {MOST_READBACK_BYTES} can be shown")
    return readback


def _flag(value: object, name: str) -> bool:
    found = plain_value(value)
    if isinstance(found, int | float) and found in (0, 1):
        return bool(found)
    raise UnusableAnswer(f"its {name} is {described_value(value)}, neither true nor false")


def _number_or_none(value: object, name: str, units: str | None) -> float | None:
    found = plain_value(value, units)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise UnusableAnswer(f"its {name} is {described_value(value)}, which is no number")
    return float(found)


def _text_or_none(value: object, name: str) -> str | None:
    found = plain_value(value)
    if found is None or isinstance(found, str):
        return found
    raise UnusableAnswer(f"its {name} is {described_value(value)}, which is no text")


def _scalars(values: object) -> dict[str, float | int | bool | str | None]:
    if not isinstance(values, Mapping):
        raise UnusableAnswer(f"its values are {described_value(values)}, not a table of readings")
    scalars: dict[str, float | int | bool | str | None] = {}
    for name, value in values.items():
        key = plain_value(name)
        found = plain_value(value)
        if isinstance(found, list | dict):
            raise UnusableAnswer(f"its reading {key} is {described_value(value)}, which is no single value")
        scalars[str(key)] = found
    return scalars


class _Conversion:
    """One value on its way to plain ones; counts what it has made, so that nothing can be too much to hold."""

    def __init__(self, units: str | None) -> None:
        self._units = units
        self._made = 0

    def plain(self, value: object, depth: int) -> PlainValue:
        if depth > _DEEPEST:
            raise UnusableAnswer("it answered something that contains itself, or is too deep")
        match value:
            case None | bool():
                return value
            case enum.Enum() if value.name is not None:  # before int and str, which it may be too
                return plain_text(value.name)
            case enum.Enum():  # several flags at once have no name
                return self.plain(value.value, depth + 1)
            case int():
                return _whole(value)
            case str():
                return plain_text(value)
            case float():
                return float(value) if math.isfinite(value) else None
            case complex():
                return {"real": self.plain(value.real, depth + 1), "imag": self.plain(value.imag, depth + 1)}
            case bytes() | bytearray():
                return _ascii(bytes(value))
            case datetime.datetime() | datetime.date() | datetime.time():
                return value.isoformat()
            case datetime.timedelta():
                return value.total_seconds()
            case decimal.Decimal() | fractions.Fraction():
                return self.plain(float(value), depth)
            case os.PathLike():
                return plain_text(os.fsdecode(value))
            case BaseException():
                return f"{type(value).__name__}: {sentence_of(value)}"
        return self._foreign(value, depth)

    def _foreign(self, value: object, depth: int) -> PlainValue:
        if _is_quantity(value):
            return self._of_quantity(value, depth)
        if _is_array(value):
            return self._of_array(value, depth)
        if isinstance(value, msgspec.Struct):
            value = msgspec.structs.asdict(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        elif isinstance(value, tuple) and hasattr(value, "_asdict"):
            value = value._asdict()
        match value:
            case Mapping():
                self._count(len(value))
                return {self._key(key, depth): self.plain(one, depth + 1) for key, one in value.items()}
            case Sequence() | Set():
                self._count(len(value))
                given = itertools.islice(value, len(value))  # one that says its length wrongly may have no end
                return [one if _is_plain_number(one) else self.plain(one, depth + 1) for one in given]
            case SupportsIndex() if not callable(value):
                return _whole(value.__index__())
            case SupportsFloat() if not callable(value):
                return self.plain(float(value), depth)
        advice = "name one of its attributes, such as .get or .value"
        raise UnusableAnswer(f"it answered {described_value(value)}, which cannot be sent on: {advice}")

    def _key(self, key: object, depth: int) -> str:
        if type(key) is str and key.isascii():
            return key
        return str(_Conversion(None).plain(key, depth + 1))

    def _of_array(self, value: _Array, depth: int) -> PlainValue:
        self._count(value.size)
        if getattr(value.dtype, "kind", None) == "M":  # dates: their list would be of numbers since 1970
            if value.size == 1:
                return plain_text(str(value))
            return self.plain([str(one) for one in _items(value)], depth)
        found = value.tolist()
        if type(found) is type(value):  # a float wider than Python's
            if isinstance(value, SupportsFloat):
                return self.plain(float(value), depth)
            return None
        self._made -= value.size  # they are counted again one list at a time
        return self.plain(found, depth + 1)

    def _of_quantity(self, value: _Quantity, depth: int) -> PlainValue:
        if self._units is None:
            return {"value": self.plain(value.magnitude, depth + 1), "units": plain_text(str(value.units))}
        try:
            return self.plain(value.to(self._units).magnitude, depth + 1)
        except Exception as wrong:  # pint's own errors, which need no import of pint this way
            text = f"it answered {described_value(value)}, which cannot be had in {self._units}: {sentence_of(wrong)}"
            raise UnusableAnswer(text) from wrong

    def _count(self, values: int) -> None:
        self._made += values
        if self._made > MOST_VALUES:
            raise UnusableAnswer(f"it answered {self._made} values, but at most {MOST_VALUES} can be answered")


def _is_plain_number(value: object) -> TypeGuard[float]:
    """Whether it is what most long lists are made of, and needs no conversion."""
    if type(value) is int:
        return -(2**63) <= value < 2**64
    return type(value) is float and math.isfinite(value)


def _whole(value: int) -> PlainValue:
    """Return a whole number of 64 bits as it is; what is larger is told as a float, as most readers of JSON have it."""
    number = int(value)
    if -(2**63) <= number < 2**64:
        return number
    try:
        return float(number)
    except OverflowError:
        raise UnusableAnswer("it answered a whole number that is too large to be sent on") from None


def _items(value: object) -> list[object]:
    if not hasattr(value, "__len__"):
        return [value]
    return [one for row in value for one in _items(row)]  # type: ignore[attr-defined]


def _is_quantity(value: object) -> TypeGuard[_Quantity]:
    return hasattr(value, "magnitude") and hasattr(value, "units") and hasattr(value, "to")


def _is_array(value: object) -> TypeGuard[_Array]:
    return hasattr(value, "tolist") and hasattr(value, "dtype") and hasattr(value, "size")


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise UnusableAnswer(
            f"it answered {len(raw)} bytes that are no text: name what makes numbers of them"
        ) from None


def described_value(value: object) -> str:
    """Return a value for a sentence: its type and, where it can be had, how it begins."""
    try:
        text = " ".join(plain_text(repr(value)).split())
    except Exception:  # noqa: BLE001 - foreign code: what cannot be shown is named by its type
        return f"a {type(value).__name__}"
    if len(text) > 40:
        text = text[:37] + "..."
    return f"a {type(value).__name__}, {text}"

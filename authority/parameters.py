"""What a command takes and answers, and the check of what was given: `Command`, `Parameter`, `bind`, `fit`.

An annotation of Python becomes such a schema: `Annotated[float, Unit("mm"), Range(0, 100), "the target"]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from types import NoneType
from typing import Annotated, Literal, TypeGuard, get_args, get_origin

import msgspec

type_name = Literal["number", "integer", "boolean", "text"]
answer_name = Literal["number", "integer", "boolean", "text", "object", "list", "nothing"]
Scalar = float | int | bool | str

_TYPE_NAMES: Mapping[object, type_name] = {float: "number", int: "integer", bool: "boolean", str: "text"}
_WORDS: Mapping[type_name, str] = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "text": "a text",
}
_LONGEST = 60


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a command; `low` and `high` are in `units` and belong to what is allowed."""

    name: str
    type: type_name
    units: str | None = None
    required: bool = True
    default: Scalar | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[Scalar, ...] | None = None
    doc: str | None = None


class Returns(msgspec.Struct, frozen=True):
    """What a command answers."""

    type: answer_name
    units: str | None = None


class Command(msgspec.Struct, frozen=True):
    """One declared command of a driver, in the shape that goes over the wire."""

    name: str
    kind: Literal["control", "observe"]
    doc: str
    parameters: tuple[Parameter, ...]
    returns: Returns


@dataclass(frozen=True)
class Unit:
    """The unit of a number, such as `Unit("mm")`."""

    symbol: str


@dataclass(frozen=True)
class UnitOf:
    """The unit is the text in this attribute of the driver, for one that knows it only when it runs."""

    attribute: str


@dataclass(frozen=True)
class Range:
    """The numbers that are allowed, both ends included, in the parameter's unit; None is no bound."""

    low: float | None = None
    high: float | None = None


class InvalidParameters(Exception):
    """The parameters do not fit the command; `errors` has one `{loc, msg, type}` for each that is wrong."""

    def __init__(self, errors: Sequence[Mapping[str, object]]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(str(error["msg"]) for error in self.errors) + ".")


class _Wrong(Exception):
    """A value does not fit; the text is a code for programs."""


def bind(command: Command, parameters: Mapping[str, object], equipment_id: str) -> dict[str, Scalar]:
    """Return the arguments for `command`, every declared parameter in order, defaults filled in.

    Takes what came in as JSON. Raises `InvalidParameters`, whose text is one sentence about `equipment_id`.
    """
    call = f"{equipment_id}.{command.name}"
    errors: list[dict[str, object]] = []
    bound: dict[str, Scalar] = {}
    for name in parameters.keys() - {parameter.name for parameter in command.parameters}:
        clause = f"{call} takes no parameter {_shown(name)}: {_signature(command)}"
        errors.append(_error(name, "unknown_parameter", clause))
    for parameter in command.parameters:
        try:
            bound[parameter.name] = _argument(parameter, parameters)
        except _Wrong as wrong:
            given = "none"
            if parameter.name in parameters:
                value = parameters[parameter.name]
                given = f"{_shown(value)}{_quotes_hint(value)}"
            clause = f"{call} needs {parameter.name}, {described(parameter)}; you gave {given}"
            errors.append(_error(parameter.name, str(wrong), clause))
    if errors:
        raise InvalidParameters(sorted(errors, key=lambda error: str(error["loc"])))
    return bound


def fit(parameter: Parameter, value: object) -> Scalar:
    """Return a value that was written down as the type of `parameter`; `ValueError` has a clause for a person."""
    try:
        return _fitting(parameter, value)
    except _Wrong:
        text = f"must be {described(parameter)}, not {value_in_sentence(value)}{_quotes_hint(value)}"
        raise ValueError(text) from None


def described(parameter: Parameter) -> str:
    """Say for a person what a parameter must be, such as `a number in mm from 0 to 100`."""
    if parameter.choices is not None:
        return f"one of {', '.join(repr(choice) for choice in parameter.choices)}"
    units = f" in {parameter.units}" if parameter.units else ""
    return _WORDS[parameter.type] + units + _span(parameter)


def parameter_of(name: str, hint: object, driver: object = None) -> Parameter:
    """Return the schema of one annotated parameter; `ValueError` says what is wrong with the annotation."""
    base, marks = _without_marks(hint)
    bounds = next((mark for mark in marks if isinstance(mark, Range)), Range())
    choices: tuple[Scalar, ...] | None = None
    kinds = {base}
    if get_origin(base) is Literal:
        choices = get_args(base)
        kinds = {type(choice) for choice in choices}
    if len(kinds) != 1:
        raise ValueError("mixes types in its Literal")
    kind = _TYPE_NAMES.get(kinds.pop())
    if kind is None:
        raise ValueError(f"is {base}, but can be only float, int, bool, str or Literal")
    if bounds != Range() and kind not in ("number", "integer"):
        raise ValueError("has a Range, which only a float or an int can have")
    return Parameter(
        name=name,
        type=kind,
        units=_units(marks, driver),
        low=bounds.low,
        high=bounds.high,
        choices=choices,
        doc=next((mark for mark in marks if isinstance(mark, str)), None),
    )


def returns_of(hint: object, driver: object) -> Returns:
    """Return the schema of what an annotated method answers."""
    base, marks = _without_marks(hint)
    base = get_origin(base) or base
    if base in _TYPE_NAMES:
        return Returns(type=_TYPE_NAMES[base], units=_units(marks, driver))
    if base in (None, NoneType):
        return Returns(type="nothing")
    if isinstance(base, type) and issubclass(base, Sequence):
        return Returns(type="list", units=_units(marks, driver))
    return Returns(type="object")


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


def _without_marks(hint: object) -> tuple[object, tuple[object, ...]]:
    if get_origin(hint) is not Annotated:
        return hint, ()
    base, *marks = get_args(hint)
    return base, tuple(marks)


def _units(marks: Sequence[object], driver: object) -> str | None:
    for mark in marks:
        if isinstance(mark, Unit):
            return mark.symbol
        if isinstance(mark, UnitOf):
            symbol = getattr(driver, mark.attribute, None)
            if isinstance(symbol, str):
                return symbol
            return None
    return None


def _argument(parameter: Parameter, parameters: Mapping[str, object]) -> Scalar:
    if parameter.name in parameters:
        return _fitting(parameter, parameters[parameter.name])
    if parameter.default is None:
        raise _Wrong("missing")
    return parameter.default


def _fitting(parameter: Parameter, value: object) -> Scalar:
    typed = _typed(parameter, value)
    if parameter.choices is not None and typed not in parameter.choices:
        raise _Wrong("not_a_choice")
    if isinstance(typed, float | int):
        below = parameter.low is not None and typed < parameter.low
        above = parameter.high is not None and typed > parameter.high
        if below or above:
            raise _Wrong("out_of_range")
    return typed


def _typed(parameter: Parameter, value: object) -> Scalar:
    match parameter.type:
        case "boolean" if isinstance(value, bool):
            return value
        case "text" if isinstance(value, str):
            return value
        case "number" if _is_number(value):
            return float(value)
        # JSON has one kind of number: some clients write 2 as 2.0.
        case "integer" if _is_number(value) and value == int(value):
            return int(value)
        case _:
            raise _Wrong("wrong_type")


def _is_number(value: object) -> TypeGuard[float]:
    """Tell a finite number that a device can be sent; a bool is none, nor an int too large for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _span(parameter: Parameter) -> str:
    match parameter.low, parameter.high:
        case None, None:
            return ""
        case low, None:
            return f", at least {low:.12g}"
        case None, high:
            return f", at most {high:.12g}"
        case low, high:
            return f" from {low:.12g} to {high:.12g}"


def _quotes_hint(value: object) -> str:
    try:
        if isinstance(value, str) and math.isfinite(float(value)):
            return " (a number is written without quotes)"
    except ValueError:
        pass
    return ""


def _shown(value: object) -> str:
    """Show a caller's value short: it may be of any length."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python agrees to print
        text = "a number too large"
    if len(text) <= 40:
        return text
    return text[:37] + "..."


def _signature(command: Command) -> str:
    if not command.parameters:
        return "it takes none"
    return "it takes " + ", ".join(f"{one.name} ({described(one)})" for one in command.parameters)


def _error(name: str, code: str, clause: str) -> dict[str, object]:
    return {"loc": ["body", "parameters", name[:128]], "msg": clause, "type": code}

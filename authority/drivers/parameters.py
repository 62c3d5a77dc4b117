"""What a command takes and answers, and the check of what a caller gave: `Command`, `Parameter`, `bind`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeGuard, assert_never

import msgspec

type_name = Literal["number", "integer", "boolean", "text"]
Scalar = float | int | bool | str


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

    type: Literal["number", "integer", "boolean", "text", "object", "list", "nothing"]
    units: str | None = None


class Command(msgspec.Struct, frozen=True):
    """One declared command of a driver, in the shape that goes over the wire."""

    name: str
    kind: Literal["control", "observe"]
    doc: str
    parameters: tuple[Parameter, ...]
    returns: Returns


class InvalidParameters(Exception):
    """The parameters do not fit the command; `errors` has one `{loc, msg, type}` for each that is wrong."""

    def __init__(self, errors: Sequence[Mapping[str, object]]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(str(error["msg"]) for error in self.errors) + ".")


class BadOptions(ValueError):
    """A driver cannot be made with these options; each of `clauses` says one thing that is wrong, for a person."""

    def __init__(self, *clauses: str) -> None:
        super().__init__("; ".join(clauses))
        self.clauses = clauses


def refuse_options(wrong: Iterable[str]) -> None:
    """Raise `BadOptions` where anything is wrong."""
    if clauses := tuple(wrong):
        raise BadOptions(*clauses)


class _Wrong(Exception):
    """One parameter is wrong: a code for programs and the clause for a person."""

    def __init__(self, code: str, clause: str) -> None:
        self.code = code
        super().__init__(clause)


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
            clause = f"{call} needs {parameter.name}, {described(parameter)}; {wrong}"
            errors.append(_error(parameter.name, wrong.code, clause))
    if errors:
        raise InvalidParameters(sorted(errors, key=lambda error: str(error["loc"])))
    return bound


def fit(parameter: Parameter, value: object) -> Scalar:
    """Return `value` as the type of `parameter`, or raise `ValueError` with a clause for a person."""
    try:
        return _fitting(parameter, value)
    except _Wrong as wrong:
        raise ValueError(f"needs {described(parameter)}; {wrong}") from None


def described(parameter: Parameter) -> str:
    """Say for a person what a parameter must be, such as `a number in mm from 0 to 100`."""
    if parameter.choices is not None:
        return f"one of {', '.join(repr(choice) for choice in parameter.choices)}"
    match parameter.type:
        case "number":
            words = "a number"
        case "integer":
            words = "a whole number"
        case "boolean":
            words = "true or false"
        case "text":
            words = "a text"
        case _:
            assert_never(parameter.type)
    units = ""
    if parameter.units:
        units = f" in {parameter.units}"
    return words + units + _span(parameter)


def _argument(parameter: Parameter, parameters: Mapping[str, object]) -> Scalar:
    if parameter.name in parameters:
        return _fitting(parameter, parameters[parameter.name])
    if parameter.default is None:
        raise _Wrong("missing", "you gave none")
    return parameter.default


def _fitting(parameter: Parameter, value: object) -> Scalar:
    typed = _typed(parameter, value)
    if parameter.choices is not None and typed not in parameter.choices:
        raise _Wrong("not_a_choice", _given(value))
    if isinstance(typed, float | int):
        below = parameter.low is not None and typed < parameter.low
        above = parameter.high is not None and typed > parameter.high
        if below or above:
            raise _Wrong("out_of_range", _given(value))
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
            raise _Wrong("wrong_type", _given(value))


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


def _given(value: object) -> str:
    hint = ""
    if _is_numeric_text(value):
        hint = " (a number is written without quotes)"
    return f"you gave {_shown(value)}{hint}"


def _is_numeric_text(value: object) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


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

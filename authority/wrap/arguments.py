"""The parameters that a method or a settable property takes, as far as a lab file can hold them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from authority.drivers.object_paths import called_with
from authority.drivers.parameters import Scalar, type_name
from authority.wrap.docstrings import parameter_lines, type_in, type_of_value_in, units_in

__all__ = ["Argument", "Unfit", "argument_of_property", "arguments_of", "type_of_answer"]

_PLAIN: Mapping[type, type_name] = MappingProxyType({float: "number", int: "integer", bool: "boolean", str: "text"})
_RANGES = frozenset({"strict_range", "truncated_range", "strict_discrete_range"})
_SETS = frozenset({"strict_discrete_set", "truncated_discrete_set"})
_MOST_CHOICES = 60


class Unfit(Exception):
    """A method needs what a lab file cannot hold; the text says what."""


@dataclass(frozen=True)
class Argument:
    """One parameter; `remarks` say where what is known of it comes from, and what is not known."""

    name: str
    type: type_name
    units: str | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[Scalar, ...] = ()
    default: Scalar | None = None
    remarks: tuple[str, ...] = ()


def arguments_of(method: Callable[..., object], text: str) -> tuple[Argument, ...]:
    """Return the parameters of a method with the docstring `text`; raises `Unfit`.

    One that may be left away and that a lab file cannot hold is left away.
    """
    try:
        _, *given = called_with(method).parameters.values()
    except (TypeError, ValueError) as wrong:
        raise Unfit("its parameters cannot be seen") from wrong
    given = [one for one in given if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    hints = _hints(method)
    # With one parameter, the unit in the method's own sentence is that of the parameter.
    whole = ""
    if len(given) == 1:
        whole = text.partition("\n\n")[0]
    found = (_argument(one, hints.get(one.name), text, whole) for one in given)
    return tuple(one for one in found if one is not None)


def argument_of_property(cls: type, name: str, member: property, text: str) -> Argument:
    """Return what may be assigned to a property; PyMeasure's carry their validator and its values."""
    said = inspect.signature(member.fset).parameters if member.fset is not None else {}
    validator = getattr(_default(said, "validator"), "__name__", "")
    # So does a subclass change the values of a dynamic property.
    values = inspect.getattr_static(cls, f"{name}_values", _default(said, "values"))
    kind = _type_of_hint(_hint_of_value(member)) or type_of_value_in(text)
    units = units_in(text)
    low = None
    high = None
    choices: tuple[Scalar, ...] = ()
    if units:
        remarks = ["units: from the docstring"]
    else:
        remarks = []
    if validator in _SETS or _default(said, "map_values") is True:
        choices = _choices(values)
        if choices:
            kind = _type_of(choices)
    elif validator in _RANGES and (span := _span(values)):
        low, high = span
        if kind == "integer" and low.is_integer() and high.is_integer():
            kind = "integer"
        else:
            kind = "number"
        remarks.append(f"limits: from {validator}")
    if kind is None:
        kind = "number"
        remarks.append("type: not said, is it a number?")
    if kind not in ("number", "integer"):
        units = None
        remarks = []
    if kind == "boolean":
        choices = ()  # true and false need no list
    return Argument(name, kind, units, low, high, choices, remarks=tuple(remarks))


def type_of_answer(function: Callable[..., object] | None) -> type_name | None:
    """Return the plain type that a function is annotated to return; None where that may be None, too."""
    hint = _hints(function).get("return")
    if isinstance(hint, type):
        return _type_of_hint(hint)
    return None


def _argument(one: inspect.Parameter, hint: object, text: str, whole: str) -> Argument | None:
    needed = one.default is one.empty
    default = None
    if _is_scalar(one.default):
        default = one.default
    if one.kind is one.POSITIONAL_ONLY or (not needed and default is None):
        if needed:
            raise Unfit(f"its parameter {one.name} cannot be given by name")
        return None
    if get_origin(hint) is Literal:
        choices = _choices(get_args(hint))
    else:
        choices = ()
    kind = _type_of(choices) if choices else _type_of_hint(hint)
    if kind is None and hint not in (None, Any):
        if needed:
            raise Unfit(f"its parameter {one.name} is {inspect.formatannotation(hint)}")
        return None
    units = units_in(parameter_lines(text, one.name) or whole)
    kind = kind or type_in(text, one.name)
    if kind is None and default is not None:
        kind = "number" if units else _type_of((default,))
    remarks: tuple[str, ...] = ()
    if kind is None:
        kind = "number"
        remarks = (f"type of {one.name}: not said, is it a number?",)
    if kind not in ("number", "integer"):
        units = None
    if units:
        remarks += (f"units of {one.name}: from the docstring",)
    if default is not None and not _fits(kind, default, choices):
        return None
    return Argument(one.name, kind, units, choices=choices, default=default, remarks=remarks)


def _default(parameters: Mapping[str, inspect.Parameter], name: str) -> object:
    if name in parameters:
        return parameters[name].default
    return None


def _fits(kind: type_name, default: Scalar, choices: tuple[Scalar, ...]) -> bool:
    if choices and default not in choices:
        return False
    found = _type_of((default,))
    whole = isinstance(default, float) and default.is_integer()
    return found == kind or (kind, found) == ("number", "integer") or (kind == "integer" and whole)


def _hints(function: Callable[..., object] | None) -> Mapping[str, object]:
    try:
        if function is None:
            return {}
        return get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - foreign annotations may name anything
        return {}


def _hint_of_value(member: property) -> object:
    """Return the annotation of what is assigned, else of what is read."""
    if member.fset is not None:
        _, *taken = inspect.signature(member.fset).parameters
        hint = None
        if taken:
            hint = _hints(member.fset).get(taken[0])
        if hint is not None:
            return hint
    return _hints(member.fget).get("return")


def _type_of_hint(hint: object) -> type_name | None:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        kinds = {_type_of_hint(one) for one in get_args(hint) if one is not NoneType}
        if kinds == {"number", "integer"}:
            return "number"
        if len(kinds) == 1:
            return kinds.pop()
        return None
    if isinstance(hint, type):
        return _PLAIN.get(hint)
    return None


def _choices(values: object) -> tuple[Scalar, ...]:
    """Return the values that may be chosen from, () where they are too many, of mixed types or not plain."""
    if isinstance(values, str | bytes) or not isinstance(values, Collection) or len(values) > _MOST_CHOICES:
        return ()
    found = [one for one in values if _is_scalar(one)]
    if not found or len(found) != len(values):
        return ()
    kinds = {type(one) for one in found}
    if len(kinds) > 1 and kinds != {int, float}:
        return ()
    if isinstance(values, Set):
        found = sorted(found, key=str)
    if len(kinds) > 1:
        return tuple(float(one) for one in found)
    return tuple(found)


def _span(values: object) -> tuple[float, float] | None:
    """Return the ends of a range of finite numbers."""
    try:
        numbers = [float(one) for one in values]  # type: ignore[attr-defined]  # whatever a validator is given
        low = min(numbers)
        high = max(numbers)
    except (TypeError, ValueError, OverflowError):
        return None
    if math.isfinite(low) and math.isfinite(high) and low < high:
        return (low, high)
    return None


def _is_scalar(value: object) -> bool:
    return type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))


def _type_of(values: Collection[Scalar]) -> type_name:
    kinds = {_PLAIN[type(one)] for one in values}
    if len(kinds) > 1:
        return "number"
    return kinds.pop()

"""How a driver says which commands it has: `@control` and `@observe` on its methods.

A command exists only where its driver declared it; nothing is guessed from a name. A method's signature is
its schema: `def move_to(self, position: Annotated[float, Unit("mm"), Range(0, 100), "the target"]) -> float`.
A driver whose commands are written in the lab file has them, made, in its attribute `declared`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, NoneType
from typing import Annotated, Literal, TypeVar, get_args, get_origin, get_type_hints

from msgspec.structs import replace

from authority.drivers.parameters import (
    Command,
    InvalidParameters,
    Parameter,
    Returns,
    Scalar,
    bind,
    fit,
    type_name,
)

__all__ = [
    "OF_EVERY_DRIVER",
    "Command",
    "DeclarationError",
    "Declared",
    "InvalidParameters",
    "Parameter",
    "Range",
    "Returns",
    "Unit",
    "UnitOf",
    "bind",
    "commands_of",
    "control",
    "declared_by",
    "observe",
    "parameter_of",
]

_Method = TypeVar("_Method", bound=Callable[..., object])
_Kind = Literal["control", "observe"]

_MARK = "__motorlock_kind__"
OF_EVERY_DRIVER = frozenset({"address", "blocking", "check", "close", "declared", "kind", "open", "readback", "stop"})


class DeclarationError(Exception):
    """A driver's class declares a command wrongly; the text says which and how to put it right."""


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


@dataclass(frozen=True)
class Declared:
    """A command, and what the authority calls with its parameters by name to run it."""

    command: Command
    run: Callable[..., object]


def control(method: _Method) -> _Method:
    """Declare a command that changes the equipment: only the holder of the lock may give it."""
    setattr(method, _MARK, "control")
    return method


def observe(method: _Method) -> _Method:
    """Declare a command that changes nothing: observers may give it too."""
    setattr(method, _MARK, "observe")
    return method


def commands_of(driver: object) -> dict[str, Command]:
    """Return the commands of a driver, or of a driver's class, by name in the order they are written.

    Raises `DeclarationError` for a declaration that cannot be served.
    """
    if isinstance(driver, type):
        driver_class = driver
    else:
        driver_class = type(driver)
    return {name: _command(driver, driver_class, name, kind) for name, kind in _declared(driver_class)}


def declared_by(driver: object) -> Mapping[str, Declared]:
    """Return the commands of a driver by name, each with what runs it; raises `DeclarationError`."""
    made: Mapping[str, Declared] | None = getattr(driver, "declared", None)
    if made is not None:
        return made
    return {name: Declared(command, getattr(driver, name)) for name, command in commands_of(driver).items()}


def _declared(driver_class: type) -> Iterator[tuple[str, _Kind]]:
    kinds: dict[str, _Kind] = {}
    for owner in reversed(driver_class.__mro__):
        for name, member in vars(owner).items():
            kind: _Kind | None = getattr(member, _MARK, None)
            if kind is not None:
                kinds[name] = kind
            elif name in kinds:
                raise DeclarationError(f"{owner.__qualname__}.{name} overrides a command: mark it as one too.")
    yield from kinds.items()


def _command(driver: object, driver_class: type, name: str, kind: _Kind) -> Command:
    where = f"{driver_class.__qualname__}.{name}"
    method = inspect.getattr_static(driver_class, name)
    _refuse_unusable(method, driver_class, name, where)
    try:
        hints = get_type_hints(method, include_extras=True)
    except (NameError, TypeError) as wrong:
        raise DeclarationError(f"{where} has an annotation that cannot be read: {wrong}.") from wrong
    _, *given = inspect.signature(method).parameters.values()
    if "return" not in hints:
        raise DeclarationError(f"{where} does not say what it returns: add `-> float` or what it is.")
    return Command(
        name=name,
        kind=kind,
        doc=inspect.getdoc(method) or "",
        parameters=tuple(_parameter(driver, one, hints, where) for one in given),
        returns=_returns(driver, hints["return"]),
    )


def _refuse_unusable(method: object, driver_class: type, name: str, where: str) -> None:
    if not isinstance(method, FunctionType):
        raise DeclarationError(f"{where} is no plain method: only a method can be a command.")
    if name.startswith("_") or name in OF_EVERY_DRIVER:
        raise DeclarationError(f"{where} cannot be a command: the name is private or every driver has it.")
    if not inspect.getdoc(method):
        raise DeclarationError(f"{where} has no docstring: users of the command are shown it.")
    if inspect.iscoroutinefunction(method) and getattr(driver_class, "blocking", False):
        raise DeclarationError(f"{where} is a coroutine, but its driver is `blocking`: make it a plain method.")


def _parameter(driver: object, one: inspect.Parameter, hints: Mapping[str, object], where: str) -> Parameter:
    if one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
        raise DeclarationError(f"{where}: {one} cannot be given by name, so it cannot be a command's parameter.")
    if one.name not in hints:
        raise DeclarationError(f"{where}: parameter {one.name} has no type: write `{one.name}: float`.")
    try:
        parameter = parameter_of(one.name, hints[one.name], driver)
        if one.default is one.empty:
            return parameter
        return replace(parameter, required=False, default=fit(parameter, one.default))
    except ValueError as wrong:
        raise DeclarationError(f"{where}: parameter {one.name} {wrong}.") from wrong


def parameter_of(name: str, hint: object, driver: object = None, *, required: bool = True) -> Parameter:
    """Return the schema of one annotated parameter; `ValueError` says what is wrong with the annotation."""
    base, marks = _unwrapped(hint)
    bounds = next((mark for mark in marks if isinstance(mark, Range)), Range())
    choices: tuple[Scalar, ...] | None = None
    if get_origin(base) is Literal:
        choices = get_args(base)
    if choices is None:
        kind = _type_name(base)
    else:
        kind = _type_of_choices(choices)
    if bounds != Range() and kind not in ("number", "integer"):
        raise ValueError("has a Range, which only a float or an int can have")
    return Parameter(
        name=name,
        type=kind,
        units=_units(marks, driver),
        required=required,
        low=bounds.low,
        high=bounds.high,
        choices=choices,
        doc=next((mark for mark in marks if isinstance(mark, str)), None),
    )


def _type_of_choices(choices: Sequence[object]) -> type_name:
    kinds = {type(choice) for choice in choices}
    if len(kinds) != 1:
        raise ValueError("mixes types in its Literal")
    return _type_name(kinds.pop())


def _type_name(base: object) -> type_name:
    if base is float:
        return "number"
    if base is int:
        return "integer"
    if base is bool:
        return "boolean"
    if base is str:
        return "text"
    raise ValueError(f"is {base}, but can be only float, int, bool, str or Literal")


def _returns(driver: object, hint: object) -> Returns:
    base, marks = _unwrapped(hint)
    base = get_origin(base) or base
    if base in (float, int, bool, str):
        return Returns(type=_type_name(base), units=_units(marks, driver))
    if base in (None, NoneType):
        return Returns(type="nothing")
    if isinstance(base, type) and issubclass(base, Sequence):
        return Returns(type="list", units=_units(marks, driver))
    return Returns(type="object")


def _unwrapped(hint: object) -> tuple[object, tuple[object, ...]]:
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

"""How a driver says which commands it has: `@control` and `@observe` on its methods.

A command exists only where its driver declared it; nothing is guessed from a name. A method's signature is
its schema: `def move_to(self, position: Annotated[float, Unit("mm"), Range(0, 100), "the target"]) -> float`.
A driver whose commands are written in the lab file has them, made, in its attribute `declared`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Literal, TypeVar, get_type_hints

from msgspec.structs import replace

from authority.parameters import (
    Command,
    InvalidParameters,
    Parameter,
    Range,
    Unit,
    UnitOf,
    fit,
    parameter_of,
    returns_of,
)

__all__ = [
    "OF_EVERY_DRIVER",
    "BadOptions",
    "DeclarationError",
    "Declared",
    "InvalidParameters",
    "Range",
    "Unit",
    "UnitOf",
    "commands_of",
    "control",
    "declared_by",
    "observe",
    "refuse_options",
]

_Method = TypeVar("_Method", bound=Callable[..., object])
_Kind = Literal["control", "observe"]

_MARK = "__motorlock_kind__"
OF_EVERY_DRIVER = frozenset({"address", "blocking", "check", "close", "declared", "kind", "open", "readback", "stop"})


class DeclarationError(Exception):
    """A driver's class declares a command wrongly; the text says which and how to put it right."""


class BadOptions(ValueError):
    """A driver cannot be made with these options; each of `clauses` says one thing that is wrong, for a person."""

    def __init__(self, *clauses: str) -> None:
        super().__init__("; ".join(clauses))
        self.clauses = clauses


def refuse_options(wrong: Iterable[str]) -> None:
    """Raise `BadOptions` where anything is wrong."""
    if clauses := tuple(wrong):
        raise BadOptions(*clauses)


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
        returns=returns_of(hints["return"], driver),
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

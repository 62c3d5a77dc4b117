"""A Python object by import path, and what is found along a dotted path from it; each mistake gets one clause."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module

from authority.lab_file import did_you_mean

_HANDED_ON = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class NoSuch(Exception):
    """What is named is not there or cannot be used so; the text is a clause for a person."""


def imported(place: str) -> Callable[..., object]:
    """Return what makes the object, from `package.module:name`; raises `NoSuch`."""
    module_name, _, path = place.partition(":")
    if not (module_name and path):
        raise NoSuch(f"{place!r} names no object: write package.module:Class, such as ophyd:EpicsMotor")
    found: object = _module(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            raise NoSuch(f"{module_name} has no {name!r}{_near(name, vars(found))}")
        found = getattr(found, name)
    if not callable(found):
        raise NoSuch(f"{place} is {type(found).__name__}, but must be a class or a function that makes the object")
    return found


def refuse_unmakeable(make: Callable[..., object], args: Sequence[object], arguments: Mapping[str, object]) -> None:
    """Raise `NoSuch` where `make` cannot be called so."""
    try:
        signature = _called_with(make)
    except (TypeError, ValueError):
        return  # it does not say what it takes
    try:
        signature.bind(*args, **arguments)
    except TypeError as wrong:
        name = getattr(make, "__qualname__", "it")
        raise NoSuch(f"{name}{signature} cannot be made with args and arguments as given: {wrong}") from wrong


def owner_of(made: object, path: str) -> tuple[object, str]:
    """Return what has the last name of a dotted path, and that name; raises `NoSuch`."""
    *names, last = path.split(".")
    for name in names:
        made = _held(made, name)
    return made, last


def attribute(made: object, path: str) -> object:
    """Return what is at a dotted path; raises `NoSuch`, or whatever reading it raises."""
    owner, last = owner_of(made, path)
    return getattr(owner, last)


def assign(made: object, path: str, value: object) -> None:
    """Assign to what is at a dotted path."""
    owner, last = owner_of(made, path)
    setattr(owner, last, value)


def refuse_missing(made: object, path: str) -> None:
    """Raise `NoSuch` where there is nothing at a path; a property at its end is not read for that."""
    owner, last = owner_of(made, path)
    if _static(owner, last) is None and not hasattr(owner, last):
        raise NoSuch(f"{type(owner).__name__} has no {last!r}{_near(last, dir(owner))}")


def refuse_unsettable(made: object, path: str) -> None:
    """Raise `NoSuch` where there is nothing to assign to at a path."""
    refuse_missing(made, path)
    owner, last = owner_of(made, path)
    found = _static(type(owner), last)
    if isinstance(found, property) and not _can_be_set(found):
        raise NoSuch(f"{type(owner).__name__}.{last} cannot be set, it can only be read")
    if inspect.isfunction(found):
        raise NoSuch(f'{type(owner).__name__}.{last} is a method: write call = "{path}"')


def refuse_unfit(made: object, path: str, names: Iterable[str]) -> None:
    """Raise `NoSuch` where there is no method at a path, or one that takes no parameters of these names."""
    refuse_missing(made, path)
    owner, last = owner_of(made, path)
    where = f"{type(owner).__name__}.{last}"
    if isinstance(_static(type(owner), last), property):
        raise NoSuch(f'{where} is a property, no method: write set = "{path}" or get = "{path}"')
    method = getattr(owner, last)
    if not callable(method):
        raise NoSuch(f"{where} is {type(method).__name__}, no method")
    try:
        signature = _called_with(method)
    except (TypeError, ValueError):
        return  # such as one written in C: calling it will tell
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as wrong:
        raise NoSuch(f"{where}{signature} cannot be called with ({', '.join(names)}): {wrong}") from wrong


def _called_with(method: Callable[..., object]) -> inspect.Signature:
    """Return what a method takes when it is called.

    One that wraps another takes what it says itself, whatever `functools.wraps` says of it, as QCoDeS's `set` does;
    only one that hands on all that it is given takes what the wrapped one takes.
    """
    own = inspect.signature(method, follow_wrapped=False)
    hands_on = {one.kind for one in own.parameters.values()} >= _HANDED_ON
    if hands_on:
        return inspect.signature(method)
    return own


def _can_be_set(found: property) -> bool:
    """Whether a property can be assigned to: PyMeasure's has a function for it also where it has no command."""
    if found.fset is None:
        return False
    try:
        command = inspect.signature(found.fset).parameters.get("set_command")
    except (TypeError, ValueError):
        return True
    return command is None or command.default is not None


def _held(owner: object, name: str) -> object:
    if not hasattr(owner, name):
        raise NoSuch(f"{type(owner).__name__} has no {name!r}{_near(name, dir(owner))}")
    return getattr(owner, name)


def _near(name: str, known: Iterable[str]) -> str:
    """Return a clause that names the public name that was probably meant; empty where none is near."""
    return did_you_mean(name, [one for one in known if not one.startswith("_")])


def _static(owner: object, name: str) -> object:
    return inspect.getattr_static(owner, name, None)


def _module(name: str) -> object:
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and f"{name}.".startswith(f"{missing.name}."):
            raise NoSuch(f"there is no module {name}: install it here, or set PYTHONPATH to its folder") from missing
        raise NoSuch(f"the module {name} needs {missing.name}, which is not installed here") from missing
    except Exception as wrong:  # foreign code runs on import
        raise NoSuch(f"the module {name} cannot be imported: {' '.join(str(wrong).split())}") from wrong

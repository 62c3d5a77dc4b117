"""The parts of an object that a class shows without one being made: PyMeasure's channels, and what `__init__` makes."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from authority.wrap.members import LeftOut

__all__ = ["Part", "attributes_of", "parts_of"]


@dataclass(frozen=True)
class Part:
    """An attribute that holds an object of `cls`; `alike` are the other attributes of the same class."""

    path: str
    cls: type
    alike: tuple[str, ...] = ()


def parts_of(cls: type) -> list[Part]:
    """Return one part of each class, with the names of the others alike."""
    by_class: dict[type, list[str]] = {}
    for name, made in [*_channels(cls), *_made_by_constructor(cls)]:
        names = by_class.setdefault(made, [])
        if name not in names:
            names.append(name)
    return [Part(first, made, tuple(others)) for made, (first, *others) in by_class.items()]


def _channels(cls: type) -> Iterator[tuple[str, type]]:
    """Yield PyMeasure's channels, as its `add_child` names them."""
    for name, creator in inspect.getmembers_static(cls):
        pairs = getattr(creator, "pairs", None)
        if not pairs or type(creator).__name__ not in ("ChannelCreator", "MultiChannelCreator"):
            continue
        prefix = None
        if type(creator).__name__ == "MultiChannelCreator":
            prefix = creator.kwargs.get("prefix")
        for made, key in pairs:
            yield (f"{prefix}{key}" if prefix else name), made


def attributes_of(cls: type) -> list[LeftOut]:
    """Return the other public attributes that the constructor's source sets, as what a draft leaves out."""
    parts = {name for name, _ in _made_by_constructor(cls)}
    names = dict.fromkeys(name for name, _ in _set_by_constructor(cls))
    why = "an attribute that the constructor sets: get reads it, set assigns to it"
    return [LeftOut(name, why) for name in names if name not in parts and not hasattr(cls, name)]


def _made_by_constructor(cls: type) -> Iterator[tuple[str, type]]:
    """Yield what `self.NAME = Class(...)` in the constructor makes, of the class's own package."""
    known = getattr(_constructor(cls), "__globals__", {})
    for name, value in _set_by_constructor(cls):
        match value:
            case ast.Call(func=ast.Name(id=made)):
                found = known.get(made)
                if isinstance(found, type) and _same_package(found, cls):
                    yield name, found


def _set_by_constructor(cls: type) -> Iterator[tuple[str, ast.expr]]:
    """Yield the public names that the constructor's source assigns to, and what it assigns."""
    constructor = _constructor(cls)
    if not inspect.isfunction(constructor):
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(constructor)))
    except (OSError, SyntaxError):  # there is no source, or not that of one function
        return
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value)
                | ast.AnnAssign(target=ast.Attribute(value=ast.Name(id="self"), attr=name), value=ast.expr() as value)
            ) if not name.startswith("_"):
                yield name, value


def _constructor(cls: type) -> object:
    found = inspect.getattr_static(cls, "__init__")
    if inspect.isfunction(found):
        return inspect.unwrap(found)
    return found


def _same_package(one: type, other: type) -> bool:
    return one.__module__.partition(".")[0] == other.__module__.partition(".")[0]

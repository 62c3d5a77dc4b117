"""What a class has that a person could call, read or set: found by looking at it, never by making one.

Only what plainly looks is `observe`; all that is doubtful is `control`, with the reason.
"""

from __future__ import annotations

import dis
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Literal, Protocol, TypeGuard

from authority.drivers.object_paths import can_be_read, can_be_set
from authority.drivers.parameters import type_name
from authority.wrap.arguments import Argument, Unfit, argument_of_property, arguments_of, type_of_answer
from authority.wrap.docstrings import summary_of, units_in

__all__ = ["Entry", "LeftOut", "Members", "members_of"]

_LOOKS = re.compile(r"(get|is|has|read)(_|$)")
# What is asked so is answered by yes or no, whatever it is about.
_ASKS_WHETHER = re.compile(r"(is|has)_|((get|check|return)s? )?(whether|a bool|true)", re.IGNORECASE)
_SAYS_THAT_IT_LOOKS = re.compile(r"(get|gets|return|returns|read|reads|query|queries|measure|measures|whether)\b", re.I)
# A reading whose name or first sentence has one of these may do more than look.
_ACTS = re.compile(
    r"\b(abort|acquir|calibrat|clear|configures?\b|eras|errors?\b|flush|home\b|homes|homing|initiat|moves?\b|next\b|pops?\b|reset"
    r"|self[- ]?test|sets?\b|start|stop|trigger|turns?\b|zero)",
    re.IGNORECASE,
)
# Words sent as they are go round every limit that the lab file has.
_RAW = frozenset(
    [
        *["ask", "query", "write", "send", "send_command", "values", "binary_values", "readline", "readlines"],
        *["read_bytes", "write_bytes", "read_raw", "write_raw", "read_values", "write_values", "query_values"],
        *["read_binary_values", "write_binary_values", "query_binary_values", "query_ascii_values", "flush"],
    ]
)
_FRAMEWORK = (
    "pymeasure.instruments.common_base",
    "pymeasure.instruments.instrument",
    "pymeasure.instruments.channel",
    "pymeasure.instruments.generic_types",
    "ophyd.device",
    "ophyd.ophydobj",
)
_USEFUL_OF_FRAMEWORK = frozenset({"id", "connected"})


@dataclass(frozen=True)
class Entry:
    """One command that the draft proposes; `path` is where it is, seen from the object."""

    name: str
    kind: Literal["control", "observe"]
    how: Literal["call", "get", "set"]
    path: str
    doc: str
    arguments: tuple[Argument, ...] = ()
    units: str | None = None
    type: type_name | None = None
    why: str | None = None
    is_coroutine: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A member that the draft only names, and why."""

    path: str
    why: str


Members = list[Entry | LeftOut]


class _Component(Protocol):
    """An attribute of an ophyd device, as its class has it."""

    cls: type
    suffix: str | None
    doc: str | None


def members_of(cls: type, prefix: str = "") -> Members:
    """Return what is public in a class and its bases, in the order they are written; `prefix` goes before each path."""
    found: Members = []
    for name, member, owner in _public(cls):
        if owner.__module__ in _FRAMEWORK and name not in _USEFUL_OF_FRAMEWORK:
            if not inspect.isclass(member):
                found.append(LeftOut(prefix + name, f"what every {owner.__name__} has"))
        else:
            found.extend(_entries(cls, name, member, prefix + name))
    return found


def _public(cls: type) -> Iterator[tuple[str, object, type]]:
    seen: set[str] = set()
    for owner in cls.__mro__[:-1]:
        for name, member in vars(owner).items():
            if not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, member, owner


def _entries(cls: type, name: str, member: object, path: str) -> Iterator[Entry | LeftOut]:
    if isinstance(member, functools.cached_property):
        yield LeftOut(path, "it is read once and kept")
    elif isinstance(member, property):
        yield from _of_property(cls, name, member, path)
    elif _is_signal(member):
        yield from _of_signal(member, path)
    elif isinstance(member, staticmethod | classmethod):
        yield LeftOut(path, "it belongs to the class, not to the equipment")
    elif inspect.isfunction(member):
        yield _of_method(cls, name, member, path)


def _of_property(cls: type, name: str, member: property, path: str) -> Iterator[Entry]:
    text = inspect.getdoc(member) or ""
    doc = summary_of(text)
    units = units_in(text)
    settable = can_be_set(member)
    if can_be_read(member):
        # One that may be set says so in its sentence; to read it is to look all the same.
        why = None
        if not settable:
            why = _doubt(name, doc, member.fget)
        kind: Literal["control", "observe"] = "observe"
        if why:
            kind = "control"
        yield Entry(_name(path), kind, "get", path, doc, units=units, type=type_of_answer(member.fget), why=why)
    if settable:
        argument = argument_of_property(cls, name, member, text)
        yield Entry(_name(path, "set_"), "control", "set", path, doc, (argument,))


def _of_method(cls: type, name: str, method: Callable[..., object], path: str) -> Entry | LeftOut:
    text = inspect.getdoc(method) or ""
    doc = summary_of(text)
    if name in _RAW or (name == "read" and any(hasattr(cls, other) for other in ("write", "ask"))):
        return LeftOut(path, "words sent as they are, around every limit")
    try:
        arguments = arguments_of(method, text)
    except Unfit as unfit:
        return LeftOut(path, str(unfit))
    awaited = inspect.iscoroutinefunction(method)
    seems = _LOOKS.match(name) is not None
    why = _doubt(name, doc, method)
    if seems and not arguments and why is None:
        answer = type_of_answer(method)
        units = units_in(text)
        return Entry(_name(path), "observe", "get", path, doc, units=units, type=answer, is_coroutine=awaited)
    if seems or _SAYS_THAT_IT_LOOKS.match(doc):
        why = why or ("it takes parameters" if arguments else "its name does not say that it only looks")
    else:
        why = None  # nothing doubtful about it
    return Entry(_name(path), "control", "call", path, doc, arguments, why=why, is_coroutine=awaited)


def _doubt(name: str, doc: str, function: Callable[..., object] | None) -> str | None:
    """Return why a reading may do more than look, None where nothing says so."""
    if not _ASKS_WHETHER.match(name) and not _ASKS_WHETHER.match(doc):
        for what, text in (("name", name.replace("_", " ")), ("docstring", doc.partition(". ")[0])):
            if said := _ACTS.search(text):
                return f"its {what} says {said.group(0).lower()!r}"
    if function is not None:
        return _doubt_of_code(getattr(inspect.unwrap(function), "__code__", None))
    return None


def _doubt_of_code(code: CodeType | None) -> str | None:
    """Return why the code of a reading may do more than look: it writes, or sets what is public."""
    if code is None:
        return None
    if "write" in code.co_names:
        return "its code writes"
    stored = [one.argval for one in dis.get_instructions(code) if one.opname == "STORE_ATTR"]
    return next((f"its code sets {name}" for name in stored if not name.startswith("_")), None)


def _is_signal(member: object) -> TypeGuard[_Component]:
    """Tell an ophyd component that is a signal, without importing ophyd."""
    made = getattr(member, "cls", None)
    return hasattr(member, "suffix") and isinstance(made, type) and "Signal" in {one.__name__ for one in made.__mro__}


def _of_signal(component: _Component, path: str) -> Iterator[Entry]:
    doc = f"{component.cls.__name__} {component.suffix or ''}".strip()
    yield Entry(_name(path), "observe", "get", f"{path}.get", doc)
    if not any(one.__name__.endswith("RO") for one in component.cls.__mro__):
        value = Argument("value", "number", remarks=("type: a signal's class does not say, is it a number?",))
        yield Entry(_name(path, "set_"), "control", "call", f"{path}.put", doc, (value,))


def _name(path: str, before: str = "") -> str:
    """Return a command's name for what is at a path: `x.position` is `x_position`, and `x_set_position` to set it."""
    *parts, last = path.split(".")
    return "_".join([*parts, before + last])

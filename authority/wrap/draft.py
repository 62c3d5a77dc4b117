"""The draft as TOML: what a class has, written so that a person decides what is doubtful before it can be used."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from authority.drivers.declare import OF_EVERY_DRIVER
from authority.drivers.python_options import UNDECIDED
from authority.wrap.arguments import Argument
from authority.wrap.members import Entry, LeftOut, Members, members_of
from authority.wrap.parts import attributes_of, parts_of
from authority.wrap.toml import comment, key_of, short, toml

__all__ = ["draft_of"]

_STOPS = (
    *(
        "stop",
        "stop_motion",
        "stop_move",
        "stop_moving",
        "stop_all",
        "stop_all_axes",
        "emergency_stop",
        "estop",
        "halt",
    ),
)
# These may end a measurement and leave the rest as it is.
_PERHAPS_STOPS = ("abort", "abort_motion", "kill", "cancel", "disable", "output_off", "disable_source", "shutdown")
_CLOSES = ("close", "disconnect", "shutdown", "shut_down")
_OPENS = ("open", "connect", "initialize", "initialise")
_READINGS = (
    ("position", "number", ("position",)),
    ("moving", "boolean", ("moving", "is_moving", "in_motion", "busy", "is_busy")),
)
_LONGEST_DOC = 300


class _Framework(NamedTuple):
    """How an object of a framework is made, opened and closed, whatever else its class does."""

    open: str | None = None
    close: str | None = None
    concurrent: bool = False
    prefixed: bool = False


_FRAMEWORKS = {
    ("ophyd.device", "Device"): _Framework(open="wait_for_connection", close="destroy", concurrent=True, prefixed=True),
    ("pymeasure.instruments.instrument", "Instrument"): _Framework(close="adapter.close"),
}


def draft_of(place: str, cls: type) -> str:
    """Return the lab file's entry for the class at `place`, `package.module:Class`."""
    members = members_of(cls)
    parts = parts_of(cls)
    for part in parts:
        members += members_of(part.cls, f"{part.path}.")
    found = [one for one in members if isinstance(one, Entry)]
    name = _snake(cls.__name__)
    table = f"equipment.{name}"
    lines = [
        *_heading(place),
        f"[{table}]",
        'driver = "python"',
        "",
        f"[{table}.options]",
        f"object = {toml(place)}",
        *_constructor(cls, name),
        *_life(cls, found),
        *_stop(found),
        *(line for part in parts if part.alike for line in comment(f"{', '.join(part.alike)}: as {part.path}")),
        *_readings(table, found),
        *_commands(table, found),
        *_left_out([*members, *attributes_of(cls)]),
    ]
    return "\n".join(lines) + "\n"


def _heading(place: str) -> Iterator[str]:
    yield from comment(f"A draft by `motorlock wrap {place}`, from looking at the class: no equipment was asked.")
    yield from comment(
        "Read each command: what may change the equipment belongs under control, and observers may give what is under "
        "observe. Then say which parameter is a target, with low and high, delete what nobody needs, decide each TODO "
        "and run `motorlock check`."
    )


def _constructor(cls: type, name: str) -> Iterator[str]:
    try:
        given = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        yield "# arguments = {}  # TODO: what it is made with cannot be seen"
        return
    if not given:
        return
    yield from comment(f"It is made as {cls.__name__}({', '.join(map(_as_written, given))})")
    needed = {one.name: UNDECIDED for one in given if _is_needed(one)}
    if _framework(cls).prefixed:
        needed |= {"prefix": UNDECIDED, "name": name}
    if needed:
        values = ", ".join(f"{key_of(one)} = {toml(value)}" for one, value in needed.items())
        yield f"arguments = {{ {values} }}  # TODO: what are they?"


def _is_needed(one: inspect.Parameter) -> bool:
    return one.default is one.empty and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)


def _as_written(one: inspect.Parameter) -> str:
    if one.kind is one.VAR_KEYWORD:
        stars = "**"
    elif one.kind is one.VAR_POSITIONAL:
        stars = "*"
    else:
        stars = ""
    return f"{stars}{one.name}{'' if one.default is one.empty else f'={short(one.default)}'}"


def _framework(cls: type) -> _Framework:
    bases = ((one.__module__, one.__name__) for one in cls.__mro__)
    return next((_FRAMEWORKS[base] for base in bases if base in _FRAMEWORKS), _Framework())


def _life(cls: type, found: list[Entry]) -> Iterator[str]:
    known = _framework(cls)
    for option, path, names in (("open", known.open, _OPENS), ("close", known.close, _CLOSES)):
        if path is not None:
            yield f"{option} = {toml(path)}"
        for other in _first(found, names)[:1]:
            yield f"# {option} = {toml(other)}  # does it only that, or does it move or switch something, too?"
    if known.concurrent:
        yield "concurrent = true"
    awaited = [one.path for one in found if one.is_coroutine]
    if awaited:
        yield f"asyncio = true  # coroutines, such as {awaited[0]}"


def _stop(found: list[Entry]) -> Iterator[str]:
    paths = _first(found, _STOPS)
    if paths:
        also = ""
        if paths[1:]:
            also = f"; or is it {', '.join(paths[1:])}?"
        yield f"stop = {toml(paths[0])}  # TODO: try it during a move before you rely on it{also}"
        return
    perhaps = _first(found, _PERHAPS_STOPS)
    seen = "nothing here looks like one"
    if perhaps:
        seen = f"{' or '.join(perhaps)} may be one, or not"
    yield from comment(
        f"TODO: the stop must be decided, and {seen}. Write stop = with what stops all motion and switches off what "
        'must be off, or stop = "" if there is nothing to stop; without that line nothing here can be used.'
    )


def _first(found: Iterable[Entry], names: tuple[str, ...]) -> list[str]:
    """Return the paths of the methods that have one of these names and need no parameter, the best name first."""
    methods = [one.path for one in found if one.how == "call" and all(a.default is not None for a in one.arguments)]
    return [path for name in names for path in methods if path.rpartition(".")[2].lower() == name]


def _readings(table: str, found: list[Entry]) -> Iterator[str]:
    looks = [one.path for one in found if one.kind == "observe"]
    lines = [
        f"{reading} = {{ get = {toml(path)}, type = {toml(kind)} }}"
        for reading, kind, names in _READINGS
        for path in [one for name in names for one in looks if one.rpartition(".")[2] == name][:1]
    ]
    if lines:
        yield from ("", f"[{table}.options.readings]  # asked for again and again: by these a lock passes on", *lines)


def _commands(table: str, found: list[Entry]) -> Iterator[str]:
    stops = _first(found, _STOPS)[:1]
    used = set(OF_EVERY_DRIVER)
    for one in found:
        if one.path in stops:
            continue
        name = one.name
        while name in used:
            name += "_"
        used.add(name)
        yield ""
        if one.why:
            yield from comment(f"control, because {one.why}")
        yield f"[{table}.options.{one.kind}.{key_of(name)}]"
        yield f"{one.how} = {toml(one.path)}"
        if one.type and one.kind == "observe":
            yield f"type = {toml(one.type)}"
        if one.doc:
            if len(one.doc) <= _LONGEST_DOC:
                doc = one.doc
            else:
                doc = one.doc[: _LONGEST_DOC - 3] + "..."
            yield f"doc = {toml(doc)}"
        if one.units:
            yield f"units = {toml(one.units)}  # from the docstring"
        if one.arguments:
            yield _parameters(one.arguments)


def _parameters(arguments: tuple[Argument, ...]) -> str:
    remarks = "; ".join(remark for one in arguments for remark in one.remarks)
    tables = ", ".join(f"{key_of(one.name)} = {_parameter(one)}" for one in arguments)
    return f"parameters = {{ {tables} }}" + (f"  # {remarks}" if remarks else "")


def _parameter(one: Argument) -> str:
    known: dict[str, object] = {"type": one.type}
    known |= {name: value for name in ("units", "default") if (value := getattr(one, name)) is not None}
    known |= {
        name: int(value) if one.type == "integer" else value
        for name in ("low", "high")
        if (value := getattr(one, name)) is not None
    }
    if one.choices:
        known["choices"] = list(one.choices)
    return "{ " + ", ".join(f"{name} = {toml(value)}" for name, value in known.items()) + " }"


def _left_out(members: Members) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for one in members:
        if isinstance(one, LeftOut):
            by_reason.setdefault(one.why, []).append(one.path)
    if by_reason:
        yield from ("", "# Left out:")
    for why, paths in by_reason.items():
        yield from comment(f"- {', '.join(paths)}: {why}")


def _snake(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^A-Za-z0-9_]", "_", words).lower().strip("_") or "equipment"

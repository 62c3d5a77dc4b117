"""What a lab file may write of a driver whose commands are a table, and what is wrong in it.

How an action is carried out is not said here: each such driver adds its keys to these Structs (`send`, `query`;
`call`, `get`, `set`). What stands under `control` is control, under `observe` observe; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Struct

from authority.drivers.declare import OF_EVERY_DRIVER
from authority.drivers.limits import lower_bound, upper_bound, wrong_limits
from authority.lab_file import Mistake
from authority.parameters import Command, Parameter, Range, Returns, Scalar, answer_name, fit, type_name

_OF_POSITION = ("position", "target")
_NEEDED_FOR_REST = "a reading moving, or a reading position and a tolerance, by which to see that it rests"
_TYPES = {"position": "number", "target": "number", "velocity": "number", "moving": "boolean"}


class ParameterEntry(Struct, frozen=True, kw_only=True):
    """A parameter of a command; `low`, `high` and `default` are in `units`. One with a default may be left out."""

    type: type_name
    units: str | None = None
    low: float | None = None
    high: float | None = None
    choices: list[Scalar] | None = None
    default: Scalar | None = None
    doc: str | None = None

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be, a clause each."""
        if self.type in ("number", "integer"):
            yield from wrong_limits(lower_bound(self.low), upper_bound(self.high), {})
        elif self.low is not None or self.high is not None:
            yield f"has low or high, which only a number can have, not {self.type}"
        if self.choices is not None and not self.choices:
            yield "has choices without any"
            return
        for word, one in [("choice", choice) for choice in self.choices or ()] + [("default", self.default)]:
            try:
                if one is not None:
                    fit(self.declared("", None), one)
            except ValueError as wrong:
                yield f"{word} {wrong}"

    def declared(self, name: str, units: str | None) -> Parameter:
        """Return the schema under `name`, in `units` where the table says none."""
        choices = None
        if self.choices is not None:
            choices = tuple(self.choices)
        return Parameter(
            name=name,
            type=self.type,
            units=self.units or units,
            required=self.default is None,
            default=self.default,
            low=self.low,
            high=self.high,
            choices=choices,
            doc=self.doc,
        )


class ReadingEntry(Struct, frozen=True, kw_only=True):
    """One thing the readback says; `position`, `target`, `velocity` and `moving` have a meaning, others are values."""

    type: type_name
    units: str | None = None

    @property
    def answer(self) -> answer_name:
        """The type of what it says."""
        return self.type

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be in how it is asked for, a clause each; for the driver that adds it."""
        yield from ()


class CommandEntry(Struct, frozen=True, kw_only=True):
    """A command: what people read of it, its parameters, and the type of what it answers."""

    doc: str = ""
    parameters: Mapping[str, ParameterEntry] = {}
    type: answer_name | None = None
    units: str | None = None

    @property
    def answer(self) -> answer_name:
        """The type of what it answers by itself; a driver that knows better than "nothing" says so."""
        return self.type or "nothing"

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be in how it is carried out, a clause each; for the driver that adds it."""
        yield from ()


class ObserveEntry(CommandEntry, frozen=True, kw_only=True):
    """A command that changes nothing: observers may give it, too."""


class ControlEntry(CommandEntry, frozen=True, kw_only=True):
    """A command that changes the equipment.

    `target`, `distance` and `velocity` name the parameter that is one, so that the limits hold for it. With
    `until = "rest"` the command ends when the device rests, and one that takes longer than `deadline_s` seconds is
    stopped and has failed. With `answers` it answers that reading.
    """

    target: str | None = None
    distance: str | None = None
    velocity: str | None = None
    until: Literal["rest"] | None = None
    answers: str | None = None
    deadline_s: Annotated[float, Range(0.01, 864_000)] = 600.0

    @property
    def moves(self) -> bool:
        """Whether the table says that it sets something in motion."""
        return self.until is not None or self.target is not None or self.distance is not None


class TableOptions(Struct, frozen=True, kw_only=True):
    """The options of a driver made from a table; lengths in `units`, velocities in `units` per second.

    `stop` is what stops all motion, in the words of the driver. Left out it is a mistake where there is any control
    command; empty it says that there is nothing to stop, which is refused where something moves. A move that ends
    further than `tolerance` from its target has failed. A device may take `start_s` seconds to say that it moves. One
    without a reading `moving` rests once its position has changed by no more than `tolerance` for `settle_s` seconds.
    """

    kind: str = "instrument"
    units: str | None = None
    low: float | None = None
    high: float | None = None
    max_velocity: Annotated[float, Range(0)] | None = None
    tolerance: Annotated[float, Range(0)] | None = None
    start_s: Annotated[float, Range(0, 60)] = 0.5
    settle_s: Annotated[float, Range(0.01, 600)] = 1.0
    stop: str | None = None
    readings: Mapping[str, ReadingEntry] = {}
    control: Mapping[str, ControlEntry] = {}
    observe: Mapping[str, ObserveEntry] = {}

    def mistakes(self) -> Iterator[Mistake]:
        """Say what cannot be in the driver's own further options; each driver that has some adds to it."""
        yield from ()

    @property
    def tells_rest(self) -> bool:
        """Whether anybody can tell from the readings when the device rests."""
        return "moving" in self.readings or self.settles

    @property
    def settles(self) -> bool:
        """Whether rest is told from the position alone."""
        return "moving" not in self.readings and "position" in self.readings and self.tolerance is not None

    def units_of(self, reading: str) -> str | None:
        """Return the unit of a reading: its own, else that of positions where it is one."""
        own = self.readings[reading].units
        if own is None and self.units is not None:
            if reading == "velocity":
                return f"{self.units}/s"
            if reading in _OF_POSITION:
                return self.units
        return own


def table_mistakes(options: TableOptions, found: list[Mistake]) -> Iterator[Mistake]:
    """Tell what cannot be in a table that was converted with the mistakes `found`; what those spoil is not judged."""
    broken = {mistake.key for mistake in found}

    def sound(key: str) -> bool:
        return not any(one == key or one.startswith((f"{key}.", f"{key}[")) for one in broken)

    for name, reading in options.readings.items():
        if sound(f"readings.{name}"):
            yield from mistakes_at(f"readings.{name}", _reading(name, reading, options))
    for group in ("control", "observe"):
        commands: Mapping[str, CommandEntry] = getattr(options, group)
        for name, command in commands.items():
            if sound(f"{group}.{name}"):
                yield from mistakes_at(f"{group}.{name}", _command(name, command, options))
    if sound("low") and sound("high"):
        for clause in wrong_limits(lower_bound(options.low), upper_bound(options.high), {}):
            yield Mistake("low", clause)
    if sound("control"):
        yield from _limits(options)
    if sound("stop"):
        yield from _stop(options)
    if all("." in key for key in broken):
        yield from options.mistakes()


def command_of(name: str, entry: CommandEntry, options: TableOptions) -> Command:
    """Return the declaration of a command in the table."""
    units: dict[str, str | None] = {}
    answers = None
    if isinstance(entry, ControlEntry):
        speed = None
        if options.units:
            speed = f"{options.units}/s"
        lengths = [(entry.target, options.units), (entry.distance, options.units), (entry.velocity, speed)]
        units = {parameter: unit for parameter, unit in lengths if parameter is not None}
        answers = entry.answers
    returns = Returns(type=entry.answer, units=entry.units)
    if answers is not None:
        returns = Returns(type=options.readings[answers].type, units=entry.units or options.units_of(answers))
    return Command(
        name=name,
        kind="control" if isinstance(entry, ControlEntry) else "observe",
        doc=entry.doc,
        parameters=tuple(one.declared(called, units.get(called)) for called, one in entry.parameters.items()),
        returns=returns,
    )


def mistakes_at(key: str, clauses: Iterator[str]) -> Iterator[Mistake]:
    """Yield the clauses as mistakes at a key."""
    for clause in clauses:
        yield Mistake(key, f"{key} {clause}")


def _reading(name: str, reading: ReadingEntry, options: TableOptions) -> Iterator[str]:
    needed = _TYPES.get(name, reading.type)
    if reading.type != needed:
        yield f'is type = "{reading.type}", but needs type = "{needed}"'
    if name in _OF_POSITION and reading.units not in (None, options.units):
        yield f"is in {reading.units}, but {_units_of_position(options)}: nothing converts them"
    yield from reading.mistakes()


def _command(name: str, entry: CommandEntry, options: TableOptions) -> Iterator[str]:
    if not name.isidentifier() or name.startswith("_"):
        yield "cannot be called so: a name has letters, digits and _ and begins with a letter"
    if name in OF_EVERY_DRIVER:
        yield "cannot be called so: every driver has that name"
    if isinstance(entry, ObserveEntry) and name in options.control:
        yield "is under control, too: a command can be only one of them"
    for called, parameter in entry.parameters.items():
        if not called.isidentifier() or called.startswith("_"):
            yield f"has a parameter {called!r}: a name has letters, digits and _ and begins with a letter"
        for clause in parameter.mistakes():
            yield f"parameters.{called} {clause}"
    if isinstance(entry, ControlEntry):
        yield from _roles(entry, options)
        yield from _end(entry, options)
    yield from entry.mistakes()


def _roles(entry: ControlEntry, options: TableOptions) -> Iterator[str]:
    for role in ("target", "distance", "velocity"):
        named: str | None = getattr(entry, role)
        if named is None:
            continue
        parameter = entry.parameters.get(named)
        if parameter is None:
            yield f"has {role} = {named!r}, but {_named('parameter', entry.parameters)}"
            continue
        if parameter.type not in ("number", "integer"):
            yield f"has {role} = {named!r}, which must be a number, not {parameter.type}"
        if role != "velocity" and parameter.units not in (None, options.units):
            yield f"parameters.{named} is in {parameter.units}, but {_units_of_position(options)}"
    if entry.target is not None and entry.distance is not None:
        yield "has both target and distance: it can be only one of them"
    if entry.distance is not None and "position" not in options.readings:
        yield "has a distance, which needs a reading position to count from"


def _end(entry: ControlEntry, options: TableOptions) -> Iterator[str]:
    motion = _motion(entry)
    if motion is not None and not options.tells_rest:
        yield f"has {motion}, which needs {_NEEDED_FOR_REST}"
    if entry.answers is not None and entry.answers not in options.readings:
        yield f"has answers = {entry.answers!r}, but {_named('reading', options.readings)}"
    if entry.answers is not None and entry.type is not None:
        yield "has both answers and type: the type is that of the reading"


def _limits(options: TableOptions) -> Iterator[Mistake]:
    low = options.low
    high = options.high
    commands = options.control.values()
    if (low is not None or high is not None) and not any(one.target or one.distance for one in commands):
        remedy = (
            'say target = "PARAMETER" or distance = "PARAMETER" in the control command that moves, or give the '
            "parameter limits of its own, as in parameters = { voltage = { low = 0, high = 30 } }"
        )
        key = "low"
        if low is None:
            key = "high"
        yield Mistake(key, f"low and high hold for no command: {remedy}")
    if options.max_velocity is not None and not any(one.velocity for one in commands):
        remedy = (
            'say velocity = "PARAMETER" in the control command that sets it, or give the parameter a high of its own'
        )
        yield Mistake("max_velocity", f"max_velocity holds for no command: {remedy}")


def table_warnings(options: TableOptions) -> Iterator[str]:
    """Say what is allowed in a table and may be regretted, a sentence each."""
    if "position" in options.readings and options.control and not options.tells_rest:
        yield (
            "it has a position and no reading moving: after half a second of standing still it is taken for resting; "
            "add that reading, or a tolerance and settle_s, by which rest is told from the position"
        )
    if options.tolerance is None and "position" in options.readings:
        unchecked = [name for name, one in options.control.items() if one.until and (one.target or one.distance)]
        if unchecked:
            yield f"a move is done wherever it comes to rest ({', '.join(unchecked)}): give a tolerance"


def _motion(entry: ControlEntry) -> str | None:
    """Return the key by which a command sets something in motion, None where it does not."""
    if entry.until is not None:
        return 'until = "rest"'
    if entry.target is not None:
        return "a target"
    if entry.distance is not None:
        return "a distance"
    return None


def _stop(options: TableOptions) -> Iterator[Mistake]:
    moving = [name for name, one in options.control.items() if isinstance(one, ControlEntry) and one.moves]
    if options.stop is None and options.control:
        remedy = 'say what stops it, or stop = "" where there is nothing to stop'
        yield Mistake("stop", f"stop is missing, but there are control commands: {remedy}")
    elif options.stop is not None and not options.stop.strip() and (moving or "moving" in options.readings):
        what = "there is a reading moving"
        if moving:
            what = f"control.{moving[0]} moves"
        yield Mistake("stop", f"stop is empty, but {what}: what moves must have a stop")


def _units_of_position(options: TableOptions) -> str:
    if options.units:
        return f"units of the position is {options.units}"
    return "units of the position is not said"


def _named(what: str, table: Mapping[str, object]) -> str:
    if table:
        return f"its {what}s are {', '.join(table)}"
    return f"there is no {what}"

"""What a lab file says of a Python object: how it is made, and which of its methods and properties are commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import field

from authority.drivers.object_paths import (
    NoSuch,
    imported,
    refuse_missing,
    refuse_unfit,
    refuse_unmakeable,
    refuse_unsettable,
)
from authority.drivers.table import ControlEntry, ObserveEntry, ReadingEntry, TableOptions
from authority.lab_file import Mistake
from authority.parameters import answer_name


class PythonReading(ReadingEntry, frozen=True, kw_only=True):
    """A reading: `get` is a property or a method without parameters; `invert` turns true and false round."""

    get: str
    invert: bool = False

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be, a clause each."""
        if self.invert and self.type != "boolean":
            yield f"has invert, which only a boolean can have, not {self.type}"


class PythonObserve(ObserveEntry, frozen=True, kw_only=True):
    """An observe command: `get` is a property or a method without parameters, `call` a method with parameters."""

    get: str | None = None
    call: str | None = None
    fixed: Mapping[str, object] = {}

    @property
    def path(self) -> str:
        """Where it is, seen from the object."""
        return self.call or self.get or ""

    @property
    def answer(self) -> answer_name:
        """What the lab file says, else whatever comes back."""
        return self.type or "object"

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be, a clause each."""
        yield from _way_mistakes(self, {"get": self.get, "call": self.call})


class PythonControl(ControlEntry, frozen=True, kw_only=True):
    """A control command: a method to `call`, a property to `set` to the one parameter, or one to `get`.

    `fixed` are arguments that are always given along. What comes back is answered only where `type` says what it is.
    """

    call: str | None = None
    set: str | None = None
    get: str | None = None
    fixed: Mapping[str, object] = {}

    @property
    def path(self) -> str:
        """Where it is, seen from the object."""
        return self.call or self.set or self.get or ""

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be, a clause each."""
        yield from _way_mistakes(self, {"call": self.call, "set": self.set, "get": self.get})
        if self.set is not None and len(self.parameters) != 1:
            yield f"has set, which needs exactly one parameter, not {len(self.parameters)}"


class PythonOptions(TableOptions, frozen=True, kw_only=True):
    """The options: `object` is `package.module:Class` or a function, called with `args` and `arguments`.

    `open` and `close` are called after it was made and before it is given up, `stop` to stop all motion. An object
    that may be called from several threads at once is `concurrent`; one that lives in an event loop is `asyncio`.
    `lost_on` names further exceptions of the object that mean that its connection is lost.
    """

    object_: str = field(name="object")
    arguments: Mapping[str, object] = {}
    args: Sequence[object] = ()
    open: str | None = None
    close: str | None = None
    concurrent: bool = False
    asyncio: bool = False
    address: str | None = None
    lost_on: Sequence[str] = ()
    readings: Mapping[str, PythonReading] = {}
    control: Mapping[str, PythonControl] = {}
    observe: Mapping[str, PythonObserve] = {}

    def mistakes(self) -> Iterator[Mistake]:
        """Say where the object cannot be made, before it is."""
        try:
            refuse_unmakeable(imported(self.object_), self.args, self.arguments)
        except NoSuch as wrong:
            yield Mistake("object", str(wrong))


def refuse_misnamed(options: PythonOptions, made: object) -> None:
    """Raise `NoSuch` for the first thing that the lab file names and the object has not, or not so."""
    for key, path in (("stop", options.stop), ("open", options.open), ("close", options.close)):
        if path is not None and path.strip():
            _refuse(key, refuse_unfit, made, path, ())
    for name, reading in options.readings.items():
        _refuse(f"readings.{name}.get", refuse_missing, made, reading.get)
    for group, commands in (("control", options.control), ("observe", options.observe)):
        for name, entry in commands.items():
            if entry.call is not None:
                _refuse(f"{group}.{name}.call", refuse_unfit, made, entry.call, [*entry.fixed, *entry.parameters])
            elif isinstance(entry, PythonControl) and entry.set is not None:
                _refuse(f"{group}.{name}.set", refuse_unsettable, made, entry.set)
            else:
                _refuse(f"{group}.{name}.get", refuse_missing, made, entry.path)


def _refuse(key: str, refuse: Callable[..., None], *arguments: object) -> None:
    try:
        refuse(*arguments)
    except NoSuch as wrong:
        raise NoSuch(f"{key}: {wrong}") from wrong


def _way_mistakes(entry: PythonControl | PythonObserve, ways: Mapping[str, str | None]) -> Iterator[str]:
    given = [name for name, path in ways.items() if path is not None]
    if len(given) != 1:
        yield f"needs one of {', '.join(ways)}, and has {', '.join(given) or 'none'}"
    for name in given:
        if not all(part.isidentifier() for part in str(ways[name]).split(".")):
            yield f"has {name} = {ways[name]!r}, which is no dotted name such as x.move"
    if given == ["get"] and (entry.parameters or entry.fixed):
        yield 'has get, which takes no parameters: write call = "..."'
    for name in sorted(entry.fixed.keys() & entry.parameters.keys()):
        yield f"has {name} both in fixed and in parameters"

"""Drivers that answer, say and raise what no driver should, by name; one blocks, the other runs on the loop."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, NoReturn

import numpy

from authority.drivers.declare import Range, control, observe
from authority.ports import Readback

NO_TEXT = os.fsdecode(b"/data/M\xfcller/run1.tif")


class Mute(Exception):
    """An exception that cannot be written as text."""

    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


class Loop:
    """Something that contains itself."""

    def __init__(self) -> None:
        self.items = [self]


def deep() -> list[object]:
    """Return a list that is nested a thousand deep."""
    found: list[object] = []
    for _ in range(1000):
        found = [found]
    return found


def sink(depth: int = 0) -> NoReturn:
    """Call itself until there is no room."""
    sink(depth + 1)


def leave() -> NoReturn:
    """End the process, as a script does."""
    sys.exit("device gone")


def throw(error: BaseException) -> Callable[[], NoReturn]:
    """Return a function that raises `error`."""

    def work() -> NoReturn:
        raise error

    return work


RAISES: dict[str, Callable[[], NoReturn]] = {
    "exit": leave,
    "interrupt": throw(KeyboardInterrupt()),
    "cancelled": throw(asyncio.CancelledError()),
    "generator": throw(GeneratorExit()),
    "iteration": throw(StopIteration(3)),
    "recursion": sink,
    "mute": throw(Mute()),
    "no_text": throw(ValueError("cannot read " + NO_TEXT)),
    "long": throw(ValueError("x" * 5_000_000)),
}
ANSWERS: dict[str, Callable[[], object]] = {
    "no_text": lambda: NO_TEXT,
    "no_text_as_key": lambda: {NO_TEXT: 1},
    "float32": lambda: numpy.float32(2),
    "longdouble": lambda: numpy.longdouble(2.5),
    "int64": lambda: numpy.int64(7),
    "bool": lambda: numpy.bool_(False),
    "array": lambda: numpy.array([1.0, 2.0]),
    "matrix": lambda: numpy.array([[1, 2], [3, 4]]),
    "not_finite": lambda: [float("nan"), numpy.float64("inf"), numpy.float32("nan")],
    "date": lambda: numpy.datetime64("2026-03-01T12:00:00", "ns"),
    "object": object,
    "deep": deep,
    "large": lambda: [0.5] * 100_000,
}
SAYS: dict[str, Callable[[], object]] = {
    "well": lambda: Readback(moving=False, position=0.0, units="mm"),
    "numpy": lambda: Readback(
        moving=numpy.bool_(False),  # type: ignore[arg-type] - what a driver's author writes
        connected=numpy.bool_(True),  # type: ignore[arg-type]
        position=numpy.float32(1),  # type: ignore[arg-type]
        target=numpy.int64(3),
        values={"counts": numpy.int64(7), "gain": numpy.float32(0.5), "field": numpy.float64("nan")},  # type: ignore[dict-item]
    ),
    "not_finite": lambda: Readback(moving=False, position=float("nan"), target=float("inf"), velocity=float("nan")),
    "surrogate": lambda: Readback(moving=False, values={"file": NO_TEXT}, error=NO_TEXT, units=NO_TEXT),
    "nothing": lambda: None,
    "position": lambda: Readback(position="far"),  # type: ignore[arg-type]
    "moving": lambda: Readback(moving="perhaps"),  # type: ignore[arg-type]
    "list": lambda: Readback(moving=False, values={"trace": numpy.zeros(3)}),  # type: ignore[dict-item]
    **RAISES,
    "much": lambda: Readback(moving=False, values={"text": "x" * 1_000_000}),
}


class Unruly:
    """A driver that does in each of its methods what a test wants."""

    kind: ClassVar[str] = "motor"
    blocking: ClassVar[bool] = True

    def __init__(self, says: str = "well", opens: str = "well") -> None:
        self._says = says
        self._opens = opens
        self._stops = "well"
        self._checks = "well"

    @property
    def address(self) -> str | None:
        """Nothing that two authorities could share."""
        return None

    def open(self) -> None:
        """Connect, or raise."""
        if self._opens in RAISES:
            RAISES[self._opens]()

    def close(self) -> None:
        """Let go."""

    def readback(self) -> Readback:
        """Say what a test wants."""
        return SAYS[self._says]()  # type: ignore[return-value]

    def stop(self) -> None:
        """Stop, or raise."""
        if self._stops in RAISES:
            RAISES[self._stops]()

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Allow all, or raise."""
        if parameters.get("what") == "checked":
            RAISES[self._checks]()

    @control
    def gives(self, what: str) -> object:
        """Answer what a test wants."""
        return ANSWERS[what]()

    @control
    def raises(self, what: str) -> object:
        """Raise what a test wants."""
        return RAISES[what]()

    @control
    def within(self, x: Annotated[float, Range(numpy.float32(0), numpy.int64(3))]) -> float:
        """Answer the number."""
        return x

    @control
    def becomes(self, says: str = "well", stops: str = "well", checks: str = "well") -> None:
        """Say, and raise, something else from now on."""
        self._says = says
        self._stops = stops
        self._checks = checks

    @observe
    def answers(self, what: str) -> object:
        """Answer what a test wants."""
        return ANSWERS[what]()

    @observe
    def fails(self, what: str) -> object:
        """Raise what a test wants."""
        return RAISES[what]()


class Detector(Unruly):
    """One that has nothing to stop."""

    has_stop: ClassVar[bool] = False


class UnrulyOnTheLoop(Unruly):
    """The same on the authority's own loop, its commands coroutines."""

    blocking: ClassVar[bool] = False

    @control
    async def raises(self, what: str) -> object:
        """Raise what a test wants."""
        await asyncio.sleep(0)
        return RAISES[what]()

    @observe
    async def fails(self, what: str) -> object:
        """Raise what a test wants."""
        await asyncio.sleep(0)
        return RAISES[what]()

    @control
    def raises_at_once(self, what: str) -> object:
        """Raise what a test wants, without any waiting."""
        return RAISES[what]()

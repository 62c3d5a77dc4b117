"""Objects as people have them: a stage that blocks while it moves and is not made for threads, and some others."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import enum
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WAIT_S = 30  # how long a condition is waited for: a bound for a broken run, not a time that is measured
made: list[Any] = []  # every object of this module, in the order in which they were made


class Stage:
    """A stage in mm that goes one at a time; it remembers who was in it beside whom."""

    def __init__(self, port: str = "COM1", *, start: float = 0.0) -> None:
        self.port = port
        self.connected = True
        self.field: object = 1.5
        self.beside: list[str] = []
        self.stops = 0
        self.closed = 0
        self._inside: list[str] = []
        self._x = start
        self._velocity = 5.0
        self.halted = threading.Event()
        self.moving_now = threading.Event()
        self.called = threading.Event()  # somebody is in `move` or `look`
        self.may_send = threading.Event()
        self.may_send.set()
        made.append(self)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        if self._inside:
            self.beside.append(f"{name} beside {self._inside[-1]}")
        self._inside.append(name)
        try:
            if not self.connected:
                raise ConnectionResetError(f"{self.port} is gone")
            yield
        finally:
            self._inside.remove(name)

    @property
    def position(self) -> float:
        """Where it is, in mm."""
        with self._alone("position"):
            return self._x

    @property
    def velocity(self) -> float:
        """How fast it is, in mm/s."""
        with self._alone("velocity"):
            return self._velocity

    @velocity.setter
    def velocity(self, value: float) -> None:
        with self._alone("velocity"):
            self._velocity = value

    def is_moving(self) -> bool:
        """Whether it moves."""
        with self._alone("is_moving"):
            return self.moving_now.is_set()

    def move(self, position: float, wait: bool = True) -> str:
        """Move there and return when it is there; 1000 is so far that only a stop ends it."""
        with self._alone("move"):
            self.called.set()
            self.may_send.wait(WAIT_S)
            self.halted.clear()
            self.moving_now.set()
            if position >= 1000 and not self.halted.wait(WAIT_S):
                raise AssertionError("nobody stopped it")
            self._x = self._x + 1 if position >= 1000 else position
            self.moving_now.clear()
            return "arrived"

    def stop(self) -> None:
        """Stop it, whoever moves it."""
        if not self.connected:
            raise ConnectionResetError(f"{self.port} is gone")
        self.stops += 1
        self.halted.set()

    def look(self, seconds: float, gate: str = "open") -> dict[str, object]:
        """Look at something for a while."""
        with self._alone("look"):
            self.called.set()
            self.may_send.wait(WAIT_S)
            return {"seconds": seconds, "gate": gate}

    async def nap(self) -> None:
        """Do what needs an event loop, which this stage has not."""

    def shut(self) -> None:
        """Give the port back."""
        self.closed += 1


class Broken(Stage):
    """One that is there but without power."""

    def connect(self) -> None:
        """Fail to connect."""
        raise RuntimeError("no power")


class Choosy(Stage):
    """One that cannot be reached at first."""

    refusals = 0

    def __init__(self, port: str = "COM1") -> None:
        if type(self).refusals > 0:
            type(self).refusals -= 1
            raise OSError(f"{port} is in use")
        super().__init__(port)


class Status:
    """A status as ophyd has them: a thing that is done later."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._error: Exception | None = None
        self.callbacks: list[object] = []

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def add_callback(self, callback) -> None:
        self.callbacks.append(callback)

    def exception(self) -> Exception | None:
        return self._error

    def finish(self, error: Exception | None = None) -> None:
        self._error = error
        self._done.set()
        for callback in self.callbacks:
            callback(self)


class Promising(Stage):
    """A stage whose move returns at once: a status, or a future."""

    def begin(self, position: float) -> Status:
        """Begin to move."""
        self.status = Status()
        return self.status

    def submit(self, position: float) -> concurrent.futures.Future[float]:
        """Begin to move, in another way."""
        self.future: concurrent.futures.Future[float] = concurrent.futures.Future()
        return self.future

    def stop(self) -> None:
        """Stop it; what was promised fails by that."""
        super().stop()
        self.status.finish(RuntimeError("the status has failed"))


class Loopy:
    """One that lives in an event loop, and knows whether it is called there."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._x = 0.0
        self.stops = 0
        self.cancelled = False
        self.moving = threading.Event()
        self.stubborn = False
        made.append(self)

    def _in_loop(self) -> None:
        assert asyncio.get_running_loop() is self._loop

    async def connect(self) -> None:
        """Connect."""
        self._in_loop()
        self.halted = asyncio.Event()

    async def get_position(self) -> float:
        """Where it is."""
        self._in_loop()
        await asyncio.sleep(0)
        return self._x

    async def move(self, position: float) -> None:
        """Move."""
        self._in_loop()
        if position < 1000:
            self._x = position
            return
        self.halted.clear()
        self.moving.set()
        try:
            await self.halted.wait()
            if self.stubborn:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.moving.clear()

    async def stop(self) -> None:
        """Stop."""
        self._in_loop()
        self.stops += 1
        self.halted.set()


class Colour(enum.Enum):
    RED = 1


class Flags(enum.IntFlag):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Sample:
    x: float
    colour: Colour


stage = Stage("COM9")

"""A driver whose device a test can unplug, and make slow, by a file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from authority.drivers.declare import control, observe
from authority.ports import DriverUnavailable, Readback


class Flaky:
    """A motor behind a cable: the file `unplugged` in `place` cuts it, `jammed` lets a stop hang, `pushed` moves it."""

    kind: ClassVar[str] = "motor"
    blocking: ClassVar[bool] = True

    def __init__(self, place: str, address: str | None = None) -> None:
        self._place = Path(place)
        self._address = address
        self._position = 0.0
        self._stopped = threading.Event()

    @property
    def address(self) -> str | None:
        """What two authorities must not drive."""
        return self._address

    def open(self) -> None:
        """Connect."""
        self._reach()

    def close(self) -> None:
        """Do nothing."""

    def readback(self) -> Readback:
        """Answer the position, or fail."""
        self._reach()
        if (self._place / "pushed").exists():
            self._position = float((self._place / "pushed").read_text(encoding="utf-8"))
        return Readback(moving=False, position=self._position, units="mm")

    def stop(self) -> None:
        """Stop, or hang."""
        self._reach()
        self._stopped.set()
        if (self._place / "jammed").exists():
            threading.Event().wait(20)

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Allow all."""

    @control
    def move_to(self, position: float) -> float:
        """Move at once."""
        self._reach()
        self._position = position
        return position

    @control
    def break_down(self) -> None:
        """Raise what a driver raises."""
        raise RuntimeError("the limit switch is on")

    @control
    def crawl(self) -> None:
        """Move until a stop comes."""
        self._stopped.clear()
        self._stopped.wait(20)

    @control
    def mumble(self) -> object:
        """Answer what is no JSON."""
        return {(1, 2): {3j}}

    @observe
    def stare(self) -> float:
        """Answer when a stop comes."""
        self._stopped.clear()
        self._stopped.wait(20)
        return self._position

    @observe
    def position(self) -> float:
        """Answer the position."""
        self._reach()
        return self._position

    def _reach(self) -> None:
        if (self._place / "unplugged").exists():
            raise DriverUnavailable("the cable is out")

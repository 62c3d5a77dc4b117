"""A simulated motor that outlives the authority, and the line to it, which has every misfortune a device can have."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from record import Fact, read
from virtual import VirtualTime

from authority.drivers.declare import control, observe
from authority.drivers.simulated import SimulatedMotor
from authority.ports import DriverUnavailable, MotionStopped, Readback

VELOCITY, PARKED = 20.0, 0.0
FATES = {
    "does it": 20, "is killed before": 1, "is killed on the way": 1, "is killed before the reply": 1,
    "raises before": 2, "raises on the way": 4, "answers late": 4, "hangs": 2, "loses the line": 4,
}  # fmt: skip
STOP_FATES = {"does it": 16, "raises": 8, "takes effect late": 3, "is killed before": 1, "is killed after": 1}


class Metal:
    """The motor, its record, and how many lines there were whenever an authority had ended."""

    def __init__(self, record: Path, time: VirtualTime) -> None:
        self._path = record
        self.time = time
        self.motor = SimulatedMotor(velocity=VELOCITY, record=str(record), clock=time)
        self.motor.open()
        self.ends: list[int] = []
        self.tried: list[int] = []

    def facts(self) -> list[Fact]:
        """All that it was told so far; what it has done by now is written."""
        self.motor.readback()
        return read(self._path)

    def note_end(self) -> None:
        """An authority has ended."""
        self.ends.append(len(self.facts()))


class Line:
    """How one authority reaches the motor: its driver. When that authority is dead nothing passes any more."""

    kind: ClassVar[str] = "motor"
    blocking: ClassVar[bool] = False
    address = None

    def __init__(self, metal: Metal, dice: random.Random, kill: Callable[[], None], met: Counter[str]) -> None:
        self._metal, self._motor, self._dice, self._kill, self._met = metal, metal.motor, dice, kill, met
        self._down_until = 0.0
        self.cut = False
        self.misfortunes = True

    def unplug(self, seconds: float) -> None:
        """Lose the motor for so long."""
        self._down_until = max(self._down_until, self._metal.time() + seconds)

    def open(self) -> None:
        self._reach()

    def close(self) -> None:
        pass

    def readback(self) -> Readback:
        self._reach()
        return self._motor.readback()

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        self._motor.check(action, parameters)

    @observe
    def position(self) -> float:
        """Answer the present position."""
        self._reach()
        return self._motor.position()

    @control
    async def move_to(self, position: float) -> float:
        """Move, with the misfortune that is drawn."""
        self._reach()
        match self._drawn(FATES):
            case "does it":
                return await self._motor.move_to(position)
            case "is killed before":
                self._killed()
            case "raises before":
                raise ValueError("the drive does not understand")
            case "raises on the way":
                await self._part_of(position)
                raise ValueError("the drive has lost count")
            case "is killed on the way":
                await self._part_of(position)
                self._killed()
            case "loses the line":
                await self._part_of(position)
                self.unplug(self._dice.uniform(0.1, 40.0))
                self._reach()
            case "is killed before the reply":
                await self._motor.move_to(position)
                self._killed()
            case "answers late":
                await self._motor.move_to(position)
                await asyncio.sleep(self._dice.uniform(0.1, 20.0))
            case "hangs":
                with suppress(MotionStopped):
                    await self._motor.move_to(position)
                await asyncio.sleep(self._dice.uniform(60.0, 300.0))
        return position

    @control
    async def park(self) -> float:
        """Move to where it is left, with the misfortune that is drawn."""
        return await self.move_to(PARKED)

    def stop(self) -> None:
        """Stop, with the misfortune that is drawn."""
        try:
            self._stop()
        except Exception:
            if not self.cut:
                self._metal.tried.append(len(self._metal.facts()))
            raise

    def _stop(self) -> None:
        self._reach()
        match self._drawn(STOP_FATES):
            case "does it":
                self._motor.stop()
            case "raises":
                raise ValueError("the drive does not understand")
            case "takes effect late":
                self._metal.tried.append(len(self._metal.facts()))
                self._later(self._motor.stop, self._dice.uniform(0.01, 3.0))
            case "is killed before":
                self._killed()
            case "is killed after":
                self._motor.stop()
                self._killed()

    def _drawn(self, fates: Mapping[str, int]) -> str:
        if not self.misfortunes:
            return "does it"
        fate = self._dice.choices(list(fates), list(fates.values()))[0]
        self._met[fate if fates is FATES else f"stop {fate}"] += 1
        return fate

    async def _part_of(self, position: float) -> None:
        """Begin the move and come back before it has ended, if it is long enough; the motor goes on."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._dice.uniform(0.01, 2.0)):
                await self._motor.move_to(position)

    def _later(self, work: Callable[[], None], seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, work)

    def _killed(self) -> None:
        self._kill()
        self._reach()

    def _reach(self) -> None:
        if self.cut or self._metal.time() < self._down_until:
            raise DriverUnavailable("the cable is out")

"""A linear stage that is true in time and checks fences, behind whatever dialogue a simulator speaks."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import copy_context

from authority.drivers.record import FenceWentBack, How, MotorRecord
from authority.ports import fence_of_command


class Refused(Exception):
    """The stage does not do that; the text says why, as a device would."""


class Stage:
    """A stage of positions `low` to `high` in mm and a velocity in mm/s; `record` is the file of its own record."""

    def __init__(
        self,
        low: float,
        high: float,
        velocity: float,
        start: float,
        record: str | None,
        clock: Callable[[], float],
    ) -> None:
        self.low = low
        self.high = high
        self.velocity = velocity
        self.home = start
        self._clock = clock
        self._record = MotorRecord(record, clock)
        self._record.open(start)
        self._rest = start
        self._running: int | None = None
        self._origin = self.target = start
        self._began = self._speed = 0.0

    @property
    def position(self) -> float:
        """Where it is now."""
        now = self._clock()
        if self._running is not None and now >= self.arrival:
            self._end("arrived", self.target, self.arrival)
        if self._running is None:
            return self._rest
        return self._origin + math.copysign(self._speed, self.target - self._origin) * (now - self._began)

    @property
    def moving(self) -> bool:
        """Whether it moves now."""
        if self._running is not None:
            return self.position != self.target
        return False

    @property
    def arrival(self) -> float:
        """When the present move arrives, in seconds of the clock."""
        return self._began + abs(self.target - self._origin) / self._speed

    def move(self, action: str, target: float, fence: int) -> None:
        """Move to `target`; raises `Refused` beyond the limits, and for a fence lower than one seen."""
        position = self.position
        if not self.low <= target <= self.high:
            raise Refused(f"{target:.12g} mm is not from {self.low:.12g} to {self.high:.12g} mm")
        number = self._begin(action, {"position": target}, fence)
        if self._running is not None:
            self._end("interrupted", position)
        self._running = number
        self._origin = position
        self.target = target
        self._began = self._clock()
        self._speed = self.velocity

    def set_velocity(self, velocity: float, fence: int) -> None:
        """Take another velocity for the moves to come; raises `Refused`."""
        if not 0 < velocity < math.inf:
            raise Refused("a velocity is more than 0")
        position = self.position
        self._record.end(self._begin("velocity", {"velocity": velocity}, fence), "arrived", position)
        self.velocity = velocity

    def stop(self) -> None:
        """Stand still at once, whatever the fence."""
        position = self.position
        running = self._running is not None
        if running:
            self._end("stopped", position)
        self._record.stop(position, moving=running)

    def _begin(self, action: str, parameters: dict[str, object], fence: int) -> int:
        position = self.position
        context = copy_context()
        context.run(fence_of_command.set, fence)
        try:
            return context.run(self._record.begin, action, parameters, position, moving=self._running is not None)
        except FenceWentBack as old:
            raise Refused(f"{old}") from old

    def _end(self, how: How, position: float, at: float | None = None) -> None:
        if self._running is not None:
            self._record.end(self._running, how, position, at=at)
        self._running = None
        self._rest = position
        self.target = position

"""A simulated motor that is true in time.

What it shows is computed from the clock when it is asked for; nothing ticks.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

from authority.drivers.declare import Range, UnitOf, control, observe, refuse_options
from authority.drivers.limits import refuse_outside, refuse_velocity, upper_bound, wrong_limits, wrong_speeds
from authority.drivers.record import How, MotorRecord
from authority.ports import DriverUnavailable, MotionStopped, Readback


class Simulated:
    """What all simulated equipment shares: there is nothing to connect to, and it goes on when nobody looks."""

    @property
    def address(self) -> str | None:
        """None: two authorities may each simulate one."""
        return None

    def open(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def close(self) -> None:
        """Do nothing: a move that runs goes on and what is set stays set, as with a real one."""


class NoParkPosition(Exception):
    """`park` was called, and the lab file gives no `park_position`; the text says so."""


class SimulatedMotor(Simulated):
    """A linear motor that needs the time a real one would, between soft limits.

    `low`, `high`, `home_position`, `park_position` and `start` are positions in `units`, `velocity` and `max_velocity`
    are `units` per second; `record` is the file of its own record. It refuses a command whose fence is lower than one
    it has seen: it is the last barrier.
    """

    kind: ClassVar[str] = "motor"
    blocking: ClassVar[bool] = False

    def __init__(
        self,
        low: float = 0.0,
        high: float = 100.0,
        velocity: float = 10.0,
        units: str = "mm",
        home_position: float = 0.0,
        start: float = 0.0,
        record: str | None = None,
        max_velocity: float | None = None,
        park_position: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        places = {"home_position": home_position, "start": start, "park_position": park_position}
        refuse_options([*wrong_limits(low, high, places), *wrong_speeds(velocity, max_velocity, {})])
        self.units = units
        self._low = low
        self._high = high
        self._home = home_position
        self._park = park_position
        self._velocity = velocity
        self._max_velocity = upper_bound(max_velocity)
        self._clock = clock
        self._guard = threading.Lock()  # `stop` may come from any thread
        self._rest = start
        self._move: _Move | None = None
        self._record = MotorRecord(record, clock)

    @property
    def highest_fence(self) -> int:
        """The highest fence that the motor has obeyed: the authority goes on above it, also on restored data."""
        return self._record.highest_fence

    @property
    def can_park(self) -> bool:
        """Whether the lab file says where."""
        return self._park is not None

    @property
    def velocity_units(self) -> str:
        """The unit of velocities, such as mm/s."""
        return f"{self.units}/s"

    def open(self) -> None:
        """Begin its record, where it keeps one."""
        with self._guard:
            try:
                self._record.open(self._now()[0])
            except (OSError, ValueError) as failed:
                text = f"The motor's record cannot be kept ({failed}): give it another path."
                raise DriverUnavailable(text) from failed

    def readback(self) -> Readback:
        """Return position, units, velocity and target of this instant."""
        with self._guard:
            position, move = self._now()
        if move is None:
            target = position
        else:
            target = move.target
        return Readback(
            moving=move is not None,
            position=position,
            target=target,
            velocity=self._velocity,
            units=self.units,
            values={"low": self._low, "high": self._high} | self._further(),
        )

    def stop(self) -> None:
        """Freeze the position at once and end the running command."""
        with self._guard:
            position, move = self._now()
            self._interrupt("stopped")
            self._record.stop(position, moving=move is not None)

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Refuse a move or a velocity beyond the limits; `move_by` counts from where the motor is now."""
        match action, parameters:
            case "move_to", {"position": float() | int() as position}:
                self._refuse_outside(position, always=True)
            case "move_by", {"distance": float() | int() as distance}:
                with self._guard:
                    self._refuse_outside(self._now()[0] + distance)
            case "set_velocity", {"velocity": float() | int() as velocity}:
                self._refuse_velocity(velocity)

    @control
    async def move_to(self, position: Annotated[float, UnitOf("units")]) -> Annotated[float, UnitOf("units")]:
        """Move to a position and answer it on arrival."""
        return await self._go("move_to", {"position": position}, lambda _: position)

    @control
    async def move_by(self, distance: Annotated[float, UnitOf("units")]) -> Annotated[float, UnitOf("units")]:
        """Move by a distance from where the motor is and answer the position on arrival."""
        return await self._go("move_by", {"distance": distance}, lambda present: present + distance)

    @control
    async def home(self) -> Annotated[float, UnitOf("units")]:
        """Move to the home position and answer it on arrival."""
        return await self._go("home", {}, lambda _: self._home)

    @control
    async def park(self) -> Annotated[float, UnitOf("units")]:
        """Move to the park position, where the lab file gives one, and answer it on arrival."""
        park = self._park
        if park is None:
            raise NoParkPosition("there is nowhere to park: the lab file entry needs park_position")
        return await self._go("park", {}, lambda _: park)

    @control
    def set_velocity(
        self, velocity: Annotated[float, UnitOf("velocity_units"), Range(low=0)]
    ) -> Annotated[float, UnitOf("velocity_units")]:
        """Set the velocity of the moves to come and answer it."""
        self._refuse_velocity(velocity)
        with self._guard:
            position, move = self._now()
            number = self._record.begin("set_velocity", {"velocity": velocity}, position, moving=move is not None)
            self._velocity = velocity
            self._record.end(number, "arrived", position)
        return velocity

    @observe
    def position(self) -> Annotated[float, UnitOf("units")]:
        """Answer the present position."""
        with self._guard:
            return self._now()[0]

    @observe
    def status(self) -> dict[str, float | bool | str | None]:
        """Answer position, units, whether it moves, velocity, target and limits."""
        return self.readback().flat()

    async def _go(self, action: str, parameters: Mapping[str, object], target_from: Callable[[float], float]) -> float:
        with self._guard:
            position, before = self._now()
            target = target_from(position)
            self._refuse_outside(target)
            number = self._record.begin(action, parameters, position, moving=before is not None)
            self._interrupt("interrupted")
            move = self._move = _Move(number, self._rest, target, self._velocity, self._clock())
        while not move.ended.done():
            left = move.arrival - self._clock()
            if left <= 0:
                with self._guard:
                    self._now()
                return target
            await asyncio.wait([move.ended], timeout=left)
        raise MotionStopped(f"stopped at {move.ended.result():.6g} {self.units}")

    def _now(self) -> tuple[float, _Move | None]:
        """Return the present position and the move that still runs; the caller has the guard."""
        now = self._clock()
        if self._move is not None and now >= self._move.arrival:
            self._record.end(self._move.number, "arrived", self._move.target, at=self._move.arrival)
            self._rest = self._move.target
            self._move = None
        if self._move is None:
            return (self._rest, None)
        return (self._move.position(now), self._move)

    def _interrupt(self, how: How) -> None:
        """Let a running move end where it is; the caller has the guard."""
        self._rest, move = self._now()
        self._move = None
        if move is not None:
            self._record.end(move.number, how, self._rest)
            move.end(self._rest)

    def _further(self) -> dict[str, float]:
        """Return what is shown only where the lab file gives it."""
        further = {"park_position": self._park, "max_velocity": self._max_velocity}
        return {name: value for name, value in further.items() if value is not None and math.isfinite(value)}

    def _refuse_velocity(self, velocity: float) -> None:
        refuse_velocity(velocity, self._max_velocity, self.units, always=True)

    def _refuse_outside(self, target: float, *, always: bool = False) -> None:
        refuse_outside(target, self._low, self._high, self.units, always=always)


class _Move:
    """One move at constant velocity; `ended` gets the position where a stop ended it."""

    def __init__(self, number: int, origin: float, target: float, velocity: float, began: float) -> None:
        self.number = number
        self.target = target
        self.arrival = began + abs(target - origin) / velocity
        self._origin = origin
        self._began = began
        self._velocity = math.copysign(velocity, target - origin)
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[float] = self._loop.create_future()

    def position(self, now: float) -> float:
        return self._origin + self._velocity * (now - self._began)

    def end(self, position: float) -> None:
        """Wake the command that waits; from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._wake, position)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _wake(self, position: float) -> None:
        if not self.ended.done():
            self.ended.set_result(position)

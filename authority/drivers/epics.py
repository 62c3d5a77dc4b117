"""A motor behind an EPICS motor record, over Channel Access.

The record's soft limits are not relied on: the driver refuses what is outside the tighter of the lab file's and
the record's. It also ends a move that takes too long, and tells one that ended somewhere else from one that arrived.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from authority.drivers.channel_access import Record
from authority.drivers.declare import Range, Unit, UnitOf, control, observe, refuse_options
from authority.drivers.limits import MoveFailed, lower_bound, upper_bound, wrong_limits, wrong_speeds
from authority.drivers.motion import Motion
from authority.drivers.motor_state import WATCHED, Direction, MotorState
from authority.ports import Readback

_COMMANDED = ("STOP", "JOGF", "JOGR", "TWF", "TWR")
_UNKNOWN_SPEED_DEADLINE_S = 600.0
_DEADLINE_FACTOR = 2.0
_DEADLINE_MARGIN_S = 10.0
_LEAST_WAY = 0.99  # of a resolution: what is nearer than that, a record need not move for
_LEAST_PART = 0.25  # of its way: a motor that went less was not moved, whatever the tolerance


class VelocityNotTaken(Exception):
    """The record keeps another velocity than the one it was given; the text names both."""


class EpicsMotor:
    """A motor record.

    `prefix` is the record's name. `low` and `high` are limits beside the record's own, in the record's units, as is
    `park_position`. `velocity` (units per second) is written to `VELO` before a move where it differs; nothing is moved
    faster than `max_velocity`. A move that ends further than `tolerance` from its target has failed; by default that is
    the record's own deadband, `RDBD`, and at least its resolution. `move_deadline_s` bounds a move; by default it is
    twice the time that distance and velocity need, and 10 s. `home_with` names the field that starts homing: without it
    `home` refuses, since a record without a home switch would drive into its end.
    """

    kind: ClassVar[str] = "motor"
    blocking: ClassVar[bool] = True

    def __init__(
        self,
        prefix: str,
        low: float | None = None,
        high: float | None = None,
        velocity: float | None = None,
        units: str | None = None,
        tolerance: float | None = None,
        move_deadline_s: float | None = None,
        connect_timeout_s: float = 5.0,
        home_with: Literal["HOMF", "HOMR"] | None = None,
        max_velocity: float | None = None,
        park_position: float | None = None,
    ) -> None:
        others = {"tolerance": tolerance, "move_deadline_s": move_deadline_s}
        refuse_options(
            [
                *_wrong_prefix(prefix),
                *wrong_limits(lower_bound(low), upper_bound(high), {"park_position": park_position}),
                *wrong_speeds(velocity, max_velocity, others),
            ]
        )
        self._prefix = prefix
        self._units = units
        self._tolerance = tolerance
        self._velocity = velocity
        self._deadline = move_deadline_s
        self._home_with = home_with
        self._park_position = park_position
        self._connect_timeout_s = connect_timeout_s
        commanded: tuple[str, ...] = _COMMANDED
        if home_with:
            commanded = (*commanded, home_with)
        self.record = Record(prefix, WATCHED, commanded)
        self._state = MotorState(self.record, low=low, high=high, max_velocity=max_velocity, units=units)
        self._motion = Motion(self.record, self._state)

    @property
    def address(self) -> str | None:
        """The record's name: no two authorities may drive it."""
        return self._prefix

    @property
    def can_park(self) -> bool:
        """Whether the lab file says where."""
        return self._park_position is not None

    @property
    def units(self) -> str | None:
        """The unit of the position: the lab file's, else the record's `EGU` once it is connected."""
        return self._state.units

    @property
    def tolerance(self) -> float:
        """How far from its target a move may end: the lab file's, else the record's own deadband."""
        return self._tolerance or self._state.deadband

    @property
    def velocity_units(self) -> str | None:
        """The unit of a velocity, such as mm/s."""
        if self.units:
            return f"{self.units}/s"
        return None

    def open(self) -> None:
        """Connect; raises `DriverUnavailable` when the record does not answer in time."""
        self.record.open(self._connect_timeout_s)

    def close(self) -> None:
        """Disconnect; a move that runs goes on in the record."""
        self.record.close()

    def readback(self) -> Readback:
        """Return what the record told last; `connected=False` while it is lost, and look for it."""
        record = self.record
        state = self._state
        if not record.connected:
            record.seek()
            # What moved when it was lost may still move: the lock must not pass on a guess.
            lost = str(record.unavailable())
            return Readback(connected=False, moving=self._motion.last_moving, units=self._units, error=lost)
        low, high = state.limits()
        values: dict[str, float | int | bool | str | None] = {
            "low": _finite_or_none(low),
            "high": _finite_or_none(high),
            "at_low_limit": state.stands_on_switch("reverse"),
            "at_high_limit": state.stands_on_switch("forward"),
            "alarm": state.alarm,
        }
        given = {
            "alarm_status": state.alarm_status,
            "max_velocity": _finite_or_none(state.max_velocity()),
            "park_position": self._park_position,
        }
        return Readback(
            moving=state.moving,
            position=record.number("RBV"),
            target=record.number("VAL"),
            velocity=record.number("VELO"),
            tolerance=self.tolerance,
            units=self.units,
            values=values | {name: value for name, value in given.items() if value is not None},
        )

    def stop(self) -> None:
        """Write STOP and return when the record has it; raises `DriverUnavailable` when it cannot be told."""
        self._motion.stop()

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Refuse a move or a velocity beyond the limits, as far as they are known now."""
        connected = self.record.connected
        match action, parameters:
            case "move_to", {"position": float() | int() as position}:
                self._refuse(position, always=True)
            case "move_by", {"distance": float() | int() as distance} if connected:
                self._refuse(self._from() + distance)
            case "tweak", {"direction": "forward" | "reverse" as direction, "step": float() | int() as step} if (
                connected
            ):
                self._refuse(self._tweaked(direction, step))
            case "park", _ if self._park_position is not None:
                self._refuse(self._park_position, always=True)
            case "jog", {"direction": "forward" | "reverse" as direction} if connected:
                self._state.refuse_jog(direction)
            case "home", _ if self._home_with is not None:
                self._state.refuse_faster("home", "HVEL")
            case "set_velocity", {"velocity": float() | int() as velocity}:
                self._state.refuse_velocity(velocity, always=True)

    @control
    def move_to(self, position: Annotated[float, UnitOf("units")]) -> Annotated[float, UnitOf("units")]:
        """Move to a position and answer the one where it arrived."""
        return self._go(lambda: position)

    @control
    def move_by(self, distance: Annotated[float, UnitOf("units")]) -> Annotated[float, UnitOf("units")]:
        """Move by a distance and answer the position where it arrived."""
        return self._go(lambda: self._from() + distance)

    @control
    def tweak(
        self,
        direction: Direction,
        step: Annotated[float, UnitOf("units"), Range(low=0), "0 takes the record's own step, TWV"] = 0.0,
    ) -> Annotated[float, UnitOf("units")]:
        """Move by a step from the last target and answer the position where it arrived."""
        self._motion.wait_until_resting()
        target = self._tweaked(direction, step)
        self._prepare(target)
        # Always: what was checked is what is sent, also when somebody changes the record's step in between.
        self.record.put("TWV", step or self._state.known("TWV"), confirmed=True)
        return self._arrive("TWF" if direction == "forward" else "TWR", 1, target)

    @control
    def jog(
        self,
        direction: Direction,
        seconds: Annotated[float, Unit("s"), Range(0, 3600), "0 goes on until a stop"] = 1.0,
    ) -> Annotated[float, UnitOf("units")]:
        """Move at the record's jog velocity for a time and answer the position; it ends before a soft limit."""
        self._motion.wait_until_resting()
        self._state.refuse_start(direction)
        self._state.refuse_jog(direction)
        self._motion.jog(direction, seconds)
        return self.record.fetch("RBV")

    @control
    def home(self) -> Annotated[float, UnitOf("units")]:
        """Let the record find its home switch, where the lab file says how, and answer the position."""
        field = self._home_with
        if field is None:
            raise MoveFailed(f'{self._prefix} cannot home: its lab file entry needs home_with = "HOMF" or "HOMR"')
        self._motion.wait_until_resting()
        direction = self._state.home_direction(field)
        self._state.refuse_start(direction)
        self._state.refuse_faster("home", "HVEL")
        moved = self._motion.run(field, 1, self._deadline or _UNKNOWN_SPEED_DEADLINE_S)
        at = self._state.shown(self.record.fetch("RBV"))
        if not moved and (self._state.switched_off() or not self._state.stands_at_home()):
            self.record.put(field, 0)  # left pressed, it would begin whenever the record lets it
            why = self._state.why_not_there(direction, target_kept=False)
            raise MoveFailed(f"{self._prefix} did not begin to home and rests at {at}: {why}")
        if trouble := self._state.controller_trouble():
            raise MoveFailed(f"{self._prefix} rests at {at} and has not found its home: {trouble}")
        if (switch := self._state.switch_hit(direction)) and not self._state.found_home():
            raise MoveFailed(f"{self._prefix} ran onto its {switch} at {at} and has not found its home switch")
        return self.record.fetch("RBV")

    @control
    def park(self) -> Annotated[float, UnitOf("units")]:
        """Move to the park position, where the lab file gives one, and answer the position where it arrived."""
        park = self._park_position
        if park is None:
            raise MoveFailed(f"{self._prefix} has nowhere to park: its lab file entry needs park_position")
        return self._go(lambda: park)

    @control
    def set_velocity(
        self, velocity: Annotated[float, UnitOf("velocity_units"), Range(low=0)]
    ) -> Annotated[float, UnitOf("velocity_units")]:
        """Set the velocity of the moves to come and answer it; it holds until the authority restarts."""
        self._state.known("VELO")
        self._state.refuse_velocity(velocity)
        self._take(velocity)
        self._velocity = velocity
        return velocity

    @observe
    def position(self) -> Annotated[float, UnitOf("units")]:
        """Answer the present position."""
        return self._state.known("RBV")

    @observe
    def status(self) -> dict[str, float | bool | str | None]:
        """Answer position, units, whether it moves, velocity, target, limits, limit switches and alarm."""
        self._state.known("RBV")
        return self.readback().flat()

    def _go(self, target_from: Callable[[], float]) -> float:
        self._motion.wait_until_resting()
        target = target_from()
        self._prepare(target)
        return self._arrive("VAL", target, target)

    def _prepare(self, target: float) -> None:
        """Refuse what must not be sent, then see to the velocity."""
        self._refuse(target)
        self._state.refuse_start(self._direction(target))
        if self._velocity is not None and self._velocity != self.record.number("VELO"):
            self._take(self._velocity)

    def _arrive(self, field: str, value: float, target: float) -> float:
        """Start a move to `target`, wait for its end, and return where it is; `MoveFailed` where that is elsewhere."""
        direction = self._direction(target) or "forward"
        origin = self._state.known("RBV")
        target_before = self.record.number("VAL")
        self._motion.run(field, value, self._time_for(target))
        final = self.record.fetch("RBV")
        has_way = not self._state.is_at(target, origin, _LEAST_WAY * self._state.resolution)
        spoilt = None
        if has_way:
            spoilt = self._state.motion_trouble()
        at = self._state.shown(final)
        fell_short = has_way and abs(final - origin) < _LEAST_PART * abs(target - origin)
        if fell_short or not self._state.is_at(target, final, self._within()):
            kept = self.record.fetch("VAL") == target_before
            why = self._state.why_not_there(direction, target_kept=kept)
            raise MoveFailed(f"{self._prefix} rests at {at}, not at {self._state.shown(target)}: {why}")
        if spoilt is not None:
            raise MoveFailed(f"{self._prefix} rests at {at}, but {spoilt}")
        return final

    def _within(self) -> float:
        """Return how near its target a move has to end: one whose motor is off now has to be where the record says."""
        if self._state.switched_off():
            return min(self.tolerance, self._state.deadband)
        return self.tolerance

    def _take(self, velocity: float) -> None:
        """Write a velocity and see that the record took it: it forces one between VBAS and VMAX without a word."""
        self.record.put("VELO", velocity, confirmed=True)
        taken = self.record.fetch("VELO")
        if not math.isclose(taken, velocity, rel_tol=1e-6):
            asked = self._state.shown(velocity, "/s")
            kept = self._state.shown(taken, "/s")
            raise VelocityNotTaken(f"{self._prefix} was given the velocity {asked} and took {kept}: look at its limits")

    def _refuse(self, target: float, *, always: bool = False) -> None:
        self._state.refuse_outside(target, always=always)
        if self._velocity is None:
            self._state.refuse_faster("move", "VELO")
        else:
            self._state.refuse_velocity(self._velocity)

    def _direction(self, target: float) -> Direction | None:
        way = target - self._state.known("RBV")
        if way == 0:
            return None
        if way > 0:
            return "forward"
        return "reverse"

    def _from(self) -> float:
        """Return what `move_by` counts from: the last target while the motor is there, so that errors do not add up."""
        position = self._state.known("RBV")
        target = self._state.known("VAL")
        if self._state.is_at(target, position, self.tolerance):
            return target
        return position

    def _tweaked(self, direction: Direction, step: float) -> float:
        """Return where the record's own tweak goes: it counts from its last target, wherever it is."""
        way = step or self._state.known("TWV")
        if direction == "forward":
            return self._state.known("VAL") + way
        return self._state.known("VAL") - way

    def _time_for(self, target: float) -> float:
        velocity = self._velocity or self.record.number("VELO")
        if self._deadline is not None:
            return self._deadline
        if velocity is None or velocity <= 0:
            return _UNKNOWN_SPEED_DEADLINE_S
        return _DEADLINE_FACTOR * abs(target - self._state.known("RBV")) / velocity + _DEADLINE_MARGIN_S


def _wrong_prefix(prefix: str) -> Iterator[str]:
    if not prefix or any(mark.isspace() for mark in prefix):
        yield "prefix must be the name of a motor record, such as 'IOC:m1'"
    if "." in prefix:
        yield f"prefix is {prefix!r}, but must be the record's name without a field: leave out the dot"


def _finite_or_none(number: float) -> float | None:
    if math.isfinite(number):
        return number
    return None

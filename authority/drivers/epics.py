"""A motor behind an EPICS motor record, over Channel Access.

The record's soft limits are not relied on: the driver refuses what is outside the tighter of the lab file's and
the record's. It also ends a move that takes too long, and tells one that ended somewhere else from one that arrived.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

from authority.drivers.channel_access import Record
from authority.drivers.declare import UnitOf, control, observe
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits, Readback

_WATCHED = ("VAL", "RBV", "DMOV", "MOVN", "VELO", "HLM", "LLM", "EGU")
_START_S = 2.0  # a record that got a new target says within this time that it moves, if it has to move at all
_REST_S = 5.0  # how long a motor may need to slow down
_STOP_AGAIN_S = 0.25
_UNKNOWN_SPEED_DEADLINE_S = 600.0
_DEADLINE_FACTOR, _DEADLINE_MARGIN_S = 2.0, 10.0


class MoveFailed(Exception):
    """A move did not arrive, and not because of a stop of ours."""


class EpicsMotor:
    """A motor record.

    `prefix` is the record's name. `low` and `high` are limits beside the record's own, in the record's units;
    `velocity` (units per second) is written to `VELO` before a move where it differs. A move that ends further than
    `tolerance` from its target has failed. `move_deadline_s` bounds a move; by default it is twice the time that
    distance and velocity need, and 10 s. `home_with` names the field that starts homing: without it `home` refuses,
    since a record without a home switch would drive into its end.
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
        tolerance: float = 0.01,
        move_deadline_s: float | None = None,
        connect_timeout_s: float = 5.0,
        home_with: Literal["HOMF", "HOMR"] | None = None,
    ) -> None:
        _refuse_bad(prefix, low, high)
        for name, value in (("velocity", velocity), ("tolerance", tolerance), ("move_deadline_s", move_deadline_s)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value:.12g}, but must be more than 0")
        self._prefix, self._units, self._tolerance = prefix, units, tolerance
        self._low = -math.inf if low is None else low
        self._high = math.inf if high is None else high
        self._velocity, self._deadline, self._home_with = velocity, move_deadline_s, home_with
        self._connect_timeout_s = connect_timeout_s
        self._record = Record(prefix, _WATCHED, ("STOP",) + ((home_with,) if home_with else ()), self._on_value)
        self._starts = 0  # how often the record began to move
        self._last_moving = False
        self._stops = 0  # how often `stop` was called

    @property
    def address(self) -> str | None:
        """The record's name: no two authorities may drive it."""
        return self._prefix

    @property
    def units(self) -> str | None:
        """The unit of the position: the lab file's, else the record's `EGU` once it is connected."""
        return self._units or self._record.text("EGU")

    def open(self) -> None:
        """Connect; raises `DriverUnavailable` when the record does not answer in time."""
        self._record.open(self._connect_timeout_s)

    def close(self) -> None:
        """Disconnect; a move that runs goes on in the record."""
        self._record.close()

    def readback(self) -> Readback:
        """Return what the record told last; `connected=False` while it is lost, and look for it."""
        record = self._record
        if not record.connected:
            record.seek()
            # What moved when it was lost may still move: the lock must not pass on a guess.
            lost = str(record.unavailable())
            return Readback(connected=False, moving=self._last_moving, units=self._units, error=lost)
        low, high = self._limits()
        values = {
            "low": low if math.isfinite(low) else None,
            "high": high if math.isfinite(high) else None,
        }
        return Readback(
            moving=self._moving(),
            position=record.number("RBV"),
            target=record.number("VAL"),
            velocity=record.number("VELO"),
            units=self.units,
            values=values,
        )

    def stop(self) -> None:
        """Write STOP and return when the record has it; raises `DriverUnavailable` when it cannot be told."""
        with self._record.changed:
            self._stops += 1
            self._record.changed.notify_all()
        self._record.put("STOP", 1)
        self._record.fetch("DMOV")  # the answer comes after what was sent before it on the same connection

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Refuse a move beyond the limits, as far as they are known now."""
        match action, parameters:
            case "move_to", {"position": float() | int() as position}:
                self._refuse_outside(position)
            case "move_by", {"distance": float() | int() as distance} if self._record.connected:
                self._refuse_outside(self._from() + distance)

    @control
    def move_to(self, position: Annotated[float, UnitOf("units")]) -> Annotated[float, UnitOf("units")]:
        """Move to a position and answer the one where it arrived."""
        return self._go(lambda: position)

    @control
    def move_by(self, distance: Annotated[float, UnitOf("units")]) -> Annotated[float, UnitOf("units")]:
        """Move by a distance and answer the position where it arrived."""
        return self._go(lambda: self._from() + distance)

    @control
    def home(self) -> Annotated[float, UnitOf("units")]:
        """Let the record find its home switch, where the lab file says how, and answer the position."""
        if self._home_with is None:
            raise MoveFailed(f'{self._prefix} cannot home: its lab file entry needs home_with = "HOMF" or "HOMR"')
        stops = self._stops
        self._await_rest(stops)
        self._run(self._home_with, 1, self._deadline or _UNKNOWN_SPEED_DEADLINE_S, stops)
        return self._record.fetch("RBV")

    @observe
    def position(self) -> Annotated[float, UnitOf("units")]:
        """Answer the present position."""
        return self._known("RBV")

    @observe
    def status(self) -> dict[str, float | bool | str | None]:
        """Answer position, units, whether it moves, velocity, target and limits."""
        self._known("RBV")
        shown = self.readback()
        return {
            "position": shown.position,
            "units": shown.units,
            "moving": shown.moving,
            "target": shown.target,
            "velocity": shown.velocity,
            **shown.values,
        }

    def _go(self, target_from: Callable[[], float]) -> float:
        stops = self._stops
        self._await_rest(stops)
        target = target_from()
        self._refuse_outside(target)
        if self._velocity is not None and self._velocity != self._record.number("VELO"):
            self._record.put("VELO", self._velocity, confirmed=True)
        self._run("VAL", target, self._time_for(target), stops)
        final = self._record.fetch("RBV")
        if abs(final - target) > self._tolerance:
            raise MoveFailed(
                f"{self._prefix} rests at {self._shown(final)}, not at {self._shown(target)}, and nobody stopped it "
                "here: look for a limit switch, a stop at the record or a motor that is switched off"
            )
        return final

    def _run(self, field: str, value: float, deadline_s: float, stops: int) -> None:
        """Write what starts a motion and return when it has ended by itself."""
        with self._record.changed:
            starts = self._starts
        self._refuse_stopped(stops)
        self._record.put(field, value)
        if self._ends_in(deadline_s, starts, stops):
            return
        self._bring_to_rest(starts)
        self._refuse_stopped(stops)
        at = self._shown(self._known("RBV"))
        raise MoveFailed(f"{self._prefix} was not there after {deadline_s:.12g} s and was stopped at {at}")

    def _ends_in(self, deadline_s: float, starts: int, stops: int) -> bool:
        """Wait for the end of the motion; False when a stop or the deadline comes first."""
        began = time.monotonic()
        with self._record.changed:
            while self._stops == stops:
                gone = time.monotonic() - began
                started = self._starts != starts
                if not self._record.connected:
                    raise DriverUnavailable(f"{self._prefix} was lost during a move: it may still be moving")
                if not self._moving() and (started or gone >= _START_S):
                    return True  # without a start there was no way to go, or the caller sees that it is elsewhere
                if gone >= deadline_s:
                    return False
                self._record.changed.wait(deadline_s - gone if started else min(deadline_s, _START_S) - gone)
        return False

    def _bring_to_rest(self, starts: int) -> None:
        """Send STOP until the motor rests: a stop that meets a record before it has begun to move can be lost."""
        began = time.monotonic()
        while (gone := time.monotonic() - began) < _REST_S:
            self._record.put("STOP", 1)
            with self._record.changed:
                self._record.changed.wait_for(lambda: not self._moving(), timeout=_STOP_AGAIN_S)
                if not self._moving() and (self._starts != starts or gone >= _START_S):
                    return
                if not self._moving():
                    self._record.changed.wait(_STOP_AGAIN_S)

    def _await_rest(self, stops: int) -> None:
        """Let an earlier motion end; one that nobody here ordered can only be waited for."""
        self._known("RBV")
        with self._record.changed:
            self._record.changed.wait_for(lambda: self._stops != stops or not self._moving(), timeout=_REST_S)
        self._refuse_stopped(stops)
        if self._moving():
            raise MoveFailed(
                f"{self._prefix} is moved by somebody outside this authority: wait until it rests, or stop it"
            )

    def _refuse_stopped(self, stops: int) -> None:
        """End a command during which `stop` was called."""
        if self._stops != stops:
            still = ", but is still moving" if self._moving() else ""
            raise MotionStopped(f"stopped at {self._shown(self._known('RBV'))}{still}")

    def _on_value(self, field: str) -> None:
        if field == "DMOV":
            self._last_moving = self._record.number("DMOV") == 0
            self._starts += self._last_moving

    def _moving(self) -> bool:
        return self._record.number("DMOV") == 0 or self._record.number("MOVN") == 1

    def _known(self, field: str) -> float:
        value = self._record.number(field) if self._record.connected else None
        if value is None:
            raise self._record.unavailable()
        return value

    def _from(self) -> float:
        """Return what `move_by` counts from: the last target while the motor is there, so that errors do not add up."""
        position, target = self._known("RBV"), self._known("VAL")
        return target if abs(target - position) <= self._tolerance else position

    def _limits(self) -> tuple[float, float]:
        low, high = self._record.number("LLM"), self._record.number("HLM")
        if low is None or high is None or not low < high:  # equal ones mean none, in a motor record
            return self._low, self._high
        return max(low, self._low), min(high, self._high)

    def _refuse_outside(self, target: float) -> None:
        low, high = self._limits()
        if not low <= target <= high:
            limits = f"the limits {low:.12g} to {self._shown(high)}"
            raise OutsideLimits(f"{self._shown(target)} is outside {limits}")

    def _time_for(self, target: float) -> float:
        velocity = self._velocity or self._record.number("VELO")
        if self._deadline is not None:
            return self._deadline
        if velocity is None or velocity <= 0:
            return _UNKNOWN_SPEED_DEADLINE_S
        return _DEADLINE_FACTOR * abs(target - self._known("RBV")) / velocity + _DEADLINE_MARGIN_S

    def _shown(self, position: float) -> str:
        return f"{position:.12g} {self.units or ''}".rstrip()


def _refuse_bad(prefix: str, low: float | None, high: float | None) -> None:
    if not prefix or any(mark.isspace() for mark in prefix):
        raise ValueError("prefix must be the name of a motor record, such as 'IOC:m1'")
    if "." in prefix:
        raise ValueError(f"prefix is {prefix!r}, but must be the record's name without a field: leave out the dot")
    if low is not None and high is not None and not low < high:
        raise ValueError(f"low is {low:.12g} and high is {high:.12g}, but low must be less than high")

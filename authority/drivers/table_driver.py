"""What the drivers share whose commands are a table: limits, the end of a move, stop, and the readback.

How a command, a reading and a stop reach the device is the driver's: it fills in five methods.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import ClassVar, Generic, NamedTuple, TypeVar

from authority.drivers.declare import Declared
from authority.drivers.limits import MoveFailed, lower_bound, refuse_outside, upper_bound, with_unit
from authority.drivers.settling import Settling
from authority.drivers.table import ControlEntry, ObserveEntry, ReadingEntry, TableOptions, command_of, table_warnings
from authority.parameters import Scalar
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits, Readback, StopToken, stop_token_of_command

_POLL_S = 0.05
_LEAST_PART = 0.1  # of the tolerance: a shorter way need not be seen in the position
_ROUNDING = 1e-6  # of a position, relative: devices tell theirs in so many digits
_OWN_READINGS = frozenset({"position", "target", "velocity", "moving"})

ControlT = TypeVar("ControlT", bound=ControlEntry)
ObserveT = TypeVar("ObserveT", bound=ObserveEntry)
ReadingT = TypeVar("ReadingT", bound=ReadingEntry)


class TableDriver(ABC, Generic[ControlT, ObserveT, ReadingT]):
    """A driver made from a table that `build` has found sound.

    A subclass carries out: `perform` (a control command), `inquire` (an observe command), `ask` (a reading), `halt`
    (the stop), and connects. They are called from several threads at once, and `halt` must wait for none of the others.
    """

    kind: str = "instrument"
    blocking: ClassVar[bool] = True

    def __init__(
        self,
        options: TableOptions,
        control: Mapping[str, ControlT],
        observe: Mapping[str, ObserveT],
        readings: Mapping[str, ReadingT],
    ) -> None:
        self.kind = options.kind
        self.units = options.units
        self._table = options
        self._readings = readings
        self._low = lower_bound(options.low)
        self._high = upper_bound(options.high)
        self._control = control
        runs = [(name, one, partial(self._run, one)) for name, one in control.items()]
        asks = [(name, one, partial(self._ask, one)) for name, one in observe.items()]
        self.declared: Mapping[str, Declared] = {
            name: Declared(command_of(name, one, options), run) for name, one, run in [*runs, *asks]
        }
        self._changed = threading.Condition()
        self._halted = False  # the device had the order to stop since the command began
        self._running: ControlT | None = None
        self._position: float | None = None
        self._settling = Settling(options.tolerance or 0.0, options.settle_s) if options.settles else None

    @property
    def has_stop(self) -> bool:
        """Whether there is anything to stop: the lab file says `stop = ""` where there is not."""
        return bool((self._table.stop or "").strip())

    @property
    @abstractmethod
    def address(self) -> str | None:
        """What must not be driven by two authorities of one machine, or None."""

    def warnings(self) -> Iterator[str]:
        """Say what the lab file allows and may regret, a sentence each."""
        yield from table_warnings(self._table)

    @abstractmethod
    def open(self) -> None:
        """Connect, or do nothing while connected; raise `DriverUnavailable` when that fails."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the equipment, without moving it."""

    @abstractmethod
    def perform(self, entry: ControlT, parameters: Mapping[str, Scalar], token: StopToken) -> object:
        """Carry out a control command and return what it answers.

        It calls `token.raise_if_stopped()` right before the device gets the order, with `halt` kept out in between.
        """

    @abstractmethod
    def inquire(self, entry: ObserveT, parameters: Mapping[str, Scalar]) -> object:
        """Carry out an observe command and return what it answers."""

    @abstractmethod
    def ask(self, name: str, entry: ReadingT) -> Scalar | None:
        """Return a reading as its type, None where the device has none now; raise whatever says why it cannot."""

    @abstractmethod
    def halt(self) -> None:
        """Give the device the order to stop all motion; wait for no answer of anything else."""

    def readback(self) -> Readback:
        """Ask for every reading and return them."""
        found = {name: self.ask(name, entry) for name, entry in self._readings.items()}
        position = self._position = _number(found.get("position"))
        return Readback(
            moving=self._moves_by_order() or self._seen_moving(found, position),
            position=position,
            target=_number(found.get("target")),
            velocity=_number(found.get("velocity")),
            tolerance=self._table.tolerance or Readback().tolerance,
            units=self.units,
            values={name: value for name, value in (found | self._limits()).items() if name not in _OWN_READINGS},
        )

    def _moves_by_order(self) -> bool:
        running = self._running
        return running is not None and running.moves

    def _seen_moving(self, found: Mapping[str, Scalar | None], position: float | None) -> bool | None:
        """Return whether the device moves, None where it has a position that may, and no reading tells."""
        if self._settling is not None:
            return self._settling.moves_at(position)
        if "moving" in found or "position" not in found:
            return found.get("moving") is True
        return None

    def _limits(self) -> dict[str, Scalar | None]:
        """Return the limits of the lab file, where no reading has their name."""
        given = {"low": self._table.low, "high": self._table.high}
        return {name: limit for name, limit in given.items() if limit is not None and name not in self._readings}

    def stop(self) -> None:
        """Stop all motion now; what began before and was not sent yet is not sent any more."""
        if not self.has_stop:
            return
        self.halt()
        with self._changed:
            self._halted = True
            self._changed.notify_all()

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Refuse a target, a distance or a velocity beyond the limits, as far as the position is known now."""
        entry = self._control.get(action)
        if entry is not None:
            origin = self._position
            if self._running is not None:
                origin = None  # what runs now ends elsewhere: a distance behind it is judged when it begins
            self._refuse_outside(entry, parameters, origin)

    def is_stopped(self, token: StopToken) -> bool:
        """Whether a stop ends the command that runs: one of a device that has nothing to stop goes on."""
        return token.stopped and self.has_stop

    def _run(self, entry: ControlT, /, **parameters: Scalar) -> object:
        token = stop_token_of_command.get()
        self._halted = False
        self._running = entry
        try:
            origin = self._origin() if entry.distance else self._position
            goal = self._refuse_outside(entry, parameters, origin)
            if self._settling is not None and entry.moves:
                self._settling.begin(self._table.start_s)
            answer = self._order(entry, parameters, token)
            if entry.until == "rest":
                self._await_rest(entry, _Way(origin, goal), token)
            if entry.answers is None:
                return answer
            return self._reading(entry.answers)
        except (DriverUnavailable, MoveFailed) as failed:
            if self._halted:
                raise MotionStopped(f"stopped, but {failed}") from failed
            raise
        finally:
            self._running = None

    def _origin(self) -> float:
        position = _number(self._reading("position"))
        if position is None:
            raise MoveFailed("its position is not known now, so nobody can tell where the distance leads")
        return position

    def _order(self, entry: ControlT, parameters: Mapping[str, Scalar], token: StopToken) -> object:
        try:
            return self.perform(entry, parameters, token)
        except DriverUnavailable as lost:
            if entry.moves:
                raise DriverUnavailable(f"{lost}; it may be moving") from lost
            raise

    def _ask(self, entry: ObserveT, /, **parameters: Scalar) -> object:
        return self.inquire(entry, parameters)

    def _reading(self, name: str) -> Scalar | None:
        return self.ask(name, self._readings[name])

    def _refuse_outside(self, entry: ControlT, parameters: Mapping[str, object], origin: float | None) -> float | None:
        """Raise `OutsideLimits` where the limits say so; return where the command goes, if that is known."""
        target = _named(parameters, entry.target)
        distance = _named(parameters, entry.distance)
        velocity = _named(parameters, entry.velocity)
        limit = self._table.max_velocity
        if velocity is not None and limit is not None and abs(velocity) > limit:
            asked = with_unit(velocity, self.units, "/s")
            most = with_unit(limit, self.units, "/s")
            raise OutsideLimits(f"{asked} is faster than the limit {most}", always=True)
        goal = target
        if distance is not None and origin is not None:
            goal = origin + distance
        if goal is not None:
            refuse_outside(goal, self._low, self._high, self.units, always=distance is None)
        return goal

    def _await_rest(self, entry: ControlT, way: _Way, token: StopToken) -> None:
        began = time.monotonic()
        started = False
        while True:
            moving = self._moves()
            started = started or moving
            gone = time.monotonic() - began
            if self._halted:
                raise MotionStopped(stopped_text(self._where(), moving=moving and self._settling is None))
            if not moving and (started or gone >= self._table.start_s or self._is_at(way.goal)):
                return self._refuse_elsewhere(way, token, seen_moving=started and self._settling is None)
            if gone >= entry.deadline_s:
                self.halt()
                raise MoveFailed(f"was not at rest after {entry.deadline_s:.12g} s and was stopped{self._where()}")
            with self._changed:
                self._changed.wait_for(lambda: self._halted, timeout=_POLL_S)

    def _moves(self) -> bool:
        if self._settling is None:
            return self._reading_again("moving") is True
        return self._settling.moves_at(_number(self._reading_again("position")))

    def _reading_again(self, name: str) -> Scalar | None:
        """Return a reading, also when it fails once, or the connection is lost once: a move outlives that."""
        lost = False
        try:
            return self._reading(name)
        except DriverUnavailable:
            lost = True
        except Exception:  # noqa: BLE001 - it is asked again, and fails again if it must
            lost = False
        try:
            if lost:
                self.open()
            return self._reading(name)
        except DriverUnavailable as down:
            raise DriverUnavailable(f"{down}; it may be moving") from down
        except Exception as wrong:
            raise MoveFailed(f"{wrong}; it may be moving") from wrong

    def _is_at(self, goal: float | None) -> bool:
        tolerance = self._table.tolerance
        if goal is None or tolerance is None or "position" not in self._readings:
            return False
        position = _number(self._reading("position"))
        return position is not None and abs(position - goal) <= tolerance

    def _refuse_elsewhere(self, way: _Way, token: StopToken, *, seen_moving: bool) -> None:
        """Raise `MoveFailed` where a move ended away from its goal, or nothing moved though there was a way to go."""
        if way.goal is None or "position" not in self._readings:
            return
        at_goal = self._table.tolerance is None or self._is_at(way.goal)
        stood_still = not seen_moving and self._has_way(way) and _number(self._reading("position")) == way.origin
        if at_goal and not stood_still:
            return
        if self.is_stopped(token):
            raise MotionStopped(f"stopped{self._where()}")
        aim = with_unit(way.goal, self.units)
        raise MoveFailed(
            f"rests{self._where()}, not at {aim}, and nobody stopped it here: look for a limit switch, a stop at the "
            "device or a motor that is switched off"
        )

    def _has_way(self, way: _Way) -> bool:
        """Whether a move leads far enough away for the position to show that it was made."""
        if way.goal is None or way.origin is None:
            return False
        shown = _LEAST_PART * (self._table.tolerance or 0.0) + _ROUNDING * max(abs(way.goal), abs(way.origin))
        return abs(way.goal - way.origin) > shown

    def _where(self) -> str:
        position = None
        if "position" in self._readings:
            position = _number(self._reading("position"))
        if position is None:
            return ""
        return f" at {with_unit(position, self.units)}"


@contextmanager
def held_within(lock: threading.RLock, timeout_s: float) -> Iterator[bool]:
    """Hold a lock, or after some seconds (-1: never) go on without it; gives whether it is held."""
    held = lock.acquire(timeout=timeout_s)
    try:
        yield held
    finally:
        if held:
            lock.release()


def stopped_text(where: str, *, moving: bool) -> str:
    """Return where a stop ended a motion, and that it did not, where the device says so."""
    if moving:
        return f"stopped{where}, but is still moving"
    return f"stopped{where}"


class _Way(NamedTuple):
    """Where a move began and where it leads, None where that is not known."""

    origin: float | None
    goal: float | None


def _named(parameters: Mapping[str, object], name: str | None) -> float | None:
    if name is not None:
        return _number(parameters.get(name))
    return None


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None

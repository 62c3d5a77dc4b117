"""What a motor record says of itself, from what is cached, and in which words a person hears of it.

The fields are those of the EPICS motor record, by its own documentation; `MSTA` has the bits of its table of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from authority.drivers.channel_access import Record
from authority.drivers.limits import MoveFailed, lower_bound, refuse_outside, refuse_velocity, upper_bound, with_unit
from authority.ports import OutsideLimits

WATCHED = (
    *("VAL", "RBV", "DMOV", "MOVN", "EGU", "HLM", "LLM", "HLS", "LLS", "LVIO", "MISS", "DIR", "TWV"),
    *("VELO", "JVEL", "HVEL", "JAR", "VBAS", "VMAX", "SPMG", "CNEN", "MSTA", "SEVR", "STAT"),
    *("RDBD", "MRES", "ERES", "UEIP"),
)

Direction = Literal["forward", "reverse"]

_SWITCH_FIELDS: Mapping[Direction, str] = {"forward": "HLS", "reverse": "LLS"}
_SEVERITIES = ("none", "minor", "major", "invalid")
_STATUSES = (
    *("none", "read", "write", "hihi", "high", "lolo", "low", "state", "cos", "comm", "timeout", "hwlimit", "calc"),
    *("scan", "link", "soft", "bad_sub", "udf", "disable", "simm", "read_access", "write_access"),
)
_INVALID = 3
_SWITCHED = ("Stop", "Pause")  # of SPMG: the record does not move
_AT_HOME = 0x88
_HOMED = 0x4000
_STALLED = 0x40
_PROBLEM = 0x200
_HAS_ENABLE = 0x800
_SILENT = 0x1000
_ROUNDING = 1e-12  # of a position, relative: the record computes it from steps, an offset and a resolution
_JOG_MARGIN_S = 1.0  # the record itself ends a jog when a soft limit is nearer than one second's way
_REACTION_S = 0.25
_NOBODY = (
    "nobody stopped it here: look for a limit switch, a stop at the record, a motor that is switched off or slips, "
    "or a deadband (SPDB) larger than the way"
)


class MotorState:
    """A record, its limits and those of the lab file, in the lab file's `units` or else the record's own."""

    def __init__(
        self,
        record: Record,
        *,
        low: float | None,
        high: float | None,
        max_velocity: float | None,
        units: str | None,
    ) -> None:
        """Read nothing yet."""
        self._units = units
        self._record = record
        self._prefix = record.prefix
        self._low = lower_bound(low)
        self._high = upper_bound(high)
        self._max_velocity = upper_bound(max_velocity)

    def known(self, field: str) -> float:
        """Return a field's number; raises `DriverUnavailable` while the record is lost."""
        value = None
        if self._record.connected:
            value = self._record.number(field)
        if value is None:
            raise self._record.unavailable()
        return value

    @property
    def units(self) -> str | None:
        """The unit of the position: the lab file's, else the record's `EGU` once it is connected."""
        return self._units or self._record.text("EGU")

    @property
    def moving(self) -> bool:
        """Whether the record is at a motion, also between two parts of one."""
        return self._record.number("DMOV") == 0 or self._record.number("MOVN") == 1

    def stands_on_switch(self, direction: Direction) -> bool:
        """Whether it stands on the limit switch that ends a motion in a direction, by what is cached."""
        return bool(self._record.number(_SWITCH_FIELDS[direction]))

    @property
    def alarm(self) -> str:
        """The alarm's severity: none, minor, major or invalid."""
        return _word(_SEVERITIES, self._record.number("SEVR"))

    @property
    def alarm_status(self) -> str | None:
        """What the alarm is about, such as comm or high; None without one."""
        if self.alarm == "none":
            return None
        return _word(_STATUSES, self._record.number("STAT"))

    @property
    def resolution(self) -> float:
        """The smallest way that the position shows: a step, or the encoder's where the record goes by it."""
        motor_step = abs(self._record.number("MRES") or 0.0)
        encoder_step = 0.0
        if self._record.number("UEIP"):
            encoder_step = abs(self._record.number("ERES") or 0.0)
        return max(motor_step, encoder_step)

    @property
    def deadband(self) -> float:
        """Within what the record itself takes a target for reached: its retry deadband, at least the resolution."""
        return max(self._record.number("RDBD") or 0.0, self.resolution)

    def is_at(self, target: float, position: float, tolerance: float) -> bool:
        """Whether a position is a target, but for the rounding of numbers."""
        rounding = _ROUNDING * max(abs(target), abs(position))
        return abs(position - target) <= tolerance + rounding

    def limits(self) -> tuple[float, float]:
        """Return the tighter of the lab file's and the record's soft limits; an infinity is none."""
        low = self._record.number("LLM")
        high = self._record.number("HLM")
        if low is None or high is None or low == high:  # equal ones mean none, in a motor record
            return self._low, self._high
        return max(low, self._low), min(high, self._high)

    def limit_text(self, direction: Direction) -> str:
        """Return the soft limit in a direction, for a sentence."""
        low, high = self.limits()
        return self.shown(high if direction == "forward" else low)

    def max_velocity(self) -> float:
        """Return the tighter of the lab file's `max_velocity` and the record's `VMAX`; infinity is none."""
        return min(self._max_velocity, self._record.number("VMAX") or math.inf)

    def refuse_outside(self, target: float, *, always: bool = False) -> None:
        """Raise `OutsideLimits` for a target beyond the soft limits."""
        low, high = self.limits()
        refuse_outside(target, low, high, self.units, always=always)

    def refuse_velocity(self, velocity: float, *, always: bool = False) -> None:
        """Raise `OutsideLimits` for a velocity that nothing may move at."""
        refuse_velocity(velocity, self._max_velocity, self.units, always=always)
        asked = self.shown(velocity, "/s")
        most = self._record.number("VMAX") or math.inf
        least = self._record.number("VBAS") or 0.0
        if velocity > most:
            raise OutsideLimits(f"{asked} is above the record's VMAX, {self.shown(most, '/s')}", always=always)
        if velocity < least:
            raise OutsideLimits(f"{asked} is below the record's VBAS, {self.shown(least, '/s')}", always=always)

    def refuse_faster(self, what: str, field: str) -> None:
        """Raise `OutsideLimits` where the record's own velocity for `what` is above `max_velocity`."""
        velocity = self._record.number(field) or 0.0
        if velocity > self._max_velocity:
            most = self.shown(self._max_velocity, "/s")
            raise OutsideLimits(
                f"{self._prefix} would {what} at {self.shown(velocity, '/s')} ({field}), above max_velocity, {most}"
            )

    def refuse_jog(self, direction: Direction) -> None:
        """Raise `OutsideLimits` for a jog that is too fast, or has no way to go."""
        velocity = self._record.number("JVEL") or 0.0
        if velocity <= 0:
            raise OutsideLimits(f"{self._prefix} has no jog velocity: set its JVEL")
        self.refuse_faster("jog", "JVEL")
        if self.jog_ends(direction):
            limit = self.limit_text(direction)
            asked = f"a jog {direction} at {self.shown(velocity, '/s')}"
            raise OutsideLimits(f"{asked} needs one second's way, and the limit {limit} is nearer")

    def jog_ends(self, direction: Direction, since_s: float = 0.0) -> bool:
        """Whether a jog has to end now, `since_s` after the position was last heard, to stay within the limits."""
        position = self._record.number("RBV")
        velocity = self._record.number("JVEL") or 0.0
        if position is None:
            return True
        brake = 0.0
        if (jar := self._record.number("JAR") or 0.0) > 0:
            brake = velocity / (2 * jar)
        way = velocity * (max(_JOG_MARGIN_S, brake + _REACTION_S) + since_s)
        low, high = self.limits()
        if direction == "forward":
            return position + way > high
        return position - way < low

    def refuse_start(self, direction: Direction | None) -> None:
        """Raise `MoveFailed` where the record would not move, or must not.

        What is cached raises the suspicion, the record itself confirms it: a switch may just have been left.
        """
        if self._record.number("SEVR") == _INVALID and self._record.fetch("SEVR") == _INVALID:
            raise MoveFailed(
                f"{self._prefix} is not moved while its alarm is invalid ({self.alarm_status}): "
                "look at its controller and the connection to it"
            )
        if self._switched() and (switched := self._switched(self._record.fetch("SPMG"))):
            raise MoveFailed(f"{self._prefix} is set to {switched} (SPMG) and would not move: set it to Go")
        if direction is not None and self.stands_on_switch(direction) and (switch := self.switch_hit(direction)):
            raise MoveFailed(
                f"{self._prefix} stands on its {switch} at {self.shown(self.known('RBV'))}: "
                "it can only be moved away from it"
            )

    def home_direction(self, field: str) -> Direction:
        """Return where `HOMF` or `HOMR` goes in user coordinates: the record homes in those of the dial."""
        forward = (field == "HOMF") == (self._record.number("DIR") != 1)
        if forward:
            return "forward"
        return "reverse"

    def stands_at_home(self) -> bool:
        """Whether the controller says that it is at home now."""
        return bool(int(self._record.fetch("MSTA")) & _AT_HOME)

    def found_home(self) -> bool:
        """Whether the controller says that it is at home, or was homed."""
        return bool(int(self._record.fetch("MSTA")) & (_AT_HOME | _HOMED))

    def switch_hit(self, direction: Direction) -> str | None:
        """Return which limit switch ended a motion, asked of the record now."""
        if not self._record.fetch(_SWITCH_FIELDS[direction]):
            return None
        if direction == "forward":
            return "high limit switch"
        return "low limit switch"

    def why_not_there(self, direction: Direction, *, target_kept: bool) -> str:
        """Return why a motion ended before its target, as a clause; asks the record for what is true now.

        `target_kept`: VAL is what it was before the motion was ordered, so the record may have refused the target.
        """
        if switch := self.switch_hit(direction):
            return f"it ran onto its {switch}"
        if target_kept and self._record.fetch("LVIO"):
            return "the record refuses to go beyond its soft limits (LVIO)"
        if switched := self._switched():
            return f"it was set to {switched} (SPMG)"
        if self.switched_off():
            return "it is switched off (CNEN): enable it"
        return self.motion_trouble() or _NOBODY

    def motion_trouble(self) -> str | None:
        """Return what spoils a move wherever it ended, as a clause; asks the record for what is true now."""
        if trouble := self.controller_trouble():
            return trouble
        if self._record.fetch("MISS"):
            return "the record tried again as often as it may and gave up (MISS)"
        return None

    def controller_trouble(self) -> str | None:
        """Return what the controller says to be wrong, as a clause; asks the record for what is true now."""
        state = int(self._record.fetch("MSTA"))
        if state & _SILENT:
            return "its controller does not answer, so nobody knows where it is (MSTA)"
        if state & (_PROBLEM | _STALLED):
            return "its controller reports a problem or a stall (MSTA)"
        return None

    def switched_off(self) -> bool:
        """Whether the controller can be switched off and is; some are so whenever they rest."""
        return bool(int(self._record.fetch("MSTA")) & _HAS_ENABLE) and not self._record.fetch("CNEN")

    def why_paused(self) -> str:
        """Return the end of a sentence about a motion that takes too long: empty, or that SPMG holds it."""
        switched = self._switched()
        if switched:
            return f": it is set to {switched} (SPMG)"
        return ""

    def shown(self, number: float, per: str = "") -> str:
        """Return a number with the unit, for a sentence."""
        return with_unit(number, self.units, per)

    def _switched(self, spmg: float | None = None) -> str | None:
        """Return what SPMG says, as it is given or cached, if it keeps the record from moving."""
        if spmg is None:
            spmg = self._record.number("SPMG")
        if spmg is not None and spmg < len(_SWITCHED):
            return _SWITCHED[int(spmg)]
        return None


def _word(words: tuple[str, ...], number: float | None) -> str:
    if number is None:
        index = 0
    else:
        index = int(number)
    if 0 <= index < len(words):
        return words[index]
    return str(index)

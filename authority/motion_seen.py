"""What one readback after another tells of motion: whether it moves, and whether somebody else moved it."""

from __future__ import annotations

import math

from .ports import Readback

STILL_S = 0.5  # a driver that cannot say whether it moves rests when its position has not changed for so long
PROGRESS_INTERVAL_S = 0.1  # between two readbacks that tell mere progress
_FIRST_QUIET_S = 1.0  # after a motion from outside was told, and twice as long after each that follows soon
_LONGEST_QUIET_S = 60.0


class MotionWatch:
    """Tells from one readback after another whether the equipment moves, who moves it, and what of it is news."""

    def __init__(self, shown: Readback) -> None:
        """Begin with what is shown before the first readback."""
        self.command_runs = False
        self._origin: float | None = None
        self._still = StillPosition()
        self._outside = OutsideMotion()
        self._shown = shown
        self._shown_at = -math.inf

    def command_began(self, found: Readback) -> None:
        """Take motion for ours, from where the equipment is."""
        self.command_runs = True
        self._origin = found.position

    def command_ended(self, found: Readback) -> None:
        """Take motion for that of others again; what still moves by our order, nobody else moved."""
        self.command_runs = False
        self._outside.command_ended(found)

    def stop_delivered(self, now: float) -> None:
        """Take it for moving until it has stood still, where only the position tells."""
        self._still.begin_anew(now)

    def is_moving(self, found: Readback, *, before: Readback, now: float) -> bool:
        """Return whether it moves, also where the driver cannot say: nothing that may move is told as resting."""
        if found.moving is not None:
            return found.moving
        if not found.connected:
            return before.moving is True  # as it was when it was last heard of
        still_goes = self._still.moves(found, now)
        if self.command_runs:
            self._still.begin_anew(now)
            return True
        return still_goes

    def moved_outside(self, found: Readback, now: float) -> float | None:
        """Return the position if it was reached with no command of ours: when that begins, and once at rest again."""
        if self.command_runs:
            return None
        return self._outside.seen(found, now)

    def is_news(self, found: Readback, now: float) -> bool:
        """Whether a readback is to be told now: what it says has changed, and mere progress waits for its turn."""
        begins_or_ends = (found.moving, found.connected) != (self._shown.moving, self._shown.connected)
        return begins_or_ends or (found != self._shown and now - self._shown_at >= PROGRESS_INTERVAL_S)

    def note_shown(self, found: Readback, now: float) -> None:
        """Take a readback for the one that was told last."""
        self._shown = found
        self._shown_at = now

    def fraction(self, found: Readback) -> float | None:
        """How much of the way our command has gone, 0 to 1; None where that cannot be told."""
        origin = self._origin
        position = found.position
        target = found.target
        if not self.command_runs or origin is None or position is None or target is None or target == origin:
            return None
        return round(min(1.0, max(0.0, (position - origin) / (target - origin))), 4)


class StillPosition:
    """Tells motion from the position, for a driver that cannot say whether it moves: it rests once it stood still."""

    def __init__(self) -> None:
        self._position: float | None = None
        self._since = -math.inf

    def begin_anew(self, now: float) -> None:
        """Take it for moving until it has stood still from now on."""
        self._since = now

    def moves(self, found: Readback, now: float) -> bool:
        """Take a position and return whether the equipment has not yet stood there for long enough."""
        position = found.position
        if position is None:
            return False
        known = self._position
        if known is None or abs(position - known) > found.tolerance:
            self._position = position
            if known is not None:
                self._since = now
        return now - self._since < STILL_S


class OutsideMotion:
    """Notices motion with no command of ours.

    A position is compared with where the equipment rested, not with the last readback: noise tells nothing, and a slow
    drift does.
    """

    def __init__(self) -> None:
        self._rested_at: float | None = None
        self._goes_on = False
        self._quiet_s = _FIRST_QUIET_S
        self._quiet_until = -math.inf

    def command_ended(self, found: Readback) -> None:
        """Begin from where a command of ours left it; what still moves by our order, nobody else moved."""
        if found.moving:
            self._rested_at = None
        else:
            self._rested_at = found.position

    def seen(self, found: Readback, now: float) -> float | None:
        """Return the position if it was reached with no command of ours: when that begins, and once at rest again."""
        position = found.position
        if not found.connected or position is None:
            return None
        goes_on = self._goes_on and found.moving is True
        self._goes_on = goes_on
        rested = self._rested_at
        if rested is None or goes_on or abs(position - rested) <= found.tolerance:
            if rested is None and not found.moving:
                self._rested_at = position
            return None
        if now < self._quiet_until:
            return None
        # What trembles without end is told ever more rarely; where it rests is told in the end.
        trembles = now - self._quiet_until < _LONGEST_QUIET_S
        if trembles:
            self._quiet_s = min(2 * self._quiet_s, _LONGEST_QUIET_S)
        else:
            self._quiet_s = _FIRST_QUIET_S
        self._quiet_until = now + self._quiet_s
        self._goes_on = found.moving is True
        self._rested_at = position
        return position

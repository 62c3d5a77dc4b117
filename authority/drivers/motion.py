"""One motion of a motor record after another: begun, waited for, and brought to rest.

A stop may come from another thread at any time: it wakes who waits here for the record, who then asks the stop token.
"""

from __future__ import annotations

import contextlib
import time

from authority.drivers.channel_access import Record
from authority.drivers.limits import MoveFailed
from authority.drivers.motor_state import Direction, MotorState
from authority.ports import DriverUnavailable, MotionStopped, stop_token_of_command

_START_S = 2.0  # a record that got a new target says within this time that it moves, if it has to move at all
_REST_S = 5.0  # how long a motor may need to slow down
_STOP_AGAIN_S = 0.25
_LOOK_S = 0.1
_LEAST_STEPS = 10  # of a jog that must be seen in the position: a shorter one may all go into accelerating


class Motion:
    """Moves a record; commands come one at a time, `stop` whenever it likes."""

    def __init__(self, record: Record, state: MotorState) -> None:
        """Move nothing yet; take note from now on of what the record says."""
        self._record = record
        self._state = state
        self.last_moving = False  # what the record said last
        self._starts = 0  # how often it began a motion, which need not have moved anything
        self._turns = 0  # how often its controller began to move
        self._placed_at = 0.0  # when it last told its position
        record.on_value = self._on_value

    def _on_value(self, field: str) -> None:
        """Hear of a new value; the record's condition is held."""
        if field == "DMOV":
            self.last_moving = self._record.number("DMOV") == 0
            self._starts += self.last_moving
        elif field == "MOVN":
            self._turns += self._record.number("MOVN") == 1
        elif field == "RBV":
            self._placed_at = time.monotonic()

    def stop(self) -> None:
        """Write STOP and return when the record has it; raises `DriverUnavailable` when it cannot be told."""
        with self._record.changed:
            self._record.changed.notify_all()
        self._record.put("STOP", 1)
        self._record.fetch("DMOV")  # the answer comes after what was sent before it on the same connection

    def run(self, field: str, value: float, deadline_s: float) -> bool:
        """Write what starts a motion and return when it has ended by itself: whether anything was seen to move."""
        with self._record.changed:
            starts = self._starts
            turns = self._turns
            origin = self._record.number("RBV")
        self._refuse_stopped()
        self._record.put(field, value)
        if self._ends_in(deadline_s, starts):
            return self._turns != turns or self._record.number("RBV") != origin
        self._bring_to_rest(starts)
        self._refuse_stopped()
        at = self._state.shown(self._state.known("RBV"))
        ended = f"was stopped at {at}{self._state.why_paused()}"
        if self._state.moving:
            ended = f"does not obey STOP: it still moves, at {at}"
        raise MoveFailed(f"{self._record.prefix} was not there after {deadline_s:.12g} s and {ended}")

    def jog(self, direction: Direction, seconds: float) -> None:
        """Move on until `seconds` are over (0: until a stop), but not beyond a soft limit.

        Raises `MoveFailed` when it ends before that and no stop of ours was the reason.
        """
        button = "JOGR"
        if direction == "forward":
            button = "JOGF"
        with self._record.changed:
            starts = self._starts
            origin = self._state.known("RBV")
        self._refuse_stopped()
        try:
            self._record.put(button, 1)
            ended = self._jog_ends(direction, seconds, starts)
        finally:
            # A button that is left pressed would start the jog anew when a switch, or SPMG, lets it.
            with contextlib.suppress(DriverUnavailable, PermissionError):
                self._record.put(button, 0)
        if not self._ends_in(_REST_S, starts):
            self._bring_to_rest(starts)
        self._refuse_stopped()
        began = self._starts != starts and self._has_left(origin, seconds)
        if ended != "in time" or not began:
            raise MoveFailed(self._why_jog_ended(direction, ended, began=began))

    def _jog_ends(self, direction: Direction, seconds: float, starts: int) -> str:
        """Wait for a reason to end a jog and return it: `stopped`, `by itself`, `in time` or `limit`."""
        began = time.monotonic()
        token = stop_token_of_command.get()
        with self._record.changed:
            while not token.stopped:
                now = time.monotonic()
                gone = now - began
                self._refuse_lost("a jog")
                if not self._state.moving and (self._starts != starts or gone >= _START_S):
                    return "by itself"
                if seconds and gone >= seconds:
                    return "in time"
                if self._state.jog_ends(direction, since_s=now - max(began, self._placed_at)):
                    return "limit"
                pause = _LOOK_S
                if seconds:
                    pause = min(pause, seconds - gone)
                self._record.changed.wait(pause)
        return "stopped"

    def _has_left(self, origin: float, seconds: float) -> bool:
        """Whether a jog of some seconds has left its origin, where its way is long enough for the position to show."""
        shown = _LEAST_STEPS * self._state.resolution
        way = (self._record.number("JVEL") or 0.0) * seconds
        return 0 < way <= shown or not self._state.is_at(origin, self._record.fetch("RBV"), self._state.resolution)

    def _why_jog_ended(self, direction: Direction, ended: str, *, began: bool) -> str:
        at = self._state.shown(self._record.fetch("RBV"))
        if ended == "limit":
            limit = self._state.limit_text(direction)
            return f"the jog of {self._record.prefix} was ended at {at}, before the soft limit {limit}"
        why = self._state.why_not_there(direction, target_kept=True)
        what = "did not begin"
        if began:
            what = "ended"
        return f"the jog of {self._record.prefix} {what} at {at}: {why}"

    def _ends_in(self, deadline_s: float, starts: int) -> bool:
        """Wait for the end of the motion; False when a stop or the deadline comes first."""
        began = time.monotonic()
        token = stop_token_of_command.get()
        with self._record.changed:
            while not token.stopped:
                gone = time.monotonic() - began
                started = self._starts != starts
                self._refuse_lost("a move")
                if not self._state.moving and (started or gone >= _START_S):
                    return True  # without a start there was no way to go, or the caller sees that it is elsewhere
                if gone >= deadline_s:
                    return False
                until = deadline_s
                if not started:
                    until = min(deadline_s, _START_S)
                self._record.changed.wait(until - gone)
        return False

    def _bring_to_rest(self, starts: int) -> None:
        """Send STOP until the motor rests: a stop that meets a record before it has begun to move can be lost."""
        began = time.monotonic()
        while (gone := time.monotonic() - began) < _REST_S:
            self._record.put("STOP", 1)
            with self._record.changed:
                self._record.changed.wait_for(lambda: not self._state.moving, timeout=_STOP_AGAIN_S)
                if not self._state.moving and (self._starts != starts or gone >= _START_S):
                    return
                if not self._state.moving:
                    self._record.changed.wait(_STOP_AGAIN_S)

    def wait_until_resting(self) -> None:
        """Let an earlier motion end; one that nobody here ordered can only be waited for."""
        self._state.known("RBV")
        token = stop_token_of_command.get()
        with self._record.changed:
            self._record.changed.wait_for(lambda: token.stopped or not self._state.moving, timeout=_REST_S)
        self._refuse_stopped()
        if self._state.moving:
            raise MoveFailed(
                f"{self._record.prefix} is moved by somebody outside this authority: wait until it rests, or stop it"
            )

    def _refuse_lost(self, motion: str) -> None:
        if not self._record.connected:
            raise DriverUnavailable(f"{self._record.prefix} was lost during {motion}: it may still be moving")

    def _refuse_stopped(self) -> None:
        """End a command during which `stop` was called, or was on its way when it began."""
        if stop_token_of_command.get().stopped:
            still = ""
            if self._state.moving:
                still = ", but is still moving"
            raise MotionStopped(f"stopped at {self._state.shown(self._state.known('RBV'))}{still}")

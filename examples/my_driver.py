"""A driver of one's own: a stage that is moved by a library which waits until it has arrived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from authority.drivers.declare import Unit, control
from authority.ports import OutsideLimits, Readback, stop_token_of_command


class MyStage:
    """Moves 10 mm per second; `low` and `high` are the soft limits of the lab file in mm."""

    kind = "motor"
    blocking = True  # its methods wait, so the authority calls them in threads of this driver's own
    address = None  # what two authorities must not drive at once, such as a serial port

    def __init__(self, low: float = 0.0, high: float = 100.0) -> None:
        self.low = low
        self.high = high
        self._position = 0.0
        self._moving = False

    def open(self) -> None:
        """Connect to the device; raise `DriverUnavailable` when that fails."""

    def close(self) -> None:
        """Let go of the device, without moving it."""

    def readback(self) -> Readback:
        """Say where it is and whether it moves; shown to everybody, and asked for all the time."""
        return Readback(position=self._position, moving=self._moving, units="mm")

    def stop(self) -> None:
        """Stop all motion at once; called from a thread of its own, also while `move_to` runs."""
        # A real device is told here to stop. This one is moved by `move_to`, which asks its stop token.

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Refuse a target beyond the limits before anything moves."""
        position = parameters.get("position")
        if isinstance(position, float) and not self.low <= position <= self.high:
            raise OutsideLimits(f"{position:g} mm is outside the limits {self.low:g} to {self.high:g} mm", always=True)

    @control
    def move_to(self, position: Annotated[float, Unit("mm")]) -> float:
        """Move to `position` in mm, and return where it arrived."""
        token = stop_token_of_command.get()
        self._moving = True
        try:
            while self._position != position:
                token.wait(0.01)
                token.raise_if_stopped(f"stopped at {self._position:g} mm")
                way = position - self._position
                self._position += max(-0.1, min(0.1, way))
        finally:
            self._moving = False
        return self._position

"""A driver that returns at once, so that what is measured is the authority."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from authority.drivers.declare import control, observe
from authority.ports import Readback


class NullMotor:
    """Moves nothing, at once."""

    kind: ClassVar[str] = "motor"
    blocking: ClassVar[bool] = False
    address = None

    @control
    def nudge(self) -> float:
        """Do nothing."""
        return 0.0

    @observe
    def position(self) -> float:
        """Tell nothing."""
        return 0.0

    def open(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """There is nothing to close."""

    def readback(self) -> Readback:
        """At rest, always."""
        return Readback(moving=False, position=0.0, units="mm")

    def stop(self) -> None:
        """There is nothing to stop."""

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Everything is allowed."""

"""A PyMeasure class as a lab writes one: for the simulated stage that speaks SCPI."""

from __future__ import annotations

from pymeasure.instruments import Instrument, SCPIMixin
from pymeasure.instruments.validators import strict_range


class ScpiStage(SCPIMixin, Instrument):
    """A linear stage."""

    position = Instrument.measurement("POS?", "Get the position in mm.")
    moving = Instrument.measurement("MOV?", "Get whether it moves.", cast=int)
    target = Instrument.control("TARG?", "MOVE %g", "Control where it goes, in mm.")
    velocity = Instrument.control("VEL?", "VEL %g", "Control the velocity in mm/s.", strict_range, [0.01, 50])

    def __init__(self, adapter: str, name: str = "stage", **more: object) -> None:
        more = {"visa_library": "@py", "read_termination": "\n", "write_termination": "\n", "timeout": 2000, **more}
        super().__init__(adapter, name, **more)

    def stop(self) -> None:
        """Stop it."""
        self.write("STOP")

    def go(self, position: float) -> None:
        """Go there and return when it is there, as many drivers do."""
        self.target = position
        while self.moving:
            pass

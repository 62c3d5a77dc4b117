"""A class as somebody has it, with all that a draft must tell apart; to make one would be noticed."""

from __future__ import annotations

import functools
from typing import Any, Literal


class Plate:
    """A heated plate of the oven."""

    @property
    def temperature(self) -> float:
        """Its temperature in degrees Celsius."""
        raise AssertionError("somebody touched the equipment")


class Oven:
    """An oven on a serial port."""

    limits = (0, 300)

    def __init__(self, port: str, baud: int = 9600, *, name="oven", **more: object) -> None:
        self.port = port
        self._more = more
        self.left = Plate()
        self.right = Plate()
        raise AssertionError("somebody made one")

    @property
    def setpoint(self) -> float:
        """The temperature it goes to (°C)."""
        raise AssertionError("somebody touched the equipment")

    @setpoint.setter
    def setpoint(self, value: float) -> None:
        raise AssertionError("somebody touched the equipment")

    @property
    def door_open(self) -> bool:
        """Whether the route is open."""
        raise AssertionError("somebody touched the equipment")

    @property
    def next_alarm(self):
        """Take an alarm off the list."""
        raise AssertionError("somebody touched the equipment")

    @property
    def level(self):
        """The level."""
        self.seen = True
        return 1

    @functools.cached_property
    def serial_number(self) -> str:
        """The number on its back."""
        raise AssertionError("somebody touched the equipment")

    def get_gas(self) -> str:
        """The gas in it."""
        raise AssertionError("somebody touched the equipment")

    def get_profile(self, number: int) -> list[float]:
        """Return a stored profile."""
        raise AssertionError("somebody touched the equipment")

    def read_and_clear(self) -> int:
        """Read the counter."""
        raise AssertionError("somebody touched the equipment")

    def ramp(self, rate: float, to: float = 20.0, mode: Literal["fast", "slow"] = "slow", done: Any = None) -> None:
        """Go to a temperature slowly.

        :param rate: how fast, in K/min
        :param to: where to
        """
        raise AssertionError("somebody touched the equipment")

    def fill(self, gas, amount=2):
        """Let gas in.

        Parameters
        ----------
        gas : str
            Which one.
        amount : float
            How much, in mbar.
        """
        raise AssertionError("somebody touched the equipment")

    def load(self, profile: list[float]) -> None:
        """Load a profile."""
        raise AssertionError("somebody touched the equipment")

    def write(self, words: str) -> None:
        """Send words."""
        raise AssertionError("somebody touched the equipment")

    async def purge(self) -> None:
        """Purge it."""
        raise AssertionError("somebody touched the equipment")

    def check(self) -> None:
        """Look whether all is well."""
        raise AssertionError("somebody touched the equipment")

    @staticmethod
    def ports() -> list[str]:
        """The ports of this machine."""
        raise AssertionError("somebody touched the equipment")

    def disconnect(self) -> None:
        """Give the port back."""
        raise AssertionError("somebody touched the equipment")


class SafeOven(Oven):
    """An oven that can be stopped."""

    def stop(self, *, quick: bool = False) -> None:
        """Switch the heating off."""
        raise AssertionError("somebody touched the equipment")

    def abort(self) -> None:
        """Give up the measurement."""
        raise AssertionError("somebody touched the equipment")

"""One number of a piece of equipment, set by a command and read back: what a scan moves.

Shared by what other programs take for their own kind of device; it needs no package itself.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from jupyter_motorlock.client.commands import Command, unknown_command
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.errors import LockLost, MotorlockError, UsageProblem
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text import values


@dataclass(frozen=True, slots=True)
class PositionReading:
    """Where the axis is and where it was sent last, in its units, and when that was so, in seconds since 1970."""

    position: float
    setpoint: float
    at: float


class EquipmentHandle(Protocol):
    """What other programs' devices need of the handle that makes them."""

    def command(self, name: str, /, *positional: object, **named: object) -> Any:
        """Run a command and return what it answers."""

    def provenance(self) -> dict[str, Any]:
        """Return who moves the equipment, under which lock and when."""


class Axis:
    """What the command `move` sets, which needs one number, and the observe command `read` reads.

    Without `read` that is the position of the readback. Raises `UsageProblem` where the commands are not like that.
    """

    def __init__(self, session: KernelSession, equipment_id: str, move: str, read: str | None) -> None:
        self.session = session
        self.equipment_id = equipment_id
        commands = session.commands(equipment_id)
        for name in (move, read):
            if name is not None and name not in commands:
                has = unknown_command(name, equipment_id, commands).removesuffix(".")
                raise UsageProblem(f"{has}; say which one sets it and which one reads it: move=NAME, read=NAME.")
        if read is not None and commands[read].kind != "observe":
            other = "name an observe command: read=NAME"
            raise UsageProblem(f"{equipment_id} cannot be read by {read}, a control command; {other}.")
        self.move = commands[move]
        self._read = read
        self.parameter = _only_number(self.move, equipment_id)
        declared = self.move.parameters[self.parameter]
        self.units: str | None = declared["units"]
        self._low = declared["low"]
        self._high = declared["high"]
        if read is None and self.reading().connected and self.reading().position is None:
            raise UsageProblem(f"{equipment_id} has no position; say which command reads what {move} sets: read=NAME.")

    def reading(self) -> values.Reading:
        """Return what the equipment said last, asked of the authority now."""
        return values.reading(self.session.status(self.equipment_id))

    def place(self) -> PositionReading:
        """Return where it is now; raises `MotorlockError` where that is not known."""
        if self._read is not None:
            here = float(self.session.command(self.equipment_id, self._read, {}))
            return PositionReading(here, here, time.time())
        reading = self.reading()
        if not reading.connected or reading.position is None:
            why = reading.error or "it tells no position"
            raise MotorlockError(f"Where {self.equipment_id} is cannot be told now: {why.rstrip('.')}.")
        target = reading.position if reading.target is None else reading.target
        return PositionReading(float(reading.position), float(target), time.time() - reading.age_s)

    def limits(self) -> tuple[float | None, float | None]:
        """Return the lowest and the highest number that it may be set to, as far as it is known; None is no limit."""
        if self._read is None:
            limits = self.reading().values
        else:
            limits = {}  # those of the readback are its position's
        lows = [low for low in (self._low, limits.get("low")) if isinstance(low, int | float)]
        highs = [high for high in (self._high, limits.get("high")) if isinstance(high, int | float)]
        return max(lows, default=None), min(highs, default=None)

    def loss(self) -> LockLost | None:
        """Return how this session lost its lock, where that may be why a move was stopped."""
        with suppress(MotorlockError):
            status = self.session.status(self.equipment_id)
            now = status_text.local_now()
            if lost := status_text.loss_text(status, self.session.session_id, now=now):
                return LockLost(lost, code="lock_lost", status=403, data=status)
        return None

    def bind(self, number: object) -> dict[str, object]:
        """Return the parameters that set it to `number`; raises `UsageProblem` where it is none."""
        return self.move.bind((), {self.parameter: number})

    def check(self, number: object) -> None:
        """Raise `UsageProblem` where it may not be set to `number`."""
        wanted = self.bind(number)[self.parameter]
        assert isinstance(wanted, int | float)  # as it is declared
        low, high = self.limits()
        if (low is not None and wanted < low) or (high is not None and wanted > high):
            bounds = ((word, limit) for word, limit in (("least", low), ("most", high)) if limit is not None)
            span = " and ".join(f"at {word} {status_text.number_text(limit)}" for word, limit in bounds)
            units = ""
            if self.units:
                units = f" {self.units}"
            raise UsageProblem(
                f"{self.equipment_id} may not go to {status_text.number_text(wanted)}{units}; "
                f"it may go to {span}{units}."
            )


def _only_number(command: Command, equipment_id: str) -> str:
    """Return the name of the one number that the command needs."""
    needed = [name for name, p in command.parameters.items() if p["required"]]
    if (
        command.kind != "control"
        or len(needed) != 1
        or command.parameters[needed[0]]["type"] not in ("number", "integer")
    ):
        wanted = "only a control command that needs one number can be scanned"
        raise UsageProblem(f"{equipment_id} cannot be moved by {command.usage}: {wanted}; name another one: move=NAME.")
    return needed[0]

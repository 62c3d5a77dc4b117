"""Carries out the control commands of one driver: one after another, and none that a stop overtook."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from .core.model import Command, EquipmentId, Outcome
from .driver_calls import DriverThread, call_driver
from .driver_values import plain_result
from .drivers.declare import Declared
from .ports import MotionStopped, StopToken, fence_of_command, stop_token_of_command
from .stop_delivery import StopDelivery


class CommandResult(NamedTuple):
    """What became of a command; `data` is the JSON of what it answered, `error` says why it did not end as done."""

    outcome: Outcome
    data: msgspec.Raw | None = None
    error: str | None = None


class ControlLane:
    """The thread in which control commands run; on the loop for a driver that never waits."""

    def __init__(
        self,
        equipment: EquipmentId,
        declared: Mapping[str, Declared],
        thread: DriverThread | None,
        stops: StopDelivery,
    ) -> None:
        """Carry out what `declared` names."""
        self._equipment = equipment
        self._declared = declared
        self._thread = thread
        self._stops = stops

    async def run(self, command: Command, token: StopToken) -> CommandResult:
        """Carry out a command unless `token` is stopped, and return what became of it once no stop is on its way."""
        result = await self._call(command, token)
        # A stop on its way may be what ended it, and ends what waits behind it before the next can begin.
        await self._stops.wait_until_none_under_way()
        if not token.delivered:
            return result
        return result._replace(outcome=Outcome.STOPPED, error=result.error or f"{self._equipment} was stopped")

    async def _call(self, command: Command, token: StopToken) -> CommandResult:
        try:
            data = await call_driver(self._thread, partial(self._begin, command, token), plain_result)
        except MotionStopped as stopped:
            return CommandResult(Outcome.STOPPED, error=str(stopped) or f"{self._equipment} was stopped")
        except Exception as failed:  # noqa: BLE001 - whatever a driver raises is the command's outcome
            return CommandResult(Outcome.FAILED, error=str(failed))
        return CommandResult(Outcome.DONE, data)

    def _begin(self, command: Command, token: StopToken) -> object:
        token.raise_if_stopped(f"{self._equipment} was stopped before the command began")
        fence_of_command.set(command.fence)
        stop_token_of_command.set(token)
        return self._declared[command.action].run(**command.parameters)

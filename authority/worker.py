"""One per equipment: calls its driver, one control command at a time, and keeps its readback fresh.

The state task never waits on metal: whatever a driver does, it does in threads of its own, or as a coroutine.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import msgspec

from .control_lane import ControlLane
from .core import model
from .core.model import EquipmentId, Outcome
from .device_log import DeviceLog
from .driver_calls import call_concurrent, call_driver, take_nothing, thread_for
from .driver_values import plain_result, plain_text, plain_value
from .drivers.declare import declared_by
from .parameters import Command
from .ports import STOP_DEADLINE_S, Clock, Driver, Readback, StopToken
from .readback_watch import ReadbackListener, ReadbackWatch
from .stop_delivery import StopDelivery, StopResult

CLOSE_DEADLINE_S = 1.0
COMMAND_END_DEADLINE_S = 1.0


class WorkerListener(ReadbackListener, Protocol):
    """Whom a worker tells what its equipment does."""

    def command_finished(
        self,
        equipment: EquipmentId,
        key: str,
        outcome: Outcome,
        data: msgspec.Raw | None,
        error: str | None,
        *,
        moving: bool,
    ) -> None:
        """A command is over; `data` is the JSON of what it answered."""


class Worker:
    """The only one who calls a driver. All methods are called on the loop."""

    def __init__(self, equipment: EquipmentId, driver: Driver, clock: Clock, *, label: str | None = None) -> None:
        """Take charge of `driver`; nothing is called before `start`."""
        self.equipment = equipment
        self.driver = driver
        self.kind = plain_text(driver.kind)
        self.label = label or equipment
        self._declared = declared_by(driver)
        self.commands = {
            name: msgspec.convert(plain_value(one.command), Command) for name, one in self._declared.items()
        }
        self._threads = {name: thread_for(driver, f"{equipment}-{name}") for name in ("control", "observe", "readback")}
        self._log = DeviceLog(equipment)
        self._stops = StopDelivery(equipment, driver)
        self._lane = ControlLane(equipment, self._declared, self._threads["control"], self._stops)
        self._watch = ReadbackWatch(equipment, driver, clock, self._log, self._threads["readback"])
        self._listener: WorkerListener | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._command_task: asyncio.Task[None] | None = None

    @property
    def readback(self) -> Readback:
        """The last readback."""
        return self._watch.readback

    @property
    def read_at(self) -> float:
        """When that was, in `Clock.now`'s seconds."""
        return self._watch.read_at

    @property
    def fraction(self) -> float | None:
        """How much of the way our command has gone, 0 to 1; None where that cannot be told."""
        return self._watch.fraction

    def start(self, listener: WorkerListener) -> None:
        """Connect, and keep the readback fresh from now on."""
        self._listener = listener
        self._watch.listener = listener
        self._spawn(self._watch.keep_reading())

    async def close(self) -> None:
        """End the tasks and let go of the equipment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await call_driver(self._threads["readback"], self.driver.close, take_nothing)
        except Exception:  # noqa: BLE001 - the process ends; nothing can be done about a driver that will not
            return
        finally:
            for thread in self._threads.values():
                if thread is not None:
                    thread.end()

    async def wait_until_resting(self, within_s: float) -> None:
        """Return once the last readback says that it stands, or so many seconds later."""
        await self._watch.wait_until_resting(within_s)

    async def wait_until_command_ended(self) -> None:
        """Return once no command runs, or when one does not end within `COMMAND_END_DEADLINE_S`."""
        if self._command_task is not None:
            await asyncio.wait([self._command_task], timeout=COMMAND_END_DEADLINE_S)

    def reconnect_soon(self) -> None:
        """Try at once to reach equipment that is down: somebody wants it."""
        self._watch.reconnect_soon()

    def answers_at_once(self, action: str) -> bool:
        """Whether an observe command has its result without any waiting."""
        return self._threads["observe"] is None and not inspect.iscoroutinefunction(self._declared[action].run)

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Ask the driver whether a command may be sent; raises `OutsideLimits`, `DriverFailed` if it cannot say."""
        call_concurrent(partial(self.driver.check, action, parameters))

    async def observe(self, action: str, parameters: Mapping[str, object]) -> msgspec.Raw:
        """Run an observe command and return the JSON of its result; raises as `call_driver` does."""
        run = partial(self._declared[action].run, **parameters)
        return await call_driver(self._threads["observe"], run, plain_result)

    def run(self, command: model.Command, token: StopToken) -> None:
        """Begin a control command, unless a stop came since it was accepted and took `token`.

        `WorkerListener.command_finished` is called at its end.
        """
        # In this order, so that the look at the equipment comes after the driver was called.
        self._command_task = self._spawn(self._run(command, token))
        self._watch.command_began()

    async def _run(self, command: model.Command, token: StopToken) -> None:
        result = await self._lane.run(command, token)
        await self._watch.read()
        moving = self._watch.command_ended()
        if self._listener is not None:
            self._listener.command_finished(self.equipment, command.key, *result, moving=moving)

    def stop_token(self) -> StopToken:
        """Return the stop token of a command that is accepted now."""
        return self._stops.token()

    async def stop(self) -> StopResult:
        """Stop all motion; return whether the driver took the order within its deadline, and why not."""
        deadline = asyncio.get_running_loop().time() + STOP_DEADLINE_S
        with self.stopping():
            result = await self._stops.deliver(deadline)
            self._log.note_stop(delivered=result.delivered, error=result.error)
            if result.delivered:
                await self._watch.read_after_stop(deadline)
        self._watch.read_soon()
        return result

    def stopping(self) -> AbstractContextManager[None]:
        """Let no command begin that was accepted before or is accepted meanwhile."""
        return self._stops.stopping()

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

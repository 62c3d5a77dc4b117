"""One per equipment: calls its driver, one control command at a time, and keeps its readback fresh.

The state task never waits on metal: whatever a driver does, it does in threads of its own, or as a coroutine.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
from collections.abc import Coroutine, Iterator, Mapping
from functools import partial
from typing import Protocol

import msgspec

from .core.model import Command as Ordered
from .core.model import EquipmentId, Outcome
from .device_log import DeviceLog
from .driver_calls import DriverThread, call_concurrent, call_driver
from .driver_values import plain_fence, plain_readback, plain_result, plain_text, plain_value
from .drivers.declare import Command, declared_by
from .motion_seen import OutsideMotion, StillPosition
from .ports import Clock, Driver, MotionStopped, Readback, can_stop, fence_of_command, overtaken

STOP_DEADLINE_S = 1.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
READ_DEADLINE_S = 2.0
NOTHING_TO_STOP = "it has nothing to stop"
PROGRESS_S = 0.1
_MOVING_S = 0.05
_RESTING_S = 0.5


class WorkerListener(Protocol):
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

    def readback_changed(self, equipment: EquipmentId, *, moving: bool, outside: float | None) -> None:
        """The readback has changed."""

    def stop_obeyed(self, equipment: EquipmentId, fence: int) -> None:
        """The device says that it has obeyed this fence."""


class StopResult(msgspec.Struct, frozen=True):
    """Whether the driver has taken a stop; `error` says why not, or that there is nothing to stop."""

    delivered: bool
    error: str | None = None

    def __bool__(self) -> bool:
        """Whether it was delivered."""
        return self.delivered


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
        self.readback = Readback(connected=False, moving=False, error="not connected yet")
        self.read_at = clock.now()
        self._clock = clock
        self._control = _thread_for(driver, f"{equipment}-control")
        self._observe = _thread_for(driver, f"{equipment}-observe")
        self._reader = _thread_for(driver, f"{equipment}-readback")
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._running: str | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = DeviceLog(equipment)
        self._outside = OutsideMotion()
        self._still = StillPosition()
        self._origin: float | None = None
        self._told_at = -math.inf
        self._shown = self.readback
        self._reconnect_wanted = asyncio.Event()
        self.stops = 0
        self._stopping = 0
        self._delivered = 0
        self._no_stop = asyncio.Event()
        self._no_stop.set()
        self._listener: WorkerListener | None = None

    def start(self, listener: WorkerListener) -> None:
        """Connect, and keep the readback fresh from now on."""
        self._listener = listener
        self._spawn(self._keep_reading())

    async def close(self) -> None:
        """End the tasks and let go of the equipment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await call_driver(self._reader, self.driver.close, _do_nothing)
        except Exception:  # noqa: BLE001 - the process ends; nothing can be done about a driver that will not
            return
        finally:
            for lane in (self._control, self._observe, self._reader):
                if lane is not None:
                    lane.end()

    async def wait_until_resting(self, within_s: float) -> None:
        """Return once the last readback says that it stands, or so many seconds later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.readback.moving:
                    await asyncio.sleep(_MOVING_S)

    async def wait_until_command_ended(self) -> None:
        """Return once no command runs, or when one does not end within the deadline of a stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_DEADLINE_S):
                await self._idle.wait()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def run(self, ordered: Ordered, stops: int) -> None:
        """Begin a control command, unless a stop came since it was accepted, when `self.stops` was `stops`.

        `WorkerListener.command_finished` is called at its end.
        """
        self._running = ordered.key
        self._origin = self.readback.position
        self._idle.clear()
        self._spawn(self._run(ordered, stops))
        self._wake.set()

    async def _run(self, ordered: Ordered, stops: int) -> None:
        delivered = self._delivered
        outcome = Outcome.DONE
        data: msgspec.Raw | None = None
        error: str | None = None
        try:
            data = await call_driver(self._control, partial(self._begin, ordered, stops), plain_result)
        except MotionStopped as stopped:
            outcome = Outcome.STOPPED
            error = str(stopped) or f"{self.equipment} was stopped"
        except Exception as failed:  # noqa: BLE001 - whatever a driver raises is the command's outcome
            outcome = Outcome.FAILED
            error = str(failed)
        # A stop on its way may be what ended it, and ends what waits behind it before the next can begin.
        await self._no_stop.wait()
        if self._delivered != delivered:
            outcome = Outcome.STOPPED
            error = error or f"{self.equipment} was stopped"
        await self._read()
        self._report_finished(ordered, outcome, data, error)

    def _begin(self, ordered: Ordered, stops: int) -> object:
        def stopped() -> bool:
            return self._stopping > 0 or self.stops != stops

        if stopped():
            raise MotionStopped(f"{self.equipment} was stopped before the command began")
        fence_of_command.set(ordered.fence)
        overtaken.set(stopped)
        return self._declared[ordered.action].run(**ordered.parameters)

    def _report_finished(self, ordered: Ordered, outcome: Outcome, data: msgspec.Raw | None, error: str | None) -> None:
        # A driver that cannot be read may still move: the lock must not pass on a guess.
        moving = self.readback.moving is True or not self.readback.connected
        self._running = None
        self._idle.set()
        self._outside.command_ended(msgspec.structs.replace(self.readback, moving=moving))
        if self._listener is not None:
            self._listener.command_finished(self.equipment, ordered.key, outcome, data, error, moving=moving)
        self._wake.set()

    def answers_at_once(self, action: str) -> bool:
        """Whether an observe command has its result without any waiting."""
        return self._observe is None and not inspect.iscoroutinefunction(self._declared[action].run)

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Ask the driver whether a command may be sent; raises `OutsideLimits`, `DriverFailed` if it cannot say."""
        call_concurrent(partial(self.driver.check, action, parameters))

    async def observe(self, action: str, parameters: Mapping[str, object]) -> msgspec.Raw:
        """Run an observe command and return the JSON of its result; raises as `call_driver` does."""
        return await call_driver(self._observe, partial(self._declared[action].run, **parameters), plain_result)

    async def stop(self) -> StopResult:
        """Stop all motion; return whether the driver took the order within its deadline, and why not."""
        deadline = asyncio.get_running_loop().time() + STOP_DEADLINE_S
        with self.stopping():
            result = await self._deliver(deadline)
            self._log.note_stop(delivered=result.delivered, error=result.error)
            if result.delivered:
                self._delivered += can_stop(self.driver)
                self._still.begin_anew(self._clock.now())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await self._read()
        self._wake.set()
        return result

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Let no command begin that was accepted before or meanwhile: it is counted at both ends."""
        self.stops += 1
        self._stopping += 1
        self._no_stop.clear()
        try:
            yield
        finally:
            self.stops += 1
            self._stopping -= 1
            if not self._stopping:
                self._no_stop.set()

    async def _deliver(self, deadline: float) -> StopResult:
        lane = _thread_for(self.driver, f"{self.equipment}-stop")
        try:
            async with asyncio.timeout_at(deadline):
                await call_driver(lane, self.driver.stop, _do_nothing)
        except TimeoutError:
            return StopResult(False, f"no answer within {STOP_DEADLINE_S:g} s")
        except Exception as failed:  # noqa: BLE001 - whatever a driver raises, the stop was not delivered
            return StopResult(False, str(failed))
        finally:
            if lane is not None:
                lane.end()
        if not can_stop(self.driver):
            return StopResult(True, NOTHING_TO_STOP)
        return StopResult(True, None)

    @property
    def fraction(self) -> float | None:
        """How much of the way our command has gone, 0 to 1; None where that cannot be told."""
        origin = self._origin
        position = self.readback.position
        target = self.readback.target
        if self._running is None or origin is None or position is None or target is None or target == origin:
            return None
        return round(min(1.0, max(0.0, (position - origin) / (target - origin))), 4)

    def reconnect_soon(self) -> None:
        """Try at once to reach equipment that is down: somebody wants it."""
        self._reconnect_wanted.set()

    async def _keep_reading(self) -> None:
        await self._open()
        pause = FIRST_PAUSE_S
        while True:
            await self._read()
            if not self.readback.connected:
                await self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                await self._open()
                continue
            pause = FIRST_PAUSE_S
            interval = _RESTING_S
            if self.readback.moving or self._running is not None:
                interval = _MOVING_S
            self._wake.clear()
            try:
                async with asyncio.timeout(interval):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _pause(self, seconds: float) -> None:
        """Leave a driver that is down alone for `seconds`, less when somebody wants it, but not less than at first."""
        self._reconnect_wanted.clear()
        await asyncio.sleep(FIRST_PAUSE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - FIRST_PAUSE_S):
                await self._reconnect_wanted.wait()

    async def _open(self) -> None:
        try:
            await call_driver(self._reader, self.driver.open, _do_nothing)
            fence = await call_driver(self._reader, partial(getattr, self.driver, "highest_fence", 0), plain_fence)
        except Exception as failed:  # noqa: BLE001 - it is tried again
            self._accept_readback(Readback(connected=False, error=str(failed)))
            return
        if self._listener is not None and fence > 0:
            self._listener.stop_obeyed(self.equipment, fence)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                found = await call_driver(self._reader, self.driver.readback, plain_readback)
        except TimeoutError:
            found = Readback(connected=False, error="the driver does not answer")
        except Exception as failed:  # noqa: BLE001 - a driver's fault is what the readback says
            found = Readback(connected=False, error=str(failed))
        self._accept_readback(found)

    def _accept_readback(self, found: Readback) -> None:
        self._log.note_read(connected=found.connected, error=found.error)
        self.read_at = self._clock.now()
        found = msgspec.structs.replace(found, moving=self._is_moving(found))
        self.readback = found
        outside = None
        if self._running is None:
            outside = self._outside.seen(found, self.read_at)
        if self._listener is not None and (outside is not None or self._is_news(found)):
            self._told_at = self.read_at
            self._shown = found
            self._listener.readback_changed(self.equipment, moving=found.moving is True, outside=outside)

    def _is_moving(self, found: Readback) -> bool:
        """Return whether it moves, also where the driver cannot say: nothing that may move is told as resting."""
        if found.moving is not None:
            return found.moving
        if not found.connected:
            return self.readback.moving is True  # as it was when it was last heard of
        still_goes = self._still.moves(found, self.read_at)
        if self._running is not None:
            self._still.begin_anew(self.read_at)
            return True
        return still_goes

    def _is_news(self, found: Readback) -> bool:
        """Whether a readback is to be told now: what it says has changed, and mere progress waits for its turn."""
        begins_or_ends = (found.moving, found.connected) != (self._shown.moving, self._shown.connected)
        return begins_or_ends or (found != self._shown and self.read_at - self._told_at >= PROGRESS_S)


def _do_nothing(result: object) -> None:
    """Take nothing of what a method returns that has nothing to say."""


def _thread_for(driver: Driver, name: str) -> DriverThread | None:
    """Return a thread for what may wait; a driver that never waits is called on the loop."""
    if driver.blocking:
        return DriverThread(name)
    return None

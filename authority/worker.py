"""One per equipment: calls its driver, one control command at a time, and keeps its readback fresh.

The state task never waits on metal: whatever a driver does, it does in threads of its own, or as a coroutine.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Mapping
from queue import SimpleQueue
from typing import Protocol

from .core.model import Command as Ordered
from .core.model import EquipmentId, Outcome
from .drivers.declare import Command, commands_of
from .ports import Clock, Driver, DriverUnavailable, MotionStopped, Readback

STOP_DEADLINE_S = 1.0
REOPEN_S = 1.0
READ_DEADLINE_S = 2.0
_MOVING_S, _RESTING_S = 0.05, 0.5
_NOTICEABLE = 1e-3

Work = Callable[[], object]


class Told(Protocol):
    """Whom a worker tells what its equipment does."""

    def finished(
        self, equipment: EquipmentId, key: str, outcome: Outcome, data: object, error: str | None, *, moving: bool
    ) -> None:
        """A command is over."""

    def read(self, equipment: EquipmentId, *, moving: bool, outside: float | None) -> None:
        """The readback has changed."""


class Lane:
    """A daemon thread that does one thing after another: a driver that hangs cannot keep the process from ending."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._inbox: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Future[object], Work]] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, work: Work) -> object:
        """Run `work` in the thread and return what it returns."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        self._inbox.put((loop, done, work))
        return await done

    def _work(self) -> None:
        while True:
            loop, done, work = self._inbox.get()
            result: object = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001 - it belongs to whoever awaits
                error = raised
            try:
                loop.call_soon_threadsafe(_settle, done, result, error)
            except RuntimeError:  # the loop has ended
                return


def _settle(done: asyncio.Future[object], result: object, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)


class Worker:
    """The only one who calls a driver. All methods are called on the loop."""

    def __init__(self, equipment: EquipmentId, driver: Driver, clock: Clock, *, label: str | None = None) -> None:
        """Take charge of `driver`; nothing is called before `start`."""
        self.equipment = equipment
        self.driver = driver
        self.kind: str = driver.kind
        self.label = label or equipment
        self.commands: dict[str, Command] = commands_of(driver)
        self.readback = Readback(connected=False, error="not connected yet")
        self.read_at = clock.now()
        self._clock = clock
        self._control = Lane(f"{equipment}-control") if driver.blocking else None
        self._observe = Lane(f"{equipment}-observe") if driver.blocking else None
        self._reader = Lane(f"{equipment}-readback") if driver.blocking else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._running: str | None = None
        self._resting_at: float | None = None
        self._stops = 0
        self._told: Told | None = None

    def start(self, told: Told) -> None:
        """Connect, and keep the readback fresh from now on."""
        self._told = told
        self._spawn(self._keep_reading())

    async def close(self) -> None:
        """End the tasks and let go of the equipment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await self._in(self._reader, self.driver.close)
        except Exception:  # noqa: BLE001 - the process ends; nothing can be done about a driver that will not
            return

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in(self, lane: Lane | None, work: Work) -> object:
        if lane is not None:
            return await lane.call(work)
        result = work()
        return await result if inspect.iscoroutine(result) else result

    def run(self, ordered: Ordered) -> None:
        """Begin a control command; `Told.finished` hears of its end."""
        self._running = ordered.key
        self._spawn(self._run(ordered))
        self._wake.set()

    async def _run(self, ordered: Ordered) -> None:
        stops = self._stops
        outcome, data, error = Outcome.DONE, None, None
        try:
            method = getattr(self.driver, ordered.action)
            data = await self._in(self._control, lambda: method(**ordered.parameters))
            if self._stops != stops:
                outcome, error = Outcome.STOPPED, f"{self.equipment} was stopped"
        except MotionStopped as stopped:
            outcome, error = Outcome.STOPPED, str(stopped) or f"{self.equipment} was stopped"
        except Exception as failed:  # noqa: BLE001 - whatever a driver raises is the command's outcome
            outcome = Outcome.STOPPED if self._stops != stops else Outcome.FAILED
            error = _sentence(failed)
        await self._read()
        self._running = None
        self._resting_at = self.readback.position
        if self._told is not None:
            # A driver that cannot be read may still move: the lock must not pass on a guess.
            moving = self.readback.moving or not self.readback.connected
            self._told.finished(self.equipment, ordered.key, outcome, data, error, moving=moving)
        self._wake.set()

    async def observe(self, action: str, parameters: Mapping[str, object]) -> object:
        """Run an observe command and return its result; raises what the driver raises."""
        method = getattr(self.driver, action)
        return await self._in(self._observe, lambda: method(**parameters))

    async def stop(self) -> bool:
        """Stop all motion; return whether the driver took the order within its deadline."""
        self._stops += 1
        lane = Lane(f"{self.equipment}-stop") if self.driver.blocking else None
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await self._in(lane, self.driver.stop)
                await self._read()
        except Exception:  # noqa: BLE001 - late or failed, it was not delivered
            return False
        self._wake.set()
        return True

    async def _keep_reading(self) -> None:
        await self._open()
        while True:
            await self._read()
            if not self.readback.connected:
                await asyncio.sleep(REOPEN_S)
                await self._open()
                continue
            fast = self.readback.moving or self._running is not None
            self._wake.clear()
            try:
                async with asyncio.timeout(_MOVING_S if fast else _RESTING_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _open(self) -> None:
        try:
            await self._in(self._reader, self.driver.open)
        except Exception as failed:  # noqa: BLE001 - it is tried again
            self._take(Readback(connected=False, moving=self.readback.moving, error=_sentence(failed)))

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                found = await self._in(self._reader, self.driver.readback)
        except DriverUnavailable as down:
            found = Readback(connected=False, moving=self.readback.moving, error=_sentence(down))
        except TimeoutError:
            found = Readback(connected=False, moving=self.readback.moving, error="the driver does not answer")
        except Exception as failed:  # noqa: BLE001 - a driver's fault is what the readback says
            found = Readback(connected=False, moving=self.readback.moving, error=_sentence(failed))
        if isinstance(found, Readback):
            self._take(found)

    def _take(self, found: Readback) -> None:
        changed, self.readback = found != self.readback, found
        self.read_at = self._clock.now()
        outside = self._moved_outside(found)
        if self._told is not None and (changed or outside is not None):
            self._told.read(self.equipment, moving=found.moving, outside=outside)

    def _moved_outside(self, found: Readback) -> float | None:
        """Return the position if it was reached with no command of ours, once at rest again."""
        position, before = found.position, self._resting_at
        if self._running is not None or found.moving or not found.connected or position is None:
            return None
        self._resting_at = position
        return position if before is not None and abs(position - before) > _NOTICEABLE else None


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__

"""One per equipment: calls its driver, one control command at a time, and keeps its readback fresh.

The state task never waits on metal: whatever a driver does, it does in threads of its own, or as a coroutine.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from queue import SimpleQueue
from typing import Protocol

from .core.model import Command as Ordered
from .core.model import EquipmentId, Outcome
from .drivers.declare import Command, declared_by
from .ports import Clock, Driver, DriverUnavailable, MotionStopped, Readback, fence_of_command, overtaken

STOP_DEADLINE_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
READ_DEADLINE_S = 2.0
PROGRESS_S = 0.1
_MOVING_S, _RESTING_S = 0.05, 0.5
_QUIET_S, _LONGEST_QUIET_S = 1.0, 60.0

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
        """Start the thread with its first call: it finds its work there, and need not be woken again for it."""
        self._inbox: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Future[object], Work] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._name = name

    async def call(self, work: Work) -> object:
        """Run `work` in the thread and return what it returns."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        self._inbox.put((loop, done, work))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        return await done

    def end(self) -> None:
        """Let the thread end once it has done what it was given."""
        self._inbox.put(None)

    def _work(self) -> None:
        while (task := self._inbox.get()) is not None:
            loop, done, work = task
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
        self._declared = declared_by(driver)
        self.commands: dict[str, Command] = {name: one.command for name, one in self._declared.items()}
        self.readback = Readback(connected=False, error="not connected yet")
        self.read_at = clock.now()
        self._clock = clock
        self._control = Lane(f"{equipment}-control") if driver.blocking else None
        self._observe = Lane(f"{equipment}-observe") if driver.blocking else None
        self._reader = Lane(f"{equipment}-readback") if driver.blocking else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._running: str | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._resting_at: float | None = None
        self._goes_outside = False
        self._quiet_s, self._quiet_until = _QUIET_S, -math.inf
        self._origin: float | None = None
        self._told_at = -math.inf
        self._shown = self.readback
        self._wanted = asyncio.Event()
        self.stops = 0
        self._stopping = 0
        self._delivered = 0
        self._no_stop = asyncio.Event()
        self._no_stop.set()
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
        finally:
            for lane in (self._control, self._observe, self._reader):
                if lane is not None:
                    lane.end()

    async def stands(self, within_s: float) -> None:
        """Return once the last readback says that it stands, or so many seconds later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.readback.moving:
                    await asyncio.sleep(_MOVING_S)

    async def ended(self) -> None:
        """Return once no command runs, or when one does not end within the deadline of a stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_DEADLINE_S):
                await self._idle.wait()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in(self, lane: Lane | None, work: Work) -> object:
        if lane is not None:
            return await lane.call(work)
        result = work()
        return await result if inspect.iscoroutine(result) else result

    def run(self, ordered: Ordered, stops: int) -> None:
        """Begin a control command, unless a stop came since it was accepted, when `self.stops` was `stops`.

        `Told.finished` hears of its end.
        """
        self._running = ordered.key
        self._origin = self.readback.position
        self._idle.clear()
        self._spawn(self._run(ordered, stops))
        self._wake.set()

    async def _run(self, ordered: Ordered, stops: int) -> None:
        delivered = self._delivered
        outcome, data, error = Outcome.DONE, None, None
        try:
            data = await self._in(self._control, lambda: self._begin(ordered, stops))
        except MotionStopped as stopped:
            outcome, error = Outcome.STOPPED, str(stopped) or f"{self.equipment} was stopped"
        except Exception as failed:  # noqa: BLE001 - whatever a driver raises is the command's outcome
            outcome, error = Outcome.FAILED, _sentence(failed)
        # A stop on its way may be what ended it, and ends what waits behind it before the next can begin.
        await self._no_stop.wait()
        if self._delivered != delivered:
            outcome, error = Outcome.STOPPED, error or f"{self.equipment} was stopped"
        await self._read()
        self._over(ordered, outcome, data, error)

    def _begin(self, ordered: Ordered, stops: int) -> object:
        def stopped() -> bool:
            return self._stopping > 0 or self.stops != stops

        if stopped():
            raise MotionStopped(f"{self.equipment} was stopped before the command began")
        fence_of_command.set(ordered.fence)
        overtaken.set(stopped)
        return self._declared[ordered.action].run(**ordered.parameters)

    def _over(self, ordered: Ordered, outcome: Outcome, data: object, error: str | None) -> None:
        # A driver that cannot be read may still move: the lock must not pass on a guess.
        moving = self.readback.moving or not self.readback.connected
        self._running = None
        self._idle.set()
        # What still moves by our order comes to rest elsewhere, and nobody moved it there.
        self._resting_at = None if moving else self.readback.position
        if self._told is not None:
            self._told.finished(self.equipment, ordered.key, outcome, data, error, moving=moving)
        self._wake.set()

    def answers_at_once(self, action: str) -> bool:
        """Whether an observe command has its result without any waiting."""
        return self._observe is None and not inspect.iscoroutinefunction(self._declared[action].run)

    async def observe(self, action: str, parameters: Mapping[str, object]) -> object:
        """Run an observe command and return its result; raises what the driver raises."""
        return await self._in(self._observe, lambda: self._declared[action].run(**parameters))

    async def stop(self) -> bool:
        """Stop all motion; return whether the driver took the order within its deadline."""
        deadline = asyncio.get_running_loop().time() + STOP_DEADLINE_S
        with self.stopping():
            delivered = await self._deliver(deadline)
            self._delivered += delivered
            if delivered:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await self._read()
        self._wake.set()
        return delivered

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

    async def _deliver(self, deadline: float) -> bool:
        lane = Lane(f"{self.equipment}-stop") if self.driver.blocking else None
        try:
            async with asyncio.timeout_at(deadline):
                await self._in(lane, self.driver.stop)
        except Exception:  # noqa: BLE001 - late or failed, it was not delivered
            return False
        finally:
            if lane is not None:
                lane.end()
        return True

    @property
    def fraction(self) -> float | None:
        """How much of the way our command has gone, 0 to 1; None where that cannot be told."""
        r, origin = self.readback, self._origin
        if self._running is None or origin is None or r.position is None or r.target is None or r.target == origin:
            return None
        return round(min(1.0, max(0.0, (r.position - origin) / (r.target - origin))), 4)

    def seek(self) -> None:
        """Try at once to reach equipment that is down: somebody wants it."""
        self._wanted.set()

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
            fast = self.readback.moving or self._running is not None
            self._wake.clear()
            try:
                async with asyncio.timeout(_MOVING_S if fast else _RESTING_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _pause(self, seconds: float) -> None:
        """Leave a driver that is down alone for `seconds`, less when somebody wants it, but not less than at first."""
        self._wanted.clear()
        await asyncio.sleep(FIRST_PAUSE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - FIRST_PAUSE_S):
                await self._wanted.wait()

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
        self.readback = found
        self.read_at = self._clock.now()
        outside = self._moved_outside(found)
        if self._told is not None and (outside is not None or self._is_news(found)):
            self._told_at, self._shown = self.read_at, found
            self._told.read(self.equipment, moving=found.moving, outside=outside)

    def _is_news(self, found: Readback) -> bool:
        """Whether a readback is to be told now: what it says has changed, and mere progress waits for its turn."""
        begins_or_ends = (found.moving, found.connected) != (self._shown.moving, self._shown.connected)
        return begins_or_ends or (found != self._shown and self.read_at - self._told_at >= PROGRESS_S)

    def _moved_outside(self, found: Readback) -> float | None:
        """Return the position if it was reached with no command of ours: when that begins, and once at rest again.

        It is compared with where it rested, not with the last readback: noise tells nothing, and a slow drift does.
        """
        position, rested = found.position, self._resting_at
        if self._running is not None or not found.connected or position is None:
            return None
        goes_on = self._goes_outside and found.moving
        self._goes_outside = goes_on
        if rested is None or goes_on or abs(position - rested) <= found.tolerance:
            if rested is None and not found.moving:
                self._resting_at = position
            return None
        if self.read_at < self._quiet_until:
            return None
        # What trembles without end is told ever more rarely; where it rests is told in the end.
        trembles = self.read_at - self._quiet_until < _LONGEST_QUIET_S
        self._quiet_s = min(2 * self._quiet_s, _LONGEST_QUIET_S) if trembles else _QUIET_S
        self._quiet_until = self.read_at + self._quiet_s
        self._goes_outside, self._resting_at = found.moving, position
        return position


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__

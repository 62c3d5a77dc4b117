"""Keeps the connection to one driver and its readback fresh, and tells a listener what has changed."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Protocol

import msgspec

from .core.model import EquipmentId
from .device_log import DeviceLog
from .driver_calls import DriverThread, call_driver, take_nothing
from .driver_values import plain_fence, plain_readback
from .motion_seen import MotionWatch
from .ports import Clock, Driver, Readback

FIRST_RECONNECT_PAUSE_S = 0.5
LONGEST_RECONNECT_PAUSE_S = 15.0
READ_DEADLINE_S = 2.0
ACTIVE_INTERVAL_S = 0.05  # between two readbacks while it moves or a command runs
RESTING_INTERVAL_S = 0.5


class ReadbackListener(Protocol):
    """Whom a watch tells what its equipment does."""

    def readback_changed(self, equipment: EquipmentId, *, moving: bool, outside: float | None) -> None:
        """The readback has changed."""

    def stop_obeyed(self, equipment: EquipmentId, fence: int) -> None:
        """The device says that it has obeyed this fence."""


class ReadbackWatch:
    """Opens a driver again until it answers, and reads it again and again."""

    def __init__(
        self, equipment: EquipmentId, driver: Driver, clock: Clock, log: DeviceLog, thread: DriverThread | None
    ) -> None:
        """Take the thread in which the driver is opened and read, None for a driver that never waits."""
        self.readback = Readback(connected=False, moving=False, error="not connected yet")
        self.read_at = clock.now()
        self.listener: ReadbackListener | None = None
        self._equipment = equipment
        self._driver = driver
        self._clock = clock
        self._log = log
        self._thread = thread
        self._motion = MotionWatch(self.readback)
        self._wake = asyncio.Event()
        self._reconnect_wanted = asyncio.Event()

    @property
    def fraction(self) -> float | None:
        """How much of the way our command has gone, 0 to 1; None where that cannot be told."""
        return self._motion.fraction(self.readback)

    def command_began(self) -> None:
        """Look at once and often, from now on: motion is ours."""
        self._motion.command_began(self.readback)
        self._wake.set()

    def command_ended(self) -> bool:
        """Take motion for that of others again; return whether it may still move by our order."""
        # A driver that cannot be read may still move: the lock must not pass on a guess.
        moving = self.readback.moving is True or not self.readback.connected
        self._motion.command_ended(msgspec.structs.replace(self.readback, moving=moving))
        self._wake.set()
        return moving

    async def read_after_stop(self, deadline: float) -> None:
        """Read what a stop that was delivered has done, until `deadline` in the loop's seconds at most."""
        self._motion.stop_delivered(self._clock.now())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self.read()

    def read_soon(self) -> None:
        """Look at once."""
        self._wake.set()

    def reconnect_soon(self) -> None:
        """Try at once to reach equipment that is down: somebody wants it."""
        self._reconnect_wanted.set()

    async def wait_until_resting(self, within_s: float) -> None:
        """Return once the last readback says that it stands, or so many seconds later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.readback.moving:
                    await asyncio.sleep(ACTIVE_INTERVAL_S)

    async def keep_reading(self) -> None:
        """Open the driver and read it, for ever."""
        await self._open()
        pause = FIRST_RECONNECT_PAUSE_S
        while True:
            await self.read()
            if self.readback.connected:
                pause = FIRST_RECONNECT_PAUSE_S
                await self._wait_for_next()
            else:
                await self._pause(pause)
                pause = min(2 * pause, LONGEST_RECONNECT_PAUSE_S)
                await self._open()

    async def _wait_for_next(self) -> None:
        interval = RESTING_INTERVAL_S
        if self.readback.moving or self._motion.command_runs:
            interval = ACTIVE_INTERVAL_S
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval):
                await self._wake.wait()

    async def _pause(self, seconds: float) -> None:
        """Leave a driver that is down alone for `seconds`, less when somebody wants it, but not less than at first."""
        self._reconnect_wanted.clear()
        await asyncio.sleep(FIRST_RECONNECT_PAUSE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - FIRST_RECONNECT_PAUSE_S):
                await self._reconnect_wanted.wait()

    async def _open(self) -> None:
        try:
            await call_driver(self._thread, self._driver.open, take_nothing)
            fence = await call_driver(self._thread, partial(getattr, self._driver, "highest_fence", 0), plain_fence)
        except Exception as failed:  # noqa: BLE001 - it is tried again
            self._accept(Readback(connected=False, error=str(failed)))
            return
        if self.listener is not None and fence > 0:
            self.listener.stop_obeyed(self._equipment, fence)

    async def read(self) -> None:
        """Read the driver once, and tell what has changed."""
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                found = await call_driver(self._thread, self._driver.readback, plain_readback)
        except TimeoutError:
            found = Readback(connected=False, error="the driver does not answer")
        except Exception as failed:  # noqa: BLE001 - a driver's fault is what the readback says
            found = Readback(connected=False, error=str(failed))
        self._accept(found)

    def _accept(self, found: Readback) -> None:
        self._log.note_read(connected=found.connected, error=found.error)
        now = self.read_at = self._clock.now()
        moving = self._motion.is_moving(found, before=self.readback, now=now)
        self.readback = msgspec.structs.replace(found, moving=moving)
        outside = self._motion.moved_outside(self.readback, now)
        if self.listener is not None and (outside is not None or self._motion.is_news(self.readback, now)):
            self._motion.note_shown(self.readback, now)
            self.listener.readback_changed(self._equipment, moving=moving, outside=outside)

"""Gives one driver the order to stop, in a call of its own, and lets no command begin that a stop overtook."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import msgspec

from .core.model import EquipmentId
from .driver_calls import call_driver, take_nothing, thread_for
from .ports import STOP_DEADLINE_S, Driver, StopSource, StopToken, can_stop

NOTHING_TO_STOP = "it has nothing to stop"


class StopResult(msgspec.Struct, frozen=True):
    """Whether the driver has taken a stop; `error` says why not, or that there is nothing to stop."""

    delivered: bool
    error: str | None = None

    def __bool__(self) -> bool:
        """Whether it was delivered."""
        return self.delivered


class StopDelivery:
    """The stops of one driver. All methods are called on the loop."""

    def __init__(self, equipment: EquipmentId, driver: Driver) -> None:
        """Begin without a stop."""
        self._equipment = equipment
        self._driver = driver
        self._source = StopSource()
        self._none_under_way = asyncio.Event()
        self._none_under_way.set()

    def token(self) -> StopToken:
        """Return the stop token of a command that is accepted now."""
        return self._source.token()

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Let no command begin that was accepted before or is accepted meanwhile."""
        self._none_under_way.clear()
        try:
            with self._source.stopping():
                yield
        finally:
            if not self._source.under_way:
                self._none_under_way.set()

    async def wait_until_none_under_way(self) -> None:
        """Return once no stop is on its way."""
        await self._none_under_way.wait()

    async def deliver(self, deadline: float) -> StopResult:
        """Call the driver's stop; return whether it took the order before `deadline`, in the loop's seconds."""
        thread = thread_for(self._driver, f"{self._equipment}-stop")
        try:
            async with asyncio.timeout_at(deadline):
                await call_driver(thread, self._driver.stop, take_nothing)
        except TimeoutError:
            return StopResult(False, f"no answer within {STOP_DEADLINE_S:g} s")
        except Exception as failed:  # noqa: BLE001 - whatever a driver raises, the stop was not delivered
            return StopResult(False, str(failed))
        finally:
            if thread is not None:
                thread.end()
        if not can_stop(self._driver):
            return StopResult(True, NOTHING_TO_STOP)
        self._source.token().delivered = True
        return StopResult(True)

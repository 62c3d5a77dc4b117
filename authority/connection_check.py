"""Reach every device of a lab once, side by side: `motorlock check --connect`.

A device is opened and read as the authority does it; nothing is moved and nothing is set. What an authority of this
machine drives is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager

from .clock import SystemClock
from .core.model import EquipmentId, Outcome
from .equipment_settings import EquipmentSettings
from .exclusive_files import AlreadyInUse, lock_device
from .ports import Readback
from .worker import Worker

DEADLINE_S = 10.0


@asynccontextmanager
async def read_devices(
    equipment: tuple[EquipmentSettings, ...], *, deadline_s: float = DEADLINE_S
) -> AsyncIterator[Mapping[EquipmentId, Readback]]:
    """Give what each device says of itself, `connected=False` and why where it says nothing; close them at the end."""
    workers: list[Worker] = []
    with ExitStack() as held:
        try:
            found = await asyncio.gather(*(_read_device(one, held, workers, deadline_s) for one in equipment))
            yield {one.id: readback for one, readback in zip(equipment, found, strict=True)}
        finally:
            await asyncio.gather(*(worker.close() for worker in workers))


async def _read_device(one: EquipmentSettings, held: ExitStack, workers: list[Worker], deadline_s: float) -> Readback:
    address = one.driver.address
    try:
        if address is not None:
            held.enter_context(lock_device(address, one.id))
    except (AlreadyInUse, OSError) as error:
        return Readback(connected=False, error=str(error))
    worker = Worker(one.id, one.driver, SystemClock(), label=one.label)
    listener = _FirstReadback()
    workers.append(worker)
    worker.start(listener)
    try:
        async with asyncio.timeout(deadline_s):
            await listener.arrived.wait()
    except TimeoutError:
        return Readback(connected=False, error=f"it did not answer within {deadline_s:g} s")
    return worker.readback


class _FirstReadback:
    """Waits for the first readback of a worker."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()

    def readback_changed(self, equipment: EquipmentId, *, moving: bool, outside: float | None) -> None:  # noqa: ARG002
        self.arrived.set()

    def stop_obeyed(self, equipment: EquipmentId, fence: int) -> None:
        """Hear of no fence, because nothing is commanded under one."""

    def command_finished(
        self, equipment: EquipmentId, key: str, outcome: Outcome, data: object, error: str | None, *, moving: bool
    ) -> None:
        """Hear of no command, because none is given."""

"""How long a STOP takes from the request to the driver's call: idle, under load, and while the driver hangs.

The driver rings a pipe with the time of its stop call; the floor is the same request to a route that answers with the
time it was called at. Both clocks are the machine's monotonic one.
"""

from __future__ import annotations

import asyncio
import os
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from authority.drivers.declare import control, observe
from authority.ports import Readback

from .load import Connection, repeat

OBSERVERS, IN_AND_OUT = 48, 16
_TIME = struct.Struct("d")
T = TypeVar("T")


class BellMotor:
    """Moves nothing; its stop rings the pipe `bell`."""

    kind: ClassVar[str] = "motor"
    blocking: ClassVar[bool] = False
    address = None

    def __init__(self, bell: str) -> None:
        """Ring the pipe at this path."""
        self._path = bell
        self._bell = -1

    @observe
    def position(self) -> float:
        """Tell nothing."""
        return 0.0

    def open(self) -> None:
        """Take hold of the pipe, which somebody reads already."""
        if self._bell < 0:
            self._bell = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)

    def close(self) -> None:
        """Keep the pipe: a stop may still come."""

    def readback(self) -> Readback:
        """At rest, always."""
        return Readback(moving=False, position=0.0, units="mm")

    def stop(self) -> None:
        """Ring."""
        os.write(self._bell, _TIME.pack(time.monotonic()))

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Everything is allowed."""


class HangingMotor(BellMotor):
    """One whose calls block, and of which one never returns."""

    blocking: ClassVar[bool] = True

    @control
    def hang(self) -> float:
        """Never return."""
        threading.Event().wait()
        return 0.0


async def stamp(request: Request) -> Response:
    """Answer when this was called."""
    called = time.monotonic()
    await request.body()
    return Response(repr(called).encode(), 200, {"content-type": "application/json"})


def lab(place: Path) -> str:
    """Return the lab file's part for the motors that are stopped, and make their pipes."""
    parts = []
    for name, driver in (("bell", "BellMotor"), ("hanging", "HangingMotor")):
        os.mkfifo(place / name)
        parts.append(
            f'[equipment.{name}]\ndriver = "benchmarks.stop:{driver}"\n'
            f'[equipment.{name}.options]\nbell = "{place / name}"\n'
        )
    return "".join(parts)


class StopBench:
    """The pipes, held open from before the server starts."""

    def __init__(self, place: Path) -> None:
        """Read the pipes at `place`."""
        self._bells = {name: os.open(place / name, os.O_RDONLY | os.O_NONBLOCK) for name in ("bell", "hanging")}

    def close(self) -> None:
        """Let go of the pipes."""
        for bell in self._bells.values():
            os.close(bell)

    async def times(self, url: str, name: str, seconds: float) -> tuple[list[float], list[float]]:
        """Return how long stops of one motor, and the floor's requests between them, took in seconds."""
        c, e = await Connection(url).open(), await Connection(url).open()
        stop = c.request("POST", f"/api/equipment/{name}/stop", {"user": "Cem"})
        floor = e.request("POST", "/stamp", {"user": "Cem"})
        with suppress(BlockingIOError):
            os.read(self._bells[name], 1 << 16)
        ours: list[float] = []
        theirs: list[float] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            await c.send(stop)
            ours += [at - began for (at,) in _TIME.iter_unpack(os.read(self._bells[name], _TIME.size))]
            began = time.monotonic()
            theirs.append(float(await e.send(floor)) - began)
        c.close()
        e.close()
        return ours, theirs

    async def spaced(self, url: str, name: str, seconds: float, every_s: float) -> tuple[list[float], list[float]]:
        """Return how long stops, one after another, took to the driver's call and to their reply, in seconds."""
        connection = await Connection(url).open()
        stop = connection.request("POST", f"/api/equipment/{name}/stop", {"user": "Cem"})
        with suppress(BlockingIOError):
            os.read(self._bells[name], 1 << 16)
        delivered: list[float] = []
        replied: list[float] = []
        until = time.monotonic() + seconds
        while (began := time.monotonic()) < until:
            await connection.send(stop)
            replied.append(time.monotonic() - began)
            delivered += [at - began for (at,) in _TIME.iter_unpack(os.read(self._bells[name], _TIME.size))]
            await asyncio.sleep(every_s)
        connection.close()
        return delivered, replied


async def under_load(seconds: float, load: list[Callable[[], Awaitable[object]]], work: Awaitable[T]) -> T:
    """Do `work` while every one of `load` is repeated without a pause."""
    noise = asyncio.gather(*(repeat(seconds + 0.5, once) for once in load))
    await asyncio.sleep(0.2)
    result = await work
    await noise
    return result

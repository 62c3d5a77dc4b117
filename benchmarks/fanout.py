"""What a crowd of notebooks costs: STOP while locks change and everybody is told, opening, memory, the last to hear.

Each notebook is a session with a keeper's stream, a feed and a watcher, whose keeper beats every 2 s. Locks change all
the while: ten are taken and given back in each second.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import psutil

from .load import Connection
from .stop import StopBench

CROWDS = (0, 500, 1000)
LOCKS = 10
MOTORS = 16
STOP_EVERY_S = 0.02
LAB = "\n".join(f'[equipment.m{i}]\ndriver = "benchmarks.null:NullMotor"\n' for i in range(MOTORS))


class Crowd:
    """The process of all notebooks."""

    def __init__(self, commands: IO[str], answers: IO[str]) -> None:
        """Talk to it over its pipes."""
        self._commands = commands
        self._answers = answers

    def _say(self, line: str) -> None:
        self._commands.write(f"{line}\n")
        self._commands.flush()

    async def _answer(self) -> str:
        line = await asyncio.to_thread(self._answers.readline)
        if not line:
            raise RuntimeError("the process of the notebooks has ended")
        return line.strip()

    async def open(self, count: int) -> float:
        """Open so many more notebooks; return the seconds that took."""
        self._say(f"open {count}")
        return float(await self._answer())

    async def ended(self) -> int:
        """Return how many streams were closed by the authority."""
        self._say("ended")
        return int(await self._answer())

    async def expect(self, mark: str) -> None:
        """Have everybody wait for `mark`."""
        self._say(f"mark {mark}")
        assert await self._answer() == "waiting"

    async def last_time(self) -> float:
        """Return the monotonic time at which the last listener had the mark."""
        return float(await self._answer())

    def end(self) -> None:
        """Close all streams."""
        self._say("end")


@contextmanager
def crowd(url: str) -> Iterator[Crowd]:
    """Run the process of the notebooks, and end it."""
    command = [sys.executable, "-m", "benchmarks.listeners", url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    notebooks = Crowd(process.stdin, process.stdout)
    try:
        yield notebooks
        notebooks.end()
        process.wait(20)
    finally:
        process.kill()
        process.wait()


class FanoutBench:
    """The measurements with 0, 500 and 1,000 notebooks."""

    def __init__(self, url: str, server: int, bells: StopBench, seconds: float) -> None:
        """Measure the authority at `url`, whose process has the id `server`, for so many seconds at each size."""
        self._url = url
        self._server = psutil.Process(server)
        self._bells = bells
        self._seconds = seconds
        self._notes = itertools.count()

    async def run(self, notebooks: Crowd) -> None:
        """Measure all, and print it."""
        print(f"{'':<58} {'p50':>9} {'p99':>9} {'longest':>9}")
        memory = self._server.memory_info().rss
        opened = 0
        for size in CROWDS:
            if size > opened:
                took = await notebooks.open(size - opened)
                self._row(f"opening {size - opened} notebooks (3 streams each) on {opened}", [took], "s", 1)
                opened = size
                await asyncio.sleep(2.0)
            await self._stops(size)
            if size:
                await self._lock_changes(size, notebooks)
        if ended := await notebooks.ended():
            print(f"{ended} streams were closed: these figures are not true")
        grown = (self._server.memory_info().rss - memory) / opened / 1024
        self._row("memory per notebook (a session and three streams)", [grown], "KiB", 1)

    async def _stops(self, size: int) -> None:
        changing = asyncio.create_task(self._change_locks())
        await asyncio.sleep(0.5)
        delivered, replied = await self._bells.spaced(self._url, "bell", self._seconds, STOP_EVERY_S)
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        self._row(f"STOP -> the driver's call, {size} notebooks", delivered, "ms", 1000)
        self._row(f"STOP -> its reply, {size} notebooks", replied, "ms", 1000)

    async def _change_locks(self) -> None:
        connection, session = await self._session()
        for number in itertools.count():
            lock = {"equipment_id": f"m{number % LOCKS}", "session_id": session}
            await connection.call("POST", "/api/locks/acquire", lock)
            await asyncio.sleep(0.5 / LOCKS)
            await connection.call("POST", "/api/locks/release", lock)
            await asyncio.sleep(0.5 / LOCKS)

    async def _session(self) -> tuple[Connection, str]:
        connection = await Connection(self._url).open()
        body = {"client_name": "changes locks", "timeout_seconds": 0}
        return connection, str((await connection.call("POST", "/api/locks/sessions/create", body))["session_id"])

    async def _lock_changes(self, size: int, notebooks: Crowd) -> None:
        connection, session = await self._session()
        took = []
        for _ in range(20):
            note = f"mark-{next(self._notes)}-"
            lock = {"equipment_id": "m15", "session_id": session}
            await notebooks.expect(note)
            began = time.monotonic()
            await connection.call("POST", "/api/locks/acquire", lock | {"note": note})
            took.append(await notebooks.last_time() - began)
            await connection.call("POST", "/api/locks/release", lock)
            await asyncio.sleep(0.1)
        self._row(f"a lock change -> the last of {2 * size} listeners", took, "ms", 1000)

    def _row(self, what: str, took: list[float], unit: str, factor: float) -> None:
        if len(took) == 1:
            print(f"{what:<58} {took[0]:>9.2f} {unit}", flush=True)
            return
        cut = statistics.quantiles(took, n=100)
        figures = " ".join(f"{factor * value:>9.2f}" for value in (statistics.median(took), cut[98], max(took)))
        print(f"{what:<58} {figures} {unit} ({len(took)} times)", flush=True)

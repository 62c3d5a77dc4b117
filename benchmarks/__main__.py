"""Runs everything and prints one table: what was measured, its floor in the same run, the ratio, the target."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import uvloop

from . import cells, decisions, exits, fanout, floor, stop
from .kernel import kernel_side
from .load import Connection, crowd, repeat

LAB = "\n".join(f'[equipment.m{i}]\ndriver = "benchmarks.null:NullMotor"\n' for i in range(160))


class Row:
    """One line of the table, from several rounds of (ours, floor)."""

    def __init__(self, what: str, floor_name: str, target: str, unit: str) -> None:
        """Begin without rounds."""
        self.what, self.floor_name, self.target, self.unit = what, floor_name, target, unit
        self.rounds: list[tuple[float, float]] = []

    def print(self) -> None:
        """Print medians and the median ratio."""
        ours, theirs = median(a for a, _ in self.rounds), median(b for _, b in self.rounds)
        ratios = [a / b for a, b in self.rounds]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        name = f"{self.what:<58}"
        print(
            f"{name} {ours:>9.1f} {theirs:>9.1f} {self.unit:<6} {median(ratios):>6.2f} ({spread})  {self.target}",
            flush=True,
        )


@contextlib.contextmanager
def server(arguments: list[str], core: int) -> Iterator[tuple[str, int]]:
    """Run a server on one core and give its address and process id."""
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        line = process.stdout.readline()
        yield re.search(r"http://\S+", line)[0], process.pid  # type: ignore[index]
    finally:
        process.terminate()
        process.wait(10)


async def _session(c: Connection, name: str) -> str:
    body = {"client_name": name, "timeout_seconds": 0}
    return str((await c.call("POST", "/api/locks/sessions/create", body))["session_id"])


def _command(eq: str, action: str, session: str) -> dict[str, object]:
    return {"command_id": "c", "equipment_id": eq, "action": action, "parameters": {}, "session_id": session}


class Bench:
    """The measurements that go over HTTP."""

    def __init__(self, url: str, data: Path, seconds: float, rounds: int) -> None:
        """Measure the authority at `url` beside the floors there."""
        self.url, self.data, self.seconds, self.rounds = url, data, seconds, rounds

    async def run(self) -> None:
        """Run all."""
        await self.commands()
        await self.crowded()
        await self.transitions()
        await self.handover()

    async def stops(self, bench: stop.StopBench) -> None:
        """STOP until the driver's call, beside the same request until its route's: idle, under load, driver hanging."""
        load = [await self._watching(f"m{36 + i % 16}") for i in range(stop.OBSERVERS)]
        load += [await self._in_and_out(f"m{52 + i}") for i in range(stop.IN_AND_OUT)]
        once = [one for _, one in load]
        c, session = await self._holder("hanging")
        hang = _command("hanging", "hang", session) | {"wait_seconds": 0}
        await c.call("POST", "/api/equipment/hanging/command", hang)
        cases = {
            "STOP -> the driver's call, idle": ("bell", []),
            "STOP, 64 clients observe, log in and out": ("bell", once),
            "STOP while the driver hangs": ("hanging", []),
            "STOP while it hangs, 64 clients": ("hanging", once),
        }
        for what, (name, noise) in cases.items():
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(self.rounds):
                work = bench.times(self.url, name, self.seconds)
                took = await stop.under_load(self.seconds, noise, work)
                ours, theirs = ours + took[0], theirs + took[1]
            for part, target in ((50, ""), (99, "< 20 ms")):
                row = Row(f"{what}, p{part}", "to a route", target, "us")
                cut = [1e6 * statistics.quantiles(took, n=100)[part - 1] for took in (ours, theirs)]
                row.rounds.append((cut[0], cut[1]))
                row.print()
        for connection, _ in [*load, (c, None)]:
            connection.close()

    async def _watching(self, eq: str):
        c = await Connection(self.url).open()
        session = await _session(c, f"watches {eq}")
        body = {"equipment_id": eq, "session_id": session, "lock_mode": "observer"}
        await c.call("POST", "/api/locks/acquire", body)
        observe = c.request("POST", f"/api/equipment/{eq}/command", _command(eq, "position", session))
        return c, lambda: c.send(observe)

    async def _holder(self, eq: str) -> tuple[Connection, str]:
        c = await Connection(self.url).open()
        session = await _session(c, eq)
        await c.call("POST", "/api/locks/acquire", {"equipment_id": eq, "session_id": session, "timeout_seconds": 0})
        return c, session

    async def commands(self) -> None:
        """One client: observe and control, beside echo and raw commits; then control under load."""
        c, session = await self._holder("m0")
        e = await Connection(self.url).open()
        echo = e.request("POST", "/echo", _command("m0", "nudge", session))
        observe = c.request("POST", "/api/equipment/m0/command", _command("m0", "position", session))
        control = c.request("POST", "/api/equipment/m0/command", _command("m0", "nudge", session))
        rows = [
            Row("observe command, 1 client, p50", "echo", "<= 1.25", "us"),
            Row("control command, 1 client, p50, beside echo + 2.5 commits", "floor", "<= 1", "us"),
            Row("control command while 16 log in and out, p50, beside echo", "echo", "<= 1.2", "us"),
        ]
        for _ in range(self.rounds):
            floor_s = median(await repeat(self.seconds, lambda: e.send(echo)))
            rows[0].rounds.append((1e6 * median(await repeat(self.seconds, lambda: c.send(observe))), 1e6 * floor_s))
            raw = median(floor.commits(300, self.data))
            ours = median(await repeat(self.seconds, lambda: c.send(control)))
            rows[1].rounds.append((1e6 * ours, 1e6 * (floor_s + 2.5 * raw)))
            rows[2].rounds.append(await self._under_load(c, control, e, echo))
        for row in rows:
            row.print()
        c.close()
        e.close()

    async def _under_load(self, c: Connection, control: bytes, e: Connection, echo: bytes) -> tuple[float, float]:
        others = [await self._in_and_out(f"m{i}") for i in range(20, 36)]
        noise = asyncio.gather(*(repeat(2.4 * self.seconds, once) for _, once in others))
        await asyncio.sleep(0.1)
        ours = median(await repeat(self.seconds, lambda: c.send(control)))
        theirs = median(await repeat(self.seconds, lambda: e.send(echo)))
        await noise
        for connection, _ in others:
            connection.close()
        return 1e6 * ours, 1e6 * theirs

    async def _in_and_out(self, eq: str):
        c = await Connection(self.url).open()
        session = await _session(c, eq)
        body = {"equipment_id": eq, "session_id": session}
        login, logout = c.request("POST", "/api/locks/acquire", body), c.request("POST", "/api/locks/release", body)

        async def once() -> None:
            await c.send(login)
            await c.send(logout)

        return c, once

    async def crowded(self) -> None:
        """64 clients observe, beside 64 that echo."""
        row = Row("observe commands/s, 64 clients", "echo", ">= 0.85", "1/s")
        holders = [await self._holder(f"m{i}") for i in range(1, 17)]
        mine, theirs, connections = [], [], []
        for i in range(64):
            _, session = holders[i % 16]
            c, e = await Connection(self.url).open(), await Connection(self.url).open()
            connections += [c, e]
            body = _command(f"m{1 + i % 16}", "position", session)
            observe = c.request("POST", f"/api/equipment/m{1 + i % 16}/command", body)
            echo = e.request("POST", "/echo", body)
            mine.append(lambda c=c, r=observe: c.send(r))
            theirs.append(lambda e=e, r=echo: e.send(r))
        for _ in range(self.rounds):
            floor_rate = await crowd(self.seconds, theirs)
            row.rounds.append((await crowd(self.seconds, mine), floor_rate))
        row.print()
        for c in connections:
            c.close()

    async def transitions(self) -> None:
        """Durable logins and logouts beside raw commits, one each."""
        for clients, target in ((1, ">= 0.33"), (16, ">= 1.5"), (64, ">= 1.8")):
            row = Row(f"durable login + logout transitions/s, {clients} clients", "raw commit", target, "1/s")
            others = [await self._in_and_out(f"m{i}") for i in range(90, 90 + clients)]
            for _ in range(self.rounds):
                raw = 1 / statistics.mean(floor.commits(500, self.data))
                row.rounds.append((2 * await crowd(self.seconds, [once for _, once in others]), raw))
            row.print()
            for c, _ in others:
                c.close()

    async def handover(self) -> None:
        """Release until the next holder has the push, beside a raw commit and one pushed message."""
        row = Row("release -> the next holder's push, p50", "commit + push", "<= 3", "us")
        a, ann = await self._holder("m79")
        b = await Connection(self.url).open()
        bob = await _session(b, "bob")
        feed = await Connection(self.url).open()
        await feed.listen("/api/events?after=999999999")
        bell, ringer = await Connection(self.url).open(), await Connection(self.url).open()
        await bell.listen("/listen")
        ring = ringer.request("POST", "/ring")
        for _ in range(self.rounds):
            ours = [await self._pass_on(a, ann, b, bob, feed) for _ in range(int(100 * self.seconds))]
            pushes = []
            for _ in range(int(100 * self.seconds)):
                began = time.perf_counter()
                heard = asyncio.ensure_future(bell.hear(b"data: "))
                await ringer.send(ring)
                await heard
                pushes.append(time.perf_counter() - began)
            floor_s = median(floor.commits(300, self.data)) + median(pushes)
            row.rounds.append((1e6 * median(ours), 1e6 * floor_s))
        row.print()

    async def _pass_on(self, a: Connection, ann: str, b: Connection, bob: str, feed: Connection) -> float:
        mine, wait = {"equipment_id": "m79", "session_id": ann}, {"equipment_id": "m79", "session_id": bob}
        await b.call("POST", "/api/locks/acquire", wait | {"queue_if_busy": True})
        release = a.request("POST", "/api/locks/release", mine)
        began = time.perf_counter()
        heard = asyncio.ensure_future(feed.hear(b'"from_queue":true'))
        await a.send(release)
        await heard
        took = time.perf_counter() - began
        await b.call("POST", "/api/locks/release", wait)
        await a.call("POST", "/api/locks/acquire", mine)
        return took


def run_fanout(seconds: float) -> None:
    """Measure a crowd of notebooks, on an authority of its own."""
    with tempfile.TemporaryDirectory(prefix="motorlock-bench-") as where:
        data = Path(where)
        (data / "lab.toml").write_text(fanout.LAB + stop.lab(data))
        bells = stop.StopBench(data)
        arguments = ["benchmarks.server", str(data / "lab.toml"), str(data / "data")]
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        with server(arguments, 0) as (url, process_id), fanout.crowd(url) as notebooks, runner:
            runner.run(fanout.FanoutBench(url, process_id, bells, seconds).run(notebooks))
        bells.close()


def main() -> None:
    """Parse the line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="per measurement and round")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; medians are printed")
    parser.add_argument("--only", choices=["stop", "exits", "cells", "fanout"], help="measure this alone")
    arguments = parser.parse_args()
    if arguments.only in (None, "cells"):
        cells.run(arguments.rounds)
    if arguments.only in (None, "exits"):
        exits.run(arguments.rounds if arguments.only else 1)
    if arguments.only in (None, "fanout"):
        run_fanout(10 * arguments.seconds)
    if arguments.only in ("cells", "exits", "fanout"):
        return
    print(f"{'':<58} {'ours':>9} {'floor':>9} {'':<6} {'ratio':>6} (spread)  target")
    with tempfile.TemporaryDirectory(prefix="motorlock-bench-") as where:
        data = Path(where)
        (data / "lab.toml").write_text(LAB + stop.lab(data))
        bells = stop.StopBench(data)
        with server(["benchmarks.server", str(data / "lab.toml"), str(data / "data")], 0) as (url, _):
            os.sched_setaffinity(0, {(os.cpu_count() or 1) - 1})
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                bench = Bench(url, data, arguments.seconds, arguments.rounds)
                if arguments.only is None:
                    runner.run(bench.run())
                runner.run(bench.stops(bells))
            if arguments.only is None:
                kernel_side(url, arguments.rounds)
        bells.close()
        if arguments.only is None:
            decisions.run(data)


if __name__ == "__main__":
    main()

"""A stop is begun ahead of the crowd that waits to be served."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from starlette.types import Message, Receive, Scope, Send

from authority.api.stop_first import REQUESTS_PER_LOOP_TURN, StopFirstScheduler

CROWD = 64


class Begun:
    """An application that notes in which order requests are begun."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])


async def nothing() -> Message:
    return {}


async def nowhere(message: Message) -> None:
    return None


def asked(scheduler: StopFirstScheduler, path: str) -> asyncio.Task[None]:
    scope = {"type": "http", "path": path}
    return asyncio.ensure_future(scheduler(scope, nothing, nowhere))


def test_a_stop_is_begun_before_a_crowd_that_came_first() -> None:
    """SAFE-7"""

    async def run() -> list[str]:
        begun = Begun()
        scheduler = StopFirstScheduler(begun)
        crowd = [asked(scheduler, f"/api/equipment/m{n}/command") for n in range(CROWD)]
        await asyncio.sleep(0)
        stop = asked(scheduler, "/api/equipment/m7/stop")
        await asyncio.gather(stop, *crowd)
        return begun.paths

    paths = asyncio.run(run())
    stop = paths.index("/api/equipment/m7/stop")
    assert stop <= 2 * REQUESTS_PER_LOOP_TURN, f"{stop} others were begun before it"
    assert [p for p in paths if p.endswith("command")] == [f"/api/equipment/m{n}/command" for n in range(CROWD)]


def test_who_comes_alone_is_begun_at_once_and_nothing_turns_when_nobody_waits() -> None:
    """SAFE-7"""

    async def run() -> tuple[list[str], list[object]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        begun = Begun()
        scheduler = StopFirstScheduler(begun)
        alone = asked(scheduler, "/api/equipment/list")
        await asyncio.sleep(0)
        at_once = list(begun.paths)
        await alone
        await asyncio.gather(*(asked(scheduler, "/api/locks/all") for _ in range(CROWD)))
        await asyncio.sleep(0)
        turns: list[object] = []
        loop = asyncio.get_running_loop()
        call_soon = loop.call_soon

        def note_turns(callback, *rest, **more):
            if getattr(callback, "__self__", None) is scheduler:
                turns.append(callback)
            return call_soon(callback, *rest, **more)

        loop.call_soon = note_turns
        for _ in range(3):
            await asyncio.sleep(0)
        return at_once, turns

    errors: list[object] = []
    assert asyncio.run(run()) == (["/api/equipment/list"], [])
    assert errors == []


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_crowd_of_any_kind_waits_its_turn(kind: str) -> None:
    """SAFE-7"""

    async def run() -> int:
        begun = Begun()
        scheduler = StopFirstScheduler(begun)
        scope = {"type": kind, "path": "/api/ws"}
        crowd = [asyncio.ensure_future(scheduler(scope, nothing, nowhere)) for _ in range(CROWD)]
        await asyncio.sleep(0)
        count = len(begun.paths)
        await asyncio.gather(*crowd)
        return count

    assert asyncio.run(run()) == REQUESTS_PER_LOOP_TURN


def test_in_each_turn_of_the_loop_no_more_than_a_few_are_begun() -> None:
    """SAFE-7"""

    async def run() -> list[int]:
        begun = Begun()
        scheduler = StopFirstScheduler(begun)
        crowd = [asked(scheduler, "/api/equipment/list") for _ in range(CROWD)]
        counts = [0]
        while counts[-1] < CROWD:
            await asyncio.sleep(0)
            counts.append(len(begun.paths))
        await asyncio.gather(*crowd)
        return counts

    counts = asyncio.run(run())
    assert max(after - before for before, after in itertools.pairwise(counts)) == REQUESTS_PER_LOOP_TURN


def test_who_hangs_up_while_waiting_keeps_nobody_else_waiting() -> None:
    """SAFE-7"""

    async def run() -> int:
        begun = Begun()
        scheduler = StopFirstScheduler(begun)
        crowd = [asked(scheduler, "/api/equipment/list") for _ in range(CROWD)]
        await asyncio.sleep(0)
        leavers = crowd[REQUESTS_PER_LOOP_TURN + 1 : -1]
        for request in leavers:
            request.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        assert all(request.cancelled() for request in leavers)
        await asked(scheduler, "/api/equipment/list")
        return len(begun.paths)

    assert asyncio.run(run()) == REQUESTS_PER_LOOP_TURN + 3

"""A stream that the authority itself closes proves nothing of its session."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fakes import Slide, VirtualClock, X, lab, until
from starlette.requests import Request
from starlette.types import Message as AsgiMessage
from timeline import Timeline

from authority.api.doors import House
from authority.api.identity import SessionIds
from authority.api.push import Stream
from authority.hub import BACKLOG, Message
from authority.options import Options


def test_a_feed_that_is_closed_because_it_does_not_keep_up_ends_no_session(tmp_path: Path) -> None:
    """LIVE-5 PUSH-6"""

    async def run() -> None:
        clock, reads = VirtualClock(), asyncio.Event()
        async with lab(tmp_path / "data", {X: Slide()}, clock=clock) as here:
            ann = here.person("ann", keeper=True)
            here.login(ann)
            time = Timeline(here, clock, clock)
            scope = {
                "type": "http", "method": "GET", "path": "/api/events", "headers": [],
                "query_string": b"role=feed&session_id=ann",
            }  # fmt: skip

            async def send(message: AsgiMessage) -> None:
                if message.get("body"):
                    await reads.wait()

            async def receive() -> AsgiMessage:
                await asyncio.get_running_loop().create_future()
                raise AssertionError

            feed = Stream(House(here.service, SessionIds("key"), Options()), Request(scope))
            serving = asyncio.ensure_future(feed(scope, receive, send))
            await until(lambda: here.service.hub)
            for _ in range(BACKLOG + 1):
                here.service.hub.publish(Message("progress", b"{}"))
            reads.set()
            await serving
            time.by(30.0)
            assert here.at().holds(ann)

    asyncio.run(run())

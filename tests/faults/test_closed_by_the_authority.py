"""A stream that the authority itself closes proves nothing of its session."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fakes import Slide, VirtualClock, X, lab, until
from starlette.requests import Request
from starlette.types import Message as AsgiMessage
from timeline import Timeline

from authority.api.push import Stream, Streams
from authority.api.request_context import AppContext
from authority.api.session_ids import SessionIds
from authority.hub import BACKLOG_BYTES, Message
from authority.identity.users import Users
from authority.options import Options


class SlowConnection:
    """What holds a request, as uvicorn has it, and a transport that is said not to send."""

    def __init__(self) -> None:
        self.transport = self
        self.unsent = 0
        self.written = b""
        self.has_ended = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return False

    async def send(self, message: AsgiMessage) -> None:
        self.has_ended = not message.get("more_body", True)


def test_a_feed_that_is_closed_because_it_does_not_keep_up_ends_no_session(tmp_path: Path) -> None:
    """LIVE-5 PUSH-6"""

    async def run() -> None:
        clock = VirtualClock()
        async with lab(tmp_path / "data", {X: Slide()}, clock=clock) as here:
            ann = here.person("ann", keeper=True)
            here.login(ann)
            time = Timeline(here, clock, clock)
            scope = {
                "type": "http", "method": "GET", "path": "/api/events", "headers": [],
                "query_string": b"role=feed&session_id=ann",
            }  # fmt: skip

            async def receive() -> AsgiMessage:
                await asyncio.get_running_loop().create_future()
                raise AssertionError

            connection = SlowConnection()
            feed = Stream(Streams(AppContext(here.service, SessionIds("key"), Options(), Users())), Request(scope))
            serving = asyncio.ensure_future(feed(scope, receive, connection.send))
            await until(lambda: b"snapshot" in connection.written)
            connection.transport.unsent = 2 * BACKLOG_BYTES
            here.service.hub.publish(Message("progress", b"{}"))
            await serving
            assert connection.has_ended
            time.by(30.0)
            assert here.at().holds(ann)

    asyncio.run(run())

"""The gate before every path, by itself: what it remembers has a bound."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope, Send

from authority.api.guard import REMEMBERED_HOSTS, Guard
from authority.api.session_tokens import SessionTokens
from authority.core.model import Table
from authority.identity.users import Users


class Served:
    """An application that counts the requests that come to it."""

    count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.count += 1


def test_hosts_that_were_let_in_are_remembered_up_to_a_bound_and_others_are_let_in_all_the_same() -> None:
    """WHO-12"""
    served = Served()
    guard = Guard(served, hosts=frozenset(), users=Users(), session_tokens=SessionTokens(Table()))

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    async def run() -> None:
        for number in range(2 * REMEMBERED_HOSTS):
            for _ in range(2):
                host = f"10.0.0.{number}".encode()
                await guard({"type": "http", "path": "/", "headers": [(b"host", host)]}, receive, send)

    asyncio.run(run())
    assert served.count == 4 * REMEMBERED_HOSTS
    assert len(guard.known_hosts) == REMEMBERED_HOSTS

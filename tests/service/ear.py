"""A listener whose connection keeps what is written to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from authority.hub import Batch, Hub, Message, Subscriber


class Ear:
    """Listens to `hub` after a number; `unsent` is how many bytes its client is said not to have taken."""

    def __init__(self, hub: Hub, after: int = 0, *, begun: bool = True, hears_events: bool = True) -> None:
        self.writes: list[bytes] = []
        self.unsent = 0
        self.is_gone = False
        self.closings = 0
        self.listener = Subscriber(self, frames, self._count_closing, hears_events=hears_events)
        hub.add(self.listener, after)
        if begun:
            self.begin()

    def begin(self, *first: Message) -> None:
        self.listener.begin(Batch(first), asyncio.get_running_loop().time())

    def _count_closing(self) -> None:
        self.closings += 1

    @property
    def heard(self) -> bytes:
        return b"".join(self.writes)

    @property
    def numbers(self) -> list[int]:
        return [int(line[4:]) for line in self.heard.split(b"\n") if line.startswith(b"id: ")]

    def is_closing(self) -> bool:
        return self.is_gone

    def write(self, data: bytes) -> None:
        assert not self.is_gone, "uvloop raises here"
        self.writes.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent


def frames(messages: Sequence[Message]) -> bytes:
    return b"".join([message.frame for message in messages])

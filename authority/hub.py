"""Push: what happened is made once, and goes in the same bytes to everybody who listens at the same door.

A listener that cannot keep up is closed; it resumes from the last sequence number it saw.
"""

from __future__ import annotations

import asyncio
from functools import cached_property

BACKLOG = 1000
SIGN_OF_LIFE_S = 5.0


class Message:
    """One message as each door sends it; each form is made when its first listener takes it, and only once."""

    def __init__(self, event: str, data: bytes, seq: int | None = None) -> None:
        """Take what is told; `data` is JSON, so it has no line break."""
        self.seq = seq
        self._event = event
        self._data = data

    @cached_property
    def frame(self) -> bytes:
        """The server-sent event."""
        head = b"" if self.seq is None else b"id: %d\n" % self.seq
        return b"%sevent: %s\ndata: %s\n\n" % (head, self._event.encode(), self._data)

    @cached_property
    def text(self) -> str:
        """The message of a WebSocket: the same name and the same data, in one JSON object."""
        return f'{{"event":"{self._event}","data":{self._data.decode()}}}'


class Subscription:
    """One listener's backlog of messages."""

    def __init__(self, after: int) -> None:
        """Begin empty and open; what happened up to `after` is told in another way."""
        self._after = after
        self._messages: list[Message] = []
        self._wake = asyncio.Event()
        self.closed = False

    def put(self, message: Message) -> None:
        """Add a message, or close if there are too many: the listener resumes."""
        if self.closed or (message.seq is not None and message.seq <= self._after):
            return
        if len(self._messages) >= BACKLOG:
            self.closed = True
        else:
            self._messages.append(message)
        self._wake.set()

    def close(self) -> None:
        """End the stream after what is in it."""
        self.closed = True
        self._wake.set()

    async def take(self, timeout_s: float) -> list[Message]:
        """Return all that has come; nothing when nothing came in time."""
        if not self._messages and not self.closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return []
        self._wake.clear()
        taken, self._messages = self._messages, []
        return taken


class Hub:
    """All listeners."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._listeners: set[Subscription] = set()
        self._ended = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def subscribe(self, after: int) -> Subscription:
        """Return a new listener's backlog, of what happens after the sequence number `after`."""
        subscription = Subscription(after)
        if self._ended.is_set():
            subscription.close()
        self._listeners.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Forget a listener."""
        self._listeners.discard(subscription)

    def publish(self, message: Message) -> None:
        """Give the same message to everybody."""
        for listener in self._listeners:
            listener.put(message)

    async def pause(self, seconds: float) -> None:
        """Wait that long, or until all streams end."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """End all streams."""
        self._ended.set()
        for listener in self._listeners:
            listener.close()

"""Push: what happened goes once, in the same bytes, to everybody who listens.

A listener that cannot keep up is closed; it resumes from the last sequence number it saw.
"""

from __future__ import annotations

import asyncio
from collections import deque

BACKLOG = 1000
SIGN_OF_LIFE_S = 5.0


class Subscription:
    """One listener's backlog of messages."""

    def __init__(self, after: int) -> None:
        """Begin empty and open; what happened up to `after` is told in another way."""
        self._after = after
        self._messages: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self.closed = False

    def put(self, message: bytes, seq: int | None) -> None:
        """Add a message, or close if there are too many: the listener resumes."""
        if self.closed or (seq is not None and seq <= self._after):
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

    async def take(self, timeout_s: float) -> bytes:
        """Return all that has come, joined; empty bytes when nothing came in time."""
        if not self._messages and not self.closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return b""
        self._wake.clear()
        joined = b"".join(self._messages)
        self._messages.clear()
        return joined


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

    def publish(self, message: bytes, seq: int | None = None) -> None:
        """Give the same bytes to everybody."""
        for listener in self._listeners:
            listener.put(message, seq)

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


def frame(event: str, data: bytes, seq: int | None = None) -> bytes:
    """Return one server-sent event; `data` is JSON, so it has no line break."""
    head = b"" if seq is None else b"id: %d\n" % seq
    return b"%sevent: %s\ndata: %s\n\n" % (head, event.encode(), data)

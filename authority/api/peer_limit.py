"""So many at once for each peer address: who is one too many waits, and nobody else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PeerLimit:
    """Places of each peer. What nobody asks for any more is forgotten."""

    def __init__(self, at_once: int) -> None:
        """Let `at_once` of each peer go on."""
        self._at_once = at_once
        self._places: dict[str, asyncio.Semaphore] = {}
        self._asking: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, peer: str) -> AsyncIterator[None]:
        """Wait for a place of `peer`, and keep it."""
        self._asking[peer] += 1
        try:
            async with self._places.setdefault(peer, asyncio.Semaphore(self._at_once)):
                yield
        finally:
            self._asking[peer] -= 1
            if not self._asking[peer]:
                del self._asking[peer], self._places[peer]

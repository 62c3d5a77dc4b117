"""One timer at the earliest deadline. It only makes visible sooner what the rules decide by comparing with `now`."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from .ports import Clock

CHECKS_PER_LOOP_TURN = 200
_RETRY_S = 0.05

Key = TypeVar("Key", bound=Hashable)


class DeadlineScheduler(Generic[Key]):
    """When to look at what again. A later deadline costs nothing: the entry is looked at early and put back."""

    def __init__(self, clock: Clock, due_at: Callable[[Key], float | None], look: Callable[[Key], None]) -> None:
        """Call `look(key)` once `due_at(key)` has come."""
        self._clock = clock
        self._due_at = due_at
        self._look = look
        self._heap: list[tuple[float, int, Key]] = []
        self._planned: dict[Key, float] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self.next_at: float | None = None  # when the timer rings, None while there is nothing to look at

    def __len__(self) -> int:
        """How many entries are kept."""
        return len(self._heap)

    def schedule(self, key: Key) -> None:
        """Take note that the deadline of `key` may have changed."""
        due = self._due_at(key)
        planned = self._planned.get(key)
        if due is None or (planned is not None and planned <= due):
            return
        self._push(due, key)

    def cancel(self, key: Key) -> None:
        """Take note that there is no `key` any more, however late it would have been due."""
        if (
            self._planned.pop(key, None) is not None
            and len(self._heap) > 2 * len(self._planned) + CHECKS_PER_LOOP_TURN // 2
        ):
            self._heap = [x for x in self._heap if self._planned.get(x[2]) == x[0]]
            heapq.heapify(self._heap)

    def close(self) -> None:
        """Look at nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._heap = []
        self._timer = None
        self.next_at = -math.inf  # nothing is due before that

    def _push(self, due: float, key: Key) -> None:
        self._planned[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        if self.next_at is None or due < self.next_at:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.next_at = None
        if self._heap:
            self.next_at = self._heap[0][0]
            delay = max(0.0, self.next_at - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self.ring)

    def ring(self) -> None:
        """Look at what may be due, a bounded number at a time so that nobody else waits."""
        self._timer = self.next_at = None
        now = self._clock.now()
        looked = 0
        while self._heap and self._heap[0][0] <= now and looked < CHECKS_PER_LOOP_TURN:
            at, _, key = heapq.heappop(self._heap)
            if self._planned.get(key) != at:
                continue
            del self._planned[key]
            looked += 1
            due = self._due_at(key)
            if due is not None and due <= now:
                self._look(key)
                due = self._due_at(key)
            if due is not None and key not in self._planned:
                if due <= now:
                    due = now + _RETRY_S
                self._push(due, key)
        self._arm()

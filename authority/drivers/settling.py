"""Rest, told from the position of a device that does not say whether it moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Settling:
    """A device rests once its position has changed by no more than `tolerance` for `settle_s` seconds.

    What it did before the first position is not known, so that it moves until it has settled. Safe from any thread.
    """

    def __init__(self, tolerance: float, settle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a tolerance in the unit of the positions, and a time in seconds."""
        self._tolerance = tolerance
        self._settle_s = settle_s
        self._clock = clock
        self._guard = threading.Lock()
        self._place: float | None = None
        self._rests_at = clock() + settle_s

    def begin(self, start_s: float) -> None:
        """Take note of an order to move, which the device may need `start_s` seconds to begin with."""
        with self._guard:
            self._rests_at = self._clock() + max(start_s, self._settle_s)

    def moves_at(self, position: float | None) -> bool:
        """Take the present position, None where it is not known, and return whether the device moves."""
        with self._guard:
            now = self._clock()
            if self._has_left(position):
                self._place = position
                self._rests_at = max(self._rests_at, now + self._settle_s)
            return now < self._rests_at

    def _has_left(self, position: float | None) -> bool:
        if position is None or self._place is None:
            return position is not self._place
        return abs(position - self._place) > self._tolerance

"""The log of what was refused to whom, for whoever looks after the lab: bounded, in memory and in the log."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from msgspec import Struct

log = logging.getLogger("motorlock")

KEPT = 1000
SAME_AGAIN_S = 60.0
_REMEMBERED = 1000


class Refused(Struct, frozen=True):
    """One refusal: `at` in seconds since the epoch, `user` as it is shown, where it came from, and what was asked."""

    at: float
    code: str
    user: str
    peer: str
    method: str
    path: str


class RefusedLog:
    """Keeps the newest refusals that tell of somebody who does not belong, or lacks a right."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """Begin with none; `wall` tells the time in seconds since the epoch."""
        self._wall = wall
        self._refused: deque[Refused] = deque(maxlen=KEPT)
        self._logged_at: dict[tuple[str, str, str], float] = {}

    def note(self, code: str, user: str, peer: str, method: str, path: str) -> None:
        """Keep a refusal; the log has the same of the same person once in `SAME_AGAIN_S`, so that nobody fills it."""
        now = self._wall()
        self._refused.append(Refused(now, code, user, peer, method, path))
        same = (code, user, peer)
        if now - self._logged_at.get(same, float("-inf")) < SAME_AGAIN_S:
            return
        if len(self._logged_at) >= _REMEMBERED:
            self._logged_at.clear()
        self._logged_at[same] = now
        log.warning("refused (%s): %s %s by %s at %s", code, method, path, user, peer)

    def newest(self, limit: int) -> list[Refused]:
        """Return the newest refusals, the oldest of them first."""
        return list(self._refused)[-limit:]

"""What time it is at the authority: a kernel's own clock may be minutes off, and data bear the authority's times."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

OFF_S = 2.0


class AuthorityClock:
    """Goes on from the newest time that the authority has told: in a pushed message, else in the head of an answer."""

    def __init__(self) -> None:
        self._told: tuple[datetime, float] | None = None

    def set_from(self, now: str) -> None:
        """The authority has just said that it is `now`, an ISO time."""
        try:
            self._told = (datetime.fromisoformat(now).astimezone(UTC), time.monotonic())
        except ValueError:
            return

    def set_from_header(self, date: str | None) -> None:
        """An answer came with this `Date`, in whole seconds; it counts where the clock is plainly another one."""
        try:
            there = parsedate_to_datetime(date or "").astimezone(UTC)
        except ValueError:
            return
        if abs((there - self.now()).total_seconds()) > OFF_S:
            self._told = (there, time.monotonic())

    def now(self) -> datetime:
        """Return the authority's time in UTC; it is this machine's where the authority has told no other."""
        if self._told is None:
            return datetime.now(UTC)
        then, at = self._told
        return then + timedelta(seconds=time.monotonic() - at)

"""The real clock: monotonic seconds, counted on from the wall time of the process's start."""

from __future__ import annotations

import time

# Less than this is the noise of two readings: a time once shown is shown the same again.
_STEP_S = 0.01


class SystemClock:
    """Implements `ports.Clock`. A step of the wall clock changes what people are shown, never a difference."""

    def __init__(self, not_before: float = 0.0) -> None:
        """Begin at the wall time, but not before `not_before`: times kept from an earlier run stay in the past."""
        self._offset = max(time.time(), not_before) - time.monotonic()
        self._drift = 0.0

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic() + self._offset

    def wall(self, at: float) -> float:
        """The wall time of the monotonic `at`, by the wall clock as it stands now."""
        drift = time.time() - self.now()
        if abs(drift - self._drift) > _STEP_S:
            self._drift = drift
        return at + self._drift

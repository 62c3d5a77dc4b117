"""How long history and the keys of commands are kept, and by which time that is counted.

A clock that is wrong at the start must not cost the history: time that nobody saw pass counts in full only once the
authority has run for a day in which nobody corrected the clock, and until then up to a plausible step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .ports import Clock, Store

DEFAULT_HISTORY_DAYS = 90.0
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
HOUSEKEEPING_S = HOUR_S
COMMANDS_KEPT_S = DAY_S
# An authority that is switched off overnight, or over the holidays, still forgets.
PLAUSIBLE_STEP_OF_COMMANDS_S = 16 * HOUR_S
PLAUSIBLE_STEP_OF_HISTORY_S = 7 * DAY_S


class BelievedTime:
    """The time by which something is old: never later than `clock.now`, and behind it while the clock is doubted."""

    def __init__(self, clock: Clock, last_believed: float, plausible_step_s: float) -> None:
        """Begin where an earlier run left off: `last_believed` is what `now` returned there last."""
        self._clock = clock
        self._started_at = clock.now()
        self._believed_at_start = min(self._started_at, last_believed + plausible_step_s)

    def now(self) -> float:
        """Return the believed time, in the seconds of `clock.now`."""
        now = self._clock.now()
        running_s = now - self._started_at
        is_corrected = abs(self._clock.wall(now) - now) > HOUR_S
        if running_s >= DAY_S and not is_corrected:
            return now
        return min(now, self._believed_at_start + running_s)


class Retention:
    """Forgets what is older than it is to be kept, once an hour, in the writing thread."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        run_in_writer: Callable[[Callable[[], None]], None],
        *,
        history_days: float,
        last_event_at: float,
    ) -> None:
        """Keep history for `history_days`; `last_event_at` is the time of the newest event, 0 where there is none."""
        self._store = store
        self._run_in_writer = run_in_writer
        self._history_s = history_days * DAY_S
        known = str(last_event_at or clock.now())
        self._history_time = BelievedTime(
            clock, float(store.meta("history_believed_until", known)), PLAUSIBLE_STEP_OF_HISTORY_S
        )
        self._commands_time = BelievedTime(
            clock, float(store.meta("commands_believed_until", known)), PLAUSIBLE_STEP_OF_COMMANDS_S
        )

    async def run(self) -> None:
        """Forget for ever, until it is cancelled."""
        while True:
            self._run_in_writer(self._forget_a_piece)
            await asyncio.sleep(HOUSEKEEPING_S)
            self._run_in_writer(self._remember_what_is_believed)

    def _forget_a_piece(self) -> None:
        events_before = self._history_time.now() - self._history_s
        commands_before = max(self._commands_time.now() - COMMANDS_KEPT_S, events_before)
        if self._store.forget(events_before=events_before, commands_before=commands_before):
            self._run_in_writer(self._forget_a_piece)

    def _remember_what_is_believed(self) -> None:
        self._store.set_meta("history_believed_until", str(self._history_time.now()))
        self._store.set_meta("commands_believed_until", str(self._commands_time.now()))

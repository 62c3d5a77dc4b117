"""Time that passes from deadline to deadline: the service's own timer rings on the instant, nothing waits."""

from __future__ import annotations

from typing import Protocol

import msgspec
from fakes import Lab, Slide

from authority.drivers.declare import control
from authority.ports import Clock

_ROUNDING_S = 1e-6  # of the sum of a large number and a small one
Happening = tuple[float, str, dict[str, object]]


class Hand(Protocol):
    """What moves a clock on."""

    def advance(self, seconds: float) -> None:
        """Let time pass."""


class Sprint(Slide):
    """A slide that arrives at once; to 99 it goes for as long as a test lets it."""

    @control
    async def move_to(self, position: float) -> float:
        """Move, and answer the position on arrival."""
        if position == 99.0:
            return await super().move_to(position)
        self.position = position
        return position


class Timeline:
    """The time of one lab, counted from 0, and what happened when."""

    def __init__(self, here: Lab, clock: Clock, hand: Hand) -> None:
        self._here, self._clock, self._hand = here, clock, hand
        self._origin = clock.now()
        self._seqs = [here.service.seq]
        self._at: list[float] = []

    @property
    def now(self) -> float:
        """Seconds since the beginning, to the microsecond: what is less is the rounding of large numbers."""
        return round(self._clock.now() - self._origin, 6)

    def to(self, at: float) -> None:
        """Let time pass until `at`; whatever is due by then happens when it is due."""
        deadlines = self._here.service.deadlines
        while (due := deadlines.next_at) is not None and due - self._origin <= at + _ROUNDING_S:
            self._advance(due - self._clock.now())
            deadlines.ring()
            self.note()
        self._advance(self._origin + at - self._clock.now())

    def by(self, seconds: float) -> None:
        """Let so much time pass."""
        self.to(self.now + seconds)

    def _advance(self, seconds: float) -> None:
        self._hand.advance(max(0.0, seconds))

    def note(self) -> None:
        """Take note that what was stored since the last time has happened now."""
        new = self._here.service.seq - len(self._at) - self._seqs[0]
        self._at += [self.now] * new

    async def happened(self) -> list[Happening]:
        """Return all that was stored: when it happened, the event's name, and all of it but the time that is shown."""
        self.note()
        await self._here.service.wait_until_committed()
        rows = self._here.service.events(after=self._seqs[0], limit=100_000)
        told = [msgspec.json.decode(row.body, type=dict[str, object]) for row in rows]
        return [
            (at, str(event["event"]), {k: v for k, v in event.items() if k != "timestamp"})
            for at, event in zip(self._at, told, strict=True)
        ]

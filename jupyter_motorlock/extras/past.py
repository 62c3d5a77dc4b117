"""What a history tells for a picture: who had, waited for and moved what, from when until when.

Times are seconds since the epoch; positions are in the units of the equipment.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from jupyter_motorlock.extras.history import NOW

if TYPE_CHECKING:
    import pandas

AUTHORITY = "the authority"  # parks what was left; nobody has it for that
Fact: TypeAlias = dict[str, Any]
_ENDED = frozenset({"lock_released", "lock_force_released", "lock_expired"})
_PLACED = _ENDED | {"lock_acquired", "command_started", "command_finished", "stopped", "fault", "moved_outside"}
_AT_REST = _ENDED | {"lock_acquired", "command_started"}  # nothing had moved it since what came before


@dataclass(frozen=True)
class Span:
    """A time in which `user` had the equipment or waited for it, or in which it was at fault (nobody's)."""

    equipment: str
    user: str | None
    begin: float
    end: float


@dataclass(frozen=True)
class Stop:
    """A stop, where the equipment was then, and whether it was delivered."""

    equipment: str
    at: float
    position: float
    delivered: bool


@dataclass(frozen=True)
class Stretch:
    """The position from `begin` to `end` (each a time and a place) while `user` had it, or nobody."""

    user: str | None
    begin: tuple[float, float]
    end: tuple[float, float]
    outside: bool = False


class Past:
    """A history, read for a picture: `holds`, `waits`, `faults` and `stops` of all its equipment."""

    def __init__(self, history: pandas.DataFrame) -> None:
        now: dict[str, Any] = history.attrs.get(NOW) or {}
        self._events = {name: list(_events(part)) for name, part in history.groupby("equipment", sort=False)}
        self._now: dict[str, dict[str, Any]] = now.get("equipment", {})
        self.equipment = list(dict.fromkeys([*self._now, *self._events]))
        times = [event["time"] for events in self._events.values() for event in events]
        self._since = _seconds(now.get("since"))
        self._asked = _seconds(now.get("asked")) or max(times, default=0.0)
        if self._since is None:
            self._since = min(times, default=self._asked)
        self.holds: list[Span] = []
        self.waits: list[Span] = []
        self.faults: list[Span] = []
        self.stops: list[Stop] = []
        for name in self.equipment:
            self._read(name, self._events.get(name, []), self._now.get(name, {}))
        spans = [*self.holds, *self.waits, *self.faults]
        self.begin = min([*times, *(x.begin for x in spans)], default=self._since)
        self.end = max([*times, *(x.end for x in spans)], default=self._asked)

    @property
    def users(self) -> list[str]:
        """Everybody who had, waited for or moved something, who had it longest first."""
        had: dict[str, float] = {}
        for span in self.holds:
            had[str(span.user)] = had.get(str(span.user), 0.0) + span.end - span.begin
        others = [str(span.user) for span in self.waits]
        others += [e["user"] for part in self._events.values() for e in part if e["event"] == "command_started"]
        for user in others:
            had.setdefault(user, 0.0)
        had.pop(AUTHORITY, None)
        return sorted(had, key=lambda user: (-had[user], user))

    def limits(self, equipment: str) -> tuple[float | None, float | None]:
        """The positions between which it may be sent, None where it says none."""
        low, high = self._now.get(equipment, {}).get("limits") or (None, None)
        return low, high

    def units(self, equipment: str) -> str | None:
        """The units of its position."""
        units = (event["units"] for event in reversed(self._events.get(equipment, [])) if event["units"])
        return self._now.get(equipment, {}).get("units") or next(units, None)

    def path(self, equipment: str) -> list[Stretch]:
        """Where it was, from event to event; what is not known is left out."""
        events = [event for event in self._events.get(equipment, []) if event["event"] in _PLACED]
        now = self._now.get(equipment, {})
        if events and events[0]["event"] in _AT_REST:
            events.insert(0, events[0] | {"event": "begin", "time": self.begin})
        if events and now.get("held") and now["position"] is not None:
            events.append(events[-1] | {"event": "now", "time": self.end, "position": now["position"]})
        holds = sorted((hold for hold in self.holds if hold.equipment == equipment), key=lambda hold: hold.begin)
        return list(_path(events, holds))

    def _read(self, name: str, events: list[Fact], now: dict[str, Any]) -> None:
        held: dict[object, tuple[str, float]] = {}
        waiting: dict[object, tuple[str, float]] = {}
        fault: float | None = None
        for event in events:
            at = event["time"]
            kind = event["event"]
            user = event["user"]
            if kind == "lock_acquired":
                held[event["fence"]] = user, at
            elif kind in _ENDED:
                _, begin = held.pop(event["fence"], (user, at - (event["duration_seconds"] or 0.0)))
                self.holds.append(self._span(name, user, begin, at))
            elif kind == "queued":
                waiting[event["queue_id"]] = user, at
            elif kind == "queue_processed":
                _, begin = waiting.pop(event["queue_id"], (user, -math.inf))
                self.waits.append(self._span(name, user, begin, at))
            elif kind == "fault":
                fault = at
            elif kind == "fault_cleared":
                if fault is None:
                    fault = -math.inf  # it began before what was asked for
                self.faults.append(self._span(name, None, fault, at))
                fault = None
            elif kind == "stopped":
                self.stops.append(Stop(name, at, event["position"], event["delivered"] is not False))
        known = now.get("held")
        if known and known["fence"] not in held:
            held[known["fence"]] = known["user"], _seconds(known["since"]) or -math.inf
        if fault is None and now.get("fault_at"):
            fault = _seconds(now["fault_at"])
        self.holds += [self._span(name, user, begin, self._asked) for user, begin in held.values()]
        self.waits += [self._span(name, user, begin, self._asked) for user, begin in waiting.values()]
        if fault is not None:
            self.faults += [self._span(name, None, fault, self._asked)]

    def _span(self, name: str, user: str | None, begin: float, end: float) -> Span:
        return Span(name, user, max(begin, self._since or begin), end)


def _path(events: Iterable[Fact], holds: Sequence[Span]) -> Iterator[Stretch]:
    """Give the stretches between the events that say where; what is not read anew after a gap begins anew."""
    begins = [x.begin for x in holds]
    last: tuple[float, float] | None = None
    running: Fact | None = None
    coasts = False  # a command or a stop ended, and what it moved may not have been at rest yet
    for event in events:
        kind = event["event"]
        at = event["time"]
        here = None
        if not math.isnan(event["position"]):
            here = (at, event["position"])
        if last is not None and here is not None and last != here:
            hold = None
            if holds:
                hold = holds[max(0, bisect_right(begins, last[0]) - 1)]
            user = None
            if hold is not None and hold.begin <= last[0] < hold.end:
                user = hold.user
            if running is not None:
                user = None
                if running["user"] != AUTHORITY:
                    user = running["user"]
                yield Stretch(user, last, here)
            else:
                outside = kind == "moved_outside"
                turn = (last[0], here[1]) if coasts and not outside else (at, last[1])
                yield Stretch(user, last, turn)
                if turn != here:
                    yield Stretch(user, turn, here, outside)
        if kind == "command_started":
            running = event
        elif kind == "command_finished" and running is not None and running["command_id"] == event["command_id"]:
            running = None
        coasts = kind in ("command_finished", "stopped")
        last = here


def _events(history: pandas.DataFrame) -> Iterator[Fact]:
    """Give each event by its columns, with None for what it does not have, NaN for a position."""
    wanted = ["event", "user", "fence", "command_id", "units", "queue_id", "duration_seconds", "delivered"]
    columns: dict[str, list[Any]] = {
        name: history[name].astype(object).where(history[name].notna(), None).tolist() for name in wanted
    }
    columns["position"] = history["position"].tolist()
    utc = history["time"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    columns["time"] = (utc.astype("int64") / 1e6).tolist()
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _seconds(time: str | None) -> float | None:
    if time is None:
        return None
    return datetime.fromisoformat(time).timestamp()

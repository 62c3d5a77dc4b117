"""What happened to equipment as a `pandas.DataFrame`; the extra `plots` brings pandas.

The events are asked for in parts, each beginning where the one before ended, so that none is missed or there twice
while new ones come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from jupyter_motorlock.client import targets
from jupyter_motorlock.client.http import Client, Json
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.extras import not_installed
from jupyter_motorlock.text.rows import IDS, event_row
from jupyter_motorlock.text.units import read_span

try:
    import pandas
except ModuleNotFoundError as missing:
    raise not_installed(missing, "plots") from None

PAGE = 1000  # as many events as the authority gives at once
DEFAULT_SINCE = "24h"
NOW = "motorlock.now"  # the key of `attrs` under which a history knows how the equipment stood when it was asked for
COLUMNS = {  # every history has these; a parameter of a command is a further one, such as parameters.position
    "time": "datetime64[us, tzlocal()]",
    "equipment": "string",
    "event": "string",
    "user": "string",
    "fence": "Int64",
    "command_id": "string",
    "action": "string",
    "outcome": "string",
    "position": "float64",
    "units": "string",
    "why": "string",
    "by": "string",
    "note": "string",
    "reason": "string",
    "error": "string",
    "delivered": "boolean",
    "place": "Int64",
    "result": "string",
    "queue_id": "string",
    "duration_seconds": "float64",
    "session_id": "string",
    "text": "string",
}


class History(pandas.DataFrame):  # type: ignore[misc]  # pandas has no types here
    """A history as it is asked for: it shows itself without the ids, which it has like any other column.

    What is made of it, also a part of it, is a plain `DataFrame`.
    """

    def _repr_html_(self) -> str | None:
        html: str | None = _without_ids(self)._repr_html_()
        return html

    def __repr__(self) -> str:
        return repr(_without_ids(self))


def _without_ids(frame: pandas.DataFrame) -> pandas.DataFrame:
    return pandas.DataFrame(frame).drop(columns=[name for name in frame.columns if name in IDS])


def history(
    session: KernelSession,
    names: Sequence[str],
    *,
    since: datetime | timedelta | str | None = None,
    last: int | None = None,
) -> pandas.DataFrame:
    """Return the events of `names`, oldest first, as docs/history.md says; see `jupyter_motorlock.motor_history`."""
    if last is not None and last < 1:
        raise UsageProblem("Say how many of the newest events you want: last=100")
    names = targets.resolve_names(session, names) or session.equipment_ids()
    clock = session.client.clock  # which has heard the authority by now
    if since is None and last is None:
        since = DEFAULT_SINCE
    begin = start_time(since, clock.now())
    found: list[Json] = []
    for name in names:
        found += fetch_events(session.client, name, begin, last)
    frame = History(frame_of(sorted(found, key=lambda event: int(event["seq"]))))
    frame.attrs[NOW] = {
        "since": None if begin is None else begin.isoformat(),
        "asked": clock.now().isoformat(),
        "equipment": {name: _position_text(session, name) for name in names},
    }
    return frame


def start_time(since: datetime | timedelta | str | None, now: datetime) -> datetime | None:
    """Return since when, aware: a time without a zone is a local one, a span is one before `now`."""
    if isinstance(since, str):
        span = read_span(since)
        try:
            since = timedelta(seconds=span) if span is not None else datetime.fromisoformat(since)
        except ValueError:
            raise UsageProblem(
                f"Say since when as a span such as 8h or 2d, or as a time such as 2026-11-21T18:00, not {since!r}."
            ) from None
    if isinstance(since, timedelta):
        return now - since
    return since and since.astimezone()


def fetch_events(client: Client, name: str, since: datetime | None, last: int | None = None) -> list[Json]:
    """Return the events of one equipment since a time, or the newest `last` of them, oldest first."""
    limit = min(last or PAGE, PAGE)
    found: list[Json] = _page(client, name, limit)["events"]
    enough = len(found) < limit or limit == last or (since is not None and _time(found[0]) < since)
    if not enough:
        after = 0 if since is None else _before(client, name, since, int(found[0]["seq"]))
        found = list(_following(client, name, after))
    if since is not None:
        found = [event for event in found if _time(event) >= since]
    if last:
        return found[-last:]
    return found


def frame_of(events: Sequence[Json]) -> pandas.DataFrame:
    """Return events as a table with an event's number in the authority (`seq`) as its index."""
    now = datetime.now(UTC)
    rows = [event_row(event, now) for event in events]
    index = pandas.Index([event["seq"] for event in events], dtype="int64", name="seq")
    further = sorted({column for row in rows for column in row if column.startswith("parameters.")})
    columns = {column: [row.get(column) for row in rows] for column in (*COLUMNS, *further)}
    times = pandas.to_datetime(columns.pop("time"), utc=True)
    made: dict[str, object] = {"time": pandas.Series(times, index=index).astype(COLUMNS["time"])}
    for column, given in columns.items():
        made[column] = pandas.Series(given, index=index, dtype=COLUMNS.get(column))
    return pandas.DataFrame(made, index=index)


def _position_text(session: KernelSession, name: str) -> Json:
    """Return what events alone do not tell: who has it now, where it is, and between which limits it moves."""
    status = session.status(name)
    holder = status["holder"]
    readback = status["readback"]
    limits = [readback["values"].get(end) for end in ("low", "high")]  # a driver that has limits names them so
    held = holder and {"user": holder["user"], "since": holder["since"], "fence": status["fence"]}
    return {"held": held, "fault_at": status["fault_at"], "limits": limits} | {
        key: readback[key] for key in ("position", "units")
    }


def _page(client: Client, name: str, limit: int, after: int | None = None) -> Json:
    asked = {"limit": str(limit)}
    if after is not None:
        asked["after"] = str(after)
    return client.call("GET", "locks", "events", name, params=asked)


def _following(client: Client, name: str, after: int | None) -> Iterator[Json]:
    while after is not None:
        part = _page(client, name, PAGE, after)
        yield from part["events"]
        after = part["next"]


def _before(client: Client, name: str, since: datetime, known: int) -> int:
    """Return a number after which all events are those since a time; the event `known` is one of them."""
    low = 0
    high = known - 1
    while low < high:
        middle = (low + high) // 2
        event = _page(client, name, 1, middle)["events"][0]
        if _time(event) < since:
            low = int(event["seq"])
        else:
            high = middle
    return low


def _time(event: Json) -> datetime:
    return datetime.fromisoformat(event["timestamp"])

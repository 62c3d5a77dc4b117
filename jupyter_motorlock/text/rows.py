"""What can be read and computed with alike: rows for `pandas.DataFrame(rows)`, shown as text. Pure, as `status_text`.

A row is flat; a time in it is aware, all in one zone; what is not there is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text.status import Fields

IDS = frozenset({"session_id", "lock_id", "queue_id", "command_id"})


class RowList(list[dict[str, object]]):
    """Rows that show themselves as the text that tells the same."""

    def __init__(self, rows: Iterable[dict[str, object]], text: str) -> None:
        super().__init__(rows)
        self.text = text

    def __repr__(self) -> str:
        return self.text


def status_rows(
    statuses: Sequence[Fields],
    me: str | None,
    *,
    whole: bool,
    now: datetime,
    rights: Mapping[str, status_text.Rights] | None = None,
) -> RowList:
    """Return a row for each equipment; its text is one line, or with `whole` all that is known.

    `rights` are those of the reader to each equipment, where they are known.
    """
    tell = status_text.plain_text if whole else status_text.headline
    known = rights or {}
    text = "\n".join(tell(x, me, now=now, rights=known.get(str(x.get("equipment_id")))) for x in statuses)
    return RowList((_status_row(status, now) for status in statuses), text)


def event_rows(events: Sequence[Fields], *, now: datetime, ids: bool = False) -> RowList:
    """Return a row for each event, with `ids` those of sessions and locks, too; the text tells each act once."""
    told = [
        f"{status_text.clock_text(event['timestamp'], now, form='%H:%M:%S')}  {event_sentence(event)}"
        for event in without_repeats(events)
    ]
    rows = [event_row(event, now) for event in events]
    if not ids:
        rows = [{name: given for name, given in row.items() if name not in IDS} for row in rows]
    return RowList(rows, "\n".join(told))


def without_repeats(events: Iterable[Fields]) -> list[Fields]:
    """Return the events without those that tell an act again.

    Who is granted something has left its queue, and who takes it up at once has no more than what was granted; a
    login that takes it up tells itself as a refresh, too.
    """
    found: list[Fields] = []
    before: dict[object, Fields] = {}  # by equipment
    for event in events:
        equipment_id = event.get("equipment_id")
        last = before.get(equipment_id, {})
        before[equipment_id] = event
        is_left = event["event"] == "queue_processed" and event.get("result") in ("granted", "direct")
        follows = (last.get("event"), event["event"])
        is_same = follows == ("lock_acquired", "lock_claimed") or (
            follows == ("lock_claimed", "lock_refreshed") and event["timestamp"] == last["timestamp"]
        )
        if is_left or (is_same and event["user"] == last["user"]):
            continue
        found.append(event)
    return found


def event_sentence(event: Fields) -> str:
    """Return what happened, as the authority says it; what was stored before it did is told by its name."""
    return event.get("text") or f"{event['event'].replace('_', ' ')}: {event['equipment_id'] or event['user']}"


def _status_row(status: Fields, now: datetime) -> dict[str, object]:
    holder, readback, ending = (status.get(key) or {} for key in ("holder", "readback", "ending"))
    return {
        "equipment": status.get("equipment_id"),
        "state": status.get("state"),
        "holder": holder.get("user"),
        "note": holder.get("note"),
        "since": status_text.local_time(holder.get("since"), now),
        "fence": status.get("fence"),
        "queue": status.get("queue_length"),
        "observers": status.get("observer_count"),
        "position": readback.get("position"),
        "units": readback.get("units"),
        "moving": readback.get("moving"),
        "ends": ending.get("text"),
        "ends_at": status_text.local_time(ending.get("at"), now),
    }


def event_row(event: Fields, now: datetime) -> dict[str, object]:
    """Return the event in the order in which it is read; what has parts becomes a column for each part."""
    row = {"time": status_text.local_time(event["timestamp"], now), "equipment": event["equipment_id"]}
    row |= {key: event[key] for key in ("event", "user", "session_id")}
    for key, given in event.items():
        if isinstance(given, Mapping):
            row |= {f"{key}.{part}": of_part for part, of_part in given.items()}
        elif event["event"] == "queued" and key == "position":
            row["place"] = given
        elif key not in ("seq", "timestamp", "equipment_id"):
            row[key] = given
    return row | {"text": event_sentence(event)}

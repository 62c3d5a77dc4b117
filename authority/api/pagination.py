"""Long lists in parts: what of one is answered at a time, and where the next part begins.

A cursor is the key of the last item that was answered, not its place: what has gone since moves nothing.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from authority.core.model import Equipment, QueueEntry, Session, queue_order
from authority.identity.access import Right

from . import bodies
from .request_body import invalid_request
from .request_context import Query, RequestContext

PAGE_BYTES = 512 * 1024  # what is encoded in some milliseconds: a stop waits for no list

# The query of a list, and that of a list of events.
PAGE: Query = {"limit": (bodies.Limit, 1000), "after": (str, None)}
EVENTS: Query = {"limit": (bodies.Limit, 50), "after": (bodies.Seq, None)}

Item = TypeVar("Item")
Key = tuple[float | str, ...]


@dataclass(frozen=True)
class SortOrder(Generic[Item]):
    """How a list is ordered: the key of an item, which no other has, and the key's type."""

    key: Callable[[Item], Key]
    kind: object


OLDEST_FIRST = SortOrder[Session](lambda session: (session.created_at, session.id), tuple[float, str])
NEXT_FIRST = SortOrder[QueueEntry](lambda entry: (*queue_order(entry), entry.queue_id), tuple[int, float, str])
BY_ID = SortOrder[Equipment](lambda equipment: (equipment.id,), tuple[str])  # a changed lab file cannot change it


def page_of(context: RequestContext, items: Iterable[Item], order: SortOrder[Item]) -> tuple[list[Item], str | None]:
    """Return at most `limit` of the items that follow the cursor `after`, and the cursor to go on with, if any do.

    All that is left comes as `items` has it, less than all in `order`. Refuses what is no cursor of such a list.
    """
    after: str | None = context.query("after")
    limit: int = context.query("limit")
    begin = None
    if after is not None:
        begin = _read(after, order.kind)
    left = [x for x in items if begin is None or order.key(x) > begin]
    if len(left) <= limit:
        return left, None
    found = heapq.nsmallest(limit, left, key=order.key)
    return found, _write(order.key(found[-1]))


def light_page_of(
    found: list[Item], more: str | None, order: SortOrder[Item], size: Callable[[Item], int]
) -> tuple[list[Item], str | None]:
    """Return so many of a part as are small enough together, at least one, and the cursor to go on with."""
    total = 0
    for place, item in enumerate(found):
        total += size(item)
        if total > PAGE_BYTES and place > 0:
            return found[:place], _write(order.key(found[place - 1]))
    return found, more


def events_of(
    context: RequestContext, *, equipment: str | None = None, session: str | None = None
) -> tuple[list[msgspec.Raw], int | None]:
    """Return the newest events that may be seen, or those that follow one, and the number to go on with."""
    after: int | None = context.query("after")
    limit: int = context.query("limit")
    most = limit
    if after is not None:
        most += 1  # one more than asked for tells whether others follow; the newest are followed by none
    rows = context.service.events(equipment=equipment, session=session, after=after, limit=most)
    found = [row for row in rows[:limit] if row.equipment is None or context.may(Right.READ, row.equipment)]
    more = None
    if len(rows) > limit:
        more = rows[limit - 1].seq
    return [msgspec.Raw(x.body) for x in found], more


def _write(key: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def _read(cursor: str, kind: object) -> Key:
    try:
        key: Key = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (ValueError, msgspec.DecodeError):
        raise invalid_request("after", "it is the `next` of an earlier part of this list") from None
    return key

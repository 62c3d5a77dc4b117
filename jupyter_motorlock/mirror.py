"""What this kernel knows of the authority's state: the last status of each equipment, its own locks, its notices.

Fed by the feed's thread and by the replies to this kernel's own requests, read by every thread. A reply may
overtake the feed, so a lock is only taken away by news at least as new as its fence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

from jupyter_motorlock import notices
from jupyter_motorlock.client import Json

Callback: TypeAlias = Callable[[str | None, Json | None, Json | None], None]

MOST_NOTICES = 50


class Mirror:
    """The picture. Statuses and locks are replaced, never changed, so that a reader may keep what it got."""

    def __init__(self) -> None:
        self.statuses: dict[str, Json] = {}
        self.session_id: str | None = None
        self.awaited: set[str] = set()
        self.last_callback_error: BaseException | None = None
        self._locks: dict[str, Json] = {}
        self._notices: list[str] = []
        self._watchers: list[Callback] = []
        self._changed = threading.Condition()

    # Read

    def locks(self) -> dict[str, Json]:
        """The exclusive locks of this session, by equipment."""
        with self._changed:
            return dict(self._locks)

    def take_notices(self) -> list[str]:
        """Return what the user has not been told yet, and forget it."""
        with self._changed:
            taken, self._notices = self._notices, []
        return taken

    def watch(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` after every change; returns the function that ends it."""
        with self._changed:
            self._watchers.append(callback)

        def unsubscribe() -> None:
            with self._changed:
                if callback in self._watchers:
                    self._watchers.remove(callback)

        return unsubscribe

    def wait_until_differs(self, equipment_id: str, told: object, timeout_s: float) -> None:
        """Wait until the `essence` of the equipment's status is not `told`, at most `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: essence(self.statuses.get(equipment_id)) != told, timeout_s)

    # Written by the replies to our own requests

    def took(self, lock: Json) -> None:
        """This session was granted `lock`."""
        with self._changed:
            if lock.get("lock_mode") == "exclusive":
                self._locks[lock["equipment_id"]] = lock

    def let_go(self, equipment_id: str) -> None:
        """This session gave its lock back."""
        with self._changed:
            self._locks.pop(equipment_id, None)

    def begin(self, session_id: str) -> None:
        """A session begins."""
        with self._changed:
            self.session_id, self._locks = session_id, {}

    def end(self, sentence: str | None) -> None:
        """The session is over; with a `sentence`, the user is told which locks ended with it."""
        with self._changed:
            lost, self._locks, self.session_id = sorted(self._locks), {}, None
            if lost and sentence is not None:
                self._notice(notices.session_over(lost, sentence))

    # Written by the feed

    def heard(self, event: str, data: Json) -> None:
        """Take in one pushed message and tell the watchers."""
        match event:
            case "snapshot":
                for equipment_id, status in data["equipment"].items():
                    self._store(equipment_id, status, None)
            case "change":
                self._take_event(data["event"])
                self._store(data["event"].get("equipment_id"), data.get("status"), data["event"])
            case "progress":
                known = self.statuses.get(data["equipment_id"])
                if known is not None:
                    self._store(data["equipment_id"], known | {"readback": data["readback"]}, None)

    def tell(self, equipment_id: str | None, status: Json | None, event: Json | None) -> None:
        """Call every watcher; what one raises is kept, because a thread's output would land in any cell."""
        with self._changed:
            self._changed.notify_all()
            watchers = tuple(self._watchers)
        for watcher in watchers:
            try:
                watcher(equipment_id, status, event)
            except Exception as error:  # noqa: BLE001 - somebody else's code, which must not end the feed
                self.last_callback_error = error

    def _store(self, equipment_id: str | None, status: Json | None, event: Json | None) -> None:
        if equipment_id is None:
            return
        if status is not None:
            with self._changed:
                self.statuses = self.statuses | {equipment_id: status}
                self._compare(equipment_id, status)
        if status is not None or event is not None:
            self.tell(equipment_id, status or self.statuses.get(equipment_id), event)

    def _compare(self, equipment_id: str, status: Json) -> None:
        """Bring our own lock into line with a status of the authority."""
        ours = self._locks.get(equipment_id)
        fence = status.get("fence") or 0
        if ours is not None and fence < ours["fence"]:
            return  # older than the reply that gave us the lock
        if status.get("state") == "held" and status.get("session_id") == self.session_id is not None:
            is_new = ours is None or ours["fence"] < fence
            if is_new and not status.get("claimed", True) and equipment_id not in self.awaited:
                self._notice(notices.your_turn(status, equipment_id))
            claimed = {"fence": fence, "lock_id": status["lock_id"], "claimed": status.get("claimed", True)}
            base = {"equipment_id": equipment_id, "session_id": self.session_id, "lock_mode": "exclusive"}
            self._locks[equipment_id] = base | (ours or {}) | claimed
        elif ours is not None:
            del self._locks[equipment_id]
            loss = status.get("last_lost") or {}
            if (loss.get("session_id"), loss.get("fence")) == (self.session_id, ours["fence"]):
                self._tell_loss(loss | {"timestamp": loss["at"]}, equipment_id)  # no event told it: a new snapshot

    def _tell_loss(self, loss: Json, equipment_id: str) -> None:
        if loss.get("why") not in notices.OWN_DOING:
            self._notice(notices.lock_lost(loss, equipment_id))

    def _take_event(self, event: Json) -> None:
        """Note what the user has to be told of an event."""
        equipment_id = event.get("equipment_id")
        if equipment_id is None or self.session_id is None:
            return
        with self._changed:
            ours = event.get("session_id") == self.session_id
            name = event["event"]
            if ours and name in notices.ENDINGS:
                lock = self._locks.get(equipment_id)
                if lock is not None and lock["fence"] <= (event.get("fence") or 0):
                    del self._locks[equipment_id]
                    self._tell_loss(event, equipment_id)
            elif ours and name == "observer_lock_released" and event.get("why") not in notices.OWN_DOING:
                self._notice(notices.lock_lost(event, equipment_id, what="observer lock on"))
            elif name == "stopped" and equipment_id in self._locks and not ours:
                self._notice(notices.stopped(event, equipment_id))

    def _notice(self, sentence: str) -> None:
        self._notices = [*self._notices, sentence][-MOST_NOTICES:]


def essence(status: Json | None) -> object:
    """Return what of a status matters to one who waits: it does not change while something moves."""
    if status is None:
        return None
    queue = tuple(entry["queue_id"] for entry in status["queue"])
    return (status["state"], status["session_id"], status["fence"], queue)

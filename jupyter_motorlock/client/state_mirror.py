"""What this kernel knows of the authority's state: the last status of each equipment, its own locks, its notices.

Fed by the feed's thread and by the replies to this kernel's own requests, read by every thread. A reply may
overtake the feed, so a lock is only taken away by news at least as new as its fence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jupyter_motorlock.client.http import Json
from jupyter_motorlock.text import status as status_text

Callback: TypeAlias = Callable[[str | None, Json | None, Json | None], None]

Topic: TypeAlias = Literal["turn", "stop", "loss", "ask", "end"]

MOST_NOTICES = 50


@dataclass(frozen=True)
class Notice:
    """What the user has to be told, about what."""

    topic: Topic
    equipment_id: str
    sentence: str


class StateMirror:
    """The picture. Statuses and locks are replaced, never changed, so that a reader may keep what it got.

    `session_id` is None before the first login and after the session's end, `statuses` has the newest `Status` of
    each equipment, `rights` what the user may do with each (empty where that is not known), `awaited` the names that
    a call waits for, `last_callback_error` what the newest failing `subscribe` callback raised. `held_changed` is
    called after every login, and whenever what the kernel holds is something else than before; it must not raise.
    """

    def __init__(self) -> None:
        self.statuses: dict[str, Json] = {}
        self.rights: Mapping[str, Collection[str]] = {}
        self.session_id: str | None = None
        self.last_callback_error: BaseException | None = None
        self.held_changed: Callable[[], None] = lambda: None
        self.awaited: set[str] = set()
        self._locks: dict[str, Json] = {}
        self._notices: list[Notice] = []
        self._told = ""
        self._watchers: list[Callback] = []
        self._knowing = threading.RLock()

    def forget_in_fork(self) -> None:
        """Know nothing, in a fork: what was known was the parent's, and another thread may have held the lock."""
        StateMirror.__init__(self)

    # Read

    def held(self) -> dict[str, Json]:
        """Return the exclusive locks of this kernel by equipment (with `fence` and `claimed`), as far as it knows."""
        with self._knowing:
            return dict(self._locks)

    def take_notices(self) -> list[str]:
        """Return the sentences to show at the next cell boundary, once each."""
        with self._knowing:
            taken = self._notices
            self._notices = []
            self._told = ""
        return [notice.sentence for notice in taken]

    def forget_notices(self, told: str) -> None:
        """Forget the notices that `told` says, also those that come before the notices are taken."""
        with self._knowing:
            self._told = told
            self._notices = [notice for notice in self._notices if notice.sentence not in told]

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(equipment_id, status, event)` in the feed's thread after each change; returns the way out.

        `callback(None, None, None)` says that the feed was lost or has come back.
        """
        with self._knowing:
            self._watchers.append(callback)

        def unsubscribe() -> None:
            with self._knowing:
                if callback in self._watchers:
                    self._watchers.remove(callback)

        return unsubscribe

    # Written by the replies to our own requests

    def add_lock(self, lock: Json) -> None:
        """This session was granted `lock`."""
        if lock["lock_mode"] == "exclusive":
            with self._knowing:
                self._locks = self._locks | {lock["equipment_id"]: lock}
                self.held_changed()
                # Who has taken it up knows that it was their turn.
                self._withdraw("turn", lock["equipment_id"])

    def remove_lock(self, equipment_id: str) -> None:
        """This session gave its lock back."""
        with self._knowing:
            self._hold({name: lock for name, lock in self._locks.items() if name != equipment_id})

    def start_session(self, session_id: str) -> None:
        """A session begins."""
        with self._knowing:
            self.session_id = session_id
            self._locks = {}

    def end_session(self, sentence: str | None) -> None:
        """The session is over; with a `sentence`, the user is told which locks ended with it."""
        with self._knowing:
            lost = ", ".join(sorted(self._locks))
            self.session_id = None
            self._hold({})
            if lost and sentence is not None:
                why = sentence.rstrip(".")
                self._notice(
                    "end", "", f"The lock on {lost} ended with this kernel's session ({why}); log in again to go on."
                )

    # Written by the feed

    def handle_message(self, event: str, data: Json) -> None:
        """Take in one pushed message and tell the watchers."""
        match event:
            case "snapshot":
                for equipment_id, status in data["equipment"].items():
                    self._store(equipment_id, status, None)
            case "change" if data["event"]["equipment_id"] is not None:
                self._store(data["event"]["equipment_id"], data["status"], data["event"])
            case "status":
                self._store(data["equipment_id"], data, None)
            case "progress":
                known = self.statuses.get(data["equipment_id"])
                if known is not None:
                    self._store(data["equipment_id"], known | {"readback": data["readback"]}, None)

    def notify_subscribers(self, equipment_id: str | None, status: Json | None, event: Json | None) -> None:
        """Call every watcher; what one raises is kept, because a thread's output would land in any cell."""
        with self._knowing:
            watchers = tuple(self._watchers)
        for watcher in watchers:
            try:
                watcher(equipment_id, status, event)
            except Exception as error:  # noqa: BLE001 - somebody else's code, which must not end the feed
                self.last_callback_error = error

    def _store(self, equipment_id: str, status: Json | None, event: Json | None) -> None:
        if status is not None:
            with self._knowing:
                self._compare(equipment_id, status, event or {})
                self.statuses = self.statuses | {equipment_id: status}
        self.notify_subscribers(equipment_id, status or self.statuses.get(equipment_id), event)

    def _compare(self, equipment_id: str, status: Json, event: Json) -> None:
        """Bring our own lock into line with a status of the authority, and note what the user has to be told."""
        ours = self._locks.get(equipment_id)
        me = self.session_id
        now = status_text.local_now()
        known = status_text.ask_text(self.statuses.get(equipment_id, {}), me, now=now)
        if me is None or (ours is not None and status["fence"] < ours["fence"]):
            return  # older than the reply that gave us the lock
        if status["state"] == "held" and status["session_id"] == me:
            is_new = ours is None or ours["fence"] < status["fence"]
            if is_new and not status["claimed"] and equipment_id not in self.awaited:
                self._notice("turn", equipment_id, status_text.headline(status, me, now=now))
            self._hold(self._locks | {equipment_id: status})  # it has what a lock has
            if status["stopped_by"] != self.statuses.get(equipment_id, {}).get("stopped_by"):
                self._withdraw("stop", equipment_id)
                self._notice("stop", equipment_id, status_text.trouble_text(status, me, now=now))
        elif ours is not None:
            self.remove_lock(equipment_id)
            self._withdraw("turn", equipment_id)
            self._withdraw("stop", equipment_id)
            self._notice("loss", equipment_id, status_text.loss_text(status, me, now=now))
        elif event.get("event") == "observer_lock_released" and event["session_id"] == me:
            because = status_text.headline(status, me, now=now)
            lost = f"Your observer lock on {equipment_id} ended: {because}"
            self._notice("loss", equipment_id, lost if event["why"] not in status_text.OWN_DOING else "")
        asks = status_text.ask_text(status, me, now=now)
        self._withdraw("ask", equipment_id, unless=asks)
        for asked in asks:
            if asked not in known:
                self._notice("ask", equipment_id, asked)

    def _hold(self, locks: dict[str, Json]) -> None:
        changed = locks.keys() != self._locks.keys()
        self._locks = locks
        if changed:
            self.held_changed()

    def _notice(self, topic: Topic, equipment_id: str, sentence: str) -> None:
        if sentence and sentence not in self._told:
            self._notices = [*self._notices, Notice(topic, equipment_id, sentence)][-MOST_NOTICES:]

    def _withdraw(self, topic: Topic, equipment_id: str, *, unless: Sequence[str] = ()) -> None:
        """Forget the notices of a topic, for they are no longer so; not those whose sentence is one of `unless`."""
        about = (topic, equipment_id)
        kept = [x for x in self._notices if (x.topic, x.equipment_id) != about or x.sentence in unless]
        self._notices = kept

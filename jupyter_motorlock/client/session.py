"""One kernel's session at the authority: what magics, handles and panels do goes through it."""

from __future__ import annotations

import math
import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jupyter_motorlock.client.address import user_name
from jupyter_motorlock.client.commands import Command, command_from_description
from jupyter_motorlock.client.http import Client, Json
from jupyter_motorlock.client.in_flight import CallsInFlight
from jupyter_motorlock.client.link import Link
from jupyter_motorlock.client.state_mirror import Callback, StateMirror
from jupyter_motorlock.errors import (
    CommandFailed,
    CommandStopped,
    InvalidRequest,
    LockLost,
    SessionEnded,
    Unreachable,
)
from jupyter_motorlock.text.rows import RowList, event_rows, status_rows
from jupyter_motorlock.text.status import headline, local_now

CHECKED_AT_ONCE = 100  # commands
LOOK_AGAIN_S = 3.0  # while waiting, the authority is asked this often besides listening


class KernelSession:
    """The session; every method may be called from any thread.

    `url`, `user`, `token` and `ca_file` default to MOTORLOCK_URL, MOTORLOCK_USER, MOTORLOCK_TOKEN and
    MOTORLOCK_CA_FILE (see `client.address`). Raises `UsageProblem` for what cannot be used. The methods raise
    `Refused` when a rule says no, `Unreachable` within 3 s when nobody answers, and `MotorlockError` in a fork of
    the process that made the session.
    """

    def __init__(
        self, url: str | None = None, *, user: str | None = None, token: str | None = None, ca_file: str | None = None
    ) -> None:
        self.client = Client(url, token=token, ca_file=ca_file)
        self.user = user or user_name()
        self._pid = os.getpid()
        self.mirror = StateMirror()
        self.in_flight = CallsInFlight()
        self.link = Link(self.client, self.user, self.mirror, self.in_flight)
        self.known_commands: dict[str, dict[str, Command]] = {}
        self.panels: dict[tuple[str, ...], Any] = {}  # what is shown by it, and ends with it

    @property
    def session_id(self) -> str | None:
        """The id of the session; None before the first login and after its end."""
        return self.mirror.session_id

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Subscribe to the mirror, and listen from now on; returns what ends it."""
        unsubscribe = self.mirror.subscribe(callback)
        self.link.listen()
        return unsubscribe

    def close(self) -> None:
        """End the session for good, with its panels; does not raise when the authority is not there."""
        if os.getpid() == self._pid:
            for panel in self.panels.values():
                panel.close()
            self.panels.clear()
        self.link.close()

    # Asking

    def equipment_list(self) -> list[Json]:
        """Return what there is and who holds it."""
        return self.client.equipment_list()

    def equipment_ids(self) -> list[str]:
        """Return the ids of what there is."""
        return [str(item["id"]) for item in self.equipment_list()]

    def commands(self, equipment_id: str) -> dict[str, Command]:
        """Return the declared commands of the equipment by name, asked once."""
        if equipment_id not in self.known_commands:
            description = self.client.call("GET", "equipment", equipment_id)
            self.known_commands[equipment_id] = command_from_description(description)
        return self.known_commands[equipment_id]

    def status(self, equipment_id: str) -> Json:
        """Return the status as the authority has it now."""
        return self.client.call("GET", "locks", "status", equipment_id)

    def rows(self, *names: str) -> RowList:
        """Return who has what, asked now, as a row for each of `names`, or for all there is."""
        found = [self.status(name) for name in names or self.equipment_ids()]
        if not self.mirror.rights:  # no news was heard yet, which begins with them
            self.mirror.rights = self.client.rights()
        rights = self.mirror.rights
        return status_rows(found, self.session_id, whole=bool(names), now=local_now(), rights=rights)

    def headline(self, status: Mapping[str, Any]) -> str:
        """Return a status of the authority in one sentence, for the user of this session."""
        rights = self.mirror.rights.get(status["equipment_id"])
        return headline(status, self.session_id, now=local_now(), rights=rights)

    def newest_events(self, equipment_id: str, last: int) -> list[Json]:
        """Return the newest events of the equipment as the authority tells them, oldest first."""
        reply = self.client.call("GET", "locks", "events", equipment_id, params={"limit": str(last)})
        found: list[Json] = reply["events"]
        return found

    def events(self, equipment_id: str, last: int = 20, *, ids: bool = False) -> RowList:
        """Return the newest events of the equipment, at most `last` (1 to 1000), oldest first, as a row each.

        With `ids` the rows have those of sessions, locks, places and commands, too.
        """
        return event_rows(self.newest_events(equipment_id, last), now=local_now(), ids=ids)

    # Locks

    def acquire(
        self,
        *names: str,
        mode: str = "exclusive",
        queue: bool = False,
        note: str | None = None,
        timeout_s: float | None = None,
        priority: int = 0,
    ) -> Json:
        """Ask for all of `names`, or none; the reply's `status` is `locked`, `refreshed`, `observer` or `queued`."""
        asked: Json = {"lock_mode": mode, "queue_if_busy": queue, "note": note, "priority": priority}
        asked |= {"equipment_id": names[0]} if len(names) == 1 else {"equipment_ids": names}
        if timeout_s is not None:
            asked |= {"timeout_seconds": timeout_s}
        try:
            reply = self._as_me("locks", "acquire", **asked)
        except SessionEnded as ended:  # we have not heard of it yet: a login makes a new one
            self.link.forget_ended_session(self.session_id, str(ended))
            reply = self._as_me("locks", "acquire", **asked)
        if reply["status"] == "observer":
            for name in names:
                self.mirror.remove_lock(name)
        for lock in reply.get("locks") or filter(None, [reply.get("lock")]):
            self.mirror.add_lock(lock)
        return reply

    def wait_for(self, *names: str, go_on: Callable[[], None] = lambda: None) -> None:
        """Wait for the queue to grant all of `names`, and claim them; `leave` is the caller's.

        Raises `LockLost` when the place is gone, and what `go_on` raises, which is asked again and again.
        """
        news = threading.Event()
        unsubscribe = self.subscribe(lambda name, _, event: news.set() if name is None or event else None)
        self.mirror.awaited.update(names)
        try:
            while not self._are_granted(names):
                news.wait(LOOK_AGAIN_S)
                news.clear()
                go_on()
            for name in names:
                self.claim(name)
        finally:
            self.mirror.awaited.difference_update(names)
            unsubscribe()

    def _are_granted(self, names: Sequence[str]) -> bool:
        try:
            statuses = [self.status(name) for name in names]
        except Unreachable:
            return False  # queues survive a restart of the authority; an interrupt ends the waiting
        missing = [x for x in statuses if x["state"] != "held" or x["session_id"] != self.session_id]
        if missing and self._own_entry(missing[0]) is None:
            name = missing[0]["equipment_id"]
            gone = f"Your place in the queue for {name} is gone; log in again to go on waiting."
            raise LockLost(gone, code="unknown_entry", status=404, data=missing[0])
        return not missing

    def _own_entry(self, status: Json) -> Json | None:
        return next((entry for entry in status["queue"] if entry["session_id"] == self.session_id), None)

    def claim(self, equipment_id: str) -> Json:
        """Claim a lock that the queue granted, with all that was granted with it, and return it."""
        lock: Json = self._as_me("locks", "claim", equipment_id)["lock"]
        self.mirror.add_lock(lock)
        return lock

    def keep(self, equipment_id: str, seconds: float, note: str | None = None) -> Json:
        """Promise to need the lock for so many seconds, in which idling does not run; 0 takes the promise back."""
        return self._status_after("locks", "keep", equipment_id, seconds=seconds, note=note)

    def release(self, equipment_id: str, *, stop: bool = False, force: bool = False, reason: str | None = None) -> Json:
        """Give the lock back; `stop` ends the running command, `force` takes it from whoever has it."""
        if self.session_id is None and not force:
            return {"success": True, "status": "not_locked", "was_forced": False, "draining": False}
        asked: Json = {"equipment_id": equipment_id, "force": force, "stop": stop, "reason": reason}
        reply = self._as_me("locks", "release", **asked)
        self.mirror.remove_lock(equipment_id)
        return reply

    def leave(self, equipment_id: str) -> bool:
        """Leave the queue; returns whether there was a place to leave: the grant may have come first."""
        mine = self._own_entry(self.status(equipment_id)) if self.session_id else None
        if mine is None:
            return False
        asked = {"session_id": self.link.session()}
        try:
            self.client.call("DELETE", "locks", "queue", equipment_id, mine["queue_id"], params=asked)
        except InvalidRequest:
            return False
        return True

    def hand_over(self, equipment_id: str, to: str) -> Json:
        """Give the lock to one who waits: their user, session or `queue_id`; returns the status after it."""
        status = self._status_after("locks", "handover", equipment_id, to=to)
        self.mirror.remove_lock(equipment_id)
        return status

    # Waiting

    def ask(self, equipment_id: str, reason: str | None = None, *, seconds: float = 120) -> Json:
        """Ask the holder, as one who waits, to yield; `seconds` is the time to answer. Returns the status."""
        return self._status_after("locks", "ask", equipment_id, reason=reason, seconds=seconds)

    def answer(
        self, equipment_id: str, queue_id: str, answer: str, *, seconds: float | None = None, note: str | None = None
    ) -> Json:
        """Answer what an entry asked: `yield` now, `later` in `seconds`, or `no`; returns the status after it."""
        asked: Json = {"queue_id": queue_id, "answer": answer, "note": note}
        if seconds is not None:
            asked |= {"seconds": seconds}
        status = self._status_after("locks", "answer", equipment_id, **asked)
        if answer == "yield":
            self.mirror.remove_lock(equipment_id)
        return status

    def swap(self, equipment_id: str, queue_id: str | None) -> Json:
        """Offer to swap places with that entry, or agree to its offer; None takes the offer back."""
        return self._status_after("locks", "queue", equipment_id, "swap", **{"with": queue_id})

    # Motion

    def command(self, equipment_id: str, action: str, parameters: Mapping[str, object]) -> Any:
        """Run a command to its end and return its value.

        Raises `CommandFailed` or `CommandStopped` when it did not do what was asked.
        """
        return outcome_of_reply(self.send(equipment_id, action, parameters, key=str(uuid.uuid4())))

    def send(
        self,
        equipment_id: str,
        action: str,
        parameters: Mapping[str, object],
        *,
        key: str,
        within_s: float = math.inf,
    ) -> Json:
        """Send a command and return its reply at its end, or `within_s` seconds later with the outcome `running`."""
        body: Json = {"command_id": key, "equipment_id": equipment_id, "action": action, "parameters": dict(parameters)}
        return self.client.command(equipment_id, body | self._sender_fields(equipment_id), key=key, within_s=within_s)

    def check(self, equipment_id: str, commands: Sequence[tuple[str, Mapping[str, object]]]) -> list[Json]:
        """Ask of each command whether it would be accepted now: `accepted`, `refusal` and `always`. Changes nothing."""
        asked = [{"action": action, "parameters": dict(parameters)} for action, parameters in commands]
        found: list[Json] = []
        for begin in range(0, len(asked), CHECKED_AT_ONCE):
            body = {"commands": asked[begin : begin + CHECKED_AT_ONCE], **self._sender_fields(equipment_id)}
            found += self.client.call("POST", "equipment", equipment_id, "check", body=body)["commands"]
        return found

    def _sender_fields(self, equipment_id: str) -> Json:
        """Return for whom a command is sent and, where this kernel holds the equipment, under which fence."""
        lock = self.mirror.held().get(equipment_id)
        return {"session_id": self.link.session()} | ({"fence": lock["fence"]} if lock else {})

    def stop(self, equipment_id: str, reason: str | None = None) -> Json:
        """Stop the equipment now, with or without a lock."""
        asked = {**self._who_asks(), "reason": reason}
        return self.client.call("POST", "equipment", equipment_id, "stop", body=asked)

    def resume(self, equipment_id: str) -> Json:
        """Allow control again after somebody else's stop."""
        return self._as_me("equipment", equipment_id, "resume")

    def clear_fault(self, equipment_id: str, reason: str) -> Json:
        """Say, with or without a session, that equipment at fault stands and may be driven again."""
        asked = {**self._who_asks(), "reason": reason}
        return self.client.call("POST", "equipment", equipment_id, "clear-fault", body=asked)

    def _who_asks(self) -> Json:
        if self.session_id:
            return {"session_id": self.session_id}
        return {"user": self.user}

    def _status_after(self, *path: str, **fields: object) -> Json:
        status: Json = self._as_me(*path, **fields)["status"]
        return status

    def _as_me(self, *path: str, **fields: object) -> Json:
        return self.client.call("POST", *path, body={**fields, "session_id": self.link.session()})


def outcome_of_reply(reply: Json) -> Any:
    """Return the value in the reply of a command that is over, or raise what became of it."""
    match reply.get("outcome"):
        case "done" if reply.get("error"):  # it was carried out, and its answer is not kept any more
            raise CommandFailed(reply["error"], outcome="done")
        case "done":
            return reply.get("data")
        case "stopped":
            raise CommandStopped(reply.get("error") or "The command was stopped.")
        case end:
            raise CommandFailed(reply.get("error") or f"The command ended as {end}.", outcome=str(end))

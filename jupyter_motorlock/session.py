"""One kernel's session at the authority: what magics, handles and panels do goes through it."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_motorlock.client import Client, Json
from jupyter_motorlock.errors import (
    CommandFailed,
    CommandStopped,
    InvalidRequest,
    LockLost,
    SessionEnded,
    Unreachable,
)
from jupyter_motorlock.link import Link
from jupyter_motorlock.mirror import Callback, essence

DEFAULT_URL = "http://127.0.0.1:8790"
LOOK_AGAIN_S = 3.0  # while waiting, the authority is asked this often besides listening


class KernelSession:
    """The session; every method may be called from any thread.

    `url`, `user` and `token` default to MOTORLOCK_URL, MOTORLOCK_USER and MOTORLOCK_TOKEN. The methods raise
    `Refused` when a rule says no, `Unreachable` within 3 s when nobody answers, and `MotorlockError` in a fork of
    the process that made the session.
    """

    def __init__(self, url: str | None = None, *, user: str | None = None, token: str | None = None) -> None:
        self.client = Client(
            url or os.environ.get("MOTORLOCK_URL") or DEFAULT_URL,
            token=token or os.environ.get("MOTORLOCK_TOKEN") or None,
        )
        self.user = user or _user()
        self._link = Link(self.client, self.user)
        self._described: dict[str, Json] = {}

    # What is known without asking

    @property
    def url(self) -> str:
        """The address of the authority."""
        return self.client.url

    @property
    def session_id(self) -> str | None:
        """The id of the session, None before the first login and after its end."""
        return self._link.mirror.session_id

    @property
    def statuses(self) -> dict[str, Json]:
        """The newest `Status` of each equipment that the feed told."""
        return self._link.mirror.statuses

    @property
    def feed_alive(self) -> bool:
        """Whether news arrives; False before the first login or `watch`."""
        return self._link.alive

    @property
    def last_callback_error(self) -> BaseException | None:
        """What the newest failing `watch` callback raised."""
        return self._link.mirror.last_callback_error

    def held(self) -> dict[str, Json]:
        """Return the exclusive locks of this kernel, by equipment, as far as it knows."""
        return self._link.mirror.locks()

    def take_notices(self) -> list[str]:
        """Return the sentences to show at the next cell boundary, once each."""
        return self._link.mirror.take_notices()

    def watch(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(equipment_id, status, event)` in the feed's thread after each change; returns the way out.

        `callback(None, None, None)` says that the feed was lost or has come back (`feed_alive` says which).
        """
        unsubscribe = self._link.mirror.watch(callback)
        self._link.listen()
        return unsubscribe

    # Asking

    def equipment_list(self) -> list[Json]:
        """Return what there is and who holds it."""
        return self.client.equipment_list()

    def describe(self, equipment_id: str) -> Json:
        """Return the declared commands, label and policies of the equipment, asked once."""
        known = self._described.get(equipment_id)
        if known is None:
            known = self._described[equipment_id] = self.client.describe(equipment_id)
        return known

    def status(self, equipment_id: str) -> Json:
        """Return the status as the authority has it now."""
        return self.client.status(equipment_id)

    # Locks

    def acquire(
        self,
        equipment_id: str,
        *,
        mode: str = "exclusive",
        queue: bool = False,
        note: str | None = None,
        timeout_s: float | None = None,
    ) -> Json:
        """Ask for a lock; the reply's `status` is `locked`, `refreshed`, `observer` or `queued`."""
        asked: Json = {"equipment_id": equipment_id, "lock_mode": mode, "queue_if_busy": queue}
        asked |= {} if note is None else {"note": note}
        asked |= {} if timeout_s is None else {"timeout_seconds": timeout_s}
        try:
            reply = self.client.acquire(asked | {"session_id": self._link.session()})
        except SessionEnded as ended:  # we have not heard of it yet: a login makes a new one
            self._link.is_over(str(ended))
            reply = self.client.acquire(asked | {"session_id": self._link.session()})
        if isinstance(reply.get("lock"), dict):
            self._link.mirror.took(reply["lock"])
        return reply

    def wait_for(self, equipment_id: str, on_wait: Callable[[Json], object] | None = None) -> Json:
        """Wait for the queue to grant the equipment, claim it and return the lock.

        `on_wait(status)` is called at once and after each change. An interrupt leaves the queue. Raises `LockLost`
        when the place in the queue is gone.
        """
        self._link.mirror.awaited.add(equipment_id)
        try:
            self._wait(equipment_id, on_wait)
            return self.claim(equipment_id)
        except KeyboardInterrupt:
            self.leave(equipment_id)
            raise
        finally:
            self._link.mirror.awaited.discard(equipment_id)

    def _wait(self, equipment_id: str, on_wait: Callable[[Json], object] | None) -> None:
        """Return when the authority says that the equipment is ours; the feed says when to ask it."""
        shown = None
        while True:
            told = essence(self.statuses.get(equipment_id))
            try:
                status = self.status(equipment_id)
            except Unreachable:
                status = None  # queues survive a restart of the authority; an interrupt ends the waiting
            if status is not None:
                if self._is_ours(status):
                    return
                if self._entry(status) is None:
                    gone = f"Your place in the queue for {equipment_id} is gone; log in again to go on waiting."
                    raise LockLost(gone, code="unknown_entry", status=404, data=status)
                if on_wait is not None and essence(status) != shown:
                    shown = essence(status)
                    on_wait(status)
            self._link.mirror.wait_until_differs(equipment_id, told, LOOK_AGAIN_S)

    def _is_ours(self, status: Json) -> bool:
        return bool(status["state"] == "held" and status["session_id"] == self.session_id)

    def _entry(self, status: Json) -> Json | None:
        return next((entry for entry in status["queue"] if entry["session_id"] == self.session_id), None)

    def claim(self, equipment_id: str) -> Json:
        """Claim a lock that the queue granted, and return it."""
        lock: Json = self.client.claim(equipment_id, self._link.session())["lock"]
        self._link.mirror.took(lock)
        return lock

    def release(self, equipment_id: str, *, stop: bool = False, force: bool = False, reason: str | None = None) -> Json:
        """Give the lock back; `stop` ends the running command, `force` takes it from whoever has it."""
        if self.session_id is None and not force:
            return {"success": True, "status": "not_locked", "was_forced": False, "draining": False}
        body: Json = {
            "equipment_id": equipment_id,
            "session_id": self._link.session(),
            "force": force,
            "stop": stop,
        }
        reply = self.client.release(body | ({} if reason is None else {"reason": reason}))
        self._link.mirror.let_go(equipment_id)
        return reply

    def leave(self, equipment_id: str) -> None:
        """Leave the queue; a lock that was granted at that moment is given back."""
        if self.session_id is None:
            return
        mine = self._entry(self.status(equipment_id))
        if mine is not None:
            try:
                self.client.leave(equipment_id, mine["queue_id"], self.session_id)
                return
            except InvalidRequest:
                pass  # the grant came first
        if self._is_ours(self.status(equipment_id)):
            self.release(equipment_id)

    # Motion

    def command(self, equipment_id: str, action: str, parameters: Mapping[str, object]) -> Any:
        """Run a command to its end and return its value.

        Raises `CommandFailed` or `CommandStopped` when it did not do what was asked.
        """
        key = str(uuid.uuid4())
        body: Json = {
            "command_id": key,
            "equipment_id": equipment_id,
            "action": action,
            "parameters": dict(parameters),
        }
        body["session_id"] = self._link.session()
        lock = self._link.mirror.locks().get(equipment_id)
        reply = self.client.command(equipment_id, body | ({"fence": lock["fence"]} if lock else {}), key=key)
        match reply.get("outcome"):
            case "done":
                return reply.get("data")
            case "stopped":
                raise CommandStopped(reply.get("error") or f"{action} was stopped.")
            case outcome:
                raise CommandFailed(reply.get("error") or f"{action} ended as {outcome}.", outcome=str(outcome))

    def stop(self, equipment_id: str, reason: str | None = None) -> Json:
        """Stop the equipment now, with or without a lock."""
        speaker = {"session_id": self.session_id} if self.session_id else {"user": self.user}
        return self.client.stop(equipment_id, speaker | ({} if reason is None else {"reason": reason}))

    def resume(self, equipment_id: str) -> Json:
        """Allow control again after somebody else's stop."""
        return self.client.resume(equipment_id, self._link.session())

    # The life of the session

    def busy(self, busy: bool) -> None:
        """Tell the authority, through the keeper, whether a cell runs; makes no request and never waits."""
        self._link.busy(busy)

    def close(self) -> None:
        """End the session politely; what it holds is released. Does not raise when the authority is not there."""
        self._link.close()


def _user() -> str:
    """Return who the user is, as far as the environment knows."""
    named = os.environ.get("MOTORLOCK_USER") or os.environ.get("JUPYTERHUB_USER")
    if named:
        return named
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # no entry for this user id
        return f"somebody@{socket.gethostname()}"

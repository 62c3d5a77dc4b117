"""What a kernel is told of the process that it was before a restart: the kernel's id stays, what it held does not.

While something is held, a file beside the kernel's connection file says so; it is removed when nothing is held any
more. One that is there when the extension is loaded is of a process that ended with its locks. It has no secrets.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_motorlock.client.http import Json
from jupyter_motorlock.errors import Refused
from jupyter_motorlock.text import status as status_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_motorlock.client.session import KernelSession

SUFFIX = ".motorlock"
FORGOTTEN_S = 86_400.0  # a kernel that is not back by then was shut down for good


class RestartNote:
    """The file of one kernel; an IPython without a connection file has none and remembers nothing."""

    def __init__(self, shell: InteractiveShell) -> None:
        connection = getattr(getattr(getattr(shell, "kernel", None), "parent", None), "abs_connection_file", "")
        # Hidden, because Jupyter takes every other name with the kernel's id in it for a connection file.
        self._file = Path(connection).with_name(f".{Path(connection).name}{SUFFIX}") if connection else None
        self._before = self._read()

    def keep(self, session: KernelSession) -> None:
        """Write down what `session` holds now; what cannot be written is not remembered."""
        if self._file is None:
            return
        held = {name: (lock.get("holder") or lock).get("note") for name, lock in session.mirror.held().items()}
        kept = {"url": session.client.url, "user": session.user, "session_id": session.session_id, "held": held}
        with suppress(OSError):
            if held:
                _write(self._file, json.dumps(kept))
                _forget_the_dead(self._file.parent)
            else:
                self._file.unlink(missing_ok=True)

    def report(self, session: KernelSession) -> list[str]:
        """Return once what became of what the process before held, a sentence for each piece of equipment.

        Raises `Unreachable` when the authority does not answer; then it is told another time.
        """
        if self._before is None:
            return []
        told = [_what_became(self._before, name, session) for name in self._before["held"]]
        self._before = None
        self.keep(session)
        return told

    def _read(self) -> Json | None:
        with suppress(OSError, ValueError):
            if self._file is not None:
                found: Json = json.loads(self._file.read_text(encoding="utf-8"))
                return found
        return None


def _write(file: Path, text: str) -> None:
    """Write the file whole or not at all, for the user alone to read."""
    fd, name = tempfile.mkstemp(prefix=".", suffix=f"{SUFFIX}-new", dir=file.parent)
    with open(fd, "w", encoding="utf-8") as new:
        new.write(text)
    os.replace(name, file)


def _forget_the_dead(place: Path) -> None:
    for file in place.glob(f".*{SUFFIX}"):
        connection = file.with_name(file.name.removeprefix(".").removesuffix(SUFFIX))
        if not connection.exists() and time.time() - file.stat().st_mtime > FORGOTTEN_S:
            file.unlink()


def _what_became(before: Json, name: str, session: KernelSession) -> str:
    """Return what became of the lock on `name`, who has it now, and what to type to ask for it again."""
    note = ""
    if before["held"][name]:
        note = f" ({before['held'][name]})"
    again = f"%motor_login {name}"
    if before["user"] != session.user:
        again += f" --as {shlex.quote(before['user'])}"
    if before["url"] != session.client.url:
        return f"This kernel was restarted, which ends its lock on {name}{note} at {before['url']}."
    try:
        status = session.status(name)
    except Refused as refused:
        return f"This kernel was restarted while it held {name}{note}: {refused}"
    if status["state"] == "held" and status["session_id"] == before["session_id"]:
        known = "and the authority has not heard of it yet"
        return f"This kernel was restarted, {known}: {name}{note} is held for it as it was; {again} --wait asks for it."
    waits = " --wait"
    if status["state"] == "free":
        waits = ""
    ended = f"your lock on {name}{note} {_ended(status, before['session_id'])}"
    stands = status_text.local_text(status["text"], status_text.local_now())
    return f"This kernel was restarted: {ended}. {stands} {again}{waits} asks for it again."


def _ended(status: Json, session_id: str) -> str:
    draining = status["draining"] or {}
    losses = [draining | {"at": draining.get("since"), "session_id": status["session_id"]}, status["last_lost"] or {}]
    loss = next((loss for loss in losses if loss.get("why") and loss["session_id"] == session_id), None)
    if loss is None:
        return "has ended"
    at = status_text.clock_text(loss["at"], status_text.local_now())
    return f"ended at {at} because {loss['text']}"

"""Reads the authority's pushed events in one daemon thread, and resumes where a broken stream ended."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests

from jupyter_motorlock.client.http import Client, Json
from jupyter_motorlock.client.state_mirror import StateMirror
from jupyter_motorlock.errors import MotorlockError, Refused

log = logging.getLogger("jupyter_motorlock")

FIRST_RETRY_S = 0.1  # well below the 5 s within which a closed connection must be back
SLOWEST_RETRY_S = 5.0
LONGEST_MESSAGE = 16 * 1024 * 1024  # bytes; a snapshot of some thousand equipments


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event; `data` is the text of its data lines."""

    event: str
    data: str


class SseParser:
    """Turns bytes, cut anywhere, into messages, as the authority writes them: each ends with an empty line.

    `id` (every message has its number in its data) and comments are passed over. Raises `ValueError` for a
    message without end.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that `chunk` completes."""
        *messages, self._rest = (self._rest + chunk).split(b"\n\n")
        for message in messages:
            fields = dict(line.partition(": ")[::2] for line in message.decode(errors="replace").split("\n"))
            if "data" in fields:
                yield Message(fields.get("event", "message"), fields["data"])
        if len(self._rest) > LONGEST_MESSAGE:
            raise ValueError("a pushed message is longer than any that the authority sends")


class Feed:
    """The thread, which lives until `close`, whatever authority and network do.

    `on_message` is called with each pushed message, `on_ended` with a session that the authority knows no more, and
    why. `after` is the sequence number of the newest event heard, None before the first snapshot.
    """

    def __init__(
        self,
        client: Client,
        mirror: StateMirror,
        *,
        on_message: Callable[[str, Json], None],
        on_ended: Callable[[str | None, str], None],
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._on_message = on_message
        self._on_ended = on_ended
        self.after: int | None = None
        self.alive = False
        self.fd = -1
        self.session_id: str | None = None  # whom the present connection speaks for
        self._fd_lock = threading.Lock()
        self._closed = False
        self._heard = False  # something, in the present connection
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="motorlock-feed", daemon=True)

    def start(self) -> None:
        """Start listening; once."""
        self._thread.start()

    def reconnect(self) -> None:
        """End the present connection, so that the next one is made for the session there is now."""
        self._wake.set()
        with self._fd_lock:
            if self.fd < 0:
                return
            # Shutting it down wakes the thread out of its read; it may just have ended by itself.
            with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(self.fd)) as connection:
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the thread and wait for it, unless it is the one that asks."""
        self._closed = True
        self.reconnect()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        wait_s = FIRST_RETRY_S
        while not self._closed:
            self._wake.clear()
            self._heard = False
            asked_again = self._listen_once()
            if self._heard:
                wait_s = FIRST_RETRY_S
            else:
                self._set_alive(False)  # a stream that ended and is back at once was not lost
            if not asked_again and not self._closed:
                self._wake.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the load, hides nothing
                wait_s = min(wait_s * 2, SLOWEST_RETRY_S)

    def _listen_once(self) -> bool:
        """Follow one connection to its end; True when the next one is to be made without waiting."""
        session_id = self.session_id = self._mirror.session_id
        try:
            self._mirror.rights = self._client.rights()
            with self._client.open_stream(self._params(session_id)) as response:
                self._follow(response)
        except Refused as refused:
            if refused.code in ("session_ended", "unknown_session", "bad_session_token"):
                self._on_ended(session_id, str(refused))
                return refused.code != "bad_session_token"
        except (MotorlockError, requests.RequestException, OSError, ValueError, LookupError):
            pass  # a lost connection, or something that is no stream of the authority: again after a while
        return self._wake.is_set()

    def _params(self, session_id: str | None) -> dict[str, str]:
        params = {"role": "feed", "session_id": session_id} if session_id else {"role": "watch"}
        return params | ({} if self.after is None else {"after": str(self.after)})

    def _follow(self, response: requests.Response) -> None:
        parser = SseParser()
        with self._fd_lock:
            self.fd = response.raw.fileno()
        try:
            for chunk in response.iter_content(chunk_size=None):
                for message in parser.feed(chunk):
                    self._pass_on(message)
                if self._closed or self._wake.is_set():
                    return
        finally:
            with self._fd_lock:
                self.fd = -1

    def _pass_on(self, message: Message) -> None:
        data = json.loads(message.data)
        if not isinstance(data, dict):
            return
        self._on_message(message.event, data)
        if message.event in ("change", "snapshot"):
            self.after = int(data["seq"])
        self._heard = True
        if message.event == "snapshot":
            self._set_alive(True)

    def _set_alive(self, alive: bool) -> None:
        if alive != self.alive:
            if alive:
                log.info("news comes from the authority at %s", self._client.url)
            elif not self._closed:
                log.warning("no news comes from the authority at %s; it is tried again", self._client.url)
            self.alive = alive
            self._mirror.notify_subscribers(None, None, None)

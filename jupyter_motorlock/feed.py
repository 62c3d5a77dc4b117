"""Reads the authority's pushed events in one daemon thread, and resumes where a broken stream ended."""

from __future__ import annotations

import codecs
import contextlib
import json
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import requests

from jupyter_motorlock.client import Client, Json
from jupyter_motorlock.errors import MotorlockError, Refused, SessionEnded

FIRST_RETRY_S = 0.1  # well below the 5 s within which a closed connection must be back
SLOWEST_RETRY_S = 5.0
LONGEST_MESSAGE = 16 * 1024 * 1024  # characters; a snapshot of some thousand equipments


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event; `data` is the text of its data lines."""

    event: str
    data: str


class SseParser:
    """Turns bytes, cut anywhere, into messages, as the standard of server-sent events says.

    `id` (every message has its number in its data), `retry` and comments are passed over. Raises `ValueError`
    for a message without end.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._event, self._data, self._size = "", list[str](), 0

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that `chunk` completes."""
        text = self._rest + self._decode.decode(chunk)
        held = "\r" if text.endswith("\r") else ""  # its "\n" may be in the next chunk
        lines = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + held
        for line in lines:
            message = self._line(line)
            if message is not None:
                yield message
        if len(self._rest) + self._size > LONGEST_MESSAGE:
            raise ValueError("a pushed message is longer than any that the authority sends")

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._end()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
                self._size += len(value)
        return None

    def _end(self) -> Message | None:
        event, data = self._event or "message", self._data
        self._event, self._data, self._size = "", [], 0
        return Message(event, "\n".join(data)) if data else None


class Listener(Protocol):
    """Who the feed tells. Every method is called in the feed's thread."""

    def session_to_speak_for(self) -> str | None:
        """The session whose connection this is, or None to watch only."""

    def heard(self, event: str, data: Json) -> None:
        """A `change`, `snapshot`, `progress` or `ping` came."""

    def feed_changed(self) -> None:
        """The feed was lost, or is there (again)."""

    def session_is_over(self, session_id: str, sentence: str) -> None:
        """The authority refused the session as ended."""


class Feed:
    """The thread; it lives until `close`, whatever the authority and the network do.

    `after` is the sequence number of the newest event heard, None before the first snapshot.
    """

    def __init__(self, client: Client, listener: Listener) -> None:
        self._client, self._listener = client, listener
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
        session_id = self.session_id = self._listener.session_to_speak_for()
        try:
            with self._client.open_stream(self._params(session_id)) as response:
                self._follow(response)
        except SessionEnded as ended:
            if session_id is not None:
                self._listener.session_is_over(session_id, str(ended))
                return True
        except Refused as refused:
            if session_id is not None and refused.code == "bad_session_token":
                self._listener.session_is_over(session_id, str(refused))
        except (MotorlockError, requests.RequestException, OSError, ValueError):
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
        self._listener.heard(message.event, data)
        if message.event in ("change", "snapshot"):
            self.after = int(data["seq"])
        self._heard = True
        if message.event == "snapshot":
            self._set_alive(True)

    def _set_alive(self, alive: bool) -> None:
        if alive != self.alive:
            self.alive = alive
            self._listener.feed_changed()

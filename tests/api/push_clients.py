"""Plain listeners to what is pushed, one for each way; the contract suite runs on both."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

import pytest
import requests
from rest_lab import PATIENCE_S, Authority, refused
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


class Message(NamedTuple):
    """One message; only a server-sent event has an id of its own."""

    id: int | None
    event: str
    data: dict[str, Any]


def is_snapshot(message: Message) -> bool:
    return message.event == "snapshot"


def is_ping(message: Message) -> bool:
    return message.event == "ping"


def is_change(message: Message) -> bool:
    return message.event == "change"


def changes(messages: list[Message]) -> list[int]:
    """Return the sequence numbers of the changes."""
    return [message.data["seq"] for message in messages if is_change(message)]


class PushClient:
    """An open subscription; use it in a `with` block."""

    _messages: Iterator[Message]

    def __init__(self, lab: Authority, query: str = "role=watch", **headers: str) -> None:
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @staticmethod
    def assert_refused(lab: Authority, status: int, code: str, query: str = "role=watch", **headers: str) -> None:
        """Check that a subscription is refused so."""
        raise NotImplementedError

    @staticmethod
    def not_reading(lab: Authority, query: str) -> Callable[[], list[int]]:
        """Subscribe and read nothing; the result reads until the authority closes, and returns the numbers."""
        raise NotImplementedError

    def next(self) -> Message:
        """Return the next message."""
        return next(self._messages)

    def to(self, fits: Callable[[Message], bool]) -> list[Message]:
        """Return the messages up to and with the first that fits."""
        found: list[Message] = []
        for message in self._messages:
            found.append(message)
            if fits(message):
                return found
        raise AssertionError(f"the stream ended after {[(m.id, m.event) for m in found][-50:]}")

    def snapshot(self) -> Message:
        """Return the next snapshot."""
        return self.to(is_snapshot)[-1]

    def change(self, name: str, **fields: object) -> Message:
        """Return the next change whose event is `name` with these fields."""
        return self.to(
            lambda message: (
                is_change(message)
                and fields.items() <= message.data["event"].items()
                and (message.data["event"]["event"] == name)
            )
        )[-1]


class EventStream(PushClient):
    """Server-sent events, at `/api/events`."""

    def __init__(self, lab: Authority, query: str = "role=watch", **headers: str) -> None:
        super().__init__(lab)
        http = self._open.enter_context(requests.Session())
        http.trust_env = False
        url = f"{lab.url}/api/events?{query}"
        self.answer = self._open.enter_context(http.get(url, headers=headers, stream=True, timeout=PATIENCE_S))
        self._messages = self._parse()

    @staticmethod
    def assert_refused(lab: Authority, status: int, code: str, query: str = "role=watch", **headers: str) -> None:
        refused(lab.get(f"/events?{query}", headers=headers), status, code)

    @staticmethod
    def not_reading(lab: Authority, query: str) -> Callable[[], list[int]]:
        line = _narrow_connection(lab)
        line.sendall(f"GET /api/events?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        line.recv(1)

        def read_to_the_end() -> list[int]:
            received = b""
            with line:
                while not received.endswith(b"\r\n0\r\n\r\n"):
                    received += line.recv(65536)
            return [int(text[4:]) for text in received.split(b"\n") if text.startswith(b"id: ")]

        return read_to_the_end

    def rest(self) -> list[Message]:
        """Return all messages to the end of the stream."""
        return list(self._messages)

    def _parse(self) -> Iterator[Message]:
        waiting = b""
        for chunk in self.answer.iter_content(chunk_size=None):
            *whole, waiting = (waiting + chunk).split(b"\n\n")
            for block in whole:
                fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
                number = int(fields["id"]) if "id" in fields else None
                yield Message(number, fields["event"], json.loads(fields["data"]))


class WebSocketStream(PushClient):
    """The WebSocket, at `/api/ws`; `line` is what the websockets package has of it."""

    def __init__(
        self, lab: Authority, query: str = "role=watch", sock: socket.socket | None = None, **headers: str
    ) -> None:
        super().__init__(lab)
        more = {} if sock is None else {"sock": sock, "max_queue": 1}
        self.line = self._open.enter_context(open_websocket(lab, query, additional_headers=headers, **more))
        self._messages = self._parse()

    @staticmethod
    def assert_refused(lab: Authority, status: int, code: str, query: str = "role=watch", **headers: str) -> None:
        with pytest.raises(InvalidStatus) as refusal, open_websocket(lab, query, additional_headers=headers):
            pass
        answer = refusal.value.response
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.body)["code"] == code

    @staticmethod
    def not_reading(lab: Authority, query: str) -> Callable[[], list[int]]:
        slow = WebSocketStream(lab, query, _narrow_connection(lab))

        def read_to_the_end() -> list[int]:
            received, code, reason = slow.ended()
            assert (code, reason) == (1013, "You did not keep up; come back with after=SEQ.")
            return [message.data["seq"] for message in received]

        return read_to_the_end

    def ended(self) -> tuple[list[Message], int, str]:
        """Return what came to the end, and the code and reason of the close."""
        found: list[Message] = []
        with pytest.raises(ConnectionClosed) as closed:
            found.extend(self._messages)
        with self:
            assert closed.value.rcvd is not None, "closed without a word"
            return found, closed.value.rcvd.code, closed.value.rcvd.reason

    def _parse(self) -> Iterator[Message]:
        while True:
            text = self.line.recv(PATIENCE_S)
            assert isinstance(text, str)
            yield Message(None, **json.loads(text))


def open_websocket(lab: Authority, query: str = "role=watch", **more: Any) -> connect:
    url = f"{lab.url.replace('http', 'ws', 1)}/api/ws?{query}"
    return connect(url, proxy=None, compression=None, max_size=None, ping_interval=None, **more)


def _narrow_connection(lab: Authority) -> socket.socket:
    """Connect with a receive buffer so small that the authority soon notices who does not read."""
    host, _, port = lab.url.removeprefix("http://").partition(":")
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(PATIENCE_S)
    line.connect((host, int(port)))
    return line

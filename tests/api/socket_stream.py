"""A plain listener at the WebSocket: what came, message by message, as at the event stream."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from rest_lab import PATIENCE_S, Authority
from sse import Message, Stream
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class Socket(Stream):
    """An open WebSocket at `/api/ws`, read as the other stream is; a message has no id of its own."""

    def __init__(
        self, lab: Authority, query: str = "role=watch", sock: socket.socket | None = None, **headers: str
    ) -> None:
        self._open = ExitStack()
        more = {} if sock is None else {"sock": sock, "max_queue": 1}
        self.line = self._open.enter_context(opening(lab, query, additional_headers=headers, **more))
        self._messages = self._parse()

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _parse(self) -> Iterator[Message]:
        while True:
            text = self.line.recv(PATIENCE_S)
            assert isinstance(text, str)
            yield Message(None, **json.loads(text))

    def ended(self) -> tuple[list[Message], int, str]:
        """Return what came to the end, and the code and reason of the close."""
        found: list[Message] = []
        with pytest.raises(ConnectionClosed) as closed:
            found.extend(self._messages)
        with self:
            assert closed.value.rcvd is not None, "closed without a word"
            return found, closed.value.rcvd.code, closed.value.rcvd.reason


def opening(lab: Authority, query: str = "role=watch", **more: Any) -> connect:
    url = f"{lab.url.replace('http', 'ws', 1)}/api/ws?{query}"
    return connect(url, proxy=None, compression=None, max_size=None, ping_interval=None, **more)

"""A plain listener to the pushed events: what came, message by message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import requests
from rest_lab import PATIENCE_S, Authority


class Message(NamedTuple):
    """One server-sent event."""

    id: int | None
    event: str
    data: dict[str, Any]


class Stream:
    """An open stream of `/api/events`; use it in a `with` block."""

    def __init__(self, lab: Authority, query: str = "role=watch", **headers: str) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        self.answer = self._http.get(f"{lab.url}/api/events?{query}", headers=headers, stream=True, timeout=PATIENCE_S)
        self._messages = self._parse()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self._http.close()

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

    def change(self, name: str, **fields: object) -> Message:
        """Return the next change whose event is `name` with these fields."""
        return self.to(
            lambda m: (
                m.event == "change" and m.data["event"]["event"] == name and fields.items() <= m.data["event"].items()
            )
        )[-1]

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

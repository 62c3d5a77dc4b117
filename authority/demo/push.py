"""What the authority pushes, waited for one after another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self, TypeAlias

import requests

from jupyter_motorlock.client.feed import SseParser

Fields: TypeAlias = Mapping[str, object]
PATIENCE_S = 60.0
_CONNECT_S = 5.0
_SILENCE_S = 20.0  # the authority gives a sign of life every 5 s


class NothingCame(Exception):
    """What was waited for did not happen in time."""


class Push:
    """One subscription; `until` reads on from where the last one ended, so that nothing is missed."""

    def __init__(self, url: str) -> None:
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy has no business between two processes of one machine
        self._stream = self._http.get(f"{url}/api/events?role=watch", stream=True, timeout=(_CONNECT_S, _SILENCE_S))
        self._stream.raise_for_status()
        self._messages = self._read()

    def until(self, name: str, holds: Callable[[Fields], bool] = lambda _: True) -> Fields:
        """Return the next event called `name` (or the next `progress`) for which `holds`; raises `NothingCame`."""
        give_up = time.monotonic() + PATIENCE_S
        for kind, data in self._messages:
            event = data.get("event")
            called, found = (str(event["event"]), event) if isinstance(event, dict) else (kind, data)
            if called == name and holds(found):
                return found
            if time.monotonic() > give_up:
                break
        raise NothingCame(f"no {name} came within {PATIENCE_S:.0f} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._http.close()

    def _read(self) -> Iterator[tuple[str, Fields]]:
        parser = SseParser()
        for chunk in self._stream.iter_content(chunk_size=None):
            for message in parser.feed(chunk):
                yield message.event, json.loads(message.data)


def moment(event: Fields) -> float:
    """Return when an event happened, in seconds since the epoch."""
    return datetime.fromisoformat(str(event["timestamp"])).timestamp()

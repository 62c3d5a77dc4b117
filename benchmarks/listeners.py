"""A process of many notebooks: each has a session, a keeper's stream, a feed and a watcher, and all of them listen.

It reads one word a line: `open N` opens so many more notebooks, `mark TEXT` waits until every feed and watcher has
had `TEXT`, `ended` asks how many streams were closed, `end` ends it. It answers each with one line: the seconds it
took, the monotonic time of the last one, or the number.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

import uvloop

from .limits import raise_descriptor_limit
from .load import Connection

AT_ONCE = 16
BEAT_EVERY_S = 2.0
BEAT_CONNECTIONS = 8


class Listener(asyncio.Protocol):
    """One open stream, which keeps nothing of what it hears but a mark that it waits for."""

    ended = 0

    def __init__(self, request: bytes) -> None:
        """Ask for the stream as soon as there is a connection."""
        self._request = request
        self._mark = b""
        self._tail = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.marked: asyncio.Future[float] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Send the request."""
        transport.write(self._request)

    def wait_for(self, mark: bytes) -> asyncio.Future[float]:
        """Return what is set to the time at which `mark` came."""
        self._mark = mark
        self._tail = b""
        self.marked = asyncio.get_running_loop().create_future()
        return self.marked

    def data_received(self, data: bytes) -> None:
        """Look for what is waited for."""
        if not self.opened.done() and b"data: " in data:
            self.opened.set_result(None)
        if self.marked is not None and not self.marked.done():
            if self._mark in self._tail + data:
                self.marked.set_result(time.monotonic())
            self._tail = data[-len(self._mark) :]

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Count it: a stream that ends spoils the measurement."""
        type(self).ended += 1


class Notebooks:
    """All notebooks of this process."""

    def __init__(self, url: str) -> None:
        """Talk to the authority at `url`."""
        self._url = url
        parts = urlsplit(url)
        self._host = parts.hostname
        self._port = parts.port
        self._sessions: list[str] = []
        self._listening: list[Listener] = []

    async def open(self, count: int) -> float:
        """Open so many more notebooks; return the seconds that took."""
        began = time.monotonic()
        names = iter(range(count))
        await asyncio.gather(*(self._open_each(names) for _ in range(AT_ONCE)))
        return time.monotonic() - began

    async def _open_each(self, names: object) -> None:
        connection = await Connection(self._url).open()
        for number in names:  # type: ignore[attr-defined]
            body = {"client_name": f"notebook {number}", "keeper": True}
            session = str((await connection.call("POST", "/api/locks/sessions/create", body))["session_id"])
            self._sessions.append(session)
            for query in (f"role=keeper&session_id={session}", f"role=feed&session_id={session}", "role=watch"):
                listener = await self._listen(query)
                if "keeper" not in query:
                    self._listening.append(listener)
        connection.close()

    async def _listen(self, query: str) -> Listener:
        request = f"GET /api/events?{query} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode()
        loop = asyncio.get_running_loop()
        _, listener = await loop.create_connection(lambda: Listener(request), self._host, self._port)
        await listener.opened
        return listener

    async def beat(self) -> None:
        """Beat for every keeper, every two seconds, for ever."""
        connections = [await Connection(self._url).open() for _ in range(BEAT_CONNECTIONS)]
        await asyncio.gather(*(self._beat_some(number, one) for number, one in enumerate(connections)))

    async def _beat_some(self, number: int, connection: Connection) -> None:
        while True:
            mine = self._sessions[number::BEAT_CONNECTIONS]
            for session in mine:
                await connection.call("POST", f"/api/locks/sessions/{session}/heartbeat", {"busy": False})
                await asyncio.sleep(BEAT_EVERY_S / len(mine))
            if not mine:
                await asyncio.sleep(BEAT_EVERY_S)

    async def mark(self, text: str) -> float:
        """Return the time at which the last listener had `text`."""
        return max(await asyncio.gather(*(listener.wait_for(text.encode()) for listener in self._listening)))


async def main(url: str) -> None:
    """Do what the lines say."""
    raise_descriptor_limit()
    notebooks = Notebooks(url)
    loop = asyncio.get_running_loop()
    beating = asyncio.create_task(notebooks.beat())
    while (line := await loop.run_in_executor(None, sys.stdin.readline)) not in ("", "end\n"):
        word, _, rest = line.strip().partition(" ")
        if word == "open":
            print(await notebooks.open(int(rest)), flush=True)
        elif word == "ended":
            print(Listener.ended, flush=True)
        else:
            waiting = asyncio.ensure_future(notebooks.mark(rest))
            await asyncio.sleep(0)
            print("waiting", flush=True)
            print(await waiting, flush=True)
    beating.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))

"""A lean client: HTTP/1.1 over asyncio, keep-alive, one request in flight per connection."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

Request = bytes


class Connection:
    """One keep-alive connection."""

    def __init__(self, url: str) -> None:
        """Talk to `url`."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port

    async def open(self) -> Connection:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        return self

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()

    def request(self, method: str, path: str, body: object = None) -> Request:
        """Return a request's bytes, to be sent many times."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if data else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{kind}Content-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    async def send(self, request: Request) -> bytes:
        """Send and return the body of the answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if status >= 300:
            raise RuntimeError(f"{status}: {body[:200]!r}")
        return body

    async def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Send once, and return the JSON."""
        answer: dict[str, object] = json.loads(await self.send(self.request(method, path, body)))
        return answer

    async def listen(self, path: str) -> None:
        """Open a stream of server-sent events."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        await self._reader.readuntil(b"\r\n\r\n")

    async def hear(self, mark: bytes) -> None:
        """Return when `mark` has come on the stream."""
        await self._reader.readuntil(mark)


async def repeat(seconds: float, once: Callable[[], Awaitable[object]]) -> list[float]:
    """Return how long each call of `once` took, for so many seconds."""
    took, end = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        await once()
        took.append(time.perf_counter() - began)
    return took


async def crowd(seconds: float, all_of: list[Callable[[], Awaitable[object]]]) -> float:
    """Return how many calls a second all of them reach together."""
    began = time.perf_counter()
    took = await asyncio.gather(*(repeat(seconds, once) for once in all_of))
    return sum(map(len, took)) / (time.perf_counter() - began)

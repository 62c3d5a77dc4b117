"""The floors: an echo route on the same stack, a bare server-sent event, a raw durable commit."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_JSON = {"content-type": "application/json"}


class Echo(msgspec.Struct):
    """A body of the size and shape of a command's."""

    command_id: str
    equipment_id: str
    action: str
    parameters: dict[str, object]
    session_id: str


async def echo(request: Request) -> Response:
    """Validate a body and answer one of the size of a command's."""
    body = msgspec.json.decode(await request.body(), type=Echo)
    answer = {
        "command_id": body.command_id,
        "equipment_id": body.equipment_id,
        "success": True,
        "data": 0.0,
        "error": None,
        "timestamp": "2026-11-21T20:35:34.094519+00:00",
        "outcome": "done",
    }
    return Response(msgspec.json.encode(answer), 200, _JSON)


class Bell:
    """One pushed message to whoever listens."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.listeners: set[asyncio.Queue[bytes]] = set()

    async def listen(self, request: Request) -> Response:  # noqa: ARG002
        """Open a stream."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.listeners.add(queue)

        async def chunks():
            yield b": hello\n\n"
            while True:
                yield await queue.get()

        return StreamingResponse(chunks(), media_type="text/event-stream")

    async def ring(self, request: Request) -> Response:  # noqa: ARG002
        """Push one message."""
        for queue in self.listeners:
            queue.put_nowait(b"event: change\ndata: " + b"x" * 200 + b"\n\n")
        return Response(b"{}", 200, _JSON)


def commits(count: int, directory: Path) -> list[float]:
    """Return the seconds of `count` durable commits, one row of state and one event row each."""
    with tempfile.TemporaryDirectory(dir=directory) as where:
        db = sqlite3.connect(Path(where) / "raw.sqlite3", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE state (id TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID")
        db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, body BLOB)")
        body, took = b"x" * 300, []
        for _ in range(count):
            began = time.perf_counter()
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT OR REPLACE INTO state VALUES ('stage_x', ?)", (body,))
            db.execute("INSERT INTO events (body) VALUES (?)", (body,))
            db.execute("COMMIT")
            took.append(time.perf_counter() - began)
        db.close()
    return took

"""A stop must not fail because a disk did."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from rest_lab import PATIENCE_S

from authority.api.app import make_app
from authority.api.session_ids import SessionIds
from authority.clock import SystemClock
from authority.committer import StoreFailed
from authority.core import messages
from authority.core.model import EquipmentId, Policy, Session, SessionId
from authority.drivers.simulated import SimulatedMotor
from authority.identity.users import Users
from authority.ports import Batch
from authority.service import Service
from authority.store.sqlite import SqliteStore
from authority.worker import Worker

X = EquipmentId("stage_x")


class FullDisk(SqliteStore):
    """A store whose disk is full from the moment `full` is set."""

    full = False

    def write(self, batch: Batch) -> None:
        """Write, while there is room."""
        if self.full:
            raise OSError("No space left on device")
        super().write(batch)


STOP, HEALTH, LIST = ("POST", "/api/equipment/stage_x/stop"), ("GET", "/health"), ("GET", "/api/equipment/list")


def test_a_stop_that_the_driver_took_is_answered_so_although_its_record_cannot_be_written(tmp_path: Path) -> None:
    """STOP-11 STOP-14"""
    [(status, answer)] = asyncio.run(_asked_on_a_full_disk(FullDisk(tmp_path / "full.sqlite3"), STOP))
    assert (status, answer["outcome"], answer["recorded"]) == (200, "stopped", False)


def test_after_the_store_has_failed_a_stop_and_health_are_served_and_nothing_else(tmp_path: Path) -> None:
    """STOP-11 REST-15"""
    store = FullDisk(tmp_path / "full.sqlite3")
    _, stopped, health, refused = asyncio.run(_asked_on_a_full_disk(store, STOP, STOP, HEALTH, LIST))
    assert (stopped[0], stopped[1]["outcome"], stopped[1]["recorded"]) == (200, "stopped", False)
    assert (health[0], health[1]["status"]) == (200, "store_failed")
    assert (refused[0], refused[1]["code"]) == (503, "store_unavailable")


async def _asked_on_a_full_disk(store: FullDisk, *asked: tuple[str, str]) -> list[tuple[int, dict[str, Any]]]:
    clock = SystemClock()
    service = Service(store, clock, {X: Worker(X, SimulatedMotor(), clock)}, {X: Policy()})
    service.start()
    await service.wait_until_committed()
    app = make_app(service, SessionIds("key"), users=Users())
    store.full = True
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    for method, path in asked:
        scope = {
            "type": "http", "method": method, "path": path, "query_string": b"", "http_version": "1.1",
            "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1),
            "scheme": "http",
        }  # fmt: skip
        await app(scope, receive, send)
    await service.close()
    store.close()
    heads, bodies = sent[::2], sent[1::2]
    return [(head["status"], json.loads(body["body"])) for head, body in zip(heads, bodies, strict=True)]


class Client:
    """A client that listens until it is told that it is over; what is pushed is written to its connection."""

    def __init__(self) -> None:
        self.transport = self
        self.sent: list[dict[str, Any]] = []
        self.listens = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Any) -> None:
        if len(self.sent) == 20:
            raise OSError("a client that has had enough")
        self.sent.append(message)
        await asyncio.sleep(0)

    def write(self, data: bytes) -> None:
        assert data
        self.listens.set()

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.mark.parametrize(("kind", "path"), [("http", "/api/events"), ("websocket", "/api/ws")])
@pytest.mark.parametrize("role", ["watch", "feed", "keeper"])
def test_a_store_that_fails_ends_every_stream_at_once(tmp_path: Path, kind: str, path: str, role: str) -> None:
    """STORE-7 STOP-11 PUSH-10"""
    query = f"role={role}&session_id=ann"
    sent = asyncio.run(_listening_on_a_full_disk(FullDisk(tmp_path / "full.sqlite3"), kind, path, query))
    assert sent[0]["type"] in {"http.response.start", "websocket.accept"}
    assert len(sent) < 10, "the end is told, and once"
    assert sent[-1].get("code", 1001) == 1001
    assert sent[-1].get("more_body", False) is False


async def _listening_on_a_full_disk(store: FullDisk, kind: str, path: str, query: str) -> list[dict[str, Any]]:
    clock = SystemClock()
    service = Service(store, clock, {X: Worker(X, SimulatedMotor(), clock)}, {X: Policy()})
    service.start()
    ann = Session(id=SessionId("ann"), user="ann", keeper=True, created_at=clock.now(), last_seen=clock.now())
    service.apply(messages.OpenSession(session=ann))
    await service.wait_until_committed()
    app = make_app(service, SessionIds("key"), users=Users())
    client = Client()
    scope = {
        "type": kind, "method": "GET", "path": path, "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "http",
        "http_version": "1.1",
    }  # fmt: skip
    streaming = asyncio.ensure_future(app(scope, client.receive, client.send))
    await client.listens.wait()
    store.full = True
    service.apply(messages.Acquire(session=ann.id, equipment=X, timeout_s=0.0, lock_id="lock_1", queue_id="queue_1"))
    with pytest.raises(StoreFailed):
        await service.wait_until_committed()
    async with asyncio.timeout(PATIENCE_S):
        await streaming
    await service.close()
    store.close()
    return client.sent

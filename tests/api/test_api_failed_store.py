"""A stop must not fail because a disk did."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from authority.api.app import make_app
from authority.api.identity import SessionIds
from authority.clock import SystemClock
from authority.core.model import EquipmentId, Policy
from authority.drivers.simulated import SimulatedMotor
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


def test_a_stop_that_the_driver_took_is_answered_so_although_its_record_cannot_be_written(tmp_path: Path) -> None:
    """STOP-11"""
    status, answer = asyncio.run(_stop_on_a_full_disk(FullDisk(tmp_path / "full.sqlite3")))
    assert (status, answer["outcome"]) == (200, "stopped")


async def _stop_on_a_full_disk(store: FullDisk) -> tuple[int, dict[str, Any]]:
    clock = SystemClock()
    service = Service(store, clock, {X: Worker(X, SimulatedMotor(), clock)}, {X: Policy()})
    service.start()
    await service.settled()
    app = make_app(service, SessionIds("key"), token=None)
    store.full = True
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/equipment/stage_x/stop", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "scheme": "http",
    }  # fmt: skip
    await app(scope, receive, send)
    await service.close()
    store.close()
    return sent[0]["status"], json.loads(sent[1]["body"])

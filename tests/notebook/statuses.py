"""Statuses of an equipment, as the authority tells them, to test what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
ANN = {"session_id": "s-ann", "user": "Ann", "note": "scan over night", "since": "2026-11-21T14:02:00+00:00"}
HAS_IT = "Ann (scan over night) has stage_x since 2026-11-21T14:02:00+00:00; nobody waits."
STOP = {"user": "Bob", "session_id": "s-bob", "at": "2026-11-21T14:04:00.5+00:00", "reason": "too close"}
STOPPED = "stage_x was stopped by Bob at 2026-11-21T14:04:00.5+00:00 (too close): Ann has to resume or log in again."
BOB = {"session_id": "s-bob", "user": "Bob", "position": 1, "note": None, "queue_id": "q1"}
CARL = {"session_id": "s-carl", "user": "Carl", "position": 2, "note": "align", "queue_id": "q2"}
AT_REST = {"connected": True, "moving": False, "position": 12.5, "units": "mm", "values": {}, "error": None}
IDLE = {"what": "idle", "at": "2026-11-21T14:32:00.5+00:00", "in_seconds": 252.3, "text": "released unless used"}


def a_status(**changes: object) -> dict[str, object]:
    free: dict[str, object] = {
        "equipment_id": "stage_x",
        "label": "stage_x",
        "kind": "motor",
        "state": "free",
        "claimed": None,
        "holder": None,
        "observers": [],
        "queue": [],
        "queue_length": 0,
        "ending": None,
        "running": None,
        "readback": AT_REST,
        "stopped_by": None,
        "fault": None,
        "last_lost": None,
        "text": "stage_x is free.",
    }
    return free | changes


def held(**changes: object) -> dict[str, object]:
    return a_status(**{"state": "held", "claimed": True, "holder": ANN, "text": HAS_IT} | changes)


def waiting(*entries: dict[str, object]) -> dict[str, object]:
    return {"queue": list(entries), "queue_length": len(entries)}

"""The programs of the LabLink page run as they stand against the demonstration lab; only the port is ours.

What a program prints, and what the authority says afterwards, shows that it did what its reader expects.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import requests
import requests as plain

CREATE = """
session_resp = requests.post(f"{base_url}/locks/sessions/create", json={
    "client_name": "My Lab PC",
    "timeout_seconds": 600
})
session_id = session_resp.json()["session_id"]
"""

BASIC_WORKFLOW = (
    CREATE
    + """
lock_resp = requests.post(f"{base_url}/locks/acquire", json={
    "equipment_id": "ps_abc123",
    "session_id": session_id,
    "lock_mode": "exclusive",
    "timeout_seconds": 300,
    "queue_if_busy": True
})

if lock_resp.json()["status"] == "locked":
    print("Lock acquired!")

    # 3. Execute control command
    cmd_resp = requests.post(f"{base_url}/equipment/ps_abc123/command", json={
        "command_id": "cmd_001",
        "equipment_id": "ps_abc123",
        "action": "set_voltage",
        "parameters": {"voltage": 12.0},
        "session_id": session_id  # Required for control commands
    })

    # 4. Release lock when done
    requests.post(f"{base_url}/locks/release", json={
        "equipment_id": "ps_abc123",
        "session_id": session_id
    })

# 5. End session
requests.delete(f"{base_url}/locks/sessions/{session_id}")
"""
)

OBSERVER = (
    CREATE
    + """
observer_resp = requests.post(f"{base_url}/locks/acquire", json={
    "equipment_id": "scope_123",
    "session_id": session_id,
    "lock_mode": "observer",
    "timeout_seconds": 600
})

# Can read data
status_resp = requests.post(f"{base_url}/equipment/scope_123/command", json={
    "command_id": "cmd_002",
    "equipment_id": "scope_123",
    "action": "get_waveform",
    "parameters": {"channel": 1},
    "session_id": session_id
})
"""
)

QUEUE = """
resp = requests.post(f"{base_url}/locks/acquire", json={
    "equipment_id": "ps_abc123",
    "session_id": session_id,
    "lock_mode": "exclusive",
    "queue_if_busy": True
})

if resp.json()["status"] == "queued":
    position = resp.json()["queue_entry"]["position"]
    print(f"Equipment busy, queued at position {position}")

    # Check queue status periodically
    while True:
        queue_resp = requests.get(f"{base_url}/locks/queue/ps_abc123")
        queue = queue_resp.json()["queue"]

        if len(queue) == 0 or queue[0]["session_id"] == session_id:
            # We're next or have the lock
            break

        time.sleep(5)
"""

KEEP_ALIVE = '''
def keep_alive(equipment_id, session_id):
    """Periodically update lock activity to prevent timeout."""
    while True:
        try:
            requests.post(
                f"{base_url}/locks/activity/{equipment_id}",
                json={"session_id": session_id}
            )
            time.sleep(60)  # Update every minute
        except:
            break

# Start keepalive thread
keepalive_thread = threading.Thread(
    target=keep_alive,
    args=("ps_abc123", session_id),
    daemon=True
)
keepalive_thread.start()
'''


def run(base_url: str, program: str, **known: object) -> dict[str, Any]:
    """Run a program of the page and return its variables."""
    names: dict[str, Any] = {"requests": requests, "time": time, "threading": threading, "base_url": base_url, **known}
    exec(program, names)
    return names


def test_the_basic_workflow_of_the_page_runs_as_given(base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """REST-1 UC-11"""
    told = run(base_url, BASIC_WORKFLOW)
    assert capsys.readouterr().out == "Lock acquired!\n"
    answer = told["cmd_resp"].json()
    assert (told["cmd_resp"].status_code, answer["success"], answer["data"]) == (200, True, 12.0)
    assert answer["command_id"] == "cmd_001"
    assert plain.get(f"{base_url}/locks/status/ps_abc123").json()["locked"] is False
    assert plain.get(f"{base_url}/locks/sessions/{told['session_id']}").status_code == 404
    events = plain.get(f"{base_url}/locks/events/ps_abc123").json()["events"]
    last = [e["event"] for e in events][-4:]
    assert last == ["lock_acquired", "command_started", "command_finished", "lock_released"]


def test_the_basic_workflow_of_the_page_runs_twice(base_url: str) -> None:
    """REST-1 CMD-11"""
    for _ in range(2):
        assert run(base_url, BASIC_WORKFLOW)["cmd_resp"].json()["success"] is True


def test_the_observer_program_of_the_page_reads_and_cannot_control(base_url: str) -> None:
    """REST-1 OBS-2"""
    told = run(base_url, OBSERVER)
    assert told["observer_resp"].json()["status"] == "observer"
    assert told["status_resp"].status_code == 200
    assert len(told["status_resp"].json()["data"]["samples_v"]) > 0
    asked = {
        "command_id": "cmd_003", "equipment_id": "scope_123", "action": "set_timebase",
        "parameters": {"timebase": 0.001}, "session_id": told["session_id"],
    }  # fmt: skip
    assert plain.post(f"{base_url}/equipment/scope_123/command", json=asked).status_code == 403
    plain.delete(f"{base_url}/locks/sessions/{told['session_id']}")


def test_the_queue_program_of_the_page_goes_on_when_it_is_next_and_may_command_once_it_holds(
    base_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """REST-1 QUEUE-2 LOCK-10"""
    holder = run(base_url, CREATE)["session_id"]
    lock = {"equipment_id": "ps_abc123", "session_id": holder}
    assert plain.post(f"{base_url}/locks/acquire", json=lock).json()["status"] == "locked"
    waiter = run(base_url, CREATE)["session_id"]
    run(base_url, QUEUE, session_id=waiter)
    assert capsys.readouterr().out == "Equipment busy, queued at position 1\n"
    command = {
        "command_id": "c", "equipment_id": "ps_abc123", "action": "set_voltage", "parameters": {"voltage": 1},
        "session_id": waiter,
    }  # fmt: skip
    path = f"{base_url}/equipment/ps_abc123/command"
    assert plain.post(path, json=command).json()["code"] == "lock_required"
    plain.post(f"{base_url}/locks/release", json=lock)
    assert plain.post(path, json=command).json()["success"] is True
    run(base_url, QUEUE, session_id=waiter)
    assert capsys.readouterr().out == ""
    for session in (holder, waiter):
        plain.delete(f"{base_url}/locks/sessions/{session}")


def test_each_round_of_the_keep_alive_program_restarts_the_idle_time_of_the_lock(base_url: str) -> None:
    """REST-1 IDLE-1 LIVE-15"""
    session = run(base_url, CREATE)["session_id"]
    lock = {"equipment_id": "ps_abc123", "session_id": session}
    before = plain.post(f"{base_url}/locks/acquire", json=lock).json()["lock"]["last_activity"]
    rounds: list[str] = []
    enough = threading.Event()

    class ShortTime:
        """The page's `time`, whose minute passes at once, three times."""

        @staticmethod
        def sleep(seconds: float) -> None:
            assert seconds == 60
            locks = plain.get(f"{base_url}/locks/all").json()["exclusive_locks"]
            rounds.append(locks["ps_abc123"]["last_activity"])
            if len(rounds) == 3:
                enough.set()
                raise InterruptedError

    told = run(base_url, KEEP_ALIVE, session_id=session, time=ShortTime)
    assert enough.wait(30)
    told["keepalive_thread"].join(30)
    assert [before, *rounds] == sorted({before, *rounds})
    plain.delete(f"{base_url}/locks/sessions/{session}")


def test_the_force_program_of_the_page_takes_the_lock_of_whoever_holds_it(base_url: str) -> None:
    """REST-1 FORCE-1"""
    session = run(base_url, CREATE)["session_id"]
    plain.post(f"{base_url}/locks/acquire", json={"equipment_id": "ps_abc123", "session_id": session})
    force = """
answer = requests.post(f"{base_url}/locks/release", json={
    "equipment_id": "ps_abc123",
    "session_id": "admin_session",
    "force": True  # Releases lock regardless of owner
})
"""
    assert run(base_url, force)["answer"].json() == {
        "success": True, "status": "released", "was_forced": True, "draining": False,
    }  # fmt: skip
    assert plain.get(f"{base_url}/locks/status/ps_abc123").json()["locked"] is False
    plain.delete(f"{base_url}/locks/sessions/{session}")

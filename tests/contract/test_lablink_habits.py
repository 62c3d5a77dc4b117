"""What LabLink's own client does, written anew: its own session ids, no keep-alive, and only the HTTP code is read."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import requests

TYPES = {"oscilloscope", "power_supply", "electronic_load", "multimeter", "function_generator", "unknown"}


class Client:
    """A client that chooses its session id itself and raises for every status that is no success."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.session_id = str(uuid4())
        self._http = requests.Session()
        self._http.trust_env = False

    def get(self, path: str) -> requests.Response:
        """Get, and raise as the client does."""
        answer = self._http.get(self.base_url + path, timeout=10)
        answer.raise_for_status()
        return answer

    def post(self, path: str, **body: object) -> dict[str, object]:
        """Post for this client's session, and raise as the client does."""
        answer = self._http.post(self.base_url + path, json={"session_id": self.session_id, **body}, timeout=10)
        answer.raise_for_status()
        found: dict[str, object] = answer.json()
        return found

    def acquire(self, equipment: str) -> dict[str, object]:
        """Lock, as its program does: never queued."""
        return self.post("/locks/acquire", equipment_id=equipment, lock_mode="exclusive", queue_if_busy=False)

    def release(self, equipment: str, *, force: bool = False) -> dict[str, object]:
        """Release."""
        return self.post("/locks/release", equipment_id=equipment, force=force)

    def command(self, equipment: str, action: str, **parameters: object) -> dict[str, object]:
        """Send a command with a fresh id and a time stamp."""
        return self.post(
            f"/equipment/{equipment}/command", command_id=str(uuid4()), equipment_id=equipment, action=action,
            parameters=parameters, timestamp="2026-11-21T20:35:34.094519",
        )  # fmt: skip

    def close(self) -> None:
        """End what the test made; the real one does nothing."""
        self._http.delete(f"{self.base_url}/locks/sessions/{self.session_id}", timeout=10)
        self._http.close()


@pytest.fixture
def clients(base_url: str) -> Iterator[tuple[Client, Client]]:
    pair = Client(base_url), Client(base_url)
    yield pair
    for client in pair:
        client.close()


def test_it_finds_the_authority_healthy_and_a_list_of_equipment_of_types_it_knows(base_url: str) -> None:
    """REST-14 REST-15"""
    client = Client(base_url)
    root = Client(base_url.removesuffix("/api"))
    assert root.get("/health").status_code == 200
    listed = client.get("/equipment/list").json()
    assert {one["type"] for one in listed} <= TYPES
    for one in listed:
        assert client.get(f"/equipment/{one['id']}/status").json()["connected"] is True
        assert client.get(f"/equipment/{one['id']}/readings").status_code == 200


def test_with_an_id_of_its_own_it_locks_controls_and_releases(clients: tuple[Client, Client]) -> None:
    """WHO-9 REST-1"""
    ours, _ = clients
    assert ours.acquire("ps_abc123")["status"] == "locked"
    assert ours.command("ps_abc123", "set_voltage", voltage=5)["data"] == 5
    assert ours.command("ps_abc123", "get_voltage")["data"] == 5
    assert ours.release("ps_abc123")["status"] == "released"
    assert ours.release("ps_abc123")["status"] == "not_locked"


def test_its_window_forces_before_each_acquire_also_when_nothing_is_locked_and_nobody_knows_it(
    clients: tuple[Client, Client],
) -> None:
    """FORCE-5 FORCE-1 WHO-9"""
    ours, others = clients
    assert ours.release("ps_abc123", force=True)["status"] == "not_locked"
    assert ours.acquire("ps_abc123")["status"] == "locked"
    assert others.release("ps_abc123", force=True)["was_forced"] is True
    assert others.acquire("ps_abc123")["status"] == "locked"
    with pytest.raises(requests.HTTPError, match="403"):
        ours.command("ps_abc123", "set_voltage", voltage=1)


def test_equipment_in_use_is_the_409_conflict_that_its_users_are_shown(clients: tuple[Client, Client]) -> None:
    """LOCK-3"""
    ours, others = clients
    ours.acquire("ps_abc123")
    with pytest.raises(requests.HTTPError, match=r"409.*Conflict"):
        others.acquire("ps_abc123")


def test_after_its_session_has_ended_it_simply_acquires_again(clients: tuple[Client, Client]) -> None:
    """WHO-9"""
    ours, _ = clients
    ours.acquire("ps_abc123")
    ours.close()
    with pytest.raises(requests.HTTPError, match="403"):
        ours.command("ps_abc123", "set_voltage", voltage=1)
    assert ours.release("ps_abc123")["status"] == "not_locked"
    assert ours.acquire("ps_abc123")["status"] == "locked"


def test_its_control_panel_names_the_channel_in_each_command_and_reads_the_supply_at_the_top(
    clients: tuple[Client, Client],
) -> None:
    """DRV-68"""
    panel, _ = clients
    panel.acquire("ps_abc123")
    assert panel.command("ps_abc123", "set_voltage", voltage=12.0, channel=1)["data"] == 12.0
    assert panel.command("ps_abc123", "set_current", current=1.5, channel=1)["data"] == 1.5
    assert panel.command("ps_abc123", "get_voltage", channel=1)["data"] == 12.0
    assert panel.command("ps_abc123", "get_current", channel=1)["data"] == 1.5

    def shown() -> tuple[object, ...]:
        whole = panel.get("/equipment/ps_abc123/readings").json()
        names = ("voltage_set", "voltage_actual", "current_set", "current_actual", "output_enabled")
        assert {name: whole[name] for name in names} == {name: whole["readings"][name] for name in names}
        return tuple(whole[name] for name in names)

    assert panel.command("ps_abc123", "set_output", enabled=False, channel=1)["data"] is False
    assert shown() == (12.0, 0.0, 1.5, 0.0, False)
    assert panel.command("ps_abc123", "set_output", enabled=True, channel=1)["data"] is True
    assert shown() == (12.0, 12.0, 1.5, 0.0, True)
    found = panel.command("ps_abc123", "get_status", channel=1)["data"]
    assert found == {"voltage": 12.0, "current": 1.5, "output": True}
    with pytest.raises(requests.HTTPError, match="422"):
        panel.command("ps_abc123", "set_output", enabled=False, channel=2)
    panel.command("ps_abc123", "set_output", enabled=False)

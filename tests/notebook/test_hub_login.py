"""A kernel that a Hub started logs in: a real authority, and a small HTTP server that plays the Hub's interface."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import SCOPE, HubServer, hub_server

from jupyter_motorlock import Refused
from jupyter_motorlock.client.session import KernelSession

PATIENCE_S = 30.0
LAB = """
[auth]
sources = ["jupyterhub"]
hub_api_url = "{api_url}"

[equipment.stage_x]
driver = "simulated-motor"
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub that has started this kernel for Ann, and lets it ask for tokens."""
    with hub_server() as server:
        server.add("own", "ann", "access:servers!server=ann/", groups=("beamline",))
        server.may_make_tokens.add("own")
        monkeypatch.setenv("JUPYTERHUB_API_URL", server.api_url)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "own")
        monkeypatch.setenv("JUPYTERHUB_USER", "ann")
        yield server


@pytest.fixture
def url(hub: HubServer, tmp_path: Path) -> Iterator[str]:
    """The address of an authority that asks it."""
    (tmp_path / "lab.toml").write_text(LAB.format(api_url=hub.api_url), encoding="utf-8")
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    process = subprocess.Popen(
        [*command, "--config", str(tmp_path / "lab.toml")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MOTORLOCK_AUTH": ""},
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip().partition("listening on ")[2]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def session(url: str) -> Iterator[KernelSession]:
    """The session of this kernel."""
    with_hub = KernelSession(url)
    yield with_hub
    with_hub.close()


def test_a_kernel_logs_in_with_a_token_for_the_service_alone_and_shows_its_own_to_the_hub_alone(
    session: KernelSession, hub: HubServer
) -> None:
    """WHO-39, WHO-37"""
    session.acquire("stage_x")
    holder = session.status("stage_x")["holder"]
    assert (holder["user"], holder["user_verified"]) == ("ann", True)
    assert session.command("stage_x", "move_to", {"position": 1.0}) is not None
    [asked] = hub.made
    assert (asked["expires_in"], asked["scopes"]) == (60, [SCOPE])
    shown_by_the_authority = {token for method, _, token in hub.requests if method == "GET"}
    assert shown_by_the_authority == {"made-1"}


def test_what_is_asked_before_a_login_is_asked_with_one_token(session: KernelSession, hub: HubServer) -> None:
    """WHO-39"""
    assert session.equipment_ids() == ["stage_x"]
    assert session.status("stage_x")["state"] == "free"
    assert len(hub.made) == 1


def test_a_token_that_the_hub_has_forgotten_is_replaced(session: KernelSession, hub: HubServer) -> None:
    """WHO-39"""
    assert session.equipment_ids() == ["stage_x"]
    del hub.owners["made-1"]
    assert session.equipment_ids() == ["stage_x"]
    assert len(hub.made) == 2


def test_a_session_that_has_ended_unheard_is_replaced_at_the_next_login(session: KernelSession, url: str) -> None:
    """WHO-39, WHO-37"""
    session.acquire("stage_x")
    before = session.session_id
    assert before is not None
    session.link.listen = lambda: None  # type: ignore[method-assign]  # so that it does not hear of it
    other = KernelSession(url)
    other.client.session_token = session.client.session_token
    other.client.call("DELETE", "locks", "sessions", before)
    session.acquire("stage_x")
    assert session.session_id != before


def test_a_token_that_is_given_goes_before_the_hub(url: str, hub: HubServer) -> None:
    """WHO-39"""
    session = KernelSession(url, token="made up")
    with pytest.raises(Refused, match="none of the Hub's users"):
        session.acquire("stage_x")
    assert not hub.made
    session.close()


def test_a_hub_that_gives_no_token_is_one_sentence(session: KernelSession, hub: HubServer) -> None:
    """WHO-40"""
    hub.may_make_tokens.clear()
    with pytest.raises(Refused, match=r"^The Hub gives this notebook no token for motorlock \(403\).*docs/hub.md"):
        session.acquire("stage_x")


def test_a_hub_that_is_down_is_one_sentence(session: KernelSession, hub: HubServer) -> None:
    """WHO-40"""
    hub.shutdown()
    hub.server_close()
    with pytest.raises(Refused, match=r"^The Hub at http.* does not answer, so that nothing proves who you are"):
        session.acquire("stage_x")


def test_a_kernel_asks_for_no_token_for_a_service_that_it_does_not_expect(
    url: str, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WHO-39, WHO-40"""
    monkeypatch.setenv("MOTORLOCK_HUB_SERVICE", "payroll")
    session = KernelSession(url)
    with pytest.raises(Refused, match="set MOTORLOCK_HUB_SERVICE=motorlock if you trust it"):
        session.acquire("stage_x")
    assert not hub.made
    session.close()

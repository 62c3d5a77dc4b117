"""Identity by JupyterHub: a real authority, and a small HTTP server that plays the Hub's interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub_server import SCOPE, HubServer, hub_server
from rest_lab import Authority, Json, Person, ok, refused, running

LAB = """
[auth]
sources = ["token", "jupyterhub"]
hub_api_url = "{api_url}"

[[access]]
role = "operator"
groups = ["beamline"]

[[access]]
role = "observer"
users = ["dan"]

[equipment.stage_x]
driver = "simulated-motor"
"""


@contextmanager
def lab_of_a_hub(place: Path) -> Iterator[tuple[Authority, HubServer]]:
    """Run a Hub with two users, and an authority that asks it: Ann is of the group that drives, Dan may only look."""
    with hub_server() as hub:
        hub.add("of-ann", "ann", groups=("beamline",))
        hub.add("of-dan", "dan")
        with running(place, lab=LAB.format(api_url=hub.api_url), env={"MOTORLOCK_AUTH": ""}) as authority:
            yield authority, hub


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Authority, HubServer]]:
    """A lab for the tests that leave both running."""
    with lab_of_a_hub(tmp_path_factory.mktemp("lab")) as both:
        yield both


@pytest.fixture
def lab(shared: tuple[Authority, HubServer]) -> Authority:
    """The authority of the shared lab."""
    return shared[0]


@pytest.fixture
def hub(shared: tuple[Authority, HubServer]) -> HubServer:
    """The Hub of the shared lab."""
    return shared[1]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Authority, HubServer]]:
    """A lab of one test's own."""
    with lab_of_a_hub(tmp_path) as both:
        yield both


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def log_in(lab: Authority, token: str) -> tuple[Person, Json]:
    body = {"user": "bench 3", "secret": True}
    made = ok(lab.post("/locks/sessions/create", body, headers=bearing(token)))
    return Person(lab, made["session_id"], made["session_token"]), made


def whoami(person: Person) -> Json:
    return ok(person.lab.get("/whoami", headers=person.headers))


def close(hub: HubServer) -> None:
    hub.shutdown()
    hub.server_close()


def test_a_token_of_the_hub_proves_its_user_and_their_groups(lab: Authority) -> None:
    """WHO-36"""
    ann, made = log_in(lab, "of-ann")
    assert (made["user"], made["user_verified"]) == ("ann (bench 3)", True)
    me = whoami(ann)
    assert (me["user"], me["source"], me["groups"]) == ("ann", "jupyterhub", ["beamline"])
    assert "control" in me["rights"]["stage_x"]
    ann.has()
    dan, _ = log_in(lab, "of-dan")
    refused(dan.acquire(), 403, "not_allowed")
    ok(ann.leave())


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param({"scopes": ["access:servers!server=ann/"]}, id="another scope"),
        pytest.param({"scopes": [SCOPE, "access:servers!server=ann/"]}, id="a wider one beside it"),
        pytest.param({"scopes": ["access:services"]}, id="all services"),
        pytest.param({"scopes": ["access:services!service=motorlock2"]}, id="another service"),
        pytest.param({"scopes": [SCOPE, "read:users:name!user=bob"]}, id="a look at somebody else"),
        pytest.param({"scopes": []}, id="none"),
        pytest.param({"kind": "service"}, id="a service"),
        pytest.param({"name": "an\x1bn"}, id="a name that moves the cursor"),
    ],
)
def test_a_token_that_allows_anything_else_is_refused(lab: Authority, hub: HubServer, owner: dict[str, Any]) -> None:
    """WHO-36"""
    hub.owners[hub.add("wrong", "ann")] |= owner
    refused(lab.get("/whoami", headers=bearing("wrong")), 401, "bad_token")


@pytest.mark.parametrize("token", ["made-up", "x" * 2000, "of-ann\xe9"])
def test_a_token_that_the_hub_does_not_know_is_refused(lab: Authority, token: str) -> None:
    """WHO-36"""
    refused(lab.get("/whoami", headers={"Authorization": f"Bearer {token}".encode("latin-1")}), 401, "bad_token")


def test_who_shows_nothing_is_told_that_a_token_of_the_hub_is_taken(lab: Authority) -> None:
    """WHO-36, WHO-31"""
    body = refused(lab.get("/whoami"), 401, "not_identified")
    assert body["hub_service"] == "motorlock"


def test_the_token_of_the_session_proves_its_user_also_after_a_restart_and_without_the_hub(
    own: tuple[Authority, HubServer],
) -> None:
    """WHO-37, WHO-38"""
    lab, hub = own
    ann, _ = log_in(lab, "of-ann")
    ann.has()
    asked = len(hub.requests)
    close(hub)
    assert ok(ann.command("move_to", position=1))["outcome"] == "done"
    lab.restart()
    assert whoami(ann)["groups"] == ["beamline"]
    assert ok(ann.command("move_to", position=2))["outcome"] == "done"
    ok(ann.stop(reason="look"))
    assert len(hub.requests) == asked


def test_the_token_of_a_session_that_has_ended_proves_nothing(own: tuple[Authority, HubServer]) -> None:
    """WHO-37"""
    lab, _ = own
    ann, _ = log_in(lab, "of-ann")
    ok(ann.leave())
    refused(lab.get("/whoami", headers=ann.headers), 401, "bad_session_token")
    lab.restart()
    refused(lab.get("/whoami", headers=ann.headers), 401, "bad_session_token")


def test_a_session_that_another_one_began_proves_nobody_by_itself(lab: Authority) -> None:
    """WHO-37"""
    ann, _ = log_in(lab, "of-ann")
    made = ok(lab.post("/locks/sessions/create", {"secret": True}, headers=ann.headers))
    assert made["user"] == "ann"
    refused(lab.get("/whoami", headers={"Motorlock-Session": made["session_token"]}), 401, "not_identified")


def test_the_authority_keeps_the_digest_of_a_token_alone(own: tuple[Authority, HubServer]) -> None:
    """WHO-37, WHO-13"""
    lab, _ = own
    ann, _ = log_in(lab, "of-ann")
    assert ann.token is not None
    lab.end()
    kept = b"".join(path.read_bytes() for path in lab.data.iterdir())
    assert ann.token.encode() not in kept
    assert b"of-ann" not in kept
    assert "of-ann" not in lab.log


def test_a_hub_that_is_down_refuses_new_logins_and_touches_no_lock(own: tuple[Authority, HubServer]) -> None:
    """WHO-38"""
    lab, hub = own
    ann, _ = log_in(lab, "of-ann")
    ann.has()
    close(hub)
    refused(lab.post("/locks/sessions/create", {}, headers=bearing("of-dan")), 503, "hub_unavailable")
    assert lab.get("/locks/status/stage_x", headers=ann.headers).json()["session_id"] == ann.session_id


@pytest.mark.parametrize("answers", ["with an error", "with something else"])
def test_a_hub_that_answers_wrongly_is_a_hub_that_is_down(lab: Authority, hub: HubServer, answers: str) -> None:
    """WHO-38"""
    hub.add("of-bob", "bob")
    if answers == "with an error":
        hub.owners["of-bob"]["status"] = 502
    else:
        del hub.owners["of-bob"]["scopes"]
    refused(lab.get("/whoami", headers=bearing("of-bob")), 503, "hub_unavailable")

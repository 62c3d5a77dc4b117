"""Who one is and what one may do, seen from outside: a real authority, and processes of two users of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from rest_lab import PATIENCE_S, Authority, running

OWNER = "root"
OTHER = 1
OTHER_NAME = "daemon"
LAB = """
[equipment.stage_x]
driver = "simulated-motor"

[equipment.stage_y]
driver = "simulated-motor"

[equipment.laser]
driver = "simulated-motor"

[equipment.shared]
driver = "simulated-motor"
enforce_locks = false
"""
ASK = """
import encodings.idna, http.client, json, os, sys  # another user may not read the files of this Python
port, method, path, body, headers = json.loads(sys.argv[1])
os.setgroups([]); os.setgid({user}); os.setuid({user})
line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
line.request(method, path, json.dumps(body), {{"Content-Type": "application/json", **headers}})
answer = line.getresponse()
print(json.dumps([answer.status, json.loads(answer.read())]))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who has a socket")
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module", autouse=True)
def _root_only() -> None:
    if os.getuid() != 0:
        pytest.xfail("only root can start processes of another user")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """A lab that says nothing of its users."""
    with running(tmp_path_factory.mktemp("lab"), lab=LAB, env={"MOTORLOCK_AUTH": "os,token"}) as authority:
        yield authority


def as_user(authority: Authority, user: int) -> Ask:
    """Return a way to make requests by a process of another user."""

    def ask(method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        asked = json.dumps([int(authority.url.rpartition(":")[2]), method, f"/api/{path}", body or {}, headers])
        code = ASK.format(user=user)
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, asked], capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        status, answer = json.loads(done.stdout)
        return status, answer

    return ask


def as_owner(authority: Authority) -> Ask:
    """Return a way to make requests as whoever runs the tests, and the authority."""

    def ask(method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        answer = requests.request(
            method, f"{authority.url}/api/{path}", json=body, headers=headers or None, timeout=PATIENCE_S
        )
        return answer.status_code, answer.json()

    return ask


def login(ask: Ask, equipment_id: str = "stage_x", **more: object) -> tuple[dict[str, Any], tuple[int, Any]]:
    """Begin a session and ask for a lock; return the session and what the second answered."""
    _, session = ask("POST", "locks/sessions/create", more)
    body = {"session_id": session["session_id"], "equipment_id": equipment_id}
    return session, ask("POST", "locks/acquire", body)


def test_a_session_has_the_user_of_the_process_that_began_it(lab: Authority) -> None:
    """WHO-24, WHO-25"""
    _, mine = as_owner(lab)("POST", "locks/sessions/create", {"user": "Ann"})
    assert (mine["user"], mine["user_verified"]) == (f"{OWNER} (Ann)", True)
    _, theirs = as_user(lab, OTHER)("POST", "locks/sessions/create", {"user": OWNER})
    assert (theirs["user"], theirs["user_verified"]) == (f"{OTHER_NAME} ({OWNER})", True)


def test_what_has_passed_a_proxy_proves_nothing(lab: Authority) -> None:
    """WHO-24, WHO-31"""
    status, refused = as_owner(lab)("GET", "whoami", **{"X-Forwarded-For": "10.0.0.7"})
    assert (status, refused["code"]) == (401, "not_identified")
    status, refused = as_owner(lab)("POST", "equipment/stage_x/stop", {}, **{"X-Forwarded-For": "10.0.0.7"})
    assert (status, refused["code"]) == (401, "not_identified")


def test_without_locks_a_command_that_names_no_session_is_one_of_its_user(lab: Authority) -> None:
    """WHO-26"""
    command = {"equipment_id": "shared", "action": "move_to", "command_id": "one", "parameters": {"position": 1.0}}
    for ask, user in [(as_owner(lab), OWNER), (as_user(lab, OTHER), OTHER_NAME)]:
        status, moved = ask("POST", "equipment/shared/command", command)
        assert (status, moved.get("outcome")) == (200, "done"), moved
        started = [e for e in ask("GET", "locks/events/shared")[1]["events"] if e["event"] == "command_started"]
        assert started[-1]["user"] == user


def test_a_session_without_a_secret_acts_for_its_user_alone(lab: Authority) -> None:
    """WHO-26"""
    ann, (status, _) = login(as_owner(lab))
    assert status == 200
    release = {"session_id": ann["session_id"], "equipment_id": "stage_x"}
    status, refused = as_user(lab, OTHER)("POST", "locks/release", release)
    assert (status, refused["code"]) == (401, "not_your_session")
    assert as_owner(lab)("POST", "locks/release", release)[0] == 200


def test_without_a_decision_of_the_lab_all_may_drive_and_its_owner_may_all(lab: Authority) -> None:
    """WHO-30"""
    _, me = as_owner(lab)("GET", "whoami")
    assert me["user"] == OWNER
    assert set(me["rights"]["laser"]) >= {"control", "force", "tokens"}
    _, daemon = as_user(lab, OTHER)("GET", "whoami")
    assert (daemon["user"], daemon["source"]) == (OTHER_NAME, "os")
    assert daemon["rights"]["laser"] == ["read", "stop", "observe", "control"]


def test_an_operator_cannot_take_by_force_nor_clear_a_fault_nor_make_tokens(lab: Authority) -> None:
    """WHO-29, FORCE-6"""
    ann, _ = login(as_owner(lab))
    bob = as_user(lab, OTHER)
    _, session = bob("POST", "locks/sessions/create", {})
    force = {"session_id": session["session_id"], "equipment_id": "stage_x", "force": True, "reason": "beam time"}
    status, refused = bob("POST", "locks/release", force)
    assert (status, refused["code"], refused["right"]) == (403, "not_allowed", "force")
    assert (
        refused["detail"]
        == f"{OTHER_NAME} lacks the right `force` to stage_x; whoever looks after the lab can give it."
    )
    assert bob("POST", "equipment/stage_x/clear-fault", {"reason": "looked"})[0] == 403
    assert bob("POST", "tokens", {"user": "eve", "role": "admin"})[0] == 403
    assert bob("GET", "tokens")[0] == 403
    assert bob("POST", "equipment/stage_x/stop", {})[0] == 200
    without_reason = {key: given for key, given in force.items() if key != "reason"}
    status, refused = as_owner(lab)("POST", "locks/release", without_reason | {"session_id": ann["session_id"]})
    assert (status, refused["code"]) == (422, "invalid")
    assert as_owner(lab)("POST", "locks/release", force | {"session_id": ann["session_id"]})[0] == 200


def test_an_admin_ends_the_session_of_another_user(lab: Authority) -> None:
    """WHO-29"""
    _, session = as_user(lab, OTHER)("POST", "locks/sessions/create", {"secret": True})
    path = f"locks/sessions/{session['session_id']}"
    assert as_user(lab, OTHER)("DELETE", path)[0] == 401
    assert as_owner(lab)("DELETE", path)[0] == 200
    assert as_owner(lab)("GET", path)[0] == 404
    ended = as_owner(lab)("GET", f"{path}/events")[1]["events"][-1]
    assert (ended["event"], ended["reason"]) == ("session_ended", f"ended by {OWNER}")


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """A lab in which the other user may look at the stages, drive one of them, and not see the laser."""
    access = f"""
[auth]
sources = ["os", "token"]

[[access]]
role = "observer"
users = ["{OTHER_NAME}"]
equipment = ["stage_*"]

[[access]]
role = "operator"
users = ["{OTHER_NAME}"]
equipment = ["stage_y"]
"""
    with running(tmp_path_factory.mktemp("divided"), lab=access + LAB, env={"MOTORLOCK_AUTH": ""}) as authority:
        yield authority


def test_who_may_only_look_is_refused_the_lock_and_may_stop(divided: Authority) -> None:
    """WHO-29"""
    bob = as_user(divided, OTHER)
    _, (status, refused) = login(bob, "stage_x")
    assert (status, refused["right"]) == (403, "control")
    session, (status, _) = login(bob, "stage_y")
    assert status == 200
    command = {"session_id": session["session_id"], "equipment_id": "stage_y", "action": "move_to", "command_id": "one"}
    status, moved = bob("POST", "equipment/stage_y/command", command | {"parameters": {"position": 1.0}})
    assert (status, moved.get("outcome")) == (200, "done"), moved
    assert bob("POST", "equipment/stage_x/stop", {})[0] == 200


def test_what_one_may_not_see_is_in_no_list_and_nowhere_else(divided: Authority) -> None:
    """WHO-29"""
    ann, (status, _) = login(as_owner(divided), "laser")
    assert status == 200
    bob = as_user(divided, OTHER)
    assert {one["id"] for one in bob("GET", "equipment/list")[1]} == {"stage_x", "stage_y"}
    assert set(bob("GET", "whoami")[1]["rights"]) == {"stage_x", "stage_y"}
    assert "laser" not in bob("GET", "locks/all")[1]["exclusive_locks"]
    for method, path in [("GET", "locks/status/laser"), ("GET", "equipment/laser"), ("POST", "equipment/laser/stop")]:
        status, refused = bob(method, path, {})
        assert (status, refused["code"]) == (404, "unknown_equipment")
    events = bob("GET", f"locks/sessions/{ann['session_id']}/events")[1]["events"]
    assert all(event["equipment_id"] != "laser" for event in events)
    assert bob("GET", f"locks/sessions/{ann['session_id']}/locks")[1]["locked_equipment"] == []
    as_owner(divided)("DELETE", f"locks/sessions/{ann['session_id']}")


def test_a_stream_tells_only_of_what_one_may_see(divided: Authority) -> None:
    """WHO-29"""
    token = as_owner(divided)("POST", "tokens", {"user": "eve", "role": "observer", "equipment": ["stage_x"]})[1]
    with stream(divided, token["token"]) as news:
        assert set(next(news)["equipment"]) == {"stage_x"}
        sessions = [login(as_owner(divided), name)[0]["session_id"] for name in ("laser", "stage_x")]
        seen = []
        for told in news:
            if "event" in told:
                seen.append(told["event"])
                if told["event"]["equipment_id"] == "stage_x":
                    break
        assert {event["equipment_id"] for event in seen} <= {None, "stage_x"}
    for session_id in sessions:
        as_owner(divided)("DELETE", f"locks/sessions/{session_id}")


def test_a_revoked_token_is_refused_at_once_and_its_stream_ends(lab: Authority) -> None:
    """WHO-27"""
    owner = as_owner(lab)
    status, made = owner("POST", "tokens", {"user": "eve", "role": "operator"})
    assert status == 200
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert owner("GET", "whoami", **bearer)[1]["user"] == "eve"
    with stream(lab, made["token"]) as news:
        next(news)
        assert owner("DELETE", f"tokens/{made['token_id']}")[0] == 200
        session, _ = login(owner, "stage_y")
        assert all("event" not in told for told in news)
    owner("DELETE", f"locks/sessions/{session['session_id']}")
    status, refused = owner("GET", "whoami", **bearer)
    assert (status, refused["code"]) == (401, "bad_token")


def test_tokens_outlive_the_authority_and_are_listed_without_what_they_are(tmp_path: Path) -> None:
    """WHO-27, WHO-13"""
    with running(tmp_path, lab=LAB, env={"MOTORLOCK_AUTH": "os,token"}) as authority:
        owner = as_owner(authority)
        _, made = owner("POST", "tokens", {"user": "eve", "role": "observer", "expires_seconds": 3600})
        authority.restart()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert owner("GET", "whoami", **bearer)[1]["rights"]["laser"] == ["read", "stop", "observe"]
        listed = owner("GET", "tokens")[1]["tokens"]
        assert [(one["user"], one["role"]) for one in listed] == [("eve", "observer")]
        everywhere = json.dumps(listed) + authority.log
        everywhere += "".join(
            path.read_bytes().decode("latin-1") for path in authority.data.iterdir() if path.is_file()
        )
        assert made["token"].removeprefix("motorlock_") not in everywhere


def test_a_token_has_its_own_rights_also_where_its_bearer_has_more(lab: Authority) -> None:
    """WHO-28"""
    owner = as_owner(lab)
    _, made = owner("POST", "tokens", {"user": OWNER, "rights": ["read", "clear-fault"], "equipment": ["stage_*"]})
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert owner("GET", "whoami", **bearer)[1]["rights"] == {
        "stage_x": ["read", "clear-fault"],
        "stage_y": ["read", "clear-fault"],
    }
    assert owner("POST", "equipment/stage_x/stop", {}, **bearer)[0] == 403
    owner("DELETE", f"tokens/{made['token_id']}")


@pytest.mark.parametrize(
    "body",
    [
        {"user": "eve"},
        {"user": "eve", "role": "king"},
        {"user": "eve", "role": "admin", "rights": ["read"]},
        {"user": "the authority", "role": "admin"},
        {"user": "eve", "role": "admin", "expires_seconds": 0},
        {"user": "eve", "role": "admin", "equipment": []},
    ],
)
def test_a_token_that_makes_no_sense_is_refused(lab: Authority, body: dict[str, object]) -> None:
    """WHO-27"""
    before = as_owner(lab)("GET", "tokens")[1]
    assert as_owner(lab)("POST", "tokens", body)[0] == 422
    assert as_owner(lab)("GET", "tokens")[1] == before


@contextmanager
def stream(authority: Authority, token: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Open the stream of events with a token; what it tells is decoded."""
    headers = {"Authorization": f"Bearer {token}"}
    with requests.get(f"{authority.url}/api/events", headers=headers, stream=True, timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines(chunk_size=None)
        yield (json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: "))


def test_what_was_refused_to_whom_is_kept_for_whoever_looks_after_the_lab(lab: Authority) -> None:
    """WHO-42"""
    bob = as_user(lab, OTHER)
    assert bob("GET", "tokens")[0] == bob("GET", "tokens")[0] == 403
    assert as_owner(lab)("GET", "whoami", Authorization="Bearer motorlock_wrong")[0] == 401
    assert bob("GET", "refused")[0] == 403
    kept = as_owner(lab)("GET", "refused?limit=1000")[1]["refused"]
    seen = [(one["code"], one["user"], one["path"]) for one in kept]
    assert seen.count(("not_allowed", OTHER_NAME, "/api/tokens")) >= 2
    assert ("bad_token", "somebody", "/api/whoami") in seen
    assert "motorlock_wrong" not in str(kept) + lab.log
    line = f"refused (not_allowed): GET /api/tokens by {OTHER_NAME} at 127.0.0.1"
    assert lab.log.count(line) <= 1

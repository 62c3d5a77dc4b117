"""Every route with every role, as the table of docs/security.md says it (WHO-29, WHO-33)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from rest_lab import PATIENCE_S, Authority, running

from authority.api.app import ROUTES
from authority.identity.access import ROLES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who has a socket")
PAGE = Path(__file__).parents[2] / "docs" / "security.md"
PUSHED = {"GET /api/events", "GET /api/ws"}
EQUIPMENT = "stage_x"
HIDDEN = "laser"
LAB = """
[equipment.stage_x]
driver = "simulated-motor"

[equipment.laser]
driver = "simulated-motor"
"""
MOVE = {"action": "move_to", "parameters": {"position": 1.0}}
READ = {"action": "position", "parameters": {}}
# What a request must say beside its session and its equipment; whatever else is wrong with it comes after its rights.
BODIES: dict[str, dict[str, object]] = {
    "POST /api/equipment/{equipment_id}/clear-fault": {"reason": "looked"},
    "POST /api/equipment/{equipment_id}/command (control)": {"command_id": "c", "equipment_id": EQUIPMENT, **MOVE},
    "POST /api/equipment/{equipment_id}/command (observe)": {"command_id": "c", "equipment_id": EQUIPMENT, **READ},
    "POST /api/equipment/{equipment_id}/check": {"commands": [MOVE]},
    "POST /api/locks/acquire (exclusive)": {"equipment_id": EQUIPMENT},
    "POST /api/locks/acquire (observer)": {"equipment_id": EQUIPMENT, "lock_mode": "observer"},
    "POST /api/locks/acquire (priority)": {"equipment_id": EQUIPMENT, "priority": 1, "queue_if_busy": True},
    "POST /api/locks/release": {"equipment_id": EQUIPMENT},
    "POST /api/locks/release (force)": {"equipment_id": EQUIPMENT, "force": True, "reason": "beam"},
    "POST /api/locks/keep/{equipment_id}": {"seconds": 60},
    "POST /api/locks/sessions/{session_id}/heartbeat": {"busy": False},
    "POST /api/locks/sessions/{session_id}/gone": {"reason": "over"},
    "POST /api/locks/ask/{equipment_id}": {"seconds": 60},
    "POST /api/locks/answer/{equipment_id}": {"queue_id": "q", "answer": "no"},
    "POST /api/locks/handover/{equipment_id}": {"to": "bob"},
    "POST /api/locks/queue/{equipment_id}/swap": {"with": "q"},
    "POST /api/tokens": {"user": "eve", "role": "observer"},
}


class Row(NamedTuple):
    """One line of the table: `variant` tells two uses of one route apart."""

    name: str
    method: str
    path: str
    variant: str
    right: str
    acts_for: str

    @property
    def is_own(self) -> bool:
        return self.acts_for.startswith("own")


def rows() -> list[Row]:
    text = PAGE.read_text(encoding="utf-8").partition("## Every route")[2]
    found = re.findall(r"^\| (GET|POST|DELETE) (\S+)(?: \((\w+)\))? \| (\S+) \| ([^|]*)\|$", text, re.MULTILINE)
    return [
        Row(f"{method} {path}{f' ({variant})' if variant else ''}", method, path, variant, right, acts)
        for method, path, variant, right, acts in found
    ]


ROWS = rows()
OWN = [row for row in ROWS if row.is_own and row.name not in PUSHED]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with running(tmp_path_factory.mktemp("lab"), lab=LAB, env={"MOTORLOCK_AUTH": "os,token"}) as authority:
        yield authority


@pytest.fixture(scope="module")
def tokens(lab: Authority) -> dict[str, str]:
    """A token for each role, and one of a user who may do nothing with the equipment."""
    made = {}
    for role in ROLES:
        asked = {"user": f"one {role}", "role": role, "equipment": [EQUIPMENT]}
        made[role] = as_owner(lab, asked)["token"]
    asked = {"user": "a stranger", "role": "admin", "equipment": ["nothing_here"]}
    made["stranger"] = as_owner(lab, asked)["token"]
    return made


def as_owner(lab: Authority, asked: object) -> dict[str, Any]:
    """Make a token as whoever runs the authority."""
    answer = requests.post(f"{lab.url}/api/tokens", json=asked, timeout=PATIENCE_S)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def ask(
    lab: Authority, row: Row, token: str | None, session: dict[str, Any], *, equipment: str = EQUIPMENT
) -> tuple[int, str]:
    """Make the request of a row, and return its status and code."""
    session_id = session.get("session_id", "none")
    path = row.path.format(equipment_id=equipment, session_id=session_id, queue_id="q", token_id="t")
    headers = {"Motorlock-Session": session.get("session_token", ""), "Idempotency-Key": "a key that is not known"}
    if token is None:
        headers["X-Forwarded-For"] = "10.0.0.7"  # so that the operating system is not asked
    else:
        headers["Authorization"] = f"Bearer {token}"
    body = {"session_id": session_id, **BODIES.get(row.name, {})}
    if "{session_id}" in row.path or row.path == "/api/tokens":
        body.pop("session_id")
    if "equipment_id" in body:
        body["equipment_id"] = equipment
    params = {"session_id": session_id} if row.method in ("GET", "DELETE") else None
    answer = requests.request(
        row.method,
        f"{lab.url}{path}",
        json=body if row.method == "POST" else None,
        params=params,
        headers=headers,
        timeout=PATIENCE_S,
    )
    return answer.status_code, answer.json().get("code", "") if answer.content[:1] == b"{" else ""


def begin(lab: Authority, token: str, *, secret: bool) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    asked = {"secret": secret, "timeout_seconds": 0}
    answer = requests.post(f"{lab.url}/api/locks/sessions/create", json=asked, headers=headers, timeout=PATIENCE_S)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_every_route_is_in_the_table_and_the_table_has_no_other() -> None:
    """WHO-33"""
    routes = {f"{route.method} {route.path}" for route in ROUTES} | PUSHED
    assert {f"{row.method} {row.path}" for row in ROWS} == routes
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("role", [*ROLES, "stranger"])
@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in PUSHED], ids=lambda row: row.name)
def test_a_role_may_what_the_table_says(lab: Authority, tokens: dict[str, str], row: Row, role: str) -> None:
    """WHO-29, WHO-33"""
    session: dict[str, Any] = {}
    if row.is_own:
        session = begin(lab, tokens["admin" if role == "stranger" else role], secret=True)
    status, code = ask(lab, row, tokens[role], session)
    if row.right in ("(none)", "(known)"):
        assert status == 200
    elif role == "stranger":
        assert code in ("unknown_equipment", "not_allowed"), (status, code)
    elif row.right in ROLES[role]:
        assert code not in ("not_allowed", "not_identified", "bad_session_token", "not_your_session"), (status, code)
    else:
        assert (status, code) == (403, "not_allowed")


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in PUSHED], ids=lambda row: row.name)
def test_who_is_nobody_may_nothing_and_a_session_does_not_make_somebody_of_them(
    lab: Authority, tokens: dict[str, str], row: Row
) -> None:
    """WHO-31"""
    status, code = ask(lab, row, None, begin(lab, tokens["admin"], secret=True))
    if row.right == "(none)":
        assert status == 200
    else:
        assert (status, code) == (401, "not_identified")


@pytest.mark.parametrize("row", [row for row in ROWS if "{equipment_id}" in row.path], ids=lambda row: row.name)
def test_what_one_may_not_see_is_not_there_at_any_route(lab: Authority, tokens: dict[str, str], row: Row) -> None:
    """WHO-29"""
    session = begin(lab, tokens["admin"], secret=True)
    assert ask(lab, row, tokens["admin"], session, equipment=HIDDEN) == (404, "unknown_equipment")


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.name)
def test_the_session_of_somebody_else_acts_at_no_route(lab: Authority, tokens: dict[str, str], row: Row) -> None:
    """WHO-7, WHO-26: with a secret it needs its token, without one its user."""
    if row.name == "DELETE /api/locks/sessions/{session_id}":
        role, others = "operator", "admin"  # an admin may end it
    else:
        role, others = "admin", "operator"
    secret = begin(lab, tokens[others], secret=True) | {"session_token": "guessed"}
    assert ask(lab, row, tokens[role], secret) == (401, "bad_session_token")
    plain = begin(lab, tokens[others], secret=False)
    assert ask(lab, row, tokens[role], plain) == (401, "not_your_session")


@pytest.mark.parametrize("row", [row for row in OWN if "where it lives" not in row.acts_for], ids=lambda row: row.name)
def test_a_session_that_has_ended_acts_at_no_route(lab: Authority, tokens: dict[str, str], row: Row) -> None:
    """WHO-10"""
    session = begin(lab, tokens["admin"], secret=True)
    headers = {"Authorization": f"Bearer {tokens['admin']}", "Motorlock-Session": session["session_token"]}
    path = f"{lab.url}/api/locks/sessions/{session['session_id']}"
    assert requests.delete(path, headers=headers, timeout=PATIENCE_S).status_code == 200
    status, code = ask(lab, row, tokens["admin"], session)
    assert status in (401, 403, 404), (status, code)

"""Whether commands would be accepted: asked beforehand, it is what becomes of the command, and it changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from rest_lab import Authority, Json, Person, ok, refused, running, until

COMMANDS: dict[str, Json] = {
    "a move": {"action": "move_to", "parameters": {"position": 5}},
    "a move beyond the limits": {"action": "move_to", "parameters": {"position": 500}},
    "a distance beyond the limits": {"action": "move_by", "parameters": {"distance": -200}},
    "a target of the wrong type": {"action": "move_to", "parameters": {"position": "far"}},
    "no target": {"action": "move_to"},
    "an unknown parameter": {"action": "home", "parameters": {"speed": 1}},
    "an unknown command": {"action": "fly"},
    "a reading": {"action": "position"},
    "a reading with a parameter": {"action": "position", "parameters": {"of": 1}},
    "an old fence": {"action": "home", "fence": 0},
    "no session": {"action": "home", "session_id": None},
    "a reading without a session": {"action": "position", "session_id": ""},
    "a session that nobody knows": {"action": "home", "session_id": "nobody"},
}
SLOW = """
[equipment.motor]
driver = "simulated-motor"
options = { start = 40.0, velocity = 1.0 }
[equipment.bench]
driver = "simulated-motor"
enforce_locks = false
[equipment.flaky]
driver = "tests.api.drivers:Flaky"
"""
Setting = Callable[[Person, Person, str], object]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Iterator[Authority]:
    text = f'{SLOW}options = {{ place = "{place}" }}'
    with running(tmp_path_factory.mktemp("lab"), lab=text) as authority:
        until(lambda: authority.status("flaky")["readback"]["connected"], "the device answers")
        yield authority


def holds(ann: Person, bob: Person, motor: str) -> None:
    ann.has(motor)


def moves(ann: Person, bob: Person, motor: str) -> None:
    ann.has(motor)
    ann.begins("move_to", motor, position=100)


def observes(ann: Person, bob: Person, motor: str) -> None:
    ok(ann.acquire(motor, lock_mode="observer"))


def another_holds(ann: Person, bob: Person, motor: str) -> None:
    bob.has(motor)


def waits(ann: Person, bob: Person, motor: str) -> None:
    bob.has(motor)
    ok(ann.acquire(motor, queue_if_busy=True))


def granted_and_not_claimed(ann: Person, bob: Person, motor: str) -> None:
    waits(ann, bob, motor)
    ok(bob.release(motor))


def lost_by_force(ann: Person, bob: Person, motor: str) -> None:
    ann.has(motor)
    ok(bob.release(motor, force=True, reason="my slot"))
    bob.has(motor)


def stopped_by_another(ann: Person, bob: Person, motor: str) -> None:
    ann.has(motor)
    ok(bob.stop(motor, reason="the laser is on"))


def stopped_and_resumed(ann: Person, bob: Person, motor: str) -> None:
    stopped_by_another(ann, bob, motor)
    ok(ann.post(f"/equipment/{motor}/resume"))


def gave_it_back_in_a_move(ann: Person, bob: Person, motor: str) -> None:
    moves(ann, bob, motor)
    ok(ann.release(motor))


def session_is_over(ann: Person, bob: Person, motor: str) -> None:
    ann.has(motor)
    ok(ann.leave())


def as_many_wait_as_may(ann: Person, bob: Person, motor: str) -> None:
    moves(ann, bob, motor)
    for _ in range(100):
        ann.begins("home", motor)


def nothing(ann: Person, bob: Person, motor: str) -> None:
    pass


STATES = (
    nothing, holds, moves, observes, another_holds, waits, granted_and_not_claimed, lost_by_force, stopped_by_another,
    stopped_and_resumed, gave_it_back_in_a_move, session_is_over, as_many_wait_as_may,
)  # fmt: skip


def asked(ann: Person, motor: str, *commands: Json, **more: object) -> list[Json]:
    """Ask beforehand; commands may bring the session and the fence that they are asked under."""
    beyond = {name: commands[0][name] for name in ("session_id", "fence") if name in commands[0]}
    alone = [{k: v for k, v in one.items() if k in ("action", "parameters")} for one in commands]
    answer = ok(ann.post(f"/equipment/{motor}/check", {"commands": alone, **beyond, **more}))
    assert answer["equipment_id"] == motor
    assert [one["action"] for one in answer["commands"]] == [one["action"] for one in commands]
    found: list[Json] = answer["commands"]
    return found


def without_times(problem: Any) -> str:
    """Return a problem without what changes from one moment to the next: how long ago, and where it moves."""
    return re.sub(r"\d+ s\b", "5 s", re.sub(r"-\d+\.\d+ mm", "-160 mm", str(problem)))


def same(ann: Person, motor: str, command: Json) -> tuple[Json, requests.Response]:
    """Ask and then send; both say the same."""
    (before,) = asked(ann, motor, command)
    sent = ann.order({**command, "wait_seconds": 0}, motor)
    if before["accepted"]:
        assert (sent.status_code, before["refusal"], before["always"]) == (sent.status_code, None, False)
        assert sent.status_code in (200, 202), sent.text
    else:
        assert without_times(before["refusal"]) == without_times(sent.json())
        assert sent.status_code == before["refusal"]["status"]
    return before, sent


def begun_anew(lab: Authority, motor: str) -> tuple[Person, Person]:
    """Give the motor to nobody, at rest, and return people who are new to it."""
    for session in ok(lab.get("/locks/sessions"))["sessions"]:
        lab.delete(f"/locks/sessions/{session['session_id']}")
    ok(lab.post(f"/equipment/{motor}/stop", {}))
    until(lambda: lab.status(motor)["state"] == "free", "the motor is free")
    return lab.person("ann"), lab.person("bob")


@pytest.mark.parametrize("state", STATES)
def test_a_command_is_accepted_exactly_where_it_is_said_beforehand(lab: Authority, state: Setting) -> None:
    """CMD-30"""
    for name, command in COMMANDS.items():
        ann, bob = begun_anew(lab, "motor")
        state(ann, bob, "motor")
        before, sent = same(ann, "motor", command)
        print(state.__name__, name, before["refusal"] and before["refusal"]["code"], sent.status_code)


def test_where_locks_are_switched_off_everybody_is_told_so(lab: Authority) -> None:
    """CMD-30"""
    for name, command in COMMANDS.items():
        ann, _ = begun_anew(lab, "bench")
        before, _ = same(ann, "bench", command)
        assert before["accepted"] is (name not in REFUSED_BY_ANYBODY), name


def test_a_device_that_cannot_be_reached_is_told_and_not_sought(lab: Authority, place: Path) -> None:
    """CMD-30 CMD-31"""
    (place / "unplugged").touch()
    until(lambda: not lab.status("flaky")["readback"]["connected"], "the loss is noticed")
    ann, _ = begun_anew(lab, "flaky")
    ann.has("flaky")
    before, _ = same(ann, "flaky", {"action": "move_to", "parameters": {"position": 1}})
    (place / "unplugged").unlink()
    until(lambda: lab.status("flaky")["readback"]["connected"], "the device answers again")
    assert (before["refusal"]["code"], before["always"]) == ("driver_unavailable", False)


def test_a_secret_session_is_asked_for_its_token(lab: Authority) -> None:
    """CMD-30"""
    begun_anew(lab, "motor")
    ann = lab.person("ann", secret=True)
    ann.has("motor")
    assert same(ann, "motor", COMMANDS["a move"])[0]["accepted"]
    token, ann.token = ann.token, None
    before, _ = same(ann, "motor", COMMANDS["a move"])
    assert before["refusal"]["code"] == "bad_session_token"
    ann.token = token
    ok(ann.leave())


def test_what_no_command_before_it_can_change_is_told_apart(lab: Authority) -> None:
    """CMD-32"""
    ann, bob = begun_anew(lab, "motor")
    assert [x["always"] for x in asked(ann, "motor", COMMANDS["a move"], COMMANDS["an unknown command"])] == [True] * 2
    ann.has("motor")
    passing = {"a move", "a reading", "a distance beyond the limits"}
    for name, command in COMMANDS.items():
        assert asked(ann, "motor", command)[0]["always"] is (name not in passing), name
    ok(bob.stop("motor"))
    assert asked(ann, "motor", COMMANDS["a move"])[0]["always"] is True


def test_asking_claims_nothing_refreshes_nothing_and_is_not_recorded(lab: Authority) -> None:
    """CMD-31"""
    ann, bob = begun_anew(lab, "motor")
    bob.has("motor", timeout_seconds=600)
    ok(ann.acquire("motor", queue_if_busy=True, timeout_seconds=600))
    ok(bob.release("motor"))

    def seen() -> tuple[object, ...]:
        status, session = lab.status("motor"), ok(lab.get(f"/locks/sessions/{ann.session_id}"))
        return status["claimed"], status["ending"]["at"], session["last_activity"], lab.events("motor")

    before = seen()
    assert [x["accepted"] for x in asked(ann, "motor", COMMANDS["a move"], COMMANDS["a reading"])] == [True, True]
    assert not asked(bob, "motor", COMMANDS["a move"])[0]["accepted"]
    assert seen() == before
    assert ok(lab.get("/locks/sessions"))["count"] == 2
    asked(ann, "bench", COMMANDS["no session"])
    assert ok(lab.get("/locks/sessions"))["count"] == 2
    ok(ann.command("position", "motor"))
    assert seen() != before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"commands": []},
        {"commands": [{"action": "home"}] * 101},
        {"commands": [{"action": "home", "speed": 1}]},
        {"commands": [{"action": "home"}], "wait_seconds": 1},
        {"commands": ["home"]},
    ],
)
def test_a_body_that_is_not_as_described_is_refused(lab: Authority, body: Json) -> None:
    """CMD-30 REST-3"""
    refused(lab.post("/equipment/motor/check", body), 422, "invalid")


def test_unknown_equipment_is_404(lab: Authority) -> None:
    """CMD-30"""
    refused(lab.post("/equipment/nowhere/check", {"commands": [{"action": "home"}]}), 404, "unknown_equipment")


REFUSED_BY_ANYBODY = {
    "a move beyond the limits", "a distance beyond the limits", "a target of the wrong type", "no target",
    "an unknown parameter", "an unknown command", "a reading with a parameter",
}  # fmt: skip

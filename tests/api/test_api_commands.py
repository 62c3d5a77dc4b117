"""Commands over REST: the gate, parameters, outcomes, waiting, fences and idempotency keys (row 16)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import requests
from rest_lab import Authority, Person, ok, refused, until

REPLY = {"command_id", "success", "data", "error", "timestamp", "outcome", "equipment_id"}

People = Callable[..., Person]


def test_a_command_that_was_done_is_answered_as_on_the_page_with_its_value(lab: Authority, ann: Person) -> None:
    """CMD-12 REST-1"""
    ann.has("ps_abc123")
    answer = ok(ann.order({"action": "set_voltage", "parameters": {"voltage": 12.0}}, "ps_abc123"))
    assert answer.keys() >= REPLY
    assert (answer["command_id"], answer["equipment_id"]) == ("c1", "ps_abc123")
    assert (answer["success"], answer["data"], answer["error"], answer["outcome"]) == (True, 12.0, None, "done")
    assert ok(ann.command("get_voltage", "ps_abc123"))["data"] == 12.0


def test_a_control_command_without_a_session_id_is_401_also_where_the_equipment_is_free(
    lab: Authority, motor: str
) -> None:
    """WHO-11"""
    for extra in ({}, {"session_id": None}, {"session_id": ""}):
        asked = {"command_id": "c", "equipment_id": motor, "action": "home", **extra}
        refused(lab.post(f"/equipment/{motor}/command", asked), 401, "session_required")


def test_a_control_command_of_a_session_that_never_had_the_lock_names_the_holder(
    ann: Person, bob: Person, motor: str
) -> None:
    """LOCK-10"""
    body = refused(bob.command("home", motor), 403, "lock_required")
    assert body["holder"] is None
    ann.has(motor)
    body = refused(bob.command("home", motor), 403, "lock_required")
    assert body["holder"]["user"] == "ann"
    assert body["detail"].startswith(f"You do not hold {motor}: ann has had {motor} for ")


def test_a_control_command_of_an_id_that_nobody_knows_needs_the_lock(lab: Authority, motor: str) -> None:
    """LOCK-10"""
    asked = {"command_id": "c", "equipment_id": motor, "action": "home", "session_id": str(uuid4())}
    refused(lab.post(f"/equipment/{motor}/command", asked), 403, "lock_required")


def test_a_control_command_of_a_session_that_lost_its_lock_says_by_whom_why_and_when(
    ann: Person, bob: Person, motor: str
) -> None:
    """LOCK-11"""
    ann.has(motor)
    ok(bob.release(motor, force=True, reason="my slot"))
    bob.has(motor)
    ok(bob.release(motor))
    body = refused(ann.command("home", motor), 403, "lock_lost")
    assert (body["by"], body["why"], body["reason"]) == ("bob", "forced", "my slot")
    assert body["at"]
    ann.has(motor)
    assert ok(ann.command("home", motor))["success"] is True


def test_a_command_under_a_fence_that_is_not_the_present_one_is_refused_also_when_the_session_holds_again(
    ann: Person, motor: str
) -> None:
    """LOCK-12 CMD-6"""
    old = ann.has(motor)["fence"]
    ok(ann.release(motor))
    new = ann.has(motor)["fence"]
    refused(ann.order({"action": "home", "fence": old}, motor), 403, "lock_lost")
    refused(ann.order({"action": "home", "fence": new + 1}, motor), 403, "lock_lost")
    assert ok(ann.order({"action": "home", "fence": new}, motor))["success"] is True


@pytest.mark.parametrize("named", [True, False])
def test_an_observe_command_without_a_lock_is_refused_with_and_without_a_session_id(
    lab: Authority, ann: Person, motor: str, named: bool
) -> None:
    """OBS-3"""
    asked = {"command_id": "c", "equipment_id": motor, "action": "position"}
    if named:
        asked["session_id"] = ann.session_id
    refused(lab.post(f"/equipment/{motor}/command", asked), 403, "observe_required")


def test_an_observer_may_ask_and_not_control(ann: Person, motor: str) -> None:
    """OBS-2 CMD-1"""
    ok(ann.acquire(motor, lock_mode="observer"))
    assert ok(ann.command("position", motor))["data"] == 0
    refused(ann.command("home", motor), 403, "lock_required")


@pytest.mark.parametrize("action", ["fly", "get_nothing", "stop", "open", "close", "readback", "__init__", "_go"])
def test_a_command_that_is_not_declared_is_404_and_never_guessed_from_its_name(
    ann: Person, motor: str, action: str
) -> None:
    """CMD-2"""
    ann.has(motor)
    refused(ann.command(action, motor), 404, "unknown_command")


@pytest.mark.parametrize(
    ("parameters", "loc"),
    [
        ({}, "position"),
        ({"position": None}, "position"),
        ({"position": "12.5"}, "position"),
        ({"position": True}, "position"),
        ({"position": [1]}, "position"),
        ({"position": 10**400}, "position"),
        ({"position": 1, "speed": 3}, "speed"),
    ],
)
def test_parameters_that_are_missing_unknown_or_of_the_wrong_type_never_reach_the_driver(
    lab: Authority, ann: Person, motor: str, parameters: dict[str, object], loc: str
) -> None:
    """CMD-3 REST-3"""
    ann.has(motor)
    body = refused(ann.order({"action": "move_to", "parameters": parameters}, motor), 422, "invalid")
    assert body["errors"][0]["loc"] == ["body", "parameters", loc]
    assert {"msg", "type"} <= body["errors"][0].keys()


def test_a_target_beyond_the_limits_is_refused_before_anything_moves(lab: Authority, ann: Person, motor: str) -> None:
    """CMD-3 DRV-3"""
    ann.has(motor)
    refused(ann.command("move_to", motor, position=150), 422, "outside_limits")
    refused(ann.command("move_by", motor, distance=-1), 422, "outside_limits")


def test_a_velocity_beyond_the_limits_is_refused_before_anything_is_sent(
    lab: Authority, ann: Person, motor: str
) -> None:
    """DRV-13"""
    ann.has(motor)
    refused(ann.command("set_velocity", motor, velocity=0), 422, "outside_limits")


def test_a_body_that_names_other_equipment_than_the_path_is_refused(ann: Person, motor: str) -> None:
    """REST-11"""
    ann.has(motor)
    refused(ann.order({"action": "home", "equipment_id": "stage_x"}, motor), 422, "invalid")


@pytest.mark.parametrize("missing", ["command_id", "equipment_id", "action"])
def test_a_command_that_lacks_a_required_field_is_refused_with_its_name(lab: Authority, missing: str) -> None:
    """REST-3"""
    asked = {"command_id": "c", "equipment_id": "stage_x", "action": "home"}
    del asked[missing]
    assert missing in refused(lab.post("/equipment/stage_x/command", asked), 422, "invalid")["detail"]


@pytest.mark.parametrize("wait", [-1, 60.5, 61, "long", None, True])
def test_wait_seconds_is_0_to_60(ann: Person, motor: str, wait: object) -> None:
    """CMD-12"""
    refused(ann.order({"action": "home", "wait_seconds": wait}, motor), 422, "invalid")


def test_the_checks_of_a_command_are_made_in_the_order_of_the_specification(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """REST-4"""
    wrong = {"parameters": {"position": 1000}}
    everything_wrong = {"action": "fly", "equipment_id": "nope", "session_id": None, "command_id": 7, **wrong}
    path = "/equipment/nope/command"
    refused(ann.post(path, everything_wrong, headers={"Origin": "http://evil.example"}), 403, "foreign_origin")
    refused(lab.raw(path, b"x" * (1024 * 1024 + 1), "text/plain"), 413, "too_large")
    refused(lab.raw(path, b"{", "text/plain"), 415, "not_json")
    refused(ann.post(path, everything_wrong), 422, "invalid")
    refused(ann.post(path, {**everything_wrong, "command_id": "c"}), 404, "unknown_equipment")
    here = {**everything_wrong, "command_id": "c", "equipment_id": motor}
    path = f"/equipment/{motor}/command"
    refused(ann.post(path, here), 404, "unknown_command")
    here["action"] = "move_to"
    refused(ann.post(path, here), 401, "session_required")
    del here["session_id"]
    refused(ann.post(path, here), 403, "lock_required")
    ann.has(motor)
    ok(bob.stop(motor))
    refused(ann.post(path, here), 409, "stopped_by")
    ok(ann.post(f"/equipment/{motor}/resume"))
    refused(ann.post(path, {**here, "parameters": {"place": 3}}), 422, "invalid")
    refused(ann.post(path, here), 422, "outside_limits")
    here["parameters"] = {"position": 0}
    ok(ann.post(path, here))


def test_the_same_command_id_twice_runs_twice(lab: Authority, ann: Person, motor: str) -> None:
    """CMD-11"""
    ann.has(motor)
    for expected in (0.01, 0.02):
        answer = ok(ann.order({"action": "move_by", "parameters": {"distance": 0.01}, "command_id": "same"}, motor))
        assert answer["command_id"] == "same"
        assert answer["data"] == pytest.approx(expected)


def test_the_same_key_answers_the_recorded_reply_byte_for_byte_and_runs_nothing(
    lab: Authority, ann: Person, motor: str
) -> None:
    """CMD-9"""
    ann.has(motor)
    first = ann.command("move_by", motor, "key-1", distance=0.02)
    again = ann.command("move_by", motor, "key-1", distance=0.02)
    ok(first)
    assert again.content == first.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len([e for e in lab.events(motor) if e["event"] == "command_started"]) == 1
    assert ok(ann.command("position", motor))["data"] == pytest.approx(0.02)


def test_a_recorded_reply_is_answered_also_when_the_lock_has_gone(ann: Person, motor: str) -> None:
    """CMD-9"""
    ann.has(motor)
    first = ann.command("home", motor, "key-1")
    ok(ann.release(motor))
    assert ann.command("home", motor, "key-1").content == first.content


@pytest.mark.parametrize(
    "other",
    [
        {"action": "move_to", "parameters": {"position": 0.02}},
        {"action": "move_by", "parameters": {"distance": 0.01}},
        {"action": "move_to", "parameters": {"position": 0.01}, "command_id": "c2"},
    ],
)
def test_the_same_key_with_other_content_is_refused(ann: Person, motor: str, other: dict[str, object]) -> None:
    """CMD-10"""
    ann.has(motor)
    ok(ann.command("move_to", motor, "key-1", position=0.01))
    refused(ann.order(other, motor, "key-1"), 422, "idempotency_mismatch")


def test_two_long_keys_that_differ_only_at_their_end_are_two_keys_or_refused(ann: Person, motor: str) -> None:
    """CMD-9 WHO-14"""
    ann.has(motor)
    key = "k" * 128
    ok(ann.command("home", motor, key))
    refused(ann.command("home", motor, key + "1"), 422, "invalid")


def test_the_same_key_in_two_sessions_is_two_commands(lab: Authority, ann: Person, bob: Person, motor: str) -> None:
    """CMD-9"""
    ann.has(motor)
    ok(ann.command("home", motor, "key-1"))
    ok(ann.release(motor))
    bob.has(motor)
    answer = bob.command("home", motor, "key-1")
    ok(answer)
    assert "Idempotency-Replayed" not in answer.headers
    assert len([e for e in lab.events(motor) if e["event"] == "command_started"]) == 2


def what_became(lab: Authority, who: Person, motor: str, key: str, **query: object) -> requests.Response:
    params = {"session_id": who.session_id, **query}
    return lab.get(f"/equipment/{motor}/command", params=params, headers={"Idempotency-Key": key})


def test_what_became_of_a_command_is_answered_by_its_key_also_when_its_session_has_ended(
    lab: Authority, person: People, motor: str
) -> None:
    """CMD-19"""
    ann = person("ann")
    ann.has(motor)
    first = ann.command("move_by", motor, "key-1", distance=0.02)
    assert what_became(lab, ann, motor, "key-1").content == first.content
    ok(ann.post("/locks/release", {"equipment_id": motor}))
    ann.leave()
    answer = what_became(lab, ann, motor, "key-1")
    assert (answer.status_code, answer.content) == (200, first.content)
    assert len([e for e in lab.events(motor) if e["event"] == "command_started"]) == 1


def test_what_becomes_of_a_command_that_runs_is_waited_for_and_nothing_is_run(
    lab: Authority, ann: Person, motor: str
) -> None:
    """CMD-19 CMD-13"""
    ann.has(motor)
    ann.order({"action": "move_to", "parameters": {"position": 3}, "wait_seconds": 0}, motor, "key-1")
    still = what_became(lab, ann, motor, "key-1", wait_seconds=0)
    assert (still.status_code, still.json()["outcome"], still.json()["command_id"]) == (202, "running", "c1")
    done = ok(what_became(lab, ann, motor, "key-1"))
    assert (done["outcome"], done["data"]) == ("done", pytest.approx(3))
    assert len([e for e in lab.events(motor) if e["event"] == "command_started"]) == 1


def test_of_a_key_that_bore_no_command_there_nothing_is_known(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """CMD-19"""
    ann.has(motor)
    ok(ann.command("home", motor, "key-1"))
    refused(what_became(lab, ann, motor, "key-2"), 404, "unknown_key")
    refused(what_became(lab, bob, motor, "key-1"), 404, "unknown_key")
    refused(what_became(lab, ann, "stage_y", "key-1"), 404, "unknown_key")
    refused(what_became(lab, ann, motor, ""), 422, "invalid")
    refused(what_became(lab, ann, motor, "key-1", wait_seconds=61), 422, "invalid")
    refused(what_became(lab, ann, "nope", "key-1"), 404, "unknown_equipment")


def test_a_refused_command_does_not_use_up_its_key(ann: Person, motor: str) -> None:
    """CMD-9 LOCK-7"""
    refused(ann.command("home", motor, "key-1"), 403, "lock_required")
    ann.has(motor)
    answer = ann.command("home", motor, "key-1")
    assert ok(answer)["outcome"] == "done"
    assert "Idempotency-Replayed" not in answer.headers


def test_a_command_that_still_runs_is_202_and_asking_again_with_its_key_goes_on_waiting(
    lab: Authority, ann: Person, motor: str
) -> None:
    """CMD-13"""
    ann.has(motor)
    asked = {"action": "move_to", "parameters": {"position": 3}}
    running = ok(ann.order({**asked, "wait_seconds": 0}, motor, "key-1"), 202)
    assert running.keys() >= REPLY
    assert (running["outcome"], running["success"], running["data"]) == ("running", True, None)
    answer = ann.order({**asked, "wait_seconds": 30}, motor, "key-1")
    assert ok(answer)["data"] == 3
    assert len([e for e in lab.events(motor) if e["event"] == "command_started"]) == 1


def test_while_a_command_runs_the_status_shows_what_it_is_and_whose(lab: Authority, ann: Person, motor: str) -> None:
    """CMD-16"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    running = lab.status(motor)["running"]
    assert {k: running[k] for k in ("action", "parameters", "command_id", "session_id", "user")} == {
        "action": "move_to", "parameters": {"position": 100}, "command_id": "c1", "session_id": ann.session_id,
        "user": "ann",
    }  # fmt: skip
    assert running["started_at"]
    ok(ann.stop(motor))
    assert until(lambda: lab.status(motor)["running"] is None, "the command ends")
    started, finished = (e for e in lab.events(motor) if e["event"].startswith("command_"))
    assert (started["event"], finished["event"]) == ("command_started", "command_finished")
    assert started.keys() >= {"command_id", "action", "parameters", "fence"}
    assert (finished["outcome"], finished["action"], finished["command_id"]) == ("stopped", "move_to", "c1")


def test_control_commands_of_one_equipment_run_one_after_another_in_the_order_of_their_acceptance(
    lab: Authority, ann: Person, motor: str
) -> None:
    """CMD-4 CMD-15"""
    ann.has(motor)
    keys = ["a", "b", "c"]
    for n, key in enumerate(keys):
        body = {"action": "move_to", "parameters": {"position": n + 1}, "wait_seconds": 0, "command_id": key}
        ok(ann.order(body, motor, key), 202)
    last = {"action": "move_to", "parameters": {"position": 3}, "command_id": "c"}
    assert ok(ann.order(last, motor, "c"))["data"] == 3
    told = [(e["event"], e["command_id"]) for e in lab.events(motor) if e["event"].startswith("command_")]
    expected = [(f"command_{what}", key) for key in keys for what in ("started", "finished")]
    assert told == expected


def test_a_command_accepted_behind_another_one_is_not_run_when_the_lock_ends_first(ann: Person, motor: str) -> None:
    """CMD-15 CMD-12"""
    ann.has(motor)
    ann.begins("move_to", motor, "first", position=100)
    ann.begins("move_to", motor, "second", position=0)
    ok(ann.release(motor, stop=True))
    answer = ok(ann.command("move_to", motor, "second", position=0))
    assert (answer["success"], answer["outcome"], answer["data"]) == (False, "not_run", None)
    assert answer["error"] == "the lock ended before the command began"
    assert ok(ann.command("move_to", motor, "first", position=100))["outcome"] == "stopped"


def test_observe_commands_do_not_wait_for_the_command_that_runs_nor_other_equipment(ann: Person, motor: str) -> None:
    """CMD-5"""
    ann.has(motor)
    ann.has("ps_abc123")
    ann.begins("move_to", motor, position=100)
    assert 0 <= ok(ann.command("position", motor))["data"] < 100
    assert ok(ann.command("set_voltage", "ps_abc123", voltage=5))["data"] == 5
    ok(ann.stop(motor))


def test_a_client_that_hangs_up_does_not_cancel_its_command(lab: Authority, ann: Person, motor: str) -> None:
    """CMD-14"""
    import requests

    ann.has(motor)
    body = {"command_id": "c1", "equipment_id": motor, "session_id": ann.session_id, "action": "move_to"}
    body["parameters"] = {"position": 4}  # type: ignore[assignment]
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{lab.url}/api/equipment/{motor}/command", json=body, headers={"Idempotency-Key": "k"}, timeout=0.1
        )
    assert ok(ann.command("move_to", motor, "k", position=4))["data"] == 4
    assert len([e for e in lab.events(motor) if e["event"] == "command_started"]) == 1


def test_two_acquires_of_one_free_equipment_at_once_give_one_grant_and_one_refusal(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """LOCK-13"""
    import requests

    def ask(who: Person) -> int:
        asked = {"equipment_id": motor, "session_id": who.session_id}
        return requests.post(f"{lab.url}/api/locks/acquire", json=asked, timeout=30).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(ask, [ann, bob])) == [200, 409]

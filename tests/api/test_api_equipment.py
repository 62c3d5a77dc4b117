"""The equipment over REST: list, description, status and readings (row 18), and the OpenAPI document's page."""

from __future__ import annotations

import pytest
from rest_lab import Authority, Person, ok, refused

MOTORS = 4
LISTED = {
    "id", "type", "manufacturer", "model", "serial_number", "connection_type", "resource_string", "nickname",
}  # fmt: skip
LABLINK_TYPES = {"oscilloscope", "power_supply", "electronic_load", "multimeter", "function_generator", "unknown"}


def test_the_list_of_equipment_has_lablinks_fields_and_one_of_its_six_types(lab: Authority) -> None:
    """REST-14 REST-1"""
    answer = lab.get("/equipment/list")
    assert answer.status_code == 200
    listed = {one["id"]: one for one in answer.json()}
    assert {"stage_x", "stage_y", "ps_abc123", "scope_123"} <= listed.keys()
    for one in listed.values():
        assert one.keys() >= LISTED | {"kind", "label", "state", "holder", "queue_length"}
        assert one["type"] in LABLINK_TYPES
    assert (listed["stage_x"]["type"], listed["stage_x"]["kind"]) == ("unknown", "motor")
    assert (listed["ps_abc123"]["type"], listed["ps_abc123"]["kind"]) == ("power_supply", "power_supply")
    assert listed["scope_123"]["type"] == "oscilloscope"


def test_the_list_says_who_holds_what_and_how_many_wait(lab: Authority, ann: Person, bob: Person, motor: str) -> None:
    """OBS-12"""
    ann.has(motor)
    ok(bob.acquire(motor, queue_if_busy=True))
    one = next(one for one in lab.get("/equipment/list").json() if one["id"] == motor)
    assert (one["state"], one["holder"], one["queue_length"]) == ("held", "ann", 1)


def test_equipment_tells_its_commands_with_kind_parameters_and_units_and_its_policies(lab: Authority) -> None:
    """CMD-1"""
    shown = ok(lab.get("/equipment/stage_x"))
    assert shown.keys() >= {"equipment_id", "kind", "label", "commands", "policies", "status"}
    commands = {c["name"]: c for c in shown["commands"]}
    assert {n: c["kind"] for n, c in commands.items()} == {
        "move_to": "control", "move_by": "control", "home": "control", "park": "control", "set_velocity": "control",
        "position": "observe", "status": "observe",
    }  # fmt: skip
    (parameter,) = commands["move_to"]["parameters"]
    assert (parameter["name"], parameter["type"], parameter["units"], parameter["required"]) == (
        "position", "number", "mm", True,
    )  # fmt: skip
    assert parameter.keys() >= {"default", "low", "high", "choices", "doc"}
    assert commands["position"]["returns"] == {"type": "number", "units": "mm"}
    assert shown["policies"]["observers"] == "alongside"
    assert shown["status"]["equipment_id"] == "stage_x"


@pytest.mark.parametrize("equipment", ["stage_x", "ps_abc123", "scope_123"])
def test_the_status_of_a_device_says_whether_it_answers(lab: Authority, equipment: str) -> None:
    """REST-1 DRV-6"""
    shown = ok(lab.get(f"/equipment/{equipment}/status"))
    assert shown.keys() >= {"id", "connected", "error", "firmware_version", "capabilities"}
    assert (shown["id"], shown["connected"], shown["error"]) == (equipment, True, None)


def test_the_readings_are_the_cached_readback_and_need_no_lock(lab: Authority, ann: Person) -> None:
    """OBS-12 DRV-4"""
    shown = ok(lab.get("/equipment/stage_x/readings"))
    assert shown["equipment_id"] == "stage_x"
    assert shown["readings"]["position"] == 0
    assert shown["age_seconds"] >= 0
    ann.has("ps_abc123")
    ok(ann.command("set_voltage", "ps_abc123", voltage=3.5))
    assert ok(lab.get("/equipment/ps_abc123/readings"))["readings"]["voltage"] == 3.5


@pytest.mark.parametrize("path", ["", "/status", "/readings"])
def test_unknown_equipment_is_404(lab: Authority, path: str) -> None:
    """REST-10"""
    refused(lab.get(f"/equipment/nope{path}"), 404, "unknown_equipment")


def test_the_page_of_the_document_names_every_path_it_shows_from_the_served_document(lab: Authority) -> None:
    """REST-16"""
    assert "openapi.json" in lab.send("GET", "/docs").text
    assert ok(lab.send("GET", "/openapi.json"))["openapi"].startswith("3.")

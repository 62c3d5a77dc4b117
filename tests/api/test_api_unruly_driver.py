"""What a driver hands over, in a real authority: it can hurt only its own equipment, and is told as what it is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rest_lab import Authority, Person, ok, refused, running, until
from unruly_drivers import RAISES

from jupyter_motorlock.client.interrupt import stop_all
from jupyter_motorlock.client.session import KernelSession

CLASSES = {"blocks": "Unruly", "loops": "UnrulyOnTheLoop"}
UNREADABLE = ["nothing", "position", "moving", "list", "much", *RAISES]
SAYS_IT = """
[equipment.{name}_says_{what}]
driver = "tests.api.unruly_drivers:{class_name}"
options = {{ says = "{what}" }}
"""
LAB = """
[equipment.blocks]
driver = "tests.api.unruly_drivers:Unruly"
[equipment.loops]
driver = "tests.api.unruly_drivers:UnrulyOnTheLoop"
[equipment.bad_from_the_start]
driver = "tests.api.unruly_drivers:Unruly"
options = { says = "surrogate" }
[equipment.never_opens]
driver = "tests.api.unruly_drivers:Unruly"
options = { opens = "exit", says = "exit" }
[equipment.detector]
driver = "tests.api.unruly_drivers:Detector"
[equipment.stage_x]
driver = "simulated-motor"
""" + "".join(
    SAYS_IT.format(name=name, what=what, class_name=class_name)
    for name, class_name in CLASSES.items()
    for what in UNREADABLE
)
BOTH = pytest.mark.parametrize("name", ["blocks", "loops"])
SENTENCES = {
    "exit": "the driver raised SystemExit: device gone",
    "interrupt": "the driver raised KeyboardInterrupt",
    "cancelled": "the driver raised CancelledError",
    "generator": "the driver raised GeneratorExit",
    "iteration": "3",
    "recursion": "maximum recursion depth exceeded",
    "mute": "Mute",
    "no_text": "cannot read /data/M\\udcfcller/run1.tif",
    "long": "x" * 997 + "...",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with running(tmp_path_factory.mktemp("lab"), lab=LAB) as authority:
        for name in ("blocks", "loops", "bad_from_the_start"):
            until(lambda name=name: authority.status(name)["readback"]["connected"], "it answers")  # type: ignore[misc]
        yield authority


@pytest.fixture(autouse=True)
def all_is_well_for_everybody_else(lab: Authority) -> Iterator[None]:
    yield
    assert ok(lab.send("GET", "/health"))["status"] == "ok"
    assert {one["id"] for one in ok(lab.get("/equipment/list"))} >= {"blocks", "loops", "stage_x"}


@BOTH
@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("no_text", "/data/M\\udcfcller/run1.tif"),
        ("no_text_as_key", {"/data/M\\udcfcller/run1.tif": 1}),
        ("float32", 2.0),
        ("longdouble", 2.5),
        ("int64", 7),
        ("bool", False),
        ("array", [1.0, 2.0]),
        ("matrix", [[1, 2], [3, 4]]),
        ("not_finite", [None, None, None]),
        ("date", "2026-03-01T12:00:00.000000000"),
    ],
)
def test_what_a_driver_answers_is_sent_on_as_plain_values(
    lab: Authority, ann: Person, name: str, what: str, answer: object
) -> None:
    """DRV-50"""
    ann.has(name)
    for action in ("gives", "answers"):
        told = ok(ann.command(action, name, what=what))
        assert (told["outcome"], told["data"]) == ("done", answer)
        assert type(told["data"]) is type(answer)


@BOTH
@pytest.mark.parametrize(("what", "sentence"), [("object", "cannot be sent on"), ("deep", "is too deep")])
def test_what_cannot_be_plain_fails_its_command_with_a_sentence(
    lab: Authority, ann: Person, name: str, what: str, sentence: str
) -> None:
    """DRV-50"""
    ann.has(name)
    for action in ("gives", "answers"):
        told = ok(ann.command(action, name, what=what))
        assert (told["outcome"], told["data"]) == ("failed", None)
        assert sentence in told["error"]


@BOTH
@pytest.mark.parametrize("what", list(RAISES))
def test_whatever_a_driver_raises_is_the_failure_of_that_call(
    lab: Authority, ann: Person, name: str, what: str
) -> None:
    """DRV-52, CMD-17"""
    ann.has(name)
    for action in ("raises", "fails", *(["raises_at_once"] if name == "loops" else [])):
        told = ok(ann.command(action, name, what=what))
        assert told["outcome"] == "failed", action
        assert told["error"] in (SENTENCES[what], "coroutine raised StopIteration")
    assert lab.status(name)["running"] is None
    assert ok(ann.command("gives", name, what="int64"))["data"] == 7


@BOTH
@pytest.mark.parametrize("what", [what for what in RAISES if what != "iteration"])
def test_a_stop_that_a_driver_refuses_in_whatever_way_says_why(
    lab: Authority, ann: Person, bob: Person, name: str, what: str
) -> None:
    """STOP-20, DRV-52"""
    ann.has(name)
    ok(ann.command("becomes", name, stops=what))
    told = ok(bob.stop(name))
    assert (told["delivered"], told["error"]) == (False, SENTENCES[what])
    ok(ann.post(f"/equipment/{name}/resume", {}))
    ok(ann.command("becomes", name))
    assert ok(ann.stop(name))["error"] is None


def test_what_has_nothing_to_stop_is_never_told_as_stopped(lab: Authority, bob: Person) -> None:
    """STOP-21"""
    told = ok(bob.stop("detector"))
    assert (told["delivered"], told["outcome"], told["error"]) == (True, "nothing_to_stop", "it has nothing to stop")
    assert lab.events("detector")[-1]["error"] == "it has nothing to stop"
    assert stop_all(KernelSession(lab.url), ["stage_x", "detector"]) == (
        "stage_x was stopped and detector has nothing to stop"
    )


@BOTH
def test_a_command_that_the_driver_cannot_check_is_refused(lab: Authority, ann: Person, name: str) -> None:
    """DRV-52"""
    ann.has(name)
    ok(ann.command("becomes", name, checks="exit"))
    body = refused(ann.command("raises", name, what="checked"), 503, "driver_unavailable")
    assert body["detail"] == (
        f"{name}: the driver cannot say whether raises is allowed (the driver raised SystemExit: device gone); "
        "it has not moved."
    )
    ok(ann.command("becomes", name))


@BOTH
@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("nothing", "its readback is a NoneType, None, not a Readback"),
        ("position", "its position is a str, 'far', which is no number"),
        ("moving", "its moving is a str, 'perhaps', neither true nor false"),
        ("list", "its reading trace is a ndarray, array([0., 0., 0.]), which is no single value"),
        ("much", "its readback is 1000"),
        *SENTENCES.items(),
    ],
)
def test_a_readback_that_cannot_be_plain_takes_its_equipment_down_with_a_sentence_and_no_other(
    lab: Authority, name: str, says: str, error: str
) -> None:
    """DRV-51, DRV-52, DRV-6"""
    wrong = f"{name}_says_{says}"
    until(lambda: lab.status(wrong)["readback"]["error"] != "not connected yet", "it was read")
    readback = lab.status(wrong)["readback"]
    assert not readback["connected"]
    assert readback["error"].startswith(error)
    assert lab.status("stage_x")["readback"]["connected"]


def test_equipment_that_is_bad_from_the_start_hurts_nobodys_stream(lab: Authority) -> None:
    """DRV-51, DRV-52"""
    assert lab.status("bad_from_the_start")["readback"]["values"] == {"file": "/data/M\\udcfcller/run1.tif"}
    until(lambda: lab.status("never_opens")["readback"]["error"] != "not connected yet", "it was tried")
    assert lab.status("never_opens")["readback"]["error"] == "the driver raised SystemExit: device gone"


@BOTH
def test_what_a_driver_declares_is_plain_too(lab: Authority, ann: Person, name: str) -> None:
    """DRV-50, CMD-3"""
    within = next(one for one in ok(lab.get(f"/equipment/{name}"))["commands"] if one["name"] == "within")
    assert (within["parameters"][0]["low"], within["parameters"][0]["high"]) == (0.0, 3.0)
    ann.has(name)
    assert ok(ann.command("within", name, x=2))["data"] == 2.0
    assert "within" in refused(ann.command("within", name, x=4), 422, "invalid")["detail"]


@BOTH
def test_a_readback_of_numpy_is_one_of_numbers(lab: Authority, ann: Person, name: str) -> None:
    """DRV-51, DRV-53"""
    ann.has(name)
    ok(ann.command("becomes", name, says="numpy"))
    seen = lab.status(name)["readback"]
    assert (seen["moving"], seen["connected"], seen["position"], seen["target"]) == (False, True, 1.0, 3.0)
    assert seen["values"] == {"counts": 7, "gain": 0.5, "field": None}


@BOTH
def test_a_position_that_is_not_finite_is_not_known_and_commands_go_as_ever(
    lab: Authority, ann: Person, name: str
) -> None:
    """DRV-53"""
    ann.has(name)
    ok(ann.command("becomes", name, says="not_finite"))
    seen = lab.status(name)["readback"]
    assert (seen["connected"], seen["position"], seen["target"], seen["velocity"]) == (True, None, None, None)
    assert ok(ann.command("gives", name, what="int64"))["data"] == 7
    ok(ann.command("becomes", name))
    assert lab.status(name)["readback"]["position"] == 0.0
    assert "moved_outside" not in [event["event"] for event in lab.events(name)]


def test_a_large_answer_goes_to_who_waits_and_is_not_kept_on_disk(tmp_path: Path) -> None:
    """CMD-40"""
    with running(tmp_path, lab=LAB) as lab:
        until(lambda: lab.status("blocks")["readback"]["connected"], "it answers")
        ann = lab.person("ann")
        ann.has("blocks")
        told = ok(ann.command("gives", "blocks", "k", what="large"))
        assert len(told["data"]) == 100_000
        assert ok(ann.command("gives", "blocks", "k", what="large")) == told
        lab.end(signal.SIGKILL)
        lab.start()
        past = {"session_id": ann.session_id}
        kept = ok(lab.get("/equipment/blocks/command", params=past, headers={"Idempotency-Key": "k"}))
        assert (kept["outcome"], kept["success"], kept["data"]) == ("done", True, None)
        assert kept["error"] == (
            "blocks has done it, but its answer of 400001 bytes is not kept any more: "
            "what is larger than 65536 bytes is only for who waits for it"
        )

"""STOP forgives what is typed in a hurry; names that are none are answered by what is near."""

from __future__ import annotations

import pytest
from real_lab import Authority, Kernel
from typed import Notebook, wait_until

from jupyter_motorlock import Connection, UsageProblem
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.client.stop_line import read_stop_line, split_stop, stop_everything, stop_typed

LAB = """
[equipment.stage_x]
driver = "simulated-motor"

[equipment.stage_y]
driver = "simulated-motor"
label = "Sample height"

[equipment.theta]
driver = "simulated-motor"
label = "Goniometer"

[equipment.theta_2]
driver = "simulated-motor"
label = "Goniometer"
"""
ALL = "%motor_stop --all"


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture(params=["from a terminal", "where news is heard"])
def session(ann: Connection, request: pytest.FixtureRequest) -> KernelSession:
    if request.param == "where news is heard":
        ann.lock("theta")
        wait_until(lambda: len(ann.session.mirror.statuses) == 4, "the first snapshot")
    return ann.session


def reasons(authority: Authority, name: str) -> list[str | None]:
    return [event["reason"] for event in authority.events(name) if event["event"] == "stopped"]


@pytest.mark.parametrize(
    ("typed", "stopped", "reason"),
    [
        ("stage_y", "stage_y", None),
        ("Stage_Y", "stage_y", None),
        ("stage_y;", "stage_y", None),
        ("STAGE_Y;", "stage_y", None),
        ("Sample height", "stage_y", None),
        ('"sample Height"', "stage_y", None),
        ("stage_y because the cable's torn", "stage_y", "the cable's torn"),
        ("--now stage_y because --of the cable", "stage_y", "the cable"),
    ],
)
def test_what_is_plainly_meant_is_stopped(
    session: KernelSession, authority: Authority, typed: str, stopped: str, reason: str | None
) -> None:
    """STOP-26"""
    before = len(reasons(authority, stopped))
    words, everything = read_stop_line(typed, str)
    assert stop_typed(session, words, how_all=ALL) == f"{stopped} was stopped"
    assert not everything
    told = reasons(authority, stopped)[before:]
    assert [text and text.removeprefix("of ") for text in told] == [reason]


def test_words_that_name_nothing_near_are_the_reason(ann: Connection, authority: Authority) -> None:
    """STOP-26"""
    ann.lock("theta")
    wait_until(lambda: len(ann.session.mirror.statuses) == 4, "the first snapshot")
    assert stop_typed(ann.session, ["stage_x", "cable", "breaks"], how_all=ALL) == "stage_x was stopped"
    assert reasons(authority, "stage_x")[-1] == "cable breaks"


def test_what_is_near_is_named_and_the_others_are_stopped(session: KernelSession, authority: Authority) -> None:
    """STOP-26"""
    before = len(reasons(authority, "stage_x"))
    with pytest.raises(UsageProblem) as refused:
        stop_typed(session, ["stage_z", "stage_x"], how_all=ALL)
    assert str(refused.value).startswith(
        "stage_x was stopped, but stage_z is not here; did you mean stage_y or stage_x; %motor_stop --all stops all"
    )
    assert len(reasons(authority, "stage_x")) == before + 1


def test_a_label_of_two_stops_neither_and_names_both(session: KernelSession) -> None:
    """STOP-26"""
    with pytest.raises(UsageProblem, match="goniometer is not here; did you mean theta"):
        stop_typed(session, ["goniometer"], how_all=ALL)


def test_all_there_is_can_be_stopped(session: KernelSession, authority: Authority) -> None:
    """STOP-27"""
    for typed in ("--all", "all", "--all;"):
        assert read_stop_line(typed, str)[1]
    before = [len(reasons(authority, name)) for name in ("stage_x", "stage_y", "theta")]
    assert stop_everything(session).count("was stopped") == 4
    assert [len(reasons(authority, name)) for name in ("stage_x", "stage_y", "theta")] == [n + 1 for n in before]


def test_a_stop_behind_another_magic_is_found() -> None:
    """STOP-26"""
    assert split_stop("stage_y; %motor_stop stage_y") == ("stage_y", " stage_y")
    assert split_stop("stage_y --plot") == ("stage_y --plot", None)


def test_a_kernel_stops_what_is_typed_in_a_hurry(authority: Authority, start_kernel_at: Notebook) -> None:
    """STOP-26 STOP-27"""
    ann = start_kernel_at
    assert ann.run("%motor_stop Stage_Y because it's {torn}").stdout == "stage_y was stopped.\n"
    assert reasons(authority, "stage_y")[-1] == "it's {torn}"
    assert ann.run("%motor_status stage_y; %motor_stop stage_y").stdout.startswith("stage_y was stopped.\n")
    assert "theta was stopped" in ann.run("%motor_stop --all").stdout
    assert "emergency" not in ann.run("%motor_stop stage_z").error


@pytest.fixture
def start_kernel_at(authority: Authority, kernel_for: Kernel) -> Notebook:
    return Notebook(kernel_for)


@pytest.fixture
def kernel_for(start_kernel: object, authority: Authority) -> Kernel:
    assert callable(start_kernel)
    made = start_kernel(MOTORLOCK_URL=authority.url)
    assert isinstance(made, Kernel)
    return made


@pytest.mark.parametrize("typed", ["Stage_X", "sample height", "STAGE_Y"])
def test_equipment_is_named_by_its_label_and_in_any_case(ann: Connection, typed: str) -> None:
    """NB-69"""
    with ann.lock(typed) as stage:
        assert stage.equipment_id == ("stage_x" if typed == "Stage_X" else "stage_y")


def test_a_name_that_is_none_is_answered_by_what_is_near(ann: Connection) -> None:
    """NB-69"""
    with pytest.raises(UsageProblem, match=r"^stage_z is not here; there is .*; did you mean stage_y or stage_x\?$"):
        ann.lock("stage_z")
    with pytest.raises(UsageProblem, match=r"^press is not here; there is stage_x \(free\), .*\.$"):
        ann.history("press")

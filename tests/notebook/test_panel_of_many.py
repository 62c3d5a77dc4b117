"""The panel of many in a real kernel against a real authority, and what is cleared when equipment is at fault."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from front import Front
from real_lab import Authority, Kernel
from typed import Notebook, wait_until

import jupyter_motorlock
from jupyter_motorlock.notebook.panel import WRITE_APART_S, WRITE_EVERY_S, Pace

LAB = """
[equipment.stage_x]
driver = "simulated-motor"
[equipment.stage_y]
driver = "simulated-motor"
[equipment.press]
driver = "tests.api.drivers:Flaky"
stop_seconds = 0.2
options = {{ place = "{place}" }}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file says what is wrong with the press."""
    return tmp_path_factory.mktemp("press")


@pytest.fixture(scope="module")
def lab(place: Path) -> Iterator[Authority]:
    """An authority with two motors and one that can be jammed and unplugged."""
    (place / "lab.toml").write_text(LAB.format(place=place), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        running = Authority(place / "data", "--config", str(place / "lab.toml"))
    wait_until(lambda: running.status("press")["readback"]["connected"], "the device to answer")
    yield running
    running.end()


@pytest.fixture(scope="module")
def one_kernel(lab: Authority, place: Path) -> Iterator[Kernel]:
    places = {"IPYTHONDIR": str(place), "JUPYTER_RUNTIME_DIR": str(place)}
    running = Kernel({**os.environ, **places, "MOTORLOCK_URL": lab.url, "MOTORLOCK_USER": "ann"})
    yield running
    running.end()


@pytest.fixture
def kernel(one_kernel: Kernel, lab: Authority) -> Iterator[Kernel]:
    """A kernel as just started; after the test all is free again."""
    one_kernel.run("%load_ext jupyter_motorlock")
    yield one_kernel
    one_kernel.run("%unload_ext jupyter_motorlock")
    for session in lab.call("GET", "/locks/sessions")["sessions"]:
        lab.call("DELETE", f"/locks/sessions/{session['session_id']}")
    wait_until(lambda: all(x["state"] == "free" for x in lab.call("GET", "/equipment/list")), "all is free again")


def test_the_panel_without_a_name_shows_a_live_row_for_all_there_is(lab: Authority, kernel: Kernel) -> None:
    """NB-44 NB-9"""
    front = Front(kernel)
    front.run("%motor_panel")
    front.until(lambda: len(front.rows()) == 3, "the rows")
    assert front.labels() == ["Request", "STOP"] * 3
    assert sorted(front.texts[0].splitlines()) == ["press is free.", "stage_x is free.", "stage_y is free."]
    lab.person("Bob").acquire(equipment_id="stage_y")
    front.until(lambda: any("Bob has stage_y" in row for row in front.rows()), "the news")
    front.run("assert get_ipython().magics_manager.registry['MotorMagics'].current.session_id is None")
    front.run("%unload_ext jupyter_motorlock")
    front.settle()
    assert front.closed == set(front.models), "the panel outlived the extension"


def test_a_row_has_its_own_buttons_and_says_what_is_wrong_itself(lab: Authority, kernel: Kernel) -> None:
    """NB-44 NB-13 NB-12"""
    front = Front(kernel)
    front.run("%motor_panel stage_y stage_x")
    assert len(front.rows()) == 2
    subshell = front.subshell()
    cell = front.start("import time\nwhile not globals().get('over'): time.sleep(0.01)")
    front.click("Request", subshell=subshell)
    front.until(lambda: any("stage_y is yours" in row for row in front.rows()), "the grant while the cell runs")
    assert lab.status("stage_x")["state"] == "free"
    front.click("STOP", subshell=subshell)
    front.until(lambda: any("stop delivered" in row for row in front.rows()), "the stop while the cell runs")
    kernel.manager.interrupt_kernel()
    with pytest.raises(AssertionError, match="KeyboardInterrupt"):
        front.finish(cell)
    front.settle()  # until the cell is over, the kernel drops what is sent behind it


def test_a_name_that_is_not_there_is_answered_by_what_is(lab: Authority, kernel: Kernel) -> None:
    """NB-44"""
    ran = Notebook(kernel).run("%motor_panel stage_x stage_z")
    there = "there is stage_x (free), stage_y (free), press (free)"
    assert ran.error == f"UnknownName: stage_z is not here; {there}; did you mean stage_y or stage_x?"
    assert ran.panels == 0


def test_the_function_shows_the_panel_of_the_kernels_session(lab: Authority, kernel: Kernel) -> None:
    """NB-44 NB-40"""
    kernel.run("import jupyter_motorlock\nstage = %motor_login stage_x --no-panel")
    assert kernel.run("jupyter_motorlock.motor_panel('stage_x')").startswith("stage_x is yours")
    assert kernel.run("jupyter_motorlock.motor_panel()").splitlines()[0].startswith("stage_x is yours")
    kernel.run("assert jupyter_motorlock.motor_panel() is jupyter_motorlock.motor_panel()")


def test_a_panel_that_cannot_be_made_leaves_nothing_behind(lab: Authority, kernel: Kernel) -> None:
    """NB-44"""
    front = Front(kernel)
    make = "import jupyter_motorlock\ntry: jupyter_motorlock.motor_panel('stage_x', 'stage_z')\n"
    front.run(f"{make}except jupyter_motorlock.InvalidRequest as error: print(error)")
    assert "stage_z" in front.printed
    assert front.models == {}


def test_without_a_notebook_the_panel_is_text(lab: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-44 NB-40"""
    monkeypatch.setenv("MOTORLOCK_URL", lab.url)
    assert repr(jupyter_motorlock.motor_panel("stage_x")).startswith("stage_x is free.")
    assert repr(jupyter_motorlock.motor_panel()).count("\n") == 2


def test_rows_in_motion_share_one_pace() -> None:
    """NB-44"""
    pace, now = Pace(), time.monotonic()
    assert pace.wait_s(0.0) == 0.0
    waits = [pace.wait_s(0.0) for _ in range(30)]
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(30 * WRITE_APART_S, abs=WRITE_APART_S)
    assert 1 / WRITE_APART_S < 17
    alone = Pace()
    assert alone.wait_s(now) <= WRITE_EVERY_S


def test_a_fault_is_cleared_from_the_notebook_with_a_reason(lab: Authority, kernel: Kernel, place: Path) -> None:
    """NB-49"""
    bob, ann = lab.person("Bob"), Notebook(kernel)
    bob.acquire(equipment_id="press")
    crawl = {"command_id": "c", "equipment_id": "press", "action": "crawl", "parameters": {}, "wait_seconds": 0}
    lab.call("POST", "/equipment/press/command", crawl | {"session_id": bob.session_id})
    troubles = [place / "jammed", place / "unplugged"]
    for trouble in troubles:
        trouble.touch()
    bob.leave()
    wait_until(lambda: lab.status("press")["state"] == "fault", "the fault")
    assert "%motor_clear_fault press REASON" in ann.run("%motor_status press").stdout
    lacking = "UsageProblem: Say of what, and what you found and did: %motor_clear_fault NAME REASON"
    assert ann.run("%motor_clear_fault press").error == lacking
    said = ann.run("%motor_clear_fault press cable in again").stdout
    assert said == "The fault of press is cleared. press is free.\n"
    cleared = lab.events("press")[-1]
    assert (cleared["event"], cleared["user"], cleared["reason"]) == ("fault_cleared", "ann", "cable in again")
    assert ann.run('%motor_clear_fault press "again"').ename == "Refused"
    for trouble in troubles:
        trouble.unlink()
    wait_until(lambda: lab.status("press")["readback"]["connected"], "the device to answer again")

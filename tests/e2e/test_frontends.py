"""JupyterLab and Notebook 7 as people have them: reloads, second tabs, restarts, culling, and older kernels."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_lab import Lab, OpenNotebook
from real_lab import Authority
from typed import wait_until

import jupyter_motorlock

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = "%load_ext jupyter_motorlock"
LOGIN = 'stage = %motor_login stage_x --as Ann --note "scan over night"'
LOOK = "%motor_panel stage_x"
BOB = f"%env MOTORLOCK_USER=Bob\n{LOAD}"
OLD = "7.3.0"  # the newest ipykernel that runs clicks beside the cell by itself
ROUNDS = 3


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A place where Jupyter finds a kernel `old`, which has an older ipykernel and all else of this environment."""
    place = tmp_path_factory.mktemp("kernels")
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(place / "packages"), f"ipykernel=={OLD}"], check=True)
    (place / "kernels" / "old").mkdir(parents=True)
    path = os.pathsep.join([str(place / "packages"), str(Path(jupyter_motorlock.__file__).parents[1])])
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "old", "language": "python", "env": {"PYTHONPATH": path}}
    (place / "kernels" / "old" / "kernel.json").write_text(json.dumps(spec))
    return str(place)


@pytest.fixture(scope="module", params=["jupyterlab", "notebook"])
def front_end(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kernels: str) -> Iterator[Lab]:
    running = Lab(tmp_path_factory.mktemp(request.param), app=request.param, JUPYTER_PATH=kernels)
    yield running
    running.end()


def position(authority: Authority) -> float:
    return float(authority.status()["readback"]["position"])


def logged_in(front_end: Lab, open_page: Callable[..., Page], name: str, *cells: str, kernel: str) -> OpenNotebook:
    ann = OpenNotebook(open_page(front_end.write(name, LOAD, LOGIN, *cells, kernel=kernel)))
    ann.run_next()
    ann.run_next()
    ann.wait_panel("stage_x is yours")
    return ann


@pytest.mark.parametrize("kernel", ["python3", "old"])
def test_stop_in_a_busy_cell_reaches_the_motor_before_the_cell_ends(
    authority: Authority, front_end: Lab, open_page: Callable[..., Page], kernel: str, request: pytest.FixtureRequest
) -> None:
    """NB-12 NB-63"""
    front_end.know(authority.url)
    cells = ["import ipykernel\nprint('ipykernel', ipykernel.__version__)"]
    cells += ["stage.move_to(95)"] * ROUNDS
    ann = logged_in(front_end, open_page, f"stop-{kernel}", *cells, "1 + 1", kernel=kernel)
    ann.run_next()
    version = ann.page.locator(".jp-OutputArea-output", has_text="ipykernel ").last.inner_text().split()[-1]
    assert (version == OLD) == (kernel == "old")
    ann.page.evaluate("document.addEventListener('click', () => { window.clicked = Date.now() }, true)")
    took = []
    for place in range(3, 3 + ROUNDS):
        ann.wait_idle()
        before = len(authority.events())
        ann.select(place)  # a click into the panel has selected its cell
        ann.run_next()
        wait_until(lambda: authority.status()["running"], "the move to begin")
        ann.panel.get_by_role("button", name="STOP").click()
        wait_until(lambda: not authority.status()["running"], "the move to end")  # else it takes a quarter of a minute
        stopped = next(event for event in authority.events()[before:] if event["event"] == "stopped")
        ann.page.locator(".jp-OutputArea-output", has_text="Interrupted: You pressed STOP").first.wait_for()
        at = datetime.fromisoformat(stopped["timestamp"]).timestamp()
        took.append(1000 * at - ann.page.evaluate("window.clicked"))
        assert position(authority) < 95, "the click waited for the cell"
    app = request.node.callspec.params["front_end"]
    told = ", ".join(f"{ms:.0f}" for ms in took)
    print(f"{app}, ipykernel {version}: stopped {statistics.median(took):.0f} ms after the click ({told})")
    front_end.end_kernels()


def test_a_notebook_shows_the_panel_counts_down_and_releases(
    authority: Authority,
    front_end: Lab,
    open_page: Callable[..., Page],
    screenshots: Path,
    request: pytest.FixtureRequest,
) -> None:
    """NB-63 NB-14"""
    front_end.know(authority.url)
    ann = logged_in(front_end, open_page, "ann", "1 + 1", kernel="python3")
    digits = "getComputedStyle(document.querySelector('.motorlock .ml-count')).getPropertyValue('--ml-t')"
    ann.page.wait_for_function(f"document.querySelector('.motorlock .ml-count') && {digits} > 0")
    first = int(ann.page.evaluate(digits))
    ann.page.wait_for_function(f"{digits} < {first} - 1")
    ann.page.screenshot(path=screenshots / f"frontend-{request.node.callspec.params['front_end']}.png")
    ann.click("Release", then="stage_x is free")
    assert authority.status()["state"] == "free"
    ann.click("Request", then="stage_x is yours")
    front_end.end_kernels()
    wait_until(lambda: authority.status()["state"] == "free", "the end of the kernel to free it")


def test_after_a_reload_the_panel_is_there_again_and_works(
    authority: Authority, front_end: Lab, open_page: Callable[..., Page]
) -> None:
    """NB-63"""
    front_end.know(authority.url)
    ann = logged_in(front_end, open_page, "reload", "import time; time.sleep(8)", "1 + 1", kernel="python3")
    ann.reload()
    ann.wait_panel("stage_x is yours")
    ann.click("Release", then="stage_x is free")
    ann.click("Request", then="stage_x is yours")
    ann.select(2)
    ann.run_next()
    wait_until(lambda: authority.status()["holder"]["busy"], "the cell to run")
    ann.reload(idle=False)
    ann.wait_panel("stage_x is yours")  # at the end of the cell at the latest: the kernel is asked for it
    ann.click("Release", then="stage_x is free")
    front_end.end_kernels()


def test_a_second_tab_shows_the_same_panel_and_a_closed_tab_changes_nothing(
    authority: Authority, front_end: Lab, open_page: Callable[..., Page]
) -> None:
    """NB-63 NB-17"""
    front_end.know(authority.url)
    ann = logged_in(front_end, open_page, "tabs", "1 + 1", kernel="python3")
    ann.save()
    second = OpenNotebook(open_page(front_end.address("tabs", window="-2")))
    second.wait_panel("stage_x is yours")
    second.click("Release", then="stage_x is free")
    ann.wait_panel("stage_x is free")
    ann.click("Request", then="stage_x is yours")
    second.wait_panel("stage_x is yours")
    mine = authority.status()
    for page in (ann.page, second.page):
        page.close()
    wait_until(
        lambda: all(one["connections"] == 0 for one in front_end.call("GET", "kernels")), "the tabs to be closed"
    )
    assert authority.status()["session_id"] == mine["session_id"]
    assert "lock_expired" not in [event["event"] for event in authority.events()]
    third = OpenNotebook(open_page(front_end.address("tabs", window="-3")))
    third.wait_panel("stage_x is yours")
    front_end.end_kernels()


def test_a_panel_sees_the_other_notebooks_kernel_die_and_the_authority_come_back(
    authority: Authority, front_end: Lab, open_page: Callable[..., Page]
) -> None:
    """NB-63 NB-20"""
    front_end.know(authority.url)
    ann = logged_in(front_end, open_page, "ann", "1 + 1", kernel="python3")
    bob = OpenNotebook(open_page(front_end.write("bob", BOB, LOOK, "1 + 1")))
    bob.run_next()
    bob.run_next()
    bob.wait_panel("Ann (scan over night) has stage_x")
    authority.end(signal.SIGKILL)
    for one in (ann, bob):
        one.wait_panel("may be out of date")
    authority.start()
    ann.wait_panel("stage_x is yours")
    bob.wait_panel("Ann (scan over night) has stage_x")
    for one in (ann, bob):
        one.page.locator(".motorlock", has_text="may be out of date").wait_for(state="detached")
    sessions = authority.call("GET", "/locks/sessions")["sessions"]
    [pid] = [int(one["metadata"]["pid"]) for one in sessions if one["user"] == "Ann"]
    os.kill(pid, signal.SIGKILL)
    bob.wait_panel("stage_x is free")
    bob.click("Request", then="stage_x is yours")
    assert authority.status()["holder"]["user"] == "Bob"
    front_end.end_kernels()


def test_a_kernel_restarted_from_the_menu_frees_its_lock_and_says_so_at_its_first_magic(
    authority: Authority,
    front_end: Lab,
    open_page: Callable[..., Page],
    screenshots: Path,
    request: pytest.FixtureRequest,
) -> None:
    """NB-60 NB-63"""
    front_end.know(authority.url)
    ann = logged_in(front_end, open_page, "restart", LOAD, LOGIN, "1 + 1", kernel="python3")
    ann.page.evaluate("jupyterapp.commands.execute('notebook:restart-kernel') && null")
    ann.page.locator(".jp-Dialog button.jp-mod-accept").click()
    wait_until(lambda: authority.status()["state"] == "free", "the restart to free it")
    ann.wait_idle()
    ann.run_next()
    ann.run_next()
    said = ann.page.locator(".jp-OutputArea-output", has_text="This kernel was restarted: your lock on stage_x")
    said.wait_for()
    ann.wait_panel("stage_x is yours")
    ann.page.screenshot(path=screenshots / f"restarted-{request.node.callspec.params['front_end']}.png")
    front_end.end_kernels()


def test_a_kernel_with_an_open_panel_and_a_running_countdown_is_culled_and_its_lock_freed(
    authority: Authority, open_page: Callable[..., Page], tmp_path: Path, screenshots: Path
) -> None:
    """NB-14 NB-17 NB-63"""
    cull = ["cull_idle_timeout=3", "cull_interval=1", "cull_connected=True"]
    lab = Lab(tmp_path, *(f"--MappingKernelManager.{option}" for option in cull))
    try:
        lab.know(authority.url)
        ann = logged_in(lab, open_page, "ann", "1 + 1", kernel="python3")
        ann.page.locator(".ml-count").last.wait_for()
        wait_until(lambda: authority.status()["state"] == "free", "the culling to free it")
        wait_until(lambda: lab.kernels() == [], "the kernel to be culled")
        ann.page.screenshot(path=screenshots / "panel-culled.png")
    finally:
        lab.end()

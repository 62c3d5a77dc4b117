"""The panel in a real JupyterLab: two people, two notebooks, one motor."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_lab import Lab, OpenNotebook
from real_lab import Authority
from typed import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = "%load_ext jupyter_motorlock"
LOGIN = 'stage = %motor_login stage_x --as Ann --note "scan over night"'
LOOK = "%motor_panel stage_x"


def position(authority: Authority) -> float:
    return float(authority.status()["readback"]["position"])


def moving(authority: Authority) -> bool:
    return bool(authority.status()["readback"]["moving"])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_stop_in_the_panel_stops_the_motor_while_its_cell_runs(
    authority: Authority, lab: Lab, open_page: Callable[..., Page], screenshots: Path, dark: bool
) -> None:
    lab.dark(dark=dark)
    ann = OpenNotebook(open_page(lab.write("ann", LOAD, LOGIN, "stage.move_to(95)", "1 + 1"), dark=dark))
    ann.run_next()
    ann.run_next()
    ann.wait_panel("stage_x is yours")
    authority.person("Bob").acquire(wait=True)
    ann.wait_panel("one waits")
    ann.run_next()
    ann.wait_panel("move_to(position=95) by you")
    wait_until(lambda: position(authority) > 5, "the motor to move")
    ann.page.screenshot(path=screenshots / f"panel-{'dark' if dark else 'light'}.png")
    assert ann.busy
    clicked = time.time()
    ann.click("STOP", then="stop delivered.")
    wait_until(lambda: not moving(authority), "the motor to stop")
    stopped = next(event for event in authority.events() if event["event"] == "stopped")
    took = datetime.fromisoformat(stopped["timestamp"]).timestamp() - clicked
    print(f"stopped {took * 1000:.0f} ms after the click, at {position(authority):.1f} mm of 95")
    assert position(authority) < 70, "the click waited for the cell"
    ann.wait_idle()
    ann.page.locator(".jp-OutputArea-output", has_text="Interrupted: You pressed STOP").wait_for()


def test_a_request_from_a_second_notebook_queues_and_a_release_hands_over(
    authority: Authority, lab: Lab, open_page: Callable[..., Page], screenshots: Path
) -> None:
    ann = OpenNotebook(open_page(lab.write("ann", LOAD, LOGIN, "1 + 1")))
    ann.run_next()
    ann.run_next()
    ann.wait_panel("stage_x is yours")
    bob = OpenNotebook(
        open_page(lab.write("bob", f"%env MOTORLOCK_USER=Bob\n{LOAD}", LOOK, "stage = %motor_login stage_x --no-panel"))
    )
    bob.run_next()
    bob.run_next()
    bob.wait_panel("Ann (scan over night) has stage_x")
    bob.click("Request", then="You are next in the queue")
    bob.click("Leave queue", then="nobody waits")
    bob.click("Request", then="You are next in the queue")
    ann.wait_panel("one waits")
    bob.page.screenshot(path=screenshots / "panel-queued.png")
    ann.click("Release", then="Bob has stage_x")
    bob.wait_panel("It is your turn on stage_x")
    bob.page.screenshot(path=screenshots / "panel-turn.png")
    bob.click("Claim", then="stage_x is yours")
    assert authority.status()["holder"]["user"] == "Bob"


def test_a_countdown_that_runs_out_is_stale_where_the_kernel_is_silent_and_one_that_ended_is_said_to_have(
    authority: Authority, lab: Lab, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """NB-14 NB-48"""
    login = "stage = %motor_login stage_x --as Ann --timeout"
    ann = OpenNotebook(open_page(lab.write("ann", LOAD, f"{login} 2", f"{login} 6", "1 + 1")))
    ann.run_next()
    ann.run_next()
    ann.wait_panel("unless you use it (since")
    assert ann.page.locator(".ml-late").count() == 0
    ann.run_next()
    ann.page.locator(".ml-count").last.wait_for()
    [session] = authority.call("GET", "/locks/sessions")["sessions"]
    os.kill(int(session["metadata"]["pid"]), signal.SIGSTOP)
    ann.page.locator(".ml-late").last.wait_for(state="visible")
    ann.page.screenshot(path=screenshots / "panel-silent.png")
    os.kill(int(session["metadata"]["pid"]), signal.SIGKILL)
    gone = "This kernel has ended and given its locks back: log in again with %motor_login stage_x."
    ann.page.locator(".ml-gone:visible", has_text=gone).last.wait_for()
    assert ann.page.locator(".motorlock button:visible, .ml-late:visible").count() == 0


def test_the_countdown_ticks_in_the_browser_and_a_lost_authority_is_said(
    authority: Authority, lab: Lab, open_page: Callable[..., Page], screenshots: Path
) -> None:
    ann = OpenNotebook(open_page(lab.write("ann", LOAD, LOGIN, "1 + 1")))
    ann.run_next()
    ann.run_next()
    ann.wait_panel("stage_x is yours")
    digits = "getComputedStyle(document.querySelector('.motorlock .ml-count')).getPropertyValue('--ml-t')"
    ann.page.wait_for_function(f"document.querySelector('.motorlock .ml-count') && {digits} > 0")
    first = int(ann.page.evaluate(digits))
    ann.page.wait_for_function(f"{digits} < {first} - 1")
    authority.end()
    ann.wait_panel("may be out of date")
    ann.page.screenshot(path=screenshots / "panel-lost.png")
    authority.start()
    ann.page.locator(".motorlock", has_text="may be out of date").wait_for(state="detached")
    ann.wait_panel("stage_x is yours")


def test_an_ask_is_seen_in_the_holders_panel_and_its_answer_in_the_askers(
    authority: Authority, lab: Lab, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """NB-25 NB-31"""
    keep, answer = '%motor_keep 3h "scan over night"', '%motor_answer 10min "two more points"'
    ann = OpenNotebook(open_page(lab.write("ann", LOAD, LOGIN, keep, answer, "1 + 1")))
    for _ in range(3):
        ann.run_next()
    ann.wait_panel("kept until")
    ask = '%motor_ask stage_x "five minutes of beam"'
    bob = OpenNotebook(open_page(lab.write("bob", f"%env MOTORLOCK_USER=Bob\n{LOAD}", LOOK, ask, "1 + 1")))
    for _ in range(3):
        bob.run_next()
    ann.wait_panel("Bob asks you for stage_x (five minutes of beam)")
    ann.page.screenshot(path=screenshots / "panel-asked.png")
    ann.run_next()
    bob.wait_panel("Ann means to be done with stage_x at")
    bob.page.screenshot(path=screenshots / "panel-answered.png")
    assert authority.status()["queue"][0]["ask"]["note"] == "two more points"

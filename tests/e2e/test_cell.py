"""A cell of commands in a real JupyterLab: the bar while it runs, the text that stays, and Tab's popup."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_lab import Lab, OpenNotebook
from real_lab import Authority

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOGIN = "%load_ext jupyter_motorlock\nstage = %motor_login stage_x --no-panel"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_bar_follows_the_motor_and_text_stays(
    authority: Authority, lab: Lab, open_page: Callable[..., Page], screenshots: Path, dark: bool
) -> None:
    """NB-57"""
    lab.dark(dark=dark)
    cell = "%%motor\nmove_to 2.5\nmove_to 60\nmove_by -80\nposition"
    ann = OpenNotebook(open_page(lab.write("ann", LOGIN, cell, "1 + 1"), dark=dark))
    ann.run_next()
    ann.wait_idle()
    ann.run_next()
    ann.page.locator(".ml-cell", has_text=re.compile(r"move_to 60: \d+\.\d+ → 60 mm \([3-9]\d%\)")).wait_for()
    ann.page.screenshot(path=screenshots / f"cell-{'dark' if dark else 'light'}.png")
    ann.wait_idle()
    ann.page.locator(".jp-OutputArea-output", has_text="move_by -80  →  refused").wait_for()
    assert ann.page.locator(".ml-cell").count() == 0
    ann.page.screenshot(path=screenshots / f"cell-ended-{'dark' if dark else 'light'}.png")


def test_stop_at_the_bar_stops_the_motor_while_the_cell_runs(
    authority: Authority, lab: Lab, open_page: Callable[..., Page]
) -> None:
    """NB-89 NB-57"""
    ann = OpenNotebook(open_page(lab.write("ann", LOGIN, "%%motor\nmove_to 95\nposition", "1 + 1")))
    ann.run_next()
    ann.wait_idle()
    ann.run_next()
    ann.page.get_by_role("button", name="STOP", exact=True).click()
    ann.page.locator(".jp-OutputArea-output", has_text="You pressed STOP during move_to").wait_for()
    assert float(authority.status()["readback"]["position"]) < 70, "the click waited for the cell"
    assert ann.page.locator(".motorlock-bar").count() == 0, "the bar outlives its cell"


def test_the_popup_of_tab_says_what_each_is(
    authority: Authority, lab: Lab, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """NB-58"""
    ann = OpenNotebook(open_page(lab.write("ann", LOGIN, "", "1 + 1")))
    ann.run_next()
    ann.wait_idle()
    ann.page.keyboard.press("Enter")
    ann.page.keyboard.type("%%motor\nmo")
    ann.page.keyboard.press("Tab")
    offered = ann.page.locator(".jp-Completer-item", has_text="move_to")
    offered.wait_for()
    ann.page.screenshot(path=screenshots / "completion.png")
    assert offered.inner_text().split() == ["c", "move_to", "command"]

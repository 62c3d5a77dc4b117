"""STOP stays in view in a real JupyterLab: at the notebook's lower edge, and in a panel beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_lab import Lab, OpenNotebook
from real_lab import Authority
from typed import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOGIN = "%load_ext jupyter_motorlock\nstage = %motor_login stage_x --as Ann"
LONG = "print('point\\n' * 80)\nstage.move_to(95)"


@pytest.fixture
def ann(lab: Lab, open_page: Callable[..., Page]) -> OpenNotebook:
    """Ann's notebook, with the panel of stage_x, which she holds."""
    book = OpenNotebook(open_page(lab.write("ann", LOGIN, LONG, "1 + 1"), height=700))
    book.page.evaluate("jupyterapp.shell.collapseLeft()")
    book.run_next()
    book.wait_panel("stage_x is yours")
    return book


def scroll(book: OpenNotebook, pixels: int) -> None:
    book.page.mouse.move(600, 400)
    book.page.mouse.wheel(0, pixels)


def line_of(book: OpenNotebook) -> Locator:
    return book.page.locator(".ml-float > div", has_text="stage_x")


def test_a_panel_that_is_scrolled_away_leaves_its_stop_in_view(
    authority: Authority, ann: OpenNotebook, screenshots: Path
) -> None:
    """NB-88"""
    ann.run_next()
    ann.wait_panel("move_to(position=95) by you")
    assert line_of(ann).count() == 0, "the panel is in view"
    scroll(ann, 2000)
    line_of(ann).get_by_text("→ 95 mm").wait_for()
    ann.page.screenshot(path=screenshots / "stop-in-view.png")
    line_of(ann).get_by_role("button", name="STOP stage_x").click()
    line_of(ann).get_by_text("stop delivered").wait_for()
    wait_until(lambda: not authority.status()["readback"]["moving"], "the motor to stop")
    assert float(authority.status()["readback"]["position"]) < 70, "the click waited for the cell"
    line_of(ann).get_by_role("button", name="stage_x", exact=True).click()
    line_of(ann).wait_for(state="detached")
    ann.click("Release", then="stage_x is free")
    scroll(ann, 2000)
    ann.page.wait_for_timeout(500)
    assert line_of(ann).count() == 0, "what nobody holds and does not move needs no line"


def test_the_stop_in_view_says_that_no_answer_came_and_goes_with_the_kernel(lab: Lab, ann: OpenNotebook) -> None:
    """NB-88"""
    ann.run_next()
    ann.wait_panel("move_to(position=95) by you")
    scroll(ann, 2000)
    line_of(ann).wait_for()
    ann.page.evaluate(
        "document.querySelector('.motorlock .motorlock-stop').replaceWith(Object.assign("
        "document.createElement('i'), { className: 'motorlock-stop' }))"
    )  # as if nobody obeyed it
    line_of(ann).get_by_role("button", name="STOP stage_x").click()
    line_of(ann).get_by_text("No answer: use STOP on the authority's page").wait_for()
    lab.end_kernels()
    line_of(ann).wait_for(state="hidden")


def test_one_click_shows_the_panel_beside_the_notebook_and_it_tells_the_kernels_end(
    authority: Authority, lab: Lab, ann: OpenNotebook, screenshots: Path
) -> None:
    """NB-88 NB-48"""
    ann.page.get_by_role("button", name="Dock").click()
    docked = ann.page.locator(".jp-LinkedOutputView .motorlock")
    docked.get_by_text("stage_x is yours").wait_for()
    ann.page.screenshot(path=screenshots / "panel-docked.png")
    assert docked.get_by_role("button", name="Dock").count() == 0, "it is docked already"
    ann.page.evaluate("jupyterapp.shell.activateById(document.querySelector('.jp-NotebookPanel').id)")
    ann.select(1)  # the click selected the login
    ann.run_next()
    docked.get_by_text("→ 95 mm").wait_for()
    docked.get_by_role("button", name="STOP stage_x").click()
    docked.locator(".ml-note").get_by_text("stop delivered").wait_for()
    wait_until(lambda: not authority.status()["readback"]["moving"], "the motor to stop")
    assert line_of(ann).count() == 0, "the docked panel is in view"
    lab.end_kernels()
    docked.locator(".ml-apart").wait_for()
    assert docked.locator("button:visible").count() == 0, "a dead button looks alive"

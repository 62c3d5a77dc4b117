"""The demonstration as a newcomer sees it: `motorlock demo`, two notebooks side by side, and Shift+Enter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from real_lab import PATIENCE_S

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Side:
    """One of the two notebooks that lie side by side."""

    def __init__(self, page: Page, name: str) -> None:
        self._page = page
        self._panel = page.locator(f".jp-NotebookPanel:has-text('{name}')").first

    def begins(self) -> None:
        """Select the first cell."""
        self._panel.locator(".jp-Notebook .jp-Cell").first.click()

    def runs(self, *shown: str) -> None:
        """Press Shift+Enter once for each text, and wait until it is shown; without a text it goes on at once."""
        for text in shown:
            selected = self._panel.locator(".jp-Cell.jp-mod-selected").element_handle()
            assert selected is not None
            self._panel.locator(".jp-Cell.jp-mod-selected .jp-InputPrompt").click()
            self._page.keyboard.press("Shift+Enter")
            self._page.wait_for_function("cell => !cell.classList.contains('jp-mod-selected')", arg=selected)
            if text:
                self.sees(text)

    def sees(self, text: str) -> Locator:
        """Wait until the notebook shows `text`."""
        found = self._panel.locator(".jp-OutputArea-output", has_text=text).last
        found.wait_for()
        return found

    def scrolls_to_its_panel(self) -> None:
        """Have the panel at the upper edge."""
        self._panel.locator(".motorlock").first.evaluate("panel => panel.scrollIntoView({ block: 'start' })")

    def interrupts(self) -> None:
        """Press I twice, outside any cell's text."""
        self._panel.locator(".jp-Cell.jp-mod-selected .jp-InputPrompt").click()
        for _ in range(2):
            self._page.keyboard.press("i")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """The address that `motorlock demo` prints."""
    command = [sys.executable, "-m", "authority", "demo", "--no-browser"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C ends" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        try:
            yield re.findall(r"notebooks: (\S+)", said)[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)


def test_a_newcomer_plays_the_two_notebooks_with_nothing_but_shift_and_enter(
    demo: str, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """RUN-9 NB-1 NB-3 NB-10 NB-13"""
    page = open_page(demo, width=1440, height=1080)
    page.locator(".jp-NotebookPanel").nth(1).wait_for()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").nth(1).wait_for()
    ann, bob = Side(page, "This notebook has a kernel of its own"), Side(page, "and Ann has it")
    ann.begins()
    ann.runs("", "", "stage_x is yours", "", "sweep 1")
    bob.begins()
    bob.runs("", "", "EquipmentInUse: Ann", "", "holder: Ann", "", "stage_x was stopped")
    ann.sees("CommandStopped: Bob stopped stage_x")
    ann.runs("", "stage_x takes commands again", "sweep 1")
    bob.runs("", "you are next in the queue")
    ann.sees("one waits")
    ann.sees("move_to(position=5) by you")
    ann.scrolls_to_its_panel()
    page.screenshot(path=screenshots / "demo.png")
    ann.interrupts()
    ann.sees("You interrupted move_to of stage_x; stage_x was stopped")
    ann.runs("", "You gave stage_x back")
    bob.sees("stage_x is yours")
    bob.runs("12.5 mm", "You gave stage_x back")

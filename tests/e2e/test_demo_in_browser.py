"""The demonstration as a newcomer sees it: `motorlock demo`, two notebooks side by side, and Shift+Enter."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from PIL import Image
from real_lab import PATIENCE_S
from typed import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FRAME_MS = 1600
PUT_CAPTION_OVER_THE_MENU = """() => {
    const caption = document.createElement("div");
    caption.id = "film-caption";
    caption.style = "position: fixed; inset: 0 0 auto; height: 28px; z-index: 100000; pointer-events: none;" +
        "display: flex; align-items: center; justify-content: center; background: #14181d; color: #fff;" +
        "font: 600 17px sans-serif";
    document.body.append(caption);
}"""


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

    def scrolls_to(self, selector: str) -> None:
        """Have the first of what is selected at the upper edge."""
        self._panel.locator(selector).first.evaluate("found => found.scrollIntoView({ block: 'start' })")

    def interrupts(self) -> None:
        """Press I twice, outside any cell's text."""
        self._panel.locator(".jp-Cell.jp-mod-selected .jp-InputPrompt").click()
        for _ in range(2):
            self._page.keyboard.press("i")


class Film:
    """An animated picture of the two notebooks, each frame below a caption of its own."""

    def __init__(self, page: Page) -> None:
        page.evaluate(PUT_CAPTION_OVER_THE_MENU)
        self._page = page
        self._frames: list[Image.Image] = []

    def shows(self, caption: str) -> None:
        """Take a frame, without the menu, the side bars and the status line."""
        self._page.evaluate("text => document.querySelector('#film-caption').textContent = text", caption)
        notebooks = self._page.locator("#jp-main-dock-panel").bounding_box()
        assert notebooks is not None
        clip = {**notebooks, "y": 0, "height": notebooks["y"] + notebooks["height"]}
        frame = self._page.screenshot(clip=clip, caret="hide")
        self._frames.append(Image.open(io.BytesIO(frame)).convert("RGB"))

    def is_written(self, path: Path) -> None:
        """Write it, with time to read the last frame before it begins anew."""
        first, *others = self._frames
        durations = [FRAME_MS] * len(others) + [2 * FRAME_MS]
        first.save(path, save_all=True, append_images=others, duration=durations, loop=0, lossless=True, method=6)


@dataclass
class Demo:
    """The two addresses that `motorlock demo` prints."""

    notebooks: str
    authority: str

    def connected_kernels(self) -> int:
        """Return how many notebooks are connected with a kernel that is ready."""
        server, _, token = self.notebooks.partition("lab?token=")
        answer = requests.get(f"{server}api/kernels", params={"token": token}, timeout=PATIENCE_S)
        if not answer.ok:  # the server fails for an instant while a kernel is being made
            return 0
        return sum(one["execution_state"] == "idle" and one["connections"] > 0 for one in answer.json())

    def kills_the_kernel_of(self, user: str) -> None:
        """Kill the kernel that has the session of `user`, without a word."""
        sessions = requests.get(f"{self.authority}/api/locks/sessions", timeout=PATIENCE_S).json()["sessions"]
        [pid] = [session["metadata"]["pid"] for session in sessions if session["user"] == user]
        os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
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
            yield Demo(*re.findall(r"(?:notebooks|at a glance): (\S+?)/?$", said, re.MULTILINE))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)


def two_sides(demo: Demo, page: Page) -> tuple[Side, Side]:
    """Ann's and Bob's notebook, once both kernels are there."""
    page.locator(".jp-NotebookPanel").nth(1).wait_for()
    # JupyterLab shows a kernel as idle also before it has one, and forgets what is run until then.
    wait_until(lambda: demo.connected_kernels() == 2, "both notebooks to have their kernel")
    return Side(page, "This notebook has a kernel of its own"), Side(page, "and Ann has it")


def test_a_newcomer_plays_the_two_notebooks_with_nothing_but_shift_and_enter(
    demo: Demo, open_page: Callable[..., Page]
) -> None:
    """RUN-9 NB-1 NB-3 NB-10 NB-13"""
    ann, bob = two_sides(demo, open_page(demo.notebooks, width=1440, height=1080))
    ann.begins()
    ann.runs("", "", "stage_x is yours", "", "sweep 1")
    bob.begins()
    bob.runs("", "", "EquipmentInUse: Ann", "", "holder: Ann", "", "stage_x was stopped")
    ann.sees("CommandStopped: Bob stopped stage_x")
    ann.runs("", "stage_x takes commands again", "sweep 1")
    bob.runs("", "You are next in the queue")
    ann.sees("one waits")
    ann.interrupts()
    ann.sees("You interrupted move_to of stage_x; stage_x was stopped")
    ann.runs("", "You gave stage_x back")
    bob.sees("stage_x is yours")
    bob.runs("12.5 mm", "You gave stage_x back")


def test_a_killed_kernel_gives_the_motor_to_who_waits_and_the_story_becomes_a_picture(
    demo: Demo, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """RUN-9 NB-17 LIVE-1"""
    page = open_page(demo.notebooks, width=1120, height=760)
    ann, bob = two_sides(demo, page)
    film = Film(page)
    ann.begins()
    ann.runs("", "", "stage_x is yours")
    film.shows("Ann logs in: the motor is hers")
    ann.runs("", "sweep 1")
    ann.scrolls_to(".motorlock")
    film.shows("Her scan moves it")
    bob.begins()
    bob.runs("", "", "EquipmentInUse: Ann")
    film.shows("Bob is refused: he reads who has it, and why")
    bob.runs("", "holder: Ann")
    film.shows("He may look at it all the same")
    bob.runs("", "stage_x was stopped")
    ann.sees("CommandStopped: Bob stopped stage_x")
    film.shows("Bob stops it: everybody may")
    ann.runs("", "stage_x takes commands again", "sweep 1")
    film.shows("Ann resumes, and scans on")
    bob.runs("", "you are next in the queue")
    film.shows("Bob waits in the queue")
    demo.kills_the_kernel_of("Ann")
    page.get_by_role("button", name="Ok", exact=True).wait_for()
    film.shows("Ann's kernel is killed in the middle of a move")
    bob.sees("stage_x is yours")
    page.get_by_role("button", name="Ok", exact=True).click()
    film.shows("The motor has stopped, and is Bob's")
    bob.runs("12.5 mm")
    film.shows("Bob moves it")
    film.is_written(screenshots / "demo.webp")

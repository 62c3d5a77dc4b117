"""A real browser, a real JupyterLab and a real authority, each ended by its id."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# The processes are those of the notebook tests, which live in a folder beside this one.
sys.path.append(str(Path(__file__).parents[1] / "notebook"))

from jupyter_lab import Lab
from real_lab import Authority

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Chromium is to speak to this machine only.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NOTEBOOKS_OWN = "Cannot read properties of undefined (reading 'schema')"  # Notebook 7.6 says it at every start


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    running = Authority(tmp_path / "data")
    yield running
    if running.process.poll() is None:
        running.end()


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority that asks for a token."""
    monkeypatch.setenv("MOTORLOCK_TOKEN", "the-shared-secret-of-this-lab")
    running = Authority(tmp_path / "guarded")
    monkeypatch.delenv("MOTORLOCK_TOKEN")
    yield running
    running.end()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        installed = shutil.which("chromium") or shutil.which("chromium-browser")
        running = driver.chromium.launch(executable_path=installed, args=QUIET)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page in a window of its own; whatever goes wrong in it fails the test."""
    opened, errors = [], []

    def opening(url: str, *, width: int = 1200, height: int = 900, dark: bool = False) -> Page:
        window = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        opened.append(window)
        page = window.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield opening
    for window in opened:
        window.close()
    assert [error for error in errors if error != NOTEBOOKS_OWN] == []


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    running = Lab(tmp_path_factory.mktemp("lab"))
    yield running
    running.end()


@pytest.fixture
def lab(shared_lab: Lab, authority: Authority) -> Iterator[Lab]:
    """A JupyterLab whose notebooks find this test's authority."""
    shared_lab.know(authority.url)
    shared_lab.dark(dark=False)
    yield shared_lab
    shared_lab.end_kernels()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures go: MOTORLOCK_SCREENSHOTS, else `tests/e2e/screenshots`."""
    place = Path(os.environ.get("MOTORLOCK_SCREENSHOTS") or Path(__file__).parent / "screenshots")
    place.mkdir(parents=True, exist_ok=True)
    return place

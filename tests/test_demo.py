"""The demonstration: it shows what it promises, leaves nothing behind, and says in one sentence what it lacks."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import pytest
import requests

from authority.demo.kernels import Ran

PATIENCE_S = 60.0
LETTERS_BESIDE = 60  # of code, in one of two notebooks side by side in a window of 1,280 pixels
NOT_INSTALLED = """
import sys
sys.modules[{name!r}] = None
from authority.demo import run
sys.exit(run(headless={headless}, epics={epics}, open_browser=False))
"""
CEM_CAME_FIRST = """
import sys
import authority.demo, requests
start_lab = authority.demo.start_lab

def with_cem(*arguments, **named):
    url = start_lab(*arguments, **named)
    cem = requests.post(url + "/api/locks/sessions/create", json={"client_name": "Cem", "user": "Cem"}).json()
    asked = {"equipment_id": "stage_x", "session_id": cem["session_id"]}
    requests.post(url + "/api/locks/acquire", json=asked).raise_for_status()
    return url

authority.demo.start_lab = with_cem
sys.exit(authority.demo.run(headless=True, epics=False, open_browser=False))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "temporary").mkdir()
    return tmp_path


@pytest.fixture
def begin(place: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `motorlock demo` with a temporary directory of its own."""
    begun: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "authority", "demo", *arguments]
        env = {**os.environ, "TMPDIR": str(place / "temporary"), "MOTORLOCK_TOKEN": "of another lab"}
        begun.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return begun[-1]

    yield start
    for process in begun:
        for child in _below(process) if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _run(code: str, place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, cwd=place)


def _below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children(recursive=True))


def _gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=PATIENCE_S)[1]


def _read_until(process: subprocess.Popen[str], wanted: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if wanted in line:
            return said
    raise AssertionError(f"it ended without {wanted!r}: {said}")


def _lines(said: str, who: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(f"{who}: ")]


@pytest.mark.slow
@pytest.mark.parametrize("on", [[], ["--epics"]], ids=["simulated", "epics"])
def test_the_notebooks_of_ann_and_bob_play_their_story_in_two_kernels(
    begin: Callable[..., subprocess.Popen[str]], place: Path, on: list[str]
) -> None:
    process = begin("--headless", *on)
    said, _ = process.communicate(timeout=2 * PATIENCE_S)
    print(said)
    assert process.returncode == 0, said
    assert any("EquipmentInUse" in line and "Ann" in line for line in _lines(said, "Bob"))
    assert re.search(r"^Bob: has it \d+ ms after the kill", said, re.MULTILINE)
    assert re.search(r"^Bob: moves the stage to 12\.5\d* mm in ", said, re.MULTILINE)
    assert said.splitlines()[-1].startswith("Lab: all of it went as it should")
    assert list((place / "temporary").glob("motorlock-demo-*")) == []


def test_a_cell_that_ends_before_a_notice_arrives_shows_its_error_alone() -> None:
    assert Ran("", "CommandStopped: Bob stopped stage_x", 0.1).seen_last == "CommandStopped: Bob stopped stage_x"
    both = Ran("sweep 1\nstage_x was stopped by Bob", "CommandStopped: Bob", 0.1).seen_last
    assert both.splitlines() == ["CommandStopped: Bob", "     stage_x was stopped by Bob"]


def test_a_story_that_goes_otherwise_ends_with_status_1_and_says_what_was_expected(place: Path) -> None:
    ran = _run(CEM_CAME_FIRST, place)
    assert ran.returncode == 1
    assert ran.stderr.startswith("motorlock: Expected: Ann can log in to stage_x. Found: EquipmentInUse: Cem")


@pytest.mark.browser
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_offers_both_notebooks_in_jupyterlab_and_a_signal_leaves_nothing_of_it(
    begin: Callable[..., subprocess.Popen[str]], place: Path, how: signal.Signals
) -> None:
    """RUN-9"""
    process = begin("--no-browser")
    said = _read_until(process, "Ctrl-C ends")
    address, token = re.findall(r"(http://127\.0\.0\.1:\d+/)lab\?token=(\S+)", said)[0]
    listed = requests.get(f"{address}api/contents", headers={"Authorization": f"token {token}"}, timeout=PATIENCE_S)
    assert {"ann.ipynb", "bob.ipynb"} <= {one["name"] for one in listed.json()["content"]}
    assert requests.get(f"{address}api/contents", timeout=PATIENCE_S).status_code == 403
    page = re.findall(r"glance: (\S+)", said)[0]
    assert requests.get(page, timeout=PATIENCE_S).ok
    children = _below(process)
    assert len(children) >= 2
    process.send_signal(how)
    assert process.wait(PATIENCE_S) == 0
    assert _gone(children)
    assert list((place / "temporary").glob("motorlock-demo-*")) == []


@pytest.mark.parametrize(
    ("missing", "headless", "epics", "install"),
    [("caproto", True, True, "jupyter-motorlock[demo,epics]"), ("jupyterlab", False, False, "jupyter-motorlock[demo]")],
)
def test_what_is_not_installed_is_said_in_one_sentence(
    place: Path, missing: str, headless: bool, epics: bool, install: str
) -> None:
    ran = _run(NOT_INSTALLED.format(name=missing, headless=headless, epics=epics), place)
    assert ran.returncode == 2
    [sentence] = ran.stderr.splitlines()
    assert f"pip install '{install}'" in sentence


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_the_notebooks_carry_no_outputs(name: str) -> None:
    from importlib.resources import files

    book = json.loads((files("authority.demo") / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert all(not cell["outputs"] for cell in book["cells"] if cell["cell_type"] == "code")


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_the_code_of_the_notebooks_fits_side_by_side_on_a_small_screen(name: str) -> None:
    """NB-95"""
    from importlib.resources import files

    book = json.loads((files("authority.demo") / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    lines = [line.rstrip() for cell in book["cells"] if cell["cell_type"] == "code" for line in cell["source"]]
    assert [line for line in lines if len(line) > LETTERS_BESIDE] == []


# What $BROWSER starts: it keeps what it was given, as a process list shows it.
BROWSER = """#!/bin/sh
printf '%s' "$*" > {kept}
"""


def test_the_browser_is_given_no_token_on_its_command_line(tmp_path: Path) -> None:
    """WHO-18"""
    browser, kept = tmp_path / "browser", tmp_path / "kept"
    browser.write_text(BROWSER.format(kept=kept), encoding="utf-8")
    browser.chmod(0o700)
    address = "http://127.0.0.1:8888/lab?token=secret&reset"
    opened = f"open_in_browser({address!r}, Path({str(tmp_path)!r}))"
    code = f"from pathlib import Path\nfrom authority.demo.workbench import open_in_browser\n{opened}"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "BROWSER": str(browser)}, check=True, timeout=60)
    page = tmp_path / "open.html"
    assert kept.read_text(encoding="utf-8") == page.as_uri()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "url=http://127.0.0.1:8888/lab?token=secret&amp;reset" in page.read_text(encoding="utf-8")

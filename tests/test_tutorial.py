"""The tutorial is true: its cells run in two real kernels and show what it says; only times differ."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from authority.demo.kernels import Person, Ran

TUTORIAL = Path(__file__).parent.parent / "docs" / "tutorial.md"
READY = "motorlock authority listening on "
STEP = re.compile(
    r"^(?P<who>Ann|Bob) types(?P<goes_on>, and the cell goes on running)?:\n\n```python\n(?P<code>.*?)```\n\n"
    r"```text\n(?P<shows>.*?)```$",
    re.MULTILINE | re.DOTALL,
)
STEPS = [step.groupdict() for step in STEP.finditer(TUTORIAL.read_text(encoding="utf-8"))]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as authority:
        assert authority.stdout is not None
        yield authority.stdout.readline().removeprefix(READY).strip()
        authority.terminate()


@pytest.fixture
def people(url: str, tmp_path: Path) -> Iterator[dict[str, Person]]:
    made: dict[str, Person] = {}
    for name in ("Ann", "Bob"):
        cells = [
            {"cell_type": "code", "id": str(number), "source": [step["code"].rstrip("\n")]}
            for number, step in enumerate(STEPS)
        ]
        (tmp_path / f"{name.lower()}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
        made[name] = Person(name, tmp_path / f"{name.lower()}.ipynb", url)
    for one in made.values():
        one.ready()
    yield made
    for one in made.values():
        one.close()


def _shown(ran: Ran) -> str:
    """Return what stands below the cell."""
    return "\n".join([*ran.text.splitlines(), *([ran.error] if ran.error else [])])


def _alike(text: str) -> str:
    """Blank times of day and durations."""
    return re.sub(r"\d+:\d+|\d+ (min|s)\b", "N", text).replace("N N", "N").strip()


def _idle(url: str) -> None:
    """Return when the authority has heard that the holder's cell is over, as it has when a person reads on."""
    give_up = time.monotonic() + 30
    while True:
        holder = requests.get(f"{url}/api/locks/status/stage_x", timeout=30).json()["holder"]
        if not holder or not holder["busy"]:
            return
        assert time.monotonic() < give_up, f"{holder['user']} stays busy"
        time.sleep(0.02)


def _under_way(url: str, who: str) -> None:
    """Return when what somebody's cell began is known to the authority, as it is when the other one types."""
    give_up = time.monotonic() + 30
    while True:
        status = requests.get(f"{url}/api/locks/status/stage_x", timeout=30).json()
        if who in [part["user"] for part in (*status["queue"], *filter(None, [status["running"]]))]:
            return
        assert time.monotonic() < give_up, f"{who} neither moves nor waits"
        time.sleep(0.02)


def test_every_cell_of_the_tutorial_shows_what_the_tutorial_says(people: dict[str, Person], url: str) -> None:
    assert len(STEPS) >= 10
    running: dict[str, tuple[str, str]] = {}
    wrong: list[str] = []

    def end(who: str) -> None:
        if who in running:
            started, shows = running.pop(who)
            shown = _shown(people[who].finish(started))
            if _alike(shown) != _alike(shows):
                wrong.append(f"{who} sees:\n{shown}\nbut the tutorial says:\n{shows}")

    for number, step in enumerate(STEPS):
        end(step["who"])
        if not running:
            _idle(url)
        running[step["who"]] = people[step["who"]].start(str(number)), step["shows"]
        if step["goes_on"]:
            _under_way(url, step["who"])
        else:
            end(step["who"])
    for who in ("Ann", "Bob"):
        end(who)
    assert not wrong, "\n\n".join(wrong)

"""What the page for who looks after the equipment shows is what the programs say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rest_lab import PATIENCE_S, ROOT
from test_api_check import ENV

from authority.__main__ import parser

PAGE = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
LAB = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
PUT_RIGHT = (("epics-motr", "epics-motor"), ("observer =", "observers ="), ('"hold"', '"stop"'), ('"0"', "0.0"))
CONSOLES = re.findall(r"```console\n\$ motorlock check lab\.toml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^(?:\$ |ExecStart=/opt/motorlock/bin/)(motorlock .+)$", PAGE, re.MULTILINE)
COMMANDS += re.findall(r"`(motorlock [a-z-]+ .+?)`", PAGE)


def checked(place: Path, text: str) -> str:
    (place / "lab.toml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "authority", "check", "lab.toml"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, cwd=place, env=ENV)
    return ran.stdout + ran.stderr


def shows(shown: str, said: str) -> bool:
    """Whether the page shows what was said, but for what it leaves out with an ellipsis."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), said, re.DOTALL) is not None


@pytest.mark.epics
def test_the_page_shows_what_check_says_of_its_lab_file_and_of_the_one_put_right(tmp_path: Path) -> None:
    """RUN-14"""
    assert LAB is not None
    text = LAB.group(1)
    mistaken, right = CONSOLES
    said = checked(tmp_path, text)
    assert shows(mistaken, said), said
    for wrong, instead in PUT_RIGHT:
        assert wrong in text
        text = text.replace(wrong, instead)
    said = checked(tmp_path, text)
    assert shows(f"{right}…", said), said


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_every_command_on_the_page_is_one_that_there_is(line: str) -> None:
    """RUN-12, RUN-14"""
    assert parser().parse_args(shlex.split(line)[1:]).command == line.split()[1]

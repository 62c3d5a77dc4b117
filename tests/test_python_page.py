"""The page on Python is true: its pieces run one after the other and print what it says; only times differ."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "python.md"
READY = "motorlock authority listening on "
PIECE = re.compile(r"^```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<prints>.*?)```\n)?", re.MULTILINE | re.DOTALL)
PIECES = [piece.groupdict() for piece in PIECE.finditer(PAGE.read_text(encoding="utf-8"))]
NEXT = "the next piece begins"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as authority:
        assert authority.stdout is not None
        yield authority.stdout.readline().removeprefix(READY).strip()
        authority.terminate()


def test_every_piece_of_the_page_runs_and_prints_what_the_page_says(url: str, tmp_path: Path) -> None:
    """NB-79"""
    assert len(PIECES) >= 9
    script = tmp_path / "page.py"
    code = f"print({NEXT!r}, flush=True)\n".join(piece["code"] for piece in PIECES)
    script.write_text(code.replace("http://127.0.0.1:8790", url), encoding="utf-8")
    place = {"HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)}
    env = {**os.environ, "MOTORLOCK_URL": url, "MOTORLOCK_USER": "Ann", **place}
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stderr
    printed = [_alike(one) for one in ran.stdout.split(f"{NEXT}\n")]
    assert printed == [_alike(piece["prints"] or "") for piece in PIECES]


def _alike(text: str) -> str:
    """Blank times of day, and leave out what QCoDeS says of its run."""
    lines = [line for line in text.splitlines() if not line.startswith("Starting experimental run")]
    return re.sub(r"\d+:\d+", "N", "\n".join(lines)).strip()

"""A database that is damaged, deleted or locked: one sentence, the right exit status, and nothing that is untrue."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rest_lab import PATIENCE_S, ROOT, ok, program_with, refused, running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of an authority that has ended."""
    with running(tmp_path) as lab:
        ann = lab.person("ann")
        ann.has("stage_x")
        for _ in range(60):
            ann.acquire("stage_x", note="n" * 500)
    return tmp_path / "data"


def start(data: Path, program: Sequence[str] = ("-m", "authority")) -> tuple[int, str]:
    """Start an authority that cannot serve; return its exit status and what it said."""
    command = [sys.executable, *program, "serve", "--port", "0", "--data", str(data)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, cwd=ROOT)
    assert found.stdout == ""
    assert "Traceback" not in found.stderr
    return found.returncode, found.stderr.strip()


def test_a_database_that_is_damaged_in_the_middle_is_one_sentence_and_status_2(data: Path) -> None:
    """STORE-14"""
    path = data / "motorlock.sqlite3"
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : 2 * len(content) // 3] = b"\xa5" * (len(content) // 3)
    path.write_bytes(content)
    status, said = start(data)
    assert status == 2
    assert "is damaged" in said
    assert said.endswith("; restore a backup.")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(("table", "row"), [("equipment", "equipment stage_x"), ("sessions", "session ")])
def test_a_row_that_cannot_be_understood_is_named_in_one_sentence_with_status_2(
    data: Path, table: str, row: str
) -> None:
    """STORE-16"""
    with sqlite3.connect(data / "motorlock.sqlite3") as db:
        db.execute(f"UPDATE {table} SET body = x'7b22ff'")
    db.close()
    status, said = start(data)
    assert status == 2
    assert f"the row of {row}" in said
    assert said.endswith("restore a backup.")
    assert len(said.splitlines()) == 1


def test_a_database_that_another_program_has_locked_at_the_start_is_a_reason_to_start_again(data: Path) -> None:
    """STORE-16"""
    other = sqlite3.connect(data / "motorlock.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    status, said = start(data, program_with(data.parent, "authority.store.sqlite.WAIT_AT_OPEN_S", 0.1))
    other.close()
    assert status == 70
    assert "database is locked" in said


def test_when_the_data_directory_is_deleted_no_login_is_acknowledged_and_the_authority_ends(tmp_path: Path) -> None:
    """STORE-15, STORE-18"""
    impatient = program_with(tmp_path, "authority.service.NOTIFY_AFTER_FAILURE_S", 3.0)
    with running(tmp_path, program=impatient) as lab:
        ann = lab.person("ann")
        shutil.rmtree(lab.data)
        refused(ann.acquire("stage_x"), 503, "store_unavailable")
        assert ok(lab.send("GET", "/health"))["status"] == "store_failed"
        assert lab.process.wait(PATIENCE_S) == 70
        assert "the authority ends, because its store has failed" in lab.log

"""A disk that hangs, or that fails, under a real authority: STOP gets through, and what is known is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rest_lab import ROOT, Authority, ok, running, until

SOURCE = Path(__file__).parent / "slow_disk.c"


class SlowDisk:
    """The disk of one authority, which is as slow as `takes` says."""

    def __init__(self, place: Path) -> None:
        self._says = place / "slow_disk"
        library = place / "slow_disk.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)], check=True)
        self.env = {"LD_PRELOAD": str(library), "SLOW_DISK": str(self._says)}

    def takes(self, what: str) -> None:
        """Let every write to the disk take so many milliseconds, or "fail"."""
        self._says.write_text(what)

    def heals(self) -> None:
        """Let the disk be as fast as it is; what hangs goes on."""
        self._says.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> SlowDisk:
    return SlowDisk(tmp_path)


@pytest.fixture
def lab(tmp_path: Path, disk: SlowDisk) -> Iterator[Authority]:
    with running(tmp_path / "lab", env=disk.env) as authority:
        yield authority
        disk.heals()


def moving(lab: Authority) -> None:
    ann = lab.person("Ann")
    ann.has("stage_x")
    ann.begins("move_to", "stage_x", "key", position=100)
    until(lambda: lab.status("stage_x")["readback"]["moving"], "it moves")


def test_a_stop_is_answered_with_what_is_known_while_the_disk_hangs(lab: Authority, disk: SlowDisk) -> None:
    """STOP-14"""
    moving(lab)
    disk.takes("60000")
    answer = ok(lab.post("/equipment/stage_x/stop", {"user": "Cem"}))
    assert (answer["outcome"], answer["delivered"], answer["recorded"]) == ("stopped", True, False)
    until(lambda: lab.send("GET", "/health").json()["status"] == "store_slow", "health tells of it")
    disk.heals()
    until(lambda: lab.send("GET", "/health").json()["status"] == "ok", "the disk works again")
    until(lambda: any(event["event"] == "stopped" for event in lab.events("stage_x")), "the stop is recorded")
    assert ok(lab.post("/equipment/stage_x/stop"))["recorded"] is True


def test_the_command_line_says_that_it_was_stopped_and_that_the_disk_hangs(lab: Authority, disk: SlowDisk) -> None:
    """STOP-14, RUN-18"""
    moving(lab)
    disk.takes("60000")
    command = [sys.executable, "-m", "authority", "stop", "--url", lab.url, "stage_x"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "stage_x was stopped, which is not on disk yet.\n"), ended.stderr


def test_a_disk_that_fails_leaves_stop_and_says_so(lab: Authority, disk: SlowDisk) -> None:
    """STORE-7, STOP-11"""
    moving(lab)
    disk.takes("fail")
    answer = ok(lab.post("/equipment/stage_x/stop"))
    assert (answer["outcome"], answer["recorded"]) == ("stopped", False)
    until(lambda: lab.log.count("only stop is served"), "the log says so")

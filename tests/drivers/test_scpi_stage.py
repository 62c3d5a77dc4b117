"""The simulated SCPI stage is true in time, keeps its own record, checks fences, and is faulty on demand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from simulated_stage import Refused, Stage
from stage_process import PATIENCE_S, ROOT, SCPI_STAGE, StageProcess, until


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StageProcess]:
    process = StageProcess(tmp_path, "--velocity", "20", "--pty")
    yield process
    process.close()


def test_a_stage_moves_as_long_as_distance_and_velocity_say_and_stops_where_it_is(tmp_path):
    """What other tests rely on."""
    now = [0.0]
    stage = Stage(0, 100, 10, 0, str(tmp_path / "record"), lambda: now[0])
    stage.move("move", 50, fence=1)
    now[0] = 2.0
    assert (stage.position, stage.moving, stage.target) == (20.0, True, 50)
    stage.stop()
    now[0] = 9.0
    assert (stage.position, stage.moving, stage.target) == (20.0, False, 20.0)
    stage.set_velocity(5, fence=1)
    stage.move("move", 10, fence=2)
    now[0] = 11.0
    assert (stage.position, stage.moving) == (10.0, False)
    for refused in (
        lambda: stage.move("move", 101, 2),
        lambda: stage.move("move", 5, 1),
        lambda: stage.set_velocity(0, 2),
    ):
        with pytest.raises(Refused):
            refused()
    assert (stage.position, stage.moving) == (10.0, False)


def test_it_answers_and_keeps_a_record_of_what_it_was_told(stage):
    """What other tests rely on."""
    assert stage.ask("*IDN?") == ["motorlock,SCPI stage,0,1"]
    assert stage.ask("SYST:FENCE 3;MOVE 2;MOV?") == ["1"]
    until(lambda: stage.ask("MOV?;POS?") == ["0", "2.000000"], "arrival")
    assert stage.ask("MOVE 200", "SYST:ERR?", "SYST:ERR?") == [
        '-200,"Execution error;200 mm is not from 0 to 100 mm"', '0,"No error"',
    ]  # fmt: skip
    assert stage.ask("DANCE", "MOVE far", "SYST:ERR?;SYST:ERR?") == [
        '-113,"Undefined header;DANCE"', '-104,"Data type error;MOVE far"',
    ]  # fmt: skip
    (error,) = stage.ask("SYST:FENCE 2", "MOVE 5", "SYST:ERR?")
    assert "has obeyed fence 3 and refuses move of fence 2" in error
    stage.tell("STOP")
    facts = [(fact["fact"], fact.get("fence")) for fact in stage.facts]
    assert facts == [("on", None), ("begin", 3), ("end", None), ("refused", 2), ("stop", None)]


def test_it_is_faulty_on_demand(stage):
    """What other tests rely on."""
    with socket.create_connection(("127.0.0.1", stage.port), PATIENCE_S) as line, line.makefile("r") as answers:
        line.sendall(b"SIM:TWICE POS?\nPOS?\nMOV?\n")
        assert [answers.readline().strip() for _ in range(3)] == ["0.000000", "0.000000", "0"]
        line.sendall(b"SIM:OK\nSIM:HANG POS?\nPOS?\nSIM:LATE 0.05 TEMP?\nTEMP?\nMOV?\n")
        assert [answers.readline().strip() for _ in range(2)] == ["0", "293.150"]
        line.sendall(b"SIM:OK\nSIM:GARBLE\nMOV?\nSIM:OK\nMOV?\n")
        assert [answers.readline().strip() for _ in range(2)] == ["#?!0x", "0"]
        line.sendall(b"SIM:REFUSE 0.05\n")
        assert answers.readline() == ""
    until(lambda: reaches(stage.port), "it takes connections again")


def reaches(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def test_it_speaks_over_a_pseudo_terminal_too(stage):
    """What other tests rely on."""
    terminal = os.open(stage.terminal, os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(terminal, b"*IDN?\n")
        assert os.read(terminal, 100) == b"motorlock,SCPI stage,0,1\r\n"
    finally:
        os.close(terminal)


def test_a_stage_that_cannot_start_says_why(stage):
    """RUN-11"""
    command = [sys.executable, str(SCPI_STAGE), "--port", str(stage.port)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("The simulated stage cannot start: ")

"""One story: a stage that speaks SCPI in a process of its own, two real kernels, and all that happens in a day."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_lab import Authority, Kernel
from stage_process import StageProcess
from typed import Notebook, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LAB = """
[equipment.stage_z]
driver = "visa"
park = true

[equipment.stage_z.options]
resource = "{resource}"
kind = "motor"
units = "mm"
low = 0.0
high = 100.0
max_velocity = 50.0
tolerance = 0.01
stop = "STOP"
fence = "SYST:FENCE {{fence}}"

[equipment.stage_z.options.readings]
position = {{ query = "POS?", type = "number" }}
moving = {{ query = "MOV?", type = "boolean" }}
target = {{ query = "TARG?", type = "number" }}
velocity = {{ query = "VEL?", type = "number" }}

[equipment.stage_z.options.control.move_to]
doc = "Move to a position and answer it on arrival."
send = "MOVE {{position:.4f}}"
target = "position"
until = "rest"
answers = "position"
parameters = {{ position = {{ type = "number" }} }}

[equipment.stage_z.options.control.set_velocity]
doc = "Set the velocity of moves."
send = "VEL {{velocity:.3f}}"
velocity = "velocity"
answers = "velocity"
parameters = {{ velocity = {{ type = "number" }} }}

[equipment.stage_z.options.control.park]
doc = "Move to where nothing is in the way."
send = "MOVE 0"
until = "rest"
answers = "position"
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StageProcess]:
    process = StageProcess(tmp_path)
    yield process
    process.close()


@pytest.fixture
def authority(stage: StageProcess, tmp_path: Path) -> Iterator[Authority]:
    file = tmp_path / "lab.toml"
    file.write_text(LAB.format(resource=stage.resource), encoding="utf-8")
    running = Authority(tmp_path / "data", "--config", str(file))
    yield running
    running.end()


@pytest.fixture
def notebooks(authority: Authority, tmp_path: Path) -> Iterator[dict[str, Notebook]]:
    env = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "MOTORLOCK_URL": authority.url}
    kernels = {name: Kernel({**env, "MOTORLOCK_USER": name}) for name in ("Ann", "Bob")}
    yield {name: Notebook(kernel) for name, kernel in kernels.items()}
    for kernel in kernels.values():
        kernel.end()


def says(who: Notebook, cell: str) -> str:
    """What a cell shows that ends well."""
    out = who.run(cell)
    assert out.status == "ok", out.error or out.stderr
    return out.stdout + (out.value or "")


def fails(who: Notebook, cell: str) -> str:
    """The error that a cell ends with."""
    out = who.run(cell)
    assert out.status == "error", out
    return out.error


def terminal(authority: Authority, *words: str) -> str:
    """What a command line says, whose exit status is 0."""
    command = [sys.executable, "-m", "authority", *words, "--url", authority.url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_day_at_the_bench(stage: StageProcess, authority: Authority, notebooks: dict[str, Notebook]) -> None:
    """DRV-6, DRV-7, DRV-8, DRV-13, LOSS-4, LOSS-16, LOSS-21, STOP-1, STOP-6, LIVE-2"""
    ann, bob = notebooks["Ann"], notebooks["Bob"]

    def reads(name: str) -> object:
        return authority.status("stage_z")["readback"][name]

    # Ann begins, and is told what she must not do.
    wait_until(lambda: reads("connected"), "the stage answers")
    assert "stage_z is yours." in says(ann, "z = %motor_login stage_z --note map --no-panel")
    assert "80 mm/s is faster than the limit 50 mm/s; it has not moved." in fails(ann, "z.set_velocity(80)")
    assert "101 mm is outside the limits 0 to 100 mm; it has not moved." in fails(ann, "z.move_to(101)")
    assert "position must be a number in mm, not nan." in fails(ann, "z.move_to(float('nan'))")
    assert says(ann, "z.set_velocity(20)").strip() == "20.0 mm/s"
    assert says(ann, "for x in (2, 4): print(z.move_to(x))").split() == ["2.0", "4.0"]

    # Bob stops her scan.
    cell = ann.start("z.move_to(90)")
    wait_until(lambda: (reads("fraction") or 0) > 0.01, "it is on its way")
    assert "Ann's move_to has run for" in terminal(authority, "why", "stage_z")
    assert "stage_z was stopped." in says(bob, "%motor_stop stage_z")
    assert "Bob stopped stage_z" in ann.finish(cell).error
    assert "(%motor_resume stage_z)" in fails(ann, "z.move_to(30)")
    assert "nothing moves it until Ann resumes or logs in again" in terminal(authority, "why", "stage_z")
    assert "stage_z takes commands again." in says(ann, "%motor_resume stage_z")
    assert says(ann, "z.move_to(30)").strip() == "30.0 mm"

    # Somebody pulls the plug, and puts it back; the stage stands at 0 now.
    stage.kill()
    wait_until(lambda: not reads("connected"), "the loss is noticed")
    assert "stage_z cannot be reached now" in fails(ann, "z.move_to(31)")
    assert "it is tried again and again, and locks are kept" in terminal(authority, "why", "stage_z")
    stage.start()
    wait_until(lambda: reads("connected"), "the stage answers again")
    assert "stage_z was moved from outside to 0 mm" in says(bob, "%motor_events stage_z --last 3")
    assert says(ann, "z.move_to(10)").strip() == "10.0 mm"

    # Ann is done: the stage is parked before Bob has it.
    says(bob, "%motor_ask stage_z 'five minutes of beam'")
    assert "stage_z passes on when it is at rest." in says(ann, "%motor_logout")
    wait_until(lambda: (authority.status("stage_z")["holder"] or {}).get("user") == "Bob", "it is Bob's")
    assert reads("position") == pytest.approx(0, abs=0.01)
    assert "stage_z is yours." in says(bob, "z = %motor_login stage_z --no-panel")

    # Bob's kernel dies in a move.
    bob.start("z.set_velocity(5); z.move_to(90)")
    wait_until(lambda: reads("moving"), "it moves")
    os.kill(bob.kernel.pid, signal.SIGKILL)
    wait_until(lambda: authority.status("stage_z")["state"] == "free", "it is free")
    assert "stage_z was stopped by the authority (the kernel is gone)" in terminal(authority, "events", "stage_z")
    assert "because the kernel's process ended" in terminal(authority, "why", "stage_z")
    assert "stage_z is yours." in says(ann, "z = %motor_login stage_z --no-panel")

    told = stage.told()
    assert told == [
        "velocity 20", "move 2", "move 4", "move 90", "stop", "move 30", "move 10", "move 0", "velocity 5", "move 90",
        "stop",
    ]  # fmt: skip
    fences = [fact["fence"] for fact in stage.facts if fact["fact"] == "begin"]
    assert fences == [1] * 7 + [2] * 2

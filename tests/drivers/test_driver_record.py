"""The simulated motor's own record, and the barrier that it is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from authority.drivers.record import FenceWentBack
from authority.drivers.simulated import SimulatedMotor
from authority.ports import DriverUnavailable, MotionStopped, fence_of_command


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def made(path: Path, clock: Any) -> SimulatedMotor:
    motor = SimulatedMotor(record=str(path), clock=clock)
    motor.open()
    return motor


def under(clock: Any, fence: int, command: Coroutine[object, object, float]) -> float:
    """Run a command as the worker does: with its fence around it."""

    def run() -> float:
        fence_of_command.set(fence)
        return clock.run(command)

    return copy_context().run(run)


def test_the_record_tells_each_begin_with_its_fence_each_end_and_each_stop(clock, tmp_path):
    """DRV-14"""
    path = tmp_path / "record"
    motor = made(path, clock)
    under(clock, 3, motor.move_to(20.0))

    async def turned_and_stopped():
        fence_of_command.set(4)
        first = asyncio.create_task(motor.move_by(50.0))
        await asyncio.sleep(1)
        second = asyncio.create_task(motor.home())
        await asyncio.sleep(1)
        motor.stop()
        for move in (first, second):
            with pytest.raises(MotionStopped):
                await move

    clock.run(turned_and_stopped())
    motor.stop()
    told = [{k: v for k, v in line.items() if k != "position"} for line in lines(path)]
    move_by = {"action": "move_by", "parameters": {"distance": 50.0}}
    assert told == [
        {"at": 1000.0, "fact": "on"},
        {"at": 1000.0, "fact": "begin", "command": 1, "action": "move_to", "parameters": {"position": 20.0}, "fence": 3,
         "moving": False},
        {"at": 1002.0, "fact": "end", "command": 1, "how": "arrived"},
        {"at": 1002.0, "fact": "begin", "command": 2, **move_by, "fence": 4, "moving": False},
        {"at": 1003.0, "fact": "begin", "command": 3, "action": "home", "parameters": {}, "fence": 4, "moving": True},
        {"at": 1003.0, "fact": "end", "command": 2, "how": "interrupted"},
        {"at": 1004.0, "fact": "end", "command": 3, "how": "stopped"},
        {"at": 1004.0, "fact": "stop", "moving": True},
        {"at": 1004.0, "fact": "stop", "moving": False},
    ]  # fmt: skip
    assert [line["position"] for line in lines(path)] == pytest.approx([0, 0, 20, 20, 30, 30, 20, 20, 20])


def test_the_motor_refuses_a_command_whose_fence_is_lower_than_one_it_has_seen(clock, tmp_path):
    """DRV-14"""
    path = tmp_path / "record"
    motor = made(path, clock)
    under(clock, 7, motor.move_to(20.0))
    sentence = "has obeyed fence 7 and refuses move_to of fence 6: that lock has passed on, log in again"
    with pytest.raises(FenceWentBack, match=sentence):
        under(clock, 6, motor.move_to(30.0))
    assert motor.position() == 20.0
    under(clock, 7, motor.move_to(30.0))
    assert [line["fact"] for line in lines(path)] == ["on", "begin", "end", "refused", "begin", "end"]


def test_the_fence_that_it_has_seen_survives_the_motor_and_its_commands_go_on_counting(clock, tmp_path):
    """DRV-14"""
    path = tmp_path / "record"
    under(clock, 7, made(path, clock).move_to(20.0))
    again = made(path, clock)
    with pytest.raises(FenceWentBack):
        under(clock, 6, again.move_to(30.0))
    under(clock, 8, again.move_to(40.0))
    assert [line["command"] for line in lines(path) if line["fact"] == "begin"] == [1, 2]


def test_without_a_record_it_refuses_all_the_same(clock):
    """DRV-14"""
    motor = SimulatedMotor(clock=clock)
    motor.open()
    under(clock, 2, motor.move_to(20.0))
    with pytest.raises(FenceWentBack):
        under(clock, 1, motor.home())


def test_the_record_survives_kill_9_in_the_middle_of_a_move(tmp_path):
    """DRV-14"""
    path = tmp_path / "record"
    program = (
        "import asyncio, os, sys\n"
        "from authority.drivers.simulated import SimulatedMotor\n"
        "motor = SimulatedMotor(record=sys.argv[1], velocity=1.0)\n"
        "motor.open()\n"
        "async def die():\n"
        "    move = asyncio.create_task(motor.move_to(90.0))\n"
        "    await asyncio.sleep(0)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(die())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [line["fact"] for line in lines(path)] == ["on", "begin"]


def test_a_record_that_cannot_be_kept_keeps_the_motor_from_being_moved_but_not_from_being_stopped(clock, tmp_path):
    """DRV-14"""
    with pytest.raises(DriverUnavailable, match="record cannot be kept"):
        made(tmp_path / "no such folder" / "record", clock)
    place = tmp_path / "folder"
    place.mkdir()
    motor = made(place / "record", clock)

    async def lost_on_the_way():
        move = asyncio.create_task(motor.move_to(50.0))
        await asyncio.sleep(1)
        (place / "record").unlink()
        place.rmdir()
        motor.stop()
        with pytest.raises(MotionStopped):
            await move
        with pytest.raises(FileNotFoundError):
            await motor.move_to(60.0)

    clock.run(lost_on_the_way())
    assert motor.position() == pytest.approx(10.0)
    assert not motor.readback().moving

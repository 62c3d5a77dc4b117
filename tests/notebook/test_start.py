"""`stage.start`: commands that are sent and awaited; and what a handle answers to what beginners try."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest
from real_lab import Authority
from typed import wait_until

from jupyter_motorlock import Connection, MotorlockError, UsageProblem
from jupyter_motorlock.errors import CommandTimedOut

LAB = """
[equipment.stage_x]
driver = "simulated-motor"
options = { velocity = 20.0 }

[equipment.stage_y]
driver = "simulated-motor"
options = { velocity = 20.0 }

[equipment.pump]
driver = "python"
[equipment.pump.options]
object = "collections:Counter"
address = "a device of PROCESS"
stop = "clear"
[equipment.pump.options.control.start]
call = "most_common"
parameters = { n = { type = "integer" } }
"""


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


def reasons(authority: Authority, name: str) -> list[str]:
    return [event["reason"] for event in authority.events(name) if event["event"] == "stopped"]


def test_two_motors_move_at_once_in_one_program(ann: Connection, authority: Authority) -> None:
    """NB-54"""
    with ann.lock_all("stage_x", "stage_y") as (x, y):

        async def both() -> list[float]:
            return list(await asyncio.gather(x.start.move_to(30), y.start.move_to(31)))

        assert asyncio.run(both()) == [30, 31]
        seqs = {
            (name, event["event"]): event["seq"] for name in ("stage_x", "stage_y") for event in authority.events(name)
        }
        began = [seqs[name, "command_started"] for name in ("stage_x", "stage_y")]
        ended = [seqs[name, "command_finished"] for name in ("stage_x", "stage_y")]
        assert max(began) < min(ended)
        assert y.start.move_to(30).wait() == 30


def test_a_task_that_is_cancelled_stops_what_it_awaits(ann: Connection, authority: Authority) -> None:
    """NB-54"""
    with ann.lock("stage_x") as x:
        before = len(reasons(authority, "stage_x"))

        async def impatient() -> None:
            await asyncio.wait_for(x.start.move_to(90), 0.2)

        with pytest.raises(TimeoutError):
            asyncio.run(impatient())
        wait_until(lambda: not authority.status("stage_x")["readback"]["moving"], "it stands")
        assert reasons(authority, "stage_x")[before:] == ["the task that moved it was cancelled"]


def test_start_refuses_as_the_command_does_and_may_be_a_command_itself(ann: Connection) -> None:
    """NB-54 NB-6"""
    with ann.lock("stage_x") as x, ann.lock("pump") as pump:
        with pytest.raises(UsageProblem, match="stage_x has no command fly"):
            x.start.fly()
        with pytest.raises(UsageProblem, match="has no command start"):
            x.start(3)
        assert "move_to" in dir(x.start)
        assert pump.start(2) is None
        assert pump.start.start(2).wait() is None


def test_a_command_may_be_given_a_time(ann: Connection, authority: Authority) -> None:
    """NB-53"""
    with ann.lock("stage_x") as x:
        x.move_to(0, timeout="1min")
        with pytest.raises(CommandTimedOut, match=r"took longer than 0\.3 s"):
            x.move_to(90, timeout=0.3)
        assert not authority.status("stage_x")["readback"]["moving"]
        with pytest.raises(UsageProblem, match=r"timeout must be .*, not 'soon'"):
            x.move_to(1, timeout="soon")


def test_what_a_beginner_tries_is_answered_by_how_it_is_done(ann: Connection) -> None:
    """NB-6"""
    with ann.lock("stage_x") as x:
        with pytest.raises(
            AttributeError, match=r"^position is a command of stage_x, and is called: write move_to\(5\)$"
        ):
            x.position = 5  # type: ignore[assignment]
        with pytest.raises(AttributeError, match=r"write home\(True\)"):
            x.home = True  # type: ignore[assignment]
        assert repr(x.position) == "position is a command of stage_x: write position()"
        assert repr(x.move_to) == "move_to is a command of stage_x: write move_to(position)"
        wait_until(lambda: "stage_x" in ann.session.mirror.statuses, "news has come")
        assert "position: a number in mm\n" in str(x.move_to.__doc__)
        assert "stage_x has the limits 0 to 100 mm." in str(x.move_to.__doc__)
        assert "limits" not in str(x.home.__doc__)
        assert "None" not in str(x.move_to.__doc__)


def test_a_handle_does_not_go_to_another_process(ann: Connection) -> None:
    """NB-18"""
    with ann.lock("stage_x") as x:
        with pytest.raises(MotorlockError, match="belongs to this process and cannot be sent to another one"):
            pickle.dumps(x)
        assert copy.copy(x) is copy.deepcopy({"x": x})["x"] is x

"""The handle and the plain Python face, against a real authority."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from real_lab import PATIENCE_S, Authority
from typed import wait_until

import jupyter_motorlock
from jupyter_motorlock import (
    Connection,
    EquipmentInUse,
    InvalidRequest,
    LockRequired,
    MotorlockError,
    Unreachable,
    UsageProblem,
)


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def connect(authority: Authority) -> Iterator[Callable[[str], Connection]]:
    made: list[Connection] = []

    def start(user: str) -> Connection:
        made.append(jupyter_motorlock.connect(authority.url, user=user))
        return made[-1]

    yield start
    for connection in made:
        connection.close()


@pytest.fixture
def ann(connect: Callable[[str], Connection]) -> Connection:
    return connect("ann")


def test_a_with_block_holds_the_lock_and_gives_it_back(ann: Connection, authority: Authority) -> None:
    """NB-21"""
    with ann.lock("stage_x", note="scan") as stage:
        assert authority.status()["holder"]["note"] == "scan"
        assert stage.move_to(0.5) == 0.5
        assert stage.position() == 0.5
    assert authority.status()["state"] == "free"


def test_an_error_in_the_block_gives_the_lock_back_and_is_the_one_that_is_seen(
    ann: Connection, authority: Authority
) -> None:
    """NB-21"""
    with pytest.raises(ZeroDivisionError), ann.lock("stage_x"):
        _ = 1 / 0
    wait_until(lambda: authority.status()["state"] == "free", "the lock is given back")


def test_giving_back_what_was_lost_is_no_second_error(ann: Connection, authority: Authority) -> None:
    bob = authority.person("Bob")

    def lose_it_and_fail() -> None:
        with ann.lock("stage_x"):
            bob.release(force=True)
            bob.acquire()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lose_it_and_fail()
    authority.call("DELETE", f"/locks/sessions/{bob.session_id}")


def test_two_connections_of_one_process_are_two_sessions(connect: Callable[[str], Connection]) -> None:
    with connect("ann").lock("stage_x"):
        with pytest.raises(EquipmentInUse, match="ann"):
            connect("bob").lock("stage_x")
        with pytest.raises(EquipmentInUse, match="another notebook of yours"):
            connect("ann").lock("stage_x")


def test_the_commands_are_methods_with_help_and_signature(ann: Connection) -> None:
    """NB-6"""
    with ann.lock("stage_x") as stage:
        assert {"move_to", "move_by", "home", "position", "stop", "release"} <= set(dir(stage))
        assert list(inspect.signature(stage.move_to).parameters) == ["position"]
        assert stage.move_to.__name__ == "move_to"
        assert "position: a number in mm" in str(stage.move_to.__doc__)


def test_a_command_that_is_not_declared_is_an_attribute_error_in_one_sentence(ann: Connection) -> None:
    with ann.lock("stage_x") as stage:
        assert not hasattr(stage, "fly")
        assert not hasattr(stage, "_repr_html_")
        with pytest.raises(AttributeError, match="stage_x has no command mvoe_to; did you mean move_to"):
            stage.mvoe_to(5)


def test_a_command_cannot_be_assigned_to(ann: Connection) -> None:
    with ann.lock("stage_x") as stage, pytest.raises(AttributeError):
        stage.position = 5  # type: ignore[assignment,method-assign]  # what a beginner tries


@pytest.mark.parametrize("target", [1, 0.5, Decimal("0.25"), "0.75"])
def test_numbers_of_every_kind_are_taken(ann: Connection, target: object) -> None:
    """NB-6"""
    with ann.lock("stage_x") as stage:
        assert stage.move_to(target) == float(str(target))


def test_what_is_mistyped_never_reaches_the_authority(ann: Connection, authority: Authority) -> None:
    with ann.lock("stage_x") as stage:
        before = authority.events()
        for mistake in ((), (1, 2), ("far",), (True,), (None,)):
            with pytest.raises(UsageProblem):
                stage.move_to(*mistake)
        with pytest.raises(UsageProblem, match="postion"):
            stage.move_to(postion=1)
        assert authority.events() == before


def test_a_target_outside_the_limits_is_refused(ann: Connection) -> None:
    with ann.lock("stage_x") as stage, pytest.raises(InvalidRequest, match="100"):
        stage.move_to(500)


def test_a_handle_says_who_holds_the_motor(ann: Connection) -> None:
    with ann.lock("stage_x") as stage:
        wait_until(lambda: "is yours" in repr(stage), "the feed has told")
        assert stage.lock["state"] == "held"
    wait_until(lambda: repr(stage) == "stage_x is free.", "the feed has told")


def test_after_release_the_handle_reads_and_moves_no_more(ann: Connection) -> None:
    stage = ann.lock("stage_x")
    stage.release()
    with pytest.raises(MotorlockError):
        stage.move_to(1)


def test_a_watcher_reads_and_does_not_move(connect: Callable[[str], Connection]) -> None:
    with connect("ann").lock("stage_x") as stage, connect("bob").watch("stage_x") as watching:
        assert watching.position() == stage.position()
        with pytest.raises(LockRequired):
            watching.move_to(1)


def test_anybody_stops_and_the_holder_resumes(connect: Callable[[str], Connection], authority: Authority) -> None:
    with connect("ann").lock("stage_x") as stage, connect("bob").watch("stage_x") as watching:
        watching.stop("the laser is on")
        assert authority.status()["stopped_by"]["reason"] == "the laser is on"
        stage.resume()
        assert stage.move_to(0.25) == 0.25


def test_a_connection_lists_the_equipment_and_ends_its_session(ann: Connection, authority: Authority) -> None:
    with ann:
        assert {"stage_x", "stage_y"} <= {item["id"] for item in ann.equipment()}
        ann.lock("stage_x")
    assert authority.status()["state"] == "free"


def test_a_connection_gives_statuses_and_events_as_rows(ann: Connection) -> None:
    """NB-27 NB-28"""
    with ann.lock("stage_x") as stage:
        stage.move_to(0.25)
        (row,) = ann.rows("stage_x")
        assert (row["equipment"], row["holder"], row["position"], row["moving"]) == ("stage_x", "ann", 0.25, False)
        assert {"stage_x", "stage_y"} <= {row["equipment"] for row in ann.rows()}
        started, finished = ann.events("stage_x", last=2)
        assert (started["parameters.position"], finished["outcome"]) == (0.25, "done")
        assert len(ann.events("stage_x")) <= 20


def test_nobody_at_the_address_is_one_sentence() -> None:
    """NB-19"""
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9; start it with `motorlock serve`"):
        jupyter_motorlock.connect("http://127.0.0.1:9").lock("stage_x")


SCRIPT = """
import sys, jupyter_motorlock
try:
    with jupyter_motorlock.connect(sys.argv[1], user="ann").lock("stage_x") as stage:
        print("go", flush=True)
        stage.move_to(100)
except KeyboardInterrupt as stopped:
    print(stopped)
"""


def test_an_interrupt_of_a_script_stops_the_motor_and_gives_it_back(authority: Authority) -> None:
    script = subprocess.Popen([sys.executable, "-c", SCRIPT, authority.url], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: authority.status()["readback"]["moving"], "the motor moves")
        script.send_signal(signal.SIGINT)
        said, _ = script.communicate(timeout=PATIENCE_S)
    finally:
        script.kill()
        script.wait()
    assert said == "go\nYou interrupted move_to of stage_x; stage_x was stopped.\n"
    assert not authority.status()["readback"]["moving"]
    wait_until(lambda: authority.status()["state"] == "free", "the lock is given back")

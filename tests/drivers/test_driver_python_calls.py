"""Calls of a Python object: one at a time, what a call awaits, and a stop beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import bench
import pytest
from as_worker import as_worker, command_under
from bench import WAIT_S
from python_lab import LIMITS, MOVE, READINGS, lab, run, until

from authority.drivers import build
from authority.drivers.limits import MoveFailed
from authority.drivers.python_object import CallFailed, PythonObject
from authority.ports import DriverUnavailable, MotionStopped, Readback, StopToken


def test_while_a_call_moves_the_readback_is_the_last_one_and_says_so(made, other_thread):
    """DRV-41, DRV-42"""
    driver = made()
    stage = bench.made[-1]
    run(driver, "move_to", position=2.0)
    assert driver.readback().moving is False
    move = other_thread.submit(run, driver, "move_to", position=1000.0)
    assert stage.moving_now.wait(WAIT_S)
    assert driver.readback() == Readback(position=2.0, moving=True, units="mm", values=LIMITS)
    waiting = other_thread.submit(run, driver, "look", seconds=1.0)
    stage.halted.set()
    assert move.result(WAIT_S) == 3.0
    assert waiting.result(WAIT_S) == {"seconds": 1.0, "gate": "shut"}
    assert driver.readback() == Readback(position=3.0, moving=False, units="mm", values=LIMITS)
    assert stage.beside == []


def test_a_readback_that_is_old_says_so(made, other_thread, monkeypatch):
    """DRV-42"""
    driver = made()
    stage = bench.made[-1]
    driver.readback()
    stage.may_send.clear()
    look = other_thread.submit(run, driver, "move_to", position=3.0)
    assert stage.called.wait(WAIT_S)
    with monkeypatch.context() as a_minute_later:
        now = time.monotonic() + 60.0
        a_minute_later.setattr(time, "monotonic", lambda: now)
        assert driver.readback().error == "it is busy with a call: this is what it said before"
    stage.may_send.set()
    assert look.result(WAIT_S) == 3.0
    assert driver.readback().error is None


def test_no_two_threads_are_ever_in_the_object(made, other_thread):
    """DRV-41"""
    driver = made()
    everything = [
        other_thread.submit(work)
        for turn in range(20)
        for work in (
            lambda turn=turn: run(driver, "move_to", position=float(turn)),
            lambda: run(driver, "look", seconds=0.0),
            lambda: run(driver, "set_velocity", velocity=1.0),
            driver.readback,
        )
    ]
    for one in everything:
        one.result(WAIT_S)
    assert bench.made[-1].beside == []


def test_a_stop_goes_to_the_object_beside_a_call_that_does_not_end(made, other_thread):
    """DRV-10, DRV-41, DRV-43"""
    driver = made()
    stage = bench.made[-1]
    move = other_thread.submit(run, driver, "move_to", position=1000.0)
    assert stage.moving_now.wait(WAIT_S)
    driver.stop()
    with pytest.raises(MotionStopped, match=r"^stopped at 1 mm$"):
        move.result(WAIT_S)
    assert stage.stops == 2  # beside the call, and once more after it
    assert stage.beside == []


def test_a_stop_that_overtakes_the_order_to_move_is_given_again_behind_it(made, other_thread):
    """DRV-41"""
    driver = made(control={"move_to": {**MOVE, "fixed": {"wait": False}}})
    stage = bench.made[-1]
    stage.may_send.clear()
    move = other_thread.submit(run, driver, "move_to", position=4.0)
    assert stage.called.wait(WAIT_S)
    driver.stop()
    assert stage.stops == 1
    stage.may_send.set()  # the object sends its order only now
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)
    assert stage.stops == 2


def test_a_stop_that_comes_right_before_the_order_is_given_again_behind_it(made):
    """DRV-41"""
    driver = made(concurrent=True)

    class StoppedNext(StopToken):
        def raise_if_stopped(self, *sentence: str) -> None:
            super().raise_if_stopped(*sentence)
            self.stop()
            driver.stop()

    with command_under(StoppedNext()), pytest.raises(MotionStopped):
        run(driver, "move_to", position=4.0)
    assert bench.made[-1].stops == 2


def test_what_waits_behind_a_call_when_a_stop_comes_is_not_called_any_more(made, other_thread):
    """DRV-43"""
    driver = made()
    stage = bench.made[-1]
    stage.may_send.clear()
    look = other_thread.submit(run, driver, "look", seconds=1.0)
    assert stage.called.wait(WAIT_S)
    has_begun = threading.Event()
    perform = driver.perform

    def begin(*order: object) -> object:
        has_begun.set()
        return perform(*order)

    driver.perform = begin
    behind = other_thread.submit(run, driver, "move_to", position=4.0)
    assert has_begun.wait(WAIT_S)
    driver.stop()
    stage.may_send.set()
    with pytest.raises(MotionStopped, match="before the device had the command"):
        behind.result(WAIT_S)
    assert look.result(WAIT_S)
    assert stage.position == 0.0


def test_a_stop_at_rest_ends_nothing_that_comes_later(made):
    """DRV-43"""
    driver = made()
    driver.stop()
    assert run(driver, "move_to", position=2.0) == 2.0


def test_a_stop_that_the_object_does_not_take_is_said(made):
    """DRV-43"""
    driver = made()
    bench.made[-1].connected = False
    with pytest.raises(DriverUnavailable, match=r"^stop failed: COM3 is gone$"):
        driver.stop()
    with pytest.raises(DriverUnavailable, match="cannot be stopped"):
        build("python", lab()).stop()


def test_a_stop_that_the_object_does_not_take_is_no_end_of_its_command(made, other_thread):
    """DRV-43"""
    driver = made()
    stage = bench.made[-1]

    def refuse() -> None:
        raise RuntimeError("the stop button is broken")

    stage.stop = refuse
    stage.may_send.clear()
    move = other_thread.submit(run, driver, "move_to", position=4.0)
    assert stage.called.wait(WAIT_S)
    with pytest.raises(DriverUnavailable, match=r"^stop failed: the stop button is broken$"):
        driver.stop()
    stage.may_send.set()
    assert move.result(WAIT_S) == 4.0


def test_where_there_is_nothing_to_stop_a_call_that_takes_too_long_has_failed_all_the_same(made, other_thread):
    """DRV-43"""
    slow = {"call": "move", "parameters": {"position": {"type": "number"}}, "deadline_s": 0.05}
    driver = made(stop="", readings={}, low=None, high=None, control={"fill": slow})
    stage = bench.made[-1]
    stage.may_send.clear()
    filling = other_thread.submit(run, driver, "fill", position=4.0)
    assert stage.called.wait(WAIT_S)
    until(lambda: not any(isinstance(one, threading.Timer) for one in threading.enumerate()))  # the deadline is over
    stage.may_send.set()
    with pytest.raises(MoveFailed, match=r"^was not done after 0.05 s$"):
        filling.result(WAIT_S)
    driver.stop()


def test_where_there_is_nothing_to_stop_a_stop_ends_no_call(made, other_thread):
    """DRV-66"""
    fill = {"call": "move", "parameters": {"position": {"type": "number"}}}
    driver = made(stop="", readings={}, low=None, high=None, control={"fill": fill})
    stage = bench.made[-1]
    stage.may_send.clear()
    filling = other_thread.submit(run, driver, "fill", position=4.0)
    assert stage.called.wait(WAIT_S)
    driver.stop()
    stage.may_send.set()
    assert filling.result(WAIT_S) is None
    assert stage.position == 4.0


def test_a_call_that_does_not_end_by_its_deadline_is_stopped_and_failed(made):
    """DRV-33, DRV-43"""
    driver = made(control={"move_to": {**MOVE, "deadline_s": 0.05}})
    with pytest.raises(MoveFailed, match=r"^was not done after 0.05 s and was stopped at 1 mm$"):
        run(driver, "move_to", position=1000.0)
    assert bench.made[-1].stops >= 1


def test_an_object_that_says_so_is_called_from_several_threads_at_once(made, other_thread):
    """DRV-41"""
    driver = made(concurrent=True)
    stage = bench.made[-1]
    move = other_thread.submit(run, driver, "move_to", position=1000.0)
    assert stage.moving_now.wait(WAIT_S)
    assert driver.readback().moving is True
    assert "position beside move" in stage.beside
    driver.stop()
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)


@pytest.mark.parametrize("call", ["begin", "submit"])
def test_a_status_that_a_call_returns_is_waited_for_and_a_stop_ends_that(made, other_thread, call):
    """DRV-43"""
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": call}})
    stage = bench.made[-1]

    def begun(position: float):
        move = other_thread.submit(run, driver, "move_to", position=position)
        until(lambda: hasattr(stage, "status" if call == "begin" else "future"))
        return move

    move = begun(3.0)
    assert driver.readback().position == 0.0  # nobody is kept from the object meanwhile
    stage.status.finish() if call == "begin" else stage.future.set_result(3.0)
    assert move.result(WAIT_S) == 0.0
    vars(stage).pop("status" if call == "begin" else "future")
    move = begun(4.0)
    stage.status = getattr(stage, "status", bench.Status())
    driver.stop()
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)


def test_a_status_that_fails_or_is_never_done_is_a_failed_command(made, other_thread):
    """DRV-43"""
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": "begin", "deadline_s": 0.05}})
    with pytest.raises(MoveFailed, match=r"^was not done after 0.05 s"):
        run(driver, "move_to", position=1.0)
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": "begin"}})
    stage = bench.made[-1]
    move = other_thread.submit(run, driver, "move_to", position=1.0)
    until(lambda: hasattr(stage, "status"))
    stage.status.finish(RuntimeError("the drive is off"))
    with pytest.raises(CallFailed, match=r"^begin failed: the drive is off$"):
        move.result(WAIT_S)


def test_a_connection_that_is_lost_during_a_status_ends_the_waiting(made, other_thread):
    """DRV-44"""
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": "begin"}})
    stage = bench.made[-1]
    move = other_thread.submit(run, driver, "move_to", position=1.0)
    until(lambda: hasattr(stage, "status"))
    stage.connected = False
    with pytest.raises(DriverUnavailable, match=r"^position failed, and the connection is taken for lost"):
        driver.readback()
    with pytest.raises(DriverUnavailable, match=r"^lost during begin: position failed, and .*; it may be moving$"):
        move.result(WAIT_S)


@pytest.mark.parametrize("concurrent", [True, False])
def test_an_object_moves_while_a_move_of_ours_is_in_it_or_awaited_whatever_it_says_itself(
    made, other_thread, concurrent
):
    """DRV-65"""
    begin = {**MOVE, "call": "begin"}
    readings = {**READINGS, "moving": {"get": "resting", "type": "boolean"}}
    bench.Promising.resting = False  # it never says that it moves
    try:
        driver = made(object="bench:Promising", concurrent=concurrent, control={"move_to": begin}, readings=readings)
        assert not driver.readback().moving
        move = other_thread.submit(run, driver, "move_to", position=3.0)
        until(lambda: hasattr(bench.made[-1], "status") and bool(bench.made[-1].status.callbacks))
        assert driver.readback().moving
        bench.made[-1].status.finish()
        move.result(WAIT_S)
        assert not driver.readback().moving
    finally:
        del bench.Promising.resting


def test_a_stop_that_does_not_stop_the_object_says_that_it_is_still_moving(made, other_thread):
    """DRV-65"""
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": "begin"}})
    move = other_thread.submit(run, driver, "move_to", position=3.0)
    until(lambda: hasattr(bench.made[-1], "status") and bool(bench.made[-1].status.callbacks))
    bench.made[-1].moving_now.set()
    driver.stop()
    with pytest.raises(MotionStopped, match=r"^stopped at 0 mm, but is still moving$"):
        move.result(WAIT_S)
    assert driver.readback().moving


def test_a_coroutine_is_refused_where_the_lab_file_does_not_say_asyncio(made):
    """DRV-47"""
    driver = made(observe={"nap": {"call": "nap"}})
    with pytest.raises(CallFailed, match=r"^nap: it is a coroutine: write asyncio = true$"):
        run(driver, "nap")


LOOPY = {
    "object": "bench:Loopy",
    "asyncio": True,
    "open": "connect",
    "kind": "motor",
    "stop": "stop",
    "tolerance": 0.01,
    "settle_s": 0.01,
    "readings": {"position": {"get": "get_position", "type": "number"}},
    "control": {"move_to": MOVE},
}


@pytest.fixture
def loopy() -> Iterator[PythonObject]:
    driver = as_worker(build("python", LOOPY))
    assert isinstance(driver, PythonObject)
    driver.open()
    yield driver
    driver.close()


def test_an_object_of_an_event_loop_is_made_and_called_in_one(loopy):
    """DRV-47"""
    assert run(loopy, "move_to", position=2.0) == 2.0
    assert loopy.readback().position == 2.0


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_stop_ends_a_coroutine_that_waits_and_cancels_one_that_does_not_end(loopy, other_thread, stubborn):
    """DRV-43, DRV-47"""
    mover = bench.made[-1]
    mover.stubborn = stubborn
    move = other_thread.submit(run, loopy, "move_to", position=1000.0)
    assert mover.moving.wait(WAIT_S)
    assert loopy.readback().moving is True
    loopy.stop()
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)
    assert mover.cancelled is stubborn
    assert mover.stops == 2


def test_a_coroutine_that_does_not_end_by_its_deadline_is_stopped_cancelled_and_failed():
    """DRV-43, DRV-47"""
    driver = build("python", {**LOOPY, "control": {"move_to": {**MOVE, "deadline_s": 0.05}}})
    assert isinstance(driver, PythonObject)
    driver.open()
    bench.made[-1].stubborn = True
    with pytest.raises(MoveFailed, match=r"^was not done after 0.05 s and was stopped at 0$"):
        run(driver, "move_to", position=1000.0)
    assert bench.made[-1].cancelled
    driver.close()

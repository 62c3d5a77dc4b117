"""Interrupts of this very process: which raise, which only count, and who hears of them beside every handler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from real_lab import PATIENCE_S, Authority
from typed import wait_until

import jupyter_motorlock
from jupyter_motorlock import Connection, Handle, Interrupted, MotorlockError
from jupyter_motorlock.client.interrupt import (
    interrupts_limited,
    stop_after_cell,
    stop_after_interrupt,
    stop_all,
    stop_and_describe,
    stop_by_click,
)
from jupyter_motorlock.client.sigint import SigintListener, listener
from jupyter_motorlock.command_call import CommandCall

LAB = """
[equipment.stage_x]
driver = "simulated-motor"
options = { velocity = 20.0 }

[equipment.stage_y]
driver = "simulated-motor"
options = { velocity = 20.0 }
"""


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def stages(ann: Connection) -> tuple[Handle, Handle]:
    x, y = ann.lock_all("stage_x", "stage_y")
    return x, y


def click() -> None:
    signal.raise_signal(signal.SIGINT)


def stops(authority: Authority, name: str) -> int:
    return sum(event["event"] == "stopped" for event in authority.events(name))


def is_moving(authority: Authority, name: str) -> bool:
    return bool(authority.status(name)["readback"]["moving"])


def test_so_many_clicks_raise_and_those_soon_after_only_count() -> None:
    """NB-10"""
    before = signal.getsignal(signal.SIGINT)
    with interrupts_limited(1) as raise_if_clicked:
        raise_if_clicked()
        with pytest.raises(KeyboardInterrupt):
            click()
        click()
        with pytest.raises(KeyboardInterrupt):
            raise_if_clicked()
    assert signal.getsignal(signal.SIGINT) is before


def test_in_a_stop_no_click_raises_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-10"""
    monkeypatch.setattr("jupyter_motorlock.client.interrupt.SWALLOWED_S", 0.0)
    with interrupts_limited(0) as raise_if_clicked:
        click()
        click()
        raise_if_clicked()


def test_a_click_later_raises_again_where_python_swallowed_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-10"""
    with interrupts_limited(1):
        with pytest.raises(KeyboardInterrupt):
            click()
        monkeypatch.setattr("jupyter_motorlock.client.interrupt.SWALLOWED_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            click()


def test_elsewhere_than_in_the_main_thread_no_handler_is_touched() -> None:
    """NB-10"""
    seen: list[object] = []

    def other() -> None:
        with interrupts_limited(0) as raise_if_clicked:
            raise_if_clicked()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize("handler", [signal.default_int_handler, lambda *_: None])
def test_the_listener_hears_whatever_handler_is_in_place(handler: object) -> None:
    """NB-67"""
    heard = threading.Event()
    before = signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]  # it is one
    unsubscribe = listener().subscribe(heard.set)
    try:
        click()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, before)
    listener().wait_until_handled()
    assert heard.is_set()
    unsubscribe()


def test_who_had_the_descriptor_before_is_told_and_has_it_again() -> None:
    """NB-67 NB-22"""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    original = signal.set_wakeup_fd(write_end)
    hearing = SigintListener()
    try:
        unsubscribe = hearing.subscribe(lambda: None)
        hearing.arm()
        with pytest.raises(KeyboardInterrupt):
            click()
        assert os.read(read_end, 8) == bytes([signal.SIGINT])
        unsubscribe()
        unsubscribe()
        assert not hearing.is_armed
        assert signal.set_wakeup_fd(original) == write_end
    finally:
        signal.set_wakeup_fd(original)
        os.close(read_end)
        os.close(write_end)


def test_one_who_fails_keeps_nobody_from_hearing() -> None:
    """NB-67"""
    hearing, heard = SigintListener(), threading.Event()

    def fail() -> None:
        raise ValueError

    ends = [hearing.subscribe(fail), hearing.subscribe(heard.set)]
    with pytest.raises(KeyboardInterrupt):
        click()
    hearing.wait_until_handled()
    assert heard.is_set()
    for unsubscribe in ends:
        unsubscribe()


FORK = """
import os, signal, sys, time
from jupyter_motorlock.client.sigint import listener
listener().subscribe(lambda: print("heard", flush=True))
child = os.fork()
if child == 0:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except KeyboardInterrupt:
        os._exit(0)
os.waitpid(child, 0)
listener().wait_until_handled()
print("end")
"""


def test_an_interrupt_of_a_fork_is_not_the_parents() -> None:
    """NB-18 NB-67"""
    ran = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert ran.stdout == "end\n"


def after_it_moves(authority: Authority, *names: str) -> threading.Thread:
    """Interrupt this process, from another thread, when all of these move."""

    def wait_and_click() -> None:
        for name in names:
            wait_until(lambda name=name: is_moving(authority, name), f"{name} moves")  # type: ignore[misc]
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait_and_click)
    thread.start()
    return thread


def test_each_motor_is_stopped_once_by_who_waits_for_it(stages: tuple[Handle, Handle], authority: Authority) -> None:
    """NB-65 NB-67"""
    x, y = stages
    before = stops(authority, "stage_x"), stops(authority, "stage_y")
    ended: list[BaseException] = []

    def beside() -> None:
        try:
            y.move_to(90)
        except BaseException as error:  # noqa: BLE001 - which it is, is the question
            ended.append(error)

    thread = threading.Thread(target=beside)
    thread.start()
    clicking = after_it_moves(authority, "stage_x", "stage_y")
    with pytest.raises(Interrupted, match="You interrupted move_to of stage_x; stage_x was stopped"):
        x.move_to(90)
    thread.join()
    clicking.join()
    assert [str(error) for error in ended] == ["You interrupted move_to of stage_y; stage_y was stopped."]
    assert isinstance(ended[0], Interrupted)
    assert (stops(authority, "stage_x"), stops(authority, "stage_y")) == (before[0] + 1, before[1] + 1)


def test_a_read_that_is_interrupted_stops_what_moves_here(
    ann: Connection, stages: tuple[Handle, Handle], authority: Authority
) -> None:
    """NB-10"""
    _, y = stages
    move = y.start.move_to(1 if authority.status("stage_y")["readback"]["position"] > 50 else 99)
    mirror = ann.session.mirror
    wait_until(lambda: "stage_y" in mirror.statuses, "news has come")
    wait_until(lambda: mirror.statuses["stage_y"]["readback"]["moving"], "its motion is heard")
    assert stop_after_interrupt(ann.session) == "stage_y was stopped"
    with pytest.raises(jupyter_motorlock.CommandStopped):
        move.wait()
    wait_until(lambda: not mirror.statuses["stage_y"]["readback"]["moving"], "its rest is heard")
    wait_until(lambda: mirror.statuses["stage_y"]["running"] is None, "the end of the command is heard")
    assert stop_after_interrupt(ann.session) == ""


def test_a_stop_that_reaches_nobody_is_told_and_the_others_are_tried(authority: Authority) -> None:
    """STOP-20"""
    with jupyter_motorlock.connect(authority.url, user="ann") as lab:
        assert stop_all(lab.session, ["stage_x", "stage_y"]) == "stage_x was stopped and stage_y was stopped"
        lab.session.client.url = "http://127.0.0.1:9"
        with pytest.raises(MotorlockError, match=r"did not reach stage_x .* and the stop did not reach stage_y"):
            stop_all(lab.session, ["stage_x", "stage_y"])
        assert stop_and_describe(lab.session, ["stage_x"], "why").endswith("use the equipment's own emergency stop")
        lab.session.client.url = authority.url


def test_an_interrupt_that_is_not_ours_says_so_once_at_the_next_command(
    stages: tuple[Handle, Handle], capsys: pytest.CaptureFixture[str]
) -> None:
    """NB-66"""
    x, _ = stages
    with pytest.raises(KeyboardInterrupt):
        click()
    listener().wait_until_handled()
    x.move_by(0)
    x.move_by(0)
    said = capsys.readouterr().err
    assert said == "After your interrupt move_by of stage_x begins; interrupt again, or press STOP, to end it.\n"
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        x.move_by(0)
    assert "begins" in capsys.readouterr().err


def test_stop_in_the_panel_holds_back_a_cell_that_runs_and_no_later_one(
    ann: Connection, stages: tuple[Handle, Handle]
) -> None:
    """NB-68"""
    x, y = stages
    stop_by_click(ann.session, "stage_x")
    x.move_by(0)  # no cell ran
    ann.session.link.set_busy(True)
    stop_by_click(ann.session, "stage_x")
    with pytest.raises(Interrupted, match="You pressed STOP for stage_x while this cell ran"):
        x.move_by(0)
    y.move_by(0)
    ann.session.link.set_busy(False)
    ann.session.link.set_busy(True)
    x.move_by(0)
    ann.session.link.set_busy(False)


def test_what_an_interrupt_stopped_is_told_at_the_end_of_the_cell(
    ann: Connection, stages: tuple[Handle, Handle], authority: Authority
) -> None:
    """NB-10 NB-67"""
    _, y = stages
    session = ann.session
    before = stops(authority, "stage_y")
    session.link.set_busy(True)
    move = y.start.move_to(1 if authority.status("stage_y")["readback"]["position"] > 50 else 99)
    wait_until(lambda: "stage_y" in session.mirror.statuses, "news has come")
    wait_until(lambda: session.mirror.statuses["stage_y"]["readback"]["moving"], "its motion is heard")
    with pytest.raises(KeyboardInterrupt):
        click()
    assert stop_after_cell(session) == "stage_y was stopped"
    with pytest.raises(jupyter_motorlock.CommandStopped):
        move.wait()
    assert stops(authority, "stage_y") == before + 1
    session.link.set_busy(False)


def test_where_the_signal_is_not_heard_the_end_of_the_cell_stops_what_moves(
    ann: Connection, stages: tuple[Handle, Handle], authority: Authority
) -> None:
    """NB-10"""
    _, y = stages
    session = ann.session
    move = y.start.move_to(1 if authority.status("stage_y")["readback"]["position"] > 50 else 99)
    wait_until(lambda: "stage_y" in session.mirror.statuses, "news has come")
    wait_until(lambda: session.mirror.statuses["stage_y"]["readback"]["moving"], "its motion is heard")
    assert stop_after_cell(session) == "stage_y was stopped"
    with pytest.raises(jupyter_motorlock.CommandStopped):
        move.wait()


def test_an_interrupted_read_stops_nothing_that_rests_and_an_interrupted_move_always(
    ann: Connection, stages: tuple[Handle, Handle], authority: Authority
) -> None:
    """NB-10 NB-65"""
    session = ann.session
    commands = session.commands("stage_x")
    for name, ended, more in (
        ("position", "You interrupted position of stage_x; nothing was moving.", 0),
        ("move_to", "You interrupted move_to of stage_x; stage_x was stopped.", 1),
    ):
        before = stops(authority, "stage_x")
        with (
            pytest.raises(Interrupted) as interrupted,
            CommandCall(session, "stage_x", commands[name], {}).stopped_by_interrupt(),
        ):
            raise KeyboardInterrupt
        assert str(interrupted.value) == ended
        assert stops(authority, "stage_x") == before + more

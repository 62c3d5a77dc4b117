"""Interrupt and STOP end what a cell does with a motor: loops that catch errors, threads, tasks; in real kernels."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from front import Front
from real_lab import PATIENCE_S, Authority, Person
from typed import Notebook, wait_until

SCAN = """
for point in range(30, 40):
    try:
        x.move_to(point * 2)
    except Exception as error:
        print("caught", error)
"""


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def ann(fresh_notebook: Notebook) -> Notebook:
    assert fresh_notebook.run("x, y = %motor_login stage_x stage_y --no-panel").status == "ok"
    assert fresh_notebook.run("import asyncio, threading, time\nx.move_to(0); y.move_to(0)").status == "ok"
    return fresh_notebook


def is_moving(authority: Authority, name: str = "stage_x") -> bool:
    return bool(authority.status(name)["readback"]["moving"])


def position(authority: Authority, name: str = "stage_x") -> float:
    return float(authority.status(name)["readback"]["position"])


def interrupt_in_mid_move(ann: Notebook, authority: Authority, cell: str, *names: str) -> str:
    """Start `cell`, interrupt it when all of `names` move, and return the cell that was started."""
    started = ann.start(cell)
    for name in names or ("stage_x",):
        wait_until(lambda name=name: is_moving(authority, name), f"{name} moves")  # type: ignore[misc]
    ann.interrupt()
    return started


def stops(authority: Authority, name: str) -> int:
    """How often it was stopped since the newest login."""
    newest_first = [event["event"] for event in reversed(authority.events(name))]
    return newest_first[: newest_first.index("lock_acquired")].count("stopped")


def test_an_interrupt_ends_a_scan_that_goes_on_after_errors(ann: Notebook, authority: Authority) -> None:
    """NB-65"""
    out = ann.finish(interrupt_in_mid_move(ann, authority, SCAN))
    assert out.error == "Interrupted: You interrupted move_to of stage_x; stage_x was stopped."
    assert "caught" not in out.stdout
    assert not is_moving(authority)
    assert position(authority) < 60


def test_an_interrupted_move_is_caught_as_an_interrupt_is(ann: Notebook, authority: Authority) -> None:
    """NB-65"""
    cell = "try:\n    x.move_to(90)\nexcept KeyboardInterrupt as stopped:\n    print('told:', stopped)"
    out = ann.finish(interrupt_in_mid_move(ann, authority, cell))
    assert (out.status, out.stdout) == ("ok", "told: You interrupted move_to of stage_x; stage_x was stopped.\n")


def test_what_a_cell_moves_after_an_interrupt_is_told_and_ended_by_a_second_one(
    ann: Notebook, authority: Authority
) -> None:
    """NB-66"""
    cell = "try:\n    x.move_to(90)\nfinally:\n    y.move_to(80)"
    started = interrupt_in_mid_move(ann, authority, cell)
    wait_until(lambda: is_moving(authority, "stage_y"), "stage_y moves")
    ann.interrupt()
    out = ann.finish(started)
    assert out.stderr == "After your interrupt move_to of stage_y begins; interrupt again, or press STOP, to end it.\n"
    assert "You interrupted move_to of stage_y; stage_y was stopped." in out.error
    assert not is_moving(authority, "stage_y")
    assert ann.run("x.move_to(1)").stderr == ""


THREADS = {
    "a task that waits for a thread": "await asyncio.to_thread(x.move_to, 90)",
    "two tasks": "await asyncio.gather(asyncio.to_thread(x.move_to, 90), asyncio.to_thread(y.move_to, 90))",
    "a pool's thread": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as pool:\n"
        "    ran = [pool.submit(stage.move_to, 90) for stage in (x, y)]\n"
        "    while not all(one.done() for one in ran): time.sleep(0.02)"
    ),
    "a thread that goes on after errors": (
        "def scan():\n"
        "    for point in range(40, 50):\n"
        "        try: x.move_to(point * 2)\n"
        "        except Exception as error: print('caught', error)\n"
        "thread = threading.Thread(target=scan)\n"
        "thread.start()\n"
        "while thread.is_alive(): time.sleep(0.05)"
    ),
}


@pytest.mark.parametrize("kind", THREADS)
def test_an_interrupt_stops_at_once_what_other_threads_move(ann: Notebook, authority: Authority, kind: str) -> None:
    """NB-67"""
    cell = THREADS[kind] + "\nprint('it ran to its end')"
    out = ann.finish(interrupt_in_mid_move(ann, authority, cell, *(["stage_x", "stage_y"] if "y.m" in cell else [])))
    for name in ("stage_x", "stage_y"):
        assert position(authority, name) < 80
        assert not is_moving(authority, name)
        assert stops(authority, name) <= 1
    assert out.status == "error"
    assert "ran to its end" not in out.stdout
    assert "caught" not in out.stdout
    assert ann.run("print(x.position())").status == "ok"  # the kernel lives


def test_an_interrupt_stops_what_was_sent_and_not_waited_for_at_once(ann: Notebook, authority: Authority) -> None:
    """NB-67"""
    cell = (
        "%motor stage_x move_to 90 --no-wait\n"
        "print('sent', flush=True)\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('swallowed')\n"
        "print(x.lock['running'])"
    )
    started = ann.start(cell)
    ann.wait_for_text(started, "sent")
    wait_until(lambda: is_moving(authority), "stage_x moves")
    ann.interrupt()
    out = ann.finish(started)
    wait_until(lambda: not is_moving(authority), "it is stopped although the cell swallowed the interrupt")
    assert "swallowed" in out.stdout
    assert position(authority) < 80
    assert stops(authority, "stage_x") == 1


def test_somebodys_stop_keeps_a_scan_that_goes_on_after_errors_where_it_is(
    ann: Notebook, authority: Authority, bob: Person
) -> None:
    """STOP-6 NB-65"""
    started = ann.start(SCAN)
    wait_until(lambda: is_moving(authority), "stage_x moves")
    bob.stop("cable")
    out = ann.finish(started)
    said = [line for line in out.stdout.splitlines() if line.startswith("caught")]
    assert len(said) == 10
    assert said[0].startswith("caught Bob stopped stage_x (stopped at ")
    assert all("Bob stopped stage_x" in line and "resume it" in line for line in said[1:])
    assert position(authority) < 60


SCAN_WITH_PAUSES = """
for point in range(1, 10):
    try:
        time.sleep({pause})
        x.move_to(point * 9)
        print("arrived", flush=True)
    except Exception as error:
        print("caught", error)
"""


@pytest.mark.parametrize("pause", [0, 2])
def test_stop_in_ones_own_panel_ends_a_scan_that_goes_on_after_errors(
    fresh_notebook: Notebook, authority: Authority, pause: float
) -> None:
    """NB-68"""
    front = Front(fresh_notebook.kernel)
    front.run("x = %motor_login stage_x\nimport time\nx.move_to(0)")
    subshell = front.subshell()
    front.settle()
    started = front.start(SCAN_WITH_PAUSES.format(pause=pause))
    if pause:
        front.until(lambda: "arrived" in front.printed, "a pause")
    else:
        wait_until(lambda: is_moving(authority), "stage_x moves")
    front.click("STOP", subshell=subshell)
    with pytest.raises(AssertionError, match="You pressed STOP"):
        front.finish(started)
    front.settle()  # until the cell is over, the kernel drops what is sent behind it
    assert "caught" not in front.printed
    assert position(authority) < 30
    front.run("x.move_to(1)")


SCRIPT = """
import asyncio, sys, jupyter_motorlock

async def main():
    await asyncio.to_thread(stage.move_to, 90)

with jupyter_motorlock.connect(sys.argv[1], user="ann").lock("stage_x") as stage:
    asyncio.run(main())
"""


def test_an_interrupt_of_a_script_of_tasks_stops_the_motor_at_once(authority: Authority) -> None:
    """NB-67"""
    script = subprocess.Popen([sys.executable, "-c", SCRIPT, authority.url], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: is_moving(authority), "stage_x moves")
        script.send_signal(signal.SIGINT)
        _, said = script.communicate(timeout=PATIENCE_S)
    finally:
        script.kill()
        script.wait()
    assert "KeyboardInterrupt" in said
    assert position(authority) < 80
    assert authority.status()["state"] == "free"

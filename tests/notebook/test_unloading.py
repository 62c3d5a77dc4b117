"""What the extension brings into a kernel, it takes away again, whatever the kernel held or waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import pytest
from real_lab import Authority, Kernel, Person
from typed import Notebook, wait_until

LOAD = "%load_ext jupyter_motorlock"
TRACES = """
import os, pathlib, signal, sys, threading
import comm, ipywidgets, psutil

def traces():
    "What an extension could leave in this kernel."
    ip = get_ipython()
    connection = pathlib.Path(ip.kernel.parent.abs_connection_file)
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "processes": [child.pid for child in psutil.Process().children(recursive=True)],
        "connections": [one for one in psutil.Process().net_connections() if one.raddr and one.raddr.port == PORT],
        "pipes": sum(os.path.realpath(f"/proc/self/fd/{fd}").rpartition("/")[2][:5] == "pipe:" for fd in range(300)),
        "hooks": {event: [str(hook) for hook in hooks] for event, hooks in ip.events.callbacks.items()},
        "magics": {kind: sorted(names) for kind, names in ip.magics_manager.magics.items()},
        "registry": sorted(ip.magics_manager.registry),
        "matchers": [str(matcher) for matcher in ip.Completer.custom_matchers],
        "configurables": [type(one).__name__ for one in ip.configurables],
        "widgets": sorted(ipywidgets.widgets.widget._instances),
        "comms": sorted(comm.get_comm_manager().comms),
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)],
        "files": sorted(file.name for file in connection.parent.glob(f".{connection.name}.motorlock*")),
    }

def new():
    "What is there now and was not before."
    return {what: [before[what], now] for what, now in traces().items() if now != before[what]}
"""


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def ann(one_notebook: Notebook, authority: Authority) -> Iterator[Notebook]:
    """A kernel that has had the extension once, with panel and login: what Python and its libraries keep is there."""
    notebook = one_notebook
    notebook.run(LOAD)
    notebook.value("stage = %motor_login stage_x")
    notebook.value("%unload_ext jupyter_motorlock")
    notebook.value(f"PORT = {authority.url.rpartition(':')[2]}\n{TRACES}\nbefore = traces()")
    notebook.value(LOAD)
    yield notebook
    notebook.run("%unload_ext jupyter_motorlock")


def wait_for_no_trace(ann: Notebook) -> None:
    with suppress(AssertionError):  # what is left then says more
        wait_until(lambda: ann.value("new()") == "{}", "nothing to be left")
    assert ann.value("new()") == "{}"


CASES: dict[str, str] = {
    "nothing": "pass",
    "asked only": "%motor_status",
    "held": "stage = %motor_login stage_x",
    "two held, three panels": "x, y = %motor_login stage_x stage_y\n%motor_panel stage_x\n%motor_panel ps_abc123",
    "watching": "%motor_login stage_x --watch",
    "lent to a script": "from jupyter_motorlock import kernel_session\nkernel_session().acquire('stage_x')",
}


@pytest.mark.parametrize("case", CASES)
def test_unloading_leaves_nothing_behind(ann: Notebook, authority: Authority, case: str) -> None:
    """NB-22"""
    ann.value(CASES[case])
    ann.value("%unload_ext jupyter_motorlock")
    wait_for_no_trace(ann)
    assert authority.call("GET", "/locks/sessions")["count"] == 0
    assert authority.status()["state"] == "free"
    assert ann.run("%motor_status").status == "error"


def test_unloading_while_waiting_leaves_the_queue_and_nothing_behind(
    ann: Notebook, authority: Authority, bob: Person
) -> None:
    """NB-22"""
    bob.acquire()
    ann.value('%motor_ask stage_x "five minutes"')
    ann.value("%motor_panel stage_x")
    assert authority.status()["queue_length"] == 1
    ann.value("%unload_ext jupyter_motorlock")
    assert authority.status()["queue_length"] == 0
    wait_for_no_trace(ann)


def test_unloading_while_no_authority_answers_leaves_only_who_tells_it(ann: Notebook, authority: Authority) -> None:
    """NB-22"""
    ann.value("stage = %motor_login stage_x")
    keeper = psutil.Process(ann.kernel.keeper_pid)
    authority.end()
    try:
        ann.value("%unload_ext jupyter_motorlock")
        assert keeper.is_running()
    finally:
        authority.start()
    wait_until(lambda: authority.status()["state"] == "free", "the keeper to tell the authority")
    wait_until(lambda: ann.value("psutil.Process().children() and psutil.Process().children()[0].status()") in
               ("[]", "'zombie'"), "the keeper to end")  # fmt: skip


def test_reloading_leaves_one_of_everything_and_can_log_in_again(ann: Notebook, authority: Authority) -> None:
    """NB-22"""
    ann.value("once = traces()")
    ann.value("stage = %motor_login stage_x")
    for _ in range(2):
        ann.value("%reload_ext jupyter_motorlock")
    differs = "{k for k, v in traces().items() if v != once[k]} - {'hooks', 'matchers'}"
    wait_until(lambda: ann.value(differs) == "set()", f"one of everything, and not {ann.value('traces(), once')}")
    assert ann.value(
        "{k: len(v) for k, v in traces()['hooks'].items()} == {k: len(v) for k, v in once['hooks'].items()}"
    )
    assert authority.status()["state"] == "free"
    ann.value("stage = %motor_login stage_x --no-panel")
    assert ann.value("stage.move_to(0.25)") == "0.25 mm"
    assert ann.kernel.keeper_pid


def test_the_name_that_people_try_first_loads_it_too(kernel: Kernel) -> None:
    """NB-93"""
    ann = Notebook(kernel, load=False)
    assert ann.run("%load_ext motorlock").status == "ok"
    assert "stage_x is free." in ann.run("%motor_status").stdout
    assert ann.run("%unload_ext motorlock").status == "ok"
    assert "not found" in ann.run("%motor_status").stderr

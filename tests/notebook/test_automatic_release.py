"""A kernel that ends, however it ends, gives its locks back; one that lives keeps them, whatever it suffers.

Real kernels, real signals. Each test prints what it measured; nothing depends on the number.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import pytest
from real_lab import PATIENCE_S, Authority, Kernel, KernelError, Person, Wire, Witness
from typed import wait_until

LOGIN = """
import os, signal, sys, time
from jupyter_motorlock.client.session import KernelSession
session = KernelSession()
session.acquire("stage_x", note="overnight scan")
session.session_id
"""
# From Python 3.12 on it warns that a kernel has threads.
FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
forked = {fork}
if forked == 0:
    time.sleep(60)
    os._exit(0)
forked
"""
PYTHONS_FORK = FORK.format(fork="os.fork()")
A_LIBRARYS_FORK = FORK.format(fork="__import__('ctypes').PyDLL(None).fork()")  # runs none of Python's fork hooks
KEEPER = "the kernel's process ended"
ATEXIT = "the kernel was shut down or restarted"
SIGTERM = "the kernel was terminated (SIGTERM)"
STILL_OURS = 'session.command("stage_x", "position", {}); session.mirror.held()["stage_x"]["fence"]'
SHORT_LEASE = {"MOTORLOCK_LEASE_SECONDS": "1.5"}


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture(autouse=True)
def bob(authority: Authority) -> Iterator[Person]:
    """Somebody else; he leaves before the next test, in which the stage is free again."""
    somebody = authority.person("bob")
    yield somebody
    somebody.leave()


@pytest.fixture
def forks() -> Iterator[list[int]]:
    """Process ids to kill at the end."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def login(kernel: Kernel) -> str:
    """Log the kernel in and return its session's id."""
    return kernel.run(LOGIN).strip("'")


def freed(witness: Witness, since: float, session_id: str) -> str:
    """Wait until the lock of the session has ended, print how long that took, and return why or who said so."""
    at, event = witness.wait_for("lock_expired", since=since, session_id=session_id)
    print(f"freed after {1000 * (at - since):.0f} ms ({event['why']}: {event['reason']})")
    return str(event["reason"] if event["why"] == "gone" else event["why"])


# Endings


def test_shutdown_frees_the_lock(kernel: Kernel, witness: Witness) -> None:
    session_id, start = login(kernel), time.monotonic()
    kernel.manager.shutdown_kernel()
    assert freed(witness, start, session_id) == ATEXIT


def test_shutdown_frees_the_lock_when_a_child_of_the_user_may_keep_the_exit_hooks_from_running(
    kernel: Kernel, witness: Witness
) -> None:
    session_id = login(kernel)
    kernel.run("import subprocess; child = subprocess.Popen(['sleep', '60'])")
    start = time.monotonic()
    kernel.manager.shutdown_kernel()
    # ipykernel ends its children and itself with SIGTERM then, or is done before it: either is told.
    assert freed(witness, start, session_id) in {ATEXIT, SIGTERM}


def test_restart_frees_the_lock_and_the_new_kernel_can_take_it(kernel: Kernel, witness: Witness) -> None:
    session_id, start = login(kernel), time.monotonic()
    kernel.restart()
    assert freed(witness, start, session_id) == ATEXIT
    assert login(kernel) != session_id


def test_exit_of_the_process_from_a_cell_frees_the_lock(kernel: Kernel, witness: Witness) -> None:
    session_id, start = login(kernel), time.monotonic()
    kernel.start("os._exit(1)")
    assert freed(witness, start, session_id) == KEEPER


@pytest.mark.parametrize(("how", "who"), [(signal.SIGTERM, SIGTERM), (signal.SIGKILL, KEEPER)])
def test_a_signal_that_ends_the_kernel_frees_the_lock(
    kernel: Kernel, witness: Witness, how: signal.Signals, who: str
) -> None:
    session_id, start = login(kernel), time.monotonic()
    os.kill(kernel.pid, how)
    assert freed(witness, start, session_id) == who
    wait_for_end(kernel)


def wait_for_end(kernel: Kernel) -> None:
    """Wait for the end of the kernel's process."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(kernel.pid).wait(PATIENCE_S)


def test_sigterm_frees_the_lock_while_a_cell_runs(kernel: Kernel, witness: Witness) -> None:
    session_id = login(kernel)
    kernel.start("time.sleep(60)")
    start = time.monotonic()
    os.kill(kernel.pid, signal.SIGTERM)
    assert freed(witness, start, session_id) == SIGTERM


def test_a_kill_of_the_kernels_process_group_frees_the_lock(kernel: Kernel, witness: Witness) -> None:
    session_id, start = login(kernel), time.monotonic()
    os.killpg(os.getpgid(kernel.pid), signal.SIGKILL)
    assert freed(witness, start, session_id) == KEEPER


@pytest.mark.parametrize("fork", [PYTHONS_FORK, A_LIBRARYS_FORK], ids=["Python's", "a library's"])
def test_a_kill_frees_the_lock_although_a_forked_child_lives(
    kernel: Kernel, witness: Witness, forks: list[int], fork: str
) -> None:
    """NB-18"""
    session_id = login(kernel)
    forks.append(int(kernel.run(fork)))
    start = time.monotonic()
    os.kill(kernel.pid, signal.SIGKILL)
    assert freed(witness, start, session_id) == KEEPER
    assert psutil.pid_exists(forks[0])


def test_when_kernel_and_keeper_are_killed_together_the_closed_connections_free_the_lock(
    kernel: Kernel, witness: Witness, forks: list[int]
) -> None:
    session_id = login(kernel)
    forks.append(int(kernel.run(PYTHONS_FORK)))
    keeper, start = kernel.keeper_pid, time.monotonic()
    os.kill(keeper, signal.SIGSTOP)  # else it may outlive the kernel by the moment it needs to tell
    os.kill(kernel.pid, signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    assert freed(witness, start, session_id) == "connections_lost"


def test_a_moving_motor_is_stopped_before_the_next_in_the_queue_is_granted(
    kernel: Kernel, witness: Witness, authority: Authority, bob: Person
) -> None:
    login(kernel)
    kernel.start('session.command("stage_x", "move_to", {"position": 100.0})')
    _, started = witness.wait_for("command_started")
    assert bob.acquire(wait=True)["status"] == "queued"
    start = time.monotonic()
    os.kill(kernel.pid, signal.SIGKILL)
    granted_at, granted = witness.wait_for("lock_acquired", since=start, session_id=bob.session_id)
    print(f"granted to the next after {1000 * (granted_at - start):.0f} ms, at rest")
    happened = [event for event in authority.events() if event["seq"] <= granted["seq"]]
    names = [event["event"] for event in happened if event["seq"] >= started["seq"]]
    assert names.index("lock_draining") < names.index("stopped") < names.index("lock_expired")
    assert names[-1] == "lock_acquired"
    assert "command_finished" in names
    first, second = authority.status()["readback"], authority.status()["readback"]
    assert first["position"] == second["position"] < 100.0
    assert not first["moving"]


# Lives


def test_an_interrupt_keeps_the_lock(kernel: Kernel, witness: Witness) -> None:
    login(kernel)
    fence = kernel.run(STILL_OURS)
    running = kernel.start("print('running', flush=True); time.sleep(60)")
    kernel.wait_for_output(running)
    kernel.manager.interrupt_kernel()
    with pytest.raises(KernelError, match="KeyboardInterrupt"):
        kernel.finish(running)
    assert kernel.run(STILL_OURS) == fence
    assert "lock_expired" not in witness.names()


def test_a_forked_worker_that_is_terminated_does_not_speak_for_the_kernel(kernel: Kernel, witness: Witness) -> None:
    """NB-18"""
    login(kernel)
    fence = kernel.run(STILL_OURS)
    kernel.run("""
import multiprocessing
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
worker.start()
worker.terminate()
worker.join()
""")
    assert kernel.run(STILL_OURS) == fence
    assert "session_ended" not in witness.names()


def test_a_forked_child_that_exits_does_not_speak_for_its_parent(authority: Authority, witness: Witness) -> None:
    """NB-18"""
    script = (
        "import os, sys, jupyter_motorlock\n"
        f"stage = jupyter_motorlock.connect({authority.url!r}, user='ann').lock('stage_x')\n"
        "if (child := os.fork()) == 0: sys.exit()\n"  # its exit hooks run
        "os.waitpid(child, 0)\n"
        "stage.move_by(0.1)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE_S)
    _, ended = witness.wait_for("lock_expired")
    assert ended["reason"] == ATEXIT
    assert witness.names().index("command_finished") < witness.names().index("lock_expired")


def test_a_kernel_that_cannot_run_python_for_ten_seconds_keeps_the_lock_although_somebody_waits(
    start_kernel: Callable[..., Kernel], witness: Witness, bob: Person
) -> None:
    kernel = start_kernel(**SHORT_LEASE)
    login(kernel)
    fence = kernel.run(STILL_OURS)
    bob.acquire(wait=True)
    start = time.monotonic()
    kernel.run("import ctypes; ctypes.PyDLL(None).sleep(10)")  # PyDLL: does not let go of the interpreter
    assert kernel.run(STILL_OURS) == fence
    print(f"held for {time.monotonic() - start:.1f} s without the interpreter")
    assert "session_suspect" not in witness.names()


def test_a_stopped_keeper_holds_no_cell_up_and_knows_the_last_state_when_it_goes_on(
    kernel: Kernel, authority: Authority
) -> None:
    """NB-19 LIVE-21"""
    kernel.run("%load_ext jupyter_motorlock\n%motor_login stage_x --no-panel")
    keeper = kernel.keeper_pid
    os.kill(keeper, signal.SIGSTOP)
    cells = "for _ in range(3000): get_ipython().run_cell('pass', store_history=False)"  # more than a pipe takes
    kernel.run(cells)
    os.kill(keeper, signal.SIGCONT)
    assert kernel.keeper_pid == keeper
    wait_until(lambda: not authority.status()["holder"]["busy"], "the keeper to know that the kernel is idle")


def test_a_killed_keeper_is_replaced(kernel: Kernel, witness: Witness, authority: Authority) -> None:
    """LIVE-21"""
    session_id, first = login(kernel), kernel.keeper_pid
    os.kill(first, signal.SIGKILL)
    start = time.monotonic()
    authority.person("bob")  # any push, at the latest the sign of life, is an occasion to look after the keeper
    kernel.run(f"""
import psutil
def keepers():
    found = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE and p.pid != {first}]
    return [p for p in found if any(word.endswith("keeper.py") for word in p.cmdline())]  # it runs, after the fork
while not keepers():
    time.sleep(0.02)
""")
    print(f"replaced after {time.monotonic() - start:.1f} s")
    assert kernel.keeper_pid != first
    start = time.monotonic()
    os.kill(kernel.pid, signal.SIGKILL)
    assert freed(witness, start, session_id) == KEEPER


# Silence


class Silence:
    """A way to silence a kernel and its keeper, and to let them speak again."""

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.begin, self.end = begin, end


@pytest.fixture(params=["suspended", "network cut"])
def silenced(request: pytest.FixtureRequest, wire: Wire, start_kernel: Callable[..., Kernel]) -> tuple[Kernel, Silence]:
    """A kernel with a short lease, and a way to silence it together with its keeper."""
    if request.param == "network cut":
        return start_kernel(MOTORLOCK_URL=wire.url, **SHORT_LEASE), Silence(wire.cut, wire.mend)
    kernel = start_kernel(**SHORT_LEASE)

    def signal_both(what: signal.Signals) -> None:
        for pid in (kernel.keeper_pid, kernel.pid):
            os.kill(pid, what)

    return kernel, Silence(lambda: signal_both(signal.SIGSTOP), lambda: signal_both(signal.SIGCONT))


def test_a_silent_kernel_keeps_its_lock_while_nobody_waits_and_goes_on_under_the_same_fence(
    silenced: tuple[Kernel, Silence], witness: Witness, authority: Authority
) -> None:
    kernel, silence = silenced
    session_id = login(kernel)
    fence, start = kernel.run(STILL_OURS), time.monotonic()
    silence.begin()
    suspect_at, _ = witness.wait_for("session_suspect", session_id=session_id)
    assert authority.status()["holder"]["suspect"]
    assert authority.status()["session_id"] == session_id
    again = time.monotonic()
    silence.end()
    resumed_at, _ = witness.wait_for("session_resumed", session_id=session_id)
    print(f"suspect after {suspect_at - start:.1f} s, resumed {1000 * (resumed_at - again):.0f} ms after it spoke")
    assert kernel.run(STILL_OURS) == fence
    assert "lock_expired" not in witness.names()


def test_a_silent_kernel_loses_its_lock_to_one_who_waits_and_is_told(
    silenced: tuple[Kernel, Silence], witness: Witness, bob: Person
) -> None:
    kernel, silence = silenced
    session_id = login(kernel)
    assert bob.acquire(wait=True)["status"] == "queued"
    start = time.monotonic()
    silence.begin()
    assert freed(witness, start, session_id) == "silence"
    witness.wait_for("lock_acquired", session_id=bob.session_id)
    silence.end()
    witness.wait_for("session_resumed", session_id=session_id)
    with pytest.raises(KernelError, match="LockLost"):
        kernel.run('session.command("stage_x", "move_to", {"position": 1.0})')
    assert "nothing was heard of the kernel" in kernel.run("""
while not (notices := session.mirror.take_notices()):
    time.sleep(0.05)
notices[0]
""")

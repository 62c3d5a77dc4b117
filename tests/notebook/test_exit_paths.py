"""Every way in which a kernel ends frees its lock, and what is no end does not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import pytest
from exit_paths import A_FORK, EXITS, EXITS_AT_SIGTERM, LOGIN, Exit
from real_lab import Authority, Kernel, Witness
from served import ServedKernel, Server
from typed import Notebook, wait_until

HERE = [
    pytest.param(path, id=path.name, marks=[pytest.mark.slow] if path.slow else []) for path in EXITS if not path.served
]
SERVED = [path for path in EXITS if path.served]


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def forks() -> Iterator[Callable[[Kernel], None]]:
    """Note the forks of a kernel, which live on; they are killed at the end."""
    found: list[psutil.Process] = []

    def note(kernel: Kernel) -> None:
        found.extend(child for child in psutil.Process(kernel.pid).children() if "ipykernel" in str(child.cmdline()))

    yield note
    for fork in found:
        fork.kill()


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> Iterator[Server]:
    """A Jupyter server; its kernels end with it or before it."""
    running = Server(tmp_path, MOTORLOCK_URL=authority.url, MOTORLOCK_USER="ann")
    yield running
    running.end()


@pytest.mark.parametrize("path", HERE)
def test_the_lock_of_a_kernel_that_ends_is_freed(
    kernel: Kernel, authority: Authority, witness: Witness, forks: Callable[[Kernel], None], path: Exit
) -> None:
    """NB-17 LIVE-2"""
    path.prepare(kernel)
    forks(kernel)
    took_ms, by = path.measure(kernel, authority, witness)
    print(f"{path.name}: freed after {took_ms:.0f} ms by {by!r}; the prototype took {path.prototype_ms:g} ms")
    assert by in path.by


@pytest.mark.slow
@pytest.mark.parametrize("path", SERVED, ids=lambda path: path.name)
def test_the_lock_of_a_kernel_under_a_jupyter_server_is_freed_when_either_ends(
    server: Server, authority: Authority, witness: Witness, path: Exit
) -> None:
    """NB-17 LIVE-2"""
    kernel = server.start_kernel()
    path.prepare(kernel)
    took_ms, by = path.measure(kernel, authority, witness)
    print(f"{path.name}: freed after {took_ms:.0f} ms by {by!r}; the prototype took {path.prototype_ms:g} ms")
    kernel.end()
    assert by in path.by


@pytest.mark.slow
@pytest.mark.parametrize("end", ["crash", "quit"])
def test_a_kernel_that_a_jupyter_server_starts_again_under_its_id_says_what_became_of_its_lock(
    server: Server, authority: Authority, end: str
) -> None:
    """NB-60 NB-17"""
    kernel: ServedKernel = server.start_kernel()
    kernel.run(LOGIN)
    if end == "crash":
        os.kill(kernel.pid, signal.SIGKILL)
    else:
        kernel.start("quit")
    kernel.again()
    assert server.kernels() == [kernel.id]
    assert authority.status()["state"] == "free"
    said = kernel.run("%load_ext jupyter_motorlock\n%motor_status stage_x")
    kernel.end()
    assert said.startswith("This kernel was restarted: your lock on stage_x ended at ")


@pytest.mark.slow
def test_a_kernel_that_a_jupyter_server_culls_frees_its_lock(
    authority: Authority, witness: Witness, tmp_path: Path
) -> None:
    """NB-17 NB-14"""
    cull = ["--MappingKernelManager.cull_idle_timeout=3", "--MappingKernelManager.cull_interval=1"]
    server = Server(tmp_path, *cull, MOTORLOCK_URL=authority.url)
    try:
        kernel = server.start_kernel()
        kernel.run(LOGIN)
        session_id = authority.status()["session_id"]
        witness.wait_for("lock_expired", session_id=session_id)
        wait_until(lambda: server.kernels() == [], "the kernel to be culled")
        kernel.end()
    finally:
        server.end()


# What is no end

LIVES = {
    "a cell calls sys.exit": "import sys\nsys.exit(0)",
    "a cell forks, and the child exits": A_FORK,
    "SIGTERM is answered by a handler of the user's that exits, in a cell, which IPython goes on after": (
        f"{EXITS_AT_SIGTERM}\nimport os\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(1)"
    ),
    "a child of the user's is killed": "import subprocess\nc = subprocess.Popen(['sleep', '60'])\nc.kill()\nc.wait()",
}


@pytest.mark.parametrize("life", LIVES)
def test_a_kernel_that_lives_on_keeps_its_lock(
    kernel: Kernel, authority: Authority, witness: Witness, forks: Callable[[Kernel], None], life: str
) -> None:
    """NB-17 NB-18"""
    ann = Notebook(kernel, load=False)
    ann.value(LOGIN)
    mine = authority.status()["session_id"]
    ann.run(LIVES[life])
    forks(kernel)
    assert ann.value("%motor stage_x move_to 0.25") == "0.25 mm"
    assert authority.status()["session_id"] == mine
    assert "lock_expired" not in witness.names()


def test_an_interrupt_of_an_idle_kernel_keeps_its_lock(kernel: Kernel, authority: Authority, witness: Witness) -> None:
    """NB-11"""
    kernel.run(LOGIN)
    kernel.manager.interrupt_kernel()
    wait_until(lambda: authority.status()["state"] == "held", "the status")
    assert kernel.run("1 + 1") == "2"
    assert "lock_expired" not in witness.names()

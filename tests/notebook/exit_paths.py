"""The ways in which a kernel ends, and what frees its lock then: one table for the tests and for the benchmark.

The figures are those of a prototype: how long after the beginning of the end the lock was free.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
from real_lab import Authority, Kernel, Witness
from served import ServedKernel
from typed import wait_until

ATEXIT = "the kernel was shut down or restarted"
SIGTERM = "the kernel was terminated (SIGTERM)"
KEEPER = "the kernel's process ended"
LOGIN = "%load_ext jupyter_motorlock\n%motor_login stage_x --no-panel"
# A file, because output is sent by threads that a busy cell may keep waiting.
RUNNING = "import os, pathlib, signal, subprocess, sys, threading, time; pathlib.Path({!r}).touch(); "


@dataclass(frozen=True)
class Exit:
    """One way: `before` is run, `busy` goes on while `begin` begins the end; `by` is who may have told of it."""

    name: str
    begin: Callable[[Kernel], object]
    by: tuple[str, ...]
    prototype_ms: float
    before: str = "import os, signal, subprocess, sys, threading, time"
    busy: str = ""
    served: bool = False
    slow: bool = False

    def prepare(self, kernel: Kernel) -> None:
        """Log the kernel in, and let it do what it does when its end begins."""
        kernel.run(LOGIN)
        wait_until(psutil.Process(kernel.keeper_pid).net_connections, "the keeper to be there")
        kernel.run(self.before)
        if self.busy:
            with tempfile.TemporaryDirectory() as where:
                running = Path(where) / "running"
                kernel.start(RUNNING.format(str(running)) + self.busy)
                wait_until(running.exists, "the cell to run")

    def measure(self, kernel: Kernel, authority: Authority, witness: Witness) -> tuple[float, str]:
        """End the kernel; return after how many milliseconds its lock was free, and who told."""
        session_id, start = authority.status()["session_id"], time.monotonic()
        self.begin(kernel)
        at, event = witness.wait_for("lock_expired", since=start, session_id=session_id)
        return 1000 * (at - start), str(event["reason"] if event["why"] == "gone" else event["why"])


def shut_down(kernel: Kernel) -> None:
    """As the menu does: interrupt, ask, terminate after 2.5 s, kill after 5 s."""
    kernel.manager.shutdown_kernel()


def only_ask(kernel: Kernel) -> None:
    """Ask on the control channel, and do nothing else."""
    kernel.client.control_channel.send(kernel.client.session.msg("shutdown_request", {"restart": False}))


def kill_now(kernel: Kernel) -> None:
    """As a crashed kernel is ended, and as nbval ends one."""
    kernel.manager.shutdown_kernel(now=True)


def restart_now(kernel: Kernel) -> None:
    """As a crashed kernel is replaced."""
    kernel.manager.restart_kernel(now=True)


def cell(code: str) -> Callable[[Kernel], object]:
    """Run a cell."""
    return lambda kernel: kernel.start(code)


def send(how: signal.Signals) -> Callable[[Kernel], object]:
    """Send the kernel a signal."""
    return lambda kernel: os.kill(kernel.pid, how)


def kill_group(kernel: Kernel) -> None:
    """Kill the kernel's process group."""
    os.killpg(os.getpgid(kernel.pid), signal.SIGKILL)


def end_server(how: signal.Signals) -> Callable[[Kernel], object]:
    """Send the kernel's server a signal."""

    def end(kernel: Kernel) -> None:
        assert isinstance(kernel, ServedKernel)
        kernel.server.process.send_signal(how)

    return end


DEAF = "\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass"
SLEEPS = "time.sleep(60)"
HOLDS_THE_INTERPRETER = "sum(range(10**11))"
EXITS_AT_SIGTERM = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit())"
A_THREAD = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
A_POOL = (
    "import time; from concurrent.futures import ThreadPoolExecutor; "
    "pool = ThreadPoolExecutor(1); work = pool.submit(time.sleep, 60)"
)
A_CHILD = "import subprocess; child = subprocess.Popen(['sleep', '60'])"
A_FORK = "import os, sys, time\nif os.fork() == 0:\n    sys.exit()"  # IPython swallows it: a second kernel
TIDY = ATEXIT, SIGTERM  # which of them comes first is ipykernel's affair

EXITS = (
    Exit("shutdown", shut_down, (ATEXIT,), 6),
    Exit("restart", lambda kernel: kernel.restart(), (ATEXIT,), 7),
    Exit("shutdown while a cell sleeps", shut_down, (ATEXIT,), 67, busy=SLEEPS),
    Exit("shutdown asked for without an interrupt, 2 s before the cell's end", only_ask, (ATEXIT,), 2000,
         busy="time.sleep(2)"),
    Exit("shutdown while a cell swallows the interrupt", shut_down, (SIGTERM,), 2505, busy=DEAF),
    Exit("shutdown while a cell holds the interpreter", shut_down, (KEEPER,), 5009, busy=HOLDS_THE_INTERPRETER,
         slow=True),
    Exit("shutdown with a child of the user's", shut_down, TIDY, 2507, before=A_CHILD),
    Exit("shutdown with a thread that is no daemon", shut_down, (SIGTERM,), 2509, before=A_THREAD),
    Exit("shutdown with a busy thread pool", shut_down, (SIGTERM,), 2509, before=A_POOL, slow=True),
    Exit("shutdown with SIGKILL", kill_now, (KEEPER,), 12),
    Exit("restart with SIGKILL", restart_now, (KEEPER,), 12, slow=True),
    Exit("quit", cell("quit"), (ATEXIT,), 104),
    Exit("os._exit", cell("os._exit(1)"), (KEEPER,), 14),
    Exit("os.abort", cell("os.abort()"), (KEEPER,), 15, slow=True),
    Exit("segmentation fault", cell("__import__('ctypes').string_at(0)"), (KEEPER,), 11),
    Exit("SIGTERM", send(signal.SIGTERM), (SIGTERM,), 1),
    Exit("SIGTERM while a cell sleeps", send(signal.SIGTERM), (SIGTERM,), 2, busy=SLEEPS),
    Exit("SIGTERM, answered by a handler of the user's that exits", send(signal.SIGTERM), (ATEXIT,), 172,
         before=EXITS_AT_SIGTERM),
    Exit("SIGHUP", send(signal.SIGHUP), (KEEPER,), 10),
    Exit("SIGKILL", send(signal.SIGKILL), (KEEPER,), 11),
    Exit("SIGKILL while a cell holds the interpreter", send(signal.SIGKILL), (KEEPER,), 11,
         busy=HOLDS_THE_INTERPRETER),
    Exit("SIGKILL of the process group", kill_group, (KEEPER,), 10),
    Exit("SIGKILL of a kernel whose fork lives on as a second one", send(signal.SIGKILL), (KEEPER,), 9, before=A_FORK),
    Exit("crash under a Jupyter server", send(signal.SIGKILL), (KEEPER,), 7, served=True),
    Exit("SIGTERM of the Jupyter server", end_server(signal.SIGTERM), (ATEXIT,), 208, served=True),
    Exit("SIGKILL of the Jupyter server", end_server(signal.SIGKILL), (KEEPER,), 1000, served=True),
)  # fmt: skip

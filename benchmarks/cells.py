"""What a cell costs more while a lock is held: authority up, hanging, dead, and the keeper stopped, beside no lock."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from ast import literal_eval
from pathlib import Path
from statistics import median

import psutil

# The kernels and the authority are those of the notebook tests.
sys.path.append(str(Path(__file__).parents[1] / "tests" / "notebook"))

from real_lab import Authority, Kernel
from typed import Notebook

CELLS = 300
CLOCK = f"""
import time
shell, wall, own = get_ipython(), [], []
for _ in range({CELLS}):
    began, computed = time.perf_counter(), time.thread_time()
    shell.run_cell("pass", store_history=False)
    own.append(time.thread_time() - computed)
    wall.append(time.perf_counter() - began)
sorted(wall)[{CELLS // 2}], sorted(own)[{CELLS // 2}]
"""


def run(rounds: int) -> None:
    """Print for each state the median cell, its floor in a kernel without the extension, and the difference."""
    print(f"{'':<44} {'cell':>9} {'floor':>9} {'more':>9} {'computed':>9}     target")
    with tempfile.TemporaryDirectory(prefix="motorlock-bench-") as where, contextlib.ExitStack() as stack:
        authority = Authority(Path(where) / "data")
        env = {**os.environ, "MOTORLOCK_URL": authority.url, "IPYTHONDIR": where}
        kernel, bare = Kernel(env), Kernel(env)
        stack.callback(kernel.end)
        stack.callback(bare.end)
        holder = Notebook(kernel)
        row("extension loaded, no lock", holder, bare, rounds)
        holder.value("%motor_login stage_x")
        keeper = psutil.Process(kernel.keeper_pid)
        row("lock held, authority up, panel shown", holder, bare, rounds)
        keeper.suspend()
        row("... keeper stopped (its pipe fills)", holder, bare, rounds)
        keeper.resume()
        authority.process.send_signal(signal.SIGSTOP)
        row("... authority hanging", holder, bare, rounds)
        authority.process.send_signal(signal.SIGCONT)
        authority.end(signal.SIGKILL)
        row("... authority dead", holder, bare, rounds)
        authority.start()
        authority.end()


def row(what: str, holder: Notebook, bare: Kernel, rounds: int) -> None:
    """Measure both in turn and print the medians: on the clock, and of the processor in the kernel's main thread."""
    times = [(literal_eval(holder.value(CLOCK)), literal_eval(bare.run(CLOCK))) for _ in range(rounds)]
    more = [1e6 * median(ours[which] - floor[which] for ours, floor in times) for which in (0, 1)]
    wall = [1e6 * median(one[which][0] for one in times) for which in (0, 1)]
    print(f"{what:<44} {wall[0]:>9.0f} {wall[1]:>9.0f} {more[0]:>9.0f} {more[1]:>9.0f} us  < 100 us", flush=True)

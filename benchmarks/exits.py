"""How long after the beginning of a kernel's end its lock is free, on each of the paths that the tests know."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import psutil

# The paths, and the kernels and servers that go them, are those of the notebook tests.
sys.path.append(str(Path(__file__).parents[1] / "tests" / "notebook"))

from exit_paths import EXITS, Exit
from real_lab import Authority, Kernel, Witness
from served import Server


def run(rounds: int) -> None:
    """Print a row for each path: the median, the longest, and what the prototype took that the figures are set on."""
    print(f"{'':<72} {'freed':>7} {'longest':>7} {'prototype':>9} ms  by")
    with tempfile.TemporaryDirectory(prefix="motorlock-bench-") as where:
        place = Path(where)
        authority = Authority(place / "data")
        witness = Witness(authority.url)
        try:
            for number, path in enumerate(EXITS):
                took = [_measured(path, authority, witness, place / f"{number}-{i}") for i in range(rounds)]
                times, by = [ms for ms, _ in took], sorted({by for _, by in took})
                figures = f"{median(times):>7.0f} {max(times):>7.0f} {path.prototype_ms:>9.0f}"
                print(f"{path.name:<72} {figures}     {', '.join(by)}", flush=True)
        finally:
            witness.close()
            authority.end()


def _measured(path: Exit, authority: Authority, witness: Witness, place: Path) -> tuple[float, str]:
    ours = {"MOTORLOCK_URL": authority.url, "MOTORLOCK_USER": "ann"}
    if path.served:
        place.mkdir()
        server = Server(place, **ours)
        try:
            return _of(path, server.start_kernel(), authority, witness)
        finally:
            server.end()
    return _of(path, Kernel({**os.environ, **ours, "IPYTHONDIR": str(place)}), authority, witness)


def _of(path: Exit, kernel: Kernel, authority: Authority, witness: Witness) -> tuple[float, str]:
    forks: list[psutil.Process] = []
    try:
        path.prepare(kernel)
        forks = [child for child in psutil.Process(kernel.pid).children() if "ipykernel" in str(child.cmdline())]
        return path.measure(kernel, authority, witness)
    finally:
        for fork in forks:
            with contextlib.suppress(psutil.NoSuchProcess):
                fork.kill()
        kernel.end()

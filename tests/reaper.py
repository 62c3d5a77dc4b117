"""Ends every process that a test run has started, once the run itself has ended, however it did.

Each pytest process starts one reaper and adds a mark of its own to its environment, which all descendants inherit, also
those that detach themselves. When pytest is gone (`kill -9`, a failed fixture, or as usual) the reaper kills
whatever still bears the mark.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it

MARK = "TEST_RUNS"  # the marks of the pytest processes above, the innermost last
ROUNDS = 200


class Reaper:
    """The reaper of this process; with `folder`, it deletes that, too."""

    def __init__(self, folder: str | None = None) -> None:
        mark = uuid.uuid4().hex
        reading, lifeline = os.pipe()
        command = [sys.executable, __file__, mark, *([folder] if folder else [])]
        self._process = subprocess.Popen(
            command, stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(reading)
        self._lifeline = lifeline  # closed by the kernel at the latest, when this process is no more
        os.register_at_fork(after_in_child=self._close_lifeline)
        os.environ[MARK] = "/".join([*marks(os.environ.get(MARK, "")), mark])

    def finish(self) -> None:
        """Let it end what is left, and return when it has."""
        self._close_lifeline()
        self._process.wait()

    def _close_lifeline(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._lifeline)


def marks(value: str) -> list[str]:
    """Return the marks in a value of the variable `MARK`."""
    return [mark for mark in value.split("/") if mark]


def processes_with(mark: str) -> Iterator[psutil.Process]:
    """Return the processes that bear a mark."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if mark in marks(process.environ().get(MARK, "")):
                yield process


def main(mark: str, folder: str | None = None) -> None:
    """Wait for the end of the process that has started this one, and end what it leaves."""
    sys.stdin.buffer.read()
    for _ in range(ROUNDS):  # what is killed may just have started another one
        left = list(processes_with(mark))
        if not left:
            break
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Somebody with a notebook: its cells, run by their ids in a real kernel."""

from __future__ import annotations

import json
import os
import queue
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from authority.demo.children import clean_environment

CELL_S = 60.0  # longer than any cell of the notebooks runs here


@dataclass(frozen=True)
class Ran:
    """How a cell ended: what it showed, its error (`Name: sentence`) if it had one, and how long it took."""

    text: str
    error: str | None
    took_s: float

    @property
    def seen_last(self) -> str:
        """The error, and below it the last line shown; a notice that is late comes with the next cell instead."""
        return "\n     ".join(line for line in (self.error or "", *self.text.splitlines()[-1:]) if line)


class Person:
    """One of the two, with a notebook and a kernel of their own."""

    def __init__(self, name: str, notebook: Path, url: str) -> None:
        """Start the kernel; it is ready once the first cell was run."""
        self.name = name
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        self._cells = {cell["id"]: "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"}
        self._manager = KernelManager()
        env = {
            **clean_environment(),
            "MOTORLOCK_URL": url,
            "IPYTHONDIR": str(notebook.parent / "ipython"),
            "JPY_SESSION_NAME": str(notebook),  # as JupyterLab says it
        }
        with notebook.with_suffix(".log").open("w", encoding="utf-8") as log:
            self._manager.start_kernel(env=env, cwd=str(notebook.parent), stdout=log, stderr=log)
        self._client: BlockingKernelClient = self._manager.blocking_client()
        self._client.start_channels()

    def run(self, cell: str) -> Ran:
        """Run the cell to its end."""
        return self.finish(self.start(cell))

    def start(self, cell: str) -> str:
        """Start the cell; `finish` takes what this returns."""
        return str(self._client.execute(self._cells[cell], allow_stdin=False))

    def finish(self, started: str) -> Ran:
        """Wait for the end of a started cell; raises `TimeoutError` when there is none."""
        began = time.monotonic()
        output = list[str]()
        error = None
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=CELL_S)
            except queue.Empty:
                raise TimeoutError(f"a cell of {self.name} did not end within {CELL_S:.0f} s") from None
            if message["parent_header"].get("msg_id") != started:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    output.append(str(content["text"]))
                case "execute_result":
                    output.append(str(content["data"].get("text/plain", "")) + "\n")
                case "error":
                    error = str(content["traceback"][-1])  # the line that a person sees
                case "status" if content["execution_state"] == "idle":
                    return Ran("".join(output).strip(), error, time.monotonic() - began)

    def ready(self) -> None:
        """Wait until the kernel takes cells."""
        self._client.wait_for_ready(timeout=CELL_S)

    def kill(self) -> None:
        """Kill the kernel without a word, as a crash would."""
        pid = getattr(self._manager.provisioner, "pid", None)
        if pid is not None:
            os.kill(int(pid), getattr(signal, "SIGKILL", signal.SIGTERM))

    def close(self) -> None:
        """End the kernel, if it still lives."""
        self._client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=not self._manager.is_alive())
        self._manager.cleanup_resources()

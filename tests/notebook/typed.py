"""What a person types into a real kernel, and everything the cell shows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

from real_lab import PATIENCE_S, Kernel

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WIDGET = "application/vnd.jupyter.widget-view+json"


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return when `condition()` is true; fail, saying `what` was waited for, when it never is."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, f"waited {PATIENCE_S:g} s in vain: {what}"
        time.sleep(0.01)


@dataclass
class Output:
    """What one cell showed."""

    status: str = ""
    value: str | None = None
    stdout: str = ""
    stderr: str = ""
    ename: str = ""
    traceback: list[str] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    bars: list[str] = field(default_factory=list)

    @property
    def error(self) -> str:
        """The error as the notebook shows it: all lines of it."""
        return _COLOUR.sub("", "\n".join(self.traceback))

    @property
    def panels(self) -> int:
        """How many widgets the cell shows."""
        return sum(WIDGET in data for data in self.shown)


class Notebook:
    """One notebook: a real kernel with the extension loaded."""

    def __init__(self, kernel: Kernel, *, load: bool = True) -> None:
        self.kernel = kernel
        if load:
            assert self.run("%load_ext jupyter_motorlock").status == "ok"

    def run(self, cell: str) -> Output:
        """Run a cell to its end."""
        return self.finish(self.start(cell))

    def start(self, cell: str) -> str:
        """Start a cell; `finish` waits for its end."""
        return str(self.kernel.client.execute(cell, allow_stdin=False))

    def finish(self, started: str) -> Output:
        """Return what the cell showed, when it has ended."""
        out = Output()
        while True:
            try:
                message = self.kernel.client.get_iopub_msg(timeout=PATIENCE_S)
            except Empty:
                raise AssertionError("the cell did not end") from None
            if message["parent_header"].get("msg_id") == started and _taken(out, message):
                break
        out.status = self._reply(started)["status"]
        return out

    def wait_for_text(self, started: str, text: str) -> None:
        """Return when a started cell has printed `text`, which `finish` then does not see again."""
        out = Output()
        while text not in out.stdout:
            message = self.kernel.client.get_iopub_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") == started:
                assert not _taken(out, message), f"the cell ended without printing {text!r}"

    def value(self, cell: str) -> str:
        """Run a cell that must go well and return its value as text."""
        out = self.run(cell)
        assert out.status == "ok", out.error or out.stderr
        return out.value or ""

    def complete(self, cell: str) -> list[str]:
        """Return what Tab offers at the end of `cell`."""
        return list(self._reply(self.kernel.client.complete(cell, len(cell)))["matches"])

    def labels(self, cell: str) -> list[str]:
        """Return what the popup says of each that Tab offers at the end of `cell`."""
        reply = self._reply(self.kernel.client.complete(cell, len(cell)))
        return [found["type"] for found in reply["metadata"]["_jupyter_types_experimental"]]

    def help(self, magic: str) -> str:
        """Return what `magic?` shows."""
        reply = self._reply(self.kernel.client.execute(f"{magic}?", allow_stdin=False))
        return "".join(page["data"]["text/plain"] for page in reply["payload"])

    def interrupt(self) -> None:
        """Click Interrupt."""
        self.kernel.manager.interrupt_kernel()

    def _reply(self, asked: object) -> dict[str, Any]:
        while True:
            message = self.kernel.client.get_shell_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") == asked:
                return dict(message["content"])


def _taken(out: Output, message: dict[str, Any]) -> bool:
    """Take one message into `out`; true when it says that the cell is over."""
    content = message["content"]
    match message["msg_type"]:
        case "stream" if content["name"] == "stdout":
            out.stdout += content["text"]
        case "stream":
            out.stderr += content["text"]
        case "execute_result":
            out.value = content["data"]["text/plain"]
        case "display_data":
            out.shown.append(content["data"])
        case "update_display_data":
            out.updates.append(content["data"])
        case "comm_msg" if "ml-cell" in str(content["data"].get("state", {}).get("value")):
            out.bars.append(content["data"]["state"]["value"])
        case "error":
            out.ename, out.traceback = content["ename"], content["traceback"]
        case "status":
            return bool(content["execution_state"] == "idle")
    return False

"""What a front end knows of a kernel's widgets, learned from its messages as JupyterLab does."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty
from typing import Any

from real_lab import PATIENCE_S, Kernel


class Front:
    """Widget models by comm id, the updates since `forget`, and clicks."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.models: dict[str, dict[str, Any]] = {}
        self.updates: list[dict[str, Any]] = []
        self.closed: set[str] = set()
        self.texts: list[str] = []
        self.printed = ""

    def run(self, code: str) -> None:
        """Run a cell to its end; a failing one fails the test."""
        self.finish(self.start(code))

    def start(self, code: str) -> str:
        """Start a cell without waiting for it."""
        return str(self.kernel.client.execute(code, allow_stdin=False))

    def finish(self, cell: str) -> None:
        """Take in messages until the cell is over."""
        self.until(lambda: self._over == cell, "the cell's end")

    def settle(self) -> None:
        """Take in everything that the kernel has sent so far."""
        self.run("pass")

    def forget(self) -> None:
        """Take in everything so far, and count updates from here."""
        self.settle()
        self.updates.clear()

    def reset(self) -> None:
        """Forget everything that the kernel has sent so far."""
        self.settle()
        self.models, self.closed, self.updates, self.texts, self.printed = {}, set(), [], [], ""

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Take in messages until `condition()` holds."""
        give_up = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up, f"in vain waited for {what}; the panel says {self.panel}"
            try:
                self._take(self.kernel.client.get_iopub_msg(timeout=1.0))
            except Empty:
                continue

    @property
    def panel(self) -> str:
        """The panel's HTML."""
        return next((str(m["value"]) for m in self.models.values() if 'class="ml-panel' in str(m.get("value"))), "")

    def button(self, label: str) -> str:
        """The comm id of the button with this label."""
        return next(comm for comm, model in self.models.items() if model.get("description") == label)

    @property
    def more(self) -> str:
        """The HTML behind More."""
        return next(str(m["value"]) for m in self.models.values() if 'class="ml-rest' in str(m.get("value")))

    def rows(self) -> list[str]:
        """The HTML of each row of a panel of many."""
        return [str(m["value"]) for m in self.models.values() if 'class="ml-panel' in str(m.get("value"))]

    def words(self, label: str) -> str:
        """What the button with this label says that it does."""
        return str(self.models[self.button(label)]["tooltip"])

    @property
    def typed(self) -> str:
        """What stands in the panel's text field."""
        return str(self.models[self._field()]["value"])

    def type(self, text: str) -> None:
        """Type into the panel's text field and leave it, as JupyterLab tells it."""
        self.models[self._field()]["value"] = text
        self._send(self._field(), {"method": "update", "state": {"value": text}, "buffer_paths": []})
        self.settle()

    def _field(self) -> str:
        return next(comm for comm, model in self.models.items() if model.get("_model_name") == "TextModel")

    def labels(self) -> list[str]:
        """The labels of the buttons that can be seen."""
        buttons = [model for model in self.models.values() if model.get("_model_name") == "ButtonModel"]
        return [
            str(model["description"])
            for model in buttons
            if model["description"]
            and self.models[str(model["layout"]).removeprefix("IPY_MODEL_")].get("display") != "none"
        ]

    def click(self, label: str, *, subshell: str | None = None) -> None:
        """Click the button, in a subshell where one is given, as JupyterLab does."""
        self._send(self.button(label), {"method": "custom", "content": {"event": "click"}}, subshell=subshell)

    def _send(self, comm: str, data: dict[str, Any], *, subshell: str | None = None) -> None:
        message = self.kernel.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.kernel.client.shell_channel.send(message)

    def subshell(self) -> str:
        """Have the kernel start a subshell."""
        asked = self.kernel.client.session.msg("create_subshell_request", {})
        self.kernel.client.control_channel.send(asked)
        while True:
            reply = self.kernel.client.get_control_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == asked["header"]["msg_id"]:
                return str(reply["content"]["subshell_id"])

    _over = ""

    def _take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        match message["msg_type"]:
            case "comm_open":
                self.models[content["comm_id"]] = dict(content["data"]["state"])
            case "comm_msg" if content["data"].get("method") == "update":
                self.updates.append(content["data"]["state"])
                self.models[content["comm_id"]].update(content["data"]["state"])
            case "comm_close":
                self.closed.add(content["comm_id"])
            case "display_data":
                self.texts.append(content["data"]["text/plain"])
            case "stream":
                self.printed += content["text"]
            case "error":
                raise AssertionError("\n".join(content["traceback"]))
            case "status" if content["execution_state"] == "idle":
                self._over = message["parent_header"].get("msg_id", "")

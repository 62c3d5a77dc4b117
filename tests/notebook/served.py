"""A real Jupyter server process, and the kernels that it runs, restarts and culls."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import requests
from jupyter_client.blocking.client import BlockingKernelClient
from real_lab import PATIENCE_S, Kernel
from typed import wait_until

import jupyter_motorlock


class Server:
    """A server on a free port of loopback, with files and settings of its own; `app` is the module that is run."""

    def __init__(self, place: Path, *options: str, app: str = "jupyter_server", **env: str) -> None:
        self.token = secrets.token_hex()
        self.place, self.files, self.runtime = place, place / "notebooks", place / "runtime"
        for folder in (self.files, self.runtime):
            folder.mkdir(parents=True, exist_ok=True)
        own = {
            "HOME": str(place),
            "IPYTHONDIR": str(place / "ipython"),
            "JUPYTER_CONFIG_DIR": str(place / "config"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "PYTHONPATH": str(Path(jupyter_motorlock.__file__).parents[1]),
        }
        command = [sys.executable, "-m", app, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
        command += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.files}"]
        self._log = (place / "server.log").open("wb")
        self.process = subprocess.Popen(
            [*command, "--ServerApp.port=0", *options],
            env={**os.environ, **own, **env},
            stderr=self._log,
            stdout=self._log,
        )
        wait_until(self._found, "the Jupyter server to start")
        self.url = str(self._found()["url"])

    def call(self, method: str, path: str) -> Any:
        """Make one request to its API."""
        headers = {"Authorization": f"token {self.token}"}
        answer = requests.request(method, f"{self.url}api/{path}", headers=headers, timeout=PATIENCE_S)
        return answer.json() if answer.content else None

    def kernels(self) -> list[str]:
        """The ids of the kernels there are."""
        return [str(kernel["id"]) for kernel in self.call("GET", "kernels")]

    def start_kernel(self) -> ServedKernel:
        """Start a kernel, as opening a notebook does."""
        return ServedKernel(self, str(self.call("POST", "kernels")["id"]))

    def end_kernels(self) -> None:
        """Shut every notebook's kernel down."""
        for session in self.call("GET", "sessions"):
            self.call("DELETE", f"sessions/{session['id']}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and its kernels where the signal lets it, and wait for all of them."""
        kernels = []
        if self.process.poll() is None:
            kernels = psutil.Process(self.process.pid).children()
            self.process.send_signal(how)
            self.process.wait(PATIENCE_S)
        psutil.wait_procs(kernels, PATIENCE_S)
        self._log.close()

    def _found(self) -> dict[str, Any]:
        assert self.process.poll() is None, (self.place / "server.log").read_text()
        for file in self.runtime.glob("jpserver-*.json"):
            # It may be half written, and is written before the server listens.
            with contextlib.suppress(json.JSONDecodeError, OSError):
                found: dict[str, Any] = json.loads(file.read_text())
                socket.create_connection(("127.0.0.1", found["port"]), timeout=1).close()
                return found
        return {}


class ServedKernel(Kernel):
    """A kernel that the server looks after."""

    def __init__(self, server: Server, kernel_id: str) -> None:
        self.server, self.id = server, kernel_id
        self._connect()

    def _connect(self) -> None:
        wait_until(self._is_ready, "the kernel to answer")
        self._pid = int(self.run("__import__('os').getpid()"))

    def _is_ready(self) -> bool:
        file = self.server.runtime / f"kernel-{self.id}.json"
        self.client = BlockingKernelClient(connection_file=str(file))
        self.client.load_connection_file()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=PATIENCE_S)
        except RuntimeError:  # its heart does not beat yet
            self.client.stop_channels()
            return False
        return True

    @property
    def pid(self) -> int:
        """The process id of when it was last connected to."""
        return self._pid

    def again(self) -> None:
        """Connect to the process that the server has started in place of one that ended."""
        before = self._pid
        wait_until(lambda: not psutil.pid_exists(before), "the kernel's process to end")
        self.client.stop_channels()
        self._connect()
        assert self._pid != before

    def end(self) -> None:
        """Let go of it; it ends with its server."""
        self.client.stop_channels()

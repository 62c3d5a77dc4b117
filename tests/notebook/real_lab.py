"""Real processes to test with: an authority, kernels, people who speak plain REST, and a line that can be cut."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import requests
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from jupyter_motorlock.client.feed import SseParser

PATIENCE_S = 30.0  # how long a condition may take before a test gives up; never a measure of speed
_READY = "listening on "


class Authority:
    """A real authority process on a port of its own, and what a test wants to know of it."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self._data, self._arguments = data, arguments
        self._port = 0
        self.start()

    def start(self) -> None:
        """Start the process on the same data, and on the same port as before."""
        command = [sys.executable, "-m", "authority", "serve", "--port", str(self._port), "--data", str(self._data)]
        self.process = subprocess.Popen([*command, *self._arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if _READY not in line:
            self.end(signal.SIGKILL)
            raise AssertionError(f"the authority did not start: {line!r}")
        self.url = line.strip().partition(_READY)[2]
        self._port = int(self.url.rpartition(":")[2])

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process by its id and wait for it."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def call(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Any:
        """Make one request; the answer is decoded, whatever its status."""
        headers = {"Motorlock-Session": token} if token else {}
        with requests.Session() as http:
            http.trust_env = False
            return http.request(method, f"{self.url}/api{path}", json=body, headers=headers, timeout=PATIENCE_S).json()

    def status(self, equipment_id: str = "stage_x") -> dict[str, Any]:
        """The present status."""
        found: dict[str, Any] = self.call("GET", f"/locks/status/{equipment_id}")
        return found

    def events(self, equipment_id: str = "stage_x") -> list[dict[str, Any]]:
        """The stored events, oldest first."""
        found: list[dict[str, Any]] = self.call("GET", f"/locks/events/{equipment_id}?limit=1000")["events"]
        return found

    def person(self, name: str) -> Person:
        """Somebody else, who speaks plain REST."""
        made = self.call("POST", "/locks/sessions/create", {"client_name": name, "user": name})
        return Person(self, made["session_id"])


@dataclass
class Person:
    """A second user with a session and no kernel."""

    authority: Authority
    session_id: str

    def acquire(self, *, wait: bool = False, equipment_id: str = "stage_x") -> dict[str, Any]:
        """Ask for the lock."""
        asked = {"equipment_id": equipment_id, "session_id": self.session_id, "queue_if_busy": wait}
        answer: dict[str, Any] = self.authority.call("POST", "/locks/acquire", asked)
        return answer

    def release(self, *, equipment_id: str = "stage_x", **more: object) -> dict[str, Any]:
        """Give the lock back."""
        asked = {"equipment_id": equipment_id, "session_id": self.session_id, **more}
        answer: dict[str, Any] = self.authority.call("POST", "/locks/release", asked)
        return answer

    def stop(self, reason: str | None = None, *, equipment_id: str = "stage_x") -> dict[str, Any]:
        """Stop the equipment."""
        asked = {"session_id": self.session_id, "reason": reason}
        answer: dict[str, Any] = self.authority.call("POST", f"/equipment/{equipment_id}/stop", asked)
        return answer

    def leave(self) -> None:
        """End the session, with its locks and places."""
        self.authority.call("DELETE", f"/locks/sessions/{self.session_id}")


class Witness:
    """Hears every event that the authority pushes, and when it came."""

    def __init__(self, url: str) -> None:
        self._heard: list[tuple[float, dict[str, Any]]] = []
        self._more = threading.Condition()
        self._http = requests.Session()
        self._http.trust_env = False
        self._stream = self._http.get(f"{url}/api/events?role=watch", stream=True, timeout=PATIENCE_S)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_for(self, name: str, *, since: float = 0.0, **fields: object) -> tuple[float, dict[str, Any]]:
        """Return when the first such event since the monotonic `since` came, and the event."""
        found: list[tuple[float, dict[str, Any]]] = []

        def fits() -> bool:
            found[:] = [
                (at, event)
                for at, event in self._heard
                if at >= since and event["event"] == name and fields.items() <= event.items()
            ]
            return bool(found)

        with self._more:
            told = [event["event"] for _, event in self._heard]
            assert self._more.wait_for(fits, PATIENCE_S), f"no {name} {fields} came, only {told}"
        return found[0]

    def names(self) -> list[str]:
        """The names of all events so far."""
        with self._more:
            return [event["event"] for _, event in self._heard]

    def close(self) -> None:
        """End the thread."""
        connection = socket.socket(fileno=socket.dup(self._stream.raw.fileno()))
        with contextlib.suppress(OSError), connection:
            connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        self._stream.close()
        self._http.close()

    def _listen(self) -> None:
        parser = SseParser()
        with contextlib.suppress(requests.RequestException):
            for chunk in self._stream.iter_content(chunk_size=None):
                for message in parser.feed(chunk):
                    if message.event == "change":
                        with self._more:
                            self._heard.append((time.monotonic(), json.loads(message.data)["event"]))
                            self._more.notify_all()


class KernelError(AssertionError):
    """A cell ended with an error; the text is its traceback."""


class Kernel:
    """A real kernel, as a notebook has one, of this Python or of another one."""

    def __init__(self, env: dict[str, str], python: str = sys.executable) -> None:
        argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        for more in (2, 1, 0):
            self.manager = KernelManager()
            self.manager._kernel_spec = KernelSpec(argv=argv, language="python")  # as an installed one would be found
            self.manager.start_kernel(env=env)
            try:
                self.connect()
                break
            except RuntimeError:  # it ended at once: somebody has taken one of the ports that were chosen for it
                self.end()
                if not more:
                    raise

    def connect(self) -> None:
        """Open the channels of a client, once the kernel answers."""
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    @property
    def pid(self) -> int:
        """The kernel's process id."""
        return int(self.manager.provisioner.pid)  # type: ignore[union-attr]  # the local one has it

    @property
    def keeper_pid(self) -> int:
        """The process id of the kernel's keeper; fails when it has none, or two."""
        found: list[int] = [child.pid for child in psutil.Process(self.pid).children() if _is_keeper(child)]
        assert len(found) == 1, f"keepers: {found}"
        return found[0]

    def run(self, code: str) -> str:
        """Run a cell and return what it printed, with the text of its last expression."""
        message_id = self.start(code)
        return self.finish(message_id)

    def start(self, code: str) -> str:
        """Start a cell without waiting for its end."""
        return str(self.client.execute(code, allow_stdin=False))

    def finish(self, message_id: str) -> str:
        """Wait for the end of a started cell and return what it showed; raises `KernelError` where it failed."""
        said: list[str] = []
        failed: list[str] = []
        for kind, content in self._heard(message_id):
            match kind:
                case "stream":
                    said.append(content["text"])
                case "execute_result" | "display_data":
                    said.append(content["data"].get("text/plain", ""))
                case "error":
                    failed = content["traceback"]
                case "status" if content["execution_state"] == "idle":
                    break
        if failed:  # only now: a cell sent between an error and its "idle" would not be run
            raise KernelError("\n".join(failed))
        return "".join(said)

    def wait_for_output(self, message_id: str) -> None:
        """Wait until a started cell prints something."""
        next(kind for kind, _ in self._heard(message_id) if kind == "stream")

    def _heard(self, message_id: str) -> Iterator[tuple[str, Any]]:
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=PATIENCE_S)
            except queue.Empty:
                raise KernelError("the cell did not end") from None
            if message["parent_header"].get("msg_id") == message_id:
                yield message["msg_type"], message["content"]

    def restart(self) -> None:
        """Restart it as the menu does."""
        self.client.stop_channels()
        self.manager.restart_kernel()
        self.connect()

    def end(self) -> None:
        """Kill it, and wait until its keeper has told the authority."""
        keepers = []
        if self.manager.has_kernel:
            with contextlib.suppress(psutil.NoSuchProcess):
                kernel = psutil.Process(self.pid)
                keepers = [child for child in kernel.children() if _is_keeper(child)]
                for process in (kernel, *keepers):
                    process.resume()
            self.manager.shutdown_kernel(now=True)
        psutil.wait_procs(keepers, PATIENCE_S)
        self.client.stop_channels()
        self.manager.cleanup_resources()


def _is_keeper(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(word.endswith("keeper.py") for word in process.cmdline())
    return False


class Wire:
    """A line to the authority: a relay that can be cut without closing anything, and mended."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition("//")[2].partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._whole = threading.Event()
        self._whole.set()
        self._open = threading.Event()
        self._open.set()
        self._ends: list[socket.socket] = []
        self._doomed: list[socket.socket] = []
        self._doomed_path = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing through any more."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything through again, also what was held up."""
        self._whole.set()

    def hang_up(self) -> None:
        """Close every connection and take no new one."""
        self._open.clear()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def take_calls(self) -> None:
        """Take new connections again."""
        self._open.set()

    def drop_answer_to(self, path: str) -> None:
        """Let the next request to `path` through and close the connection in place of its answer."""
        self._doomed_path = path.encode()

    def close(self) -> None:
        """Close every connection."""
        self._whole.set()
        self._open.set()
        for end in [self._listener, *self._ends]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = self._reach() if self._open.is_set() else None
                if far is None:
                    near.close()
                    continue
                self._ends += [near, far]
                threading.Thread(target=self._relay, args=(near, far), daemon=True).start()
                threading.Thread(target=self._relay, args=(far, near), daemon=True).start()

    def _reach(self) -> socket.socket | None:
        with contextlib.suppress(OSError):
            return socket.create_connection(self._target)
        return None

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._whole.wait()
                if self._doomed_path and self._doomed_path in data:
                    self._doomed_path = b""
                    self._doomed.append(sink)
                if source in self._doomed:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

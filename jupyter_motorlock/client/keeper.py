"""The child process of a kernel that says "alive" while the kernel lives and "gone" when it is dead.

Run as `python -I keeper.py`; standard library only, because it must start in milliseconds and must not depend on
what the kernel's user does to the environment. The first line on its standard input is its configuration (secrets
come this way, never by argument or environment), the later ones are `{"busy": true}`, `{"gone": "why"}` and
`{"bye": true}`. It holds one stream open, which proves by closing, and beats, which proves by coming.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from functools import partial
from queue import Queue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

BEAT_S = 2.0
SOONEST_S = 0.25  # short cells in a row do not make a beat each
ANSWER_S = 5.0
STREAM_SILENCE_S = 15.0
SLOWEST_RETRY_S = 5.0
GIVE_UP_S = 600.0
EXIT_OVER = 3  # the session is over: there is nothing to keep, so the kernel does not start another keeper

GONE = {"gone": "the kernel's process ended"}

_OVER = ("session_ended", "unknown_session", "bad_session_token")


class SessionOver(Exception):
    """The authority says that the session is over."""


class _UnixSocketConnection(http.client.HTTPConnection):
    """A connection to the Unix socket at `path`."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connection(config: Mapping[str, str], timeout_s: float) -> tuple[http.client.HTTPConnection, str]:
    """Return an unopened connection to the authority and the path before `/api`."""
    if config["url"].startswith("unix:"):
        return _UnixSocketConnection(config["url"].removeprefix("unix:"), timeout_s), ""
    parts = urllib.parse.urlsplit(config["url"])
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s), parts.path
    trusted = _trusted(config.get("ca_file") or None)
    return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=trusted), parts.path


def _trusted(ca_file: str | None) -> ssl.SSLContext:
    """Return what certificates are trusted: those of a file or a folder, else the system's."""
    import ssl  # some 10 ms that only https needs

    is_folder = ca_file is not None and os.path.isdir(ca_file)
    return ssl.create_default_context(cafile=None if is_folder else ca_file, capath=ca_file if is_folder else None)


def post(config: Mapping[str, str], what: str, body: Mapping[str, object], timeout_s: float) -> None:
    """Post to a path of the session; raise `SessionOver` when it is over, `OSError` when it was not accepted."""
    http_, before = connection(config, timeout_s)
    path = f"{before}/api/locks/sessions/{urllib.parse.quote(config['session_id'], safe='')}/{what}"
    try:
        http_.request("POST", path, json.dumps(body), _headers(config) | {"Content-Type": "application/json"})
        _accepted(http_.getresponse())
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        http_.close()


def _headers(config: Mapping[str, str]) -> dict[str, str]:
    headers = {"Motorlock-Session": config["session_token"]}
    return headers | ({"Authorization": f"Bearer {config['token']}"} if config.get("token") else {})


def _accepted(response: http.client.HTTPResponse) -> None:
    if response.status < 300:
        return
    try:
        code = json.loads(response.read(65536)).get("code")
    except (ValueError, AttributeError):
        code = None
    if code in _OVER:
        raise SessionOver
    raise OSError(f"the authority answered {response.status}")


def send_heartbeat(config: Mapping[str, str], kernel: Kernel) -> None:
    """Beat every `BEAT_S`, oftener for a short lease, and soon after the kernel became busy or idle, to its end."""
    every_s = max(min(BEAT_S, float(config["lease_s"]) / 3), SOONEST_S)
    while not kernel.ended:
        kernel.changed.clear()
        with contextlib.suppress(OSError):  # a beat that fails is a beat that did not come; the next one may
            post(config, "heartbeat", {"busy": kernel.busy}, ANSWER_S)
        time.sleep(SOONEST_S)
        kernel.changed.wait(every_s - SOONEST_S)


def hold_stream(config: Mapping[str, str]) -> None:
    """Hold the keeper's connection open, and open it again when it ends, as long as the process lives."""
    query = urllib.parse.urlencode({"role": "keeper", "session_id": config["session_id"]})
    wait_s = 0.1
    while True:
        http_, before = connection(config, STREAM_SILENCE_S)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(http_):
            http_.request("GET", f"{before}/api/events?{query}", headers=_headers(config))
            response = http_.getresponse()
            _accepted(response)
            wait_s = 0.1
            while response.read1(4096):
                pass
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, 1.0)


def _in_thread(work: Callable[[], None]) -> None:
    """Do `work` in a thread; the process ends with it when the session is over."""

    def to_its_end() -> None:
        try:
            work()
        except SessionOver:
            os._exit(EXIT_OVER)

    threading.Thread(target=to_its_end, daemon=True).start()


class Kernel:
    """What the keeper knows of its kernel; `news` are the lines it wrote, the last one that it is gone.

    `busy` says whether a cell runs, `changed` is set when that changes.
    """

    def __init__(self, *, busy: bool) -> None:
        self.busy = busy
        self.ended = False
        self.changed = threading.Event()
        self.news: Queue[Mapping[str, object]] = Queue()

    def read(self) -> None:
        """Take in the lines of the pipe; its end is the kernel's."""
        for line in sys.stdin:
            self.news.put(json.loads(line))
        self.news.put(GONE)

    def watch(self, process: int) -> None:
        """Wait for the process's end at a descriptor of it: forks of the kernel keep the pipe open when it dies."""
        select.select([process], [], [])
        self.news.put(GONE)


def report_kernel_gone(config: Mapping[str, str], reason: str) -> None:
    """Say that the kernel is dead until the authority knows it, or for `GIVE_UP_S`."""
    wait_s = 0.05
    until = time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        try:
            post(config, "gone", {"reason": reason}, ANSWER_S)
            break
        except SessionOver:
            break
        except OSError:
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, SLOWEST_RETRY_S)


def follow(kernel: Kernel) -> str | None:
    """Follow the kernel to its end; return why it is gone, or None after a goodbye."""
    while True:
        line = kernel.news.get()
        if line.get("bye"):
            return None
        if "gone" in line:
            return str(line["gone"])
        if kernel.busy != bool(line.get("busy")):
            kernel.busy = not kernel.busy
            kernel.changed.set()


def main() -> None:
    """Read the configuration and keep the session until its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    config = json.loads(sys.stdin.readline())
    kernel = Kernel(busy=config["busy"])
    _in_thread(kernel.read)
    if config["process"] >= 0:
        _in_thread(partial(kernel.watch, config["process"]))
    _in_thread(partial(hold_stream, config))
    _in_thread(partial(send_heartbeat, config, kernel))
    reason = follow(kernel)
    kernel.ended = True
    if reason is not None:
        report_kernel_gone(config, reason)
    os._exit(0)  # a thread still reads the pipe, which an ordinary end would wait for


if __name__ == "__main__":
    main()

"""The child process of a kernel that says "alive" while the kernel lives and "gone" when it is dead.

Run as `python -I keeper.py`; standard library only, because it must start in milliseconds and must not depend on
what the kernel's user does to the environment. The first line on its standard input is its configuration (secrets
come this way, never by argument or environment), the later ones are `{"busy": true}`, `{"gone": "why"}` and
`{"bye": true}`. It holds one stream open, which proves by closing, and beats, which proves by coming.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping

BEAT_S = 2.0
SOONEST_S = 0.25  # short cells in a row do not make a beat each
ANSWER_S = 5.0
STREAM_SILENCE_S = 15.0
SLOWEST_RETRY_S = 5.0
GIVE_UP_S = 600.0
EXIT_OVER = 3  # the session is over: there is nothing to keep, so the kernel does not start another keeper

_OVER = ("session_ended", "unknown_session", "bad_session_token")


class Over(Exception):
    """The authority says that the session is over."""


def connection(url: str, timeout_s: float) -> tuple[http.client.HTTPConnection, str]:
    """Return an unopened connection to the authority and the path before `/api`."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout_s), parts.path


def post(config: Mapping[str, str], what: str, body: Mapping[str, object], timeout_s: float) -> None:
    """Post to a path of the session; raise `Over` when it is over, `OSError` when it was not accepted."""
    http_, before = connection(config["url"], timeout_s)
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
        raise Over
    raise OSError(f"the authority answered {response.status}")


class Beats(threading.Thread):
    """Beats every `BEAT_S`, oftener for a short lease, and soon after the kernel became busy or idle."""

    def __init__(self, config: Mapping[str, str], over: Callable[[], None], *, busy: bool) -> None:
        super().__init__(daemon=True)
        self._config, self._over = config, over
        self._every_s = max(min(BEAT_S, float(config["lease_s"]) / 3), SOONEST_S)
        self._busy, self._changed, self._stop = busy, threading.Event(), False

    def set_busy(self, busy: bool) -> None:
        """Let the beats say whether a cell runs."""
        if busy != self._busy:
            self._busy = busy
            self._changed.set()

    def stop(self) -> None:
        """Let no further beat come."""
        self._stop = True

    def run(self) -> None:
        """Beat until `stop`."""
        while not self._stop:
            self._changed.clear()
            try:
                post(self._config, "heartbeat", {"busy": self._busy}, ANSWER_S)
            except Over:
                self._over()
            except OSError:
                pass  # a beat that fails is a beat that did not come; the next one may
            time.sleep(SOONEST_S)
            self._changed.wait(self._every_s - SOONEST_S)


class Stream(threading.Thread):
    """Holds the keeper's connection open, and opens it again when it ends."""

    def __init__(self, config: Mapping[str, str], over: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._config, self._over = config, over

    def run(self) -> None:
        """Hold a connection, as long as the process lives."""
        wait_s = 0.1
        while True:
            try:
                if self._hold():
                    wait_s = 0.1
            except Over:
                self._over()
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, 1.0)

    def _hold(self) -> bool:
        http_, before = connection(self._config["url"], STREAM_SILENCE_S)
        query = urllib.parse.urlencode({"role": "keeper", "session_id": self._config["session_id"]})
        try:
            http_.request("GET", f"{before}/api/events?{query}", headers=_headers(self._config))
            response = http_.getresponse()
            _accepted(response)
            while response.read1(4096):
                pass
        finally:
            http_.close()
        return True


class Kernel:
    """What the keeper knows of its kernel: the pipe and, where the system has such, a descriptor of the process.

    The descriptor is the better witness: forks of the kernel keep the pipe open when it dies.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe, self._rest = pipe, b""
        self._process = -1
        self._ended = False

    def read_config(self) -> dict[str, str]:
        """Return the first line; raise `EOFError` when the kernel ended before it."""
        while b"\n" not in self._rest:
            self._read()
            if self._ended:
                raise EOFError
        line, self._rest = self._rest.split(b"\n", 1)
        config: dict[str, str] = json.loads(line)
        self._process = int(config["process"])
        return config

    def wait(self) -> list[dict[str, object]] | None:
        """Wait for lines and return them, or None when the kernel is dead or has closed the pipe."""
        if b"\n" not in self._rest and not self._ended:
            if self._process < 0:
                self._read()
            else:
                ready, _, _ = select.select([self._pipe, self._process], [], [])
                if self._pipe in ready:
                    self._read()
                self._ended = self._ended or self._process in ready
        *lines, self._rest = self._rest.split(b"\n")
        return None if self._ended and not lines else [json.loads(line) for line in lines]

    def _read(self) -> None:
        more = os.read(self._pipe, 65536)
        self._ended = not more
        self._rest += more


def say_gone(config: Mapping[str, str], reason: str) -> None:
    """Say that the kernel is dead until the authority knows it, or for `GIVE_UP_S`."""
    wait_s, until = 0.05, time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        try:
            post(config, "gone", {"reason": reason}, ANSWER_S)
            break
        except Over:
            break
        except OSError:
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, SLOWEST_RETRY_S)


def follow(kernel: Kernel, beats: Beats) -> str | None:
    """Follow the kernel to its end; return why it is gone, or None after a goodbye."""
    while (lines := kernel.wait()) is not None:
        for line in lines:
            if line.get("bye"):
                return None
            if "gone" in line:
                return str(line["gone"])
            beats.set_busy(bool(line.get("busy")))
    return "the kernel's process ended"


def main() -> None:
    """Read the configuration and keep the session until its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    kernel = Kernel(sys.stdin.fileno())
    config = kernel.read_config()
    beats = Beats(config, lambda: os._exit(EXIT_OVER), busy=bool(config.get("busy")))
    Stream(config, lambda: os._exit(EXIT_OVER)).start()
    beats.start()
    reason = follow(kernel, beats)
    beats.stop()
    if reason is not None:
        say_gone(config, reason)


if __name__ == "__main__":
    main()

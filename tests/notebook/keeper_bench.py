"""A listener that answers a keeper as it is told, and a keeper as a process of its own."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from real_lab import PATIENCE_S

from jupyter_motorlock.client import keeper

Heard = tuple[str, dict[str, Any], dict[str, str]]
FINE = (200, {"success": True})
OVER = (404, {"code": "session_ended"})
BROKEN = (500, {"code": "store_unavailable"})


class Listener:
    """Takes what a keeper says, in order; `answers` says how each kind is answered, the stream is left open."""

    def __init__(self) -> None:
        self.heard: queue.Queue[Heard] = queue.Queue()
        self.answers: dict[str, Callable[[], tuple[int, object]]] = {}
        self.stream_ends = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                what = self.path.rpartition("/")[2]
                outer.heard.put((what, {"path": self.path, **body}, dict(self.headers)))
                self._answer(*outer.answers.get(what, lambda: FINE)())

            def do_GET(self) -> None:
                outer.heard.put(("stream", {"path": self.path}, dict(self.headers)))
                status, body = outer.answers.get("stream", lambda: (200, None))()
                if body is not None:
                    self._answer(status, body)
                    return
                self.send_response(200)
                self.end_headers()
                outer.stream_ends.wait(PATIENCE_S)

            def _answer(self, status: int, body: object) -> None:
                text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.stream_ends.set()
        self._server.shutdown()
        self._server.server_close()

    def next(self, kind: str) -> Heard:
        """Return the next that is of this kind; what comes before it is passed over."""
        while True:
            heard = self.heard.get(timeout=PATIENCE_S)
            if heard[0] == kind:
                return heard


class Child:
    """A keeper process of its own, and its pipe."""

    def __init__(self, url: str, **more: object) -> None:
        config = {"url": url, "session_id": "ann/1", "session_token": "secret", "lease_s": "0.3", "process": -1}
        command = [sys.executable, "-I", keeper.__file__]
        inherited = [more["process"]] if "process" in more else []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=inherited
        )
        self.say(**{**config, "busy": False, "token": "", **more})

    def say(self, **line: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def hang_up(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def status(self) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self.process.stdin, self.process.stderr):
            assert end is not None
            end.close()

"""A small HTTP server that plays the two paths of a JupyterHub's interface that motorlock uses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SCOPE = "access:services!service=motorlock"


class HubServer(ThreadingHTTPServer):
    """The Hub: `owners` is what it says of each token, `may_make_tokens` those with which one may ask for another.

    `requests` are the method, path and token of each request, and `made` what was asked for each token it made.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owners: dict[str, dict[str, Any]] = {}
        self.may_make_tokens: set[str] = set()
        self.requests: list[tuple[str, str, str]] = []
        self.made: list[dict[str, Any]] = []
        self.api_url = f"http://127.0.0.1:{self.server_address[1]}/hub/api"

    def add(self, token: str, user: str, *scopes: str, groups: tuple[str, ...] = (), kind: str = "user") -> str:
        """Let a token be of a user, with these scopes or else that of the service alone; return the token."""
        self.owners[token] = {"name": user, "kind": kind, "groups": groups, "scopes": scopes or (SCOPE,)}
        return token


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_GET(self) -> None:
        owner = self.server.owners.get(self._token())
        if self.path != "/hub/api/user" or owner is None:
            self._answer(403, {"status": 403, "message": "Forbidden"})
        else:
            self._answer(owner.get("status", 200), owner)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = self._token()
        owner = self.server.owners.get(token, {"name": ""})
        if token not in self.server.may_make_tokens or self.path != f"/hub/api/users/{owner['name']}/tokens":
            self._answer(403, {"status": 403, "message": "Forbidden"})
            return
        self.server.made.append(asked)
        made = self.server.add(f"made-{len(self.server.made)}", owner["name"], *asked["scopes"], groups=owner["groups"])
        self._answer(201, {"token": made})

    def _token(self) -> str:
        token = self.headers.get("Authorization", "").removeprefix("token ")
        self.server.requests.append((self.command, self.path, token))
        return token

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Run one for as long as a test needs it; who ends it before calls `shutdown` and `server_close`."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

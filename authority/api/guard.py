"""The gate before every route: foreign hosts and origins, the lab's token, and what no route answers."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import problem

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
REMEMBERED_HOSTS = 64


class Guard:
    """Refuses requests that a page of somebody else's made, and those without the token where one is asked for."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], token: str | None) -> None:
        """Let through requests for `hosts`, this machine's names and plain addresses, with `token` if there is one."""
        self._app = app
        self._hosts = hosts | _LOOPBACK | {socket.gethostname().lower()}
        self._token = token
        self.known_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request or a WebSocket's handshake on, or answer it."""
        headers = dict(scope["headers"])
        refused = None
        if len(headers) < len(scope["headers"]) and _are_ambiguous(scope["headers"]):
            detail = "This request bears two Host or Origin headers, of which one would be taken on trust; send one."
            refused = problem(400, "invalid", detail)
        elif not self._is_ours(headers):
            detail = "This request came by way of another site or under another name; use the authority's own address."
            refused = problem(403, "foreign_origin", detail)
        elif self._token is not None and scope["path"].startswith("/api/") and not self._has_token(headers):
            detail = "This authority asks for the lab's token; set MOTORLOCK_TOKEN, or type it into the page."
            refused = problem(401, "token_required", detail)
        await (refused or self._app)(scope, receive, send)

    def _is_ours(self, headers: dict[bytes, bytes]) -> bool:
        host = headers.get(b"host", b"").lower()
        if host not in self.known_hosts and not self._is_known(host.decode("latin-1")):
            return False
        if len(self.known_hosts) < REMEMBERED_HOSTS:
            self.known_hosts.add(host)
        origin = headers.get(b"origin")
        return origin is None or _netloc(origin.lower()) == host

    def _is_known(self, netloc: str) -> bool:
        try:
            name = urlsplit(f"//{netloc}").hostname or ""
            if name in self._hosts:
                return True
            # A plain address cannot have been turned towards us by somebody's name server.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, headers: dict[bytes, bytes]) -> bool:
        assert self._token is not None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token.encode())


def _are_ambiguous(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    names = [name for name, _ in headers]
    return names.count(b"host") > 1 or names.count(b"origin") > 1


def _netloc(origin: bytes) -> bytes:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return b""

"""The gate before every door: foreign hosts and origins, the lab's token, and what no door answers."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import problem

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Refuses requests that a page of somebody else's made, and those without the token where one is asked for."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], token: str | None) -> None:
        """Let through requests for `hosts`, this machine's names and plain addresses, with `token` if there is one."""
        self._app = app
        self._hosts = hosts | _LOOPBACK | {socket.gethostname().lower()}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = None
        if not self._is_ours(headers):
            detail = "This request came by way of another site or under another name; use the authority's own address."
            refused = problem(403, "foreign_origin", detail)
        elif not self._has_token(scope, headers):
            detail = "This authority asks for the lab's token; set MOTORLOCK_TOKEN, or type it into the page."
            refused = problem(401, "token_required", detail)
        await (refused or self._app)(scope, receive, send)

    def _is_ours(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        if not self._is_known(host):
            return False
        origin = headers.get("origin")
        return origin is None or urlsplit(origin).netloc.lower() == host.lower()

    def _is_known(self, netloc: str) -> bool:
        name = (urlsplit(f"//{netloc}").hostname or "") if netloc else ""
        if name in self._hosts:
            return True
        try:
            # A plain address cannot have been turned towards us by somebody's name server.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        if self._token is None or not scope["path"].startswith("/api/"):
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode())

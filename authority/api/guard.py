"""The gate before every route: foreign hosts and origins are refused, and it is settled who makes a request."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from authority.identity.identification import NAME_WITHIN_S, Evidence, Unidentified
from authority.identity.principal import UNPROVED, Principal
from authority.identity.refused_log import RefusedLog
from authority.identity.users import Users

from .problems import ProblemResponse
from .session_tokens import SessionTokens, proved_principal
from .stop_first import is_stop

# What a request's `state` has of who makes it: the other end of its connection, and who that is.
PEER = "peer"
PRINCIPAL = "principal"
STOP_NAME_WITHIN_S = 0.25
# What tells of somebody who does not belong, or lacks a right; the rules' own refusals are everyday.
TELLING_CODES = frozenset({"not_allowed", "bad_session_token", "not_your_session"})
_LEFT_BY_A_PROXY = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
REMEMBERED_HOSTS = 64


class Guard:
    """Refuses requests that a page of somebody else's made, and those of whom nobody can tell who makes them."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], users: Users, session_tokens: SessionTokens) -> None:
        """Let through requests of `users` for `hosts`, this machine's names and plain addresses."""
        self._app = app
        self._hosts = hosts | _LOOPBACK | {socket.gethostname().lower()}
        self._identification = users.identification
        self._refused_log = users.refused
        self._session_tokens = session_tokens
        self.known_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request or a WebSocket's handshake on, or answer it."""
        headers = dict(scope["headers"])
        refused = None
        if len(headers) < len(scope["headers"]) and _are_ambiguous(scope["headers"]):
            refused = ProblemResponse("invalid.two_hosts")
        elif not self._is_ours(headers):
            refused = ProblemResponse("foreign_origin")
        elif scope["path"].startswith("/api/"):
            refused = await self._identify(scope, headers)
        app = self._app
        if refused is not None:
            note_refused(self._refused_log, refused.code, scope)
            app = refused.response()
        await app(scope, receive, send)

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

    async def _identify(self, scope: Scope, headers: dict[bytes, bytes]) -> ProblemResponse | None:
        state = scope.setdefault("state", {})
        session_token = headers.get(b"motorlock-session")
        session = None
        if session_token is not None and self._identification.hub is not None:
            session = self._session_tokens.session(session_token)
        evidence = Evidence(
            state.get(PEER),
            _bearer_token(headers),
            proxied=not _LEFT_BY_A_PROXY.isdisjoint(headers),
            session_principal=proved_principal(session),
        )
        within_s = NAME_WITHIN_S
        if is_stop(scope):
            within_s = STOP_NAME_WITHIN_S
        try:
            state[PRINCIPAL] = await self._identification.identify(evidence, within_s=within_s)
        except Unidentified as unidentified:
            hub = self._identification.hub
            if hub is None or unidentified.code not in ("not_identified", "bad_token.hub"):
                return ProblemResponse(unidentified.code)
            data = {"hub_service": hub.service}  # which says that a token of the Hub is taken
            if unidentified.code == "bad_token.hub":
                return ProblemResponse("bad_token.hub", data)
            if session_token is not None and session is None:
                return ProblemResponse("bad_session_token", data)
            return ProblemResponse("not_identified.hub", data)
        return None


def note_refused(refused_log: RefusedLog, code: str, scope: Scope) -> None:
    """Keep a refusal in the log of refusals, with who made the request as far as that is known."""
    principal: Principal = scope.get("state", {}).get(PRINCIPAL, UNPROVED)
    client = scope.get("client")
    peer = client[0] if client else "this machine"
    refused_log.note(code, principal.user or "somebody", peer, scope.get("method", "GET"), scope["path"][:200])


def _bearer_token(headers: dict[bytes, bytes]) -> bytes | None:
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return given.strip()
    return None


def _are_ambiguous(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    names = [name for name, _ in headers]
    return names.count(b"host") > 1 or names.count(b"origin") > 1


def _netloc(origin: bytes) -> bytes:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return b""

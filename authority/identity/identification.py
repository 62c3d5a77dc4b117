"""Asks the sources of identity that the lab file names, in their order, who makes a request."""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from .directory import UserDirectory
from .jupyterhub import HubUnavailable, JupyterHub
from .peer import Peer
from .principal import UNPROVED, Principal, Source
from .tokens import PREFIX, Tokens

NAME_WITHIN_S = 2.0
Code: TypeAlias = Literal["token_required", "bad_token", "bad_token.hub", "hub_unavailable", "not_identified"]


class Unidentified(Exception):
    """Nobody can tell who makes a request; `code` is why."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


class Evidence(Struct, frozen=True):
    """What a request shows: the other end of its connection, its bearer token, and whether it comes by a proxy.

    `session_principal` is whom the token of its session proves.
    """

    peer: Peer | None
    token: bytes | None
    proxied: bool = False
    session_principal: Principal | None = None


class Identification:
    """Says who makes a request."""

    def __init__(
        self,
        sources: Sequence[Source] = (),
        *,
        shared_token: str | None = None,
        tokens: Tokens | None = None,
        hub: JupyterHub | None = None,
    ) -> None:
        """Ask `sources`; without any, everybody is let in and calls themselves as they like (the trusted network).

        With a `shared_token` nobody is let in who bears neither it nor one of the `tokens` or of the `hub`.
        """
        self._sources = tuple(sources)
        self._tokens = tokens
        self.hub = hub
        self._shared_token = None
        if shared_token is not None:
            self._shared_token = shared_token.encode()
        self._directory = UserDirectory()

    async def identify(self, evidence: Evidence, *, within_s: float = NAME_WITHIN_S) -> Principal:
        """Return who makes a request, or raise `Unidentified`; a name that takes longer than `within_s` is a number."""
        if evidence.token is not None and self._tokens is not None and "token" in self._sources:
            record = self._tokens.bearer(evidence.token)
            if record is not None:
                return record.principal
            if evidence.token.startswith(PREFIX.encode()):
                raise Unidentified("bad_token")
        has_token = self._has_shared_token(evidence.token)
        if self.hub is not None and evidence.token is not None and not has_token:
            return await self._hub_principal(self.hub, evidence.token)
        if evidence.session_principal is not None:
            return evidence.session_principal
        if self._shared_token is not None and not has_token:
            raise Unidentified("token_required")
        if "os" in self._sources and not evidence.proxied and evidence.peer is not None:
            user_id = evidence.peer.user_id
            if user_id is not None:
                return await self._system_principal(user_id, within_s)
        if self._sources and not has_token:
            raise Unidentified("not_identified")
        return UNPROVED

    def is_good(self, principal: Principal) -> bool:
        """Whether what proved somebody still does: a token may have expired, or been revoked."""
        return principal.token is None or (self._tokens is not None and self._tokens.is_good(principal.token))

    def _has_shared_token(self, token: bytes | None) -> bool:
        if self._shared_token is None or token is None:
            return False
        return hmac.compare_digest(token, self._shared_token)

    async def _hub_principal(self, hub: JupyterHub, token: bytes) -> Principal:
        try:
            principal = await hub.principal(token)
        except HubUnavailable:
            raise Unidentified("hub_unavailable") from None
        if principal is None:
            raise Unidentified("bad_token.hub")
        return principal

    async def _system_principal(self, user_id: int, within_s: float) -> Principal:
        user = await self._directory.user(user_id, within_s=within_s)
        return Principal(user.name, "os", user.groups, owns_authority=user_id == os.getuid())

"""Finds the session that a token is of by the digest that is kept of it, and whom the token proves."""

from __future__ import annotations

import hashlib

from authority.core.model import Session, SessionId, Table
from authority.identity.principal import Principal

_FORGET_FROM = 256


class SessionTokens:
    """The living sessions by the digests of their tokens."""

    def __init__(self, table: Table) -> None:
        """Begin with the sessions of `table`, in which later ones are looked up."""
        self._table = table
        self._by_digest: dict[str, SessionId] = {}
        self._forget_at = _FORGET_FROM
        for session in table.all_sessions():
            self.add(session)

    def add(self, session: Session) -> None:
        """Take in a session that begins."""
        if session.secret_sha256 is None:
            return
        if len(self._by_digest) >= self._forget_at:
            alive = {digest: key for digest, key in self._by_digest.items() if self._table.session(key) is not None}
            self._by_digest = alive
            self._forget_at = max(_FORGET_FROM, 2 * len(alive))
        self._by_digest[session.secret_sha256] = session.id

    def session(self, token: bytes) -> Session | None:
        """Return the living session that a token is of.

        It is found by its digest, so how long that takes tells nothing of any token.
        """
        session_id = self._by_digest.get(hashlib.sha256(token).hexdigest())
        if session_id is None:
            return None
        return self._table.session(session_id)


def proved_principal(session: Session | None) -> Principal | None:
    """Return whom the token of a living session proves: who began it, where the Hub said who that is."""
    if session is None or session.proved_by != "jupyterhub":
        return None
    return Principal(session.identity, "jupyterhub", frozenset(session.groups))

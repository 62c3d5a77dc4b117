"""Session ids that can be told from those a client made up, without remembering every one of them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid

from authority.core.model import SessionId


class SessionIds:
    """Makes version 4 UUIDs whose last 48 bits are a keyed digest of the rest."""

    def __init__(self, key: str) -> None:
        """Use the authority's own secret `key`."""
        self._key = key.encode()

    def new(self) -> SessionId:
        """Return an id that was never used before."""
        head = uuid.uuid4().bytes[:10]
        return SessionId(str(uuid.UUID(bytes=head + self._tag(head))))

    def made(self, name: str) -> bool:
        """Whether this authority made the id `name`."""
        try:
            raw = uuid.UUID(name).bytes
        except ValueError:
            return False
        return hmac.compare_digest(raw[10:], self._tag(raw[:10]))

    def _tag(self, head: bytes) -> bytes:
        return hmac.new(self._key, head, hashlib.sha256).digest()[:6]


def new_session_token() -> tuple[str, str]:
    """Return a session's token and the digest that is kept of it."""
    token = secrets.token_urlsafe(32)
    return token, hashlib.sha256(token.encode()).hexdigest()

"""Tokens of single users: made for a person or a program, kept as digests, good until they expire or are revoked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

import msgspec

from .access import Grant, Right
from .principal import Principal

PREFIX = "motorlock_"
_SECRET_BYTES = 32
_ID_BYTES = 4


class TokenRecord(msgspec.Struct, frozen=True):
    """What is kept of a token. `role` is what it was asked for by; times are seconds since the epoch (UTC)."""

    token_id: str
    user: str
    role: str
    rights: frozenset[Right]
    equipment: tuple[str, ...]
    created_at: float
    expires_at: float | None
    digest: str

    @property
    def principal(self) -> Principal:
        """Who bears it."""
        return Principal(self.user, "token", token=self.token_id)

    @property
    def grant(self) -> Grant:
        """What it allows."""
        return Grant(self.rights, equipment=self.equipment)


class UnknownToken(Exception):
    """There is no token with this id."""


class Tokens:
    """The tokens of a lab."""

    def __init__(self, kept: str = "[]", *, wall: Callable[[], float]) -> None:
        """Begin with what `text` returned; `wall` tells the time in seconds since the epoch."""
        self._wall = wall
        records = msgspec.json.decode(kept, type=list[TokenRecord])
        self._by_digest = {record.digest: record for record in records}
        self._by_id = {record.token_id: record for record in records}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._by_id)

    @property
    def text(self) -> str:
        """All of them as JSON, to be kept: no token can be got back from it."""
        return msgspec.json.encode(self.all()).decode()

    def all(self) -> list[TokenRecord]:
        """Return all that are not revoked, the oldest first."""
        return sorted(self._by_id.values(), key=lambda record: record.created_at)

    def create(
        self, user: str, role: str, rights: frozenset[Right], equipment: tuple[str, ...], expires_s: float | None
    ) -> tuple[str, TokenRecord]:
        """Make a token and return it, this once, with what is kept of it."""
        token = f"{PREFIX}{secrets.token_urlsafe(_SECRET_BYTES)}"
        now = self._wall()
        expires_at = None
        if expires_s is not None:
            expires_at = now + expires_s
        token_id = secrets.token_hex(_ID_BYTES)
        record = TokenRecord(token_id, user, role, rights, equipment, now, expires_at, _digest(token.encode()))
        self._by_digest[record.digest] = record
        self._by_id[token_id] = record
        return token, record

    def revoke(self, token_id: str) -> TokenRecord:
        """Make a token worth nothing, at once; raises `UnknownToken`."""
        record = self._by_id.pop(token_id, None)
        if record is None:
            raise UnknownToken(token_id)
        del self._by_digest[record.digest]
        return record

    def bearer(self, token: bytes) -> TokenRecord | None:
        """Return the token that a request bears, None where it is none of these or has expired.

        It is found by its digest, so how long that takes tells nothing of any token.
        """
        return self._if_good(self._by_digest.get(_digest(token)))

    def is_good(self, token_id: str) -> bool:
        """Whether a token that was good is so still."""
        return self._if_good(self._by_id.get(token_id)) is not None

    def grant(self, token_id: str) -> Grant | None:
        """Return what a token allows, None where it is worth nothing now."""
        record = self._if_good(self._by_id.get(token_id))
        if record is None:
            return None
        return record.grant

    def _if_good(self, record: TokenRecord | None) -> TokenRecord | None:
        if record is None or (record.expires_at is not None and record.expires_at <= self._wall()):
            return None
        return record


def _digest(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()

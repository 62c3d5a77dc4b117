"""Tokens of single users (WHO-27, WHO-28)."""

from __future__ import annotations

import pytest

from authority.identity.access import ROLES, Access, Right
from authority.identity.tokens import PREFIX, Tokens, UnknownToken

DAY_S = 86400.0


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def made(tokens: Tokens, *, expires_s: float | None = None, equipment: tuple[str, ...] = ("*",)) -> tuple[str, str]:
    token, record = tokens.create("ann", "operator", ROLES["operator"], equipment, expires_s)
    return token, record.token_id


def test_a_token_has_256_bits_and_a_prefix_that_scanners_find() -> None:
    token, _ = made(Tokens(wall=Wall()))
    assert token.startswith(PREFIX)
    assert len(token.removeprefix(PREFIX)) >= 43  # of 64 letters each


def test_a_token_proves_its_user() -> None:
    tokens = Tokens(wall=Wall())
    token, token_id = made(tokens)
    record = tokens.bearer(token.encode())
    assert record is not None
    assert (record.principal.user, record.principal.source, record.principal.token) == ("ann", "token", token_id)
    assert tokens.bearer(token.encode() + b"x") is None


def test_of_a_token_only_its_digest_is_kept() -> None:
    tokens = Tokens(wall=Wall())
    token, _ = made(tokens)
    assert token not in tokens.text
    assert token.removeprefix(PREFIX) not in tokens.text
    assert Tokens(tokens.text, wall=Wall()).bearer(token.encode()) == tokens.bearer(token.encode())


def test_a_token_is_worth_nothing_once_it_has_expired() -> None:
    wall = Wall()
    tokens = Tokens(wall=wall)
    token, token_id = made(tokens, expires_s=DAY_S)
    wall.now += DAY_S - 1
    assert tokens.is_good(token_id)
    wall.now += 1
    assert tokens.bearer(token.encode()) is None
    assert not tokens.is_good(token_id)


def test_a_revoked_token_is_worth_nothing_at_once() -> None:
    tokens = Tokens(wall=Wall())
    access = Access(token_grant=tokens.grant)
    token, token_id = made(tokens)
    record = tokens.bearer(token.encode())
    assert record is not None
    assert access.may(record.principal, Right.CONTROL, "stage_x")
    tokens.revoke(token_id)
    assert tokens.bearer(token.encode()) is None
    assert not access.may(record.principal, Right.READ, "stage_x")
    with pytest.raises(UnknownToken):
        tokens.revoke(token_id)


def test_a_token_gives_its_own_rights_to_its_own_equipment_and_no_more() -> None:
    tokens = Tokens(wall=Wall())
    access = Access(token_grant=tokens.grant)
    token, _ = made(tokens, equipment=("stage_*",))
    record = tokens.bearer(token.encode())
    assert record is not None
    assert access.rights(record.principal, "stage_x") == ROLES["operator"]
    assert access.rights(record.principal, "laser") == frozenset()

"""The name that is shown (WHO-25)."""

from __future__ import annotations

import pytest

from authority.identity.principal import UNPROVED, Principal

ANN = Principal("ann", "os")


@pytest.mark.parametrize(
    ("label", "shown"),
    [(None, "ann"), ("ann", "ann"), ("Ann@bench", "ann"), ("Bob", "ann (Bob)"), ("anna", "ann (anna)")],
)
def test_the_proved_name_comes_first_and_a_claimed_one_stands_beside_it(label: str | None, shown: str) -> None:
    """WHO-25"""
    assert ANN.named(label) == shown


def test_who_is_not_proved_is_called_as_they_say() -> None:
    assert UNPROVED.named("Bob") == "Bob"
    assert UNPROVED.named(None) is None

"""Hundreds of seeded runs of one motor and three authorities that end badly, each followed by the motor's record."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from lives import run_of

SEEDS, PORTION = 200, 10


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(PORTION, SEEDS, PORTION))]
)
def test_whatever_dies_no_two_holders_commands_overlap_and_every_outcome_is_true(first: int, tmp_path: Path) -> None:
    """SAFE-1, SAFE-2, SAFE-3, SAFE-4, SAFE-5, SAFE-6"""
    met: Counter[str] = Counter()
    commands = 0
    for seed in range(first, first + PORTION):
        run = run_of(seed, tmp_path)
        met += run.met
        commands += len(run.sent)
    print(f"seeds {first} to {first + PORTION - 1}: {commands} commands, {dict(sorted(met.items()))}")
    assert met["in flight"] > 0

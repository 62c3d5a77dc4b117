"""What one position after another tells of motion: rest once it stood still, and nothing of noise."""

from __future__ import annotations

import pytest

from authority.motion_seen import STILL_S, OutsideMotion, StillPosition
from authority.ports import Readback


def at(position: float | None, *, moving: bool = False, connected: bool = True) -> Readback:
    return Readback(position=position, moving=moving, connected=connected, tolerance=0.1)


def test_the_first_position_is_no_motion_and_neither_is_noise() -> None:
    """DRV-54"""
    still = StillPosition()
    assert [still.moves(at(position), now) for now, position in enumerate([5.0, 5.1, 4.9, 5.05])] == [False] * 4


def test_a_drift_that_adds_up_is_motion() -> None:
    """DRV-54"""
    still = StillPosition()
    assert [still.moves(at(0.06 * now), now) for now in range(4)] == [False, False, True, False]


def test_it_moves_until_it_has_stood_still_for_long_enough() -> None:
    """DRV-54"""
    still = StillPosition()
    still.moves(at(0.0), 0.0)
    assert still.moves(at(1.0), 1.0)
    assert still.moves(at(1.0), 1.0 + STILL_S - 0.01)
    assert not still.moves(at(1.0), 1.0 + STILL_S)


def test_what_has_no_position_does_not_move_even_after_an_order() -> None:
    """DRV-54"""
    still = StillPosition()
    still.begin_anew(1.0)
    assert not still.moves(at(None), 1.0)
    assert still.moves(at(0.0), 1.0)


@pytest.mark.parametrize("unread", [at(9.0, connected=False), at(None)])
def test_what_is_not_read_is_no_motion_from_outside(unread: Readback) -> None:
    """DRV-8, DRV-53"""
    outside = OutsideMotion()
    assert [outside.seen(found, now) for now, found in enumerate([at(1.0), unread, at(1.0), at(9.0)])] == [
        None,
        None,
        None,
        9.0,
    ]

"""Rest that is told from positions, in virtual time."""

from __future__ import annotations

import pytest
from virtual_time import VirtualTime

from authority.drivers.settling import Settling


@pytest.fixture
def settling(clock: VirtualTime) -> Settling:
    return Settling(0.01, 1.0, clock)


def test_it_moves_until_its_position_has_stood_for_the_time(settling, clock):
    """DRV-63"""
    assert settling.moves_at(5.0)
    clock.now += 0.9
    assert settling.moves_at(5.01)
    clock.now += 0.1
    assert not settling.moves_at(4.995)


def test_a_position_that_leaves_the_tolerance_moves_again(settling, clock):
    """DRV-63"""
    settling.moves_at(5.0)
    clock.now += 2.0
    assert not settling.moves_at(5.0)
    assert settling.moves_at(5.011)
    clock.now += 0.9
    assert settling.moves_at(5.011)
    clock.now += 0.1
    assert not settling.moves_at(5.011)


def test_a_slow_drift_that_adds_up_is_a_motion(settling, clock):
    """DRV-63: it is compared with where it stood, not with the last position."""
    settling.moves_at(5.0)
    for step in range(1, 6):
        clock.now += 0.5
        moves = settling.moves_at(5.0 + 0.006 * step)
    assert moves


def test_an_order_to_move_is_a_motion_before_the_position_shows_it(settling, clock):
    """DRV-63"""
    settling.moves_at(5.0)
    clock.now += 2.0
    settling.begin(3.0)
    clock.now += 2.9
    assert settling.moves_at(5.0)
    clock.now += 0.1
    assert not settling.moves_at(5.0)
    settling.begin(0.0)
    clock.now += 0.9
    assert settling.moves_at(5.0)


def test_a_position_that_begins_or_ceases_to_be_known_is_a_motion_and_one_that_stays_unknown_is_none(settling, clock):
    """DRV-63"""
    assert settling.moves_at(None)
    clock.now += 1.0
    assert not settling.moves_at(None)
    assert settling.moves_at(5.0)
    clock.now += 1.0
    assert not settling.moves_at(5.0)
    assert settling.moves_at(None)

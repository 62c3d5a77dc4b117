"""The stop token of a command: stopped by what comes after its acceptance, and for good."""

from __future__ import annotations

import threading

import pytest

from authority.ports import MotionStopped, StopSource, StopToken

WAIT_S = 30


def test_a_token_is_stopped_by_every_stop_that_comes_after_it_was_taken_and_by_none_before() -> None:
    """STOP-5"""
    source = StopSource()
    with source.stopping():
        assert source.token().stopped
    before = source.token()
    assert not before.stopped
    with source.stopping():
        assert before.stopped
    assert before.stopped
    assert not source.token().stopped


def test_what_is_accepted_while_one_of_several_stops_is_on_its_way_stays_stopped_after_them() -> None:
    """STOP-5, STOP-12"""
    source = StopSource()
    with source.stopping():
        with source.stopping():
            pass
        assert source.under_way
        meanwhile = source.token()
        assert meanwhile.stopped
    assert not source.under_way
    assert meanwhile.stopped
    assert not source.token().stopped


def test_a_stop_that_fails_in_its_call_leaves_no_stop_on_its_way() -> None:
    """STOP-5"""
    source = StopSource()
    with pytest.raises(OSError, match="cut"), source.stopping():
        raise OSError("cut")
    assert not source.token().stopped


def test_a_driver_that_waits_on_its_token_is_woken_by_the_stop() -> None:
    """DRV-10"""
    token = StopToken()
    assert token.wait(0.0) is False
    token.raise_if_stopped()
    stopper = threading.Thread(target=token.stop)
    stopper.start()
    assert token.wait(WAIT_S)
    stopper.join()
    with pytest.raises(MotionStopped, match=r"^stopped before the device had the command$"):
        token.raise_if_stopped()
    with pytest.raises(MotionStopped, match=r"^stopped at 3 mm$"):
        token.raise_if_stopped("stopped at 3 mm")

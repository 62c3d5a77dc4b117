"""What a restart of the authority does to holders, queues, fences and clocks: nothing but new clocks."""

from __future__ import annotations

import msgspec
import pytest

from authority.core import messages
from authority.core.model import Equipment, Outcome, Policy, Role, Session
from authority.core.refusals import LockLost

from .given import (
    ANN,
    BOB,
    CEM,
    EVE,
    X,
    acquire,
    connected,
    control,
    dropped,
    finish,
    given,
    gone,
    kinds,
    release,
    stop,
    the,
    watch,
)  # fmt: skip

HOUR = 3600.0


def test_holders_observers_queues_and_fences_survive_a_restart():
    """LOCK-9, LOCK-8, STORE-3"""
    lab = given(watch(CEM), acquire(ANN), acquire(BOB, wait=True), watch(EVE), policy=Policy(observers="alongside"))
    before = lab.x
    lab.restart(after=HOUR)
    assert (lab.x.lock.lock_id, lab.x.fence, lab.waiting, lab.observing) == (
        before.lock.lock_id, 1, [BOB], [CEM, EVE],
    )  # fmt: skip
    lab.do(release(ANN))
    assert (lab.holder, lab.x.fence) == (BOB, 2)


@pytest.mark.parametrize(
    ("before", "until", "ends_at"),
    [
        ([acquire(EVE)], 299, 300),
        ([acquire(ANN), acquire(BOB, wait=True)], 299, 300),
        ([acquire(ANN), acquire(EVE, wait=True), release(ANN)], 119, 120),
        ([acquire(ANN), control(ANN), finish(moving=True), release(ANN)], 59, 60),
        ([acquire(ANN), control(ANN), finish(moving=True), gone(ANN)], 4, 5),
        ([watch(EVE)], 299, 300),
    ],
    ids=["idle", "offered", "claim", "finish", "stop", "observer"],
)
def test_after_a_restart_every_clock_starts_in_full(before, until, ends_at):
    """LIVE-20"""
    lab = given(*before)
    lab.late(lab.now + ends_at - 1)
    assert set(kinds(lab.restart(after=HOUR))) == {"ClocksRestarted"}
    began = lab.now
    assert kinds(lab.until(began + until)) == []
    assert kinds(lab.until(began + ends_at)) != []


def test_after_a_restart_the_silent_have_a_full_lease_and_the_program_its_timeout():
    """LIVE-20, LIVE-6, LIVE-15"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), watch(EVE, timeout_s=0), policy=Policy(observers="alongside"))
    lab.until(55, beating=[BOB])
    lab.restart(after=HOUR)
    began = lab.now
    lab.until(began + 59, beating=[BOB])
    assert lab.holder == ANN
    lab.until(began + 60, beating=[BOB])
    assert lab.holder == BOB
    lab.until(began + 599, beating=[BOB])
    assert lab.lives(EVE)
    lab.until(began + 600, beating=[BOB])
    assert not lab.lives(EVE)


def test_after_a_restart_the_count_of_connections_starts_at_the_first_new_one():
    """LIVE-5, LIVE-4"""
    lab = given(connected(ANN), connected(ANN, Role.KEEPER), acquire(ANN), dropped(ANN), dropped(ANN, Role.KEEPER))
    lab.restart(after=1)
    lab.until(lab.now + 50, beating=[])
    assert lab.lives(ANN)
    lab.do(connected(ANN))
    lab.do(dropped(ANN))
    lab.until(lab.now + 5, beating=[])
    assert not lab.lives(ANN)


def test_a_command_in_flight_at_a_crash_is_unknown_and_its_holder_still_holds():
    """STORE-4, CMD-8"""
    lab = given(acquire(ANN), control(ANN, "a"), control(ANN, "b"))
    finished = the(messages.CommandFinished, lab.restart(after=10))
    assert (finished.key, finished.outcome, lab.holder, lab.x.moving) == ("a", Outcome.UNKNOWN, ANN, True)
    assert (lab.x.running, lab.x.accepted) == (None, ())


def test_a_draining_goes_on_after_a_restart_and_waits_for_rest():
    """STORE-4, LOSS-1, LIVE-20"""
    lab = given(acquire(ANN), control(ANN), acquire(BOB, wait=True), gone(ANN))
    lab.restart(after=HOUR)
    assert (lab.x.state, lab.x.drain.deadline) == ("draining", lab.now + 5)
    lab.do(stop(None, user=None))
    assert lab.holder == BOB


def test_a_waiter_that_was_silent_is_heard_again_after_a_restart():
    """LIVE-20, QUEUE-7"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(61, beating=[ANN])
    lab.do(release(ANN))
    assert lab.holder is None
    lab.restart(after=1)
    assert lab.holder == BOB


def test_a_turn_starts_in_full_after_a_restart():
    """LIVE-20, TURN-1"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), policy=Policy(max_hold_seconds=100, on_idle="keep"))
    lab.until(90)
    lab.restart(after=1)
    lab.until(lab.now + 99)
    assert lab.holder == ANN
    lab.until(lab.now + 1)
    assert lab.holder == BOB


def test_what_is_remembered_can_be_written_and_read():
    """STORE-3, LOCK-9"""
    lab = given(watch(CEM), acquire(ANN), control(ANN), acquire(BOB, wait=True), stop(BOB), gone(ANN))
    for entry, kind in ((lab.x, Equipment), (lab.session(BOB), Session)):
        assert msgspec.json.decode(msgspec.json.encode(entry), type=kind) == entry


def test_a_device_that_has_obeyed_a_higher_fence_raises_that_of_its_equipment():
    """STORE-19, LOCK-8"""
    lab = given(acquire(ANN))
    raised = the(messages.FenceRaised, lab.do(messages.RaiseFence(equipment=X, fence=7)))
    assert (raised.equipment, raised.fence, lab.x.fence) == (X, 8, 8), "7 was somebody else's"
    lab.refuses(control(ANN, fence=1), LockLost)
    lab.do(acquire(ANN))
    lab.do(control(ANN, fence=8))
    assert (lab.holder, lab.x.lock.fence, lab.x.running.fence) == (ANN, 8, 8)
    lab.do(finish())
    lab.do(release(ANN))
    lab.do(acquire(BOB))
    assert lab.x.lock.fence == 9


def test_where_nobody_holds_the_next_grant_is_right_above_the_fence_that_the_device_has_obeyed():
    """STORE-19, LOCK-8"""
    lab = given(acquire(ANN), release(ANN))
    assert the(messages.FenceRaised, lab.do(messages.RaiseFence(equipment=X, fence=7))).fence == 7
    lab.do(acquire(BOB))
    assert lab.x.lock.fence == 8


@pytest.mark.parametrize("fence", [0, 1, 2])
def test_a_device_that_has_obeyed_no_higher_fence_changes_nothing(fence):
    """STORE-19"""
    lab = given(acquire(ANN), release(ANN), acquire(BOB))
    assert kinds(lab.do(messages.RaiseFence(equipment=X, fence=fence))) == []
    assert lab.x.fence == 2

"""A holder's promise: until then idling does not run, and nothing else is put off."""

from __future__ import annotations

import pytest

from authority.core import clocks, messages
from authority.core.model import KeepPromise, LossCause, Policy
from authority.core.refusals import KeepTooLong, LockLost, NoLock

from .given import (
    ANN,
    BOB,
    CEM,
    EVE,
    X,
    Y,
    acquire,
    activity,
    beat,
    control,
    end,
    finish,
    force,
    given,
    gone,
    group,
    keep,
    kinds,
    release,
    the,
    watch,
)  # fmt: skip

HOUR = 3600.0


def test_a_promise_is_seen_by_all():
    """IDLE-8"""
    lab = given(acquire(ANN))
    lab.until(10)
    told = the(messages.LockKept, lab.do(keep(ANN, seconds=3 * HOUR, note="overnight scan")))
    assert told.kept == lab.x.lock.kept == KeepPromise(until=10 + 3 * HOUR, note="overnight scan")
    assert (told.session, told.lock_id) == (ANN, lab.x.lock.lock_id)


def test_idling_begins_when_the_promised_time_has_come_and_runs_in_full_from_then():
    """IDLE-8, IDLE-6"""
    lab = given(acquire(EVE, timeout_s=50), keep(EVE, seconds=500))
    lab.until(549)
    assert lab.holder == EVE
    assert the(messages.LockEnded, lab.until(550)).loss.why == LossCause.IDLE


def test_an_offer_waits_for_the_promised_time_also_while_somebody_waits():
    """IDLE-8, IDLE-5"""
    lab = given(acquire(ANN), keep(ANN, seconds=2 * HOUR), acquire(BOB, wait=True))
    lab.until(2 * HOUR + 299)
    assert (lab.holder, lab.waiting) == (ANN, [BOB])
    assert the(messages.LockEnded, lab.until(2 * HOUR + 300)).loss.why == LossCause.OFFERED
    assert lab.holder == BOB


def test_use_after_the_promised_time_restarts_idling_as_ever():
    """IDLE-8, IDLE-1"""
    lab = given(acquire(EVE), keep(EVE, seconds=100))
    lab.until(200)
    lab.do(activity(EVE))
    lab.until(499)
    assert lab.holder == EVE
    lab.until(500)
    assert lab.holder is None


def test_a_kernel_that_is_busy_past_the_promised_time_idles_from_its_end():
    """IDLE-8, IDLE-3"""
    lab = given(acquire(ANN), keep(ANN, seconds=100), acquire(BOB, wait=True), beat(ANN, busy=True))
    lab.until(1000, busy=True)
    lab.do(beat(ANN))
    lab.until(1299)
    assert lab.holder == ANN
    lab.until(1300)
    assert lab.holder == BOB


def test_a_kernel_that_became_idle_before_the_promised_time_idles_from_that_time():
    """IDLE-8, IDLE-3"""
    lab = given(acquire(ANN), keep(ANN, seconds=100), acquire(BOB, wait=True))
    lab.until(399)
    assert lab.holder == ANN
    lab.until(400)
    assert lab.holder == BOB


@pytest.mark.parametrize("seconds", [250, 100], ids=["longer", "shorter"])
def test_a_new_promise_replaces_the_old_one(seconds):
    """IDLE-8"""
    lab = given(acquire(EVE), keep(EVE, seconds=200, note="a scan"))
    lab.until(20)
    lab.do(keep(EVE, seconds=seconds))
    assert lab.x.lock.kept == KeepPromise(until=20 + seconds)
    lab.until(20 + seconds + 299)
    assert lab.holder == EVE
    lab.until(20 + seconds + 300)
    assert lab.holder is None


def test_no_seconds_take_the_promise_back():
    """IDLE-8"""
    lab = given(acquire(EVE), keep(EVE, seconds=HOUR))
    lab.until(10)
    assert the(messages.LockKept, lab.do(keep(EVE, seconds=0))).kept is None
    assert lab.x.lock.kept is None
    lab.until(310)
    assert lab.holder is None


def test_a_refresh_and_use_leave_the_promise_as_it_is():
    """IDLE-8, LOCK-4"""
    lab = given(acquire(ANN), keep(ANN, seconds=HOUR, note="a scan"), acquire(ANN), control(ANN), finish())
    assert lab.x.lock.kept == KeepPromise(until=HOUR, note="a scan")


@pytest.mark.parametrize("last", [release(ANN), force(CEM), gone(ANN), end(ANN), watch(ANN)], ids=type)
def test_a_promise_ends_with_its_lock(last):
    """IDLE-8"""
    lab = given(acquire(ANN), keep(ANN, seconds=HOUR), last, acquire(BOB))
    assert (lab.holder, lab.x.lock.kept) == (BOB, None)
    lab.do(release(BOB))
    if lab.lives(ANN):
        lab.do(acquire(ANN))
        assert lab.x.lock.kept is None


def test_a_promise_is_of_one_lock_also_where_it_was_granted_in_a_group():
    """IDLE-8, GROUP-1"""
    lab = given(group(ANN, X, Y), keep(ANN, Y, seconds=HOUR))
    assert (lab.x.lock.kept, lab.y.lock.kept) == (None, KeepPromise(until=HOUR))


def test_a_promise_does_not_put_off_silence():
    """IDLE-11, LIVE-11"""
    lab = given(acquire(ANN), keep(ANN, seconds=HOUR), acquire(BOB, wait=True))
    assert the(messages.LockEnded, lab.until(60, beating=[BOB])).loss.why == LossCause.SILENCE
    assert lab.holder == BOB


def test_a_promise_does_not_put_off_the_turn():
    """IDLE-11, TURN-2"""
    lab = given(acquire(ANN), keep(ANN, seconds=HOUR), acquire(BOB, wait=True), policy=Policy(max_hold_seconds=100))
    assert the(messages.LockEnded, lab.until(100)).loss.why == LossCause.TURN


@pytest.mark.parametrize("last", [gone(ANN), end(ANN), force(BOB)], ids=["gone", "end", "force"])
def test_a_promise_holds_against_neither_death_nor_force(last):
    """IDLE-11, LIVE-17, FORCE-1"""
    lab = given(acquire(ANN), keep(ANN, seconds=HOUR), acquire(CEM, wait=True), last)
    assert lab.holder == CEM


def test_a_promise_does_not_keep_a_programs_session_alive():
    """IDLE-11, LIVE-15"""
    lab = given(acquire(EVE), keep(EVE, seconds=HOUR))
    lab.until(600)
    assert (lab.lives(EVE), lab.holder) == (False, None)


def test_the_countdown_that_people_see_has_the_promise_in_it():
    """IDLE-8, IDLE-10"""
    lab = given(acquire(ANN), acquire(EVE, Y), keep(ANN, seconds=HOUR), keep(EVE, Y, seconds=100))
    assert clocks.ending(lab.table, lab.x) == clocks.Ending("offer", HOUR + 300)
    assert clocks.ending(lab.table, lab.y) == clocks.Ending("idle", 400)


def test_where_nothing_is_lost_by_idling_a_promise_is_seen_all_the_same():
    """IDLE-8, IDLE-7"""
    lab = given(acquire(ANN), keep(ANN, seconds=100), acquire(BOB, wait=True), policy=Policy(on_idle="keep"))
    assert lab.x.lock.kept == KeepPromise(until=100)
    lab.until(10 * HOUR)
    assert lab.holder == ANN


def test_a_restart_changes_nothing_of_a_promise():
    """IDLE-11, LIVE-20"""
    lab = given(acquire(EVE, timeout_s=50), keep(EVE, seconds=500, note="a scan"))
    lab.until(100)
    assert set(kinds(lab.restart(after=100))) == {"ClocksRestarted"}
    assert lab.x.lock.kept == KeepPromise(until=500, note="a scan")
    lab.until(549)
    assert lab.holder == EVE
    lab.until(550)
    assert lab.holder is None


def test_a_promise_that_ran_out_while_the_authority_was_down_leaves_the_idle_time_in_full():
    """IDLE-11, LIVE-20"""
    lab = given(acquire(EVE, timeout_s=50), keep(EVE, seconds=100))
    lab.restart(after=1000)
    lab.until(1049)
    assert lab.holder == EVE
    lab.until(1050)
    assert lab.holder is None


def test_the_lab_file_may_bound_a_promise():
    """IDLE-12"""
    lab = given(acquire(ANN), policy=Policy(max_keep_seconds=100))
    assert lab.refuses(keep(ANN, seconds=100.1), KeepTooLong).code == "outside_limits"
    lab.do(keep(ANN, seconds=100))
    lab.until(60)
    lab.refuses(keep(ANN, seconds=101), KeepTooLong)
    lab.do(keep(ANN, seconds=100))
    assert lab.x.lock.kept == KeepPromise(until=160)


def test_one_who_takes_a_promise_back_has_the_idle_time_in_full():
    """IDLE-8, IDLE-1"""
    lab = given(acquire(EVE), keep(EVE, seconds=HOUR))
    lab.until(500, beating=[])
    lab.do(keep(EVE, seconds=0))
    lab.until(799, beating=[])
    assert lab.holder == EVE
    lab.until(800, beating=[])
    assert lab.x.losses[-1].why == LossCause.IDLE


def test_where_the_lab_file_says_nothing_a_promise_has_no_bound():
    """IDLE-12"""
    lab = given(acquire(ANN), keep(ANN, seconds=1000 * HOUR))
    assert lab.x.lock.kept == KeepPromise(until=1000 * HOUR)


def test_only_the_holder_promises():
    """IDLE-12, CLAIM-6"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    assert lab.refuses(keep(BOB, seconds=10), NoLock).code == "no_lock"
    lab.refuses(keep(ANN, Y, seconds=10), NoLock)
    lab.do(release(ANN))
    assert lab.refuses(keep(ANN, seconds=10), LockLost).loss.why == LossCause.LOGOUT
    lab.do(control(BOB))
    lab.do(release(BOB))
    assert lab.x.state == "draining"
    lab.refuses(keep(BOB, seconds=10), LockLost)
    lab.do(finish())
    lab.do(watch(CEM))
    lab.refuses(keep(CEM, seconds=10), NoLock)

"""Who may look, and what an exclusive grant means for those who look."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.model import LossCause, Policy
from authority.core.refusals import EquipmentInUse, LockRequired, NotAtRest, ObserveRequired, WaitersPresent

from .given import (
    ANN,
    BOB,
    CEM,
    DAN,
    EVE,
    FAY,
    acquire,
    activity,
    control,
    end,
    finish,
    force,
    given,
    kinds,
    observe,
    release,
    the,
    watch,
)  # fmt: skip

ALONGSIDE = Policy(observers="alongside")


def test_any_number_may_observe_at_once():
    """OBS-1"""
    lab = given(watch(ANN), watch(BOB), watch(EVE))
    assert (lab.observing, lab.x.state, lab.x.fence) == ([ANN, BOB, EVE], "free", 0)


def test_an_observer_may_ask_and_may_not_move():
    """OBS-2, CMD-1"""
    lab = given(watch(ANN))
    assert kinds(lab.do(observe(ANN))) == []
    lab.refuses(control(ANN), LockRequired)


def test_who_has_no_lock_may_not_ask_the_driver():
    """OBS-3, CMD-1"""
    lab = given(acquire(BOB))
    lab.refuses(observe(ANN), ObserveRequired)
    lab.do(observe(BOB))
    lab.do(control(BOB))
    lab.do(release(BOB))
    lab.refuses(observe(BOB), ObserveRequired)


def test_apart_an_observer_is_refused_while_somebody_holds():
    """OBS-4"""
    lab = given(acquire(ANN))
    lab.refuses(watch(BOB), EquipmentInUse)


def test_apart_an_observer_waits_when_it_says_so():
    """OBS-4, QUEUE-8"""
    lab = given(acquire(ANN), watch(BOB, wait=True))
    assert (lab.waiting, lab.observing) == ([BOB], [])
    lab.do(release(ANN))
    assert (lab.waiting, lab.observing) == ([], [BOB])


def test_apart_an_exclusive_grant_ends_every_observer_lock_and_tells_each():
    """OBS-5"""
    lab = given(watch(ANN), watch(BOB))
    events = lab.do(acquire(CEM))
    ended = [(e.session, e.why, e.by) for e in events if isinstance(e, messages.ObserverEnded)]
    assert ended == [(ANN, LossCause.EXCLUSIVE_GRANT, "Cem"), (BOB, LossCause.EXCLUSIVE_GRANT, "Cem")]
    assert lab.observing == []


def test_alongside_observers_stay_and_join_while_somebody_holds():
    """OBS-6"""
    lab = given(watch(ANN), acquire(BOB), watch(CEM), policy=ALONGSIDE)
    assert (lab.observing, lab.holder) == ([ANN, CEM], BOB)
    lab.do(acquire(DAN, wait=True))
    lab.do(release(BOB))
    assert (lab.observing, lab.holder) == ([ANN, CEM], DAN)


def test_alongside_observers_join_also_while_it_drains():
    """OBS-6, LOSS-11"""
    lab = given(acquire(ANN), control(ANN), release(ANN), policy=ALONGSIDE)
    assert lab.x.state == "draining"
    lab.do(watch(BOB))
    assert lab.observing == [BOB]


def test_a_downgrade_ends_the_exclusive_lock_and_observes_in_the_same_step():
    """OBS-7"""
    lab = given(acquire(ANN))
    events = lab.do(watch(ANN))
    assert kinds(events) == ["LockEnded", "ObserverAcquired"]
    assert the(messages.LockEnded, events).loss.why == LossCause.DOWNGRADED
    assert (lab.holder, lab.observing) == (None, [ANN])


def test_a_downgrade_is_refused_while_somebody_waits_for_the_lock():
    """OBS-8"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.refuses(watch(ANN), WaitersPresent)


def test_a_downgrade_passes_by_a_waiter_who_is_silent():
    """OBS-8, LIVE-12"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(70, beating=[ANN])
    lab.do(watch(ANN))
    assert (lab.observing, lab.waiting, lab.holder) == ([ANN], [BOB], None)


def test_a_downgrade_lets_waiting_observers_in():
    """OBS-8, QUEUE-7"""
    lab = given(acquire(ANN), watch(BOB, wait=True), watch(ANN))
    assert (lab.observing, lab.waiting) == ([ANN, BOB], [])


@pytest.mark.parametrize("policy", [Policy(), ALONGSIDE])
def test_an_upgrade_replaces_ones_own_observer_lock(policy):
    """OBS-9"""
    lab = given(watch(ANN), policy=policy)
    ended = the(messages.ObserverEnded, lab.do(acquire(ANN)))
    assert (ended.session, ended.why, lab.holder, lab.observing) == (ANN, LossCause.UPGRADED, ANN, [])


def test_an_observer_releases_its_observer_lock_only():
    """OBS-10, LOCK-5"""
    lab = given(acquire(ANN), watch(BOB), policy=ALONGSIDE)
    assert kinds(lab.do(release(BOB))) == ["ObserverEnded"]
    assert (lab.holder, lab.observing) == (ANN, [])


def test_an_observer_with_a_keeper_observes_as_long_as_it_lives():
    """OBS-13"""
    lab = given(watch(ANN))
    lab.until(20_000)
    assert lab.observing == [ANN]
    ended = the(messages.ObserverEnded, lab.do(end(ANN)))
    assert (ended.why, lab.observing) == (LossCause.SESSION_ENDED, [])


def test_an_observer_without_a_keeper_observes_until_its_time_is_over():
    """OBS-13, OBS-15"""
    lab = given(watch(EVE, timeout_s=100))
    for at, use in ((90, observe(EVE)), (180, activity(EVE)), (270, watch(EVE, timeout_s=100))):
        lab.until(at)
        lab.do(use)
    assert kinds(lab.until(369)) == []
    assert the(messages.ObserverEnded, lab.until(370)).why == LossCause.IDLE


def test_an_observer_without_a_timeout_observes_as_long_as_its_session_lives():
    """OBS-13"""
    lab = given(watch(EVE, timeout_s=0))
    lab.until(599)
    assert lab.observing == [EVE]
    assert the(messages.ObserverEnded, lab.until(600)).why == LossCause.SESSION_EXPIRED


def test_a_downgrade_is_refused_until_nothing_moves():
    """OBS-14"""
    lab = given(acquire(ANN), control(ANN))
    lab.refuses(watch(ANN), NotAtRest)
    lab.do(finish(moving=True))
    lab.refuses(watch(ANN), NotAtRest)


def test_an_observer_who_asks_again_keeps_its_lock():
    """OBS-15"""
    lab = given(watch(FAY))
    since = lab.x.observers[0].since
    lab.until(10)
    lab.do(watch(FAY))
    assert [(o.session, o.since, o.used_at) for o in lab.x.observers] == [(FAY, since, 10)]


def test_an_observer_who_asks_does_not_overtake_who_waits_apart():
    """QUEUE-4, OBS-4"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), force(CEM))
    assert lab.holder == BOB
    lab.refuses(watch(DAN), EquipmentInUse)

"""Who may have the exclusive lock, and what a fence is for."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.model import LOSSES_KEPT, LossCause, SessionId
from authority.core.refusals import EquipmentInUse, LockLost, LockRequired, NoLock, NotHolder, UnknownEquipment

from .given import (
    ANN,
    BOB,
    CEM,
    EVE,
    EquipmentId,
    X,
    Y,
    acquire,
    claim,
    control,
    finish,
    given,
    gone,
    kinds,
    moved,
    observe,
    release,
    session,
    the,
    watch,
)  # fmt: skip


def test_a_login_on_free_equipment_is_granted():
    """LOCK-2, LOCK-8"""
    lab = given()
    granted = the(messages.LockAcquired, lab.do(acquire(ANN, note="alignment")))
    assert (granted.session, granted.user, granted.lock.fence) == (ANN, "Ann", 1)
    assert (lab.holder, lab.x.state, lab.x.lock.note) == (ANN, "held", "alignment")
    assert lab.y.lock is None


def test_a_login_on_equipment_in_use_is_refused_and_changes_nothing():
    """LOCK-1, LOCK-3, LOCK-7"""
    lab = given(acquire(ANN, note="alignment"))
    refused = lab.refuses(acquire(BOB), EquipmentInUse)
    assert (refused.code, refused.equipment.lock.session, refused.equipment.lock.since) == ("equipment_in_use", ANN, 0)
    assert refused.equipment.lock.note == "alignment"


def test_two_logins_at_the_same_instant_give_one_grant_and_one_refusal():
    """LOCK-13, LOCK-1"""
    lab = given(acquire(ANN))
    lab.refuses(acquire(BOB), EquipmentInUse)
    assert (lab.holder, lab.x.fence, lab.waiting) == (ANN, 1, [])


def test_two_sessions_of_one_user_are_two_clients():
    """LOCK-1, LOCK-3"""
    lab = given(acquire(ANN))
    other = session(SessionId("ann-2"), keeper=True)
    lab.do(messages.OpenSession(session=other))
    lab.refuses(acquire(other.id), EquipmentInUse)


def test_a_login_by_the_holder_refreshes_the_same_lock():
    """LOCK-4, LOCK-8"""
    lab = given(acquire(ANN, note="first", timeout_s=100))
    before = lab.x.lock
    lab.until(50)
    assert kinds(lab.do(acquire(ANN, timeout_s=900, again=1))) == ["LockRefreshed"]
    now = lab.x.lock
    assert (now.lock_id, now.fence, now.since) == (before.lock_id, before.fence, before.since)
    assert (now.timeout_s, now.note, now.used_at) == (900, "first", 50)
    lab.do(acquire(ANN, note="second"))
    assert lab.x.lock.note == "second"


def test_the_holder_who_asks_to_wait_is_refreshed_and_not_queued():
    """LOCK-4"""
    lab = given(acquire(ANN), acquire(ANN, wait=True))
    assert (lab.holder, lab.waiting) == (ANN, [])


def test_only_the_holder_can_release():
    """LOCK-5"""
    lab = given(acquire(ANN))
    lab.refuses(release(BOB), NotHolder)
    ended = the(messages.LockEnded, lab.do(release(ANN)))
    assert (ended.loss.why, lab.x.state) == (LossCause.LOGOUT, "free")


def test_a_waiter_and_a_stranger_cannot_release_what_another_drains():
    """LOCK-5"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), control(ANN), release(ANN))
    assert lab.x.state == "draining"
    lab.refuses(release(BOB), NotHolder)
    lab.refuses(release(CEM), NotHolder)


def test_a_release_of_what_nobody_holds_says_that_there_is_no_lock():
    """LOCK-6"""
    given().refuses(release(ANN), NoLock)


def test_a_second_release_says_that_there_is_no_lock():
    """LOCK-6"""
    lab = given(acquire(ANN), control(ANN), release(ANN))
    assert lab.x.state == "draining"
    lab.refuses(release(ANN), NoLock)
    lab.do(finish())
    lab.refuses(release(ANN), NoLock)


def test_every_grant_raises_the_fence_by_one_and_a_refresh_does_not():
    """LOCK-8, LOCK-9"""
    lab = given(acquire(ANN), acquire(ANN), release(ANN), acquire(BOB), acquire(CEM, wait=True), release(BOB))
    assert (lab.holder, lab.x.fence, lab.x.lock.fence) == (CEM, 3, 3)
    lab.do(claim(CEM))
    assert lab.x.fence == 3
    assert lab.y.fence == 0


def test_a_downgrade_does_not_raise_the_fence():
    """LOCK-8"""
    lab = given(acquire(ANN), watch(ANN))
    assert (lab.x.fence, lab.observing) == (1, [ANN])


def test_who_never_had_the_lock_is_told_that_one_is_required():
    """LOCK-10"""
    lab = given(acquire(ANN))
    assert lab.refuses(control(BOB), LockRequired).equipment.lock.session == ANN
    lab.refuses(control(BOB, what=Y), LockRequired)


def test_who_lost_the_lock_is_told_how_also_after_the_next_holder_has_left():
    """LOCK-11"""
    lab = given(acquire(ANN, timeout_s=100))
    lab.until(150)
    lab.do(acquire(BOB))
    for _ in range(2):
        loss = lab.refuses(control(ANN), LockLost).loss
        assert (loss.why, loss.by, loss.at, loss.fence) == (LossCause.OFFERED, "Bob", 150, 1)
        if lab.holder == BOB:
            lab.do(release(BOB))
    lab.do(acquire(ANN))
    assert "CommandStarted" in kinds(lab.do(control(ANN)))


def test_while_it_drains_the_last_holder_is_told_how_it_lost_the_lock():
    """LOCK-11, LOSS-1"""
    lab = given(acquire(ANN), control(ANN))
    lab.do(messages.ForceRelease(session=BOB, equipment=X, by="Bob", reason="smoke"))
    assert lab.x.state == "draining"
    for request in (control(ANN, "next"), claim(ANN)):
        loss = lab.refuses(request, LockLost).loss
        assert loss is not None
        assert (loss.why, loss.by, loss.reason, loss.fence) == (LossCause.FORCED, "Bob", "smoke", 1)


def test_the_last_eight_losses_are_remembered():
    """LOCK-11"""
    lab = given(acquire(ANN), release(ANN))
    for _ in range(LOSSES_KEPT - 1):
        lab.do(acquire(BOB))
        lab.do(release(BOB))
    lab.refuses(control(ANN), LockLost)
    lab.do(acquire(BOB))
    lab.do(release(BOB))
    lab.refuses(control(ANN), LockRequired)


def test_a_command_under_an_old_fence_is_refused_also_when_its_sender_holds_again():
    """LOCK-12"""
    lab = given(acquire(ANN), release(ANN), acquire(ANN))
    lab.refuses(control(ANN, fence=1), LockLost)
    assert kinds(lab.do(control(ANN, fence=2))) == ["CommandStarted"]


def test_the_holder_sleeps_loses_the_lock_and_replays_its_old_command():
    """LOCK-12, LOCK-11, LIVE-6"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(70, beating=[BOB])
    assert lab.holder == BOB
    lab.do(release(BOB))
    assert lab.refuses(control(ANN, fence=1), LockLost).loss.why == LossCause.SILENCE
    lab.do(acquire(ANN))
    lab.refuses(control(ANN, fence=1), LockLost)


def test_unknown_equipment_is_refused_whoever_asks():
    """LOCK-7"""
    lab = given()
    nowhere = EquipmentId("nowhere")
    for request in (acquire(ANN, nowhere), release(EVE, nowhere), control(ANN, what=nowhere), moved(True, nowhere)):
        lab.refuses(request, UnknownEquipment)


def test_locks_of_different_equipment_are_independent():
    """LOCK-1, LOSS-1"""
    lab = given(acquire(ANN, X), acquire(BOB, Y), control(ANN), gone(ANN))
    assert (lab.x.state, lab.y.state, lab.y.lock.session) == ("draining", "held", BOB)


@pytest.mark.parametrize("request_", [acquire(BOB), release(BOB), control(BOB), observe(BOB), claim(BOB)])
def test_a_refused_request_leaves_the_history_as_it_was(request_):
    """LOCK-7"""
    lab = given(acquire(ANN))
    before = list(lab.history)
    with pytest.raises(Exception, match="x"):
        lab.do(request_)
    assert lab.history == before

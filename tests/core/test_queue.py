"""Who waits, in which order, when the queue is served, and how a grant is claimed."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.acquire import QUEUE_LIMIT
from authority.core.model import LockMode, LossCause, Policy, SessionId
from authority.core.refusals import (
    EquipmentInUse,
    LockLost,
    NoLock,
    QueueFull,
    StoppedByAnother,
    UnknownEntry,
    WouldDeadlock,
)

from .given import (
    ANN,
    BOB,
    CEM,
    DAN,
    EVE,
    KERNELS,
    Lab,
    X,
    Y,
    acquire,
    activity,
    beat,
    claim,
    clear_fault,
    control,
    end,
    finish,
    force,
    given,
    gone,
    group,
    kinds,
    leave,
    observe,
    release,
    session,
    stop,
    stopped_by_the_authority,
    the,
    watch,
)  # fmt: skip


def test_a_blocked_request_that_says_so_waits_at_the_end():
    """QUEUE-1, QUEUE-2"""
    lab = given(acquire(ANN))
    assert the(messages.Queued, lab.do(acquire(BOB, wait=True))).position == 1
    assert the(messages.Queued, lab.do(acquire(CEM, wait=True))).position == 2
    assert (lab.waiting, lab.holder) == ([BOB, CEM], ANN)


def test_the_queue_is_first_in_first_out():
    """QUEUE-2"""
    lab = given(acquire(ANN), acquire(CEM, wait=True), acquire(BOB, wait=True))
    for leaver, heir in ((ANN, CEM), (CEM, BOB)):
        lab.do(release(leaver))
        assert lab.holder == heir


def test_asking_again_keeps_the_same_place():
    """QUEUE-3"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), acquire(CEM, wait=True))
    assert kinds(lab.do(acquire(BOB, wait=True, again=1))) == []
    assert [e.queue_id for e in lab.x.queue] == ["queue_bob_x_0", "queue_cem_x_0"]


def test_a_waiter_who_does_not_want_to_wait_is_refused_and_keeps_its_place():
    """LOCK-3, QUEUE-3"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.refuses(acquire(BOB), EquipmentInUse)
    assert lab.waiting == [BOB]


def test_nobody_overtakes_who_waits():
    """QUEUE-4, LOSS-9"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), control(ANN), release(ANN))
    lab.refuses(acquire(CEM), EquipmentInUse)
    lab.do(finish())
    assert lab.holder == BOB
    lab.refuses(acquire(CEM), EquipmentInUse)


def test_who_asks_passes_by_those_who_are_silent_and_they_keep_their_places():
    """QUEUE-4, LIVE-12"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(70, beating=[ANN, CEM])
    lab.do(release(ANN))
    assert lab.holder is None
    lab.do(acquire(CEM))
    assert (lab.holder, lab.waiting) == (CEM, [BOB])


def test_a_grant_keeps_what_its_entry_asked_for():
    """QUEUE-5"""
    lab = given(acquire(ANN), acquire(BOB, wait=True, timeout_s=42, note="calibration"), release(ANN))
    assert (lab.x.lock.timeout_s, lab.x.lock.note) == (42, "calibration")


def test_an_entry_keeps_its_mode():
    """QUEUE-5"""
    lab = given(acquire(ANN), watch(BOB, wait=True))
    assert lab.x.queue[0].mode is LockMode.OBSERVER
    lab.do(release(ANN))
    assert (lab.observing, lab.holder) == ([BOB], None)


def test_a_waiter_may_leave_and_only_by_its_own_entry():
    """QUEUE-6"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), acquire(CEM, wait=True))
    for wrong in (
        leave(BOB, again=7),
        messages.LeaveQueue(session=CEM, equipment=X, queue_id="queue_bob_x_0"),
        leave(ANN),
    ):
        lab.refuses(wrong, UnknownEntry)
    assert the(messages.QueueLeft, lab.do(leave(BOB))).result == "left"
    assert lab.waiting == [CEM]


def test_the_head_of_the_queue_is_granted_in_the_same_step_as_the_release():
    """QUEUE-7, LOSS-9, LOCK-8"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    assert kinds(lab.do(release(ANN))) == ["LockEnded", "QueueLeft", "LockAcquired"]
    assert (lab.holder, lab.x.lock.fence) == (BOB, 2)


@pytest.mark.parametrize(
    "last", [end(ANN), gone(ANN), force(CEM), watch(ANN)], ids=["end", "gone", "force", "downgrade"]
)
def test_the_queue_is_served_in_the_step_that_makes_a_grant_possible(last):
    """QUEUE-7"""
    lab = given(
        acquire(ANN), acquire(BOB, wait=True) if not isinstance(last, messages.Acquire) else watch(BOB, wait=True)
    )
    lab.do(last)
    assert lab.waiting == []
    assert BOB in (lab.holder, *lab.observing)


def test_a_silent_waiter_who_speaks_is_granted_in_that_step():
    """QUEUE-7, LIVE-12"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(70, beating=[ANN])
    lab.do(release(ANN))
    assert (lab.holder, lab.waiting) == (None, [BOB])
    assert "LockAcquired" in kinds(lab.do(beat(BOB)))
    assert lab.holder == BOB


def test_a_cleared_fault_serves_the_queue_in_that_step():
    """QUEUE-7, LOSS-14"""
    lab = given(acquire(ANN), control(ANN), acquire(BOB, wait=True), gone(ANN))
    lab.until(5)
    assert (lab.x.state, lab.waiting) == ("fault", [BOB])
    lab.do(clear_fault())
    assert lab.holder == BOB


def test_observers_at_the_head_are_granted_together():
    """QUEUE-8"""
    lab = given(acquire(ANN), watch(BOB, wait=True), watch(CEM, wait=True), release(ANN))
    assert (lab.observing, lab.waiting) == ([BOB, CEM], [])


def test_observers_before_an_exclusive_entry_are_granted_and_ended_in_one_step_and_each_is_told():
    """QUEUE-8, OBS-5"""
    lab = given(acquire(ANN), watch(BOB, wait=True), acquire(CEM, wait=True))
    events = lab.do(release(ANN))
    assert kinds(events) == [
        "LockEnded", "QueueLeft", "ObserverAcquired", "QueueLeft", "ObserverEnded", "LockAcquired",
    ]  # fmt: skip
    assert (lab.holder, lab.observing) == (CEM, [])


def test_a_queue_has_a_limit():
    """QUEUE-9"""
    lab = given(acquire(ANN))
    for n in range(QUEUE_LIMIT):
        waiter = session(SessionId(f"waiter-{n}"), keeper=True)
        lab.do(messages.OpenSession(session=waiter))
        lab.do(acquire(waiter.id, wait=True))
    assert lab.refuses(acquire(BOB, wait=True), QueueFull).code == "queue_full"
    assert len(lab.x.queue) == 100


def full_queue(*, silent: tuple[int, ...]) -> Lab:
    """Ann holds `x`; a hundred wait, of whom those have been silent, the later in the tuple the longer."""
    lab = given(acquire(ANN))
    waiters = [SessionId(f"waiter-{n}") for n in range(QUEUE_LIMIT)]
    for waiter in waiters:
        lab.do(messages.OpenSession(session=session(waiter, keeper=True)))
        lab.do(acquire(waiter, wait=True))
    for place in reversed(silent):
        lab.until(lab.now + 1, beating=KERNELS)
        lab.do(beat(waiters[place]))
    awake = [waiter for n, waiter in enumerate(waiters) if n not in silent]
    lab.until(lab.now + 100, beating=(*KERNELS, *awake))
    return lab


def test_a_full_queue_gives_up_who_was_silent_longest():
    """QUEUE-21"""
    lab = full_queue(silent=(3, 50, 7))
    assert len(lab.x.queue) == QUEUE_LIMIT
    left = the(messages.QueueLeft, lab.do(acquire(BOB, wait=True)))
    assert (left.session, left.result) == ("waiter-7", "silent")
    lab.do(acquire(CEM, wait=True))
    assert (len(lab.x.queue), lab.waiting[-2:]) == (QUEUE_LIMIT, [BOB, CEM])
    assert "waiter-50" not in lab.waiting
    assert "waiter-3" in lab.waiting


def test_a_silent_group_leaves_all_its_queues_for_who_asks_at_a_full_one():
    """QUEUE-21, GROUP-8"""
    lab = full_queue(silent=())
    last = SessionId("waiter-99")
    lab.do(acquire(ANN, Y))
    lab.do(leave(last))
    lab.do(group(last, X, Y, wait=True))
    lab.until(lab.now + 100, beating=[name for name in (*KERNELS, *lab.waiting) if name != last])
    lab.do(acquire(BOB, wait=True))
    assert (lab.waiting[-1], lab.queues[1]) == (BOB, [])


def test_who_may_not_queue_for_another_reason_takes_nobodys_place():
    """QUEUE-21, LOCK-7"""
    lab = full_queue(silent=(3,))
    lab.do(acquire(DAN, Y))
    lab.do(acquire(ANN, Y, wait=True))
    lab.refuses(acquire(DAN, wait=True), WouldDeadlock)


def test_who_leaves_the_head_of_the_queue_lets_the_observers_behind_in():
    """QUEUE-7, QUEUE-8"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), watch(CEM, wait=True))
    lab.until(70, beating=[ANN, CEM])
    lab.do(release(ANN))
    assert (lab.observing, lab.waiting) == ([CEM], [BOB])


# -- claiming


def test_a_grant_from_the_queue_holds_at_once_and_must_be_claimed():
    """CLAIM-1"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), release(ANN))
    assert (lab.holder, lab.x.lock.fence, lab.x.lock.claim_by) == (BOB, 2, 120)


@pytest.mark.parametrize("use", [control(BOB), observe(BOB), activity(BOB), acquire(BOB), claim(BOB)])
def test_use_by_the_holder_claims(use):
    """CLAIM-2, CLAIM-4"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), release(ANN))
    lab.until(60)
    lab.do(use)
    assert (lab.x.lock.claim_by, lab.x.lock.used_at) == (None, 60)


def test_signs_of_life_do_not_claim():
    """CLAIM-2, CLAIM-3"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), release(ANN))
    lab.do(beat(BOB, busy=True))
    events = lab.until(120, busy=True)
    assert the(messages.LockEnded, events).loss.why == LossCause.UNCLAIMED
    assert lab.holder is None


def test_a_command_that_is_refused_does_not_claim():
    """CLAIM-2, LOCK-7"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), release(ANN), stop(CEM))
    lab.refuses(control(BOB), StoppedByAnother)
    assert lab.x.lock.claim_by == 120


def test_an_unclaimed_grant_passes_on_and_its_entry_is_gone():
    """CLAIM-3"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), acquire(CEM, wait=True), release(ANN))
    lab.until(119.9)
    assert lab.holder == BOB
    lab.until(120)
    assert (lab.holder, lab.waiting, lab.x.fence) == (CEM, [], 3)


def test_idling_starts_at_the_claim():
    """CLAIM-4, IDLE-6"""
    lab = given(acquire(ANN), acquire(EVE, wait=True, timeout_s=10), release(ANN))
    lab.until(100)
    assert lab.holder == EVE
    lab.do(claim(EVE))
    lab.until(109)
    assert lab.holder == EVE
    assert the(messages.LockEnded, lab.until(110)).loss.why == LossCause.IDLE


def test_a_claim_of_what_one_does_not_hold_is_refused():
    """CLAIM-6"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.refuses(claim(BOB), NoLock)
    lab.do(release(ANN))
    lab.refuses(claim(ANN), LockLost)
    lab.until(120)
    assert lab.refuses(claim(BOB), LockLost).loss.why == LossCause.UNCLAIMED


def test_a_second_claim_succeeds_and_changes_nothing():
    """CLAIM-6"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), release(ANN), claim(BOB))
    before = lab.x
    assert kinds(lab.do(claim(BOB))) == []
    assert lab.x == before


def test_a_grant_that_was_not_from_the_queue_is_claimed_from_the_start():
    """CLAIM-7"""
    assert given(acquire(ANN)).x.lock.claim_by is None


def test_the_claim_time_is_the_equipments():
    """CLAIM-1"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), release(ANN), policy=Policy(claim_seconds=7))
    lab.until(7)
    assert lab.holder is None


# -- force


def test_force_ends_the_holders_lock_and_grants_the_next_not_the_one_who_forced():
    """FORCE-1, FORCE-3, FORCE-4"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    ended = the(messages.LockEnded, lab.do(force(CEM, reason="smoke")))
    assert (ended.session, ended.user, ended.loss.why) == (ANN, "Ann", LossCause.FORCED)
    assert (ended.loss.by, ended.loss.reason, lab.holder) == ("Cem", "smoke", BOB)
    assert lab.refuses(control(ANN), LockLost).loss == ended.loss


def test_force_by_a_session_that_nobody_created_works():
    """FORCE-1"""
    lab = given(acquire(ANN))
    lab.do(messages.ForceRelease(session=SessionId("nobody"), equipment=X, by="nobody", reason=None))
    assert lab.holder is None


def test_force_stops_what_was_driven_also_at_rest_and_passes_on_when_the_stop_arrived():
    """FORCE-2, LOSS-2, LOSS-4"""
    lab = given(acquire(ANN), control(ANN), finish(), acquire(BOB, wait=True), force(CEM))
    assert (lab.x.state, lab.x.drain.how, lab.x.drain.stop_owed) == ("draining", "stop", True)
    lab.do(stopped_by_the_authority(delivered=False))
    assert lab.x.state == "draining"
    lab.do(stopped_by_the_authority(moving=True))
    assert lab.x.state == "draining"
    lab.do(messages.MotionReport(equipment=X, moving=False))
    assert lab.holder == BOB


def test_force_on_a_holder_who_never_drove_passes_on_at_once():
    """FORCE-2, LOSS-3"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), messages.MotionReport(equipment=X, moving=True), force(CEM))
    assert lab.holder == BOB


def test_force_touches_no_observer_and_no_place_in_the_queue():
    """FORCE-4"""
    lab = given(
        watch(DAN), acquire(ANN), acquire(BOB, wait=True), acquire(CEM, wait=True), force(CEM),
        policy=Policy(observers="alongside"),
    )  # fmt: skip
    assert (lab.holder, lab.waiting, lab.observing) == (BOB, [CEM], [DAN])


def test_force_on_what_nobody_holds_changes_nothing():
    """FORCE-5, LOCK-6"""
    lab = given(watch(DAN))
    lab.refuses(force(CEM), NoLock)
    lab = given(acquire(ANN), control(ANN), release(ANN))
    lab.refuses(force(CEM), NoLock)
    lab.refuses(force(CEM, Y), NoLock)

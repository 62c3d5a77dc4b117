"""Several pieces of equipment in one request: all or nothing, and without reserving."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.acquire import QUEUE_LIMIT
from authority.core.model import EquipmentId, LockMode, LossCause, Policy, SessionId
from authority.core.refusals import (
    AlreadyWaiting,
    EquipmentAtFault,
    EquipmentInUse,
    QueueFull,
    StoppedByAnother,
    UnknownEntry,
    UnknownEquipment,
    WaitersPresent,
)

from .given import (
    ANN,
    BOB,
    CEM,
    DAN,
    EVE,
    Lab,
    X,
    Y,
    Z,
    acquire,
    activity,
    claim,
    clear_fault,
    control,
    end,
    finish,
    force,
    given,
    gone,
    group,
    keep,
    kinds,
    leave,
    leave_group,
    moved,
    observe,
    release,
    session,
    stop,
    the,
    watch,
)  # fmt: skip

# -- all or nothing


def test_a_group_that_is_free_is_granted_in_that_step_with_locks_of_their_own():
    """GROUP-1, LOCK-2"""
    lab = given(acquire(BOB, Y), release(BOB, Y))
    events = lab.do(group(ANN, X, Y, Z, timeout_s=42, note="a scan of three"))
    assert kinds(events) == ["LockAcquired"] * 3
    assert lab.holders == (ANN, ANN, ANN)
    locks = [e.lock for e in (lab.x, lab.y, lab.z)]
    assert [lock.fence for lock in locks] == [1, 2, 1]
    assert len({lock.lock_id for lock in locks}) == 3
    assert {(lock.timeout_s, lock.note, lock.claim_by) for lock in locks} == {(42, "a scan of three", None)}


def test_a_group_of_one_is_an_ordinary_lock():
    """GROUP-1"""
    lab = given(group(ANN, X), group(BOB, X, wait=True))
    assert (lab.holder, lab.x.lock.group, lab.x.queue[0].group) == (ANN, (), ())


def test_nothing_of_a_group_is_granted_where_one_is_busy():
    """GROUP-1, GROUP-10, LOCK-3"""
    lab = given(acquire(ANN, Y), acquire(BOB, Z))
    assert lab.refuses(group(CEM, X, Y, Z), EquipmentInUse).equipment == lab.y
    assert lab.refuses(group(CEM, Z, Y, X), EquipmentInUse).equipment == lab.z
    assert lab.holders == (None, ANN, BOB)


def test_the_member_that_a_refusal_names_is_one_that_does_not_yield():
    """GROUP-10, GROUP-7"""
    lab = given(acquire(ANN), acquire(BOB, Y, timeout_s=0))
    lab.until(301)
    assert lab.refuses(group(CEM, X, Y), EquipmentInUse).equipment == lab.y
    lab = given(acquire(ANN), acquire(BOB, Y, timeout_s=50), control(BOB, what=Y), finish(what=Y, moving=True))
    lab.until(301)
    assert lab.refuses(group(CEM, X, Y), EquipmentInUse).equipment == lab.y


def test_a_group_with_something_unknown_in_it_is_refused():
    """GROUP-1, REST-10"""
    given().refuses(group(CEM, X, EquipmentId("w")), UnknownEquipment)


def test_a_blocked_group_has_one_entry_in_the_queue_of_each():
    """GROUP-1, QUEUE-1"""
    lab = given(acquire(ANN, Y), acquire(BOB, Y, wait=True))
    queued = [e for e in lab.do(group(CEM, X, Y, wait=True)) if isinstance(e, messages.Queued)]
    assert [(e.equipment, e.position) for e in queued] == [(X, 1), (Y, 2)]
    assert lab.queues == ([CEM], [BOB, CEM], [])
    assert lab.x.queue[0] == lab.y.queue[1]
    assert (lab.x.queue[0].queue_id, lab.x.queue[0].group) == ("queue_cem_group_0", (X, Y))


def test_a_waiting_group_is_granted_in_the_step_that_frees_its_last_member():
    """GROUP-6, QUEUE-7, QUEUE-5, CLAIM-1"""
    lab = given(acquire(ANN), acquire(BOB, Y), group(CEM, X, Y, wait=True, timeout_s=42, note="both"))
    lab.do(release(ANN))
    assert (lab.holders, lab.queues) == ((None, BOB, None), ([CEM], [CEM], []))
    events = lab.do(release(BOB, Y))
    assert kinds(events) == ["LockEnded", "QueueLeft", "QueueLeft", "LockAcquired", "LockAcquired"]
    assert (lab.holders, lab.queues) == ((CEM, CEM, None), ([], [], []))
    for e in (lab.x, lab.y):
        assert (e.lock.fence, e.lock.timeout_s, e.lock.note, e.lock.claim_by) == (2, 42, "both", 120)
    assert lab.x.lock.lock_id != lab.y.lock.lock_id


def test_one_step_may_free_all_members_at_once():
    """GROUP-6, LIVE-17"""
    lab = given(acquire(ANN), acquire(ANN, Y), group(CEM, X, Y, wait=True), gone(ANN))
    assert lab.holders == (CEM, CEM, None)


def test_a_group_has_the_place_that_its_priority_gives_it_in_each_queue():
    """GROUP-1, QUEUE-10"""
    lab = given(acquire(ANN), acquire(ANN, Y), acquire(BOB, wait=True), acquire(BOB, Y, wait=True))
    lab.do(group(CEM, X, Y, wait=True, priority=1))
    assert lab.queues == ([CEM, BOB], [CEM, BOB], [])
    lab.do(end(ANN))
    assert lab.holders == (CEM, CEM, None)


def test_a_group_is_refused_where_one_of_its_queues_is_full():
    """GROUP-1, QUEUE-9"""
    lab = given(acquire(ANN), acquire(ANN, Y))
    for n in range(QUEUE_LIMIT):
        waiter = session(SessionId(f"waiter-{n}"), keeper=True)
        lab.do(messages.OpenSession(session=waiter))
        lab.do(acquire(waiter.id, Y, wait=True))
    assert lab.refuses(group(BOB, X, Y, wait=True), QueueFull).equipment == lab.y
    assert lab.waiting == []


# -- observers


def test_a_group_may_ask_to_look():
    """GROUP-1, OBS-1"""
    lab = given(group(ANN, X, Y, mode=LockMode.OBSERVER))
    assert [e.observer(ANN) is not None for e in (lab.x, lab.y, lab.z)] == [True, True, False]


def test_a_group_that_asks_to_look_waits_for_all():
    """GROUP-1, OBS-4, QUEUE-8"""
    lab = given(acquire(ANN, Y))
    assert lab.refuses(group(BOB, X, Y, mode=LockMode.OBSERVER), EquipmentInUse).equipment == lab.y
    lab.do(group(BOB, X, Y, mode=LockMode.OBSERVER, wait=True))
    assert (lab.queues, lab.observing) == (([BOB], [BOB], []), [])
    lab.do(release(ANN, Y))
    assert (lab.queues, [o.session for e in (lab.x, lab.y) for o in e.observers]) == (([], [], []), [BOB, BOB])


def test_alongside_a_group_that_asks_to_look_waits_for_nobody():
    """GROUP-1, OBS-6"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, mode=LockMode.OBSERVER), policy=Policy(observers="alongside"))
    assert [o.session for e in (lab.x, lab.y) for o in e.observers] == [BOB, BOB]


def test_a_look_at_one_member_leaves_the_waiting_group_its_place():
    """GROUP-2, OBS-1"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, mode=LockMode.OBSERVER, wait=True), watch(BOB))
    assert (lab.observing, lab.queues) == ([BOB], ([BOB], [BOB], []))
    lab.do(release(ANN, Y))
    assert (lab.queues, [o.session for e in (lab.x, lab.y) for o in e.observers]) == (([], [], []), [BOB, BOB])


def test_the_grant_of_a_group_ends_the_observers_of_each_member():
    """GROUP-1, OBS-5, OBS-9"""
    lab = given(watch(BOB), watch(ANN, Y))
    ended = [(e.session, e.why) for e in lab.do(group(ANN, X, Y)) if isinstance(e, messages.ObserverEnded)]
    assert ended == [(BOB, LossCause.EXCLUSIVE_GRANT), (ANN, LossCause.UPGRADED)]


def test_a_downgrade_is_refused_while_a_group_waits():
    """OBS-8, GROUP-2"""
    lab = given(acquire(ANN), acquire(BOB, Y), group(CEM, X, Y, wait=True))
    lab.refuses(watch(ANN), WaitersPresent)


# -- what passes, and is passed


def test_a_blocked_group_reserves_nothing_and_keeps_its_place():
    """GROUP-2, QUEUE-4"""
    lab = given(acquire(ANN), acquire(BOB, Y), group(CEM, X, Y, wait=True), acquire(DAN, wait=True))
    lab.do(release(ANN))
    assert (lab.holders, lab.queues) == ((DAN, BOB, None), ([CEM], [CEM], []))
    lab.do(release(BOB, Y))
    assert lab.holders == (DAN, None, None)
    lab.do(release(DAN))
    assert lab.holders == (CEM, CEM, None)


def test_a_plain_request_passes_a_blocked_group():
    """GROUP-2"""
    lab = given(acquire(BOB, Y), group(CEM, X, Y, wait=True), acquire(DAN))
    assert (lab.holder, lab.waiting) == (DAN, [CEM])
    lab.do(group(EVE, Z, wait=True))
    assert lab.holders == (DAN, BOB, EVE)


def test_a_group_passes_a_blocked_group():
    """GROUP-2"""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True), group(CEM, Y, Z))
    assert (lab.holders, lab.queues) == ((ANN, CEM, CEM), ([BOB], [BOB], []))


def test_several_entries_behind_a_blocked_group_go_in_their_own_order():
    """GROUP-2, QUEUE-2"""
    lab = given(acquire(ANN), acquire(BOB, Y), group(CEM, X, Y, wait=True), acquire(DAN, wait=True))
    for request in (acquire(EVE, wait=True), release(ANN)):
        lab.do(request)
    assert (lab.holder, lab.waiting) == (DAN, [CEM, EVE])
    lab.do(release(DAN))
    assert (lab.holder, lab.waiting) == (EVE, [CEM])


def test_observers_behind_a_blocked_group_are_let_in():
    """GROUP-2, QUEUE-8"""
    lab = given(acquire(ANN), acquire(BOB, Y), group(CEM, X, Y, wait=True), watch(DAN, wait=True))
    lab.do(watch(EVE, wait=True))
    lab.do(release(ANN))
    assert (lab.observing, lab.waiting) == ([DAN, EVE], [CEM])


def test_a_group_waits_for_a_single_entry_ahead_of_it():
    """GROUP-6, QUEUE-2"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(DAN, Y, wait=True), group(CEM, X, Y, wait=True))
    lab.do(release(ANN))
    lab.do(release(BOB, Y))
    assert (lab.holders, lab.queues) == ((None, DAN, None), ([CEM], [CEM], []))
    lab.do(release(DAN, Y))
    assert lab.holders == (CEM, CEM, None)


def test_a_group_passes_the_silent_ahead_of_it():
    """GROUP-6, LIVE-12"""
    lab = given(acquire(ANN), acquire(ANN, Y), acquire(DAN, Y, wait=True), group(CEM, X, Y, wait=True))
    lab.until(70, beating=[ANN, CEM])
    lab.do(end(ANN))
    assert (lab.holders, lab.queues) == ((CEM, CEM, None), ([], [DAN], []))


@pytest.mark.parametrize("ahead_is", ["obtainable", "blocked"])
def test_a_group_behind_an_obtainable_group_does_not_pass_it_and_behind_a_blocked_one_does(ahead_is):
    """GROUP-6, GROUP-2"""
    lab = given(acquire(ANN, Y), acquire(ANN, Z), group(BOB, X, Y, wait=True), group(CEM, Y, Z, wait=True))
    if ahead_is == "blocked":
        lab.do(acquire(DAN))
    lab.do(end(ANN))
    if ahead_is == "blocked":
        assert (lab.holders, lab.queues) == ((DAN, CEM, CEM), ([BOB], [BOB], []))
    else:
        assert (lab.holders, lab.queues) == ((BOB, BOB, None), ([], [CEM], [CEM]))


def test_what_takes_a_member_of_the_group_ahead_lets_the_group_behind_it_through():
    """GROUP-6, QUEUE-7"""
    lab = given(acquire(ANN), acquire(ANN, Y), acquire(DAN, Z))
    lab.do(group(BOB, X, Y, wait=True))
    lab.do(group(CEM, Y, Z, wait=True))
    lab.do(release(DAN, Z))
    lab.do(release(ANN, Y))
    assert (lab.holders, lab.queues) == ((ANN, CEM, CEM), ([BOB], [BOB], []))


def test_when_a_group_ahead_leaves_the_group_behind_it_is_granted_in_that_step():
    """GROUP-6, GROUP-8, QUEUE-7"""
    lab = given(acquire(DAN), group(BOB, X, Y, Z, wait=True), acquire(ANN, Y))
    lab.do(group(CEM, Y, Z, wait=True))
    lab.do(acquire(EVE, Z, wait=True))
    lab.do(leave_group(BOB, Z))
    assert lab.queues == ([], [CEM], [CEM])
    lab.do(release(ANN, Y))
    lab.do(release(EVE, Z))
    assert lab.holders == (DAN, CEM, CEM)


# -- what yields, what is silent, at fault, draining


def test_a_plain_group_gets_what_is_offered_in_that_step():
    """GROUP-7, IDLE-5"""
    lab = given(acquire(ANN))
    lab.until(301)
    events = lab.do(group(BOB, X, Y))
    assert kinds(events) == ["LockEnded", "LockAcquired", "LockAcquired"]
    loss = the(messages.LockEnded, events).loss
    assert (loss.why, loss.by, lab.holders) == (LossCause.OFFERED, "Bob", (BOB, BOB, None))


def test_a_plain_group_gets_what_the_silent_have_in_that_step():
    """GROUP-7, LIVE-8"""
    lab = given(acquire(ANN), acquire(CEM, Y))
    lab.until(301, beating=[CEM, BOB])
    events = lab.do(group(BOB, X, Y))
    whys = [e.loss.why for e in events if isinstance(e, messages.LockEnded)]
    assert (whys, lab.holders) == ([LossCause.SILENCE, LossCause.OFFERED], (BOB, BOB, None))


@pytest.mark.parametrize("wait", [False, True], ids=["refused", "queued"])
def test_nothing_yields_to_a_group_while_another_member_is_busy(wait):
    """GROUP-7"""
    lab = given(acquire(ANN), acquire(CEM, Y))
    lab.until(301, beating=[BOB, CEM])
    lab.do(activity(CEM, Y))
    if wait:
        lab.do(group(BOB, X, Y, wait=True))
    else:
        lab.refuses(group(BOB, X, Y), EquipmentInUse)
    lab.until(600, beating=[BOB, CEM])
    assert lab.holders == (ANN, CEM, None)


def test_what_yields_to_a_waiting_group_does_so_when_the_last_of_it_does():
    """GROUP-7, GROUP-6, IDLE-5"""
    lab = given(acquire(ANN, timeout_s=100), acquire(CEM, Y, timeout_s=200), group(BOB, X, Y, wait=True))
    lab.until(199.9)
    assert (lab.holders, lab.queues) == ((ANN, CEM, None), ([BOB], [BOB], []))
    ended = [(e.at, e.session, e.loss.why) for e in lab.until(200) if isinstance(e, messages.LockEnded)]
    assert ended == [(200, ANN, LossCause.OFFERED), (200, CEM, LossCause.OFFERED)]
    assert lab.holders == (BOB, BOB, None)


def test_use_before_all_of_a_group_yields_restarts_the_idle_time():
    """GROUP-7, IDLE-5"""
    lab = given(acquire(ANN, timeout_s=100), acquire(CEM, Y, timeout_s=200), group(BOB, X, Y, wait=True))
    lab.until(150)
    lab.do(activity(ANN))
    lab.until(249)
    assert lab.holders == (ANN, CEM, None)
    lab.until(250)
    assert lab.holders == (BOB, BOB, None)


def test_what_yields_does_so_to_a_group_the_moment_the_busy_member_is_released():
    """GROUP-7, GROUP-6"""
    lab = given(acquire(ANN, timeout_s=100), acquire(CEM, Y), group(BOB, X, Y, wait=True))
    lab.until(150)
    assert lab.holders == (ANN, CEM, None)
    lab.do(release(CEM, Y))
    assert lab.holders == (BOB, BOB, None)


def test_silence_yields_to_a_waiting_group_when_the_rest_is_free():
    """GROUP-7, LIVE-11"""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True))
    lab.until(59.9, beating=[BOB])
    assert lab.holders == (ANN, None, None)
    lab.until(60, beating=[BOB])
    assert lab.holders == (BOB, BOB, None)


def test_a_turn_that_is_over_yields_to_a_group_when_the_rest_is_free():
    """GROUP-7, TURN-2"""
    policy = Policy(max_hold_seconds=100, on_idle="keep")
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True), policy=policy)
    events = lab.until(100)
    assert (the(messages.LockEnded, events).loss.why, lab.holders) == (LossCause.TURN, (BOB, BOB, None))
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True), policy=policy)
    lab.until(50)
    lab.do(acquire(CEM, Y))
    lab.until(149)
    assert lab.holders == (ANN, CEM, None)
    lab.do(release(CEM, Y))
    assert lab.holders == (BOB, BOB, None)


def test_what_must_come_to_rest_before_it_yields_to_a_group_is_waited_for():
    """GROUP-7, LOSS-1, LIVE-9, LIVE-10"""
    lab = given(acquire(ANN), control(ANN))
    lab.until(61, beating=[BOB])
    assert lab.refuses(group(BOB, X, Y), EquipmentInUse).equipment == lab.x
    lab.do(group(BOB, X, Y, wait=True))
    assert (lab.x.state, lab.y.state, lab.queues) == ("draining", "free", ([BOB], [BOB], []))
    lab.do(acquire(CEM, Y))
    lab.do(finish())
    assert lab.holders == (None, CEM, None)
    lab.do(release(CEM, Y))
    assert lab.holders == (BOB, BOB, None)


def test_a_group_waits_while_a_member_comes_to_rest():
    """GROUP-6, LOSS-9, LOSS-11"""
    lab = given(acquire(ANN), control(ANN), release(ANN))
    assert lab.refuses(group(BOB, X, Y), EquipmentInUse).equipment.state == "draining"
    lab.do(group(BOB, X, Y, wait=True))
    lab.do(finish(moving=True))
    assert lab.holders == (None, None, None)
    lab.do(moved(False))
    assert lab.holders == (BOB, BOB, None)


def at_fault(*before: messages.Request) -> Lab:
    """A lab where Ann's `x` did not come to rest after a stop."""
    lab = given(acquire(ANN), control(ANN), *before, gone(ANN))
    lab.until(lab.now + 5)
    assert lab.x.state == "fault"
    return lab


@pytest.mark.parametrize("wait", [False, True])
def test_a_group_with_a_member_at_fault_is_refused(wait):
    """LOSS-13, GROUP-10"""
    lab = at_fault()
    assert lab.refuses(group(BOB, Y, X, wait=wait), EquipmentAtFault).equipment == lab.x


def test_a_waiting_group_is_not_granted_while_a_member_is_at_fault_and_is_passed():
    """GROUP-6, GROUP-2, LOSS-13, LOSS-14"""
    lab = at_fault(acquire(DAN, Y), group(BOB, X, Y, wait=True), acquire(CEM, Y, wait=True))
    lab.do(release(DAN, Y))
    assert (lab.holders, lab.queues) == ((None, CEM, None), ([BOB], [BOB], []))
    lab.do(release(CEM, Y))
    assert lab.holders == (None, None, None)
    lab.do(clear_fault())
    assert lab.holders == (BOB, BOB, None)


def test_at_fault_observers_are_let_in_and_nobody_else():
    """LOSS-13, OBS-1, OBS-4"""
    lab = at_fault(watch(BOB, wait=True), acquire(CEM, wait=True))
    assert (lab.observing, lab.waiting) == ([BOB], [CEM])
    lab.do(watch(DAN))
    lab.do(observe(DAN))
    assert (lab.observing, lab.x.state) == ([BOB, DAN], "fault")
    for wait in (False, True):
        lab.refuses(acquire(EVE, wait=wait), EquipmentAtFault)
    lab.do(group(EVE, X, Y, mode=LockMode.OBSERVER))
    assert lab.observing == [BOB, DAN, EVE]


def test_observers_behind_an_exclusive_entry_keep_their_place_at_fault():
    """LOSS-13, QUEUE-4"""
    lab = at_fault(acquire(CEM, wait=True), watch(BOB, wait=True))
    assert (lab.observing, lab.waiting) == ([], [CEM, BOB])
    lab.do(clear_fault())
    assert (lab.holder, lab.waiting) == (CEM, [BOB])


# -- claiming, releasing, leaving

GRANTED = (acquire(ANN), acquire(ANN, Y), group(BOB, X, Y, wait=True), end(ANN))


@pytest.mark.parametrize("what", [X, Y])
@pytest.mark.parametrize("use", [claim, control, observe, activity, acquire, lambda s, what: keep(s, what, seconds=9)])
def test_one_claim_of_any_member_claims_all(use, what):
    """GROUP-3, CLAIM-2, CLAIM-4"""
    lab = given(*GRANTED)
    assert (lab.x.lock.claim_by, lab.y.lock.claim_by) == (120, 120)
    lab.until(50)
    lab.do(control(BOB, what=what) if use is control else use(BOB, what))
    assert (lab.x.lock.claim_by, lab.y.lock.claim_by) == (None, None)
    assert (lab.x.lock.used_at, lab.y.lock.used_at) == (50, 50)


def test_a_refresh_of_the_whole_group_claims_it():
    """GROUP-3, GROUP-5"""
    lab = given(*GRANTED, group(BOB, X, Y, again=1))
    assert (lab.x.lock.claim_by, lab.y.lock.claim_by) == (None, None)


def test_a_group_that_is_not_claimed_passes_on_and_its_entry_is_gone():
    """GROUP-3, CLAIM-3"""
    lab = given(*GRANTED, acquire(CEM, wait=True), group(DAN, X, Y, wait=True))
    lab.until(119.9)
    assert lab.holders == (BOB, BOB, None)
    ended = [(e.session, e.loss.why) for e in lab.until(120) if isinstance(e, messages.LockEnded)]
    assert ended == [(BOB, LossCause.UNCLAIMED), (BOB, LossCause.UNCLAIMED)]
    assert (lab.holders, lab.queues) == ((CEM, None, None), ([DAN], [DAN], []))


def test_a_claim_of_a_group_claims_no_other_grant():
    """GROUP-3, CLAIM-1"""
    lab = given(*GRANTED, release(BOB, Y), acquire(CEM, Y), acquire(BOB, Y, wait=True))
    lab.until(10)
    lab.do(release(CEM, Y))
    assert (lab.x.lock.claim_by, lab.y.lock.claim_by) == (120, 130)
    lab.do(claim(BOB, X))
    assert (lab.x.lock.claim_by, lab.y.lock.claim_by) == (None, 130)


def test_the_members_of_a_group_are_released_one_by_one():
    """GROUP-1, LOCK-5"""
    lab = given(group(ANN, X, Y), acquire(BOB, wait=True), release(ANN))
    assert lab.holders == (BOB, ANN, None)
    lab.do(force(CEM, Y))
    assert lab.holders == (BOB, None, None)


def test_the_end_of_the_session_ends_all_locks_of_a_group():
    """GROUP-1, LIVE-17"""
    assert given(group(ANN, X, Y), end(ANN)).holders == (None, None, None)


@pytest.mark.parametrize("what", [X, Y])
def test_leaving_one_queue_leaves_all_in_one_step(what):
    """GROUP-8, QUEUE-6"""
    lab = given(acquire(ANN), acquire(DAN, Y), group(BOB, X, Y, wait=True), acquire(CEM, Y, wait=True))
    lab.refuses(leave(BOB, what), UnknownEntry)
    lab.refuses(leave_group(CEM, Y), UnknownEntry)
    left = [
        (e.equipment, e.queue_id, e.result) for e in lab.do(leave_group(BOB, what)) if isinstance(e, messages.QueueLeft)
    ]
    assert left == [(X, "queue_bob_group_0", "left"), (Y, "queue_bob_group_0", "left")]
    assert lab.queues == ([], [CEM], [])


def test_the_end_of_the_session_takes_its_group_out_of_all_queues_in_that_step():
    """GROUP-8, LIVE-17"""
    lab = given(acquire(ANN), acquire(DAN, Y), group(BOB, X, Y, wait=True), gone(BOB))
    assert lab.queues == ([], [], [])


def test_a_group_that_asks_again_keeps_its_entry():
    """QUEUE-3, GROUP-8"""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True))
    for again in (group(BOB, X, Y, wait=True, again=1), group(BOB, Y, X, wait=True, again=2)):
        assert kinds(lab.do(again)) == []
    lab.refuses(group(BOB, X, Y), EquipmentInUse)
    assert [e.queue[0].queue_id for e in (lab.x, lab.y)] == ["queue_bob_group_0"] * 2


def test_who_waits_in_a_group_and_asks_for_a_busy_member_alone_has_that_entry():
    """QUEUE-3, GROUP-8"""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True))
    assert kinds(lab.do(acquire(BOB, wait=True))) == []
    assert lab.queues == ([BOB], [BOB], [])


@pytest.mark.parametrize("waits", [acquire(BOB, wait=True), group(BOB, X, Z, wait=True)], ids=["alone", "in a group"])
def test_a_group_of_which_one_is_waited_for_already_is_refused(waits):
    """GROUP-8"""
    lab = given(acquire(ANN), waits)
    refusal = lab.refuses(group(BOB, X, Y, wait=True), AlreadyWaiting)
    assert (refusal.code, refusal.equipment) == ("already_waiting", lab.x)
    lab.refuses(group(BOB, Y, X, wait=True), AlreadyWaiting)


def test_a_free_group_of_which_one_is_waited_for_already_is_refused():
    """GROUP-8"""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True))
    for wait in (False, True):
        assert lab.refuses(group(BOB, Y, Z, wait=wait), AlreadyWaiting).equipment == lab.y


# -- what is held already


def test_what_is_held_of_a_group_is_refreshed_when_the_rest_is_granted():
    """GROUP-5, LOCK-4"""
    lab = given(acquire(ANN, timeout_s=50, note="alone"))
    lab.until(10)
    events = lab.do(group(ANN, X, Y, timeout_s=70, note="both"))
    assert kinds(events) == ["LockAcquired", "LockRefreshed"]
    assert (lab.holders, lab.x.fence, lab.y.fence) == ((ANN, ANN, None), 1, 1)
    assert [(e.lock.timeout_s, e.lock.note, e.lock.used_at) for e in (lab.x, lab.y)] == [(70, "both", 10)] * 2


def test_a_group_of_which_all_is_held_is_refreshed():
    """GROUP-5, LOCK-4"""
    lab = given(group(ANN, X, Y))
    lab.until(10)
    assert kinds(lab.do(group(ANN, Y, X, timeout_s=70, again=1))) == ["LockRefreshed", "LockRefreshed"]
    assert [(e.fence, e.lock.timeout_s, e.lock.used_at) for e in (lab.x, lab.y)] == [(1, 70, 10)] * 2
    lab.do(group(ANN, X, Y, wait=True, again=2))
    assert lab.queues == ([], [], [])


def test_a_group_that_is_refused_refreshes_nothing():
    """GROUP-5, LOCK-7"""
    lab = given(acquire(ANN), acquire(BOB, Y))
    lab.until(10)
    assert lab.refuses(group(ANN, X, Y, timeout_s=5), EquipmentInUse).equipment == lab.y
    assert (lab.x.lock.timeout_s, lab.x.lock.used_at) == (300, 0)


def test_what_is_held_of_a_group_is_not_waited_for():
    """GROUP-5"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(CEM, Z), group(ANN, X, Y, Z, wait=True))
    assert (lab.holder, lab.queues) == (ANN, ([], [ANN], [ANN]))
    lab.do(release(BOB, Y))
    lab.do(release(CEM, Z))
    assert (lab.holders, lab.x.fence) == ((ANN, ANN, ANN), 1)


def test_who_waits_in_a_group_may_get_a_free_member_alone_and_keeps_the_groups_place():
    """GROUP-2, GROUP-5"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, wait=True), acquire(BOB))
    assert (lab.holders, lab.queues) == ((BOB, ANN, None), ([BOB], [BOB], []))
    lab.until(10)
    lab.do(release(ANN, Y))
    assert (lab.holders, lab.queues, lab.x.fence) == ((BOB, BOB, None), ([], [], []), 1)


def test_a_member_that_was_got_alone_is_refreshed_when_its_group_is_granted():
    """GROUP-5"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, wait=True, timeout_s=70, note="both"), acquire(BOB))
    lab.until(10)
    events = lab.do(release(ANN, Y))
    assert kinds(events) == ["LockEnded", "QueueLeft", "QueueLeft", "LockRefreshed", "LockAcquired"]
    assert (lab.x.lock.timeout_s, lab.x.lock.note, lab.x.lock.used_at) == (70, "both", 10)


def test_that_refresh_is_no_act_of_the_holder_and_lifts_nobodys_stop():
    """GROUP-5, STOP-6"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, wait=True), acquire(BOB), stop(CEM), release(ANN, Y))
    assert lab.holders == (BOB, BOB, None)
    lab.refuses(control(BOB), StoppedByAnother)


def test_a_member_that_was_got_alone_and_released_again_is_waited_for_again():
    """GROUP-2, GROUP-6"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, wait=True), acquire(BOB), release(BOB), acquire(CEM))
    lab.do(release(ANN, Y))
    assert lab.holders == (CEM, None, None)
    lab.do(release(CEM))
    assert lab.holders == (BOB, BOB, None)


# -- the authority starts again


def test_a_waiting_group_survives_a_restart():
    """GROUP-1, STORE-3"""
    lab = given(acquire(ANN), acquire(DAN, Y), group(BOB, X, Y, wait=True), group(CEM, Y, Z, wait=True))
    lab.restart(after=10)
    assert (lab.holders, lab.queues) == ((ANN, DAN, None), ([BOB], [BOB, CEM], [CEM]))
    lab.do(release(DAN, Y))
    assert lab.holders == (ANN, CEM, CEM)


def test_a_granted_group_has_its_time_to_claim_in_full_after_a_restart():
    """GROUP-3, LIVE-20"""
    lab = given(*GRANTED)
    lab.restart(after=1000)
    assert (lab.holders, lab.x.lock.claim_by, lab.y.lock.claim_by) == ((BOB, BOB, None), 1120, 1120)
    lab.do(claim(BOB, Y))
    assert (lab.x.lock.claim_by, lab.y.lock.claim_by) == (None, None)


@pytest.mark.parametrize("waits", [group(BOB, X, Y, wait=True), acquire(EVE, wait=True)], ids=["group", "holder"])
def test_after_a_restart_no_clock_of_what_a_waiter_is_tied_to_has_run(waits):
    """LIVE-20, GROUP-7"""
    lab = given(acquire(ANN, X), acquire(EVE, Y), waits)
    assert set(kinds(lab.restart(after=1000))) == {"ClocksRestarted"}
    assert lab.holders == (ANN, EVE, None)


def test_what_the_group_has_of_its_own_does_not_yield_to_it_though_it_idles():
    """GROUP-5, GROUP-6"""
    lab = given(acquire(ANN, Y, timeout_s=0), group(BOB, X, Y, wait=True), acquire(BOB))
    fence = lab.x.fence
    lab.until(400, busy=False)
    assert "LockEnded" not in kinds(lab.do(release(ANN, Y)))[1:]
    assert (lab.holders, lab.x.fence) == ((BOB, BOB, None), fence)


def test_a_member_that_nobody_claimed_goes_to_the_group_however_late_the_timer_is():
    """GROUP-6, LIVE-18"""
    lab = given(acquire(ANN, Y), acquire(CEM, Y, wait=True), release(ANN, Y), acquire(DAN), group(BOB, X, Y, wait=True))
    assert lab.y.lock.claim_by == 120
    for at in (50, 100):
        lab.until(at)
        lab.do(activity(DAN))
    lab.late(121)
    lab.do(release(DAN))
    assert lab.holders == (BOB, BOB, None)


def test_nobody_passes_a_group_whose_last_member_came_free_too_however_late_the_timer_is():
    """GROUP-6, LIVE-18"""
    lab = given(acquire(ANN, Y), acquire(CEM, Y, wait=True), release(ANN, Y), acquire(EVE, timeout_s=100))
    lab.do(group(BOB, X, Y, wait=True))
    lab.do(acquire(DAN, wait=True))
    for at in (50, 99):
        lab.until(at)
    lab.late(121)
    lab.do(messages.TimerTick(equipment=X))
    assert (lab.holders, lab.waiting) == ((BOB, BOB, None), [DAN])


def test_ones_own_waiting_group_does_not_use_up_ones_turn():
    """TURN-1, GROUP-2"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, wait=True), acquire(BOB), policy=Policy(max_hold_seconds=100))
    lab.until(100, busy=True)
    assert lab.holders == (BOB, BOB, None)
    lab.until(150, busy=True)
    lab.do(acquire(CEM, wait=True))
    lab.until(249, busy=True)
    assert lab.holder == BOB
    lab.until(250, busy=True)
    assert lab.holder == CEM

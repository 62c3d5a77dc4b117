"""Handing the lock over to somebody who waits."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.model import LossCause, SessionId
from authority.core.refusals import (
    Ambiguous,
    CannotHandOver,
    LockLost,
    NotHolder,
    UnknownEntry,
    WouldDeadlock,
)

from .given import (
    ANN,
    ANN_BOB_CEM,
    BOB,
    CEM,
    DAN,
    X,
    Y,
    acquire,
    answer,
    ask,
    clear_fault,
    control,
    end,
    finish,
    given,
    gone,
    group,
    hand_over,
    kinds,
    leave,
    moved,
    release,
    the,
    watch,
)  # fmt: skip


@pytest.mark.parametrize("to", ["Cem", "cem", "queue_cem_x_0"], ids=["user", "session", "entry"])
def test_the_holder_hands_over_to_a_named_waiter_in_one_step(to):
    """QUEUE-12"""
    lab = given(*ANN_BOB_CEM)
    events = lab.do(hand_over(ANN, to))
    assert kinds(events) == ["LockEnded", "QueueLeft", "LockAcquired"]
    loss = the(messages.LockEnded, events).loss
    assert (loss.session, loss.why, loss.by) == (ANN, LossCause.HANDED_OVER, "Ann")
    assert (lab.holder, lab.x.fence, lab.waiting) == (CEM, 2, [BOB])
    assert lab.x.lock.claim_by == 120
    assert lab.refuses(control(ANN), LockLost).loss == loss


def test_a_hand_over_while_a_move_runs_lets_it_finish_and_then_the_heir_has_it():
    """QUEUE-12, LOSS-5"""
    lab = given(*ANN_BOB_CEM, control(ANN), hand_over(ANN, "cem"))
    assert (lab.x.state, lab.x.drain.why, lab.x.drain.how, lab.holder) == (
        "draining",
        LossCause.HANDED_OVER,
        "finish",
        None,
    )
    lab.refuses(control(ANN, "another"), LockLost)
    lab.do(finish(moving=True))
    assert lab.x.state == "draining"
    assert kinds(lab.do(moved(False))) == ["MotionChanged", "LockEnded", "QueueLeft", "LockAcquired"]
    assert (lab.holder, lab.x.fence, lab.waiting) == (CEM, 2, [BOB])


def test_the_heirs_entry_goes_to_the_head_while_the_move_finishes():
    """QUEUE-12"""
    lab = given(*ANN_BOB_CEM, control(ANN), hand_over(ANN, "cem"))
    assert lab.waiting == [CEM, BOB]


def test_the_heir_is_granted_although_somebody_of_higher_priority_came_since():
    """QUEUE-12, QUEUE-10"""
    lab = given(*ANN_BOB_CEM, control(ANN), hand_over(ANN, "cem"))
    assert the(messages.Queued, lab.do(acquire(DAN, wait=True, priority=9))).position == 2
    assert lab.waiting == [CEM, DAN, BOB]
    lab.do(finish())
    assert (lab.holder, lab.waiting) == (CEM, [DAN, BOB])


@pytest.mark.parametrize("last", [leave(CEM), end(CEM), gone(CEM)], ids=["leave", "end", "gone"])
def test_where_the_heir_left_meanwhile_the_next_in_the_queue_is_granted(last):
    """QUEUE-12, QUEUE-7"""
    lab = given(*ANN_BOB_CEM, acquire(DAN, wait=True), control(ANN), hand_over(ANN, "cem"), last)
    lab.do(finish())
    assert (lab.holder, lab.waiting) == (BOB, [DAN])


def test_an_heir_who_fell_silent_meanwhile_is_passed_over_and_keeps_a_place():
    """QUEUE-12, LIVE-12"""
    lab = given(*ANN_BOB_CEM, control(ANN))
    lab.until(30)
    lab.do(hand_over(ANN, "cem"))
    lab.until(85, beating=[ANN, BOB])
    assert (lab.x.state, lab.session(CEM).suspect) == ("draining", True)
    lab.do(finish())
    assert (lab.holder, lab.waiting) == (BOB, [CEM])


def test_the_heir_of_what_ends_at_fault_is_granted_when_the_fault_is_cleared():
    """QUEUE-12, LOSS-14"""
    lab = given(*ANN_BOB_CEM, control(ANN), hand_over(ANN, "cem"))
    lab.until(65)
    assert (lab.x.state, lab.holder, lab.waiting) == ("fault", None, [CEM, BOB])
    lab.do(clear_fault())
    assert lab.holder == CEM


def test_a_restart_of_the_authority_leaves_the_heir_the_heir():
    """QUEUE-12, STORE-3"""
    lab = given(*ANN_BOB_CEM, control(ANN), hand_over(ANN, "cem"))
    lab.restart(after=10)
    assert (lab.x.state, lab.waiting) == ("draining", [CEM, BOB])
    lab.do(moved(False))
    assert lab.holder == CEM


def test_the_old_holder_who_dies_after_the_hand_over_takes_nothing_from_the_heir():
    """QUEUE-12, LOSS-19"""
    lab = given(*ANN_BOB_CEM, control(ANN), hand_over(ANN, "cem"), gone(ANN))
    assert (lab.x.drain.how, lab.x.drain.stop_owed) == ("stop", True)
    lab.do(finish())
    lab.do(messages.Stop(equipment=X, delivered=True, moving=False))
    assert lab.holder == CEM


def test_a_hand_over_that_is_not_claimed_passes_to_the_head_of_the_queue():
    """QUEUE-17, CLAIM-3"""
    lab = given(*ANN_BOB_CEM, hand_over(ANN, "cem"))
    lab.until(119.9)
    assert lab.holder == CEM
    assert the(messages.LockEnded, lab.until(120)).loss.why == LossCause.UNCLAIMED
    assert (lab.holder, lab.waiting) == (BOB, [])


def test_only_the_holder_hands_over():
    """QUEUE-16"""
    lab = given(*ANN_BOB_CEM)
    for other in (BOB, CEM, DAN):
        assert lab.refuses(hand_over(other, "bob"), NotHolder).code == "not_holder"
    lab.do(control(ANN))
    lab.do(release(ANN))
    lab.refuses(hand_over(ANN, "bob"), NotHolder)
    given().refuses(hand_over(ANN, "bob"), NotHolder)


def test_one_hands_over_only_to_an_exclusive_entry_of_that_name():
    """QUEUE-16"""
    lab = given(*ANN_BOB_CEM, watch(DAN, wait=True))
    for to in ("eve", "dan", "Dan", "queue_dan_x_0", "ann", ""):
        assert lab.refuses(hand_over(ANN, to), UnknownEntry).code == "unknown_entry"


@pytest.mark.parametrize("to", ["gil (Gil B.)", "gil", "Gil B."])
def test_who_is_proved_is_handed_it_by_the_proved_name_and_by_their_own(to):
    """QUEUE-16, WHO-25"""
    lab = given(acquire(ANN))
    gil = SessionId("one")
    lab.do(
        messages.OpenSession(
            session=messages.Session(id=gil, user="gil (Gil B.)", created_at=0, last_seen=0, keeper=True)
        )
    )
    lab.do(acquire(gil, wait=True))
    for other in ("(Gil B.)", "Gil", "gil (", ")"):
        assert lab.refuses(hand_over(ANN, other), UnknownEntry).code == "unknown_entry"
    lab.do(hand_over(ANN, to))
    assert lab.holder == gil


def test_a_name_that_two_entries_have_is_ambiguous_and_the_entry_tells_them_apart():
    """QUEUE-16"""
    lab = given(acquire(ANN))
    for n in ("one", "two"):
        lab.do(
            messages.OpenSession(
                session=messages.Session(id=SessionId(n), user="Gil", created_at=0, last_seen=0, keeper=True)
            )
        )
        lab.do(acquire(SessionId(n), wait=True))
    assert lab.refuses(hand_over(ANN, "Gil"), Ambiguous).code == "ambiguous"
    lab.do(hand_over(ANN, "queue_two_x_0"))
    assert lab.holder == "two"


def test_nobody_is_handed_it_past_a_higher_priority():
    """QUEUE-16, QUEUE-10"""
    lab = given(acquire(ANN), acquire(BOB, wait=True, priority=1), acquire(CEM, wait=True), acquire(DAN, wait=True))
    assert lab.refuses(hand_over(ANN, "dan"), CannotHandOver).code == "cannot_hand_over"
    lab.until(70, beating=[ANN, DAN])
    lab.do(hand_over(ANN, "dan"))
    assert (lab.holder, lab.waiting) == (DAN, [BOB, CEM])


def test_neither_a_group_nor_the_silent_are_handed_it():
    """QUEUE-16"""
    lab = given(*ANN_BOB_CEM, group(DAN, X, Y, wait=True))
    lab.until(70, beating=[ANN, BOB, DAN])
    for to in ("dan", "cem"):
        lab.refuses(hand_over(ANN, to), CannotHandOver)


def test_a_hand_over_past_a_waiting_group_is_no_matter():
    """QUEUE-12, GROUP-2"""
    lab = given(acquire(ANN), group(DAN, X, Y, wait=True), acquire(BOB, wait=True), hand_over(ANN, "bob"))
    assert (lab.holder, lab.waiting) == (BOB, [DAN])


CROSSED = (acquire(ANN), acquire(BOB, Y), acquire(BOB, wait=True), acquire(CEM, wait=True), acquire(CEM, Y, wait=True))


@pytest.mark.parametrize("before", [(), (control(ANN),)], ids=["at rest", "while a move runs"])
def test_a_hand_over_that_would_close_a_cycle_is_refused_and_named(before):
    """GROUP-4, QUEUE-12"""
    lab = given(*CROSSED, *before)
    refusal = lab.refuses(hand_over(ANN, "cem"), WouldDeadlock)
    assert {(w.waiter, w.equipment, w.blocker) for w in refusal.cycle} == {(CEM, Y, BOB), (BOB, X, CEM)}
    lab.do(ask(CEM))
    lab.refuses(answer(ANN, CEM, "yield"), WouldDeadlock)
    lab.do(hand_over(ANN, "bob"))
    lab.do(finish())
    assert lab.holder == BOB


def test_who_comes_while_the_heir_waits_for_rest_waits_for_the_heir():
    """GROUP-4, QUEUE-12"""
    lab = given(acquire(ANN), acquire(DAN, Y), acquire(CEM, wait=True), acquire(CEM, Y, wait=True), control(ANN))
    lab.do(hand_over(ANN, "cem"))
    refusal = lab.refuses(acquire(DAN, wait=True, priority=9), WouldDeadlock)
    assert [(w.waiter, w.equipment, w.blocker) for w in refusal.cycle] == [(DAN, X, CEM), (CEM, Y, DAN)]

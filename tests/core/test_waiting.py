"""What those who wait and the holder may arrange: priority, swaps, hand-over, asks, and how long it may take."""

from __future__ import annotations

import pytest

from authority.core import messages, waiting
from authority.core.model import HOLDS_KEPT, HolderAsk, LossCause, SessionId
from authority.core.refusals import (
    Ambiguous,
    CannotHandOver,
    CannotSwap,
    LockLost,
    NoLock,
    NotHolder,
    UnknownAsk,
    UnknownEntry,
    WouldDeadlock,
)

from .given import (
    ANN,
    BOB,
    CEM,
    DAN,
    EVE,
    FAY,
    Lab,
    X,
    Y,
    acquire,
    answer,
    ask,
    clear_fault,
    control,
    end,
    finish,
    force,
    given,
    gone,
    group,
    hand_over,
    kinds,
    leave,
    moved,
    release,
    swap,
    the,
    watch,
)  # fmt: skip

ANN_BOB_CEM = (acquire(ANN), acquire(BOB, wait=True), acquire(CEM, wait=True))


# -- priority


def test_a_higher_priority_goes_first_and_within_one_the_first_to_come():
    """QUEUE-10, QUEUE-2"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    assert the(messages.Queued, lab.do(acquire(CEM, wait=True, priority=5))).position == 1
    assert the(messages.Queued, lab.do(acquire(DAN, wait=True, priority=5))).position == 2
    assert the(messages.Queued, lab.do(acquire(EVE, wait=True, priority=-1))).position == 4
    assert the(messages.Queued, lab.do(acquire(FAY, wait=True))).position == 4
    assert lab.waiting == [CEM, DAN, BOB, FAY, EVE]
    assert [entry.priority for entry in lab.x.queue] == [5, 5, 0, 0, -1]
    for heir in (CEM, DAN, BOB, FAY, EVE):
        lab.do(force(ANN))
        assert lab.holder == heir


def test_the_priority_of_who_asks_again_stays_as_it_was():
    """QUEUE-10, QUEUE-3"""
    lab = given(*ANN_BOB_CEM, acquire(CEM, wait=True, priority=9, again=1))
    assert (lab.waiting, lab.x.queue[1].priority) == ([BOB, CEM], 0)


def test_an_observer_of_higher_priority_is_let_in_before_the_next_holder():
    """QUEUE-10, QUEUE-8"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), watch(CEM, wait=True))
    lab.do(
        messages.Acquire(
            session=DAN, equipment=X, lock_id="l", queue_id="q", mode=messages.LockMode.OBSERVER, wait=True, priority=1
        )
    )
    assert lab.waiting == [DAN, BOB, CEM]
    assert [
        e.session for e in lab.do(release(ANN)) if isinstance(e, messages.ObserverAcquired | messages.LockAcquired)
    ] == [DAN, BOB]


# -- swap


def test_an_offer_to_swap_is_seen_and_moves_nobody():
    """QUEUE-11"""
    lab = given(*ANN_BOB_CEM)
    offered = the(messages.SwapOffered, lab.do(swap(BOB, CEM)))
    assert (offered.session, offered.partner) == (BOB, "queue_cem_x_0")
    assert (lab.waiting, lab.x.queue[0].swap_with, lab.x.queue[1].swap_with) == ([BOB, CEM], "queue_cem_x_0", None)


def test_when_both_agree_the_places_change_in_that_step():
    """QUEUE-11"""
    lab = given(*ANN_BOB_CEM, acquire(DAN, wait=True), swap(BOB, DAN))
    events = lab.do(swap(DAN, BOB))
    assert kinds(events) == ["QueueSwapped"]
    swapped = the(messages.QueueSwapped, events)
    assert (swapped.session, swapped.queue_id, swapped.partner) == (DAN, "queue_dan_x_0", "queue_bob_x_0")
    assert swapped.by == "Bob"
    assert lab.waiting == [DAN, CEM, BOB]
    assert [entry.swap_with for entry in lab.x.queue] == [None, None, None]
    lab.do(release(ANN))
    assert lab.holder == DAN


def test_priority_and_time_of_waiting_are_swapped_and_the_rest_stays_with_its_entry():
    """QUEUE-11, QUEUE-5"""
    lab = given(acquire(ANN))
    for at, waiter, priority in ((1, BOB, 0), (2, CEM, 7)):
        lab.until(at)
        lab.do(acquire(waiter, wait=True, priority=priority, note=f"for {waiter}", timeout_s=at))
    lab.do(swap(BOB, CEM))
    lab.do(swap(CEM, BOB))
    found = [(e.session, e.queue_id, e.priority, e.at, e.note, e.timeout_s) for e in lab.x.queue]
    assert found == [
        (BOB, "queue_bob_x_0", 7, 2, "for bob", 1),
        (CEM, "queue_cem_x_0", 0, 1, "for cem", 2),
    ]
    lab.do(acquire(DAN, wait=True, priority=3))
    assert lab.waiting == [BOB, DAN, CEM]


def test_an_offer_taken_back_is_none():
    """QUEUE-15"""
    lab = given(*ANN_BOB_CEM, swap(BOB, CEM))
    assert the(messages.SwapOffered, lab.do(swap(BOB, None))).partner is None
    assert kinds(lab.do(swap(CEM, BOB))) == ["SwapOffered"]
    assert lab.waiting == [BOB, CEM]


def test_a_new_offer_replaces_the_one_before():
    """QUEUE-11"""
    lab = given(*ANN_BOB_CEM, acquire(DAN, wait=True), swap(BOB, CEM), swap(BOB, DAN), swap(CEM, BOB))
    assert lab.waiting == [BOB, CEM, DAN]
    lab.do(swap(DAN, BOB))
    assert lab.waiting == [DAN, CEM, BOB]


@pytest.mark.parametrize("last", [leave(CEM), end(CEM), gone(CEM)], ids=["leave", "end", "gone"])
def test_an_offer_ends_with_the_entry_it_was_made_to(last):
    """QUEUE-15"""
    lab = given(*ANN_BOB_CEM, swap(BOB, CEM), last)
    assert [(e.session, e.swap_with) for e in lab.x.queue] == [(BOB, None)]


def test_an_offer_ends_with_the_entry_that_made_it():
    """QUEUE-15"""
    lab = given(*ANN_BOB_CEM, swap(BOB, CEM), leave(BOB), acquire(BOB, wait=True, again=1))
    assert kinds(lab.do(messages.OfferSwap(session=CEM, equipment=X, partner="queue_bob_x_1"))) == ["SwapOffered"]
    assert lab.waiting == [CEM, BOB]


def test_a_grant_ends_an_offer():
    """QUEUE-15"""
    lab = given(*ANN_BOB_CEM, swap(CEM, BOB), release(ANN))
    assert (lab.holder, lab.x.queue[0].swap_with) == (BOB, None)


def test_one_swaps_only_with_an_entry_of_this_queue_and_only_with_one_of_ones_own():
    """QUEUE-15"""
    lab = given(*ANN_BOB_CEM, acquire(ANN, Y), acquire(DAN, Y, wait=True))
    for wrong in (
        swap(BOB, EVE),
        swap(BOB, ANN),
        messages.OfferSwap(session=BOB, equipment=X, partner="queue_dan_y_0"),
    ):
        assert lab.refuses(wrong, UnknownEntry).code == "unknown_entry"
    for without in (swap(DAN, BOB), swap(ANN, BOB), swap(EVE, None)):
        lab.refuses(without, UnknownEntry)


def test_one_does_not_swap_with_oneself_nor_a_groups_place():
    """QUEUE-15"""
    lab = given(*ANN_BOB_CEM, group(DAN, X, Y, wait=True))
    of_group = messages.OfferSwap(session=BOB, equipment=X, partner="queue_dan_group_0")
    for wrong in (swap(BOB, BOB), of_group, swap(DAN, BOB)):
        assert lab.refuses(wrong, CannotSwap).code == "cannot_swap"


def test_a_swap_that_would_close_a_cycle_is_refused_and_named():
    """GROUP-4, QUEUE-11"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(BOB, wait=True), acquire(CEM, wait=True))
    lab.do(acquire(CEM, Y, wait=True))
    lab.do(swap(BOB, CEM))
    refusal = lab.refuses(swap(CEM, BOB), WouldDeadlock)
    assert [(w.waiter, w.equipment, w.blocker) for w in refusal.cycle] == [(CEM, Y, BOB), (BOB, X, CEM)]
    assert lab.waiting == [BOB, CEM]


@pytest.mark.parametrize(("first", "second"), [(BOB, DAN), (DAN, BOB)], ids=["who goes back", "who goes ahead"])
def test_a_swap_that_would_close_a_cycle_through_who_stands_between_is_refused(first, second):
    """GROUP-4, QUEUE-11"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(BOB, wait=True), acquire(CEM, wait=True))
    lab.do(acquire(DAN, wait=True))
    lab.do(acquire(CEM, Y, wait=True))  # Cem waits for Bob, and would stand before him
    lab.do(swap(first, second))
    refusal = lab.refuses(swap(second, first), WouldDeadlock)
    assert {w.waiter for w in refusal.cycle} == {BOB, CEM}


def test_who_swaps_with_the_heir_is_the_heir():
    """QUEUE-11, QUEUE-12"""
    lab = given(*ANN_BOB_CEM, control(ANN), hand_over(ANN, "cem"), swap(CEM, BOB), swap(BOB, CEM))
    assert (lab.waiting, lab.x.state) == ([BOB, CEM], "draining")
    lab.do(finish())
    assert lab.holder == BOB


# -- hand-over


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


# -- ask and answer


def test_an_ask_is_seen_by_all_in_the_waiters_entry():
    """QUEUE-13"""
    lab = given(*ANN_BOB_CEM)
    lab.until(10)
    asked = the(messages.AskChanged, lab.do(ask(CEM, seconds=30, reason="beam time")))
    assert (asked.session, asked.queue_id, asked.ask) == (
        CEM,
        "queue_cem_x_0",
        HolderAsk(at=10, due=40, seconds=30, reason="beam time"),
    )
    assert [entry.ask for entry in lab.x.queue] == [None, asked.ask]
    assert (lab.holder, lab.waiting) == (ANN, [BOB, CEM])


def test_an_ask_has_two_minutes_where_nothing_is_said():
    """QUEUE-13"""
    request = messages.AskHolder(session=BOB, equipment=X)
    assert (request.seconds, request.reason) == (120, None)


def test_a_new_ask_replaces_the_one_before():
    """QUEUE-13"""
    lab = given(*ANN_BOB_CEM, ask(BOB, reason="one"), answer(ANN, BOB, "no"))
    lab.until(5)
    lab.do(ask(BOB, seconds=60, reason="two"))
    assert lab.x.queue[0].ask == HolderAsk(at=5, due=65, seconds=60, reason="two")


def test_a_group_may_ask_the_holder_of_one_of_its_members():
    """QUEUE-13, GROUP-1"""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True), ask(BOB))
    assert (lab.x.queue[0].ask is None, lab.y.queue[0].ask) == (False, None)


def test_yielding_is_a_hand_over_to_the_asker():
    """QUEUE-18, QUEUE-12"""
    lab = given(*ANN_BOB_CEM, ask(CEM))
    events = lab.do(answer(ANN, CEM, "yield"))
    assert kinds(events) == ["LockEnded", "QueueLeft", "LockAcquired"]
    loss = the(messages.LockEnded, events).loss
    assert (loss.why, loss.by, lab.holder, lab.waiting) == (LossCause.HANDED_OVER, "Ann", CEM, [BOB])


def test_yielding_while_a_move_runs_drains_for_the_asker():
    """QUEUE-18, QUEUE-12"""
    lab = given(*ANN_BOB_CEM, ask(CEM), control(ANN), answer(ANN, CEM, "yield"))
    assert lab.x.state == "draining"
    lab.do(finish())
    assert lab.holder == CEM


def test_yielding_is_refused_as_a_hand_over_is():
    """QUEUE-18, QUEUE-16"""
    lab = given(acquire(ANN), acquire(BOB, wait=True, priority=1), acquire(CEM, wait=True), ask(CEM))
    lab.refuses(answer(ANN, CEM, "yield"), CannotHandOver)


@pytest.mark.parametrize(("said", "promised_at"), [("later", 307), ("no", None)])
def test_later_and_no_are_seen_in_the_ask_and_move_nobody(said, promised_at):
    """QUEUE-18"""
    lab = given(*ANN_BOB_CEM, ask(CEM, seconds=60, reason="beam"))
    lab.until(7)
    told = the(messages.AskChanged, lab.do(answer(ANN, CEM, said, seconds=300, note="last scan")))
    answered = HolderAsk(
        at=0, due=60, seconds=60, reason="beam", answer=said, promised_at=promised_at, note="last scan"
    )
    assert (told.session, told.queue_id, told.ask) == (CEM, "queue_cem_x_0", answered)
    assert (lab.holder, lab.waiting, lab.x.queue[1].ask) == (ANN, [BOB, CEM], answered)


def test_an_answer_is_no_promise_that_a_clock_enforces():
    """QUEUE-18"""
    lab = given(*ANN_BOB_CEM, ask(BOB), answer(ANN, BOB, "later", seconds=20))
    assert "LockEnded" not in kinds(lab.until(290))
    assert (lab.holder, lab.x.queue[0].ask.answer) == (ANN, "later")


def test_later_and_what_is_unanswered_may_be_answered_again():
    """QUEUE-20"""
    lab = given(*ANN_BOB_CEM, ask(BOB, seconds=10), answer(ANN, BOB, "later", seconds=20))
    lab.do(answer(ANN, BOB, "later", seconds=40))
    assert lab.x.queue[0].ask.promised_at == 40
    lab.do(answer(ANN, BOB, "no"))
    assert (lab.x.queue[0].ask.answer, lab.x.queue[0].ask.promised_at) == ("no", None)
    lab.do(ask(CEM, seconds=10))
    lab.until(10)
    assert lab.x.queue[1].ask.answer == "unanswered"
    lab.do(answer(ANN, CEM, "yield"))
    assert lab.holder == CEM


def test_what_was_answered_with_no_is_open_no_more_until_it_is_asked_again():
    """QUEUE-20"""
    lab = given(*ANN_BOB_CEM, ask(BOB), answer(ANN, BOB, "no"))
    for said in ("yield", "later", "no"):
        lab.refuses(answer(ANN, BOB, said), UnknownAsk)
    lab.do(ask(BOB))
    lab.do(answer(ANN, BOB, "later", seconds=5))
    assert lab.x.queue[0].ask.promised_at == 5


def test_an_ask_ends_unanswered_in_its_instant():
    """QUEUE-19"""
    lab = given(*ANN_BOB_CEM, ask(BOB, seconds=30), ask(CEM, seconds=40))
    lab.until(29.9)
    assert lab.x.queue[0].ask.answer is None
    expired = the(messages.AskChanged, lab.until(30))
    assert (expired.at, expired.session, expired.ask.answer) == (30, BOB, "unanswered")
    assert [entry.ask.answer for entry in lab.x.queue] == ["unanswered", None]
    assert (lab.holder, lab.waiting) == (ANN, [BOB, CEM])


def test_an_ask_that_ran_out_is_unanswered_however_late_the_timer():
    """QUEUE-19, LIVE-18"""
    lab = given(*ANN_BOB_CEM, ask(BOB, seconds=30))
    lab.late(30)
    events = lab.do(answer(ANN, BOB, "later", seconds=5))
    assert [e.ask.answer for e in events if isinstance(e, messages.AskChanged)] == ["unanswered", "later"]


def test_an_answer_in_time_leaves_nothing_to_expire():
    """QUEUE-19"""
    lab = given(*ANN_BOB_CEM, ask(BOB, seconds=30), answer(ANN, BOB, "no"))
    assert kinds(lab.until(60)) == []
    assert lab.x.queue[0].ask.answer == "no"


def test_asks_end_with_their_entry():
    """QUEUE-19"""
    lab = given(*ANN_BOB_CEM, ask(BOB, seconds=30), leave(BOB))
    assert lab.refuses(answer(ANN, BOB, "no"), UnknownAsk).code == "unknown_ask"
    lab.do(acquire(BOB, wait=True))
    assert lab.x.queue[1].ask is None
    assert kinds(lab.until(60)) == []


@pytest.mark.parametrize("last", [release(ANN), force(CEM), gone(ANN), hand_over(ANN, "bob")], ids=type)
def test_asks_end_with_the_lock_they_were_put_to(last):
    """QUEUE-19"""
    lab = given(*ANN_BOB_CEM, ask(CEM, seconds=30), last)
    assert (lab.holder, [e.ask for e in lab.x.queue]) == (BOB, [None])
    lab.refuses(answer(BOB, CEM, "no"), UnknownAsk)


def test_asks_end_with_the_right_to_send():
    """QUEUE-19, LOSS-1"""
    lab = given(*ANN_BOB_CEM, ask(CEM, seconds=30), control(ANN), release(ANN))
    assert (lab.x.state, lab.waiting) == ("draining", [BOB, CEM])
    assert [e.ask for e in lab.x.queue] == [None, None]
    assert kinds(lab.until(59)) == []


def test_who_does_not_wait_for_the_lock_cannot_ask_for_it():
    """QUEUE-20"""
    lab = given(*ANN_BOB_CEM, watch(DAN, wait=True))
    for other in (ANN, DAN, EVE):
        assert lab.refuses(ask(other), UnknownEntry).code == "unknown_entry"
    lab.refuses(ask(BOB, Y), UnknownEntry)


def test_there_is_nobody_to_ask_where_nobody_holds():
    """QUEUE-20"""
    lab = given(*ANN_BOB_CEM, control(ANN), release(ANN))
    assert lab.refuses(ask(BOB), NoLock).code == "no_lock"
    lab = given(*ANN_BOB_CEM, control(ANN), gone(ANN))
    lab.until(5)
    assert lab.x.state == "fault"
    lab.refuses(ask(BOB), NoLock)


def test_only_the_holder_answers_and_only_what_was_asked():
    """QUEUE-20"""
    lab = given(*ANN_BOB_CEM, ask(BOB))
    for other in (BOB, CEM, DAN):
        assert lab.refuses(answer(other, BOB, "no"), NotHolder).code == "not_holder"
    for said in ("yield", "later", "no"):
        assert lab.refuses(answer(ANN, CEM, said), UnknownAsk).code == "unknown_ask"
        lab.refuses(answer(ANN, DAN, said), UnknownAsk)
    lab.do(control(ANN))
    lab.do(release(ANN))
    lab.refuses(answer(ANN, BOB, "no"), NotHolder)


def test_after_a_restart_an_ask_has_its_time_in_full():
    """LIVE-20, QUEUE-19"""
    lab = given(*ANN_BOB_CEM, ask(BOB, seconds=30))
    for _ in range(3):
        lab.late(lab.now + 29)
        assert set(kinds(lab.restart(after=3600))) == {"ClocksRestarted"}
    began = lab.now
    assert kinds(lab.until(began + 29)) == []
    assert the(messages.AskChanged, lab.until(began + 30)).ask.answer == "unanswered"


def test_an_answer_survives_a_restart():
    """QUEUE-18, STORE-3"""
    lab = given(*ANN_BOB_CEM, ask(BOB, seconds=30), answer(ANN, BOB, "later", seconds=300))
    lab.restart(after=10)
    assert (lab.x.queue[0].ask.answer, lab.x.queue[0].ask.promised_at) == ("later", 300)


# -- how long it may take


def expects(lab: Lab, who: SessionId) -> float | None:
    entry = lab.x.entry(who)
    assert entry is not None
    return waiting.expected_wait_s(lab.x, entry, lab.now)


def held_for(*seconds: float) -> Lab:
    """A lab with a past: `x` was held so long, one hold after the other."""
    lab = given()
    for length in seconds:
        lab.do(acquire(ANN))
        lab.until(lab.now + length, busy=True)
        lab.do(release(ANN))
    return lab


def test_without_a_past_nothing_tells_how_long_it_takes():
    """QUEUE-14"""
    lab = given(*ANN_BOB_CEM)
    assert (expects(lab, BOB), expects(lab, CEM)) == (None, None)
    lab.do(ask(BOB))
    lab.do(answer(ANN, BOB, "later", seconds=60))
    assert expects(lab, BOB) is None


def test_the_expected_wait_is_what_past_holds_say_less_what_has_passed():
    """QUEUE-14"""
    lab = held_for(100, 100, 100)
    for request in ANN_BOB_CEM:
        lab.do(request)
    assert (expects(lab, BOB), expects(lab, CEM)) == (100, 200)
    lab.until(lab.now + 40)
    assert (expects(lab, BOB), expects(lab, CEM)) == (60, 160)


def test_who_holds_longer_than_anybody_before_leaves_nothing_to_tell():
    """QUEUE-14"""
    lab = held_for(100)
    for request in ANN_BOB_CEM:
        lab.do(request)
    lab.until(lab.now + 150)
    assert expects(lab, BOB) is None


def test_the_expected_wait_believes_the_holders_later():
    """QUEUE-14"""
    lab = held_for(100)
    for request in (*ANN_BOB_CEM, ask(CEM), answer(ANN, CEM, "later", seconds=600)):
        lab.do(request)
    assert (expects(lab, BOB), expects(lab, CEM)) == (600, 700)
    lab.until(lab.now + 250)
    assert expects(lab, BOB) == 350
    lab.do(answer(ANN, CEM, "later", seconds=1))
    lab.until(lab.now + 10)
    assert expects(lab, BOB) == 0
    lab.do(answer(ANN, CEM, "no"))
    assert expects(lab, BOB) is None


def test_only_the_last_twenty_holds_count_and_none_that_was_not_claimed():
    """QUEUE-14"""
    lab = held_for(1000, *[10] * 19)
    assert (len(lab.x.holds_s), HOLDS_KEPT) == (20, 20)
    lab.do(acquire(ANN))
    lab.until(lab.now + 10, busy=True)
    lab.do(acquire(BOB, wait=True))
    assert expects(lab, BOB) == 990
    lab.do(release(ANN))
    lab.do(acquire(CEM, wait=True))
    lab.until(lab.now + 120)
    assert (lab.holder, lab.x.holds_s) == (CEM, (10.0,) * 20)


def test_an_observer_entry_has_no_expected_wait_and_adds_none():
    """QUEUE-14"""
    lab = held_for(100)
    for request in (acquire(ANN), watch(DAN, wait=True), acquire(BOB, wait=True)):
        lab.do(request)
    assert (expects(lab, DAN), expects(lab, BOB)) == (None, 100)


def test_the_past_survives_a_restart():
    """QUEUE-14, STORE-3"""
    lab = held_for(100)
    lab.restart(after=50)
    for request in ANN_BOB_CEM:
        lab.do(request)
    assert expects(lab, BOB) == 100

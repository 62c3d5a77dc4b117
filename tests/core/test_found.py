"""Defects that the rule machine and its second implementation brought to light, each as a story told short."""

from __future__ import annotations

from authority.core.model import LockMode
from authority.core.refusals import AlreadyWaiting, UnknownAsk

from .given import (
    ANN,
    BOB,
    CEM,
    DAN,
    EVE,
    X,
    Y,
    Z,
    acquire,
    answer,
    ask,
    claim,
    control,
    finish,
    force,
    given,
    group,
    hand_over,
    release,
    swap,
    watch,
)


def test_a_group_asked_for_again_in_another_order_keeps_its_entry():
    """QUEUE-3, GROUP-8"""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True))
    lab.do(group(BOB, Y, X, wait=True, again=1))
    assert [entry.queue_id for e in (lab.x, lab.y) for entry in e.queue] == ["queue_bob_group_0"] * 2


def test_a_group_is_refused_where_a_part_is_waited_for_in_another_entry_though_it_could_be_had():
    """GROUP-8"""
    lab = given(acquire(ANN, Z), group(BOB, X, Z, wait=True))
    assert lab.refuses(group(BOB, X, Y), AlreadyWaiting).equipment.id == X


def test_who_was_told_no_is_not_answered_again():
    """QUEUE-20"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), ask(BOB), answer(ANN, BOB, "no"))
    lab.refuses(answer(ANN, BOB, "yield"), UnknownAsk)


def test_an_heir_who_swaps_gives_the_lock_with_the_place():
    """QUEUE-11, QUEUE-12"""
    lab = given(acquire(ANN), control(ANN), acquire(BOB, wait=True), acquire(CEM, wait=True), hand_over(ANN, CEM))
    lab.do(swap(BOB, CEM))
    lab.do(swap(CEM, BOB))
    lab.do(finish())
    assert lab.holder == BOB


def test_who_was_named_but_could_not_be_given_the_lock_stands_where_its_priority_puts_it():
    """QUEUE-10, QUEUE-12: Cem slept and was passed, then the motor did not come to rest."""
    lab = given(acquire(ANN), control(ANN), acquire(CEM, wait=True, priority=5), acquire(BOB, wait=True))
    lab.until(70, beating=[ANN, BOB], busy=True)
    lab.do(hand_over(ANN, BOB))
    assert lab.waiting == [BOB, CEM]
    lab.until(200, beating=[ANN, BOB], busy=True)
    assert lab.x.state == "fault"
    assert lab.waiting == [CEM, BOB]


def test_who_was_named_but_could_not_be_given_the_lock_stands_where_its_time_of_waiting_puts_it():
    """QUEUE-10, QUEUE-12: the motor did not come to rest, and Cem has waited longer than Bob."""
    lab = given(acquire(ANN), control(ANN), acquire(CEM, wait=True))
    lab.until(1)
    lab.do(acquire(BOB, wait=True))
    lab.do(hand_over(ANN, BOB))
    assert lab.waiting == [BOB, CEM]
    lab.until(130, beating=[BOB, CEM], busy=True)
    assert lab.x.state == "fault"
    assert lab.waiting == [CEM, BOB]


def test_a_refresh_of_one_member_claims_the_whole_group():
    """GROUP-3, CLAIM-2"""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True), release(ANN))
    assert [e.lock.claim_by for e in (lab.x, lab.y)] == [120, 120]
    lab.do(acquire(BOB))
    assert [e.lock.claim_by for e in (lab.x, lab.y)] == [None, None]


def test_a_claim_claims_only_what_was_granted_with_it():
    """GROUP-3: Bob lost x of his group, and got it again in a grant of its own."""
    lab = given(acquire(ANN), group(BOB, X, Y, wait=True), release(ANN), acquire(CEM, wait=True), force(DAN))
    for request in (acquire(BOB, wait=True), release(CEM), claim(BOB, Y)):
        lab.do(request)
    assert lab.holder == BOB
    assert lab.y.lock.claim_by is None
    assert lab.x.lock.claim_by is not None


def test_who_may_drive_one_member_is_made_an_observer_of_the_others_only():
    """GROUP-5, OBS-9"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, wait=True, mode=LockMode.OBSERVER), acquire(BOB), release(ANN, Y))
    assert lab.holder == BOB
    assert [[o.session for o in e.observers] for e in (lab.x, lab.y)] == [[], [BOB]]


def test_who_observes_one_member_meanwhile_keeps_the_place_of_the_group():
    """GROUP-2"""
    lab = given(acquire(ANN, Y), group(BOB, X, Y, wait=True, mode=LockMode.OBSERVER), watch(BOB))
    assert lab.observing == [BOB]
    assert [[entry.session for entry in e.queue] for e in (lab.x, lab.y)] == [[BOB], [BOB]]


def test_a_group_passes_no_group_where_that_closes_a_cycle_whichever_equipment_becomes_free():
    """GROUP-9: Dan would have x, for which Cem waits, and waits for y behind Cem."""
    lab = given(
        acquire(ANN, Y), acquire(BOB, Z), group(CEM, X, Y, wait=True), acquire(DAN, Y, wait=True),
        group(DAN, X, Z, wait=True), release(BOB, Z),
    )  # fmt: skip
    assert (lab.x.lock, lab.z.lock) == (None, None)
    lab.do(release(ANN, Y))
    assert [e.lock.session for e in (lab.x, lab.y)] == [CEM, CEM]


def test_a_restart_begins_the_clocks_of_all_members_before_a_group_looks_at_them():
    """LIVE-20, GROUP-7"""
    lab = given(acquire(EVE, Y), group(BOB, X, Y, wait=True))
    lab.restart(after=3600)
    assert lab.ring() == []
    assert lab.y.holds(EVE)

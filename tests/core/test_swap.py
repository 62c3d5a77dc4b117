"""Swapping places in a queue by mutual consent."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.refusals import (
    CannotSwap,
    UnknownEntry,
    WouldDeadlock,
)

from .given import (
    ANN,
    ANN_BOB_CEM,
    BOB,
    CEM,
    DAN,
    EVE,
    X,
    Y,
    acquire,
    control,
    end,
    finish,
    given,
    gone,
    group,
    hand_over,
    kinds,
    leave,
    release,
    swap,
    the,
)  # fmt: skip


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

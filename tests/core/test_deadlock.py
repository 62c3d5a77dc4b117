"""Nobody waits for themselves: circles are refused and named, and no group is passed where that closes one."""

from __future__ import annotations

import pytest

from authority.core.model import Equipment, EquipmentId
from authority.core.refusals import (
    EquipmentInUse,
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
    Z,
    acquire,
    beat,
    control,
    given,
    gone,
    group,
    kinds,
    leave,
    leave_group,
    release,
    watch,
)  # fmt: skip


def circle(refusal: WouldDeadlock) -> list[tuple[str, str, str]]:
    return [(w.waiter, w.equipment, w.blocker) for w in refusal.cycle]


# -- waiting in a circle


def test_two_who_would_wait_for_each_other_are_told():
    """GROUP-4"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(ANN, Y, wait=True))
    refusal = lab.refuses(acquire(BOB, X, wait=True), WouldDeadlock)
    assert (refusal.code, refusal.equipment.id) == ("would_deadlock", X)
    assert circle(refusal) == [(BOB, X, ANN), (ANN, Y, BOB)]


def test_three_who_would_wait_in_a_circle_are_told():
    """GROUP-4"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(CEM, Z), acquire(ANN, Y, wait=True), acquire(BOB, Z, wait=True))
    refusal = lab.refuses(acquire(CEM, X, wait=True), WouldDeadlock)
    assert circle(refusal) == [(CEM, X, ANN), (ANN, Y, BOB), (BOB, Z, CEM)]


def test_who_asks_without_waiting_waits_for_nobody():
    """GROUP-4, LOCK-3"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(ANN, Y, wait=True))
    lab.refuses(acquire(BOB, X), EquipmentInUse)


def test_a_group_that_waits_closes_a_circle_as_a_single_entry_does():
    """GROUP-4"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(ANN, Y, wait=True))
    refusal = lab.refuses(group(BOB, Z, X, wait=True), WouldDeadlock)
    assert circle(refusal) == [(BOB, X, ANN), (ANN, Y, BOB)]
    assert lab.queues == ([], [ANN], [])


def test_who_waits_waits_for_those_ahead_too():
    """GROUP-4"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(CEM, Y, wait=True), acquire(CEM, wait=True))
    refusal = lab.refuses(acquire(BOB, X, wait=True), WouldDeadlock)
    assert circle(refusal) == [(BOB, X, CEM), (CEM, Y, BOB)]


def test_who_goes_ahead_by_priority_is_waited_for_by_those_behind():
    """GROUP-4, QUEUE-10"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(CEM, wait=True), acquire(BOB, Z), acquire(DAN, Y, wait=True))
    lab.do(acquire(CEM, Y, wait=True))
    lab.refuses(acquire(BOB, wait=True), WouldDeadlock)
    lab.do(leave(CEM))
    lab.do(acquire(FAY, wait=True))
    lab.do(acquire(BOB, wait=True, priority=1))
    assert circle(lab.refuses(acquire(CEM, wait=True, priority=2), WouldDeadlock)) == [(CEM, Y, BOB), (BOB, X, CEM)]
    lab.do(acquire(CEM, wait=True))
    assert lab.waiting == [BOB, FAY, CEM]


def test_a_direct_grant_past_a_waiting_group_that_would_close_a_circle_is_refused():
    """GROUP-4, GROUP-2"""
    lab = given(acquire(ANN, Y), acquire(BOB, Z), group(BOB, X, Y, wait=True), acquire(CEM, Z, wait=True))
    for wait in (False, True):
        refusal = lab.refuses(acquire(CEM, wait=wait), WouldDeadlock)
        assert circle(refusal) == [(CEM, Z, BOB), (BOB, X, CEM)]
    assert lab.holders == (None, ANN, BOB)


def test_a_release_is_never_refused_for_a_circle():
    """GROUP-4, GROUP-9"""
    lab = held_back()
    assert kinds(lab.do(release(BOB, Z)))[0] == "LockEnded"


def test_a_circle_that_has_been_opened_stops_nobody():
    """GROUP-4"""
    lab = given(acquire(ANN), acquire(BOB, Y), acquire(ANN, Y, wait=True), leave(ANN, Y), acquire(BOB, wait=True))
    assert lab.waiting == [BOB]


def test_nobody_waits_for_the_last_holder_of_what_drains():
    """GROUP-4, LOSS-10"""
    lab = given(acquire(ANN), control(ANN), release(ANN), acquire(BOB, Y), acquire(ANN, Y, wait=True))
    lab.do(acquire(BOB, wait=True))
    assert lab.waiting == [BOB]


# -- passing a group only where that closes no circle


def held_back() -> Lab:
    """`x` is free, Bob's group waits for `y`, and Cem, who is next for `x`, waits for Bob's `z`."""
    lab = given(acquire(ANN, Y), acquire(BOB, Z), acquire(DAN), group(BOB, X, Y, wait=True))
    for request in (acquire(CEM, wait=True), acquire(CEM, Z, wait=True), release(DAN)):
        lab.do(request)
    assert (lab.holders, lab.queues) == ((None, ANN, BOB), ([BOB, CEM], [BOB], [CEM]))
    return lab


def test_an_entry_does_not_pass_a_group_whose_session_it_waits_for():
    """GROUP-9"""
    lab = held_back()
    assert kinds(lab.until(30)) == []
    assert lab.holders == (None, ANN, BOB)


@pytest.mark.parametrize(
    ("last", "holders"),
    [
        (leave(CEM, Z), (CEM, ANN, BOB)),
        (release(BOB, Z), (CEM, ANN, CEM)),
        (leave_group(BOB), (CEM, ANN, BOB)),
        (gone(BOB), (CEM, ANN, CEM)),
        (release(ANN, Y), (BOB, BOB, BOB)),
        (gone(CEM), (None, ANN, BOB)),
    ],
    ids=["stops waiting", "gets what it waits for", "group leaves", "group dies", "group is granted", "dies"],
)
def test_an_entry_that_was_held_back_passes_in_the_step_that_opens_the_circle(last, holders):
    """GROUP-9, QUEUE-7"""
    lab = held_back()
    lab.do(last)
    assert lab.holders == holders


def test_an_entry_that_was_held_back_passes_when_the_circle_is_opened_elsewhere():
    """GROUP-9, QUEUE-7"""
    w = EquipmentId("w")
    lab = given()
    lab.table.put(Equipment(id=w))
    for request in (acquire(ANN, Y), acquire(BOB, w), acquire(EVE, Z), acquire(EVE, w, wait=True), acquire(DAN)):
        lab.do(request)
    for request in (group(BOB, X, Y, wait=True), acquire(CEM, wait=True), acquire(CEM, Z, wait=True), release(DAN)):
        lab.do(request)
    assert lab.holder is None
    lab.do(leave(EVE, w))
    assert (lab.holder, lab.waiting) == (CEM, [BOB])


def test_a_group_passes_another_only_where_that_closes_no_circle_in_any_of_its_queues():
    """GROUP-9"""
    lab = given(acquire(DAN, Z), acquire(ANN), group(CEM, Y, Z, wait=True), group(BOB, X, Y, wait=True))
    lab.do(acquire(BOB, Z, wait=True))
    lab.do(release(ANN))
    assert (lab.holders, lab.queues) == ((None, None, DAN), ([BOB], [CEM, BOB], [CEM, BOB]))
    lab.do(leave(BOB, Z))
    assert lab.holders == (BOB, BOB, DAN)


def test_a_blocked_group_that_would_close_a_circle_holds_nobody_back_behind_it():
    """GROUP-2, GROUP-9"""
    lab = given(acquire(ANN, Y), acquire(BOB, Z), acquire(EVE), group(BOB, X, Y, wait=True))
    for request in (group(CEM, X, Y, wait=True), acquire(CEM, Z, wait=True), acquire(DAN, wait=True), release(EVE)):
        lab.do(request)
    assert (lab.holder, lab.waiting) == (DAN, [BOB, CEM])


def test_when_the_holder_of_the_circle_is_silent_nothing_is_given_and_speaking_changes_nothing():
    """GROUP-9, LIVE-12"""
    lab = held_back()
    lab.until(70, beating=[ANN, BOB])
    assert lab.session(CEM).suspect
    lab.do(beat(CEM))
    assert lab.holders == (None, ANN, BOB)


def test_one_who_is_held_back_and_asks_again_keeps_the_entry():
    """GROUP-9, QUEUE-3"""
    lab = held_back()
    before = lab.x.queue
    assert kinds(lab.do(acquire(CEM, wait=True, again=1))) == []
    assert lab.x.queue == before


# -- passing an entry that may not pass a group


def behind_one_held_back() -> Lab:
    """`x` is free; Bob's group waits for `y`, Cem, who waits for `y` too, may not pass it; Dan is behind him."""
    lab = given(acquire(ANN, Y), acquire(EVE), group(BOB, X, Y, wait=True))
    for request in (acquire(CEM, wait=True), acquire(CEM, Y, wait=True), acquire(DAN, wait=True)):
        lab.do(request)
    return lab


def test_who_is_behind_an_entry_that_may_not_pass_a_group_is_granted_what_it_could_have():
    """GROUP-11, QUEUE-7"""
    lab = behind_one_held_back()
    assert kinds(lab.do(release(EVE))) == ["LockEnded", "QueueLeft", "LockAcquired"]
    assert lab.holders == (DAN, ANN, None)
    assert lab.queues == ([BOB, CEM], [BOB, CEM], [])


def test_a_newcomer_overtakes_nobody_who_could_have_the_lock():
    """GROUP-11, QUEUE-4"""
    lab = behind_one_held_back()
    lab.do(release(EVE))
    lab.refuses(acquire(FAY), EquipmentInUse)


def test_of_two_behind_an_entry_that_may_not_pass_the_one_who_would_wait_for_themselves_stays():
    """GROUP-11, GROUP-9"""
    lab = given(acquire(ANN, Y), acquire(EVE), group(BOB, X, Y, wait=True))
    for waiter in (CEM, DAN):
        lab.do(acquire(waiter, wait=True))
        lab.do(acquire(waiter, Y, wait=True))
    lab.do(acquire(FAY, wait=True))
    lab.do(release(EVE))
    assert lab.holders == (FAY, ANN, None)
    assert lab.waiting == [BOB, CEM, DAN]


def test_who_may_not_pass_a_group_is_served_before_those_behind_once_it_may():
    """GROUP-11, GROUP-9"""
    lab = behind_one_held_back()
    lab.do(leave(CEM, Y))
    lab.do(release(EVE))
    assert lab.holders == (CEM, ANN, None)
    assert lab.waiting == [BOB, DAN]


def test_who_looks_waits_behind_who_waits_for_a_fault_to_be_cleared():
    """GROUP-11, LOSS-13: an entry is passed because it may not pass a group, not because it cannot be served yet."""
    lab = given(acquire(ANN), control(ANN), acquire(BOB, wait=True), watch(CEM, wait=True), release(ANN, stop=True))
    lab.until(20.0)
    assert lab.x.fault is not None
    assert (lab.waiting, lab.observing) == ([BOB, CEM], [])

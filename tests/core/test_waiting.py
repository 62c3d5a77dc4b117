"""Priority in a queue, and how long a wait may take."""

from __future__ import annotations

from authority.core import messages, waiting
from authority.core.model import HOLDS_KEPT, SessionId

from .given import (
    ANN,
    ANN_BOB_CEM,
    BOB,
    CEM,
    DAN,
    EVE,
    FAY,
    Lab,
    X,
    acquire,
    answer,
    ask,
    force,
    given,
    release,
    the,
    watch,
)  # fmt: skip

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

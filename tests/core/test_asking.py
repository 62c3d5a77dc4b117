"""Asking the holder to yield, and the answers."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.model import HolderAsk, LossCause
from authority.core.refusals import (
    CannotHandOver,
    NoLock,
    NotHolder,
    UnknownAsk,
    UnknownEntry,
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
    answer,
    ask,
    control,
    finish,
    force,
    given,
    gone,
    group,
    hand_over,
    kinds,
    leave,
    release,
    the,
    watch,
)  # fmt: skip


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

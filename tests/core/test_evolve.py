"""Deciding changes nothing, an event always changes the same, and an overlay is as good as the table."""

from __future__ import annotations

import random

import pytest

from authority.core.evolve import evolve
from authority.core.model import Table
from authority.core.refusals import Refusal
from authority.core.rules import decide
from authority.core.step import Step

from .given import (
    ANN,
    BOB,
    CEM,
    EVE,
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
    leave,
    moved,
    observe,
    release,
    resume,
    snapshot,
    stop,
    watch,
)  # fmt: skip


def any_request(dice: random.Random):
    who, what = dice.choice([ANN, BOB, CEM, EVE]), dice.choice([X, Y])
    requests = [
        acquire(who, what, wait=dice.random() < 0.5), watch(who, what, wait=dice.random() < 0.5), release(who, what),
        control(who, what=what), observe(who, what), finish(what=what, moving=dice.random() < 0.3), beat(who),
        moved(dice.random() < 0.3, what), stop(who, what), force(who, what), claim(who, what), leave(who, what),
        activity(who, what), resume(who, what), clear_fault(what),
    ]  # fmt: skip
    return dice.choice([gone(who), end(who)] if dice.random() < 0.01 else requests)


@pytest.mark.parametrize("seed", range(30))
def test_deciding_changes_nothing_and_a_refusal_changes_nothing(seed):
    """LOCK-7"""
    dice, lab = random.Random(seed), given()
    for _ in range(80):
        lab.late(lab.now + dice.choice([0, 1, 5, 60, 300]))
        before, request = snapshot(lab.table), any_request(dice)
        try:
            events = decide(lab.table, request, lab.now)
        except Refusal:
            assert snapshot(lab.table) == before
            continue
        assert snapshot(lab.table) == before
        assert decide(lab.table, request, lab.now) == events
        lab.do(request)


@pytest.mark.parametrize("seed", range(30))
def test_an_overlay_shows_what_the_applied_table_shows(seed):
    dice, lab = random.Random(seed), given()
    for _ in range(80):
        lab.late(lab.now + dice.choice([0, 1, 5, 60, 300]))
        try:
            events = decide(lab.table, any_request(dice), lab.now)
        except Refusal:
            continue
        overlay = Table(lab.table)
        sessions = [s.id for s in lab.table.all_sessions()]
        for event in events:
            evolve(overlay, event)
        for event in events:
            evolve(lab.table, event)
        assert [overlay.equipment(k) for k in (X, Y)] == [lab.table.equipment(k) for k in (X, Y)]
        assert [overlay.session(k) for k in sessions] == [lab.table.session(k) for k in sessions]


def test_an_overlay_can_lie_on_an_overlay():
    lab = given(acquire(ANN))
    first = Step(lab.table, 1.0)
    for event in decide(first.table, release(ANN), 1.0):
        first.emit(event)
    second = Table(first.table)
    for event in decide(second, end(ANN), 2.0):
        evolve(second, event)
    assert (lab.x.lock is not None, first.table.equipment(X).lock) == (True, None)
    assert (first.table.session(ANN) is not None, second.session(ANN)) == (True, None)


def test_a_session_knows_where_it_holds_watches_and_waits():
    lab = given(acquire(ANN, X), acquire(BOB, X, wait=True), watch(BOB, Y))
    assert (lab.session(ANN).equipment, lab.session(BOB).equipment) == ((X,), (X, Y))
    lab.do(release(ANN))
    lab.do(release(BOB, Y))
    assert (lab.session(ANN).equipment, lab.session(BOB).equipment) == ((), (X,))

"""The checker of records finds each kind of wrong: a check that cannot fail would prove nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from record import Fact, Wrong, check

_targets = itertools.count(1)


def begin(command: int, fence: int, *, moving: bool = False, to: float | None = None) -> Fact:
    target = next(_targets) if to is None else to
    return {
        "at": 0.0, "fact": "begin", "position": 0.0, "command": command, "action": "move_to",
        "parameters": {"position": target}, "fence": fence, "moving": moving,
    }  # fmt: skip


def end(command: int, how: str = "arrived") -> Fact:
    return {"at": 0.0, "fact": "end", "position": 0.0, "command": command, "how": how}


def line(fact: str, **more: Any) -> Fact:
    return {"at": 0.0, "fact": fact, "position": 0.0, **more}


ON, STOP, NO_STOP = line("on"), line("stop", moving=True), line("stop", moving=False)

RIGHT = {
    "nothing": ([], ()),
    "one after another": ([ON, begin(1, 1), end(1), begin(2, 1), end(2), begin(3, 2), end(3)], ()),
    "a stop between two holders": ([begin(1, 1), end(1, "stopped"), STOP, begin(2, 2)], ()),
    "one's own move, turned back": ([begin(1, 1), begin(2, 1, moving=True), end(1, "interrupted"), end(2)], ()),
    "an end at rest": ([begin(1, 1), end(1), begin(2, 1)], (2,)),
    "an end in a move, stopped at the restart": ([begin(1, 1), end(1, "stopped"), STOP, begin(2, 1)], (1,)),
    "an end in a move that arrived before the stop": ([begin(1, 1), end(1), NO_STOP, begin(2, 2)], (1,)),
    "power lost and back": ([begin(1, 1), ON, begin(2, 2)], (1,)),
}
WRONG = {
    "goes back": ([begin(1, 2), end(1), begin(2, 1)], ()),
    "overlaps command 1": ([begin(1, 1), begin(2, 2)], ()),
    "overlaps command 1 of": ([begin(1, 1), STOP, begin(2, 2, moving=True)], ()),
    "the motor moves": ([begin(1, 1), end(1), begin(2, 2, moving=True)], ()),
    "same command has begun": ([begin(1, 1, to=5.5), end(1), begin(2, 1, to=5.5)], ()),
    "command 1 has begun before": ([begin(1, 1), end(1), begin(1, 1)], ()),
    "was not stopped before": ([begin(1, 1), end(1), begin(2, 1)], (1,)),
    "never stopped": ([begin(1, 1)], (1,)),
    "never stopped$": ([begin(1, 1), end(1)], (1,)),
    "not stopped before this": ([begin(1, 1), STOP, begin(2, 1), begin(3, 1)], (1, 3)),
    "does not run": ([begin(1, 1), end(1), end(1)], ()),
    "came as far as the motor": ([begin(1, 2), line("refused", action="home", parameters={}, fence=1, seen=2)], ()),
    "no record has": ([line("jumped")], ()),
}


def test_a_stop_that_did_not_get_through_excuses_only_what_ended_by_itself() -> None:
    """SAFE-4"""
    check([begin(1, 1), end(1), begin(2, 1), end(2)], ends=(1,), tried=(1,))
    check([begin(1, 1), end(1)], ends=(1,), tried=(2,))
    with pytest.raises(Wrong, match="was not stopped before"):
        check([begin(1, 1), begin(2, 1), end(1)], ends=(1,), tried=(1,))
    with pytest.raises(Wrong, match="was not stopped before"):
        check([begin(1, 1), end(1), begin(2, 1)], ends=(1,), tried=(0,))
    with pytest.raises(Wrong, match="never stopped"):
        check([begin(1, 1)], ends=(1,), tried=(1,))


@pytest.mark.parametrize(("facts", "ends"), RIGHT.values(), ids=RIGHT)
def test_a_record_in_which_nothing_is_wrong_passes(facts: list[Fact], ends: tuple[int, ...]) -> None:
    """SAFE-1, SAFE-2, SAFE-3, SAFE-4"""
    check(facts, ends=ends)


@pytest.mark.parametrize(("sentence", "record"), WRONG.items(), ids=WRONG)
def test_a_record_that_is_wrong_is_found(sentence: str, record: tuple[list[Fact], tuple[int, ...]]) -> None:
    """SAFE-1, SAFE-2, SAFE-3, SAFE-4"""
    facts, ends = record
    with pytest.raises(Wrong, match=sentence):
        check(facts, ends=ends)

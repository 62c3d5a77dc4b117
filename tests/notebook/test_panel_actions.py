"""Which buttons the panel has in which state; what they do is shown in test_panel.py."""

from __future__ import annotations

import pytest
from statuses import ANN, BOB, CARL, a_status, held, waiting

from jupyter_motorlock.notebook import panel_actions

ASKING = BOB | {"ask": {"answer": None, "reason": "beam"}}
ANSWERED = BOB | {"ask": {"answer": "no"}}
OBSERVER = ["read", "stop", "observe"]
OPERATOR = [*OBSERVER, "control"]
OFFERING = CARL | {"swap_with": "q1"}


@pytest.mark.parametrize(
    ("status", "me", "expected", "others"),
    [
        ({}, None, "Request", ()),
        (a_status(), None, "Request", ("Watch",)),
        (a_status(observers=[BOB]), "s-bob", "Request", ("Stop watching",)),
        (held(), "s-ann", "Release", ("Keep", "Watch only")),
        (held(**waiting(BOB)), "s-ann", "Release", ("Keep", "Hand over")),
        (held(**waiting(ASKING)), "s-ann", "Release", ("Yes, hand over", "No", "Later", "Keep", "Hand over")),
        (held(**waiting(ANSWERED)), "s-ann", "Release", ("Keep", "Hand over")),
        (held(stopped_by=BOB), "s-ann", "Resume", ("Keep", "Watch only", "Release")),
        (held(stopped_by=ANN), "s-ann", "Release", ("Keep", "Watch only")),
        (held() | {"claimed": False}, "s-ann", "Claim", ("Release",)),
        (held(), "s-bob", "Request", ("Ask", "Watch", "Take by force")),
        (held() | {"holder": ANN | {"suspect": True}}, "s-bob", "Request", ("Ask", "Watch", "Take by force")),
        (held(**waiting(BOB)), "s-bob", "Leave queue", ("Ask", "Take by force")),
        (held(**waiting(ASKING)), "s-bob", "Leave queue", ("Take by force",)),
        (held(**waiting(BOB, OFFERING)), "s-bob", "Leave queue", ("Swap places", "Ask", "Take by force")),
        (held() | {"state": "draining"}, "s-ann", "Request", ()),
        (a_status(state="fault"), "s-ann", "Clear fault", ("Watch",)),
        (a_status(state="fault", **waiting(BOB)), "s-bob", "Leave queue", ("Clear fault",)),
    ],
)
def test_the_first_button_is_what_one_will_want_and_the_others_are_what_else_one_can_do(
    status: dict[str, object],
    me: str | None,
    expected: panel_actions.PanelAction,
    others: tuple[panel_actions.PanelAction, ...],
) -> None:
    """NB-41 NB-42"""
    assert panel_actions.main_action(status, me) == expected
    assert panel_actions.other_actions(status, me) == others


@pytest.mark.parametrize(
    ("status", "me", "rights", "expected", "others"),
    [
        (a_status(), None, OBSERVER, None, ("Watch",)),
        (held(), "s-bob", OBSERVER, None, ("Watch",)),
        (held(), "s-bob", OPERATOR, "Request", ("Ask", "Watch")),
        (held(), "s-bob", [*OPERATOR, "force"], "Request", ("Ask", "Watch", "Take by force")),
        (a_status(state="fault"), "s-ann", OPERATOR, None, ("Watch",)),
        (a_status(state="fault"), "s-ann", [*OBSERVER, "clear-fault"], "Clear fault", ("Watch",)),
        (held(stopped_by=BOB), "s-ann", OBSERVER, None, ("Watch only", "Release")),
    ],
)
def test_a_button_whose_right_is_missing_is_not_there(
    status: dict[str, object],
    me: str | None,
    rights: list[str],
    expected: panel_actions.PanelAction | None,
    others: tuple[panel_actions.PanelAction, ...],
) -> None:
    """NB-112"""
    assert panel_actions.main_action(status, me, rights) == expected
    assert panel_actions.other_actions(status, me, rights) == others


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("Hand over", "Hand over stage_x to Bob, who is next in the queue"),
        ("Yes, hand over", "Yes, hand over stage_x to Bob now"),
        ("Take by force", "Take by force stage_x from Ann, who is told who did it and the reason written here"),
    ],
)
def test_a_button_says_to_whom_it_does_it(action: panel_actions.PanelAction, words: str) -> None:
    """NB-42 NB-46"""
    assert panel_actions.describe_action(action, held(**waiting(ASKING)), "s-ann") == words


@pytest.mark.parametrize("action", [*panel_actions.OTHERS, "Request", "Claim", "Leave queue", "Resume"])
def test_what_is_heard_of_a_button_begins_with_what_is_seen_on_it(action: panel_actions.PanelAction) -> None:
    """NB-46"""
    assert panel_actions.describe_action(action, held(**waiting(ASKING, OFFERING)), "s-bob").startswith(action)

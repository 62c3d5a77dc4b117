"""What the panel shows, and its HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from statuses import ANN, AT_REST, BOB, IDLE, NOW, STOP, STOPPED, a_status, held, waiting

from jupyter_motorlock.notebook import panel_html
from jupyter_motorlock.text import status as status_text


def test_an_end_without_a_clock_has_no_time() -> None:
    kept = held(ending={"what": "keep", "at": None, "in_seconds": None, "text": "kept while a cell runs"})
    assert "  next: kept while a cell runs" in status_text.plain_text(kept, "s-ann", now=NOW).splitlines()
    assert status_text.seconds_left(kept, elapsed_s=3.0) is None
    assert "ml-count" not in panel_html.panel_html(panel_html.panel_content(kept, "s-ann", now=NOW), None)


def test_a_countdown_of_ones_own_says_you_and_does_not_change_between_the_commands_of_a_cell() -> None:
    """NB-90"""
    offer = held(ending=IDLE | {"what": "offer", "text": "may be taken over by whoever asks unless Ann uses it"})
    mine = "may be taken over by whoever asks unless you use it (14:32)"
    assert panel_html.panel_content(offer, "s-ann", now=NOW).ends == mine
    assert panel_html.panel_content(offer, "s-bob", now=NOW).ends == mine.replace("you use", "Ann uses")
    in_a_cell = held() | {"holder": ANN | {"busy": True}}
    between = panel_html.panel_content(in_a_cell, "s-ann", now=NOW).ends
    assert between == "nothing ends this while the cell runs"
    assert panel_html.panel_content(in_a_cell | {"running": {"action": "home"}}, "s-ann", now=NOW).ends == between


@pytest.mark.parametrize(
    ("changes", "next_"),
    [({}, "nothing ends this"), ({"running": {"action": "home"}}, "nothing ends this while the command runs")],
)
def test_where_no_clock_runs_that_is_said(changes: dict[str, object], next_: str) -> None:
    assert panel_html.panel_content(held(**changes), "s-ann", now=NOW).ends == next_
    assert panel_html.panel_content(a_status(**changes), "s-ann", now=NOW).ends == ""


def test_what_is_due_is_not_late() -> None:
    due = held(ending=IDLE | {"in_seconds": 0.0})
    seen = panel_html.panel_content(due, "s-ann", now=NOW)
    assert seen.ends == "is released unless you use it (since 14:32)"
    assert panel_html.LATE not in panel_html.panel_html(seen, 0.0)


@pytest.mark.parametrize(
    ("left_s", "delay", "late"),
    [(252.0, "-359748.0s", "255.0s"), (7200.0, "-352800.0s", "7203.0s"), (0.1, "-359999.9s", "3.1s")],
)
def test_the_browser_counts_down_and_then_says_that_the_panel_is_stale(left_s: float, delay: str, late: str) -> None:
    """NB-14"""
    html = panel_html.panel_html(panel_html.panel_content(held(ending=IDLE), "s-ann", now=NOW), left_s)
    assert f"animation-delay:{delay}" in html
    assert f'animation-delay:{late}">stale: no word from the authority<' in html
    assert ("ml-short" in html) is (left_s < 3600)


WAKING = ["window.motorlockTell?.(this)"]  # the one script in it, which is the same whatever is shown


def test_what_others_wrote_cannot_become_markup() -> None:
    """NB-16"""
    evil = "<img src=x onerror=alert(1)>\"'&"
    part = {"session_id": evil, "user": evil, "note": evil, "since": evil, "reason": evil, "at": evil, "position": 1}
    part |= {"text": evil, "ask": {"answer": "no", "text": evil}}
    status = held(
        queue=[part], observers=[part], stopped_by=part, fault=evil, ending={"text": evil, "at": evil, "in_seconds": 5},
        running={"action": evil, "parameters": {evil: evil}, "user": evil},
        readback={"connected": True, "position": None, "values": {evil: evil}, "units": evil},
    ) | {"label": evil, "kind": evil + "k", "holder": part, "equipment_id": evil, "text": evil}  # fmt: skip
    happened = {"event": evil, "timestamp": evil, "equipment_id": evil, "user": evil, "reason": evil}
    for state in ("held", "draining", "fault", "free", evil):
        seen = panel_html.panel_content(status | {"state": state}, "s-ann", said=evil, happened=[happened], now=NOW)
        for html in (panel_html.panel_html(seen, 5.0), panel_html.row_html(seen, 5.0), panel_html.details_html(seen)):
            assert _tags(html) <= {"div", "span", "b", "ul", "li", "style"}
            assert [text for name, text in _attributes(html) if name.startswith("on")] == WAKING[: html.count("onload")]


class _Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def _tags(html: str) -> set[str]:
    collector = _Collector()
    collector.feed(html)
    return collector.tags


def _attributes(html: str) -> list[tuple[str, str | None]]:
    collector = _Collector()
    collector.feed(html)
    return collector.attributes


@pytest.mark.parametrize(
    ("status", "me", "badge", "tone"),
    [
        (a_status(), "s-ann", "free", "free"),
        (held(), "s-ann", "yours", "mine"),
        (held(), "s-bob", "in use", "other"),
        (held() | {"claimed": False}, "s-ann", "your turn", "wait"),
        (held() | {"holder": ANN | {"suspect": True}}, "s-bob", "silent", "wait"),
        (held() | {"state": "draining"}, "s-bob", "coming to rest", "wait"),
        (a_status(state="fault"), "s-bob", "fault", "bad"),
        ({}, None, "unknown", "bad"),
    ],
)
def test_the_badge_tells_the_state_in_two_words(
    status: dict[str, object], me: str | None, badge: str, tone: str
) -> None:
    seen = panel_html.panel_content(status, me, now=NOW)
    assert (seen.badge, seen.tone) == (badge, tone)
    assert f"ml-{tone}" in panel_html.panel_html(seen, None)


@pytest.mark.parametrize(("label", "beside"), [("stage_x", ""), ("Sample stage, x", "Sample stage, x"), ("", "")])
def test_the_title_is_the_name_to_type_and_the_label_stands_beside_it(label: str, beside: str) -> None:
    seen = panel_html.panel_content(a_status(label=label), "s-ann", now=NOW)
    assert (seen.title, seen.label) == ("stage_x", beside)


def test_a_lost_feed_is_said_before_anything_else() -> None:
    seen = panel_html.panel_content(held(), "s-ann", alive=False, now=NOW)
    assert (seen.badge, seen.tone, seen.notice) == ("no connection", "bad", panel_html.LOST)


@pytest.mark.parametrize(
    ("status", "me", "notice"),
    [
        (held(), "s-ann", ""),
        (
            held(stopped_by=STOP | {"text": STOPPED}),
            "s-bob",
            "stage_x was stopped by Bob at 14:04 (too close): Ann has to resume or log in again.",
        ),
        (a_status(last_lost={"session_id": "s-ann", "why": "logout"}), "s-ann", ""),
        (a_status(last_lost={"session_id": "s-ann", "why": "idle"}), "s-bob", ""),
        (held(last_lost={"session_id": "s-ann", "why": "idle"}), "s-ann", ""),
    ],
)
def test_the_note_tells_what_went_wrong_and_what_to_do(status: dict[str, object], me: str, notice: str) -> None:
    """NB-96"""
    assert panel_html.panel_content(status, me, now=NOW).notice == notice


def test_who_lost_a_lock_is_told_why_until_it_is_theirs_again() -> None:
    lost = {"session_id": "s-ann", "why": "forced", "at": ANN["since"], "text": "Carl took it by force (beam time)"}
    seen = panel_html.panel_content(a_status(last_lost=lost), "s-ann", now=NOW)
    assert "because Carl took it by force (beam time)" in seen.notice
    assert "%motor_login stage_x" in seen.notice
    assert panel_html.panel_content(held(last_lost=lost), "s-ann", now=NOW).notice == ""


@pytest.mark.parametrize(
    ("changes", "doing"),
    [
        ({}, ""),
        ({"readback": AT_REST | {"moving": True}}, "moving"),
        ({"readback": AT_REST | {"error": "limit switch"}}, "limit switch"),
        ({"readback": AT_REST | {"connected": False, "error": "off"}}, ""),
        (
            {"running": {"action": "home", "session_id": "s-bob", "user": "Bob", "started_at": "2026-11-21T14:03:00Z"}},
            "home() by Bob since 14:03",
        ),
    ],
)
def test_what_it_is_doing_is_the_command_or_the_motion_or_the_error(changes: dict[str, object], doing: str) -> None:
    assert panel_html.panel_content(a_status(**changes), "s-ann", now=NOW).doing == doing


def test_a_bar_shows_how_much_of_the_way_of_a_move_is_gone() -> None:
    moving = panel_html.panel_content(
        held(readback=AT_REST | {"moving": True, "target": 90.0, "fraction": 0.125}), "s-ann", now=NOW
    )
    assert '<i style="width:12.5%"></i>' in panel_html.panel_html(moving, None)
    assert "<i" not in panel_html.panel_html(panel_html.panel_content(held(), "s-ann", now=NOW), None)


def test_a_click_is_answered_beside_what_the_authority_says() -> None:
    stopped = held(stopped_by=STOP | {"text": STOPPED})
    seen = panel_html.panel_content(stopped, "s-bob", said="14:04:00 stop delivered.", now=NOW)
    assert seen.notice.startswith("14:04:00 stop delivered. stage_x was stopped by Bob at 14:04")


def test_two_statuses_that_differ_only_in_the_running_clock_show_the_same() -> None:
    later = held(ending=IDLE | {"in_seconds": 200.0})
    assert panel_html.panel_content(held(ending=IDLE), "s-ann", now=NOW) == panel_html.panel_content(
        later, "s-ann", now=NOW
    )
    renewed = held(ending=IDLE | {"at": "2026-11-21T14:32:40+00:00"})
    assert panel_html.panel_content(held(ending=IDLE), "s-ann", now=NOW) != panel_html.panel_content(
        renewed, "s-ann", now=NOW
    )


def test_a_row_of_many_says_what_is_wrong_in_place_of_who_has_it() -> None:
    """NB-44"""
    fine, wrong = held(ending=IDLE), held(stopped_by=STOP)
    assert ">stage_x is yours since 14:02 (scan over night); nobody waits.</div>" in _row(fine)
    assert ">stage_x was stopped by Bob at 14:04 (too close): resume or log in again to go on.</div>" in _row(wrong)
    assert "ml-count" in _row(fine)


def _row(status: dict[str, object]) -> str:
    return panel_html.row_html(panel_html.panel_content(status, "s-ann", now=NOW), 252.3)


def test_a_long_queue_takes_no_more_room_than_a_short_one() -> None:
    """NB-43 NB-47"""
    crowd = [BOB | {"position": place, "user": f"User {place}"} for place in range(1, 9)]
    html = panel_html.details_html(panel_html.panel_content(held(**waiting(*crowd)), "s-ann", now=NOW))
    assert html.count("<li") == panel_html.MOST_WAITING
    assert "4. User 4" in html
    assert ">and 4 more<" in html


def test_the_browser_is_told_whose_turn_it_is_once_for_each_grant() -> None:
    """NB-45"""
    turn = held(fence=7, lock_id="l-9") | {"claimed": False}
    assert 'data-turn="7 l-9"' in panel_html.panel_html(panel_html.panel_content(turn, "s-ann", now=NOW), None)
    assert 'data-turn=""' in panel_html.panel_html(panel_html.panel_content(turn, "s-bob", now=NOW), None)

"""What people are told about an equipment."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from jupyter_motorlock import view

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
ANN = {"session_id": "s-ann", "user": "Ann", "note": "scan over night", "since": "2026-11-21T14:02:00+00:00"}
BOB = {"session_id": "s-bob", "user": "Bob", "position": 1, "note": None, "queue_id": "q1"}
CARL = {"session_id": "s-carl", "user": "Carl", "position": 2, "note": "align", "queue_id": "q2"}
AT_REST = {"connected": True, "moving": False, "position": 12.5, "units": "mm", "values": {}, "error": None}
IDLE = {"what": "idle", "at": "2026-11-21T14:32:00.5+00:00", "in_seconds": 252.3, "text": "released unless used"}


def a_status(**changes: object) -> dict[str, object]:
    free: dict[str, object] = {
        "equipment_id": "stage_x",
        "label": "stage_x",
        "kind": "motor",
        "state": "free",
        "claimed": None,
        "holder": None,
        "observers": [],
        "queue": [],
        "queue_length": 0,
        "ending": None,
        "running": None,
        "readback": AT_REST,
        "stopped_by": None,
        "fault": None,
        "last_lost": None,
    }
    return free | changes


def held(**changes: object) -> dict[str, object]:
    return a_status(state="held", claimed=True, holder=ANN, **changes)


def waiting(*entries: dict[str, object]) -> dict[str, object]:
    return {"queue": list(entries), "queue_length": len(entries)}


@pytest.mark.parametrize(
    ("status", "me", "sentence"),
    [
        (a_status(), "s-ann", "stage_x is free."),
        (a_status(observers=[BOB]), "s-bob", "stage_x is free; you are watching."),
        (held(), "s-ann", "stage_x is yours since 14:02 (scan over night); nobody waits."),
        (held(**waiting(BOB)), "s-ann", "stage_x is yours since 14:02 (scan over night); one waits."),
        (held(**waiting(BOB, CARL)), None, "Ann (scan over night) has stage_x since 14:02; 2 wait."),
        (
            held(**waiting(BOB, CARL)),
            "s-bob",
            "Ann (scan over night) has stage_x since 14:02; you are next in the queue.",
        ),
        (
            held(**waiting(BOB, CARL)),
            "s-carl",
            "Ann (scan over night) has stage_x since 14:02; you are number 2 in the queue.",
        ),
        (held(observers=[BOB]), "s-bob", "Ann (scan over night) has stage_x since 14:02; you are watching."),
        (held() | {"claimed": False}, "s-ann", "It is your turn on stage_x: claim it, or it passes on; nobody waits."),
        (
            held() | {"claimed": False},
            "s-bob",
            "Ann (scan over night) has stage_x since 14:02 and has not claimed it yet; nobody waits.",
        ),
        (
            held(**waiting(BOB)) | {"state": "draining"},
            "s-bob",
            "stage_x is coming to rest and then passes on from Ann; you are next in the queue.",
        ),
        (
            a_status(state="fault", fault="it did not come to rest"),
            "s-ann",
            "stage_x has a fault (it did not come to rest) and is given to nobody: look at it, then "
            "`motorlock clear-fault stage_x --reason TEXT`.",
        ),
        (
            a_status(state="fault"),
            "s-ann",
            "stage_x has a fault (its state is not known) and is given to nobody: look at it, then "
            "`motorlock clear-fault stage_x --reason TEXT`.",
        ),
        ({}, "s-ann", "equipment: no word from the authority yet."),
        ({"state": "held", "equipment_id": "y"}, None, "somebody has y; nobody waits."),
    ],
)
def test_the_headline_says_who_has_it_and_where_one_stands(
    status: dict[str, object], me: str | None, sentence: str
) -> None:
    assert view.headline(status, me, now=NOW) == sentence


def test_without_a_session_nothing_is_said_to_be_ours() -> None:
    nameless = held() | {"holder": ANN | {"session_id": None}}
    assert view.headline(nameless, None, now=NOW).startswith("Ann ")
    assert view.buttons(nameless, None) == ("Request",)


@pytest.mark.parametrize(
    ("status", "me", "deeds"),
    [
        (a_status(), None, ("Request",)),
        (held(), "s-bob", ("Request",)),
        (held(), "s-ann", ("Release",)),
        (held(**waiting(BOB)), "s-bob", ("Leave queue",)),
        (held() | {"claimed": False}, "s-ann", ("Claim", "Release")),
        (held(stopped_by=BOB), "s-ann", ("Release", "Resume")),
        (held(stopped_by=ANN), "s-ann", ("Release",)),
        (a_status(observers=[BOB]), "s-bob", ("Request", "Release")),
        (held() | {"state": "draining"}, "s-ann", ("Request",)),
    ],
)
def test_the_buttons_are_what_one_can_do_now(
    status: dict[str, object], me: str | None, deeds: tuple[view.Deed, ...]
) -> None:
    assert view.buttons(status, me) == deeds


def test_the_plain_form_tells_everything_the_panel_tells() -> None:
    """NB-13"""
    status = held(
        **waiting(BOB, CARL),
        observers=[{"session_id": "s-dora", "user": "Dora"}],
        ending=IDLE,
        running={
            "action": "move_to",
            "parameters": {"position": 80.0, "wait": True},
            "user": "Ann",
            "session_id": "s-ann",
        },
        stopped_by={"user": "Bob", "session_id": "s-bob", "at": "2026-11-21T14:04:00+00:00", "reason": "too close"},
    )
    assert view.plain(status, "s-ann", now=NOW).splitlines() == [
        "stage_x is yours since 14:02 (scan over night); 2 wait.",
        "  reads: 12.500 mm (move_to(position=80, wait=on) by you)",
        "  next: released unless used (14:32) (in 4 min 12 s)",
        "  queue 1: Bob",
        "  queue 2: Carl (align)",
        "  watching: Dora",
        "  note: stage_x was stopped by Bob at 14:04 (too close): resume or log in again to go on.",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "  holder: Ann (name not verified)"),
        ({"user_verified": True, "client_name": "scan.ipynb"}, "  holder: Ann in scan.ipynb"),
    ],
)
def test_the_plain_form_tells_how_sure_the_holder_is_and_where(changes: dict[str, object], line: str) -> None:
    assert line in view.plain(held() | {"holder": ANN | changes}, "s-bob", now=NOW).splitlines()
    assert "holder:" not in view.plain(held(), "s-ann", now=NOW)


def test_the_plain_form_of_what_is_free_and_not_read_is_one_line() -> None:
    assert view.plain(a_status(readback=None), "s-ann", now=NOW) == "stage_x is free."


def test_an_end_without_a_clock_has_no_time() -> None:
    kept = held(ending={"what": "keep", "at": None, "in_seconds": None, "text": "kept while a cell runs"})
    assert "  next: kept while a cell runs" in view.plain(kept, "s-ann", now=NOW).splitlines()
    assert view.left_s(kept, elapsed_s=3.0) is None
    assert "ml-count" not in view.panel_html(view.shown(kept, "s-ann", now=NOW), None)


@pytest.mark.parametrize(
    ("changes", "next_"),
    [({}, "nothing ends this"), ({"running": {"action": "home"}}, "nothing ends this while the command runs")],
)
def test_where_no_clock_runs_that_is_said(changes: dict[str, object], next_: str) -> None:
    assert view.shown(held(**changes), "s-ann", now=NOW).ends == next_
    assert view.shown(a_status(**changes), "s-ann", now=NOW).ends == ""


def test_what_is_due_is_not_late() -> None:
    due = held(ending=IDLE | {"in_seconds": 0.0})
    seen = view.shown(due, "s-ann", now=NOW)
    assert seen.ends == "released unless used (since 14:32)"
    assert view.LATE not in view.panel_html(seen, 0.0)


def test_the_countdown_goes_on_from_when_the_status_came() -> None:
    assert view.left_s(held(ending=IDLE), elapsed_s=2.3) == pytest.approx(250.0)
    assert view.left_s(held(ending=IDLE), elapsed_s=400.0) == 0.0


@pytest.mark.parametrize(
    ("left_s", "delay", "late"),
    [(252.0, "-359748.0s", "255.0s"), (7200.0, "-352800.0s", "7203.0s"), (0.1, "-359999.9s", "3.1s")],
)
def test_the_browser_counts_down_and_then_says_that_the_panel_is_stale(left_s: float, delay: str, late: str) -> None:
    """NB-14"""
    html = view.panel_html(view.shown(held(ending=IDLE), "s-ann", now=NOW), left_s)
    assert f"animation-delay:{delay}" in html
    assert f'animation-delay:{late}">stale: no word from the authority<' in html
    assert ("ml-short" in html) is (left_s < 3600)


def test_what_others_wrote_cannot_become_markup() -> None:
    """NB-16"""
    evil = "<img src=x onerror=alert(1)>\"'&"
    part = {"session_id": evil, "user": evil, "note": evil, "since": evil, "reason": evil, "at": evil, "position": 1}
    status = held(
        queue=[part], observers=[part], stopped_by=part, fault=evil, ending={"text": evil, "at": evil, "in_seconds": 5},
        running={"action": evil, "parameters": {evil: evil}, "user": evil},
        readback={"connected": True, "position": None, "values": {evil: evil}, "units": evil},
    ) | {"label": evil, "kind": evil + "k", "holder": part, "equipment_id": evil}  # fmt: skip
    for state in ("held", "draining", "fault", "free", evil):
        seen = view.shown(status | {"state": state}, "s-ann", said=evil, now=NOW)
        html = view.panel_html(seen, 5.0)
        assert _tags(html) <= {"div", "span", "b"}
        assert not {name for name in _attributes(html) if name.startswith("on")}


class _Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def _tags(html: str) -> set[str]:
    collector = _Collector()
    collector.feed(html)
    return collector.tags


def _attributes(html: str) -> set[str]:
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
    seen = view.shown(status, me, now=NOW)
    assert (seen.badge, seen.tone) == (badge, tone)
    assert f"ml-{tone}" in view.panel_html(seen, None)


@pytest.mark.parametrize(("label", "beside"), [("stage_x", ""), ("Sample stage, x", "Sample stage, x"), ("", "")])
def test_the_title_is_the_name_to_type_and_the_label_stands_beside_it(label: str, beside: str) -> None:
    seen = view.shown(a_status(label=label), "s-ann", now=NOW)
    assert (seen.title, seen.label) == ("stage_x", beside)


def test_a_lost_feed_is_said_before_anything_else() -> None:
    seen = view.shown(held(), "s-ann", alive=False, now=NOW)
    assert (seen.badge, seen.tone, seen.notice) == ("no connection", "bad", view.LOST)


@pytest.mark.parametrize(
    ("status", "me", "notice"),
    [
        (held(), "s-ann", ""),
        (
            held(stopped_by=BOB | {"at": "2026-11-20T23:59:00+00:00"}),
            "s-bob",
            "stage_x was stopped by you at 20 Nov 23:59: its holder must resume before it moves again.",
        ),
        (
            held() | {"holder": ANN | {"suspect": True}},
            "s-bob",
            "Nothing is heard of Ann: whoever asks for stage_x gets it at rest.",
        ),
        (held() | {"holder": ANN | {"suspect": True}}, "s-ann", ""),
        (a_status(last_lost={"session_id": "s-ann", "why": "logout"}), "s-ann", ""),
        (a_status(last_lost={"session_id": "s-ann", "why": "idle"}), "s-bob", ""),
        (held(last_lost={"session_id": "s-ann", "why": "idle"}), "s-ann", ""),
    ],
)
def test_the_note_tells_what_went_wrong_and_what_to_do(status: dict[str, object], me: str, notice: str) -> None:
    assert view.shown(status, me, now=NOW).notice == notice


def test_who_lost_a_lock_is_told_why_until_it_is_theirs_again() -> None:
    lost = {"session_id": "s-ann", "why": "forced", "by": "Carl", "reason": "beam time", "at": ANN["since"]}
    seen = view.shown(a_status(last_lost=lost), "s-ann", now=NOW)
    assert "because Carl took it by force (beam time)" in seen.notice
    assert "%motor_login stage_x" in seen.notice
    assert view.shown(held(last_lost=lost), "s-ann", now=NOW).notice == ""


@pytest.mark.parametrize(
    ("readback", "text"),
    [
        (AT_REST, "12.500 mm"),
        (AT_REST | {"position": 0.0, "units": None}, "0.000"),
        (AT_REST | {"position": 0.0000125}, "1.25e-05 mm"),
        ({"values": {"voltage": 5.0, "output": True, "mode": "cv"}}, "voltage 5 · output on · mode cv"),
        (AT_REST | {"target": 90.0}, "12.500 mm"),
        (AT_REST | {"moving": True, "target": 90}, "12.500 → 90 mm"),
        (AT_REST | {"connected": False, "error": "the stage does not answer"}, "the stage does not answer"),
        (AT_REST | {"connected": False}, "not connected"),
        ({"values": {}}, ""),
        (None, ""),
    ],
)
def test_the_reading_is_the_position_or_the_values_or_what_is_wrong(readback: object, text: str) -> None:
    assert view.reading(a_status(readback=readback)) == text


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
    assert view.shown(a_status(**changes), "s-ann", now=NOW).doing == doing


def test_a_bar_shows_how_much_of_the_way_of_a_move_is_gone() -> None:
    moving = view.shown(held(readback=AT_REST | {"moving": True, "target": 90.0, "fraction": 0.125}), "s-ann", now=NOW)
    assert '<i style="width:12.5%"></i>' in view.panel_html(moving, None)
    assert "<i" not in view.panel_html(view.shown(held(), "s-ann", now=NOW), None)


def test_a_click_is_answered_beside_what_the_authority_says() -> None:
    stopped = held(stopped_by=BOB | {"at": "2026-11-21T14:04:00+00:00"})
    seen = view.shown(stopped, "s-bob", said="14:04:00 stop delivered.", now=NOW)
    assert seen.notice.startswith("14:04:00 stop delivered. stage_x was stopped by you at 14:04")


def test_two_statuses_that_differ_only_in_the_running_clock_show_the_same() -> None:
    later = held(ending=IDLE | {"in_seconds": 200.0})
    assert view.shown(held(ending=IDLE), "s-ann", now=NOW) == view.shown(later, "s-ann", now=NOW)
    renewed = held(ending=IDLE | {"at": "2026-11-21T14:32:40+00:00"})
    assert view.shown(held(ending=IDLE), "s-ann", now=NOW) != view.shown(renewed, "s-ann", now=NOW)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (45.4, "45 s"), (252.3, "4 min 12 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_a_length_of_time_is_said_as_people_say_it(seconds: float, text: str) -> None:
    assert view.duration(seconds) == text


def test_a_time_of_another_day_bears_its_date_and_a_strange_one_is_shown_as_it_is() -> None:
    assert view.clock("2026-11-20T14:02:00+00:00", NOW) == "20 Nov 14:02"
    assert view.clock("soon", NOW) == "soon"
    assert view.clock("2026-11-21T14:02:00+00:00").count(" ") == 2

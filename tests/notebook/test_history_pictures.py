"""Two pictures of a history: what is drawn, in whose colour, and what it is called; of an evening at two motors."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy
import pandas  # type: ignore[import-untyped]
import pytest
from matplotlib import dates, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from real_lab import Authority, Kernel, Person
from stage_process import StageProcess
from test_day_at_the_bench import LAB
from typed import Notebook, wait_until

import jupyter_motorlock
from jupyter_motorlock import UsageProblem
from jupyter_motorlock.extras.history import NOW, frame_of
from jupyter_motorlock.extras.plots import GREY, PALETTE, Colours, picture, positions, timeline

PICTURES = os.environ.get("MOTORLOCK_SCREENSHOTS")  # where to keep what is drawn here, to be looked at
LIMITS = 'low = {{ query = "LIM:LOW?", type = "number" }}\nhigh = {{ query = "LIM:HIGH?", type = "number" }}\n'
X = '\n[equipment.stage_x]\ndriver = "simulated-motor"\n'


class Evening:
    """What people did at a stage that also moves by itself, stage_z, and at stage_x."""

    def __init__(self, place: Path) -> None:
        self.stage = StageProcess(place)
        lab = (
            LAB.replace("park = true\n", "")
            .replace("moving = ", LIMITS + "moving = ")
            .format(resource=self.stage.resource)
            + X
        )
        (place / "lab.toml").write_text(lab, encoding="utf-8")
        self.authority = Authority(place / "data", "--config", str(place / "lab.toml"))
        self.ann, self.bob, self.cem = (self.authority.person(name) for name in ("Ann", "Bob", "Cem"))
        try:
            self._spend()
            with jupyter_motorlock.connect(self.authority.url) as lab_now:
                self.history = lab_now.history("stage_z", "stage_x")
        finally:
            self.close()

    def close(self) -> None:
        if self.authority.process.poll() is None:
            self.authority.end()
        if self.stage.process.poll() is None:
            self.stage.close()

    def _spend(self) -> None:
        z, ask = "stage_z", self.authority.call
        wait_until(lambda: self._reads("connected"), "the stage answers")
        self.ann.acquire(equipment_id=z)
        self._move(self.ann, 4.0)
        self.bob.acquire(equipment_id=z, wait=True)
        self._begin(self.ann, 90.0)
        self.bob.stop(equipment_id=z)
        wait_until(lambda: self.authority.status(z)["running"] is None, "it is over")
        self.ann.release(equipment_id=z)
        wait_until(lambda: self.authority.status(z)["session_id"] == self.bob.session_id, "it is Bob's")
        ask("POST", f"/locks/claim/{z}", {"session_id": self.bob.session_id})
        self._move(self.bob, 2.0)
        self.bob.release(equipment_id=z)
        self.stage.tell("SYST:FENCE 2", "MOVE 6")  # as with a handset
        wait_until(lambda: self._outside() == [6.0], "it was moved from outside")
        # The cable comes off while Bob's move runs: a stop does not get through, and it is at fault in the end.
        self.bob.acquire(equipment_id=z)
        self._begin(self.bob, 95.0)
        self.stage.kill()
        self.cem.stop(equipment_id=z)
        self.bob.release(equipment_id=z, force=True)
        wait_until(lambda: self.authority.status(z)["state"] == "fault", "it is at fault")
        self.stage.start()
        wait_until(lambda: self._reads("connected"), "the stage is back")
        ask("POST", f"/equipment/{z}/clear-fault", {"reason": "the cable is back", "user": "Cem"})
        self.cem.acquire(equipment_id="stage_x")  # and has it still
        wait_until(lambda: self.authority.status("stage_x")["readback"]["position"] is not None, "stage_x answers")

    def _reads(self, name: str) -> object:
        return self.authority.status("stage_z")["readback"][name]

    def _outside(self) -> list[float]:
        told = [x["position"] for x in self.authority.events("stage_z") if x["event"] == "moved_outside"]
        return [round(x, 3) for x in told][-1:]

    def _move(self, who: Person, position: float, wait_s: float = 30.0) -> None:
        body = {"command_id": "c", "equipment_id": "stage_z", "action": "move_to", "wait_seconds": wait_s}
        body |= {"parameters": {"position": position}, "session_id": who.session_id}
        self.authority.call("POST", "/equipment/stage_z/command", body)

    def _begin(self, who: Person, position: float) -> None:
        origin = self._reads("position")
        self._move(who, position, wait_s=0.0)
        wait_until(lambda: self._reads("moving") and self._reads("position") != origin, "it moves")


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> pandas.DataFrame:
    """The history of both stages."""
    return Evening(tmp_path_factory.mktemp("evening")).history


def of(history: pandas.DataFrame, name: str) -> pandas.DataFrame:
    """The history of one of them, as it is when only that is asked for."""
    found = history[history["equipment"] == name].copy()
    found.attrs = {NOW: {**history.attrs[NOW], "equipment": {name: history.attrs[NOW]["equipment"][name]}}}
    return found


def made(*events: dict[str, object], minutes: float = 10.0, limits: Sequence[float | None] | None = None) -> Any:
    """A history of stage_x of these events, one a minute, asked for after `minutes`."""
    start = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
    told = [
        {
            "seq": seq,
            "timestamp": (start + timedelta(minutes=seq)).isoformat(),
            "equipment_id": "stage_x",
            "session_id": "s",
            "user": None,
            "units": "mm",
            **event,
        }
        for seq, event in enumerate(events)
    ]
    history = frame_of(told)
    now = {"held": None, "fault_at": None, "limits": limits, "position": None, "units": "mm"}
    history.attrs[NOW] = {
        "since": start.isoformat(),
        "asked": (start + timedelta(minutes=minutes)).isoformat(),
        "equipment": {"stage_x": now},
    }
    return history


def turns(*users: str) -> pandas.DataFrame:
    """A history in which each has the lock for a minute, the first of them longest."""
    events: list[dict[str, object]] = []
    for fence, user in enumerate(users, start=1):
        ends = {"event": "lock_released", "user": user, "fence": fence, "duration_seconds": 60.0 + len(users) - fence}
        events += [{"event": "lock_acquired", "user": user, "fence": fence, "position": 1.0}, ends | {"position": 1.0}]
    return made(*events, minutes=2.0 * len(users))


def bars(ax: Axes, label: str) -> list[tuple[float, float, float]]:
    """Where the bars of that name or kind are: begin and end in seconds since the epoch, and the row."""
    found = []
    for drawn in ax.collections:
        if label in (drawn.get_label(), drawn.get_gid()):
            for path in drawn.get_paths():
                box = path.get_extents()
                found.append((86400 * box.x0, 86400 * box.x1, round((box.y0 + box.y1) / 2, 3)))
    return found


def line(ax: Axes, label: str) -> Line2D:
    """The line of that name."""
    return next(x for x in ax.lines if x.get_label() == label)


def explained(ax: Axes) -> list[str]:
    """What the legend says."""
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def rows(ax: Axes) -> list[str]:
    """What stands at the rows."""
    return [label.get_text() for label in ax.get_yticklabels()]


def times(history: pandas.DataFrame, event: str) -> list[float]:
    """When it happened."""
    return [at.timestamp() for at in history["time"][history["event"] == event]]


def kept(ax: Axes, name: str) -> None:
    """Keep what was drawn, where somebody wants to look."""
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        assert isinstance(ax.figure, Figure)
        ax.figure.savefig(Path(PICTURES) / f"{name}.png", dpi=100)


def test_a_single_motor_has_a_row_for_each_user_with_their_locks_and_waits(evening: pandas.DataFrame) -> None:
    """NB-82"""
    z = of(evening, "stage_z")
    ax = timeline(z)
    kept(ax, "timeline-one")
    assert rows(ax) == ["Ann", "Bob"]
    granted = times(z, "lock_acquired")
    ended = times(z, "lock_released") + times(z, "lock_force_released")
    assert bars(ax, "Ann") == [pytest.approx((granted[0], ended[0], 0.0), abs=1e-3)]
    assert bars(ax, "Bob") == [
        pytest.approx((*span, 1.0), abs=1e-3) for span in zip(granted[1:], ended[1:], strict=True)
    ]
    assert bars(ax, "wait") == [pytest.approx((times(z, "queued")[0], granted[1], 1.0), abs=1e-3)]
    (wait,) = (x for x in ax.collections if x.get_gid() == "wait")
    assert wait.get_alpha() < 1
    assert to_hex(wait.get_facecolor()[0]) == to_hex(Colours(["Ann", "Bob"]).of("Bob"))


def test_several_have_a_row_each_and_a_lock_that_is_still_held_goes_on_to_the_time_of_asking(
    evening: pandas.DataFrame,
) -> None:
    """NB-82"""
    ax = timeline(evening)
    kept(ax, "timeline")
    assert rows(ax) == ["stage_z", "stage_x"]
    asked = datetime.fromisoformat(evening.attrs[NOW]["asked"]).timestamp()
    (cems,) = bars(ax, "Cem")
    assert cems == pytest.approx((times(evening, "lock_acquired")[-1], asked, 1.0), abs=1e-3)
    assert explained(ax)[:4] == ["Ann", "Bob", "Cem", "waits"]
    assert all(y > 0 for _, _, y in bars(ax, "wait")), "a wait is beside what it waits for"


def test_stops_are_marked_empty_where_they_were_not_delivered_and_a_fault_is_hatched(evening: pandas.DataFrame) -> None:
    """NB-82"""
    z = of(evening, "stage_z")
    ax = timeline(z)
    stops = z[z["event"] == "stopped"]
    for name, delivered in (("stop", True), ("stop not delivered", False)):
        at = [x.timestamp() for x in stops["time"][stops["delivered"] == delivered]]
        assert at
        assert [86400 * x for x in line(ax, name).get_xdata()] == pytest.approx(at, abs=1e-3)
    assert to_hex(line(ax, "stop").get_markerfacecolor()) != to_hex(
        line(ax, "stop not delivered").get_markerfacecolor()
    )
    (fault, *_) = bars(ax, "fault")
    assert fault[:2] == pytest.approx((times(z, "fault")[0], times(z, "fault_cleared")[0]), abs=1e-3)
    assert [x.get_hatch() for x in ax.collections if x.get_gid() == "fault"] == ["////"]
    assert explained(ax) == ["waits", "fault", "stop", "stop not delivered"]


def test_the_position_is_a_line_from_event_to_event_in_the_colour_of_who_had_it(evening: pandas.DataFrame) -> None:
    """NB-83"""
    z = of(evening, "stage_z")
    ax = positions(z)
    kept(ax, "positions")
    began, over = times(z, "command_started"), times(z, "command_finished")
    anns = line(ax, "Ann")
    drawn = [(round(86400 * x, 3), round(y, 2)) for x, y in anns.get_xydata() if not math.isnan(y)]
    assert (round(began[0], 3), 0.0) in drawn
    assert (round(over[0], 3), 4.0) in drawn
    assert drawn.index((round(over[0], 3), 4.0)) == drawn.index((round(began[0], 3), 0.0)) + 1
    stopped = z[z["event"] == "stopped"].iloc[0]
    assert drawn[-1][1] == pytest.approx(stopped["position"], abs=1.0), "where she gave it back"
    assert to_hex(anns.get_color()) == to_hex(Colours(["Ann", "Bob"]).of("Ann"))
    assert to_hex(line(ax, "Bob").get_color()) == to_hex(Colours(["Ann", "Bob"]).of("Bob"))
    assert line(ax, "nobody").get_linewidth() < anns.get_linewidth()
    assert ax.get_ylabel() == "stage_z (mm)"


def test_motion_from_outside_is_dotted_and_stops_and_near_limits_are_there(evening: pandas.DataFrame) -> None:
    """NB-83"""
    z = of(evening, "stage_z")
    ax = positions(z)
    outside = line(ax, "moved from outside")
    assert outside.get_linestyle() == ":"
    assert {round(y, 2) for _, y in outside.get_xydata() if not math.isnan(y)} >= {2.0, 6.0}
    stop = z[(z["event"] == "stopped") & z["delivered"]].iloc[0]
    assert next(iter(line(ax, "stop").get_ydata())) == pytest.approx(stop["position"])
    assert line(ax, "limit").get_ydata()[0] == 0.0
    assert "limit" in explained(ax)


def test_where_the_position_was_not_known_nothing_is_drawn() -> None:
    """NB-83"""
    move = {"user": "Ann", "action": "move_to", "command_id": "1"}
    ax = positions(
        made(
            {"event": "lock_acquired", "user": "Ann", "fence": 1, "position": 1.0},
            {"event": "command_started", **move, "fence": 1, "position": 1.0, "parameters": {"position": 9.0}},
            {"event": "command_finished", **move, "outcome": "unknown", "position": None},
            {"event": "moved_outside", "position": 5.0},
            {"event": "lock_released", "user": "Ann", "fence": 1, "duration_seconds": 240.0, "position": 5.0},
        )
    )
    drawn = [None if math.isnan(y) else y for y in line(ax, "Ann").get_ydata()]
    assert drawn == [1.0, 1.0, None, 5.0, 5.0]


def test_what_came_to_rest_after_its_command_is_drawn_as_the_command_s_own() -> None:
    """NB-83"""
    move = {"user": "Ann", "action": "nudge", "command_id": "1"}
    ax = positions(
        made(
            {"event": "command_started", **move, "fence": 1, "position": 0.0, "parameters": {}},
            {"event": "command_finished", **move, "outcome": "done", "position": 0.5},
            {"event": "lock_released", "user": "Ann", "fence": 1, "duration_seconds": 180.0, "position": 3.0},
        )
    )
    drawn = [y for y in line(ax, "Ann").get_ydata() if not math.isnan(y)]
    assert drawn == [0.0, 0.5, 3.0, 3.0]
    assert "moved from outside" not in explained(ax)


def test_limits_that_are_far_leave_the_room_to_the_motion() -> None:
    """NB-83"""
    near = [{"event": "lock_acquired", "user": "Ann", "fence": 1, "position": 50.0}]
    far = positions(made(*near, {"event": "moved_outside", "position": 51.0}, limits=(0, 100)))
    assert "limit" not in explained(far)
    assert far.get_ylim()[1] < 52
    assert positions(made(*near, {"event": "moved_outside", "position": 90.0}, limits=(None, 100))).get_ylim()[1] > 100


def test_a_user_has_one_colour_in_both_pictures_whoever_else_is_there_in_what_order(evening: pandas.DataFrame) -> None:
    """NB-84"""
    bars_of = {x.get_label(): to_hex(x.get_facecolor()[0]) for x in timeline(evening).collections if not x.get_gid()}
    z = of(evening, "stage_z")
    for name in ("Ann", "Bob"):
        assert to_hex(line(positions(evening, "stage_z"), name).get_color()) == bars_of[name]
        assert to_hex(line(positions(z), name).get_color()) == bars_of[name]
    people = ["Ann", "Bob", "Cem", "Dana", "Elif", "Fritz", "Gita", "Hugo"]
    orders = [people[at:] + people[:at] for at in range(8)] + [people[::-1]]
    assert len({tuple(Colours(order).of(x) for x in people) for order in orders}) == 1
    assert {Colours(people).of(x) for x in people} == set(PALETTE)


def test_the_colours_are_told_apart_also_by_the_colour_blind_on_light_and_on_dark() -> None:
    """NB-84"""
    # How each kind sees, on linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15 (2009), 1291, severity 1.
    eyes = {
        "all": numpy.eye(3),
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    }
    to_xyz = numpy.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

    def linear(colour: str) -> Any:
        c = numpy.array(to_rgb(colour))
        return numpy.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)

    def seen(colour: str, eye: Any) -> Any:
        x = to_xyz @ numpy.clip(numpy.array(eye) @ linear(colour), 0, 1) / numpy.array([0.9505, 1, 1.089])
        f = numpy.where(x > 0.008856, numpy.cbrt(x), 7.787 * x + 16 / 116)
        return numpy.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    def contrast(colour: str, other: str) -> float:
        one, two = sorted(float(to_xyz[1] @ linear(x)) + 0.05 for x in (colour, other))
        return two / one

    for eye in eyes.values():
        for one, other in itertools.combinations([*PALETTE, GREY], 2):
            assert numpy.linalg.norm(seen(one, eye) - seen(other, eye)) > 12
    assert all(contrast(colour, paper) > 2.2 for colour in PALETTE for paper in ("#ffffff", "#111111"))


def test_of_more_users_than_colours_those_who_had_it_longest_have_one() -> None:
    """NB-84"""
    people = [f"user {number:02}" for number in range(12)]
    history = turns(*people)
    ax = timeline(history)
    kept(ax, "timeline-twelve")
    assert rows(ax) == [*people[:8], "others"]
    assert {to_hex(x.get_facecolor()[0]) for x in ax.collections if x.get_label() == "others"} == {GREY}
    assert len(bars(ax, "others")) == 4
    assert len({to_hex(x.get_facecolor()[0]) for x in ax.collections}) == 9
    assert explained(positions(history)) == [*people[:8], "others"]


def test_names_are_shown_as_they_are_written_and_cut_where_they_are_long() -> None:
    """NB-84 NB-16"""
    names = ["_ann", "$x^2$ bob", "a\nb", "the-name-of-somebody-that-is-long"]
    history = turns(*names)
    shown = ["$x^2$ bob", "_ann", "a b", "the-name-of-somebod…"]
    for ax in (timeline(history), positions(history)):
        png, _ = ax._repr_png_()  # type: ignore[attr-defined]
        assert png.startswith(b"\x89PNG")
        told = rows(ax) if not explained(ax) else explained(ax)
        assert not any(is_math_text(x) for x in told)
        assert sorted(x.replace(r"\$", "$") for x in told) == shown


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_the_pictures_follow_the_style_in_force(evening: pandas.DataFrame, style: str) -> None:
    """NB-85"""
    import matplotlib.style

    with matplotlib.style.context(style):
        for number, ax in enumerate((timeline(evening), positions(evening, "stage_z"))):
            kept(ax, f"{style}-{number}")
            ink, paper = to_hex(rcParams["text.color"]), to_hex(rcParams["axes.facecolor"])
            assert to_hex(ax.get_facecolor()) == paper
            assert to_hex(line(ax, "stop").get_markerfacecolor()) == ink
            assert to_hex(line(ax, "stop").get_markeredgecolor()) == paper
            legend = ax.get_legend()
            assert legend is not None
            assert {to_hex(x.get_color()) for x in legend.get_texts()} == {ink}


def test_the_time_axis_is_local_and_says_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-85"""
    with monkeypatch.context() as there:
        there.setenv("TZ", "XXX-3")
        time.tzset()
        hour = [{"event": "lock_acquired", "user": "Ann", "fence": 1, "position": 1.0}]
        night = timeline(made(*hour, {"event": "lock_released", "user": "Ann", "fence": 1}, minutes=1.0))
        night.set_xlim(*dates.date2num([datetime(2026, 11, 21, 20, tzinfo=UTC), datetime(2026, 11, 22, 2, tzinfo=UTC)]))
        night.figure.canvas.draw()
        said = [x.get_text() for x in night.get_xticklabels()]
        offset = night.xaxis.get_major_formatter().get_offset()
    time.tzset()
    assert {"Nov-22", "01:00"} <= set(said), "20:00 UTC is 23:00 there, and 21:00 UTC the next day"
    assert offset == "2026-Nov-22"


def test_a_history_of_nothing_and_of_one_event_are_pictures_too(authority: Authority) -> None:
    """NB-82 NB-83"""
    with jupyter_motorlock.connect(authority.url) as lab:
        nothing = lab.history("stage_x", "stage_y")
        for ax in (timeline(nothing), positions(nothing, "stage_x")):
            assert ax.texts[0].get_text().startswith("nothing is known of stage_x")
        authority.person("Ann").acquire()
        one = lab.history("stage_x")
    assert len(one) == 1
    for ax in (timeline(one), positions(one)):
        assert not ax.texts
        ax._repr_png_()  # type: ignore[attr-defined]
    assert len(bars(timeline(one), "Ann")) == 1


def test_a_lock_that_began_before_is_drawn_from_the_beginning_of_the_history(authority: Authority) -> None:
    """NB-82"""
    ann = authority.person("Ann")
    ann.acquire()
    since = datetime.now(UTC)
    with jupyter_motorlock.connect(authority.url) as lab:
        held = lab.history("stage_x", since=since)
        ann.release()
        ended = lab.history("stage_x", since=since)
    assert (held["event"].tolist(), ended["event"].tolist()) == ([], ["lock_released"])
    for history in (held, ended):
        (bar,) = bars(timeline(history), "Ann")
        assert bar[0] == pytest.approx(since.timestamp(), abs=1e-3)


def test_a_name_may_be_given_in_place_of_a_history_and_axes_of_one_s_own(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NB-82 NB-83"""
    monkeypatch.setenv("MOTORLOCK_URL", authority.url)
    for name in ("stage_x", "stage_y"):
        authority.person("Ann").acquire(equipment_id=name)
    assert len(bars(timeline("stage_x"), "Ann")) == 1
    assert rows(timeline(["stage_x", "stage_y"], since="1h")) == ["stage_x", "stage_y"]
    upper, lower = Figure().subplots(2)
    assert timeline("stage_x", ax=upper) is upper
    assert positions("stage_x", last=10, ax=lower) is lower
    with pytest.raises(UsageProblem, match=r"^This history is of stage_x and stage_y; say whose position to draw"):
        positions(["stage_x", "stage_y"], since="2h")
    with pytest.raises(UsageProblem, match="say whose position to draw"):
        positions("stage_x", "stage_q")


def test_both_in_one_figure_have_one_legend_and_leave_nothing_in_pyplot(evening: pandas.DataFrame) -> None:
    """NB-85"""
    figure = picture(evening)
    kept(figure.axes[0], "picture")
    assert [ax.get_ylabel() for ax in figure.axes] == ["", "stage_z (mm)", "stage_x (mm)"]
    assert [len(explained(ax)) > 0 for ax in figure.axes] == [True, False, False]
    told = explained(figure.axes[0])
    assert told[:4] == ["Ann", "Bob", "Cem", "waits"]
    assert len(told) == len(set(told))
    assert {"stop", "moved from outside", "limit"} <= set(told)
    alone = "import jupyter_motorlock.extras.plots, sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", alone], check=True)


def a_night() -> pandas.DataFrame:
    """Two scans, a beam to be aligned and a handset: what docs/history.md shows."""
    rest = 5.0
    at, told = 0.0, []

    def happens(event: str, user: str | None, minutes: float, **more: object) -> None:
        nonlocal at
        at += minutes
        told.append({"event": event, "user": user, "position": rest, "at": at, **more})

    def moves(user: str, to: float, fence: int, pause: float, takes: float, outcome: str = "done") -> None:
        nonlocal rest
        command = {"command_id": f"{at:g}", "action": "move_to"}
        happens("command_started", user, pause, **command, fence=fence, parameters={"position": to})
        rest = to
        if outcome == "stopped":
            happens("stopped", "Ann", takes, by="Ann", delivered=True)
        happens("command_finished", user, 0 if outcome == "stopped" else takes, **command, outcome=outcome)

    happens("lock_acquired", "Ann", 0, fence=1, note="map of the sample")
    for step in range(12):
        moves("Ann", 10.0 + 3 * step, 1, 9, 3)
    happens("queued", "Cem", 0, queue_id="q", position=1)
    for step in range(6):
        moves("Ann", 46.0 + 3 * step, 1, 6, 3)
    happens("lock_released", "Ann", 5, fence=1, duration_seconds=at * 60)
    happens("queue_processed", "Cem", 0, queue_id="q", result="granted")
    happens("lock_acquired", "Cem", 0, fence=2)
    began = at
    for step in range(14):
        moves("Cem", 60.0 - 4 * (step % 7), 2, 7, 4)
    happens("lock_released", "Cem", 2, fence=2, duration_seconds=(at - began) * 60)
    rest = 24.0
    happens("moved_outside", None, 50)
    happens("lock_acquired", "Bob", 35, fence=3, note="align the beam")
    began = at
    moves("Bob", 70.0, 3, 3, 20, "stopped")
    moves("Bob", 52.0, 3, 15, 12)
    happens("lock_released", "Bob", 8, fence=3, duration_seconds=(at - began) * 60)
    history = made(*[{k: v for k, v in event.items() if k != "at"} for event in told], minutes=at)
    start = pandas.Timestamp("2026-11-21 20:00", tz="tzlocal()")
    history["time"] = [start + pandas.Timedelta(minutes=float(str(event["at"]))) for event in told]
    history["time"] = history["time"].astype("datetime64[us, tzlocal()]")
    history.attrs[NOW]["since"] = start.isoformat()
    return history


def test_a_night_with_three_users_shows_who_had_it_when_and_where_it_was() -> None:
    """NB-82 NB-83 NB-84"""
    figure = picture(a_night())
    kept(figure.axes[0], "history")
    upper, lower = figure.axes
    assert rows(upper) == ["Ann", "Bob", "Cem"]
    assert {x.get_label() for x in lower.lines} >= {"Ann", "Bob", "Cem", "nobody", "moved from outside", "stop"}
    assert explained(upper) == ["waits", "stop", "moved from outside"]
    assert len(line(lower, "Ann").get_xdata()) > 30


def test_a_picture_shows_itself_as_the_value_of_a_cell(start_kernel: Callable[..., Kernel]) -> None:
    """NB-85 NB-40"""
    notebook = Notebook(start_kernel("ann"))
    notebook.run("stage = %motor_login stage_x --no-panel\nstage.move_to(1)")
    notebook.run("from jupyter_motorlock.extras.plots import timeline, positions, picture")
    for cell in ("timeline('stage_x')", "positions('stage_x')", "picture('stage_x')"):
        started = notebook.start(cell)
        shown = []
        while True:
            message = notebook.kernel.client.get_iopub_msg(timeout=30)
            if message["parent_header"].get("msg_id") == started:
                if message["msg_type"] in ("execute_result", "display_data"):
                    shown.append(sorted(message["content"]["data"]))
                if message["content"].get("execution_state") == "idle":
                    break
        assert shown == [["image/png", "text/plain"]], cell
    assert notebook.value("import matplotlib.pyplot; matplotlib.pyplot.get_fignums()") == "[]"


@pytest.fixture(autouse=True)
def default_style() -> Iterator[None]:
    with rc_context():
        yield

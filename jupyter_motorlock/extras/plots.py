"""Two pictures of a history: who had what when, and where it was; the extra `plots` brings matplotlib.

They follow the style in force (`rcParams`), light or dark, and leave nothing in pyplot. A user has one colour in
both, by their name.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from jupyter_motorlock.client.this_kernel import kernel_session
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.extras import not_installed
from jupyter_motorlock.extras.history import history as history_of
from jupyter_motorlock.extras.past import Past, Span, Stop, Stretch

try:
    import numpy
    import pandas
    from matplotlib import dates, rcParams
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
except ModuleNotFoundError as missing:
    raise not_installed(missing, "plots") from None

History: TypeAlias = "pandas.DataFrame | str | Sequence[str]"
Since: TypeAlias = "datetime | timedelta | str | None"

# Eight that are told apart with each kind of colour blindness, on white and on black; the grey is everybody else's.
PALETTE = ("#AA4499", "#E69F00", "#999933", "#8B5A2B", "#D41159", "#D55E00", "#56B4E9", "#3B7DD8")
GREY = "#808080"
OTHERS = "others"
LABEL = 20  # letters of a name in a picture
_BAR = 0.5
_WAIT = 0.3
_FAINT = 0.45
_HATCHED: dict[str, Any] = {"hatch": "////", "alpha": 0.6}


class _Shown:
    """Shows itself in a notebook as its picture."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        figure: Any = self if isinstance(self, Figure) else getattr(self, "figure", None)
        png = io.BytesIO()
        dpi = figure.get_dpi()
        figure.savefig(png, format="png", dpi=2 * dpi)
        width, height = (round(inches * dpi) for inches in figure.get_size_inches())
        return png.getvalue(), {"width": width, "height": height}


class Picture(_Shown, Figure):
    """A figure that pyplot knows nothing of."""


class Drawing(_Shown, Axes):
    """The axes of such a figure."""


class Colours:
    """Whose colour is which: by name, and each their own while there are enough; `users` who had it longest first."""

    def __init__(self, users: Sequence[str]) -> None:
        self._of: dict[str, str] = {}
        free = list(range(len(PALETTE)))
        for user in sorted(users[: len(PALETTE)]):
            wish = zlib.crc32(user.encode()) % len(PALETTE)
            mine = min(free, key=lambda place: (place - wish) % len(PALETTE))
            free.remove(mine)
            self._of[user] = PALETTE[mine]
        self.names = sorted(self._of)
        if len(users) > len(PALETTE):
            self.names.append(OTHERS)

    def name(self, user: str | None) -> str | None:
        """Return what stands in a legend for a user, None for nobody."""
        if user is None or user in self._of:
            return user
        return OTHERS

    def of(self, user: str | None) -> str:
        """Return the colour of a user; all others, and nobody, are grey."""
        return self._of.get(user or "", GREY)


def timeline(history: History, *, since: Since = None, last: int | None = None, ax: Axes | None = None) -> Axes:
    """Draw who had what when, who waited, and when it was stopped or at fault; return the axes.

    `history` is what `motor_history` returned, or names whose history is asked for (`since`, `last`). There is a row
    for each piece of equipment; where there is only one, a row for each user.
    """
    past = Past(_frame(history, since, last))
    if ax is None:
        ax = _axes(_height(past))
    _legend(ax, _draw_timeline(past, ax))
    return ax


def positions(
    history: History,
    equipment: str | None = None,
    *,
    since: Since = None,
    last: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the position over time, in the colour of who had it, with stops and limits; return the axes.

    A move is a line from where it began to where it ended: what is between is not stored. `history` is as `timeline`
    takes it; where it has several pieces of equipment, `equipment` says which. Raises `UsageProblem` where it has to.
    """
    past = Past(_frame(history, since, last))
    name = _only(past, equipment)
    if ax is None:
        ax = _axes(3.2)
    _legend(ax, _draw_positions(past, name, ax))
    return ax


def picture(history: History, *, since: Since = None, last: int | None = None) -> Picture:
    """Return both pictures in one figure: the timeline, and below it the position of whatever was at one."""
    past = Past(_frame(history, since, last))
    placed = [name for name in past.equipment if past.path(name)]
    heights = [_height(past), *(2.2 for _ in placed)]
    figure = Picture(figsize=(rcParams["figure.figsize"][0], sum(heights)), layout="constrained")
    axes = list(figure.subplots(len(heights), squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0])
    entries = _draw_timeline(past, axes[0])
    for ax, name in zip(axes[1:], placed, strict=True):
        entries += _draw_positions(past, name, ax)
    for ax in axes[:-1]:
        ax.label_outer()
    one_each: dict[object, Artist] = {}
    for entry in entries:
        one_each.setdefault(entry.get_label(), entry)
    _legend(axes[0], [x for label, x in one_each.items() if label not in _rows(past)])
    return figure


def _draw_timeline(past: Past, ax: Axes) -> list[Artist]:
    """Draw the bars and marks, and return what a legend explains."""
    colours = Colours(past.users)
    rows = _rows(past)
    alone = _is_alone(past)

    def row(span: Span) -> int:
        if alone:
            return rows.index(str(colours.name(span.user)))
        return rows.index(span.equipment)

    for user in colours.names:
        for lane in range(len(rows)):
            held = [x for x in past.holds if colours.name(x.user) == user and row(x) == lane]
            _bars(ax, held, lane, _BAR, facecolors=colours.of(user), edgecolors=colours.of(user), label=user)
    for lane in range(len(rows)):
        lanes = _lanes([x for x in past.waits if row(x) == lane])
        for number, spans in enumerate(lanes):
            height = _BAR if alone else _WAIT / len(lanes)
            place = lane if alone else lane + _BAR / 2 + (number + 0.5) * height
            _bars(ax, spans, place, height, facecolors=[colours.of(x.user) for x in spans], alpha=_FAINT, gid="wait")
    for number, name in enumerate(past.equipment):
        faults = [x for x in past.faults if x.equipment == name]
        place, height = (len(rows) / 2 - 0.5, len(rows)) if alone else (number, 1)
        _bars(ax, faults, place, height, facecolors="none", edgecolors=rcParams["text.color"], gid="fault", **_HATCHED)
    _stops(ax, [(x, -0.5 if alone else rows.index(x.equipment)) for x in past.stops])
    ax.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [_label(x) for x in rows])
    ax.tick_params(axis="y", length=0)
    _time_axis(ax, past)
    _say_nothing(ax, past.equipment, bool(past.holds or past.waits or past.faults or past.stops))
    entries = [] if alone else [Patch(color=colours.of(x), label=x) for x in colours.names]
    if past.waits:
        entries += [Patch(color=GREY, alpha=_FAINT, label="waits")]
    ink = rcParams["text.color"]
    if past.faults:
        entries += [Patch(facecolor="none", edgecolor=ink, label="fault", **_HATCHED)]
    return [*entries, *_marks(past.stops)]


def _draw_positions(past: Past, name: str, ax: Axes) -> list[Artist]:
    """Draw the lines and marks, and return what a legend explains."""
    path = past.path(name)
    colours = Colours(past.users)
    ink = rcParams["text.color"]
    stops = [x for x in past.stops if x.equipment == name and not math.isnan(x.position)]
    entries: list[Artist] = []
    for user in (None, *colours.names):
        mine = [x for x in path if not x.outside and colours.name(x.user) == user]
        width = 1.0 if user is None else 2.0
        line = _line(ax, mine, color=colours.of(user), linewidth=width, solid_capstyle="round", label=user or "nobody")
        if line and user:
            entries += [line]
    outside = _line(ax, [x for x in path if x.outside], color=ink, linestyle=":", label="moved from outside")
    if outside:
        entries.append(outside)
    _stops(ax, [(x, x.position) for x in stops])
    ends = [y for x in path for y in (x.begin[1], x.end[1])] + [x.position for x in stops]
    entries += [*_marks(stops), *_limits(ax, past.limits(name), ends)]
    units = past.units(name)
    if units:
        ax.set_ylabel(_label(f"{name} ({units})"))
    else:
        ax.set_ylabel(_label(name))
    _time_axis(ax, past)
    _say_nothing(ax, [name], bool(ends))
    return entries


def _is_alone(past: Past) -> bool:
    return len(past.equipment) == 1


def _rows(past: Past) -> list[str]:
    if _is_alone(past):
        return Colours(past.users).names
    return past.equipment


def _height(past: Past) -> float:
    """Return the inches that a timeline takes."""
    return 0.36 * len(_rows(past)) + 0.7


def _frame(history: History, since: Since, last: int | None) -> pandas.DataFrame:
    if isinstance(history, pandas.DataFrame):
        return history
    names = [history] if isinstance(history, str) else history
    return history_of(kernel_session(), names, since=since, last=last)


def _only(past: Past, equipment: str | None) -> str:
    if equipment:
        found = [equipment]
    else:
        found = [x for x in past.equipment if past.path(x)] or past.equipment
    if len(found) == 1 and found[0] in past.equipment:
        return found[0]
    there = " and ".join(past.equipment) or "nothing"
    raise UsageProblem(f"This history is of {there}; say whose position to draw: positions(history, NAME).")


def _axes(height: float) -> Axes:
    figure = Picture(figsize=(rcParams["figure.figsize"][0], height), layout="constrained")
    return figure.add_subplot(axes_class=Drawing)


def _label(text: str) -> str:
    """Return a name on one line, cut where it is long, of which nothing is read as mathematics."""
    line = " ".join(text.split())
    if len(line) > LABEL:
        line = f"{line[: LABEL - 1]}…"
    return line.replace("$", r"\$")


def _numbers(seconds: Iterable[float]) -> Any:
    """Return times as matplotlib counts them."""
    times = (numpy.array(list(seconds), dtype=float) * 1e6).astype("datetime64[us]")
    return dates.date2num(times)  # type: ignore[no-untyped-call]  # it has no types


def _bars(ax: Axes, spans: Sequence[Span], centre: float, height: float, **look: Any) -> None:
    if spans:
        begins = _numbers(x.begin for x in spans)
        ends = _numbers(x.end for x in spans)
        ranges = list(zip(begins, ends - begins, strict=True))
        ax.broken_barh(ranges, (centre - height / 2, height), linewidth=0.8 if "edgecolors" in look else 0.0, **look)


def _lanes(spans: Sequence[Span]) -> list[list[Span]]:
    """Put spans that overlap below each other, three deep at most."""
    lanes: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: span.begin):
        free = [lane for lane in lanes if lane[-1].end <= span.begin]
        if free or len(lanes) == 3:
            (free or lanes)[0].append(span)
        else:
            lanes.append([span])
    return lanes


def _line(ax: Axes, path: Sequence[Stretch], **look: Any) -> Line2D | None:
    """Draw stretches as one line, which is broken where they do not join."""
    places: list[tuple[float, float]] = []
    for times in path:
        if places and places[-1] != times.begin:
            places.append((times.begin[0], math.nan))
        if not places or places[-1] != times.begin:
            places += [times.begin, times.end]
        else:
            places += [times.end]
    if not places:
        return None
    (line,) = ax.plot(_numbers(at for at, _ in places), [place for _, place in places], **look)
    return line


def _stops(ax: Axes, stops: Sequence[tuple[Stop, float]]) -> None:
    for mark in _marks([x for x, _ in stops]):
        here = [(x, y) for x, y in stops if x.delivered is (mark.get_gid() == "stop")]
        mark.set_data(_numbers(x.at for x, _ in here), [y for _, y in here])
        mark.set_clip_on(False)
        ax.add_line(mark)


def _marks(stops: Sequence[Stop]) -> list[Line2D]:
    """Return how stops are marked: full where delivered, empty where not."""
    ink = rcParams["text.color"]
    paper = rcParams["axes.facecolor"]
    looks = {"stop": (True, ink, paper), "stop not delivered": (False, paper, ink)}
    return [
        Line2D([], [], marker="X", linestyle="", markersize=8, color=face, markeredgecolor=edge, label=name, gid=name)
        for name, (delivered, face, edge) in looks.items()
        if any(x.delivered is delivered for x in stops)
    ]


def _limits(ax: Axes, limits: Sequence[float | None], ends: Sequence[float]) -> list[Line2D]:
    """Draw the limits that are near where it was; those far off would leave no room for it."""
    if not ends:
        return []
    low = min(ends)
    high = max(ends)
    room = 0.3 * (high - low) or max(0.05 * abs(high), 0.05)
    near = [x for x in limits if x is not None and low - room <= x <= high + room]
    lines = [ax.axhline(x, color=GREY, linestyle="--", linewidth=0.8, label="limit", zorder=1) for x in near]
    margin = 0.08 * (high - low) or room
    ax.set_ylim(min([low, *near]) - margin, max([high, *near]) + margin)
    return lines[:1]


def _time_axis(ax: Axes, past: Past) -> None:
    zone = pandas.Timestamp.now("tzlocal()").tz  # as on the wall at each time, also where the clocks were changed
    locator = dates.AutoDateLocator(tz=zone, minticks=3, maxticks=8)  # type: ignore[no-untyped-call]  # no types there
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]  # nor there
    margin = 0.02 * (past.end - past.begin) or 30.0
    ax.set_xlim(*_numbers([past.begin - margin, past.end + margin]))
    ax.grid(axis="x", alpha=0.3, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _legend(ax: Axes, entries: Sequence[Artist]) -> None:
    """Explain the entries above the axes, in as many columns as there is room for."""
    if not entries:
        return
    names = [_label(str(x.get_label())) for x in entries]
    beside = max((len(x.get_text()) for x in ax.get_yticklabels()), default=0)
    room = ax.figure.bbox.width / ax.figure.dpi - 0.5 - 0.08 * beside
    columns = next((n for n in range(len(names), 1, -1) if _width(names, n) <= room), 1)
    legend = ax.legend(
        entries, [str(number) for number in range(len(names))], loc="lower left", bbox_to_anchor=(0.0, 1.01),
        ncols=columns, frameon=False, fontsize="small", borderaxespad=0.0, borderpad=0.3, handlelength=1.2,
        columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip
    if isinstance(ax.figure, Picture):  # it makes room for what it explains
        ax.figure.set_figheight(ax.figure.get_figheight() + 0.17 * math.ceil(len(names) / columns))
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)  # given at once, a name that begins with an underscore would be left out


def _width(names: Sequence[str], columns: int) -> float:
    """Return about how many inches a legend takes that is filled column by column."""
    return sum(0.42 + 0.07 * max(map(len, part)) for part in numpy.array_split(names, columns))


def _say_nothing(ax: Axes, names: Sequence[str], something: bool) -> None:
    if not something:
        said = f"nothing is known of {' and '.join(_label(x) for x in names) or 'anything'} in this time"
        ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center", alpha=0.7)

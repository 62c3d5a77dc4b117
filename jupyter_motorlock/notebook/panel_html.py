"""What the panel looks like: all that it shows of one equipment, and the HTML of it, whole or as a row of many.

Pure. Text that users chose is escaped; none of it enters a script: what `panel.js` reads is in data attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from jupyter_motorlock.notebook import panel_actions
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text.rows import event_sentence
from jupyter_motorlock.text.status import Fields

COUNT_S = 360_000  # the number that `ml-run` in panel.css counts down from
LATE_S = 3  # how long after its end a countdown waits for news before it says so
LATE = "stale: no word from the authority"
LOST = "No word from the authority: what is shown here may be out of date; the connection is tried again."
GONE = "This kernel has ended and given its locks back: log in again with %motor_login {name}."
APART = "This kernel is not reached: nothing here is up to date and no button works; STOP is on the authority's page."
NOT_DELIVERED = "STOP was not delivered to {name}: use the hardware stop."
MOST_WAITING = 5  # lines, so that the height does not change
MOST_EVENTS = 5

_BADGES: Mapping[
    status_text.Standing, tuple[str, str]
] = {  # how this session stands: what the badge says, and its colour
    "free": ("free", "free"),
    "mine": ("yours", "mine"),
    "turn": ("your turn", "wait"),
    "other": ("in use", "other"),
    "silent": ("silent", "wait"),
    "draining": ("coming to rest", "wait"),
    "fault": ("fault", "bad"),
    "unknown": ("unknown", "bad"),
}


@dataclass(frozen=True)
class PanelContent:
    """All that a panel shows but the ticking digits: where two are equal, nothing need be sent."""

    title: str
    label: str
    badge: str
    tone: str
    headline: str
    reading: str
    doing: str
    fraction: float | None  # of the way of a move, 0 to 1
    ends: str
    ends_at: str
    notice: str
    wrong: bool  # what the notice says is more than an ask or its answer
    asked: bool  # somebody waits for an answer of ours
    turn: str  # which grant has to be claimed, a word for the browser to remember
    main_action: tuple[panel_actions.PanelAction | None, str]  # None: nothing that one may do
    others: tuple[tuple[panel_actions.PanelAction, str], ...]
    waiting: tuple[str, ...]
    watching: tuple[str, ...]
    happened: tuple[str, ...]
    floats: bool  # STOP stays in view
    mark: str  # of the panel, the same in all its views
    answers: int  # how many clicks were answered
    answer: str  # to the newest of them


def panel_content(
    status: Fields,
    me: str | None,
    *,
    alive: bool = True,
    said: str = "",
    mark: str = "",
    answers: int = 0,
    happened: Sequence[Fields] = (),
    now: datetime | None = None,
    rights: status_text.Rights = None,
) -> PanelContent:
    """Return what the panel of `me` shows; `said` answers the last click, `happened` are events, `now` has the zone."""
    stand = status_text.standing_of(status, me)
    title = status.get("equipment_id") or "equipment"
    label = status.get("label") or ""
    if alive:
        badge, tone = _BADGES[stand]
    else:
        badge, tone = ("no connection", "bad")
    asks = status_text.ask_text(status, me, now=now)
    wrong = status_text.trouble_text(status, me, now=now)
    notices = [said, wrong, *asks] if alive else [said, LOST]
    first = panel_actions.main_action(status, me, rights)
    turn = ""
    if stand == "turn":
        turn = f"{status.get('fence')} {status.get('lock_id')}"
    return PanelContent(
        title=title,
        label="" if label == title else label,
        badge=badge,
        tone=tone,
        headline=status_text.headline(status, me, now=now, rights=rights),
        reading=status_text.reading_text(status),
        doing=status_text.activity_text(status, me, now),
        fraction=(status.get("readback") or {}).get("fraction"),
        ends=status_text.ending_text(status, me, now),
        ends_at=((status.get("ending") or {}).get("at") or "")[:19],  # what the digits cannot show is no change
        notice=" ".join(text for text in notices if text),
        wrong=bool(said or wrong) or not alive,
        asked=status_text.holds_lock(status, me) and bool(asks),
        turn=turn,
        main_action=_with_words(first, status, me) if first else (None, ""),
        others=tuple(_with_words(action, status, me) for action in panel_actions.other_actions(status, me, rights)),
        waiting=tuple(status_text.queue_text(status, me, now=now)),
        watching=tuple(status_text.observers_text(status, me)),
        happened=tuple(
            f"{status_text.clock_text(event['timestamp'], now)}  {event_sentence(event)}" for event in happened
        ),
        floats=status_text.holds_lock(status, me) or _is_moving(status),
        mark=mark,
        answers=answers,
        answer=said if answers else "",
    )


def is_news(event: Fields) -> bool:
    """Whether More lists the event: what commands did as they should would drive out all else in a scan."""
    return event["event"] != "command_started" and event.get("outcome") != "done"


def panel_html(content: PanelContent, left_s: float | None) -> str:
    """Return the panel of one; the browser counts down from `left_s` seconds, then says that the time is up."""
    headline = escape(content.headline)
    doing = escape(content.doing)
    notice = escape(content.notice)
    ends = escape(content.ends)
    digits, late = _countdown(left_s)
    return (
        f'<div class="ml-panel ml-{content.tone}{" ml-asked" if content.asked else ""}">'
        f'<div class="ml-top"><b>{escape(content.title)}</b><span class="ml-dim">{escape(content.label)}</span>'
        f'<span class="ml-badge">{escape(content.badge)}</span></div>'
        f'<div class="ml-words"><div class="ml-head" title="{headline}">{headline}</div>'
        f'<div class="ml-note{" ml-wrong" if content.wrong else ""}" title="{notice}">{notice}</div></div>'
        f"{_kernel_gone_html(content)}"
        f'<div class="ml-line ml-read"><span class="ml-pos">{escape(content.reading) or "&nbsp;"}</span>'
        f'<span class="ml-dim" title="{doing}">{doing}</span></div>{_bar(content)}'
        f'<div class="ml-line ml-ends">{digits}<span class="ml-dim" title="{ends}">{ends}</span>{late}</div>'
        f"{_news_html(content)}</div>"
    )


def row_html(content: PanelContent, left_s: float | None) -> str:
    """Return one of many: two lines, of which the second says what is wrong, where something is."""
    digits, late = _countdown(left_s)
    doing = escape(content.doing)
    line = escape(content.notice or content.headline)
    if content.wrong:
        kind = "ml-wrong"
    elif content.notice:
        kind = ""
    else:
        kind = "ml-dim"
    return (
        f'<div class="ml-panel ml-{content.tone}">'
        f'<div class="ml-line"><b title="{escape(content.label)}">{escape(content.title)}</b>'
        f'<span class="ml-badge">{escape(content.badge)}</span><span class="ml-pos">{escape(content.reading)}</span>'
        f'<span class="ml-dim" title="{doing}">{doing}</span>{digits}{late}</div>{_bar(content)}'
        f'<div class="ml-said {kind}" title="{line}">{line}</div>'
        f"{_kernel_gone_html(content)}{_news_html(content)}</div>"
    )


def details_html(content: PanelContent) -> str:
    """Return what is read behind More: the queue, the newest events, and who watches."""
    waiting = [f"{place}. {line}" for place, line in enumerate(content.waiting, start=1)] or ["Nobody waits."]
    if len(waiting) > MOST_WAITING:
        waiting[MOST_WAITING - 1 :] = [f"and {len(waiting) - MOST_WAITING + 1} more"]
    watching = "Nobody watches."
    if content.watching:
        watching = f"Watching: {', '.join(content.watching)}"
    return (
        f'<div class="ml-rest"><div><b>Queue</b>{_list(waiting)}</div>'
        f"<div><b>Recent events</b>{_list(content.happened[-MOST_EVENTS:])}</div>"
        f'<div class="ml-dim ml-cut" title="{escape(watching)}">{escape(watching)}</div></div>'
    )


def style_html(css: str, script: str) -> str:
    """Return what a page has once for each panel: its style, and the script that it starts with."""
    return f'<style onload="{escape(script)}">{css}</style>'


def footer_html(*, toggle: bool) -> str:
    """Return what never changes and so stays open, or heard: the way to More, and what is read aloud."""
    summons = '<span class="ml-summons">: somebody asks you</span>'
    details = ""
    if toggle:
        details = f'<details class="ml-more"><summary>More{summons}</summary></details>{_DOCK}'
    return f'{details}<div class="ml-aloud" role="status"></div>'


_DOCK = (
    '<button type="button" class="ml-dock" onclick="motorlockDock(this)" hidden '
    'title="Show this panel a second time beside the notebook, where it does not scroll away">Dock</button>'
)
NOTIFY = '<button type="button" class="ml-notify" onclick="motorlockNotify(this)" hidden>Notify me</button>'


def _is_moving(status: Fields) -> bool:
    return bool(status.get("running")) or (status.get("readback") or {}).get("moving") is True


def _with_words(
    action: panel_actions.PanelAction, status: Fields, me: str | None
) -> tuple[panel_actions.PanelAction, str]:
    return action, panel_actions.describe_action(action, status, me)


def _countdown(left_s: float | None) -> tuple[str, str]:
    """Return the digits, and what hides behind them until they have run out."""
    if left_s is None or not 0 < left_s < COUNT_S:  # what is due is not late
        return "", ""
    # One set of keyframes for all panels: a negative delay starts each count at its own number.
    size = "ml-count ml-short"
    if left_s >= 3600:
        size = "ml-count"
    digits = f'<span class="{size}" style="animation-delay:{left_s - COUNT_S:.1f}s"></span>'
    return digits, f'<span class="ml-late" style="animation-delay:{left_s + LATE_S:.1f}s">{LATE}</span>'


def _bar(content: PanelContent) -> str:
    if content.fraction is None:
        return '<div class="ml-way"></div>'
    gone = 100 * content.fraction
    value = f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{gone:.0f}" aria-label="Way of the move"'
    return f'<div class="ml-way" role="progressbar" {value}><i style="width:{gone:.1f}%"></i></div>'


def _kernel_gone_html(content: PanelContent) -> str:
    """Return what the style shows in place of all else once the kernel has ended or is not reached."""
    gone = escape(GONE.format(name=content.title))
    return f'<div class="ml-gone">{gone}</div><div class="ml-apart">{escape(APART)}</div>'


def _list(lines: Iterable[str]) -> str:
    items = "".join(f'<li class="ml-cut" title="{escape(line)}">{escape(line)}</li>' for line in lines)
    return f'<ul class="ml-list">{items}</ul>'


def _news_html(content: PanelContent) -> str:
    """Return what wakes the browser's part whenever the panel has changed: what to read aloud, and whose turn it is."""
    data = {"name": content.title, "said": content.notice, "turn": content.turn, "headline": content.headline}
    data |= {"mark": content.mark, "floats": "yes" if content.floats else ""}
    data |= {"answers": str(content.answers), "answer": content.answer}
    attributes = " ".join(f'data-{key}="{escape(text)}"' for key, text in data.items())
    return f'<style class="ml-news" {attributes} onload="window.motorlockTell?.(this)">.ml-news{{}}</style>'

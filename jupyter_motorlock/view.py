"""What a person is told about one equipment: sentences, plain text for every front end, the panel's HTML.

Pure: a `Status` of the authority (docs/reference/rest.md) and the own session id go in, text comes out. A
status may lack any field; what it lacks is not shown. Text that users chose is escaped in HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Literal, TypeAlias

from jupyter_motorlock.notices import OWN_DOING, lock_lost

Fields: TypeAlias = Mapping[str, object]
Deed: TypeAlias = Literal["request", "claim", "release", "leave", "resume"]
LABELS: Mapping[Deed, str] = {
    "request": "Request",
    "claim": "Claim",
    "release": "Release",
    "leave": "Leave queue",
    "resume": "Resume",
}
COUNT_S = 360_000  # the number that `ml-run` in panel.css counts down from
LATE_S = 3  # how long after its end a countdown waits for news before it says that there are none


@dataclass(frozen=True)
class Shown:
    """All that a panel shows but the ticking digits: where two are equal, nothing need be sent."""

    title: str
    kind: str
    badge: str
    tone: Literal["free", "mine", "other", "wait", "bad"]
    headline: str
    reading: str
    doing: str
    ends: str
    ends_at: str
    notice: str
    buttons: tuple[Deed, ...]


def shown(status: Fields, me: str | None, *, alive: bool = True, said: str = "", now: datetime | None = None) -> Shown:
    """Return what the panel of `me` shows; `said` answers the last click, `now` has the local zone."""
    badge, tone = _badge(status, me)
    if not alive:
        badge, tone = "no connection", "bad"
    return Shown(
        title=_name(status),
        kind=_kind(status),
        badge=badge,
        tone=tone,
        headline=headline(status, me, now=now),
        reading=reading(status),
        doing=_doing(status, me, now),
        ends=_ends(status, now),
        ends_at=_text(_part(status, "ending"), "at")[:19],  # to the second: what the digits cannot show is no change
        notice=" ".join(text for text in (said, _notice(status, me, now) if alive else LOST) if text),
        buttons=buttons(status, me),
    )


LATE = "stale: no word from the authority"
LOST = "No word from the authority: what is shown here may be out of date; the connection is tried again."


def headline(status: Fields, me: str | None, *, now: datetime | None = None) -> str:
    """Return one sentence: who has the equipment, since when and why, and where `me` stands in its queue."""
    name, holder = _name(status), _part(status, "holder")
    match _text(status, "state"):
        case "fault":
            why = _text(status, "fault") or "its state is not known"
            return f"{name} has a fault ({why}): nobody gets it until the fault is cleared."
        case "draining":
            return f"{name} is coming to rest and then passes on from {_who(holder, me)}; {_place(status, me)}."
        case "held" if _text(holder, "session_id") == me and me:
            if status.get("claimed") is False:
                return f"It is your turn on {name}: claim it, or it passes on; {_place(status, me)}."
            return f"{name} is yours{_since(holder, now)}{_note(holder)}; {_place(status, me)}."
        case "held":
            new = " and has not claimed it yet" if status.get("claimed") is False else ""
            who = f"{_who(holder, me)}{_note(holder)}"
            return f"{who} has {name}{_since(holder, now)}{new}; {_place(status, me)}."
        case "free" if _watching(status, me):
            return f"{name} is free; you are watching."
        case "free":
            return f"{name} is free."
        case _:
            return f"{name}: no word from the authority yet."


def plain(status: Fields, me: str | None, *, now: datetime | None = None) -> str:
    """Return the panel as lines of text, for `%motor_status` and front ends without widgets."""
    lines, holder = [headline(status, me, now=now)], _part(status, "holder")
    if holder and not _holds(status, me):
        lines.append(f"  holder: {_whence(holder)}")
    if position := reading(status):
        doing = _doing(status, me, now)
        lines.append(f"  reads: {position}" + (f" ({doing})" if doing else ""))
    if ends := _ends(status, now):
        left = left_s(status, elapsed_s=0)
        lines.append(f"  next: {ends}" + ("" if left is None else f" (in {duration(left)})"))
    queue = _list(status, "queue")
    lines += [f"  queue {_integer(entry, 'position')}: {_who(entry, me)}{_note(entry)}" for entry in queue]
    if watchers := [_who(holder, me) for holder in _list(status, "observers")]:
        lines.append(f"  watching: {', '.join(watchers)}")
    if notice := _notice(status, me, now):
        lines.append(f"  note: {notice}")
    return "\n".join(lines)


def buttons(status: Fields, me: str | None) -> tuple[Deed, ...]:
    """Return what `me` can do now, the likeliest deed first, at most two; stop is always possible."""
    if me and _text(_part(status, "holder"), "session_id") == me and status.get("state") == "held":
        if status.get("claimed") is False:
            return ("claim", "release")
        return ("release", "resume") if _stopped_by_another(status, me) else ("release",)
    if _my_entry(status, me):
        return ("leave",)
    return ("request", "release") if _watching(status, me) else ("request",)


def reading(status: Fields) -> str:
    """Return the readback in one line: the position with its unit, else the values, else what is wrong."""
    readback = _part(status, "readback")
    if not readback:
        return ""
    if readback.get("connected") is False:
        return _text(readback, "error") or "not connected"
    position, units = _number(readback, "position"), _text(readback, "units")
    if position is not None:
        return f"{_digits(position)} {units}".strip()
    values = _part(readback, "values")
    return " · ".join(f"{key} {_value(value)}" for key, value in values.items())


def left_s(status: Fields, *, elapsed_s: float) -> float | None:
    """Return the seconds to the next end, `elapsed_s` after `status` came; None when no clock runs."""
    left = _number(_part(status, "ending"), "in_seconds")
    return None if left is None else max(0.0, left - elapsed_s)


def duration(seconds: float) -> str:
    """Return a length of time as people say it: `45 s`, `4 min 12 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clock(at: str, now: datetime | None = None) -> str:
    """Return an ISO time as local wall time: `14:02`, with the date unless `now` is given and of that day."""
    try:
        moment = datetime.fromisoformat(at).astimezone(now.tzinfo if now else None)
    except ValueError:
        return at
    if now and moment.date() == now.date():
        return f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b %H:%M}"


def panel_html(seen: Shown, left_s: float | None) -> str:
    """Return the rows; the browser counts down from `left_s` seconds, then says that news is late."""
    title, kind, badge = escape(seen.title), escape(seen.kind), escape(seen.badge)
    headline, doing, notice = escape(seen.headline), escape(seen.doing), escape(seen.notice)
    return (
        f'<div class="ml-panel ml-{seen.tone}">'
        f'<div class="ml-top"><b>{title}</b><span class="ml-dim">{kind}</span>'
        f'<span class="ml-badge">{badge}</span></div>'
        f'<div class="ml-head" title="{headline}">{headline}</div>'
        f'<div class="ml-row"><span class="ml-pos">{escape(seen.reading) or "&nbsp;"}</span>'
        f'<span class="ml-dim" title="{doing}">{doing}</span></div>'
        f'<div class="ml-row">{_countdown(seen.ends, left_s)}</div>'
        f'<div class="ml-note" role="status" title="{notice}">{notice}</div></div>'
    )


def _countdown(ends: str, left_s: float | None) -> str:
    text = f'<span class="ml-dim" title="{escape(ends)}">{escape(ends)}</span>'
    if left_s is None or not 0 < left_s < COUNT_S:  # what is due is not late
        return text
    # One set of keyframes for all panels: a negative delay starts each count at its own number.
    size = "ml-count" if left_s >= 3600 else "ml-count ml-short"
    digits = f'<span class="{size}" style="animation-delay:{left_s - COUNT_S:.1f}s"></span>'
    late = f'<span class="ml-late" style="animation-delay:{left_s + LATE_S:.1f}s">{LATE}</span>'
    return f"{digits}{text}{late}"


def _badge(status: Fields, me: str | None) -> tuple[str, Literal["free", "mine", "other", "wait", "bad"]]:
    holder = _part(status, "holder")
    match _text(status, "state"):
        case "fault":
            return "fault", "bad"
        case "draining":
            return "coming to rest", "wait"
        case "held" if me and _text(holder, "session_id") == me:
            return ("your turn", "wait") if status.get("claimed") is False else ("yours", "mine")
        case "held":
            return ("silent", "wait") if holder.get("suspect") is True else ("in use", "other")
        case "free":
            return "free", "free"
        case _:
            return "unknown", "bad"


def _place(status: Fields, me: str | None) -> str:
    if mine := _my_entry(status, me):
        position = _integer(mine, "position")
        return "you are next in the queue" if position == 1 else f"you are number {position} in the queue"
    if _watching(status, me):
        return "you are watching"
    match _integer(status, "queue_length"):
        case 0:
            return "nobody waits"
        case 1:
            return "one waits"
        case waiting:
            return f"{waiting} wait"


def _doing(status: Fields, me: str | None, now: datetime | None) -> str:
    running = _part(status, "running")
    if running:
        given = ", ".join(f"{key}={_value(value)}" for key, value in _part(running, "parameters").items())
        since = _text(running, "started_at")
        return f"{_text(running, 'action')}({given}) by {_who(running, me)}" + (
            f" since {clock(since, now)}" if since else ""
        )
    readback = _part(status, "readback")
    if readback.get("moving") is True:
        return "moving"
    return _text(readback, "error") if readback.get("connected") is not False else ""


def _ends(status: Fields, now: datetime | None) -> str:
    ending = _part(status, "ending")
    if not ending and status.get("state") == "held":
        return "nothing ends this while the command runs" if _part(status, "running") else "nothing ends this"
    text, at = _text(ending, "text"), _text(ending, "at")
    since = "since " if left_s(status, elapsed_s=0) == 0 else ""
    return f"{text} ({since}{clock(at, now)})" if text and at else text


def _notice(status: Fields, me: str | None, now: datetime | None) -> str:
    stopped, holder, lost = _part(status, "stopped_by"), _part(status, "holder"), _part(status, "last_lost")
    if stopped:
        why = f" ({reason})" if (reason := _text(stopped, "reason")) else ""
        then = (
            "resume or log in again to go on."
            if _holds(status, me)
            else "its holder must resume before it moves again."
        )
        return f"Stopped by {_who(stopped, me)} at {clock(_text(stopped, 'at'), now)}{why}: {then}"
    if holder.get("suspect") is True and not _holds(status, me):
        return f"Nothing is heard of {_who(holder, me)}: whoever asks for {_name(status)} gets it at rest."
    if me and _text(lost, "session_id") == me and not _holds(status, me) and _text(lost, "why") not in OWN_DOING:
        return lock_lost({**lost, "timestamp": _text(lost, "at")}, _name(status))
    return ""


def _stopped_by_another(status: Fields, me: str | None) -> bool:
    stopped = _part(status, "stopped_by")
    return bool(stopped) and _text(stopped, "session_id") != me


def _holds(status: Fields, me: str | None) -> bool:
    return bool(me) and _text(_part(status, "holder"), "session_id") == me and status.get("state") == "held"


def _watching(status: Fields, me: str | None) -> bool:
    return bool(me) and any(_text(holder, "session_id") == me for holder in _list(status, "observers"))


def _my_entry(status: Fields, me: str | None) -> Fields:
    mine = (entry for entry in _list(status, "queue") if me and _text(entry, "session_id") == me)
    return next(mine, {})


def _who(part: Fields, me: str | None) -> str:
    if me and _text(part, "session_id") == me:
        return "you"
    return _text(part, "user") or _text(part, "client_name") or "somebody"


def _whence(holder: Fields) -> str:
    verified = "" if holder.get("user_verified") is True else " (name not verified)"
    client = _text(holder, "client_name")
    return f"{_who(holder, None)}{verified}" + (f" in {client}" if client else "")


def _note(part: Fields) -> str:
    note = _text(part, "note")
    return f" ({note})" if note else ""


def _since(holder: Fields, now: datetime | None) -> str:
    at = _text(holder, "since")
    return f" since {clock(at, now)}" if at else ""


def _kind(status: Fields) -> str:
    label, kind = _text(status, "label"), _text(status, "kind").replace("_", " ")
    return kind if label in ("", _name(status)) else f"{label} ({kind})" if kind else label


def _name(status: Fields) -> str:
    return _text(status, "equipment_id") or "equipment"


def _digits(number: float) -> str:
    return f"{number:.3f}" if number == 0 or abs(number) >= 0.001 else f"{number:.3g}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _part(fields: Fields, key: str) -> Fields:
    value = fields.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(fields: Fields, key: str) -> Sequence[Fields]:
    value = fields.get(key)
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _number(fields: Fields, key: str) -> float | None:
    value = fields.get(key)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _integer(fields: Fields, key: str) -> int:
    return int(_number(fields, key) or 0)

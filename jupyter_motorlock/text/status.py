"""What a person is told about one equipment: what speaks to the reader, and the plain text for every front end.

The sentences in the third person are the authority's (docs/decisions/0019-said-once.md).

Pure: a `Status` of the authority (docs/reference/rest.md) and the own session id go in, text comes out. A
status may lack any field; what it lacks is not shown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

Fields: TypeAlias = Mapping[str, Any]
Rights: TypeAlias = Collection[str] | None
"""What the reader may do with the equipment; None where that is not known, and then all is told."""
Standing: TypeAlias = Literal["free", "mine", "turn", "other", "silent", "draining", "fault", "unknown"]
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)")
OWN_DOING = frozenset({"logout", "handed_over", "downgraded", "upgraded"})

ONLY_LOOKS = frozenset({"read", "stop", "observe"})
_ENDS_MINE: Mapping[str, str] = {  # what the authority says of others, said to the holder
    "claim": "passes to the next in the queue unless you claim it",
    "idle": "is released unless you use it",
    "offer": "may be taken over by whoever asks unless you use it",
    "turn": "passes to the next in the queue: your turn is over then",
}


def headline(status: Fields, me: str | None, *, now: datetime | None = None, rights: Rights = None) -> str:
    """Return who has the equipment, since when and why, and where `me` stands; it says "you" to the holder."""
    name = _name(status)
    holder = _part(status, "holder")
    stand = standing_of(status, me)
    if stand == "turn":
        return f"It is your turn on {name}: claim it, or it passes on; {_waiting(status)}."
    if stand == "mine":
        kept = f", kept{until_text(status['kept'], now)}" if status.get("kept") else ""
        return f"{name} is yours{_since(holder.get('since'), now)}{_note(holder)}{kept}; {_waiting(status)}."
    told = [local_text(status.get("text") or f"{name}: no word from the authority yet.", now)]
    if stand == "fault" and (rights is None or "clear-fault" in rights):
        told.append(f"Look at it, then %motor_clear_fault {name} REASON (in a terminal motorlock clear-fault).")
    if own_place(status, me):
        told.append(place_sentence(status, me))
    elif observes_equipment(status, me):
        told.append("You are watching.")
    if rights and ONLY_LOOKS.issuperset(rights):
        told.append(f"You may look at {name} and stop it; whoever looks after the lab gives more.")
    return " ".join(told)


def plain_text(status: Fields, me: str | None, *, now: datetime | None = None, rights: Rights = None) -> str:
    """Return all that is known as lines of text, for `%motor_status` and front ends without widgets."""
    holder = _part(status, "holder")
    left = seconds_left(status, elapsed_s=0)
    reads = reading_text(status)
    lines = [headline(status, me, now=now, rights=rights)]
    does = activity_text(status, me, now)
    then = ending_text(status, me, now)
    if holder and not holds_lock(status, me):
        verified = "" if holder.get("user_verified") is True else " (name not verified)"
        client = ""
        if holder.get("client_name"):
            client = f" in {holder['client_name']}"
        lines.append(f"  holder: {person_text(holder, None)}{verified}{client}")
    if reads and does:
        lines.append(f"  reads: {reads} ({does})")
    elif reads:
        lines.append(f"  reads: {reads}")
    if then and left is not None:
        lines.append(f"  next: {then} (in {duration_text(left)})")
    elif then:
        lines.append(f"  next: {then}")
    lines += [f"  queue {place}: {line}" for place, line in enumerate(queue_text(status, me, now=now), start=1)]
    lines += [f"  {asked}" for asked in ask_text(status, me, now=now)]
    if watchers := observers_text(status, me):
        lines.append(f"  watching: {', '.join(watchers)}")
    wrong = trouble_text(status, me, now=now)
    if wrong:
        lines.append(f"  note: {wrong}")
    return "\n".join(lines)


def queue_text(status: Fields, me: str | None, *, now: datetime | None = None) -> list[str]:
    """Return a line for each place of the queue: who, why, for what else, how long perhaps, and what they asked."""
    lines = []
    for entry in _parts(status, "queue"):
        others = " and ".join(x for x in entry.get("equipment_ids", ()) if x != status.get("equipment_id"))
        told = [f"with {others}"] if others else []
        if entry.get("priority"):
            told += [f"priority {entry['priority']}"]
        if about := _expected_wait(entry):
            told += [f"perhaps {about}"]
        asks = ""
        if entry.get("ask"):
            asks = f": {local_text(entry['ask'].get('text') or 'asks for it', now)}"
        lines.append(", ".join([f"{person_text(entry, me)}{_note(entry)}", *told]) + asks)
    return lines


def observers_text(status: Fields, me: str | None) -> list[str]:
    """Return who has an observer lock."""
    return [person_text(watcher, me) for watcher in _parts(status, "observers")]


def trouble_text(status: Fields, me: str | None, *, now: datetime | None = None) -> str:
    """Return what is wrong, for `me`, and what to do about it; nothing when all is well."""
    if stop := _part(status, "stopped_by"):
        if not holds_lock(status, me):
            return local_text(stop.get("text") or "", now)
        when = f"at {clock_text(stop.get('at') or '', now)}{_note(stop, 'reason')}"
        who = person_text(stop, me)
        return f"{_name(status)} was stopped by {who} {when}: resume or log in again to go on."
    return loss_text(status, me, now=now)


def ask_text(status: Fields, me: str | None, *, now: datetime | None = None) -> list[str]:
    """Return what is asked of `me`, or answered to what `me` asked; nothing of others."""
    name = _name(status)
    holder = _part(status, "holder")
    said = []
    offered = own_place(status, me).get("queue_id")
    for entry in _parts(status, "queue"):
        if offered and entry.get("swap_with") == offered:
            who = person_text(entry, me)
            said.append(f"{who} offers to swap places for {name} with you: %motor_swap {name} {who} agrees.")
        ask = _part(entry, "ask")
        mine = bool(me) and entry.get("session_id") == me
        match ask.get("answer"):
            case _ if not ask:
                pass
            case None if holds_lock(status, me):
                how = "answer with %motor_answer yes, or no, or a time such as 10min"
                said.append(f"{person_text(entry, me)} asks you for {name}{_note(ask, 'reason')}: {how}.")
            case "later" if mine:
                when = clock_text(ask.get("promised_at") or "", now)
                said.append(f"{person_text(holder, me)} means to be done with {name} at {when}{_note(ask)}.")
            case "no" if mine:
                said.append(f"{person_text(holder, me)} cannot give {name} up now{_note(ask)}; you keep your place.")
            case "unanswered" if mine:
                said.append(f"{person_text(holder, me)} did not answer for {name}; you keep your place.")
    return said


def until_text(kept: Fields, now: datetime | None = None) -> str:
    """Return a promise in words: ` until 16:05 (overnight scan)`."""
    return f" until {clock_text(kept.get('until') or '', now)}{_note(kept)}"


def own_place(status: Fields, me: str | None) -> Fields:
    """Return the place of `me` in the queue; empty where there is none."""
    return next((entry for entry in _parts(status, "queue") if me and entry.get("session_id") == me), {})


def loss_text(status: Fields, me: str | None, *, now: datetime | None = None) -> str:
    """Return how `me` lost the lock, where that was the last loss, not undone since, and not its own doing."""
    name = _name(status)
    loss = _part(status, "last_lost")
    if me and loss.get("session_id") == me and not holds_lock(status, me) and loss.get("why") not in OWN_DOING:
        when = f"at {clock_text(loss.get('at') or '', now)} because {loss.get('text') or 'it was lost'}"
        return f"Your lock on {name} ended {when}; `%motor_login {name}` asks for it again."
    return ""


def reading_text(status: Fields) -> str:
    """Return the readback in one line: position, target of a move and unit, else the values, else what is wrong."""
    readback = _part(status, "readback")
    if readback.get("connected") is False:
        return readback.get("error") or "not connected"
    if (position := readback.get("position")) is not None:
        is_small = 0 < abs(position) < 0.001
        digits = f"{position:.3g}" if is_small else f"{position:.3f}"
        target = readback.get("target") if readback.get("moving") is True else None
        way = "" if target is None else f" → {value_text(float(target))}"
        return f"{digits}{way} {readback.get('units') or ''}".strip()
    return " · ".join(f"{key} {value_text(given)}" for key, given in _part(readback, "values").items())


def seconds_left(status: Fields, *, elapsed_s: float) -> float | None:
    """Return the seconds to the next end, `elapsed_s` after `status` came; None when no clock runs."""
    left: float | None = _part(status, "ending").get("in_seconds")
    if left is None:
        return None
    return max(0.0, left - elapsed_s)


def duration_text(seconds: float) -> str:
    """Return a length of time as people say it: `45 s`, `4 min 12 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def local_now() -> datetime:
    """Return the time here, with its zone."""
    return datetime.now().astimezone()


def local_time(at: str | None, now: datetime | None = None) -> datetime | None:
    """Return an ISO time in the zone of `now`, else in the local one; None for what is no time."""
    try:
        return datetime.fromisoformat(at or "").astimezone(now.tzinfo if now else None)
    except ValueError:
        return None


def local_text(text: str, now: datetime | None = None) -> str:
    """Return a sentence of the authority with its ISO instants as local wall time."""
    return _INSTANT.sub(lambda found: clock_text(found[0], now), text)


def clock_text(at: str, now: datetime | None = None, *, form: str = "%H:%M") -> str:
    """Return an ISO time as local wall time: `14:02`, with the date unless `now` is given and of that day."""
    here = now is None or now.utcoffset() == now.astimezone().utcoffset()
    when = local_time(at, None if here else now)  # here the wall showed another offset before the clocks were changed
    if when is None:
        return at
    if now and when.date() == now.date():
        return when.strftime(form)
    return f"{when.day} {when.strftime('%b ' + form)}"


def value_text(given: object) -> str:
    """Return a value as people read it."""
    if isinstance(given, bool):
        return "on" if given else "off"
    if isinstance(given, float):
        return number_text(given)
    return str(given)


def number_text(given: float) -> str:
    """Return a number with the digits that a device may have, at most nine: 13.005892970002606 is 13.005893."""
    if abs(given) < 1e9:
        return f"{given:.9g}"
    return f"{given:.12g}"


def arguments_text(fields: Fields) -> str:
    """Return the parameters of a command as it is typed: `position=12.5, speed=1`."""
    return ", ".join(f"{key}={value_text(given)}" for key, given in _part(fields, "parameters").items())


def standing_of(status: Fields, me: str | None) -> Standing:
    """Return how `me` stands to the equipment."""
    holder = _part(status, "holder")
    state = status.get("state")
    if state != "held":
        apart: Mapping[object, Standing] = {"free": "free", "draining": "draining", "fault": "fault"}
        return apart.get(state, "unknown")
    if me and holder.get("session_id") == me:
        if status.get("claimed") is False:
            return "turn"
        return "mine"
    if holder.get("suspect") is True:
        return "silent"
    return "other"


def holds_lock(status: Fields, me: str | None) -> bool:
    """Whether `me` has the exclusive lock."""
    return standing_of(status, me) in ("mine", "turn")


def observes_equipment(status: Fields, me: str | None) -> bool:
    """Whether `me` has an observer lock."""
    return bool(me) and any(watcher.get("session_id") == me for watcher in _parts(status, "observers"))


def place_sentence(status: Fields, me: str | None) -> str:
    """Return where `me` stands in the queue: `You are next in the queue (perhaps 5 min).`"""
    place = own_place(status, me)
    number = "next" if place["position"] == 1 else f"number {place['position']}"
    wait = _expected_wait(place)
    perhaps = f" (perhaps {wait})" if wait else ""
    return f"You are {number} in the queue{perhaps}."


def _waiting(status: Fields) -> str:
    waiting = status.get("queue_length") or 0
    return {0: "nobody waits", 1: "one waits"}.get(waiting, f"{waiting} wait")


def _expected_wait(entry: Fields) -> str:
    """Return the expected wait as what it is, an estimate: no seconds, and nothing below a minute."""
    minutes = round((entry.get("expected_wait_seconds") or 0) / 60)
    if not minutes:
        return ""
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h"


def activity_text(status: Fields, me: str | None, now: datetime | None) -> str:
    """Return the command that runs and whose it is, else whether it moves, else what is wrong with it."""
    running = _part(status, "running")
    readback = _part(status, "readback")
    if running:
        since = _since(running.get("started_at"), now)
        return f"{running['action']}({arguments_text(running)}) by {person_text(running, me)}{since}"
    if readback.get("moving") is True:
        return "moving"
    if readback.get("connected") is False:
        return ""
    return str(readback.get("error") or "")


def ending_text(status: Fields, me: str | None, now: datetime | None) -> str:
    """Return what ends this next, when and unless what."""
    ending = _part(status, "ending")
    if not ending and status.get("state") == "held":
        return f"nothing ends this{_in_use(status)}"
    text = ending.get("text") or ""
    if holds_lock(status, me):
        text = _ENDS_MINE.get(ending.get("what") or "", text)
    since = ""
    if ending.get("in_seconds") == 0:
        since = "since "
    if ending.get("at"):
        return f"{text} ({since}{clock_text(ending['at'], now)})"
    return text


def _in_use(status: Fields) -> str:
    """Return for how long no clock runs: what a cell does between two commands does not change that."""
    if _part(status, "holder").get("busy") is True:
        return " while the cell runs"
    if status.get("running"):
        return " while the command runs"
    return ""


def names_of_user(user: str) -> tuple[str, ...]:
    """Return the names that a user goes by: who is shown as `ann (Ann)` goes by all of it, and by either part."""
    proved, _, label = user.removesuffix(")").partition(" (")
    return tuple(name for name in (user, proved, label) if name)


def person_text(part: Fields, me: str | None) -> str:
    """Return what a holder, waiter or other user is called."""
    if me and part.get("session_id") == me:
        return "you"
    return part.get("user") or part.get("client_name") or "somebody"


def _note(part: Fields, key: str = "note") -> str:
    if part.get(key):
        return f" ({part[key]})"
    return ""


def _since(at: str | None, now: datetime | None) -> str:
    return f" since {clock_text(at, now)}" if at else ""


def _name(status: Fields) -> str:
    return status.get("equipment_id") or "equipment"


def _part(fields: Fields, key: str) -> Fields:
    return fields.get(key) or {}


def _parts(fields: Fields, key: str) -> list[Fields]:
    return fields.get(key) or []

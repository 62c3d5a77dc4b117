"""What a person is told about one equipment: sentences, and the plain text for every front end.

Pure: a `Status` of the authority (docs/reference/rest.md) and the own session id go in, text comes out. A
status may lack any field; what it lacks is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

Fields: TypeAlias = Mapping[str, Any]
Standing: TypeAlias = Literal["free", "mine", "turn", "other", "silent", "draining", "fault", "unknown"]
OWN_DOING = frozenset({"logout", "handed_over", "downgraded", "upgraded"})

_WHY: Mapping[str, str] = {
    "forced": "{by} took it by force",
    "idle": "it was not used for longer than its idle time",
    "offered": "it was idle and somebody else asked for it",
    "silence": "this kernel was silent for too long and somebody else asked for it",
    "unclaimed": "it was granted from the queue and not used in time",
    "turn": "its time was over and others were waiting",
    "fault": "the equipment went into fault",
}

_ENDS_MINE: Mapping[str, str] = {  # what the authority says of others, said to the holder
    "claim": "passes to the next in the queue unless you claim it",
    "idle": "is released unless you use it",
    "offer": "may be taken over by whoever asks unless you use it",
    "turn": "passes to the next in the queue: your turn is over then",
}


def headline(status: Fields, me: str | None, *, now: datetime | None = None) -> str:
    """Return one sentence: who has the equipment, since when and why, and where `me` stands in its queue."""
    name, holder, place = _name(status), _part(status, "holder"), standing(status, me)
    who, since = person(holder, me), f" since {clock(holder['since'], now)}" if holder.get("since") else ""
    kept = f", kept{until(_part(status, 'kept'), now)}" if status.get("kept") else ""
    match stand(status, me):
        case "fault":
            why = status.get("fault") or "its state is not known"
            then = f"look at it, then %motor_clear_fault {name} REASON (in a terminal motorlock clear-fault)"
            return f"{name} has a fault ({why}) and is given to nobody: {then}."
        case "draining":
            return f"{name} is coming to rest and then passes on from {who}; {place}."
        case "turn":
            return f"It is your turn on {name}: claim it, or it passes on; {place}."
        case "mine":
            return f"{name} is yours{since}{_note(holder)}{kept}; {place}."
        case "other" | "silent":
            new = " and has not claimed it yet" if status.get("claimed") is False else ""
            return f"{who}{_note(holder)} has {name}{since}{new}{kept}; {place}."
        case "free":
            return f"{name} is free{'; you are watching' if observes(status, me) else ''}."
        case _:
            return f"{name}: no word from the authority yet."


def plain(status: Fields, me: str | None, *, now: datetime | None = None) -> str:
    """Return all that is known as lines of text, for `%motor_status` and front ends without widgets."""
    holder, left, reads = _part(status, "holder"), left_s(status, elapsed_s=0), reading(status)
    lines, does, then = [headline(status, me, now=now)], doing(status, me, now), ends(status, me, now)
    if holder and not holds(status, me):
        verified = "" if holder.get("user_verified") is True else " (name not verified)"
        client = f" in {holder['client_name']}" if holder.get("client_name") else ""
        lines.append(f"  holder: {person(holder, None)}{verified}{client}")
    if reads:
        lines.append(f"  reads: {reads}" + (f" ({does})" if does else ""))
    if then:
        lines.append(f"  next: {then}" + ("" if left is None else f" (in {duration(left)})"))
    lines += [f"  queue {place}: {line}" for place, line in enumerate(waiting(status, me, now=now), start=1)]
    lines += [f"  {asked}" for asked in asks(status, me, now=now)]
    if watchers := watching(status, me):
        lines.append(f"  watching: {', '.join(watchers)}")
    wrong = trouble(status, me, now=now)
    return "\n".join([*lines, *([f"  note: {wrong}"] if wrong else [])])


def waiting(status: Fields, me: str | None, *, now: datetime | None = None) -> list[str]:
    """Return a line for each place of the queue: who, why, for what else, how long perhaps, and what they asked."""
    lines = []
    for entry in _parts(status, "queue"):
        others = " and ".join(x for x in entry.get("equipment_ids", ()) if x != status.get("equipment_id"))
        told = [f"with {others}"] if others else []
        told += [f"priority {entry['priority']}"] if entry.get("priority") else []
        told += [f"perhaps {about}"] if (about := _about(entry)) else []
        told += [_asked(entry["ask"], now)] if entry.get("ask") else []
        lines.append(", ".join([f"{person(entry, me)}{_note(entry)}", *told]))
    return lines


def _asked(ask: Fields, now: datetime | None) -> str:
    match ask.get("answer"):
        case None:
            return f"asks{_note(ask, 'reason')}"
        case "later":
            return f"answered: at {clock(ask.get('promised_at') or '', now)}{_note(ask)}"
        case answer:
            return "not answered" if answer == "unanswered" else f"answered: {answer}{_note(ask)}"


def watching(status: Fields, me: str | None) -> list[str]:
    """Return who has an observer lock."""
    return [person(watcher, me) for watcher in _parts(status, "observers")]


def trouble(status: Fields, me: str | None, *, now: datetime | None = None) -> str:
    """Return what is wrong, for `me`, and what to do about it; nothing when all is well."""
    name, holder, mine = _name(status), _part(status, "holder"), holds(status, me)
    if stop := _part(status, "stopped_by"):
        then = "resume or log in again to go on" if mine else f"{_holder(status)} must resume before it moves again"
        when = f"at {clock(stop.get('at') or '', now)}{_note(stop, 'reason')}"
        return f"{name} was stopped by {person(stop, me)} {when}: {then}."
    if holder.get("suspect") is True and not mine:
        return f"Nothing is heard of {person(holder, me)}: whoever asks for {name} gets it at rest."
    return lost(status, me, now=now)


def asks(status: Fields, me: str | None, *, now: datetime | None = None) -> list[str]:
    """Return what is asked of `me`, or answered to what `me` asked; nothing of others."""
    name, holder, said = _name(status), _part(status, "holder"), []
    offered = place(status, me).get("queue_id")
    for entry in _parts(status, "queue"):
        if offered and entry.get("swap_with") == offered:
            who = person(entry, me)
            said.append(f"{who} offers to swap places for {name} with you: %motor_swap {name} {who} agrees.")
        ask, mine = _part(entry, "ask"), bool(me) and entry.get("session_id") == me
        match ask.get("answer"):
            case _ if not ask:
                pass
            case None if holds(status, me):
                how = "answer with %motor_answer yes, or no, or a time such as 10min"
                said.append(f"{person(entry, me)} asks you for {name}{_note(ask, 'reason')}: {how}.")
            case "later" if mine:
                when = clock(ask.get("promised_at") or "", now)
                said.append(f"{person(holder, me)} means to be done with {name} at {when}{_note(ask)}.")
            case "no" if mine:
                said.append(f"{person(holder, me)} cannot give {name} up now{_note(ask)}; you keep your place.")
            case "unanswered" if mine:
                said.append(f"{person(holder, me)} did not answer for {name}; you keep your place.")
    return said


def until(kept: Fields, now: datetime | None = None) -> str:
    """Return a promise in words: ` until 16:05 (overnight scan)`."""
    return f" until {clock(kept.get('until') or '', now)}{_note(kept)}"


def place(status: Fields, me: str | None) -> Fields:
    """Return the place of `me` in the queue; empty where there is none."""
    return next((entry for entry in _parts(status, "queue") if me and entry.get("session_id") == me), {})


def lost(status: Fields, me: str | None, *, now: datetime | None = None) -> str:
    """Return how `me` lost the lock, where that was the last loss, not undone since, and not its own doing."""
    name, loss = _name(status), _part(status, "last_lost")
    if me and loss.get("session_id") == me and not holds(status, me) and loss.get("why") not in OWN_DOING:
        when = f"at {clock(loss.get('at') or '', now)} because {because(loss)}"
        return f"Your lock on {name} ended {when}; `%motor_login {name}` asks for it again."
    return ""


def because(loss: Fields) -> str:
    """Return why a lock ended: `Bob took it by force (beam time)`."""
    why = _WHY.get(loss["why"], "this kernel's session ended").format(by=loss.get("by") or "somebody")
    return f"{why}{_note(loss, 'reason')}"


def reading(status: Fields) -> str:
    """Return the readback in one line: position, target of a move and unit, else the values, else what is wrong."""
    readback = _part(status, "readback")
    if readback.get("connected") is False:
        return readback.get("error") or "not connected"
    if (position := readback.get("position")) is not None:
        digits = f"{position:.3f}" if position == 0 or abs(position) >= 0.001 else f"{position:.3g}"
        target = readback.get("target") if readback.get("moving") is True else None
        way = "" if target is None else f" → {value(float(target))}"
        return f"{digits}{way} {readback.get('units') or ''}".strip()
    return " · ".join(f"{key} {value(given)}" for key, given in _part(readback, "values").items())


def left_s(status: Fields, *, elapsed_s: float) -> float | None:
    """Return the seconds to the next end, `elapsed_s` after `status` came; None when no clock runs."""
    left = _part(status, "ending").get("in_seconds")
    return None if left is None else max(0.0, left - elapsed_s)


def duration(seconds: float) -> str:
    """Return a length of time as people say it: `45 s`, `4 min 12 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(at: str | None, now: datetime | None = None) -> datetime | None:
    """Return an ISO time in the zone of `now`, else in the local one; None for what is no time."""
    try:
        return datetime.fromisoformat(at or "").astimezone(now.tzinfo if now else None)
    except ValueError:
        return None


def clock(at: str, now: datetime | None = None, *, form: str = "%H:%M") -> str:
    """Return an ISO time as local wall time: `14:02`, with the date unless `now` is given and of that day."""
    here = now is None or now.utcoffset() == now.astimezone().utcoffset()
    when = moment(at, None if here else now)  # here the wall showed another offset before the clocks were changed
    if when is None:
        return at
    return when.strftime(form) if now and when.date() == now.date() else f"{when.day} {when.strftime('%b ' + form)}"


def value(given: object) -> str:
    """Return a value as people read it."""
    if isinstance(given, bool):
        return "on" if given else "off"
    return number(given) if isinstance(given, float) else str(given)


def number(given: float) -> str:
    """Return a number with the digits that a device may have, at most nine: 13.005892970002606 is 13.005893."""
    return f"{given:.9g}" if abs(given) < 1e9 else f"{given:.12g}"


def arguments(fields: Fields) -> str:
    """Return the parameters of a command as it is typed: `position=12.5, speed=1`."""
    return ", ".join(f"{key}={value(given)}" for key, given in _part(fields, "parameters").items())


def stand(status: Fields, me: str | None) -> Standing:
    """Return how `me` stands to the equipment."""
    holder, state = _part(status, "holder"), status.get("state")
    if state != "held":
        apart: Mapping[object, Standing] = {"free": "free", "draining": "draining", "fault": "fault"}
        return apart.get(state, "unknown")
    if me and holder.get("session_id") == me:
        return "turn" if status.get("claimed") is False else "mine"
    return "silent" if holder.get("suspect") is True else "other"


def holds(status: Fields, me: str | None) -> bool:
    """Whether `me` has the exclusive lock."""
    return stand(status, me) in ("mine", "turn")


def observes(status: Fields, me: str | None) -> bool:
    """Whether `me` has an observer lock."""
    return bool(me) and any(watcher.get("session_id") == me for watcher in _parts(status, "observers"))


def standing(status: Fields, me: str | None) -> str:
    """Return where `me` stands: `you are next in the queue`, or how many wait."""
    if mine := place(status, me):
        about = f" (perhaps {about})" if (about := _about(mine)) else ""
        return f"you are {'next' if mine['position'] == 1 else 'number ' + str(mine['position'])} in the queue{about}"
    if observes(status, me):
        return "you are watching"
    waiting = status.get("queue_length") or 0
    return {0: "nobody waits", 1: "one waits"}.get(waiting, f"{waiting} wait")


def _about(entry: Fields) -> str:
    """Return the expected wait as what it is, an estimate: no seconds, and nothing below a minute."""
    minutes = round((entry.get("expected_wait_seconds") or 0) / 60)
    return "" if not minutes else f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def doing(status: Fields, me: str | None, now: datetime | None) -> str:
    """Return the command that runs and whose it is, else whether it moves, else what is wrong with it."""
    running, readback = _part(status, "running"), _part(status, "readback")
    if running:
        since = f" since {clock(running['started_at'], now)}" if running.get("started_at") else ""
        return f"{running['action']}({arguments(running)}) by {person(running, me)}{since}"
    if readback.get("moving") is True:
        return "moving"
    return "" if readback.get("connected") is False else str(readback.get("error") or "")


def ends(status: Fields, me: str | None, now: datetime | None) -> str:
    """Return what ends this next, when and unless what."""
    ending = _part(status, "ending")
    if not ending and status.get("state") == "held":
        return f"nothing ends this{_in_use(status)}"
    text = ending.get("text") or ""
    if holds(status, me):
        text = _ENDS_MINE.get(ending.get("what") or "", text)
    since = "since " if ending.get("in_seconds") == 0 else ""
    return f"{text} ({since}{clock(ending['at'], now)})" if ending.get("at") else text


def _in_use(status: Fields) -> str:
    """Return for how long no clock runs: what a cell does between two commands does not change that."""
    if _part(status, "holder").get("busy") is True:
        return " while the cell runs"
    return " while the command runs" if status.get("running") else ""


def person(part: Fields, me: str | None) -> str:
    """Return what a holder, waiter or other user is called."""
    if me and part.get("session_id") == me:
        return "you"
    return part.get("user") or part.get("client_name") or "somebody"


def _holder(status: Fields) -> str:
    """Return the holder by name, as one speaks to somebody else."""
    return person(status["holder"], None) if status.get("holder") else "its holder"


def _note(part: Fields, key: str = "note") -> str:
    return f" ({part[key]})" if part.get(key) else ""


def _name(status: Fields) -> str:
    return status.get("equipment_id") or "equipment"


def _part(fields: Fields, key: str) -> Fields:
    return fields.get(key) or {}


def _parts(fields: Fields, key: str) -> list[Fields]:
    return fields.get(key) or []

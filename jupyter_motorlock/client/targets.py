"""Which equipment a typed line means, from what this kernel is logged in to and what the authority offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from jupyter_motorlock.client.commands import Command
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.errors import InvalidRequest, UnknownName, UsageProblem


def resolve_one(session: KernelSession, words: Sequence[str]) -> str:
    """Return the one name given, or the only one this kernel is logged in to."""
    if len(words) > 1:
        raise UsageProblem(f"One name is taken at a time, and {len(words)} were given: {' '.join(words)}.")
    here = [resolve_name(session, word) for word in words] or logged_in(session)
    if len(here) == 1:
        return here[0]
    if here:
        raise UsageProblem(f"This kernel is logged in to {' and '.join(here)}; say which one is meant.")
    raise UsageProblem("This kernel is not logged in to anything; log in first: %motor_login NAME")


def split_target_and_command(session: KernelSession, words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Split `[NAME] COMMAND ...` into the name and the rest."""
    if not words:
        raise UsageProblem("Say what to do: %motor NAME COMMAND, for example %motor stage_x move_to 12.5")
    if not _is_name(session, *words[:2]):
        return resolve_one(session, []), words
    name = resolve_name(session, words[0])
    if len(words) == 1:
        raise UsageProblem(f"Say what {name} is to do; it has {', '.join(sorted(commands_of(session, name)))}.")
    return name, words[1:]


def commands_of(session: KernelSession, name: str) -> dict[str, Command]:
    """Return the declared commands; a name that is not there is answered by what is near it, and by what there is."""
    return session.commands(resolve_name(session, name))


def resolve_name(session: KernelSession, typed: str) -> str:
    """Return the id of the equipment that `typed` names: by its id, else by its label where that is unique.

    Upper and lower case count where they tell two apart. Raises `UnknownName` with what is near and what there is.
    """
    try:
        session.commands(typed)
    except InvalidRequest:
        offered = session.equipment_list()
        if name := find_name(typed, offered):
            return name
        there = f"there is {equipment_list_text(offered)}{did_you_mean(typed, offered)}"
        raise UnknownName(f"{typed} is not here; {there}{'?' if '; did you' in there else '.'}") from None
    return typed


def resolve_names(session: KernelSession, typed: Sequence[str]) -> list[str]:
    """Return the ids of the equipment that `typed` names, each once."""
    return list(dict.fromkeys(resolve_name(session, name) for name in typed))


def find_name(typed: str, offered: Sequence[Mapping[str, object]]) -> str | None:
    """Return the id of the only one among `offered` that has this id or label."""
    for key in ("id", "label"):
        for same in (str, str.casefold):
            fitting = [str(item["id"]) for item in offered if item.get(key) and same(str(item[key])) == same(typed)]
            if len(fitting) == 1:
                return fitting[0]
    return None


def near_names(typed: str, names: Iterable[str]) -> list[str]:
    """Return the names that `typed` may be a slip of the keys for, the likeliest first."""
    by_folded = {name.casefold(): name for name in names}
    return [by_folded[folded] for folded in get_close_matches(typed.casefold(), by_folded, n=2)]


def did_you_mean(typed: str, offered: Sequence[Mapping[str, object]]) -> str:
    """Return a clause that asks whether what is near was meant; empty where nothing is."""
    by_name = {str(item[key]): str(item["id"]) for item in offered for key in ("label", "id") if item.get(key)}
    alike = list(dict.fromkeys(by_name[name] for name in near_names(typed, by_name)))
    if alike:
        return f"; did you mean {' or '.join(alike)}"
    return ""


def split_target(session: KernelSession, words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Split `[NAME] ...` into the name, where the first word is one, and the rest."""
    known = words and (words[0] in session.mirror.statuses or words[0] in logged_in(session))
    if known:
        return (words[0], words[1:])
    return (None, words)


def find_ask(session: KernelSession, name: str | None, user: str | None) -> tuple[str, Mapping[str, Any]]:
    """Return which equipment of ours somebody asks for, and their place in its queue."""
    asks = [
        (name, entry)
        for name in ([name] if name else sorted(session.mirror.held()))
        for entry in session.status(name)["queue"]
        if entry["ask"] and entry["ask"]["answer"] != "no" and user in (None, entry["user"])
    ]
    if not asks:
        who = "Nobody asks"
        if user:
            who = f"{user} does not ask"
        raise UsageProblem(f"{who} for what this kernel holds.")
    waiting = [x for x in asks if x[1]["ask"]["answer"] is None] or asks
    if len(waiting) > 1:
        who = ", ".join(f"{entry['user']} for {name}" for name, entry in waiting)
        raise UsageProblem(f"Several ask ({who}); say whom you answer: %motor_answer NAME yes --to USER")
    return waiting[0]


def only_motor(session: KernelSession) -> str:
    """Return the name of the only motor there is."""
    found = session.equipment_list()
    motors = [str(item["id"]) for item in found if item["kind"] == "motor"]
    if len(motors) != 1:
        raise UsageProblem(f"Say which one with %motor_login NAME; there is {equipment_list_text(found)}.")
    return motors[0]


def logged_in(session: KernelSession) -> list[str]:
    """Return what this kernel is logged in to, as holder or observer, as far as it knows."""
    watched = (
        name for name, status in session.mirror.statuses.items() if session.session_id in status["observer_sessions"]
    )
    return sorted({*session.mirror.held(), *watched})


def equipment_list_text(found: Sequence[Mapping[str, object]]) -> str:
    """Return what there is, with who has it: `stage_x (free), stage_y (Bob has it)`."""
    return ", ".join(_with_holder(item) for item in found) or "nothing"


def _is_name(session: KernelSession, first: str, second: str = "") -> bool:
    here = logged_in(session)
    if first in session.mirror.statuses or first in here:
        return True
    if len(here) == 1:  # a misspelt command, unless what follows is a command of it
        known = commands_of(session, here[0])
        return first not in known and second in known
    return find_name(first, session.equipment_list()) is not None


def _with_holder(item: Mapping[str, object]) -> str:
    user = item["holder"]
    return f"{item['id']} ({f'{user} has it' if user else item['state']})"

"""Which equipment a typed line means, from what this kernel is logged in to and what the authority offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_motorlock.connection.session import KernelSession
from jupyter_motorlock.errors import InvalidRequest, UsageProblem
from jupyter_motorlock.lines import Command


def one(session: KernelSession, words: Sequence[str]) -> str:
    """Return the one name given, or the only one this kernel is logged in to."""
    if len(words) > 1:
        raise UsageProblem(f"One name is taken at a time, and {len(words)} were given: {' '.join(words)}.")
    here = [*words] or logged_in(session)
    if len(here) == 1:
        return here[0]
    if here:
        raise UsageProblem(f"This kernel is logged in to {' and '.join(here)}; say which one is meant.")
    raise UsageProblem("This kernel is not logged in to anything; log in first: %motor_login NAME")


def addressed(session: KernelSession, words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Split `[NAME] COMMAND ...` into the name and the rest."""
    if not words:
        raise UsageProblem("Say what to do: %motor NAME COMMAND, for example %motor stage_x move_to 12.5")
    if not _is_name(session, *words[:2]):
        return one(session, []), words
    if len(words) == 1:
        raise UsageProblem(f"Say what {words[0]} is to do; it has {', '.join(sorted(commands(session, words[0])))}.")
    return words[0], words[1:]


def commands(session: KernelSession, name: str) -> dict[str, Command]:
    """Return the declared commands; a name that is not there is answered by a list of what is."""
    try:
        return session.commands(name)
    except InvalidRequest:
        raise UsageProblem(f"{name} is not here; there is {listed(session.equipment_list())}.") from None


def named_first(session: KernelSession, words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Split `[NAME] ...` into the name, where the first word is one, and the rest."""
    known = words and (words[0] in session.statuses or words[0] in logged_in(session))
    return (words[0], words[1:]) if known else (None, words)


def asking(session: KernelSession, name: str | None, user: str | None) -> tuple[str, Mapping[str, Any]]:
    """Return which equipment of ours somebody asks for, and their place in its queue."""
    asks = [
        (name, entry)
        for name in ([name] if name else sorted(session.held()))
        for entry in session.status(name)["queue"]
        if entry["ask"] and entry["ask"]["answer"] != "no" and user in (None, entry["user"])
    ]
    if not asks:
        who = f"{user} does not ask" if user else "Nobody asks"
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
        raise UsageProblem(f"Say which one with %motor_login NAME; there is {listed(found)}.")
    return motors[0]


def logged_in(session: KernelSession) -> list[str]:
    """Return what this kernel is logged in to, as holder or observer, as far as it knows."""
    watched = (name for name, status in session.statuses.items() if session.session_id in status["observer_sessions"])
    return sorted({*session.held(), *watched})


def listed(found: Sequence[Mapping[str, object]]) -> str:
    """Return what there is, with who has it: `stage_x (free), stage_y (Bob has it)`."""
    return ", ".join(_with_holder(item) for item in found) or "nothing"


def _is_name(session: KernelSession, first: str, second: str = "") -> bool:
    here = logged_in(session)
    if first in session.statuses or first in here:
        return True
    if len(here) == 1:  # a misspelt command, unless what follows is a command of it
        known = commands(session, here[0])
        return first not in known and second in known
    return any(item["id"] == first for item in session.equipment_list())


def _with_holder(item: Mapping[str, object]) -> str:
    user = item["holder"]
    return f"{item['id']} ({f'{user} has it' if user else item['state']})"

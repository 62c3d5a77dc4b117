"""What the panel's buttons do: which actions fit the state of an equipment, and how each is done.

What an action needs besides the click, a time, a note or a reason, is what was typed in the panel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text.status import Fields, Rights
from jupyter_motorlock.text.units import read_span

MainAction: TypeAlias = Literal["Request", "Claim", "Release", "Leave queue", "Resume", "Clear fault"]
OtherAction: TypeAlias = Literal[
    "Yes, hand over", "No", "Later", "Keep", "Hand over", "Watch only", "Release", "Swap places",
    "Ask", "Watch", "Stop watching", "Take by force", "Clear fault",
]  # fmt: skip
PanelAction: TypeAlias = MainAction | OtherAction
OTHERS: tuple[OtherAction, ...] = get_args(OtherAction)

_WHAT: Mapping[PanelAction, str] = {  # each begins with what the button says, for those who hear it and do not see it
    "Request": "Request {name}, now or when your turn comes",
    "Claim": "Claim {name}, because it is your turn",
    "Release": "Release {name} for others",
    "Leave queue": "Leave queue of {name}",
    "Resume": "Resume after the stop of {name}: it takes commands again",
    "Clear fault": "Clear fault of {name}, with the reason written here: what you found and did",
    "Yes, hand over": "Yes, hand over {name} to {asker} now",
    "No": "No, {asker} cannot have {name} now",
    "Later": "Later: {asker} is told the time written here, at which you mean to be done with {name}",
    "Keep": "Keep {name} for the time written here; others see it with the note behind it",
    "Hand over": "Hand over {name} to {next}, who is next in the queue",
    "Watch only": "Watch only: give {name} up and go on reading it",
    "Swap places": "Swap places with {swapper} in the queue of {name}",
    "Ask": "Ask {holder} to yield {name}, for the reason written here, and wait in its queue",
    "Watch": "Watch {name}: read it, but not move it",
    "Stop watching": "Stop watching {name}",
    "Take by force": "Take by force {name} from {holder}, who is told who did it and the reason written here",
}
_NEEDS: Mapping[PanelAction, str] = {  # the right without which it is refused; the rest is anybody's
    "Request": "control",
    "Resume": "control",
    "Clear fault": "clear-fault",
    "Keep": "control",
    "Watch only": "observe",
    "Ask": "control",
    "Watch": "observe",
    "Take by force": "force",
}
_HOW_LONG = "Write for how long under More, such as 3h overnight scan, and press Keep again."
_WHEN = "Write when you mean to be done, such as 10min two more scans, and press Later again."
_WHY = "Write under More why you take {name} by force, which {holder} is shown, and press Take by force again."
_FOUND = "Write under More what you found and did, and press Clear fault again."


def main_action(status: Fields, me: str | None, rights: Rights = None) -> MainAction | None:
    """Return what `me` will most probably want to do now; None where the right to it is missing."""
    wanted = _wanted(status, me)
    if _may(wanted, rights):
        return wanted
    return None


def _wanted(status: Fields, me: str | None) -> MainAction:
    stopper = status.get("stopped_by") or {}
    match status_text.standing_of(status, me):
        case "turn":
            return "Claim"
        case "mine":
            if stopper and stopper.get("session_id") != me:
                return "Resume"
            return "Release"
        case state:
            if status_text.own_place(status, me):
                return "Leave queue"
            if state == "fault":
                return "Clear fault"
            return "Request"


def other_actions(status: Fields, me: str | None, rights: Rights = None) -> tuple[OtherAction, ...]:
    """Return what else `me` can do now, as far as there is the right to it."""
    stand = status_text.standing_of(status, me)
    mine = status_text.own_place(status, me)
    waiting = bool(status.get("queue"))
    asks = bool(_asker(status))
    asked = (mine.get("ask") or {"answer": "no"})["answer"] is None
    watches = status_text.observes_equipment(status, me)
    held = stand in ("other", "silent")
    fits: Mapping[OtherAction, bool] = {
        "Yes, hand over": asks,
        "No": asks,
        "Later": asks,
        "Keep": stand == "mine",
        "Hand over": waiting,
        "Watch only": stand == "mine" and not waiting,
        "Release": main_action(status, me, rights) != "Release",
    }
    if not status_text.holds_lock(status, me):
        fits = {
            "Swap places": bool(_swapper(status, me)),
            "Ask": held and not asked,
            "Watch": not watches and not mine and stand not in ("draining", "unknown"),
            "Stop watching": watches,
            "Take by force": held,
            "Clear fault": stand == "fault" and bool(mine),
        }
    return tuple(action for action in OTHERS if fits.get(action) and _may(action, rights))


def _may(action: PanelAction, rights: Rights) -> bool:
    return rights is None or _NEEDS.get(action, "read") in rights


def describe_action(action: PanelAction, status: Fields, me: str | None) -> str:
    """Return what a click does, and to whom."""
    queue = status.get("queue") or [{}]
    parts = {"asker": _asker(status), "swapper": _swapper(status, me)}
    parts |= {"next": queue[0], "holder": status.get("holder") or {}}
    people = {role: status_text.person_text(part, None) for role, part in parts.items()}
    return _WHAT[action].format(name=status.get("equipment_id"), **people)


def run_action(action: PanelAction, session: KernelSession, status: Fields, typed: str) -> str:
    """Carry out the action by `status` and with what was `typed`; return what to say of it, often nothing.

    Raises `UsageProblem` where what was typed is missing or wrong, and what the session raises.
    """
    name = status["equipment_id"]
    me = session.session_id
    text = typed or None
    holder = status_text.person_text(status.get("holder") or {}, None)
    match action:
        case "Request":
            session.acquire(name, queue=True, note=text)
        case "Claim":
            session.claim(name)
        case "Release" | "Stop watching":
            session.release(name)
        case "Leave queue":
            session.leave(name)
        case "Resume":
            session.resume(name)
        case "Watch only" | "Watch":
            session.acquire(name, mode="observer")
        case "Keep":
            session.keep(name, *_span(typed, _HOW_LONG))
        case "Hand over":
            session.hand_over(name, status["queue"][0]["queue_id"])
        case "Yes, hand over":
            session.answer(name, _asker(status)["queue_id"], "yield", note=text)
        case "No":
            session.answer(name, _asker(status)["queue_id"], "no", note=text)
        case "Later":
            seconds, note = _span(typed, _WHEN)
            session.answer(name, _asker(status)["queue_id"], "later", seconds=seconds, note=note)
        case "Ask":
            if session.acquire(name, queue=True)["status"] == "queued":
                session.ask(name, text)
                return f"{holder} is asked to yield {name}."
        case "Swap places":
            session.swap(name, _swapper(status, me)["queue_id"])
        case "Take by force":
            session.release(name, force=True, reason=_given(typed, _WHY.format(name=name, holder=holder)))
            return f"{name} was taken from {holder}, who is told that you did it and why."
        case "Clear fault":
            session.clear_fault(name, _given(typed, _FOUND))
    return ""


def _asker(status: Fields) -> Fields:
    """Return the first who asks and has no answer."""
    asking = (entry for entry in status.get("queue") or () if (entry.get("ask") or {"answer": "no"})["answer"] is None)
    return next(asking, {})


def _swapper(status: Fields, me: str | None) -> Fields:
    """Return who offers `me` to swap places."""
    offered = status_text.own_place(status, me).get("queue_id")
    return next((entry for entry in status.get("queue") or () if offered and entry.get("swap_with") == offered), {})


def _span(typed: str, wanted: str) -> tuple[float, str | None]:
    time, _, note = typed.partition(" ")
    seconds = read_span(time)
    if seconds is None:
        raise UsageProblem(wanted)
    return seconds, note.strip().strip("\"'") or None


def _given(typed: str, wanted: str) -> str:
    if not typed:
        raise UsageProblem(wanted)
    return typed

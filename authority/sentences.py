"""What people read of an event, of a status and of a lock's end: said here once, and shown as it is everywhere.

All of it is in the third person, for only a front end knows who reads. An event's sentence has no time of day and no
full stop, for it is a line of a list. A time in any other sentence is an ISO instant, which a front end shows by the
local clock.
"""

from __future__ import annotations

from collections.abc import Callable

from .core import messages
from .core.clocks import EndingKind
from .core.model import Drain, Equipment, HolderAsk, LockLoss, LossCause, Outcome, StoppedBy

AUTHORITY = "the authority"
_CAUSES: dict[LossCause, str] = {
    LossCause.LOGOUT: "it was given back",
    LossCause.FORCED: "{by} took it by force",
    LossCause.IDLE: "it was idle for too long",
    LossCause.OFFERED: "it was idle and {by} asked for it",
    LossCause.SILENCE: "nothing was heard of the kernel and {by} asked for it",
    LossCause.UNCLAIMED: "it was not claimed in time",
    LossCause.TURN: "the turn was over and {by} was waiting",
    LossCause.SESSION_ENDED: "the session ended",
    LossCause.SESSION_EXPIRED: "the session was silent for too long",
    LossCause.GONE: "the kernel is gone",
    LossCause.CONNECTIONS_LOST: "both connections of the kernel closed",
    LossCause.DOWNGRADED: "it was changed to watching",
    LossCause.UPGRADED: "it was changed to driving",
    LossCause.EXCLUSIVE_GRANT: "{by} has it now",
}
_OUTCOMES: dict[Outcome, str] = {
    Outcome.DONE: "is done",
    Outcome.FAILED: "failed",
    Outcome.STOPPED: "was stopped",
    Outcome.UNKNOWN: "has no known outcome",
    Outcome.NOT_RUN: "was not run",
}
_LEFT: dict[str, str] = {
    "granted": ": it was granted",
    "direct": ": it was granted",
    "session_ended": ": the session ended",
    "silent": ": nothing is heard of the kernel",
}
_ENDING: dict[EndingKind, str] = {
    "claim": "passes to the next in the queue unless {user} claims it",
    "idle": "is released unless {user} uses it",
    "offer": "may be taken over by whoever asks unless {user} uses it",
    "silence": "{user} is silent: it passes to whoever asks, unless {user} is heard from first",
    "turn": "passes to the next in the queue: the turn of {user} is over then",
    "drain": "passes on as soon as {name} is at rest",
}
# Their end is the holder's own doing, and needs no cause.
_OWN_DOING = frozenset({LossCause.LOGOUT, LossCause.SESSION_ENDED, LossCause.DOWNGRADED, LossCause.UPGRADED})


def duration_text(seconds: float) -> str:
    """Return a length of time as people say it: `45 s`, `4 min 12 s`, `10 min`, `2 h 5 min`."""
    whole = max(0, int(seconds + 0.01))  # by the clock, a promise of 600 s may be one of 599.9999 s
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    small = f" {rest} s" if rest else ""
    if minutes < 60:
        return f"{minutes} min{small}"
    hours, minutes = divmod(minutes, 60)
    small = f" {minutes} min" if minutes else ""
    return f"{hours} h{small}"


def in_parentheses(text: str | None) -> str:
    """Return what a sentence has in parentheses after a space; nothing where there is no text."""
    return f" ({text.rstrip('.')})" if text else ""


def _after_colon(sentence: str | None) -> str:
    """Return what a driver or the authority said of it: it may have parentheses of its own."""
    return f": {sentence.rstrip('.')}" if sentence else ""


def cause_clause(why: LossCause, by: str | None, reason: str | None) -> str:
    """Return why a lock ended, as what follows "because": `Bob took it by force (beam time)`."""
    if why is LossCause.GONE and reason:
        return reason
    if why is LossCause.HANDED_OVER:
        return f"it was handed over {reason}"
    return _CAUSES[why].format(by=by or "somebody") + in_parentheses(reason)


def past_end_clause(end: LockLoss | Drain) -> str:
    """Return why this lock ended, or ends when the equipment is at rest."""
    return cause_clause(end.why, end.by, end.reason)


def future_end_clause(what: EndingKind, name: str, user: str) -> str:
    """Return what will become of the lock of `user`, as what follows the name of the equipment."""
    return _ENDING[what].format(name=name, user=user)


def event_sentence(event: messages.Event, units: str | None) -> str:
    """Return what happened: `Ann has stage_x (night scan)`; `units` are those of the equipment's position."""
    user = getattr(event, "user", None) or "somebody"
    if isinstance(event, messages.SessionEvent):
        return _session_sentence(event, user)
    assert isinstance(event, messages.EquipmentEvent)
    return _device_sentence(event, user, units) or _queue_sentence(event, user) or _lock_sentence(event, user)


def _session_sentence(event: messages.SessionEvent, user: str) -> str:
    match event:
        case messages.SessionCreated(opened=session):
            return f"{user}'s session began{in_parentheses(session.client_name)}"
        case messages.SessionSuspect():
            return f"{user}'s session is silent"
        case messages.SessionResumed():
            return f"{user}'s session is heard again"
        case messages.SessionOver(why=why, reason=reason) if why not in _OWN_DOING:
            return f"{user}'s session ended: {cause_clause(why, None, reason)}"
        case _:
            return f"{user}'s session ended"


def _device_sentence(event: messages.EquipmentEvent, user: str, units: str | None) -> str | None:
    name = event.equipment
    match event:
        case messages.CommandStarted(command=command):
            given = ", ".join(f"{key}={_value_text(value)}" for key, value in command.parameters.items())
            return f"{user} started {command.action}({given}) on {name}"
        case messages.CommandFinished():
            return f"{user}'s {event.action} on {name} {_OUTCOMES[event.outcome]}{_after_colon(event.error)}"
        case messages.Stopped():
            return _stopped_sentence(event)
        case messages.Resumed():
            return f"{user} goes on with {name} after the stop"
        case messages.Faulted():
            return f"{name} has a fault{_after_colon(event.reason)}"
        case messages.FaultCleared():
            return f"{event.by} cleared the fault of {name}{in_parentheses(event.reason)}"
        case messages.FenceRaised():
            return f"the device of {name} had obeyed fence {event.fence} already, so its locks go on above it"
        case messages.MovedOutside():
            return f"{name} was moved from outside to {_value_text(event.position)} {units or ''}".rstrip()
        case _:
            return None


def _stopped_sentence(event: messages.Stopped) -> str:
    by = event.by or AUTHORITY
    reason = event.reason
    if event.by is None and reason in _CAUSES:
        reason = cause_clause(LossCause(reason), None, None)
    if not event.delivered:
        return f"the STOP of {event.equipment} by {by} was NOT DELIVERED{_after_colon(event.error)}"
    if event.error:
        return f"the STOP of {event.equipment} by {by} stopped nothing{_after_colon(event.error)}"
    return f"{event.equipment} was stopped by {by}{in_parentheses(reason)}"


def _queue_sentence(event: messages.EquipmentEvent, user: str) -> str | None:
    name = event.equipment
    match event:
        case messages.Queued():
            return f"{user} is number {event.position} in the queue for {name}{in_parentheses(event.entry.note)}"
        case messages.QueueLeft():
            return f"{user} left the queue for {name}{_LEFT.get(event.result, '')}"
        case messages.SwapOffered(partner=None):
            return f"{user} no longer offers to swap places for {name}"
        case messages.SwapOffered():
            return f"{user} offers to swap places for {name}"
        case messages.QueueSwapped():
            return f"{user} and {event.by} swapped places for {name}"
        case messages.AskChanged(ask=ask, holder=holder):
            match ask.answer:
                case None:
                    return f"{user} asks {holder} for {name}{in_parentheses(ask.reason)}"
                case "later":
                    left = duration_text((ask.promised_at or event.at) - event.at)
                    return f"{holder} promises {user} {name} in {left}{in_parentheses(ask.note)}"
                case "no":
                    return f"{holder} cannot give {name} to {user} now{in_parentheses(ask.note)}"
                case _:
                    return f"{holder} did not answer {user}, who asked for {name}"
        case _:
            return None


def _lock_sentence(event: messages.EquipmentEvent, user: str) -> str:
    name = event.equipment
    match event:
        case messages.LockAcquired(from_queue=True):
            return f"{user} has {name} after waiting{in_parentheses(event.lock.note)}"
        case messages.LockAcquired():
            return f"{user} has {name}{in_parentheses(event.lock.note)}"
        case messages.LockRefreshed():
            return f"{user} goes on with {name}{in_parentheses(event.note)}"
        case messages.LockClaimed():
            return f"{user} claimed {name}"
        case messages.LockKept(kept=kept) if kept is not None:
            return f"{user} keeps {name} for {duration_text(kept.until - event.at)}{in_parentheses(kept.note)}"
        case messages.LockKept():
            return f"{user} no longer keeps {name}"
        case messages.LockDraining(drain=drain):
            rest = "parked" if drain.parking else "at rest"
            return f"{user}'s lock on {name} ends as soon as it is {rest}: {past_end_clause(drain)}"
        case messages.HolderGone():
            return f"{name} is kept for {user}, although {cause_clause(event.why, None, None)}"
        case messages.LockEnded(loss=loss):
            return _ended_sentence(name, loss)
        case messages.ObserverAcquired():
            return f"{user} watches {name}"
        case messages.ObserverEnded(why=why) if why not in _OWN_DOING:
            return f"{user} no longer watches {name}: {cause_clause(why, event.by, None)}"
        case messages.ObserverEnded():
            return f"{user} no longer watches {name}"
        case _:
            return type(event).__name__


def _ended_sentence(name: str, loss: LockLoss) -> str:
    match loss.why:
        case LossCause.LOGOUT | LossCause.SESSION_ENDED:
            return f"{loss.user} gave {name} back{in_parentheses(loss.reason)}"
        case LossCause.DOWNGRADED:
            return f"{loss.user} gave {name} back and watches it"
        case LossCause.HANDED_OVER:
            return f"{loss.user} handed {name} over {loss.reason}"
        case LossCause.FORCED:
            return f"{loss.by or 'somebody'} took {name} from {loss.user} by force{in_parentheses(loss.reason)}"
        case _:
            return f"{loss.user} lost {name}: {past_end_clause(loss)}"


def stop_sentence(equipment: Equipment, stop: StoppedBy, time: Callable[[float], str]) -> str:
    """Return who stopped the holder's work, when and why, and what is to be done to go on."""
    stopped = f"{equipment.id} was stopped by {stop.user} at {time(stop.at)}{in_parentheses(stop.reason)}"
    assert equipment.lock is not None, "a stop of what nobody holds blocks nobody"
    return f"{stopped}: {equipment.lock.user} has to resume or log in again."


def ask_clause(ask: HolderAsk, time: Callable[[float], str]) -> str:
    """Return what a waiter asks of the holder, else the answer: `asked for it; the holder said no`."""
    match ask.answer:
        case None:
            return f"asks for it{in_parentheses(ask.reason)}"
        case "later":
            return f"asked for it; the holder promised {time(ask.promised_at or ask.due)}{in_parentheses(ask.note)}"
        case "no":
            return f"asked for it; the holder said no{in_parentheses(ask.note)}"
        case _:
            return "asked for it; the holder did not answer"


def status_sentence(equipment: Equipment, *, is_silent: bool, is_kept: bool, time: Callable[[float], str]) -> str:
    """Return who has the equipment, since when, why and until when kept, and how many wait."""
    name = equipment.id
    lock = equipment.lock
    if equipment.fault is not None:
        return f"{name} has a fault ({equipment.fault.rstrip('.')}) and is given to nobody until the fault is cleared."
    if lock is None:
        return f"{name} is free{_waiting(equipment)}."
    if equipment.drain is not None:
        return f"{name} is coming to rest and then passes on from {lock.user}{_waiting(equipment)}."
    held = f"{lock.user}{in_parentheses(lock.note)} has {name} since {time(lock.since)}"
    if is_silent:
        held += " and is silent, so whoever asks gets it at rest"
    elif lock.claim_by is not None:
        held += " and has not claimed it yet"
    if lock.kept is not None and is_kept:
        held += f", kept until {time(lock.kept.until)}{in_parentheses(lock.kept.note)}"
    return f"{held}{_waiting(equipment)}."


def _waiting(equipment: Equipment) -> str:
    waiting = len(equipment.queue)
    if waiting:
        return "; one waits" if waiting == 1 else f"; {waiting} wait"
    return "" if equipment.lock is None else "; nobody waits"


def _value_text(value: object) -> str:
    """Return a value with the digits that a device may have, at most nine: 13.005892970002606 is 13.005893."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.9g}" if abs(value) < 1e9 else f"{value:.12g}"
    return str(value)

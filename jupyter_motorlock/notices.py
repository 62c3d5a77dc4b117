"""PURE: what a kernel tells its user about an event that somebody else, or the clock, caused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

ENDINGS = frozenset({"lock_released", "lock_force_released", "lock_expired", "lock_draining"})
OWN_DOING = frozenset({"logout", "downgraded", "upgraded"})

_WHY: Mapping[str, str] = {
    "forced": "{by} took it by force",
    "idle": "it was not used for longer than its idle time",
    "offered": "it was idle and somebody else asked for it",
    "silence": "this kernel was silent for too long and somebody else asked for it",
    "unclaimed": "it was granted from the queue and not used in time",
    "turn": "its time was over and others were waiting",
    "session_ended": "the session was ended",
    "session_expired": "the session was not used for too long",
    "gone": "the authority was told that this kernel had ended",
    "connections_lost": "both connections of this kernel were lost",
    "exclusive_grant": "{by} was given exclusive control",
    "fault": "the equipment went into fault",
}


def lock_lost(event: Mapping[str, object], equipment_id: str, *, what: str = "lock on") -> str:
    """Return the sentence for a lock that ended without its holder's doing."""
    by = who(event.get("by"))
    why = _WHY.get(str(event.get("why")), "the authority ended it").format(by=by)
    reason = f" ({event['reason']})" if event.get("reason") else ""
    return (
        f"Your {what} {equipment_id} ended at {clock(event)} because {why}{reason}; "
        f"`%motor_login {equipment_id}` asks for it again."
    )


def your_turn(status: Mapping[str, object], equipment_id: str) -> str:
    """Return the sentence for a lock that the queue granted while nobody waited in the call."""
    ending = status.get("ending")
    seconds = ending.get("in_seconds") if isinstance(ending, Mapping) else None
    limit = f" within {seconds:.0f} s" if isinstance(seconds, int | float) else ""
    return f"Your turn has come: {equipment_id} is yours; use it{limit} or it passes on."


def stopped(event: Mapping[str, object], equipment_id: str) -> str:
    """Return the sentence for equipment that somebody else stopped under our lock."""
    reason = f" ({event['reason']})" if event.get("reason") else ""
    return (
        f"{who(event.get('by'))} stopped {equipment_id} at {clock(event)}{reason}; the lock is still yours, "
        f"and `%motor_login {equipment_id}` allows control again."
    )


def session_over(equipment_ids: list[str], sentence: str) -> str:
    """Return the sentence for a session that ended with the locks it had."""
    lost = ", ".join(equipment_ids)
    return f"The lock on {lost} ended with this kernel's session ({sentence.rstrip('.')}); log in again to go on."


def who(by: object) -> str:
    """Return the name in a `by` field, which may be a user's name or an object with one."""
    if isinstance(by, Mapping):
        by = by.get("user") or by.get("session_id")
    return str(by) if by else "somebody"


def clock(event: Mapping[str, object]) -> str:
    """Return the local wall time of the event as hours and minutes."""
    try:
        return datetime.fromisoformat(str(event.get("timestamp"))).astimezone().strftime("%H:%M")
    except ValueError:
        return "a time not known"

"""The clocks of a lock: when what is due, given nothing else happens. All are comparisons, none is a timer."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .model import Equipment, Lock, Session, Table

EndingKind = Literal["claim", "idle", "offer", "silence", "turn", "drain"]

RECONNECT_S = 5.0
FORGET_SILENT_S = 24 * 3600.0


class Ending(Struct, frozen=True):
    """The one countdown people see: what ends the lock, and when (None: its clock does not run now)."""

    what: EndingKind
    at: float | None


def earliest(*times: float | None) -> float | None:
    """Return the first of the clocks that run, or None."""
    return min((t for t in times if t is not None), default=None)


def session_due(table: Table, session: Session) -> float | None:
    """When the session ends, or becomes suspect, by itself."""
    if not session.keeper:
        if session.timeout_s == 0 or _is_working(table, session):
            return None
        return session.last_seen + session.timeout_s
    dead = None
    if session.disconnected_at is not None:
        dead = session.disconnected_at + RECONNECT_S
    if not session.suspect:
        return earliest(dead, session.last_seen + session.lease_s)
    return earliest(dead, session.last_seen + FORGET_SILENT_S)


def may_be_due(session: Session, now: float) -> bool:
    """Whether `session_due` is worth working out: a cheap test that is never wrongly False."""
    if session.disconnected_at is not None:
        return True
    if session.keeper:
        limit = session.lease_s
    else:
        limit = session.timeout_s
    return now >= session.last_seen + limit and (session.keeper or limit > 0)


def is_quiet(equipment: Equipment, now: float) -> bool:
    """Whether nothing of this equipment can be due: a cheap test that is never wrongly True."""
    if equipment.queue or equipment.observers or equipment.drain is not None:
        return False
    lock = equipment.lock
    return lock is None or (lock.claim_by is None and (lock.timeout_s == 0 or now < lock.used_at + lock.timeout_s))


def _is_working(table: Table, session: Session) -> bool:
    """Whether a command or an open request of a session without a keeper runs."""
    if session.feeds:
        return True
    for key in session.equipment:
        equipment = table.equipment(key)
        if equipment is not None and any(
            c.session == session.id for c in (equipment.running, *equipment.accepted) if c is not None
        ):
            return True
    return False


def observer_due(used_at: float, timeout_s: float, session: Session | None) -> float | None:
    """When an observer's lock ends by itself: never while a keeper says that its session lives."""
    if timeout_s == 0 or (session is not None and session.keeper):
        return None
    return used_at + timeout_s


def idle_due(equipment: Equipment, lock: Lock, holder: Session | None) -> float | None:
    """When the holder has idled for its timeout; None while the clock stands still."""
    if lock.timeout_s == 0 or lock.claim_by is not None or equipment.policy.on_idle == "keep":
        return None
    if equipment.running is not None or equipment.accepted:
        return None
    if lock.kept is None:
        begins = lock.used_at
    else:
        begins = max(lock.used_at, lock.kept.until)
    if holder is None or not holder.keeper:
        return begins + lock.timeout_s
    if holder.busy:
        return None
    return max(begins, holder.idle_since) + lock.timeout_s


def idle_releases(equipment: Equipment, holder: Session | None) -> bool:
    """Whether idling ends the lock even when nobody wants it."""
    if equipment.policy.on_idle is not None:
        return equipment.policy.on_idle == "release"
    return holder is None or not holder.keeper


def queue_turn_due(equipment: Equipment, lock: Lock) -> float | None:
    """When the holder's turn is over; the clock runs only while an entry blocked by this lock waits."""
    if equipment.policy.max_hold_seconds is None or lock.blocking_since is None:
        return None
    return lock.blocking_since + equipment.policy.max_hold_seconds - lock.blocked_s


def ending(table: Table, equipment: Equipment) -> Ending | None:
    """Return what will end the present lock first, for people to see."""
    if equipment.drain is not None:
        return Ending("drain", equipment.drain.deadline)
    if equipment.lock is None:
        return None
    holder = table.session(equipment.lock.session)
    if holder is not None and holder.suspect:
        return Ending("silence", None)
    candidates: list[Ending] = []
    if equipment.lock.claim_by is not None:
        candidates.append(Ending("claim", equipment.lock.claim_by))
    turn = queue_turn_due(equipment, equipment.lock)
    if turn is not None:
        candidates.append(Ending("turn", turn))
    idle = idle_due(equipment, equipment.lock, holder)
    if idle is not None:
        if idle_releases(equipment, holder):
            candidates.append(Ending("idle", idle))
        else:
            candidates.append(Ending("offer", idle))
    return min(candidates, key=lambda ending: ending.at or 0.0, default=None)

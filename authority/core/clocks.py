"""The clocks of a lock: when what is due, given nothing else happens. All are comparisons, none is a timer."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .model import FORGET_SILENT_S, RECONNECT_S, Equipment, Lock, Session, Table

WhatEnds = Literal["claim", "idle", "offer", "silence", "turn", "drain"]


class Ending(Struct, frozen=True):
    """The one countdown people see: what ends the lock, and when (None: its clock does not run now)."""

    what: WhatEnds
    at: float | None


def earliest(*times: float | None) -> float | None:
    """Return the first of the clocks that run, or None."""
    return min((t for t in times if t is not None), default=None)


def session_due(table: Table, s: Session) -> float | None:
    """When the session ends, or becomes suspect, by itself."""
    if not s.keeper:
        return None if s.timeout_s == 0 or _is_working(table, s) else s.last_seen + s.timeout_s
    dead = None if s.disconnected_at is None else s.disconnected_at + RECONNECT_S
    if not s.suspect:
        return earliest(dead, s.last_seen + s.lease_s)
    return earliest(dead, s.last_seen + FORGET_SILENT_S)


def may_be_due(s: Session, now: float) -> bool:
    """Whether `session_due` is worth working out: a cheap test that is never wrongly False."""
    if s.disconnected_at is not None:
        return True
    limit = s.lease_s if s.keeper else s.timeout_s
    return now >= s.last_seen + limit and (s.keeper or limit > 0)


def is_quiet(e: Equipment, now: float) -> bool:
    """Whether nothing of this equipment can be due: a cheap test that is never wrongly True."""
    if e.queue or e.observers or e.drain is not None:
        return False
    lock = e.lock
    return lock is None or (lock.claim_by is None and (lock.timeout_s == 0 or now < lock.used_at + lock.timeout_s))


def _is_working(table: Table, s: Session) -> bool:
    """Whether a command or an open request of a session without a keeper runs."""
    if s.feeds:
        return True
    for key in s.equipment:
        e = table.equipment(key)
        if e is not None and any(c.session == s.id for c in (e.running, *e.accepted) if c is not None):
            return True
    return False


def observer_due(used_at: float, timeout_s: float, session: Session | None) -> float | None:
    """When an observer's lock ends by itself: never while a keeper says that its session lives."""
    if timeout_s == 0 or (session is not None and session.keeper):
        return None
    return used_at + timeout_s


def idle_due(e: Equipment, lock: Lock, holder: Session | None) -> float | None:
    """When the holder has idled for its timeout; None while the clock stands still."""
    if lock.timeout_s == 0 or lock.claim_by is not None or e.policy.on_idle == "keep":
        return None
    if e.running is not None or e.accepted:
        return None
    begins = lock.used_at if lock.kept is None else max(lock.used_at, lock.kept.until)
    if holder is None or not holder.keeper:
        return begins + lock.timeout_s
    return None if holder.busy else max(begins, holder.idle_since) + lock.timeout_s


def idle_releases(e: Equipment, holder: Session | None) -> bool:
    """Whether idling ends the lock even when nobody wants it."""
    if e.policy.on_idle is not None:
        return e.policy.on_idle == "release"
    return holder is None or not holder.keeper


def turn_due(e: Equipment, lock: Lock) -> float | None:
    """When the holder's turn is over; the clock runs only while an entry blocked by this lock waits."""
    if e.policy.max_hold_seconds is None or lock.blocking_since is None:
        return None
    return lock.blocking_since + e.policy.max_hold_seconds - lock.blocked_s


def ending(table: Table, e: Equipment) -> Ending | None:
    """Return what will end the present lock first, for people to see."""
    if e.drain is not None:
        return Ending("drain", e.drain.deadline)
    if e.lock is None:
        return None
    holder = table.session(e.lock.session)
    if holder is not None and holder.suspect:
        return Ending("silence", None)
    candidates: list[Ending] = []
    if e.lock.claim_by is not None:
        candidates.append(Ending("claim", e.lock.claim_by))
    turn = turn_due(e, e.lock)
    if turn is not None:
        candidates.append(Ending("turn", turn))
    idle = idle_due(e, e.lock, holder)
    if idle is not None:
        candidates.append(Ending("idle" if idle_releases(e, holder) else "offer", idle))
    return min(candidates, key=lambda c: c.at or 0.0, default=None)

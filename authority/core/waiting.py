"""Who waits for what: when a lock yields, who is next, how long it may take, and who would wait for themselves.

An entry for several pieces of equipment (a group) is obtainable only when all of them are; until then it reserves
nothing, and what is behind it passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from . import clocks
from .model import Entry, Equipment, EquipmentId, Lock, Mode, Session, SessionId, Table, Why
from .refusals import Wait

AT_ONCE = float("-inf")


def awake(table: Table, e: Equipment) -> Iterator[Entry]:
    """Iterate over the entries whose sessions are not silent, in the order of the queue."""
    for entry in e.queue:
        session = table.session(entry.session)
        if session is not None and not session.suspect:
            yield entry


def in_the_way(e: Equipment, entry: Entry) -> bool:
    """Whether the present lock, or its draining, keeps `entry` waiting."""
    if e.lock is None or e.holds(entry.session):
        return False
    return entry.mode is Mode.EXCLUSIVE or e.policy.observers == "apart"


def yields_at(table: Table, e: Equipment) -> float | None:
    """When the present lock passes to who waits for it; None: not before something happens."""
    if e.lock is None or e.drain is not None:
        return None
    holder = table.session(e.lock.session)
    if holder is not None and holder.suspect:
        return AT_ONCE
    return clocks.earliest(clocks.turn_due(e, e.lock), clocks.idle_due(e, e.lock, holder))


def yields_why(table: Table, e: Equipment, now: float) -> Why | None:
    """Why the lock passes to who wants it now. None: it does not."""
    at = yields_at(table, e)
    if e.lock is None or at is None or now < at:
        return None
    turn = clocks.turn_due(e, e.lock)
    if turn is not None and now >= turn:
        return Why.TURN
    return Why.SILENCE if at == AT_ONCE else Why.OFFERED


def next_at(table: Table, e: Equipment, now: float = AT_ONCE) -> tuple[Entry | None, float | None]:
    """Return the entry that can be served soonest, and when: not before `now`."""
    known: dict[str, float | None] = {}
    best: tuple[Entry | None, float | None] = (None, None)
    for entry in awake(table, e):
        at = _obtainable_at(table, e.id, entry, now, known)
        if at is not None and (best[1] is None or at < best[1]):
            best = entry, at
        # An entry for this equipment alone is passed only where it may not pass a group itself.
        if not entry.group and (at is not None or _unblocked_at(table, e.id, entry, now) is None):
            break
    return best


def _obtainable_at(
    table: Table, key: EquipmentId, entry: Entry, now: float, known: dict[str, float | None]
) -> float | None:
    """When all that `entry` waits for could be had at once; None: not before something happens."""
    if entry.queue_id not in known:
        known[entry.queue_id] = _worked_out(table, key, entry, now, known)
    return known[entry.queue_id]


def _worked_out(
    table: Table, key: EquipmentId, entry: Entry, now: float, known: dict[str, float | None]
) -> float | None:
    at = _unblocked_at(table, key, entry, now)
    if at is None:
        return None
    passes = False
    for name in entry.group or (key,):
        for ahead in awake(table, _equipment(table, name)):
            if ahead.queue_id == entry.queue_id:
                break
            if ahead.mode is entry.mode is Mode.OBSERVER:
                continue
            first = _obtainable_at(table, name, ahead, now, known)
            if first is None and not ahead.group and _unblocked_at(table, name, ahead, now) is None:
                return None
            if first is not None and first <= at:
                return None
            passes = True
    return None if passes and _would_close_a_cycle(table, _equipment(table, key), entry) else at


def _unblocked_at(table: Table, key: EquipmentId, entry: Entry, now: float) -> float | None:
    """When no lock and no fault keeps `entry` waiting, whoever is ahead; None: not before something happens."""
    at = now
    for name in entry.group or (key,):
        e = _equipment(table, name)
        if e.fault is not None and entry.mode is Mode.EXCLUSIVE:
            return None
        if in_the_way(e, entry):
            due = yields_at(table, e)
            if due is None:
                return None
            at = max(at, due)
    return at


def connected(table: Table, e: Equipment) -> tuple[EquipmentId, ...]:
    """Return `e` and all that groups which wait for it tie it to."""
    if not e.queue:
        return (e.id,)
    found, look = {e.id: None}, [e]
    while look:
        for entry in look.pop().queue:
            for name in entry.group:
                if name not in found:
                    found[name] = None
                    look.append(_equipment(table, name))
    return tuple(found)


def equipment_due(table: Table, e: Equipment) -> float | None:
    """When something of this equipment is due, its sessions' own clocks apart."""
    observers = (clocks.observer_due(o.used_at, o.timeout_s, table.session(o.session)) for o in e.observers)
    asks = (x.ask.due for x in e.queue if x.ask is not None and x.ask.answer is None)
    own = clocks.earliest(*observers, *asks)
    if e.drain is not None:
        return clocks.earliest(own, e.drain.deadline)
    if e.queue:
        own = clocks.earliest(own, next_at(table, e)[1])
    if e.lock is None:
        return own
    holder = table.session(e.lock.session)
    idle = clocks.idle_due(e, e.lock, holder) if clocks.idle_releases(e, holder) else None
    return clocks.earliest(own, e.lock.claim_by, idle)


def expected_wait_s(e: Equipment, entry: Entry, now: float) -> float | None:
    """Estimate how long `entry` will wait, from past holds and what the holder promised; None: nothing tells."""
    if not e.holds_s or entry.mode is not Mode.EXCLUSIVE:
        return None
    left: float | None = 0.0
    if e.lock is not None and e.drain is None:
        since = now - e.lock.since
        promised = clocks.earliest(*(x.ask.promised_at for x in e.queue if x.ask is not None))
        longer = [held - since for held in e.holds_s if held > since]
        left = max(0.0, promised - now) if promised is not None else _middle(longer) if longer else None
    ahead = sum(1 for x in e.queue[: e.queue.index(entry)] if x.mode is Mode.EXCLUSIVE)
    return None if left is None else left + ahead * _middle(e.holds_s)


def _middle(lengths: Iterable[float]) -> float:
    """Return the one in the middle: half of them are shorter."""
    found = sorted(lengths)
    return found[len(found) // 2]


# -- deadlock


def cycle(table: Table, start: SessionId) -> tuple[Wait, ...]:
    """Return how `start` waits for itself, one edge after the other; empty if it does not."""
    came: dict[SessionId, Wait] = {}
    look = [start]
    for waiter in look:  # breadth first: it grows while it is walked, and the shortest cycle is found
        for wait in _waits(table, table.session(waiter)):
            if wait.blocker in came:
                continue
            came[wait.blocker] = wait
            if wait.blocker == start:
                return _way_back(came, start)
            look.append(wait.blocker)
    return ()


def _would_close_a_cycle(table: Table, e: Equipment, entry: Entry) -> bool:
    """Whether its session would wait for itself once `entry` had what it waits for."""
    trial = Table(table)
    lock = Lock(
        lock_id="", session=entry.session, user=entry.user, user_verified=entry.user_verified,
        client_name=entry.client_name, fence=0, timeout_s=0.0, since=0.0, used_at=0.0,
    )  # fmt: skip
    for name in entry.group or (e.id,):
        was = _equipment(table, name)
        queue = tuple(x for x in was.queue if x.queue_id != entry.queue_id)
        trial.put(replace(was, lock=lock, drain=None, queue=queue))
    return entry.mode is Mode.EXCLUSIVE and bool(cycle(trial, entry.session))


def _way_back(came: dict[SessionId, Wait], start: SessionId) -> tuple[Wait, ...]:
    way = [came[start]]
    while way[-1].waiter != start:
        way.append(came[way[-1].waiter])
    return tuple(reversed(way))


def _waits(table: Table, session: Session | None) -> Iterator[Wait]:
    """Iterate over whom a session waits for: holders, and those ahead of it."""
    for key in session.equipment if session is not None else ():
        assert session is not None
        e = _equipment(table, key)
        entry = e.entry(session.id)
        if entry is None:
            continue
        if e.lock is not None and e.drain is None and in_the_way(e, entry):
            yield Wait(session.id, key, e.lock.session)
        for ahead in e.queue[: e.queue.index(entry)]:
            yield Wait(session.id, key, ahead.session)


def _equipment(table: Table, key: EquipmentId) -> Equipment:
    found = table.equipment(key)
    assert found is not None
    return found

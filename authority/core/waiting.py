"""Who waits for what: when a lock yields, who is next, how long it may take, and who would wait for themselves.

An entry for several pieces of equipment (a group) is obtainable only when all of them are; until then it reserves
nothing, and what is behind it passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from . import clocks
from .model import Equipment, EquipmentId, Lock, LockMode, LossCause, QueueEntry, Session, SessionId, Table
from .refusals import WaitEdge

AT_ONCE = float("-inf")


def awake_entries(table: Table, equipment: Equipment) -> Iterator[QueueEntry]:
    """Iterate over the entries whose sessions are not silent, in the order of the queue."""
    for entry in equipment.queue:
        session = table.session(entry.session)
        if session is not None and not session.suspect:
            yield entry


def is_blocked(equipment: Equipment, entry: QueueEntry) -> bool:
    """Whether the present lock, or its draining, keeps `entry` waiting."""
    if equipment.lock is None or equipment.holds(entry.session):
        return False
    return entry.mode is LockMode.EXCLUSIVE or equipment.policy.observers == "apart"


def yield_time(table: Table, equipment: Equipment) -> float | None:
    """When the present lock passes to who waits for it; None: not before something happens."""
    if equipment.lock is None or equipment.drain is not None:
        return None
    holder = table.session(equipment.lock.session)
    if holder is not None and holder.suspect:
        return AT_ONCE
    return clocks.earliest(
        clocks.queue_turn_due(equipment, equipment.lock), clocks.idle_due(equipment, equipment.lock, holder)
    )


def yield_reason(table: Table, equipment: Equipment, now: float) -> LossCause | None:
    """Why the lock passes to who wants it now. None: it does not."""
    at = yield_time(table, equipment)
    if equipment.lock is None or at is None or now < at:
        return None
    turn = clocks.queue_turn_due(equipment, equipment.lock)
    if turn is not None and now >= turn:
        return LossCause.TURN
    if at == AT_ONCE:
        return LossCause.SILENCE
    return LossCause.OFFERED


class NextGrant(NamedTuple):
    """The entry that can be served soonest, and when: seconds on the clock of the core."""

    entry: QueueEntry
    at: float


def next_grant(table: Table, equipment: Equipment, now: float = AT_ONCE) -> NextGrant | None:
    """Return the entry that can be served soonest, not before `now`; None: no entry before something happens."""
    forecast = _Forecast(table, now)
    soonest: NextGrant | None = None
    for entry in awake_entries(table, equipment):
        at = forecast.obtainable_at(equipment.id, entry)
        if at is not None and (soonest is None or at < soonest.at):
            soonest = NextGrant(entry, at)
        if not entry.group and (at is not None or forecast.is_stuck(equipment.id, entry)):
            break  # an entry for this equipment alone is passed only where it may not pass a group itself
    return soonest


class _Forecast:
    """When entries could have what they wait for, as things stand; None: not before something happens."""

    def __init__(self, table: Table, now: float) -> None:
        self._table = table
        self._now = now
        self._obtainable_at: dict[str, float | None] = {}

    def obtainable_at(self, key: EquipmentId, entry: QueueEntry) -> float | None:
        """When all that `entry` waits for could be had at once, those ahead of it considered."""
        if entry.queue_id not in self._obtainable_at:
            self._obtainable_at[entry.queue_id] = self._compute_obtainable_at(key, entry)
        return self._obtainable_at[entry.queue_id]

    def is_stuck(self, key: EquipmentId, entry: QueueEntry) -> bool:
        """Whether a lock or a fault keeps `entry` waiting until something happens."""
        return self._unblocked_at(key, entry) is None

    def _compute_obtainable_at(self, key: EquipmentId, entry: QueueEntry) -> float | None:
        at = self._unblocked_at(key, entry)
        if at is None:
            return None
        ahead = list(self._entries_ahead(key, entry))
        if any(self._goes_first(name, other, at) for name, other in ahead):
            return None
        if ahead and _would_close_a_cycle(self._table, _equipment(self._table, key), entry):
            return None
        return at

    def _entries_ahead(self, key: EquipmentId, entry: QueueEntry) -> Iterator[tuple[EquipmentId, QueueEntry]]:
        """Iterate over the entries that `entry` would have to pass; observers pass each other freely."""
        for name in entry.group or (key,):
            for other in awake_entries(self._table, _equipment(self._table, name)):
                if other.queue_id == entry.queue_id:
                    break
                if not (other.mode is entry.mode is LockMode.OBSERVER):
                    yield name, other

    def _goes_first(self, key: EquipmentId, ahead: QueueEntry, at: float) -> bool:
        """Whether nobody may pass `ahead` at the time `at`."""
        first = self.obtainable_at(key, ahead)
        if first is None:
            return not ahead.group and self.is_stuck(key, ahead)
        return first <= at

    def _unblocked_at(self, key: EquipmentId, entry: QueueEntry) -> float | None:
        """When no lock and no fault keeps `entry` waiting, whoever is ahead."""
        at = self._now
        for name in entry.group or (key,):
            equipment = _equipment(self._table, name)
            if equipment.fault is not None and entry.mode is LockMode.EXCLUSIVE:
                return None
            if is_blocked(equipment, entry):
                due = yield_time(self._table, equipment)
                if due is None:
                    return None
                at = max(at, due)
        return at


def equipment_tied_by_groups(table: Table, equipment: Equipment) -> tuple[EquipmentId, ...]:
    """Return `e` and all that groups which wait for it tie it to."""
    if not equipment.queue:
        return (equipment.id,)
    found = {equipment.id: None}
    look = [equipment]
    while look:
        for entry in look.pop().queue:
            for name in entry.group:
                if name not in found:
                    found[name] = None
                    look.append(_equipment(table, name))
    return tuple(found)


def equipment_due(table: Table, equipment: Equipment) -> float | None:
    """When something of this equipment is due, its sessions' own clocks apart."""
    observers = (clocks.observer_due(o.used_at, o.timeout_s, table.session(o.session)) for o in equipment.observers)
    asks = (x.ask.due for x in equipment.queue if x.ask is not None and x.ask.answer is None)
    own = clocks.earliest(*observers, *asks)
    if equipment.drain is not None:
        return clocks.earliest(own, equipment.drain.deadline)
    soonest = next_grant(table, equipment)
    if soonest is not None:
        own = clocks.earliest(own, soonest.at)
    if equipment.lock is None:
        return own
    holder = table.session(equipment.lock.session)
    idle = None
    if clocks.idle_releases(equipment, holder):
        idle = clocks.idle_due(equipment, equipment.lock, holder)
    return clocks.earliest(own, equipment.lock.claim_by, idle)


def expected_wait_s(equipment: Equipment, entry: QueueEntry, now: float) -> float | None:
    """Estimate how long `entry` will wait, from past holds and what the holder promised; None: nothing tells."""
    if not equipment.holds_s or entry.mode is not LockMode.EXCLUSIVE:
        return None
    left: float | None = 0.0
    if equipment.lock is not None and equipment.drain is None:
        since = now - equipment.lock.since
        promised = clocks.earliest(*(x.ask.promised_at for x in equipment.queue if x.ask is not None))
        longer = [held - since for held in equipment.holds_s if held > since]
        if promised is not None:
            left = max(0.0, promised - now)
        elif longer:
            left = _median(longer)
        else:
            left = None
    ahead = sum(1 for x in equipment.queue[: equipment.queue.index(entry)] if x.mode is LockMode.EXCLUSIVE)
    if left is None:
        return None
    return left + ahead * _median(equipment.holds_s)


def _median(lengths: Iterable[float]) -> float:
    """Return the one in the middle: half of them are shorter."""
    found = sorted(lengths)
    return found[len(found) // 2]


# -- deadlock


def deadlock_cycle(table: Table, start: SessionId) -> tuple[WaitEdge, ...]:
    """Return how `start` waits for itself, one edge after the other; empty if it does not."""
    came: dict[SessionId, WaitEdge] = {}
    look = [start]
    for waiter in look:  # breadth first: it grows while it is walked, and the shortest cycle is found
        for wait in _wait_edges(table, table.session(waiter)):
            if wait.blocker in came:
                continue
            came[wait.blocker] = wait
            if wait.blocker == start:
                return _path_back(came, start)
            look.append(wait.blocker)
    return ()


def _would_close_a_cycle(table: Table, equipment: Equipment, entry: QueueEntry) -> bool:
    """Whether its session would wait for itself once `entry` had what it waits for."""
    trial = Table(table)
    lock = Lock(
        lock_id="", session=entry.session, user=entry.user, user_verified=entry.user_verified,
        client_name=entry.client_name, fence=0, timeout_s=0.0, since=0.0, used_at=0.0,
    )  # fmt: skip
    for name in entry.group or (equipment.id,):
        was = _equipment(table, name)
        queue = tuple(x for x in was.queue if x.queue_id != entry.queue_id)
        trial.put(replace(was, lock=lock, drain=None, queue=queue))
    return entry.mode is LockMode.EXCLUSIVE and bool(deadlock_cycle(trial, entry.session))


def _path_back(came: dict[SessionId, WaitEdge], start: SessionId) -> tuple[WaitEdge, ...]:
    way = [came[start]]
    while way[-1].waiter != start:
        way.append(came[way[-1].waiter])
    return tuple(reversed(way))


def _wait_edges(table: Table, session: Session | None) -> Iterator[WaitEdge]:
    """Iterate over whom a session waits for: holders, and those ahead of it."""
    if session is None:
        return
    for key in session.equipment:
        equipment = _equipment(table, key)
        entry = equipment.entry(session.id)
        if entry is None:
            continue
        if equipment.lock is not None and equipment.drain is None and is_blocked(equipment, entry):
            yield WaitEdge(session.id, key, equipment.lock.session)
        for ahead in equipment.queue[: equipment.queue.index(entry)]:
            yield WaitEdge(session.id, key, ahead.session)


def _equipment(table: Table, key: EquipmentId) -> Equipment:
    found = table.equipment(key)
    assert found is not None
    return found

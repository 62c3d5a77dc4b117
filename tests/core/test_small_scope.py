"""Every state that two pieces of equipment and three sessions can reach in a few requests, and what holds in each.

Breadth first on the real core. Two states are one if they differ only in when they are: times count from now.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable, Iterator

import msgspec
import pytest
from msgspec.structs import replace

from authority.core import clocks, messages, waiting
from authority.core.evolve import evolve
from authority.core.model import Equipment, Lock, Policy, QueueEntry, Session, SessionId, Table
from authority.core.refusals import Refusal
from authority.core.rules import decide

from . import given as g

DEPTH = 5 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 4
NAMES = (g.ANN, g.BOB, g.EVE)
PLACES = (g.X, g.Y)
TIMES = {
    "since", "used_at", "at", "claim_by", "deadline", "blocking_since", "created_at", "last_seen", "idle_since",
    "disconnected_at", "started_at", "due", "promised_at", "until", "fault_at",
}  # fmt: skip
# What ages without an effect of its own: the past as people are told it.
TOLD = {"losses", "created_at", "since", "at", "started_at", "holds_s", "fault_at"}


@pytest.fixture(autouse=True)
def without_garbage_collection() -> Iterator[None]:
    """Hundreds of thousands of states are kept, and to look through them for circles is a third of the time."""
    gc.disable()
    yield
    gc.enable()


def start(names: tuple[SessionId, ...] = NAMES) -> Table:
    table = Table()
    for key in PLACES:
        table.put(Equipment(id=key, policy=Policy(max_hold_seconds=100)))
    for name in names:
        table.put(g.session(name, keeper=name != g.EVE))
    return table


def requests(table: Table) -> Iterator[messages.Request]:
    """What could be asked next. Equipment Y is only held and waited for: as a part of a group, or to be confused."""
    x = table.equipment(g.X)
    assert x is not None
    running = None if x.running is None else x.running.key
    for who in NAMES:
        if table.session(who) is None:
            continue
        if not x.accepted:
            yield g.control(who, "b" if running == "a" else "a")
        yield from (g.acquire(who), g.acquire(who, wait=True), g.acquire(who, g.Y, wait=True), g.watch(who, wait=True))
        yield g.group(who, g.X, g.Y, wait=True)
        yield from (g.release(who), g.release(who, g.Y), g.gone(who), g.beat(who), g.claim(who))
    yield from (g.moved(False), g.moved(True), g.force(g.ANN), g.stopped_by_the_authority(), g.stop(None))
    yield g.clear_fault()
    yield g.acquire(g.BOB, wait=True, priority=5)
    yield from requests_between_holder_and_waiters(x)
    if running is not None:
        yield from (g.finish(running, moving=False), g.finish(running, moving=True))


def requests_between_holder_and_waiters(x: Equipment) -> Iterator[messages.Request]:
    """Hand-overs, asks, answers, promises and swaps, where there is somebody to make them."""
    holder = None if x.lock is None or x.drain is not None else x.lock.session
    for entry in x.queue:
        if entry.ask is None:
            yield messages.AskHolder(session=entry.session, equipment=x.id, seconds=100)
        elif holder is not None:
            for said in ("yield", "later", "no"):
                yield messages.AnswerAsk(
                    session=holder, equipment=x.id, queue_id=entry.queue_id, answer=said, seconds=50
                )
        if holder is not None:
            yield messages.HandOver(session=holder, equipment=x.id, to=entry.queue_id)
        for other in x.queue:
            yield messages.OfferSwap(session=entry.session, equipment=x.id, partner=other.queue_id)
    if holder is not None:
        yield g.keep(holder, seconds=0 if x.lock is not None and x.lock.kept is not None else 100)


def after(table: Table, request: messages.Request, now: float) -> Table | None:
    """The table after the request, or None where it is refused or changes nothing."""
    try:
        events = decide(table, request, now)
    except Refusal:
        return None
    if not events:
        return None
    fresh = copy(table)
    for event in events:
        if isinstance(event, messages.LockAcquired):
            before = fresh.equipment(event.equipment)
            assert before is not None
            assert before.lock is None
            assert before.fault is None
            assert event.lock.fence == before.fence + 1
        evolve(fresh, event)
    got = {(x.equipment, x.session) for x in events if isinstance(x, messages.LockAcquired | messages.ObserverAcquired)}
    for event in events:
        if isinstance(event, messages.QueueLeft) and event.result == "granted" and event.session is not None:
            e = table.equipment(event.equipment)
            assert e is not None
            assert (e.id, event.session) in got or e.holds(event.session), "a group was granted in part"
    return fresh


def copy(table: Table) -> Table:
    fresh = Table()
    fresh.equipment_changed.update(table.equipment_changed)
    fresh.sessions_changed.update(table.sessions_changed)
    return fresh


def dues(table: Table) -> list[float]:
    found = [waiting.equipment_due(table, e) for e in table.all_equipment()]
    found += [clocks.session_due(table, s) for s in table.all_sessions()]
    return [t for t in found if t is not None]


def tick(table: Table, now: float) -> Table:
    """The table after all that is due by `now`; it must come to an end."""
    for _ in range(10):
        if all(t > now for t in dues(table)):
            return table
        for request in [
            *(messages.TimerTick(session=s.id) for s in table.all_sessions()),
            *(messages.TimerTick(equipment=k) for k in PLACES),
        ]:
            table = after(table, request, now) or table
    raise AssertionError("due again and again")


Known = dict[tuple[int, float], tuple[Equipment | Session, bytes]]


def key_of(table: Table, now: float, known: Known) -> tuple[bytes, ...]:
    """What tells states apart; `known` spares an entry that is shared by many tables from being written again."""
    written = []
    for entry in [*table.all_equipment(), *sorted(table.all_sessions(), key=lambda s: s.id)]:
        found = known.get((id(entry), now))
        if found is None:
            shown = msgspec.msgpack.encode(_relative(msgspec.to_builtins(entry), now))
            found = known[(id(entry), now)] = (entry, shown)  # the entry is kept, so that its id is not used again
        written.append(found[1])
    return tuple(written)


def _relative(value: object, now: float) -> object:
    if isinstance(value, list):
        return [_relative(x, now) for x in value]
    if not isinstance(value, dict):
        return value
    shown = {}
    for name, x in value.items():
        if name in TOLD:
            continue
        if name in TIMES and isinstance(x, float | int):
            shown[name] = max(x - now, -1000.0)
        elif name == "fence":
            shown[name] = 0
        else:
            shown[name] = _relative(x, now)
    return shown


def check(table: Table, now: float) -> None:
    for e in table.all_equipment():
        in_line = [x.session for x in e.queue]
        assert len(in_line) == len(set(in_line)), "queued twice"
        held = [e.lock.session] if e.lock is not None and e.drain is None else []
        for name in (*in_line, *held, *(o.session for o in e.observers)):
            assert table.session(name) is not None, "an ended session is somewhere"
        assert not {x.session for x in e.queue if not x.group} & set(held), "the holder waits"
        ready = next(waiting.awake_entries(table, e), None)
        assert ready is None or ready.group or waiting.yield_reason(table, e, now) is None, (
            "a ready waiter is left with an available lock"
        )
        check_queue(table, e)
        assert not (e.lock is not None and e.fault is not None), "held at fault"
        assert e.drain is None or not e.at_rest, "it drains although it is at rest"
        assert not e.observers or e.lock is None or e.drain is not None, "somebody observes apart"
        assert e.drain is None or (e.stopped_by is None and not e.accepted)
    for s in table.all_sessions():
        _check_links(table, s)
        assert not waiting.deadlock_cycle(table, s.id), "somebody waits for themselves"
    assert all(t > now for t in dues(table)), "due in the past"


def check_queue(table: Table, e: Equipment) -> None:
    heir = None if e.drain is None else e.place(e.drain.heir)
    assert heir is None or e.queue[0] is heir, "the heir is not at the head"
    priorities = [x.priority for x in e.queue if x is not heir]
    assert priorities == sorted(priorities, reverse=True), "a lower priority is ahead"
    for entry in e.queue:
        members = [x for x in table.all_equipment() if x.id in (entry.group or (e.id,))]
        same = [x.place(entry.queue_id) for x in members]
        assert {None if x is None else replace(x, ask=None) for x in same} == {replace(entry, ask=None)}, "in part"
        assert entry.swap_with is None or e.place(entry.swap_with) is not None, "an offer to nobody"
        assert entry.ask is None or e.state == "held", "an ask to nobody"
        all_free = all(x.lock is None and x.fault is None for x in members)
        assert not all_free or _has_reason_to_wait(table, entry, members), "free, and left to nobody"


def _has_reason_to_wait(table: Table, entry: QueueEntry, members: list[Equipment]) -> bool:
    """Whether `entry` is left although all it waits for is free: it sleeps, or it would wait for itself."""
    session = table.session(entry.session)
    if session is None or session.suspect:
        return True
    granted = Table(table)
    for x in members:
        lock = Lock(
            lock_id="", session=entry.session, user=entry.user, user_verified=False, client_name=None, fence=0,
            timeout_s=0.0, since=0.0, used_at=0.0,
        )  # fmt: skip
        rest = tuple(other for other in x.queue if other.queue_id != entry.queue_id)
        granted.put(replace(x, lock=lock, queue=rest))
    return bool(waiting.deadlock_cycle(granted, entry.session))


def _check_links(table: Table, s: Session) -> None:
    has = {
        e.id
        for e in table.all_equipment()
        if e.entry(s.id)
        or e.observer(s.id)
        or (e.lock and e.lock.session == s.id)
        or (e.running and e.running.session == s.id)
    }
    assert set(s.equipment) == has, "a session does not know where it is"


def queueing_requests(table: Table) -> Iterator[messages.Request]:
    """What makes queues of two pieces depend on each other, and one of the two free again."""
    for who in (*NAMES, g.CEM):
        session = table.session(who)
        assert session is not None
        yield from (g.acquire(who, wait=True), g.acquire(who, g.Y, wait=True), g.group(who, g.X, g.Y, wait=True))
        for key in session.equipment:
            yield from (g.release(who, key), g.leave(who, key))


def explore(
    first: Table, depth: int, requests_of: Callable[[Table], Iterator[messages.Request]], *, with_time: bool
) -> tuple[int, int]:
    """Return how many states were seen and how many steps were taken."""
    known: Known = {}
    seen, frontier, steps = {key_of(first, 0.0, known)}, [(first, 0.0)], 0
    for _ in range(depth):
        following = []
        for table, now in frontier:
            instant = min(dues(table), default=math.inf)
            moves = [(after(table, request, now), now) for request in requests_of(table)]
            moves.append((tick(table, instant), instant) if with_time and instant < math.inf else (None, now))
            for fresh, at in moves:
                if fresh is None:
                    continue
                steps += 1
                key = key_of(fresh, at, known)
                if key not in seen:
                    seen.add(key)
                    check(fresh, at)
                    following.append((fresh, at))
        frontier = following
    return len(seen), steps


def test_in_every_state_that_is_reached_in_a_few_requests_the_invariants_hold(capsys):
    """LOCK-1, LOCK-8, QUEUE-3, QUEUE-7, QUEUE-10, QUEUE-15, QUEUE-19, GROUP-1, GROUP-4, GROUP-6, LIVE-11, LIVE-17,
    LOSS-9, LOSS-13"""
    states, steps = explore(start(), DEPTH, requests, with_time=True)
    with capsys.disabled():
        print(f"\n{states} states, {steps} steps, depth {DEPTH}", end=" ")
    assert states > 15000, "the requests reach less than they did"


def test_in_every_queue_that_four_make_of_two_pieces_what_is_free_has_no_waiter_that_could_have_it(capsys):
    """QUEUE-7, GROUP-6, GROUP-9, GROUP-11"""
    first = start((*NAMES, g.CEM))
    for request in (g.acquire(g.ANN), g.acquire(g.ANN, g.Y)):
        first = after(first, request, 0.0) or first
    states, steps = explore(first, DEPTH + 1, queueing_requests, with_time=False)
    with capsys.disabled():
        print(f"\n{states} states, {steps} steps, depth {DEPTH + 1}", end=" ")
    assert states > 1000, "the requests reach less than they did"

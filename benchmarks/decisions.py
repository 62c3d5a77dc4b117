"""What one decision costs as the table grows, and how many commits transitions share; no network."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from authority.clock import SystemClock
from authority.core import messages
from authority.core.evolve import evolve
from authority.core.model import Equipment, EquipmentId, Policy, Session, SessionId, Table
from authority.core.rules import decide
from authority.service import Service
from authority.store.sqlite import SqliteStore
from authority.worker import Worker

from .null import NullMotor

FREE = 5
ROUNDS, DECISIONS = 20, 100


def run(data: Path) -> None:
    """Print both."""
    tables = {entries: _in_use(entries) for entries in (10, 1_000, 100_000)}
    best = dict.fromkeys(tables, float("inf"))
    for _ in range(ROUNDS):  # interleaved: what else the machine does falls on all of them
        for entries, table in tables.items():
            best[entries] = min(best[entries], _decision_us(table))
    for entries in (1_000, 100_000):
        what = f"one login + logout decided, {entries:,} in use beside 10"
        print(f"{what:<58} {best[entries]:>9.1f} {best[10]:>9.1f} us     {best[entries] / best[10]:>6.2f}  <= 1.5")
    commits, transitions = asyncio.run(_commits(data))
    what = "commits per transition, 64 at once"
    print(f"{what:<58} {commits / transitions:>9.4f} {'':>9} {'':<6} {'':>6}  <= 0.1")


def _in_use(entries: int) -> Table:
    """Return a table in which all but one hold a piece of equipment, and every second of them waits for the next."""
    table = Table()
    for i in range(entries):
        table.put(Equipment(id=EquipmentId(f"m{i}")))
        table.put(Session(id=SessionId(f"s{i}"), user="x", created_at=0.0, last_seen=0.0))
    for i in range(entries):
        if i != FREE:
            _let(
                table,
                messages.Acquire(equipment=EquipmentId(f"m{i}"), session=SessionId(f"s{i}"), lock_id="", queue_id=""),
            )
    for i in range(0, entries - 1, 2):
        if i + 1 != FREE:
            next_one, queue_id = EquipmentId(f"m{i + 1}"), f"q{i}"
            wants = messages.Acquire(
                equipment=next_one, session=SessionId(f"s{i}"), lock_id="", queue_id=queue_id, wait=True
            )
            _let(table, wants)
    return table


def _decision_us(table: Table) -> float:
    x, s = EquipmentId(f"m{FREE}"), SessionId(f"s{FREE}")
    began = time.perf_counter()
    for i in range(DECISIONS):
        at = i * 0.001
        _let(table, messages.Acquire(equipment=x, session=s, lock_id="l", queue_id="q"), at)
        _let(table, messages.Release(equipment=x, session=s), at)
    return 1e6 * (time.perf_counter() - began) / DECISIONS


def _let(table: Table, request: messages.Request, at: float = 0.0) -> None:
    for event in decide(table, request, at):
        evolve(table, event)


async def _commits(data: Path) -> tuple[int, int]:
    store = SqliteStore(data / "commits.sqlite3")
    clock = SystemClock()
    keys = [EquipmentId(f"m{i}") for i in range(64)]
    workers = {key: Worker(key, NullMotor(), clock) for key in keys}
    service = Service(store, clock, workers, dict.fromkeys(keys, Policy()))
    service.start()
    await service.wait_until_committed()
    for key in keys:
        now = clock.now()
        service.apply(messages.OpenSession(session=Session(id=SessionId(key), user="x", created_at=now, last_seen=now)))
    await service.wait_until_committed()
    before, seq = service.committer.commits, service.seq
    await asyncio.gather(*(_in_and_out(service, key) for key in keys))
    result = service.committer.commits - before, service.seq - seq
    await service.close()
    store.close()
    return result


async def _in_and_out(service: Service, key: EquipmentId) -> None:
    for i in range(20):
        service.apply(messages.Acquire(equipment=key, session=SessionId(key), lock_id=f"l{i}", queue_id="q"))
        await service.wait_until_committed()
        service.apply(messages.Release(equipment=key, session=SessionId(key)))
        await service.wait_until_committed()

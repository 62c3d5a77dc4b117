"""Hundreds of seeded runs in which the store dies before or after a write: what anybody was told is there again."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from ear import Ear
from fakes import PATIENCE_S, Lab, Slide, X, Y, lab, reply, until

from authority.committer import StoreFailed
from authority.core import messages
from authority.core.model import Equipment, EquipmentId, LockMode, LossCause, SessionId
from authority.core.refusals import Refusal
from authority.drivers.declare import control
from authority.journal import JournalCall

SEEDS, PORTION = 500, 50
PEOPLE = [SessionId(name) for name in ("ann", "bob", "cem", "dora")]
Durable = tuple[object, ...]


class Sprint(Slide):
    """A slide that arrives at once."""

    @control
    async def move_to(self, position: float) -> float:
        """Move, and answer the position on arrival."""
        self.calls.append(f"move_to {position:g}")
        await asyncio.sleep(0)
        self.position = position
        return position


@dataclass
class Run:
    """One run up to the death of its store, and all that anybody was told in it."""

    dice: random.Random
    told_seq: int = 0
    told_fence: dict[EquipmentId, int] = field(default_factory=lambda: {X: 0, Y: 0})
    replies: dict[str, bytes] = field(default_factory=dict)
    pushed: bytes = b""
    after_step: dict[int, dict[EquipmentId, Durable]] = field(default_factory=dict)
    moves: set[str] = field(default_factory=set)
    positions: int = 0


def durable(e: Equipment) -> Durable:
    """What of an equipment must survive; its clocks need not."""
    lock = None if e.lock is None else (e.lock.lock_id, e.lock.session, e.lock.fence)
    running = None if e.running is None else e.running.key
    losses = tuple((x.session, x.fence, x.why) for x in e.losses)
    return (e.fence, lock, [x.queue_id for x in e.queue], [o.session for o in e.observers], running, losses, e.fault)


def note(run: Run, here: Lab) -> None:
    run.after_step[here.service.seq] = {key: durable(here.at(key)) for key in (X, Y)}


def note_every_step(run: Run, here: Lab) -> None:
    """Note the state also after what workers and timers bring about."""
    apply = here.service.apply

    def noted(request: messages.Request) -> tuple[messages.Event, ...]:
        try:
            return apply(request)
        finally:
            note(run, here)

    here.service.apply = noted  # type: ignore[method-assign]
    note(run, here)


def draw(run: Run, here: Lab) -> messages.Request:
    who, key, n = run.dice.choice(PEOPLE), run.dice.choice((X, Y)), run.dice.random()
    mode = LockMode.OBSERVER if run.dice.random() < 0.2 else LockMode.EXCLUSIVE
    name = f"{here.service.seq}-{run.dice.random()}"
    if n < 0.5:
        return messages.Acquire(
            session=who, equipment=key, lock_id=f"l{name}", queue_id=f"q{name}", mode=mode, wait=run.dice.random() < 0.5
        )
    if n < 0.75:
        return messages.Release(session=who, equipment=key)
    if n < 0.85:
        return messages.Claim(session=who, equipment=key)
    if n < 0.9:
        return messages.ForceRelease(session=who, equipment=key, by="Root", reason="r")
    if n < 0.95:
        return messages.EndSession(session=who, why=LossCause.GONE)
    return messages.NoteActivity(session=who, equipment=key)


async def ask(run: Run, here: Lab) -> None:
    """Make one request and keep what its answer tells."""
    request = draw(run, here)
    with suppress(Refusal):
        here.service.apply(request)
    seq, fences = here.service.seq, {key: here.at(key).fence for key in (X, Y)}
    await here.service.wait_until_committed()
    run.told_seq = max(run.told_seq, seq)
    for key, fence in fences.items():
        run.told_fence[key] = max(run.told_fence[key], fence)


async def command(run: Run, here: Lab) -> None:
    """Let a holder move, and keep the reply."""
    holders = [(e.lock.session, e.id) for e in here.service.table.all_equipment() if e.lock and not e.drain]
    if not holders:
        return
    who, key = run.dice.choice(holders)
    run.positions += 1
    call: JournalCall | None = None
    with suppress(Refusal):
        call = here.order(who, float(run.positions), key, idempotency=f"{who}\n{run.positions}")
    await here.service.wait_until_committed()
    if call is not None:
        await call.over.wait()
        await here.service.wait_until_committed()
        assert call.reply is not None
        run.replies[call.key] = call.reply


async def live(run: Run, path: Path, drivers: dict[EquipmentId, Slide]) -> None:
    """Act until the store dies."""
    async with lab(path, drivers) as here:
        ear = Ear(here.service.hub)
        here.disk.dies_at = here.disk.writes + run.dice.randrange(1, 16)
        here.disk.dies_after_writing = run.dice.random() < 0.5
        note_every_step(run, here)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while here.service.failure is None:
                    for name in PEOPLE:
                        if here.service.table.session(name) is None:
                            here.person(name, timeout_s=0.0, keeper=run.dice.random() < 0.5)
                    together = [run.dice.choice((ask, ask, command)) for _ in range(run.dice.randrange(1, 6))]
                    await asyncio.gather(*(act(run, here) for act in together), return_exceptions=False)
        except StoreFailed:
            pass
        assert here.failures, "the run ended for another reason than its store"
        assert ear.listener.closed
        run.pushed += ear.heard
        run.moves = {c for d in drivers.values() for c in d.driven() if c != "stop"}


async def compare(run: Run, path: Path) -> str:
    """Start again on the same data; all that was told must be there."""
    drivers = {X: Sprint(), Y: Sprint()}
    async with lab(path, drivers, started=False) as again:
        kept = again.disk.load()
        assert kept.seq >= run.told_seq, "a step that was told is gone"
        rows = again.service.events(after=0, limit=10_000)
        assert [r.seq for r in rows] == list(range(1, kept.seq + 1))
        stored = {r.body for r in rows}
        for line in run.pushed.split(b"\n"):
            if line.startswith(b'data: {"seq"'):
                told = msgspec.json.decode(line[6:], type=dict[str, msgspec.Raw])
                assert bytes(told["event"]) in stored, "an event that was pushed is gone"
        begun = {json.loads(r.body)["parameters"]["position"] for r in rows if b'"command_started"' in r.body}
        assert {float(move.split()[1]) for move in run.moves} <= begun, "the driver was called before the commit"
        found = {key: durable(again.at(key)) for key in (X, Y)}
        if kept.seq in run.after_step:
            assert found == run.after_step[kept.seq], "a step came back in part"
        for key in (X, Y):
            assert again.at(key).fence >= run.told_fence[key]
        running = {key: again.at(key).running for key in (X, Y)}
        again.service.start()
        await again.connected()
        for key, command in running.items():
            assert again.at(key).running is None
            if command is not None:
                call = again.service.find_call(command.key)
                assert call is not None
                assert (await reply(call))["outcome"] == "unknown"
                await until(lambda key=key: "stop" in drivers[key].calls)  # type: ignore[misc]
        for name, told_reply in run.replies.items():
            call = again.service.find_call(name)
            assert call is not None
            assert call.reply == told_reply, "the same key is answered otherwise"
        zoe = again.person("zoe")
        for key in (X, Y):
            for entry in again.at(key).queue:
                again.service.apply(messages.LeaveQueue(session=entry.session, equipment=key, queue_id=entry.queue_id))
            if again.at(key).lock is not None:
                again.service.apply(messages.ForceRelease(session=zoe, equipment=key, by="Zoe"))
            await until(lambda key=key: again.at(key).lock is None)  # type: ignore[misc]
            again.login(zoe, key)
            assert again.at(key).fence > run.told_fence[key], "a fence was given twice"
    return "whole" if kept.seq in run.after_step else "between"


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(PORTION, SEEDS, PORTION))]
)
def test_whatever_was_told_before_the_store_died_is_there_after_a_restart(first: int, tmp_path: Path) -> None:
    """STORE-1, STORE-3, STORE-4, STORE-7, LOCK-8, LOCK-9, CMD-9"""
    grants = moves = whole = 0
    for seed in range(first, first + PORTION):
        run, path = Run(random.Random(seed)), tmp_path / f"{seed}.sqlite3"
        drivers: dict[EquipmentId, Slide] = {X: Sprint(), Y: Sprint()}
        try:
            asyncio.run(live(run, path, drivers))
            whole += asyncio.run(compare(run, path)) == "whole"
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        grants += sum(run.told_fence.values())
        moves += len(run.moves)
    print(f"seeds {first} to {first + PORTION - 1}: {grants} grants told, {moves} moves, {whole} states compared")
    assert whole > PORTION * 0.8

"""One motor through several lives of its authority, each of which ends badly: everything is drawn from the seed.

A real service, a real store and the real simulated motor, in virtual time. Whoever is killed does nothing more: its
line to the motor is cut, its store writes nothing, and what it still says is heard by nobody.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from fakes import Disk, Lab, X
from metal import PARKED, Line, Metal
from record import Fact, check
from virtual import VirtualTime

from authority.committer import StoreFailed
from authority.core import messages
from authority.core.model import EquipmentId, LossCause, Outcome, Policy, RestMethod, SessionId
from authority.core.refusals import Refusal
from authority.journal import JournalCall
from authority.ports import Batch
from authority.service import Service

LIVES, DEEDS = 3, 30
NAMES = ("ann", "bob", "cem", "dora")
LOST = {"lock_released", "lock_expired", "lock_force_released"}


class KilledDisk(Disk):
    """A disk whose authority is killed before or after a write; a dead one writes nothing."""

    kill: Callable[[], None]
    kill_at: int | None = None
    kill_after = False
    dead = False

    def write(self, batch: Batch) -> None:
        if self.dead:
            raise OSError("killed")
        if self.kill_at is None or self.writes + 1 < self.kill_at:
            super().write(batch)
            return
        if self.kill_after:
            super().write(batch)
        self.kill()
        raise OSError("killed")


@dataclass
class Sent:
    """A command as it was sent, however often, and what its sender was told."""

    key: str
    session: SessionId
    fence: int
    target: float
    reply: bytes | None = None
    accepted: bool = False

    @property
    def outcome(self) -> str | None:
        return None if self.reply is None else str(msgspec.json.decode(self.reply)["outcome"])


@dataclass
class Run:
    """What one seed has brought about so far."""

    dice: random.Random
    metal: Metal
    data: Path
    policy: Policy
    sent: list[Sent] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    people: int = 0


class Life:
    """One authority, from its start to its end, and the people around it."""

    def __init__(self, run: Run) -> None:
        self.run, self.dice, self.time = run, run.dice, run.metal.time
        self.dead = False
        self.disk = KilledDisk(run.data)
        self.disk.kill = self.kill
        self.line = Line(run.metal, run.dice, self.kill, run.met)
        self.here = Lab(self.disk, self.time, {X: self.line}, {X: run.policy})
        self.service = self.here.service
        self.time.busy = lambda: self.service.committer.is_writing
        self.silent: set[SessionId] = set()
        self._waiting: set[asyncio.Task[None]] = set()

    def kill(self) -> None:
        """End it on the spot: from here on nothing it does has any effect. From any thread."""
        self.dead = self.disk.dead = self.line.cut = True

    @property
    def over(self) -> bool:
        """Whether it is killed, or must end because its store has failed."""
        return self.dead or self.service.failure is not None

    # -- its beginning

    async def begin(self) -> None:
        """Start on what the last one left, and see what has become of it."""
        before = self.here.at()
        worker = self.here.workers[X]
        start = worker.start
        worker.start = lambda _: start(_Twice(self.service, self.dice))
        self.service.start()
        after = self.here.at()
        assert after.running is None
        if before.lock is not None and before.drain is None:
            assert after.lock is not None, "a restart took the lock away"
            assert (after.lock.session, after.lock.lock_id) == (before.lock.session, before.lock.lock_id)
        if before.running is not None and not self.over:
            self.run.met["in flight"] += 1
            await self.lets(0.0)
            if not self.over:
                call = self.service.find_call(before.running.key)
                if before.running.action == "move_to":
                    assert call is not None
                    assert call.reply is not None
                    assert msgspec.json.decode(call.reply)["outcome"] == Outcome.UNKNOWN
        for sent in self.run.sent:
            if not self.over and sent.reply is not None:
                known = self.service.find_call(sent.key)
                assert known is not None, "a command whose outcome was told is forgotten"
                assert known.reply == sent.reply, f"{sent.reply!r} is answered otherwise: {known.reply!r}"
        for sent in self.dice.sample(self.run.sent, min(3, len(self.run.sent))):
            self.send(sent)
        lock = self.here.at().lock
        if before.running is not None and lock is not None:
            await self.lets(self.dice.uniform(0.0, 0.4))
            if not self.over:
                self.orders(lock.session)  # somebody who does not wait for the stop

    # -- its end

    async def end(self) -> None:
        """Let go of everything; what was told until now is told."""
        killed = self.dead
        if killed:
            self.run.metal.note_end()
        with suppress(StoreFailed):
            await self.service.close()
        self.disk.close()
        if not killed:
            self.run.metal.note_end()
        self.kill()
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    # -- what people do

    async def lets(self, seconds: float) -> None:
        """Let time pass, and what was decided be written."""
        await asyncio.sleep(seconds)
        with suppress(StoreFailed):
            await self.service.wait_until_committed()

    def people(self) -> list[SessionId]:
        """All living sessions; whoever is missing comes again."""
        living = [s.id for s in self.service.table.all_sessions()]
        for name in NAMES:
            if not any(s.startswith(name) for s in living):
                self.run.people += 1
                keeper = name in ("ann", "bob")
                living.append(self.here.person(f"{name}-{self.run.people}", keeper=keeper, timeout_s=0.0))
        return living

    def deed(self) -> None:
        """Something that somebody does."""
        people = self.people()
        for who in people:
            if who not in self.silent:
                self.service.apply(messages.SignOfLife(session=who, busy=True))
        e, who = self.here.at(), self.dice.choice(people)
        holder = who if e.lock is None else e.lock.session
        deeds: dict[Callable[[], object], int] = {
            lambda: self.here.login(who, wait=self.dice.random() < 0.7): 6,
            lambda: self.orders(holder): 12,
            lambda: self.orders(who): 1,
            lambda: self.service.apply(messages.Release(session=holder, equipment=X, stop=self.dice.random() < 0.3)): 3,
            lambda: self.stop(who): 2,
            lambda: self.service.apply(messages.ForceRelease(session=who, equipment=X, by="Root", reason="r")): 1,
            lambda: self.service.apply(messages.EndSession(session=holder, why=LossCause.GONE)): 2,
            lambda: self.service.apply(messages.EndSession(session=who, why=LossCause.SESSION_ENDED)): 1,
            lambda: self.silent.symmetric_difference_update({holder}): 1,
            lambda: self.hand_over(holder): 2,
            lambda: self.service.apply(messages.Resume(session=holder, equipment=X)): 3,
            lambda: self.service.apply(messages.Claim(session=holder, equipment=X)): 2,
            self.clear_fault: 3,
            lambda: self.line.unplug(self.dice.uniform(0.1, 20.0)): 1,
            lambda: self.send(self.dice.choice(self.run.sent)) if self.run.sent else None: 2,
        }
        with suppress(Refusal):
            self.dice.choices(list(deeds), list(deeds.values()))[0]()

    def orders(self, who: SessionId) -> None:
        """Give one to three commands, each with a target of its own."""
        for _ in range(self.dice.randint(1, 3)):
            number = len(self.run.sent)
            target = round(self.dice.uniform(0.0, 99.0)) + (number + 1) / 1e6
            sent = Sent(f"{who}\n{number}", who, self.here.at().fence, target)
            self.run.sent.append(sent)
            self.send(sent)

    def send(self, sent: Sent) -> None:
        """Send a command, or send it again: as the route does it, by its key."""
        call = self.service.find_call(sent.key)
        if call is None:
            if not self.here.workers[X].readback.connected or self.service.failure is not None:
                return
            call = JournalCall(sent.key, "c", X, b"digest")
            request = messages.Control(
                session=sent.session, equipment=X, key=sent.key, command_id="c", action="move_to",
                parameters={"position": sent.target}, fence=sent.fence,
            )  # fmt: skip
            try:
                self.service.control(call, request)
            except (Refusal, StoreFailed):
                return
        sent.accepted = True
        self._spawn(self._hear(sent, call))

    async def _hear(self, sent: Sent, call: JournalCall) -> None:
        await call.over.wait()
        if not self.dead and call.reply is not None:
            assert sent.reply in (None, call.reply), f"{sent.reply!r} is answered otherwise: {call.reply!r}"
            sent.reply = call.reply

    def stop(self, who: SessionId) -> None:
        """Press STOP."""
        self._spawn(self._stop(who))

    async def _stop(self, who: SessionId) -> None:
        with suppress(StoreFailed):
            await self.service.stop(X, who, str(who), None)

    def hand_over(self, holder: SessionId) -> None:
        """Give it to somebody who waits."""
        for entry in self.here.at().queue[:1]:
            self.service.apply(messages.HandOver(session=holder, equipment=X, to=entry.queue_id))

    def clear_fault(self) -> None:
        """Give one's word that it stands, having looked."""
        if not self.run.metal.motor.readback().moving:
            self.service.apply(messages.ClearFault(equipment=X, by="Root", reason="it stands"))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)


class _Twice:
    """A driver that answers twice: the second time the command is long over."""

    def __init__(self, service: Service, dice: random.Random) -> None:
        self._service, self._dice = service, dice

    def command_finished(
        self, equipment: EquipmentId, key: str, outcome: Outcome, data: object, error: str | None, *, moving: bool
    ) -> None:
        self._service.command_finished(equipment, key, outcome, data, error, moving=moving)
        if self._dice.random() < 0.1:
            self._service.command_finished(equipment, key, Outcome.FAILED, None, "once more", moving=False)

    def readback_changed(self, equipment: EquipmentId, *, moving: bool, outside: float | None) -> None:
        self._service.readback_changed(equipment, moving=moving, outside=outside)

    def stop_obeyed(self, equipment: EquipmentId, fence: int) -> None:
        self._service.stop_obeyed(equipment, fence)


async def play(run: Run) -> None:
    """Live all lives, and a last quiet one in which all comes to rest."""
    for _ in range(LIVES):
        await live(run)
    await live_in_peace(run)
    assert_true(run)


async def live(run: Run) -> None:
    """Live until the end that is drawn has come."""
    life = Life(run)
    try:
        ending = run.dice.choice(("a write", "a write", "any time", "any time", "polite", "its store"))
        if ending == "a write":
            life.disk.kill_at = life.disk.writes + run.dice.randint(1, 40)
            life.disk.kill_after = run.dice.random() < 0.5
        elif ending == "its store":
            life.disk.dies_at = life.disk.writes + run.dice.randint(1, 40)
            life.disk.dies_after_writing = run.dice.random() < 0.5
        await life.begin()
        for _ in range(run.dice.randint(1, DEEDS)):
            if life.over:
                break
            with suppress(StoreFailed):
                life.deed()
            await life.lets(run.dice.choice((0.0, run.dice.uniform(0.0, 3.0), run.dice.uniform(0.0, 30.0))))
        run.met["store failed" if not life.dead and life.over else "killed" if life.dead else ending] += 1
        if ending != "polite" and not life.over:
            life.kill()
    finally:
        await life.end()
    await asyncio.sleep(run.dice.choice((0.0, run.dice.uniform(0.0, 5.0))))


async def live_in_peace(run: Run) -> None:
    """Nothing goes wrong any more: every command gets its outcome, and the motor is somebody's again."""
    life = Life(run)
    life.line.misfortunes = False
    try:
        await life.begin()
        for sent in run.sent:
            life.send(sent)
        await life.lets(120.0)
        here = life.here
        assert here.at().running is None
        zoe = here.person("zoe", timeout_s=0.0)
        while here.at().queue:
            entry = here.at().queue[0]
            with suppress(Refusal):  # who was silent and speaks may be granted before it can leave
                here.service.apply(messages.LeaveQueue(session=entry.session, equipment=X, queue_id=entry.queue_id))
        if here.at().lock is not None and here.at().drain is None:
            here.service.apply(messages.ForceRelease(session=zoe, equipment=X, by="Zoe"))
        await life.lets(10.0)
        if here.at().fault is not None:
            life.clear_fault()
        here.login(zoe)
        life.orders(zoe)
        await life.lets(60.0)
        assert all(sent.outcome == Outcome.DONE for sent in run.sent if sent.session == zoe)
        begun = begins(run)
        assert all(sent.reply is not None for sent in run.sent if sent.target in begun), "a command without an outcome"
        assert_one_holder(run, here)
    finally:
        await life.end()


def begins(run: Run) -> dict[float, Fact]:
    """The motor's line of each command's begin, by its target."""
    return {f["parameters"]["position"]: f for f in run.metal.facts() if f["fact"] == "begin"}


def assert_one_holder(run: Run, here: Lab) -> None:
    """In the history at most one holds at a time; in the record each command is of the one who held its fence."""
    grants: dict[int, str] = {}
    holder: str | None = None
    for row in here.service.events(equipment=X, limit=100_000):
        event = msgspec.json.decode(row.body)
        if event["event"] == "lock_acquired":
            assert holder is None, "two hold at once"
            assert event["fence"] not in grants
            assert event["fence"] == 1 + max(grants, default=0)
            holder = grants[event["fence"]] = event["session_id"]
        elif event["event"] in LOST:
            assert holder == event["session_id"]
            holder = None
    begun = begins(run)
    for sent in run.sent:
        told = begun.get(sent.target)
        if told is not None:
            assert told["fence"] == sent.fence
            assert grants[sent.fence] == sent.session


def assert_true(run: Run) -> None:
    """The record is as it must be, and what people were told is what the motor did."""
    facts, begun = run.metal.facts(), begins(run)
    check(facts, ends=run.metal.ends, tried=run.metal.tried)
    run.met["parked"] += sum(f["fact"] == "begin" and f["parameters"]["position"] == PARKED for f in facts)
    how = {f["command"]: f["how"] for f in facts if f["fact"] == "end"}
    for sent in run.sent:
        told = begun.get(sent.target)
        if not sent.accepted:
            assert told is None, "a command that was refused reached the motor"
        if sent.reply is None:
            continue
        outcome, success = sent.outcome, msgspec.json.decode(sent.reply)["success"]
        assert success == (outcome == Outcome.DONE)
        run.met[f"outcome {outcome}"] += 1
        if outcome == Outcome.DONE:
            assert told is not None
            assert how[told["command"]] == "arrived", "done, but it did not arrive"
        if outcome == Outcome.NOT_RUN:
            assert told is None, "not_run, but it ran"


def drawn_policy(dice: random.Random) -> Policy:
    """What a lab file may say."""
    return Policy(
        observers="apart", on_loss=dice.choice(list(RestMethod)), on_silence=dice.choice(list(RestMethod)),
        claim_seconds=dice.choice((5.0, 120.0)), max_hold_seconds=dice.choice((None, 30.0)),
        finish_seconds=dice.choice((2.0, 60.0)), stop_seconds=dice.choice((1.0, 5.0)), park=dice.random() < 0.3,
    )  # fmt: skip


def run_of(seed: int, place: Path) -> Run:
    """Play one seed and return what has come of it; whatever is wrong names the seed."""
    time, dice = VirtualTime(), random.Random(seed)
    run = Run(dice, Metal(place / f"{seed}.record", time), place / f"{seed}.sqlite3", drawn_policy(dice))
    try:
        time.run(play(run))
    except BaseException as wrong:
        wrong.add_note(f"seed {seed}")
        raise
    return run

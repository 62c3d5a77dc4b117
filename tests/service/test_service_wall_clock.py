"""The clock on the wall jumps as it likes in a running service: nothing but what people are shown changes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from fakes import Disk, Lab, Slide, VirtualClock, X, Y, lab, reply, until
from timeline import Happening, Sprint, Timeline

import authority.clock
import authority.retention
from authority.clock import SystemClock
from authority.core import messages
from authority.core.model import EquipmentId, LockMode, Policy, Role, Session, SessionId
from authority.core.refusals import EquipmentInUse, LockLost, SessionEnded
from authority.ports import Clock

HOUR_S, DAY_S, YEAR_S = 3600.0, 86_400.0, 365 * 86_400.0
BEGUN = datetime.fromisoformat(
    "2026-10-25T00:10:00+00:00"
).timestamp()  # the night in which Berlin puts its clocks back
Z = EquipmentId("stage_z")
POLICIES = {X: Policy(observers="alongside"), Y: Policy(max_hold_seconds=200.0), Z: Policy(max_keep_seconds=900.0)}
JUMPS = {
    "an hour on": itertools.repeat(HOUR_S),
    "an hour back": itertools.repeat(-HOUR_S),
    "a year on": itertools.repeat(YEAR_S),
    "a year back": itertools.repeat(-YEAR_S),
    "to and fro": itertools.cycle([YEAR_S, -2 * YEAR_S, HOUR_S, YEAR_S, -HOUR_S]),
    "a little": itertools.cycle([0.5, -0.3, 0.02]),
}


class Machine:
    """What `SystemClock` reads instead of the module `time`: a monotonic clock, and one on the wall that can be set."""

    def __init__(self) -> None:
        self._up, self._ahead = 1000.0, BEGUN - 1000.0

    def monotonic(self) -> float:
        return self._up

    def time(self) -> float:
        return self._up + self._ahead

    def advance(self, seconds: float) -> None:
        self._up += seconds

    def step_wall(self, seconds: float) -> None:
        self._ahead += seconds


class Story:
    """A day in the lab, in which every clock that there is runs out once. After every step somebody sets the clock."""

    def __init__(self, here: Lab, time: Timeline, after_step: Callable[[], None]) -> None:
        self.here, self.time, self._after_step = here, time, after_step
        self.countdowns: list[object] = []

    def step(self, *, past: float = 0.0) -> None:
        """Let time pass, and note what people see of every countdown before and after the clock is set."""
        self.time.by(past)
        self._look()
        self._after_step()
        self._look()

    def _look(self) -> None:
        for key in (X, Y, Z):
            seen = self.here.service.status(key)
            ending = None if seen.ending is None else (seen.ending.what, seen.ending.in_seconds)
            self.countdowns.append((key, seen.state, seen.session_id, ending))
        for s in self.here.service.table.all_sessions():
            view = self.here.service.views.session(s)
            self.countdowns.append((s.id, view.time_remaining, view.duration_seconds, view.suspect))

    def kernel(self, name: str, *, busy: bool = False) -> SessionId:
        now = self.here.service.clock.now()
        made = Session(id=SessionId(name), user=name.title(), created_at=now, last_seen=now, keeper=True)
        self.here.service.apply(messages.OpenSession(session=made))
        for role in Role:
            self.here.service.apply(messages.AttachConnection(session=made.id, role=role))
        self.beat(made.id, busy=busy)
        return made.id

    def beat(self, who: SessionId, *, busy: bool = False) -> None:
        self.here.service.apply(messages.SignOfLife(session=who, busy=busy))
        self.step()

    def lives(self, seconds: float, *people: SessionId, busy: bool = False) -> None:
        """Let time pass in which these kernels' keepers beat."""
        end = self.time.now + seconds
        while self.time.now < end:
            self.step(past=min(20.0, end - self.time.now))
            for who in people:
                self.beat(who, busy=busy)

    def login(
        self, who: SessionId, key: EquipmentId, *, wait: bool = False, mode: LockMode = LockMode.EXCLUSIVE
    ) -> None:
        self.here.login(who, key, wait=wait, mode=mode)
        self.step()

    async def move(self, who: SessionId, key: EquipmentId, position: float) -> None:
        call = self.here.order(who, position, key)
        self.step()
        assert (await reply(call))["outcome"] == "done"
        self.step()

    async def tell(self) -> None:
        """Tell all of it."""
        here = self.here
        ann, bob, cem = self.kernel("ann"), here.person("bob"), here.person("cem", timeout_s=0.0)
        # Grant, queue, and an idle offer that passes on in its instant; then a claim that is not made.
        self.login(ann, X)
        await self.move(ann, X, 1.0)
        self.lives(100.0, ann)
        self.login(bob, X, wait=True)
        with pytest.raises(EquipmentInUse):
            self.login(cem, X)
        self.lives(201.0, ann)
        assert here.at().holds(bob)
        self.lives(118.0, ann)
        assert here.at().holds(bob)
        self.lives(2.0, ann)
        assert here.at().state == "free"
        # A program's lock ends by idling, its observer's lock too, and at last its session.
        self.login(cem, X)
        self.login(bob, X, mode=LockMode.OBSERVER)
        self.lives(301.0, ann)
        assert here.at().state == "free"
        self.lives(300.0, ann)
        assert here.service.table.session(bob) is None
        # A turn, although the kernel is busy.
        self.login(ann, Y)
        self.beat(ann, busy=True)
        self.lives(500.0, ann, busy=True)
        self.login(cem, Y, wait=True)
        self.lives(199.0, ann, busy=True)
        assert here.at(Y).holds(ann)
        self.lives(2.0, ann, busy=True)
        assert here.at(Y).holds(cem)
        here.service.apply(messages.Claim(session=cem, equipment=Y))
        self.step()
        # A promise, and what follows it.
        self.login(ann, Z)
        here.service.apply(messages.Keep(session=ann, equipment=Z, seconds=600.0, note="scan"))
        self.login(cem, Z, wait=True)
        self.lives(899.0, ann)
        assert here.at(Z).holds(ann)
        self.lives(2.0, ann)
        assert here.at(Z).holds(cem)
        here.service.apply(messages.Release(session=cem, equipment=Z))
        # Silence: nobody wants it at first, then somebody waits.
        self.login(ann, X)
        self.step(past=10 * HOUR_S)
        assert here.at().holds(ann)
        self.beat(ann, busy=True)
        self.login(cem, X, wait=True)
        self.step(past=59.0)
        assert here.at().holds(ann)
        self.step(past=2.0)
        assert here.at().holds(cem)
        with pytest.raises(LockLost):
            here.order(ann, 2.0)
        here.service.apply(messages.Release(session=cem, equipment=X))
        self.step()
        # A motion that is stopped when its holder's connections are lost, and a fault because it does not stop.
        dan = self.kernel("dan")
        self.login(dan, X)
        here.order(dan, 99.0)
        self.step()
        await until(lambda: here.at().moving and here.at().running is not None)
        driver = here.workers[X].driver
        assert isinstance(driver, Slide)
        driver.deaf = True
        for role in Role:
            here.service.apply(messages.DetachConnection(session=dan, role=role))
            self.step()
        self.step(past=4.9)
        assert here.at().holds(dan)
        self.step(past=0.2)
        assert here.at().state == "draining"
        await until(lambda: "stopped" in here.events(X))
        self.step(past=4.8)
        assert here.at().state == "draining"
        self.step(past=0.2)
        assert here.at().state == "fault"
        driver.arrive()
        await until(lambda: here.at().running is None)
        # Silence for a day ends a session that has nothing.
        self.step(past=DAY_S - HOUR_S)
        assert here.service.table.session(ann) is not None
        self.step(past=2 * HOUR_S)
        with pytest.raises(SessionEnded):
            here.service.apply(messages.SignOfLife(session=ann))


Told = tuple[list[Happening], list[object], list[tuple[float, str]]]


def told(path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, jumps: Iterator[float]) -> Told:
    """Tell the story on a data directory of its own, with these jumps of the wall clock."""
    hand: Machine | VirtualClock
    clock: Clock
    if kind == "system":
        hand = Machine()
        monkeypatch.setattr(authority.clock, "time", hand)
        clock = SystemClock()
    else:
        hand = clock = VirtualClock()

    async def run() -> Told:
        ahead = 0.0
        shown: list[tuple[float, str]] = []
        async with lab(path, {X: Sprint(), Y: Sprint(), Z: Sprint()}, clock=clock, policies=POLICIES) as here:
            time = Timeline(here, clock, hand)

            def jump() -> None:
                nonlocal ahead
                step = next(jumps)
                ahead += step
                hand.step_wall(step)
                shown.append((ahead, here.service.views.time(clock.now())))

            story = Story(here, time, jump)
            await story.tell()
            assert here.failures == []
            return await time.happened(), story.countdowns, shown

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["system", "virtual"])
def test_a_story_in_which_the_clock_is_set_after_every_step_is_the_story_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """LIVE-19 REST-9 LIVE-18"""
    plain, countdowns, shown = told(tmp_path / "plain", monkeypatch, kind, itertools.repeat(0.0))
    whys = {e["why"] for _, name, e in plain if name.startswith(("lock_", "session_")) and "why" in e}
    assert whys == {"offered", "unclaimed", "idle", "turn", "silence", "logout", "connections_lost", "session_expired"}
    assert {"fault", "session_suspect", "session_resumed", "observer_lock_released"} <= {name for _, name, _ in plain}
    for name, jumps in JUMPS.items():
        moved, seen, displayed = told(tmp_path / name, monkeypatch, kind, jumps)
        assert moved == plain, name
        assert seen == countdowns, name
        # People are shown the clock as it stands on the wall in that moment.
        for (_, calm), (ahead, text) in zip(shown, displayed, strict=True):
            late = datetime.fromisoformat(text) - datetime.fromisoformat(calm)
            assert late.total_seconds() == pytest.approx(ahead, abs=0.02), name


def test_the_times_of_events_are_those_of_the_wall_when_they_happened_and_those_of_locks_move_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REST-9"""
    machine = Machine()
    monkeypatch.setattr(authority.clock, "time", machine)

    async def run() -> None:
        async with lab(tmp_path / "data", {X: Slide()}, clock=SystemClock()) as here:
            ann = here.person("ann")
            here.login(ann)
            machine.advance(60.0)
            machine.step_wall(-HOUR_S)
            here.login(ann)
            await here.service.wait_until_committed()
            rows = [msgspec.json.decode(row.body) for row in here.service.events(equipment=X, limit=9)]
            assert [e["timestamp"] for e in rows] == [
                "2026-10-25T00:10:00.000000+00:00", "2026-10-24T23:11:00.000000+00:00",
            ]  # fmt: skip
            assert here.service.status(X).acquired_at == "2026-10-24T23:10:00.000000+00:00"

    asyncio.run(run())


class Housekeeping(Disk):
    """A disk that counts how often it was asked to forget."""

    rounds = 0

    def forget(self, *, events_before: float, commands_before: float, at_most: int = 5000) -> bool:
        more = super().forget(events_before=events_before, commands_before=commands_before, at_most=at_most)
        self.rounds += 1
        return more


@pytest.mark.parametrize("jump", [YEAR_S, -YEAR_S], ids=["a year on", "a year back"])
def test_history_and_the_keys_of_commands_are_kept_for_their_time_however_the_wall_clock_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """LIVE-19 STORE-8 CMD-9"""
    monkeypatch.setattr(authority.retention, "HOUSEKEEPING_S", 0.01)
    clock = VirtualClock()

    async def housekeeping(disk: Disk) -> None:
        assert isinstance(disk, Housekeeping)
        seen = disk.rounds
        await until(lambda: disk.rounds >= seen + 2)

    async def run() -> None:
        async with lab(tmp_path / "data", {X: Sprint()}, clock=clock, disk=Housekeeping) as here:
            ann = here.person("ann", timeout_s=0.0)
            here.login(ann)
            await reply(here.order(ann, 1.0, idempotency="once"))
            kept = here.events()
            clock.step_wall(jump)
            clock.advance(23 * HOUR_S)
            await housekeeping(here.disk)
            assert here.events() == kept
            assert here.disk.command("once") is not None, "asked for again, the motor would move again"
            clock.advance(2 * HOUR_S)
            await housekeeping(here.disk)
            assert here.events() == kept
            assert here.disk.command("once") is None
            clock.advance(90 * DAY_S)
            await housekeeping(here.disk)
            assert here.events() == kept[-1:], "but for the newest, which keeps the numbers"

    asyncio.run(run())


def test_after_a_restart_nothing_is_in_the_future_although_the_wall_clock_was_set_back_while_it_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIVE-19 LIVE-20 REST-9"""
    machine = Machine()
    monkeypatch.setattr(authority.clock, "time", machine)

    async def run() -> None:
        async with lab(tmp_path / "data", {X: Slide()}, clock=SystemClock()) as here:
            machine.advance(HOUR_S)
            machine.step_wall(-YEAR_S)
            machine.advance(HOUR_S)
            ann = here.person("ann", timeout_s=0.0)
            here.login(ann)
            await here.service.wait_until_committed()
        machine.advance(60.0)
        disk = Disk(tmp_path / "data")
        begun = SystemClock(not_before=disk.load().wall)
        disk.close()
        async with lab(tmp_path / "data", {X: Slide()}, clock=begun) as again:
            (session,) = again.service.table.all_sessions()
            view = again.service.views.session(session)
            assert view.duration_seconds >= 0.0
            assert datetime.fromisoformat(view.created_at).timestamp() <= machine.time()
            lock = again.at().lock
            assert lock is not None
            assert lock.since <= begun.now()

    asyncio.run(run())

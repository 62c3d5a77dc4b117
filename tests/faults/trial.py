"""One kernel with its keeper and two streams, and around it a crowd that reads, asks in vain, comes and goes.

A real service under a clock that a test moves; everything else is drawn from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from fakes import Lab, VirtualClock, X, Y, reply
from timeline import Timeline

from authority.core import messages
from authority.core.model import LockMode, Role, Session, SessionId
from authority.core.refusals import EquipmentInUse, LockLost, LockRequired, NoLock, NotHolder, SessionEnded
from authority.journal import JournalCall

ANN, BOB, CEM = SessionId("ann"), SessionId("bob"), SessionId("cem")
LEASE_S, HOUR_S = 60.0, 3600.0
LOSSES = {"lock_expired", "lock_released", "lock_force_released", "lock_draining", "session_ended", "session_expired"}

Deed = Callable[[], object]


@dataclass(frozen=True)
class Passed:
    """Whom the lock passes to, why and when."""

    why: str
    at: float
    who: SessionId = BOB


class Trial:
    """One kernel and its misfortune, and the crowd around it; everything is drawn from the seed."""

    def __init__(self, here: Lab, clock: VirtualClock, dice: random.Random) -> None:
        self.here, self.clock, self.dice = here, clock, dice
        self.time = Timeline(here, clock, clock)
        self.wanted = True  # whether somebody may ask for what Ann holds
        self._plan: list[tuple[float, int, Deed]] = []
        self._count = 0
        self._begin(ANN, keeper=True)
        self.lost: dict[Role, bool] = dict.fromkeys(Role, True)
        for role in dice.sample(list(Role), 2):
            self.opens(role)
            self.time.by(dice.uniform(0.0, 2.0))
        self._begin(BOB, keeper=False, timeout_s=0.0)
        self._begin(CEM, keeper=False, timeout_s=0.0)
        self.beats(busy=dice.random() < 0.5)
        here.login(ANN)
        self.fence = here.at().fence

    def _begin(self, who: SessionId, *, keeper: bool, timeout_s: float = 600.0) -> None:
        now = self.clock.now()
        made = Session(
            id=who, user=who.title(), created_at=now, last_seen=now, keeper=keeper, lease_s=LEASE_S, timeout_s=timeout_s
        )
        self.here.service.apply(messages.OpenSession(session=made))

    # what Ann's kernel and keeper do

    def opens(self, role: Role) -> None:
        """One of her streams is opened."""
        self.here.service.apply(messages.AttachConnection(session=ANN, role=role))
        self.lost[role] = False

    def breaks(self, role: Role) -> None:
        """One of her streams breaks."""
        self.here.service.apply(messages.DetachConnection(session=ANN, role=role))
        self.lost[role] = True

    def beats(self, *, busy: bool) -> None:
        """Her keeper speaks."""
        self.here.service.apply(messages.SignOfLife(session=ANN, busy=busy))

    def waits(self, who: SessionId = BOB) -> None:
        """Somebody queues for what she holds."""
        self.here.login(who, wait=True)
        assert self.here.at().entry(who) is not None

    async def moves(self) -> None:
        """She commands, and the command is done, under her fence."""
        assert await self._order(self.fence) == "done"
        self.time.note()

    async def _order(self, fence: int) -> object:
        self._count += 1
        call = JournalCall(f"call-{self._count}", "c", X, None)
        request = messages.Control(
            session=ANN, equipment=X, key=call.key, command_id="c", action="move_to",
            parameters={"position": float(self._count % 90)}, fence=fence,
        )  # fmt: skip
        self.here.service.control(call, request)
        return (await reply(call))["outcome"]

    # what goes on around her

    def crowd(self) -> None:
        """One deed of somebody else, that changes nothing for Ann."""
        deeds: list[Deed] = [self._reads, self._reads, self._meddles, self._drives_another, self._sets_the_clock]
        if self.wanted:
            deeds += [self._asks_in_vain, self._asks_in_vain]
        deeds += [self._watches]
        self.dice.choice(deeds)()

    def _reads(self) -> None:
        here = self.here.service
        here.status(X)
        here.events(equipment=X, limit=5)
        for s in list(here.table.all_sessions()):
            here.views.session(s)
            here.apply(messages.TimerTick(session=s.id))
        here.apply(messages.TimerTick(equipment=X))

    def _asks_in_vain(self) -> None:
        with pytest.raises(EquipmentInUse):
            self.here.login(CEM)

    def _meddles(self) -> None:
        apply, who = self.here.service.apply, self.dice.choice((BOB, CEM))
        with pytest.raises(NotHolder):
            apply(messages.Release(session=who, equipment=X))
        with pytest.raises(NoLock):
            apply(messages.Claim(session=who, equipment=X))
        with pytest.raises(NoLock):
            apply(messages.NoteActivity(session=who, equipment=X))
        with pytest.raises(LockRequired):
            self.here.order(who, 1.0)

    def _drives_another(self) -> None:
        self.here.login(CEM, Y)
        self.here.service.apply(messages.Release(session=CEM, equipment=Y))

    def _watches(self) -> None:
        if self.here.at().policy.observers == "alongside":
            self.here.login(CEM, mode=LockMode.OBSERVER)
            self.here.service.apply(messages.Release(session=CEM, equipment=X))
        else:
            with pytest.raises(EquipmentInUse):
                self.here.login(CEM, mode=LockMode.OBSERVER)

    def _sets_the_clock(self) -> None:
        self.clock.step_wall(self.dice.choice((-1, 1)) * self.dice.choice((0.5, HOUR_S, 400 * 24 * HOUR_S)))

    # how time passes

    async def passes(self, seconds: float, *, busy: bool | None, crowd: int = 4) -> None:
        """Let time pass; her keeper beats (None: it does not), later than it should, but within the lease."""
        begin, end = self.time.now, self.time.now + seconds
        plan: list[tuple[float, Deed]] = [(self.dice.uniform(begin, end), self.crowd) for _ in range(crowd)]
        if busy is not None:
            at = begin
            while at < end:
                plan.append((at, lambda: self.beats(busy=busy)))
                at += 2.0 if at < begin + 10.0 else self.dice.uniform(30.0, LEASE_S - 0.001)
            plan.append((end, lambda: self.beats(busy=busy)))
        for at, deed in sorted(plan, key=lambda x: x[0]):
            self.time.to(at)
            deed()
            self.time.note()
        self.time.to(end)

    # how it ends

    async def still_hers(self) -> None:
        """She holds as ever, and her next command is accepted."""
        assert self.here.at().holds(ANN)
        assert self.here.at().fence == self.fence
        await self.moves()
        events = await self.time.happened()
        ended = [
            e for _, name, e in events if name in LOSSES and e["session_id"] == ANN and e["equipment_id"] in (X, None)
        ]
        assert ended == []
        assert self.here.failures == []

    async def passed_to(self, passed: Passed) -> None:
        """The lock was lost for that reason, and given to the other, in that instant; she is told."""
        events = await self.time.happened()
        mine = [
            e["why"] for _, name, e in events if name in LOSSES and e["session_id"] == ANN and e["equipment_id"] == X
        ]
        assert set(mine) == {passed.why}
        granted = [at for at, name, e in events if (name, e["session_id"]) == ("lock_acquired", passed.who)]
        assert granted == pytest.approx([passed.at], abs=1e-5)
        assert self.here.at().holds(passed.who)
        assert self.here.at().fence == self.fence + 1
        assert self.here.failures == []
        with pytest.raises(SessionEnded if passed.why == "connections_lost" else LockLost):
            await self.moves()

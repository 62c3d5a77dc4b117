"""What the tests of the rules are written with: given earlier requests, when one more, then events.

Ann, Bob, Cem and Dan have keepers, as kernels have; Eve and Fay are plain REST programs. Time is an argument.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Literal

import pytest
from msgspec.structs import replace

from authority.core import clocks, messages, waiting
from authority.core.evolve import evolve, session_after_restart
from authority.core.model import (
    Equipment,
    EquipmentId,
    LockMode,
    LossCause,
    Outcome,
    Policy,
    Role,
    Session,
    SessionId,
    Table,
)
from authority.core.refusals import Refusal
from authority.core.rules import decide

ANN, BOB, CEM, DAN = (SessionId(x) for x in ("ann", "bob", "cem", "dan"))
EVE, FAY = SessionId("eve"), SessionId("fay")
KERNELS, PROGRAMS = (ANN, BOB, CEM, DAN), (EVE, FAY)
X, Y, Z = EquipmentId("x"), EquipmentId("y"), EquipmentId("z")
DONE = Outcome.DONE


class Lab:
    """A table, the time, and the timer of the authority: what is due happens when it is due."""

    def __init__(self, policy: Policy) -> None:
        self.table = Table()
        self.now = 0.0
        self.history: list[messages.Event] = []
        for key in (X, Y, Z):
            self.table.put(Equipment(id=key, policy=policy))
        for name in (*KERNELS, *PROGRAMS):
            keeper = name in KERNELS
            self.do(messages.OpenSession(session=session(name, keeper=keeper)))

    @property
    def x(self) -> Equipment:
        return self.equipment(X)

    @property
    def y(self) -> Equipment:
        return self.equipment(Y)

    @property
    def z(self) -> Equipment:
        return self.equipment(Z)

    @property
    def _all(self) -> tuple[Equipment, ...]:
        return self.x, self.y, self.z

    def equipment(self, key: EquipmentId) -> Equipment:
        found = self.table.equipment(key)
        assert found is not None
        return found

    def session(self, key: SessionId) -> Session:
        found = self.table.session(key)
        assert found is not None, f"the session {key} has ended"
        return found

    def lives(self, key: SessionId) -> bool:
        return self.table.session(key) is not None

    @property
    def holder(self) -> SessionId | None:
        """Who may drive `x` now."""
        return self.x.lock.session if self.x.lock is not None and self.x.drain is None else None

    @property
    def holders(self) -> tuple[SessionId | None, ...]:
        """Who may drive `x`, `y` and `z` now."""
        return tuple(None if e.lock is None or e.drain is not None else e.lock.session for e in self._all)

    @property
    def waiting(self) -> list[SessionId]:
        return [entry.session for entry in self.x.queue]

    @property
    def queues(self) -> tuple[list[SessionId], ...]:
        """Who waits for `x`, `y` and `z`."""
        return tuple([entry.session for entry in e.queue] for e in self._all)

    @property
    def observing(self) -> list[SessionId]:
        return [o.session for o in self.x.observers]

    def do(self, request: messages.Request) -> tuple[messages.Event, ...]:
        """Decide one request now and let it have happened."""
        events = decide(self.table, request, self.now)
        for event in events:
            evolve(self.table, event)
        self.history.extend(events)
        return events

    def refuses(self, request: messages.Request, why: type[Refusal]) -> Refusal:
        """Expect a refusal, and that it changed nothing; return it for what it says."""
        before = snapshot(self.table)
        with pytest.raises(why) as refused:
            decide(self.table, request, self.now)
        assert snapshot(self.table) == before
        return refused.value

    def until(self, now: float, *, beating: Iterable[SessionId] = KERNELS, busy: bool = False) -> list[messages.Event]:
        """Let time pass to `now`; what is due happens when it is due, and the keepers of `beating` beat."""
        happened: list[messages.Event] = []
        alive, beat = list(beating), self.now
        while True:
            at = min(now, *(max(t, self.now) for t in (*self._due(), *([beat] if alive else []))), now)
            self.now = at
            happened += self.ring()
            if alive and at == beat:
                beat += 20.0
                for key in filter(self.lives, alive):
                    happened += self.do(messages.SignOfLife(session=key, busy=busy))
            elif at == now:
                return happened

    def ring(self) -> list[messages.Event]:
        """Be the authority's timer: tick for everything that is due by now, until nothing is."""
        happened: list[messages.Event] = []
        for _ in range(50):
            ticks = self._ticks()
            if not ticks:
                return happened
            for tick in ticks:
                happened += self.do(tick)
        raise AssertionError("something is due again and again, and does not happen")

    def late(self, now: float) -> None:
        """Let time pass with a timer that has not rung yet."""
        self.now = now

    def _due(self) -> list[float]:
        equipment = (waiting.equipment_due(self.table, e) for e in self.table.all_equipment())
        sessions = (clocks.session_due(self.table, s) for s in self.table.all_sessions())
        return [t for t in (*equipment, *sessions) if t is not None]

    def _ticks(self) -> list[messages.TimerTick]:
        ticks = []
        for s in self.table.all_sessions():
            due = clocks.session_due(self.table, s)
            if due is not None and due <= self.now:
                ticks.append(messages.TimerTick(session=s.id))
        for e in self.table.all_equipment():
            due = waiting.equipment_due(self.table, e)
            if due is not None and due <= self.now:
                ticks.append(messages.TimerTick(equipment=e.id))
        return ticks

    def restart(self, *, after: float) -> list[messages.Event]:
        """The authority ends now and starts again `after` seconds later with what the store kept."""
        self.now += after
        for s in list(self.table.all_sessions()):
            self.table.put(session_after_restart(s, self.now))
        recovered = [
            event for e in list(self.table.all_equipment()) for event in self.do(messages.Recover(equipment=e.id))
        ]
        return recovered + self.ring()


def session(name: SessionId, *, keeper: bool, at: float = 0.0, timeout_s: float = 600.0) -> Session:
    return Session(
        id=name, user=name.title(), created_at=at, last_seen=at, idle_since=at, keeper=keeper, timeout_s=timeout_s
    )


def given(*requests: messages.Request, policy: Policy | None = None) -> Lab:
    """A lab of three pieces of equipment at the time 0, after these requests."""
    lab = Lab(policy or Policy())
    for request in requests:
        lab.do(request)
    return lab


def apart_from_time(e: Equipment) -> Equipment:
    """The equipment without the clocks of its lock."""
    return e if e.lock is None else replace(e, lock=replace(e.lock, used_at=0.0))


def snapshot(table: Table) -> object:
    """All entries of a bottom table."""
    return copy.copy(table.equipment_changed), copy.copy(table.sessions_changed)


def kinds(events: Iterable[messages.Event]) -> list[str]:
    """The names of the events, signs of life left out."""
    return [type(e).__name__ for e in events if not isinstance(e, messages.SessionSeen | messages.LockUsed)]


def the(kind: type[messages.Event], events: Iterable[messages.Event]) -> messages.Event:
    """The one event of that kind."""
    found = [e for e in events if isinstance(e, kind)]
    assert len(found) == 1, kinds(events)
    return found[0]


# -- requests, as short as they are said


def acquire(
    who: SessionId, what: EquipmentId = X, *, wait: bool = False, mode: LockMode = LockMode.EXCLUSIVE,
    timeout_s: float = 300.0, note: str | None = None, again: int = 0, priority: int = 0,
) -> messages.Acquire:  # fmt: skip
    return messages.Acquire(
        session=who, equipment=what, wait=wait, mode=mode, timeout_s=timeout_s, note=note, priority=priority,
        lock_id=f"lock_{who}_{what}_{again}", queue_id=f"queue_{who}_{what}_{again}",
    )  # fmt: skip


def group(
    who: SessionId,
    *what: EquipmentId,
    wait: bool = False,
    mode: LockMode = LockMode.EXCLUSIVE,
    timeout_s: float = 300.0,
    note: str | None = None,
    again: int = 0,
    priority: int = 0,
) -> messages.Acquire:
    return messages.Acquire(
        session=who,
        equipment=what[0],
        group=what,
        wait=wait,
        mode=mode,
        timeout_s=timeout_s,
        note=note,
        priority=priority,
        lock_id=f"lock_{who}_group_{again}",
        queue_id=f"queue_{who}_group_{again}",
    )


def watch(who: SessionId, what: EquipmentId = X, *, wait: bool = False, timeout_s: float = 300.0) -> messages.Acquire:
    return acquire(who, what, wait=wait, mode=LockMode.OBSERVER, timeout_s=timeout_s)


def release(who: SessionId, what: EquipmentId = X, *, stop: bool = False) -> messages.Release:
    return messages.Release(session=who, equipment=what, stop=stop)


def force(who: SessionId, what: EquipmentId = X, *, reason: str | None = "it burns") -> messages.ForceRelease:
    return messages.ForceRelease(session=who, equipment=what, by=who.title(), reason=reason)


def control(who: SessionId, key: str = "move", what: EquipmentId = X, *, fence: int | None = None) -> messages.Control:
    return messages.Control(
        session=who, equipment=what, key=key, command_id=key, action="move_to", parameters={"position": 5}, fence=fence
    )


def observe(who: SessionId, what: EquipmentId = X) -> messages.Observe:
    return messages.Observe(session=who, equipment=what)


def finish(
    key: str = "move", what: EquipmentId = X, *, outcome: Outcome = DONE, moving: bool = False
) -> messages.FinishCommand:
    return messages.FinishCommand(equipment=what, key=key, outcome=outcome, error=None, moving=moving)


def moved(moving: bool, what: EquipmentId = X) -> messages.MotionReport:
    return messages.MotionReport(equipment=what, moving=moving)


def stop(
    who: SessionId | None = None, what: EquipmentId = X, *, delivered: bool = True, moving: bool = False,
    user: str | None = "somebody",
) -> messages.Stop:  # fmt: skip
    named = user if who is None else who.title()
    return messages.Stop(equipment=what, session=who, user=named, delivered=delivered, moving=moving, reason="a cable")


def stopped_by_the_authority(what: EquipmentId = X, *, delivered: bool = True, moving: bool = False) -> messages.Stop:
    return messages.Stop(equipment=what, user=None, delivered=delivered, moving=moving)


def gone(who: SessionId) -> messages.EndSession:
    return messages.EndSession(session=who, why=LossCause.GONE, reason="the kernel exited")


def end(who: SessionId) -> messages.EndSession:
    return messages.EndSession(session=who, why=LossCause.SESSION_ENDED)


def leave(who: SessionId, what: EquipmentId = X, *, again: int = 0) -> messages.LeaveQueue:
    return messages.LeaveQueue(session=who, equipment=what, queue_id=f"queue_{who}_{what}_{again}")


def swap(who: SessionId, partner: SessionId | None, what: EquipmentId = X) -> messages.OfferSwap:
    return messages.OfferSwap(
        session=who, equipment=what, partner=None if partner is None else f"queue_{partner}_{what}_0"
    )


def hand_over(who: SessionId, to: str, what: EquipmentId = X) -> messages.HandOver:
    return messages.HandOver(session=who, equipment=what, to=to)


def ask(
    who: SessionId, what: EquipmentId = X, *, seconds: float = 120.0, reason: str | None = "a beam in ten minutes"
) -> messages.AskHolder:
    return messages.AskHolder(session=who, equipment=what, seconds=seconds, reason=reason)


def answer(
    who: SessionId, to: SessionId, said: Literal["yield", "later", "no"], what: EquipmentId = X, *,
    seconds: float = 0.0, note: str | None = None,
) -> messages.AnswerAsk:  # fmt: skip
    queue_id = f"queue_{to}_{what}_0"
    return messages.AnswerAsk(session=who, equipment=what, queue_id=queue_id, answer=said, seconds=seconds, note=note)


def keep(who: SessionId, what: EquipmentId = X, *, seconds: float, note: str | None = None) -> messages.Keep:
    return messages.Keep(session=who, equipment=what, seconds=seconds, note=note)


def leave_group(who: SessionId, what: EquipmentId = X) -> messages.LeaveQueue:
    return messages.LeaveQueue(session=who, equipment=what, queue_id=f"queue_{who}_group_0")


def claim(who: SessionId, what: EquipmentId = X) -> messages.Claim:
    return messages.Claim(session=who, equipment=what)


def activity(who: SessionId, what: EquipmentId = X) -> messages.NoteActivity:
    return messages.NoteActivity(session=who, equipment=what)


def resume(who: SessionId, what: EquipmentId = X) -> messages.Resume:
    return messages.Resume(session=who, equipment=what)


def clear_fault(what: EquipmentId = X) -> messages.ClearFault:
    return messages.ClearFault(equipment=what, by="Cem", reason="looked at it, it stands")


def beat(who: SessionId, *, busy: bool = False) -> messages.SignOfLife:
    return messages.SignOfLife(session=who, busy=busy)


def connected(who: SessionId, role: Role = Role.FEED) -> messages.AttachConnection:
    return messages.AttachConnection(session=who, role=role)


def dropped(who: SessionId, role: Role = Role.FEED) -> messages.DetachConnection:
    return messages.DetachConnection(session=who, role=role)


ANN_BOB_CEM = (acquire(ANN), acquire(BOB, wait=True), acquire(CEM, wait=True))

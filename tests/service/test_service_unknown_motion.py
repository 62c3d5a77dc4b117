"""A driver that cannot say whether it moves: no lock passes on a guess."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes import Slide, VirtualClock, X, lab, reply, until

from authority.core import messages
from authority.core.model import Policy, RestMethod
from authority.motion_seen import STILL_S
from authority.ports import Readback


class Blind(Slide):
    """A slide that says where it is, if a test lets it, and never whether it moves."""

    def __init__(self) -> None:
        super().__init__()
        self.has_position = True

    def readback(self) -> Readback:
        return Readback(position=self.position if self.has_position else None, units="mm")

    def drift(self, position: float) -> None:
        """Be elsewhere."""
        self.position = position


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


def test_it_moves_while_our_command_runs_and_until_the_position_has_stood_still(path: Path) -> None:
    """DRV-54"""

    async def run() -> None:
        slide, clock = Blind(), VirtualClock()
        async with lab(path, {X: slide}, clock=clock) as here:
            worker, ann = here.workers[X], here.person("ann")
            here.login(ann)
            assert worker.readback.moving is False
            call = here.order(ann, 5.0)
            await until(lambda: worker.readback.moving)
            assert here.service.status(X).readback.moving is True
            slide.arrive()
            await reply(call)
            assert worker.readback.moving is True
            for position in (4.0, 5.0):
                clock.advance(STILL_S - 0.01)
                slide.drift(position)
                await until(lambda position=position: worker.readback.position == position)  # type: ignore[misc]
                assert worker.readback.moving is True
            clock.advance(STILL_S)
            await until(lambda: not worker.readback.moving)
            await here.service.wait_until_committed()
            assert "moved_outside" not in here.events(X)

    asyncio.run(run())


def test_a_lock_passes_on_only_when_the_position_has_stood_still_after_a_stop(path: Path) -> None:
    """DRV-54, LOSS-2"""

    async def run() -> None:
        slide, clock = Blind(), VirtualClock()
        policy = Policy(on_loss=RestMethod.STOP)
        async with lab(path, {X: slide}, clock=clock, policies={X: policy}) as here:
            worker, ann, bob = here.workers[X], here.person("ann"), here.person("bob")
            here.login(ann)
            here.login(bob, wait=True)
            call = here.order(ann, 5.0)
            await until(lambda: worker.readback.moving)
            assert (await here.service.stop(X, ann, "Ann", None)).delivered
            assert (await reply(call))["outcome"] == "stopped"
            assert here.at().moving, "the driver took the stop, and nobody knows yet whether it stands"
            here.service.apply(messages.Release(session=ann, equipment=X))
            assert here.at().state == "draining"
            slide.drift(1.0)
            await until(lambda: worker.readback.position == 1.0)
            clock.advance(STILL_S - 0.01)
            slide.drift(2.0)
            await until(lambda: worker.readback.position == 2.0)
            assert here.at().state == "draining", "it goes on"
            clock.advance(STILL_S)
            await until(lambda: here.at().holds(bob))

    asyncio.run(run())


def test_a_stop_that_stops_nothing_ends_in_a_fault_and_not_with_the_next_holder(path: Path) -> None:
    """DRV-54, LOSS-7"""

    async def run() -> None:
        slide, clock = Blind(), VirtualClock()
        async with lab(path, {X: slide}, clock=clock) as here:
            worker, ann, bob = here.workers[X], here.person("ann"), here.person("bob")
            here.login(ann)
            here.login(bob, wait=True)
            call = here.order(ann, 50.0)
            await until(lambda: worker.readback.moving)
            here.service.apply(messages.Release(session=ann, equipment=X, stop=True))
            assert (await reply(call))["outcome"] == "stopped"
            for step in range(1, 60):
                slide.drift(step / 10)
                await until(lambda step=step: worker.readback.position == step / 10)  # type: ignore[misc]
                clock.advance(0.1)
                here.service.apply(messages.TimerTick(equipment=X))
            assert (here.at().state, here.at().holds(bob)) == ("fault", False)
            assert "moved_outside" not in here.events(X)

    asyncio.run(run())


def test_without_a_position_it_moves_until_the_command_is_over(path: Path) -> None:
    """DRV-54"""

    async def run() -> None:
        slide, clock = Blind(), VirtualClock()
        slide.has_position = False
        async with lab(path, {X: slide}, clock=clock) as here:
            worker, ann = here.workers[X], here.person("ann")
            here.login(ann)
            call = here.order(ann, 5.0)
            await until(lambda: worker.readback.moving)
            slide.arrive()
            await reply(call)
            await until(lambda: not worker.readback.moving)

    asyncio.run(run())


def test_what_cannot_be_read_any_more_moves_as_it_did_when_it_was_last_heard_of(path: Path) -> None:
    """DRV-54, LOSS-18"""

    async def run() -> None:
        slide = Blind()
        async with lab(path, {X: slide}) as here:
            worker, ann = here.workers[X], here.person("ann")
            here.login(ann)
            here.order(ann, 5.0)
            await until(lambda: worker.readback.moving)
            slide.down = True
            slide.readback = lambda: Readback(connected=False)  # type: ignore[method-assign]
            await until(lambda: not worker.readback.connected)
            assert worker.readback.moving is True

    asyncio.run(run())


def test_after_a_stop_nobody_knows_that_it_stands_until_it_has_stood_still(path: Path) -> None:
    """DRV-54: also where no command of ours ran."""

    async def run() -> None:
        slide, clock = Blind(), VirtualClock()
        async with lab(path, {X: slide}, clock=clock) as here:
            worker = here.workers[X]
            clock.advance(60)
            await until(lambda: worker.read_at == clock.now())
            assert worker.readback.moving is False
            assert await here.service.stop(X, None, "Cem", None)
            assert worker.readback.moving is True
            clock.advance(STILL_S)
            await until(lambda: worker.readback.moving is False)

    asyncio.run(run())


def test_a_command_that_only_begins_a_motion_leaves_it_moving_until_the_position_has_stood_still(path: Path) -> None:
    """DRV-54"""

    async def run() -> None:
        slide, clock = Blind(), VirtualClock()
        async with lab(path, {X: slide}, clock=clock) as here:
            worker, ann = here.workers[X], here.person("ann")
            here.login(ann)
            clock.advance(60)
            assert (await reply(here.order(ann, 0.0, action="nudge")))["outcome"] == "done"
            assert here.at().moving
            clock.advance(STILL_S / 2)
            await until(lambda: worker.read_at == clock.now())
            assert worker.readback.moving is True
            clock.advance(STILL_S / 2)
            await until(lambda: not here.at().moving)

    asyncio.run(run())

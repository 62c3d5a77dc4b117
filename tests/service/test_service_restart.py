"""What a start on old data does: recover, stop what was in flight, begin every clock in full, forget what is old."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from fakes import Disk, Lab, Press, Slide, VirtualClock, X, Y, lab, reply, until

from authority.core import messages
from authority.core.model import LockMode, Policy, SessionId
from authority.core.refusals import LockLost
from authority.ports import Batch, EventRow
from authority.service import Service


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


ANN, BOB = SessionId("ann"), SessionId("bob")


class Stubborn(Slide):
    """A slide that answers, but does not take a stop while it `refuses`."""

    refuses = False

    def stop(self) -> None:
        if self.refuses:
            self.calls.append("stop")
            raise ValueError("not now")
        super().stop()


async def die(here: Lab) -> None:
    """Let the store fail as at a crash: nothing is written from here on."""
    here.disk.dies_at = 0
    here.person("the last straw")
    await until(lambda: here.service.failure)


async def left_moving(path: Path) -> None:
    """Leave data behind in which Ann's move is in flight."""
    slide = Slide()
    async with lab(path, {X: slide}) as here:
        here.login(here.person("ann", timeout_s=0.0))
        here.order(ANN, 5.0, idempotency="k")
        await until(lambda: slide.moving)
        await die(here)


def test_the_holder_the_queue_and_the_observers_come_back_as_they_were(path: Path) -> None:
    """STORE-3, LOCK-9"""

    async def run() -> None:
        policies = {X: Policy(observers="alongside")}
        async with lab(path, policies=policies) as here:
            here.login(here.person("ann", keeper=True))
            here.login(here.person("bob", keeper=True), wait=True)
            here.login(here.person("cem", keeper=True), mode=LockMode.OBSERVER)
            before = here.at()
            await here.service.wait_until_committed()
            await die(here)
        async with lab(path, policies=policies) as again:
            after = again.at()
            assert after.lock is not None
            assert before.lock is not None
            assert (after.lock.lock_id, after.lock.session, after.lock.fence) == (before.lock.lock_id, ANN, 1)
            assert [(x.queue_id, x.session) for x in after.queue] == [(x.queue_id, BOB) for x in before.queue]
            assert [o.session for o in after.observers] == ["cem"]
            again.service.apply(messages.Release(session=ANN, equipment=X))
            assert again.at().holds(BOB)
            assert again.at().fence == 2
            with pytest.raises(LockLost):
                again.order(ANN, 1.0)

    asyncio.run(run())


def test_what_was_in_flight_is_stopped_as_soon_as_a_device_that_is_down_answers_and_told_once(path: Path) -> None:
    """STORE-4, STOP-4, DRV-7"""

    async def run() -> None:
        await left_moving(path)
        slide = Slide()
        slide.moving = slide.down = True
        async with lab(path, {X: slide}, started=False) as again:
            again.service.start()
            await until(lambda: slide.calls.count("stop") >= 3)
            await again.service.wait_until_committed()
            assert again.events(X).count("stopped") == 1
            slide.down = False
            await until(lambda: not slide.moving and not again.at().moving)
            await again.service.wait_until_committed()
            assert again.events(X).count("stopped") == 2
            assert again.at().holds(ANN)

    asyncio.run(run())


def test_what_was_in_flight_is_stopped_at_the_start_and_unknown_and_the_holder_goes_on(path: Path) -> None:
    """STORE-4, CMD-8"""

    async def run() -> None:
        await left_moving(path)
        slide = Slide()
        slide.moving = True
        async with lab(path, {X: slide}) as again:
            await until(lambda: not slide.moving and not again.at().moving)
            assert slide.driven() == ["stop"]
            call = again.service.find_call("k")
            assert call is not None
            assert (await reply(call))["outcome"] == "unknown"
            assert again.at().holds(ANN)
            order = again.order(ANN, 1.0)
            await until(lambda: slide.moving)
            slide.arrive()
            assert (await reply(order))["outcome"] == "done"

    asyncio.run(run())


def test_no_command_begins_before_what_was_in_flight_has_been_stopped(path: Path) -> None:
    """SAFE-5, STORE-4"""

    async def run() -> None:
        await left_moving(path)
        slide = Stubborn()
        slide.moving = slide.refuses = True
        async with lab(path, {X: slide}) as again:
            await until(lambda: slide.calls.count("stop") >= 1)
            order = again.order(ANN, 1.0)
            slide.refuses = False
            assert (await reply(order))["outcome"] == "stopped"
            assert set(slide.driven()) == {"stop"}
            assert again.at().holds(ANN)
            order = again.order(ANN, 2.0)
            await until(lambda: slide.moving)
            slide.arrive()
            assert (await reply(order))["outcome"] == "done"

    asyncio.run(run())


def test_what_still_moved_after_its_command_had_ended_is_stopped_at_the_start(path: Path) -> None:
    """SAFE-4"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            here.login(here.person("ann", timeout_s=0.0))
            await reply(here.order(ANN, 0.0, action="nudge"))
            assert here.at().running is None
            assert here.at().moving
            await die(here)
        again_moving = Slide()
        again_moving.moving = True
        async with lab(path, {X: again_moving}):
            await until(lambda: not again_moving.moving)
            assert again_moving.driven() == ["stop"]

    asyncio.run(run())


def test_what_has_come_to_rest_meanwhile_is_not_stopped_and_takes_the_first_command(path: Path) -> None:
    """SAFE-4, SAFE-5"""

    async def run() -> None:
        async with lab(path, {X: Slide()}) as here:
            here.login(here.person("ann", timeout_s=0.0))
            await reply(here.order(ANN, 0.0, action="nudge"))
            await die(here)
        slide = Slide()
        async with lab(path, {X: slide}) as again:
            order = again.order(ANN, 1.0)
            await until(lambda: slide.moving)
            slide.arrive()
            assert (await reply(order))["outcome"] == "done"
            assert "stop" not in slide.driven()

    asyncio.run(run())


def test_every_clock_starts_in_full(path: Path) -> None:
    """LIVE-20, LIVE-5"""

    async def run() -> None:
        clock = VirtualClock()
        async with lab(path, clock=clock) as here:
            here.login(here.person("ann", timeout_s=1000.0))
            await here.service.wait_until_committed()
            clock.advance(299.0)
        later = VirtualClock(clock.now() + 100.0)
        async with lab(path, clock=later) as again:
            later.advance(299.0)
            again.service.apply(messages.TimerTick(equipment=X, session=ANN))
            assert again.at().holds(ANN)
            later.advance(1.0)
            again.service.apply(messages.TimerTick(equipment=X, session=ANN))
            assert not again.at().holds(ANN)

    asyncio.run(run())


def test_equipment_that_left_the_lab_file_troubles_nobody_and_keeps_its_fence(path: Path) -> None:
    """STORE-3, LOCK-8"""

    async def run() -> None:
        async with lab(path, {X: Slide(), Y: Slide()}) as here:
            here.login(here.person("ann", timeout_s=0.0), Y)
            here.service.apply(messages.Release(session=ANN, equipment=Y))
            await here.service.wait_until_committed()
        async with lab(path, {X: Slide()}) as without:
            without.login(ANN, X)
            await without.service.wait_until_committed()
        async with lab(path, {X: Slide(), Y: Slide()}) as again:
            assert again.at(X).holds(ANN)
            again.login(ANN, Y)
            assert again.at(Y).fence == 2

    asyncio.run(run())


def test_history_older_than_its_time_is_forgotten_at_the_start_and_numbers_go_on(path: Path) -> None:
    """STORE-8, STORE-6"""

    async def run() -> None:
        clock = VirtualClock()
        disk = Disk(path)
        old = clock.wall(clock.now()) - 91 * 86_400.0
        rows = [EventRow(n, old if n < 3 else clock.now(), None, None, b"{}") for n in (1, 2, 3)]
        disk.write(Batch(rows, {}, {}, []))
        service = Service(disk, clock, {}, {})
        service.start()
        await until(lambda: [event.seq for event in disk.events(limit=10)] == [3])
        assert service.seq == 3
        await service.close()
        disk.close()

    asyncio.run(run())


@pytest.mark.parametrize("told", [True, -1, 2**60, "7", 7.0, None])
def test_what_can_be_no_fence_raises_none(path: Path, told: object) -> None:
    """STORE-22"""

    class Confused(Slide):
        highest_fence = told

    async def run() -> None:
        async with lab(path, {X: Confused()}) as here:
            await here.connected()
            here.login(here.person("ann"))
            assert here.at().fence == 1
            assert "fence_raised" not in here.events(X)

    asyncio.run(run())


def test_a_driver_that_cannot_say_its_fence_is_read_all_the_same(path: Path) -> None:
    """STORE-22"""

    class Broken(Slide):
        @property
        def highest_fence(self) -> int:
            self.calls.append("open")
            raise ValueError("the device said nothing")

    async def run() -> None:
        slide = Broken()
        async with lab(path, {X: slide}) as here:
            await here.connected()
            assert slide.calls.count("open") == 2, "it was asked"
            slide.position = 5.0
            await until(lambda: here.workers[X].readback.position == 5.0)

    asyncio.run(run())


def test_the_fence_of_a_driver_that_blocks_is_read_in_its_thread(path: Path) -> None:
    """STORE-22"""

    class Slow(Press):
        @property
        def highest_fence(self) -> int:
            self._enter("highest_fence")
            return 7

    async def run() -> None:
        press = Slow()
        async with lab(path, {X: press}) as here:
            await until(lambda: here.at().fence == 7)
            assert press.threads["highest_fence"] != threading.get_ident()

    asyncio.run(run())

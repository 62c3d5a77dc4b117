"""Equipment that the lab file parks: at rest, before the next has the lock, and never after a stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from fakes import Lab, Slide, X, lab, reply, until

from authority.core import messages
from authority.core.model import Policy, SessionId
from authority.drivers.declare import control

PARKS = {X: Policy(park=True)}


class ParkingSlide(Slide):
    """A slide that parks at 0."""

    @control
    async def park(self) -> float:
        """Move to 0."""
        return await self.move_to(0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


async def parking_with_a_waiter(here: Lab, slide: Slide) -> SessionId:
    """Ann moved it to 5 and gave it back; Bob waits for it."""
    ann, bob = here.person("ann", keeper=True), here.person("bob", timeout_s=0.0)
    here.login(ann)
    here.login(bob, wait=True)
    call = here.order(ann, 5.0)
    await until(lambda: slide.moving)
    slide.arrive()
    assert (await reply(call))["outcome"] == "done"
    here.service.apply(messages.Release(session=ann, equipment=X))
    await until(lambda: slide.driven() == ["move_to 5", "move_to 0"])
    return bob


def test_what_was_driven_is_parked_before_the_next_has_it(path: Path) -> None:
    """LOSS-16"""

    async def run() -> None:
        slide = ParkingSlide()
        async with lab(path, {X: slide}, policies=PARKS) as here:
            bob = await parking_with_a_waiter(here, slide)
            status = here.service.status(X)
            assert status.state == "draining"
            assert status.draining is not None
            assert status.draining.parking
            assert status.running is not None
            assert (status.running.action, status.running.user) == ("park", "the authority")
            slide.arrive()
            await until(lambda: here.at().holds(bob))
            await here.service.wait_until_committed()
            rows = [msgspec.json.decode(row.body) for row in here.service.events(equipment=X, limit=1000)]
            told = [(row["event"], row.get("action"), row.get("outcome")) for row in rows]
            assert told[-5:] == [
                ("command_started", "park", None),
                ("command_finished", "park", "done"),
                ("lock_released", None, None),
                ("queue_processed", None, None),
                ("lock_acquired", None, None),
            ]

    asyncio.run(run())


def test_a_stop_by_anybody_ends_the_parking_and_the_next_has_it_where_it_stands(path: Path) -> None:
    """LOSS-16, STOP-1"""

    async def run() -> None:
        slide = ParkingSlide()
        async with lab(path, {X: slide}, policies=PARKS) as here:
            bob = await parking_with_a_waiter(here, slide)
            assert await here.service.stop(X, None, "Cem", "cable")
            await until(lambda: here.at().holds(bob))
            assert slide.driven() == ["move_to 5", "move_to 0", "stop"]

    asyncio.run(run())


def test_a_parking_that_a_killed_authority_left_is_stopped_at_the_restart_and_not_begun_again(path: Path) -> None:
    """LOSS-16, STORE-4"""

    async def run() -> None:
        slide, again = ParkingSlide(), ParkingSlide()
        async with lab(path, {X: slide}, policies=PARKS) as here:
            bob = await parking_with_a_waiter(here, slide)
            here.disk.dies_at = 0
            here.person("the last straw")
            await until(lambda: here.service.failure)
        again.moving = True
        async with lab(path, {X: again}, policies=PARKS) as there:
            await until(lambda: there.at().holds(bob))
            assert again.driven() == ["stop"]
            assert there.events(X).count("command_started") == 2

    asyncio.run(run())

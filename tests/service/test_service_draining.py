"""A lock that ends in the middle of a move passes on only at rest: by stop, by finishing, or not at all (fault)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes import Lab, Press, Slide, X, lab, reply, until

from authority.clock import SystemClock
from authority.core import messages
from authority.core.model import LossCause, Policy, RestMethod, SessionId
from authority.core.refusals import EquipmentAtFault, LockLost, StoppedByAnother
from authority.journal import JournalCall


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


async def moving_with_a_waiter(here: Lab, slide: Slide | Press) -> tuple[SessionId, SessionId, JournalCall]:
    ann, bob = here.person("ann", keeper=True), here.person("bob", timeout_s=0.0)
    here.login(ann)
    here.login(bob, wait=True)
    call = here.order(ann, 5.0)
    await until(lambda: slide.moving)
    return ann, bob, call


def test_death_in_the_middle_of_a_move_stops_it_before_the_next_is_granted(path: Path) -> None:
    """LOSS-4, LOSS-9, LIVE-2"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann, bob, call = await moving_with_a_waiter(here, slide)
            here.service.apply(messages.EndSession(session=ann, why=LossCause.GONE, reason="killed"))
            assert here.at().state == "draining"
            assert not here.at().holds(bob)
            assert (await reply(call))["outcome"] == "stopped"
            assert here.at().holds(bob)
            assert here.at().fence == 2
            assert slide.driven() == ["move_to 5", "stop"]
            order = here.events(X)
            assert order.index("stopped") < order.index("command_finished") < order.index("lock_expired")
            assert order[-1] == "lock_acquired"

    asyncio.run(run())


def test_a_stop_for_a_hand_over_is_given_again_until_the_driver_takes_it(path: Path) -> None:
    """LOSS-2, LOSS-4"""

    async def run() -> None:
        press = Press()
        policies = {X: Policy(stop_seconds=60.0)}
        async with lab(path, {X: press}, policies=policies) as here:
            ann, bob, _ = await moving_with_a_waiter(here, press)
            press.hangs |= {"stop"}
            here.service.apply(messages.EndSession(session=ann, why=LossCause.GONE, reason="killed"))
            await until(lambda: "stop" in press.calls)
            press.hangs.clear()
            await until(lambda: here.at().holds(bob))
            await here.service.wait_until_committed()
            assert press.calls.count("stop") == 2
            assert here.events(X).count("stopped") == 2

    asyncio.run(run())


def test_a_logout_lets_the_move_finish_and_the_lock_waits_for_rest(path: Path) -> None:
    """LOSS-5, LOSS-9"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann, bob, call = await moving_with_a_waiter(here, slide)
            here.service.apply(messages.Release(session=ann, equipment=X))
            assert here.at().state == "draining"
            slide.arrive()
            assert (await reply(call))["outcome"] == "done"
            assert here.at().holds(bob)
            assert slide.driven() == ["move_to 5"]

    asyncio.run(run())


def test_what_does_not_finish_in_its_time_is_stopped_and_then_passes_on(path: Path) -> None:
    """LOSS-5"""

    async def run() -> None:
        slide = Slide()
        policies = {X: Policy(finish_seconds=0.1)}
        async with lab(path, {X: slide}, clock=SystemClock(), policies=policies) as here:
            ann, bob, call = await moving_with_a_waiter(here, slide)
            here.service.apply(messages.Release(session=ann, equipment=X))
            assert (await reply(call))["outcome"] == "stopped"
            await until(lambda: here.at().holds(bob))
            assert slide.driven() == ["move_to 5", "stop"]

    asyncio.run(run())


def test_what_does_not_come_to_rest_after_a_stop_is_a_fault_until_somebody_clears_it(path: Path) -> None:
    """LOSS-7, LOSS-13, LOSS-14"""

    async def run() -> None:
        slide = Slide()
        slide.deaf = True
        policies = {X: Policy(stop_seconds=0.1)}
        async with lab(path, {X: slide}, clock=SystemClock(), policies=policies) as here:
            ann, bob, _ = await moving_with_a_waiter(here, slide)
            here.service.apply(messages.EndSession(session=ann, why=LossCause.GONE, reason="killed"))
            await until(lambda: here.at().fault)
            assert here.at().entry(bob) is not None, "who waits keeps the place"
            with pytest.raises(EquipmentAtFault):
                here.login(here.person("cem"))
            slide.deaf = False
            here.service.apply(messages.ClearFault(equipment=X, by="Dora", reason="I looked: it stands"))
            assert here.at().holds(bob)
            await here.service.wait_until_committed()
            assert here.events(X)[-4:] == ["lock_expired", "fault_cleared", "queue_processed", "lock_acquired"]

    asyncio.run(run())


def test_a_hanging_driver_that_is_released_stops_nobody_and_ends_in_fault(path: Path) -> None:
    """STOP-4, LOSS-7"""

    async def run() -> None:
        press = Press()
        policies = {X: Policy(stop_seconds=0.2)}
        async with lab(path, {X: press}, clock=SystemClock(), policies=policies) as here:
            ann, _, _ = await moving_with_a_waiter(here, press)
            press.hangs |= {"stop", "readback"}
            here.service.apply(
                messages.ForceRelease(session=SessionId("root"), equipment=X, by="Root", reason="it hangs")
            )
            await until(lambda: here.at().fault)
            assert "did not come to rest" in str(here.at().fault)
            with pytest.raises(EquipmentAtFault):
                here.order(ann, 1.0)

    asyncio.run(run())


def test_a_fault_survives_a_restart(path: Path) -> None:
    """LOSS-15, STORE-3"""

    async def run() -> None:
        slide = Slide()
        slide.deaf = True
        policies = {X: Policy(stop_seconds=0.05)}
        async with lab(path, {X: slide}, clock=SystemClock(), policies=policies) as here:
            ann, _, _ = await moving_with_a_waiter(here, slide)
            here.service.apply(messages.EndSession(session=ann, why=LossCause.GONE))
            await until(lambda: here.at().fault)
        async with lab(path, clock=SystemClock(), policies=policies) as again:
            assert again.at().state == "fault"
            with pytest.raises(EquipmentAtFault):
                again.login(again.person("cem"))

    asyncio.run(run())


def test_a_moving_driver_that_goes_down_keeps_the_lock_from_passing_on_until_it_is_read_at_rest(path: Path) -> None:
    """LOSS-18, LOSS-1"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann, bob, call = await moving_with_a_waiter(here, slide)
            await until(lambda: here.at().moving)
            slide.down = True
            await until(lambda: not here.workers[X].readback.connected)
            slide.arrive()
            await reply(call)
            here.service.apply(messages.Release(session=ann, equipment=X))
            opened = slide.calls.count("open")
            await until(lambda: slide.calls.count("open") > opened)
            assert here.at().state == "draining"
            assert not here.at().holds(bob)
            slide.down = False
            await until(lambda: here.at().holds(bob))

    asyncio.run(run())


def test_after_a_restart_a_driver_that_is_down_is_not_taken_to_be_at_rest(path: Path) -> None:
    """LOSS-18, STORE-4"""

    async def run() -> None:
        slide = Slide()
        slide.deaf = True
        async with lab(path, {X: slide}) as here:
            ann, _, _ = await moving_with_a_waiter(here, slide)
            here.service.apply(messages.Release(session=ann, equipment=X))
            await here.service.wait_until_committed()
            assert here.at().state == "draining"
            await until(lambda: here.at().moving)
        again = Slide()
        async with lab(path, {X: again}, started=False) as later:
            again.down = True
            later.service.start()
            await until(lambda: again.calls.count("open") >= 2)
            assert later.at().state == "draining", "nobody knows whether it stands"
            again.down = False
            await until(lambda: later.at().holds(SessionId("bob")))

    asyncio.run(run())


def test_a_stop_of_equipment_that_is_down_and_stood_still_leaves_it_at_rest(path: Path) -> None:
    """LOSS-18, STOP-7"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann, bob, call = await moving_with_a_waiter(here, slide)
            slide.arrive()
            await reply(call)
            slide.down = True
            await until(lambda: not here.workers[X].readback.connected)
            await here.service.stop(X, None, "Cem", None)
            here.service.apply(messages.Release(session=ann, equipment=X))
            assert here.at().holds(bob)

    asyncio.run(run())


def test_a_command_accepted_behind_another_waits_and_a_strangers_stop_ends_both(path: Path) -> None:
    """CMD-15, STOP-5, STOP-6, STOP-7"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann = here.person("ann")
            here.login(ann)
            calls = [here.order(ann, 1.0), here.order(ann, 2.0)]
            await until(lambda: slide.moving)
            assert len(here.at().accepted) == 1
            assert await here.service.stop(X, None, "Cem", "the cable")
            assert [(await reply(c))["outcome"] for c in calls] == ["stopped", "stopped"]
            assert slide.driven() == ["move_to 1", "stop"]
            with pytest.raises(StoppedByAnother):
                here.order(ann, 3.0)
            assert here.at().holds(ann)
            here.service.apply(messages.Resume(session=ann, equipment=X))
            here.order(ann, 4.0)

    asyncio.run(run())


def test_a_command_that_waits_when_the_lock_ends_is_not_run(path: Path) -> None:
    """CMD-7, CMD-15"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann, _, _ = await moving_with_a_waiter(here, slide)
            second = here.order(ann, 2.0)
            here.service.apply(messages.Release(session=ann, equipment=X))
            assert (await reply(second))["outcome"] == "not_run"
            with pytest.raises(LockLost):
                here.order(ann, 3.0)
            slide.arrive()
            await until(lambda: here.at().fence == 2)
            assert slide.driven() == ["move_to 5"]

    asyncio.run(run())


def test_on_loss_finish_lets_the_move_of_the_dead_end(path: Path) -> None:
    """LOSS-4"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}, policies={X: Policy(on_loss=RestMethod.FINISH)}) as here:
            ann, bob, call = await moving_with_a_waiter(here, slide)
            here.service.apply(messages.EndSession(session=ann, why=LossCause.GONE))
            slide.arrive()
            assert (await reply(call))["outcome"] == "done"
            assert here.at().holds(bob)
            assert slide.driven() == ["move_to 5"]

    asyncio.run(run())


def test_an_authority_that_ends_stops_what_moves_and_records_its_outcome(path: Path) -> None:
    """STOP-10, CMD-8"""

    async def run() -> None:
        for driver in (Slide(), Press()):
            async with lab(path.with_suffix(f".{type(driver).__name__}"), {X: driver}) as here:
                ann = here.person("ann")
                here.login(ann)
                call = here.order(ann, 5.0, idempotency="k")
                await until(lambda driver=driver: driver.moving)  # type: ignore[misc]
                await here.service.close()
                assert driver.driven() == ["move_to 5", "stop"]
                assert (await reply(call))["outcome"] == "stopped"
                assert here.at().running is None
                row = here.disk.command("k")
                assert row is not None
                assert row.reply == call.reply
                with pytest.raises(Exception, match="ending"):
                    here.order(ann, 6.0)

    asyncio.run(run())

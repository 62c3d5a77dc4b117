"""The worker: one control command at a time, a stop that waits for nothing, and a driver that hangs or is down."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest
from fakes import Lab, Press, Slide, VirtualClock, X, Y, lab, reply, until

from authority.core.model import SessionId


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


def holder(here: Lab) -> SessionId:
    ann = here.person("ann")
    here.login(ann)
    return ann


def test_control_commands_run_one_after_another_in_the_order_of_their_acceptance(path: Path) -> None:
    """CMD-4"""

    async def run() -> None:
        press = Press()
        async with lab(path, {X: press}) as here:
            ann = holder(here)
            calls = [here.order(ann, float(n)) for n in (3, 1, 2)]
            for n, call in enumerate(calls, start=1):
                await until(lambda n=n: len(press.driven()) == n)  # type: ignore[misc]
                press.arrive()
                assert (await reply(call))["outcome"] == "done"
            assert press.driven() == ["move_to 3", "move_to 1", "move_to 2"]
            assert press.most_at_once == 1

    asyncio.run(run())


def test_an_observe_command_runs_beside_a_control_command_in_a_thread_of_its_own(path: Path) -> None:
    """CMD-5, DRV-2"""

    async def run() -> None:
        press = Press()
        async with lab(path, {X: press}) as here:
            call = here.order(holder(here), 5.0)
            await until(lambda: press.moving)
            assert msgspec.json.decode(await here.workers[X].observe("where", {})) == 0.0
            assert not call.over.is_set()
            assert await here.workers[X].stop()
            threads = press.threads
            assert len({threads["move_to"], threads["where"], threads["readback"], threads["stop"]}) == 4
            assert threading.get_ident() not in threads.values()
            await reply(call)

    asyncio.run(run())


def test_a_driver_that_hangs_in_every_call_delays_neither_another_equipment_nor_a_decision(path: Path) -> None:
    """DRV-2, CMD-5"""

    async def run() -> None:
        press, slide = Press(), Slide()
        async with lab(path, {X: press, Y: slide}) as here:
            ann, bob = holder(here), here.person("bob")
            press.hangs |= {"move_to", "readback", "where", "stop"}
            here.order(ann, 5.0, X)
            observing = asyncio.ensure_future(here.workers[X].observe("where", {}))
            stopping = asyncio.ensure_future(here.service.stop(X, None, "Cem", None))
            await until(lambda: "stop" in press.calls)
            here.login(bob, Y)
            call = here.order(bob, 7.0, Y)
            await until(lambda: slide.moving)
            slide.arrive()
            assert (await reply(call))["outcome"] == "done"
            assert here.service.status(X).readback.position == 0.0
            assert not stopping.done(), "all that was served while the stop was on its way"
            await stopping
            press.let_go()
            await observing

    asyncio.run(run())


def test_a_stop_waits_neither_for_a_command_nor_for_a_readback_that_hangs(path: Path) -> None:
    """STOP-3, STOP-4"""

    async def run() -> None:
        press = Press()
        async with lab(path, {X: press}) as here:
            call = here.order(holder(here), 5.0)
            await until(lambda: press.moving)
            press.hangs |= {"readback"}
            assert await here.service.stop(X, None, "Cem", "smoke")
            press.let_go()
            assert (await reply(call))["outcome"] == "stopped"

    asyncio.run(run())


def test_a_stop_that_hangs_is_told_as_not_delivered_and_the_next_one_is_tried_all_the_same(path: Path) -> None:
    """STOP-4, STOP-12"""

    async def run() -> None:
        press = Press()
        async with lab(path, {X: press}) as here:
            holder(here)
            press.hangs |= {"stop"}
            both = await asyncio.gather(*(here.service.stop(X, None, "Cem", None) for _ in range(2)))
            assert [stop.delivered for stop in both] == [False, False]
            press.hangs.clear()
            assert await here.service.stop(X, None, "Cem", None)
            await here.service.wait_until_committed()
            stops = [r.body for r in here.service.events(equipment=X, limit=9) if b'"stopped"' in r.body]
            assert [b'"delivered":true' in body for body in stops] == [False, False, True]

    asyncio.run(run())


def test_two_stops_at_once_are_both_delivered(path: Path) -> None:
    """STOP-12"""

    async def run() -> None:
        press = Press()
        async with lab(path, {X: press}) as here:
            call = here.order(holder(here), 5.0)
            await until(lambda: press.moving)
            both = await asyncio.gather(*(here.service.stop(X, None, name, None) for name in ("Bob", "Cem")))
            assert [stop.delivered for stop in both] == [True, True]
            assert (await reply(call))["outcome"] == "stopped"

    asyncio.run(run())


def test_stops_leave_no_thread_behind(path: Path) -> None:
    """DRV-2"""

    async def run() -> None:
        async with lab(path, {X: Press()}) as here:
            for _ in range(20):
                assert await here.workers[X].stop()
            await until(lambda: not [t for t in threading.enumerate() if t.name == f"{X}-stop"])
        await until(lambda: not [t for t in threading.enumerate() if t.name.startswith(f"{X}-")])

    asyncio.run(run())


def test_a_command_that_waits_for_its_commit_when_a_stop_comes_never_reaches_the_driver(path: Path) -> None:
    """STOP-5"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann = holder(here)
            await here.service.wait_until_committed()
            here.disk.hold()
            call = here.order(ann, 5.0)
            assert await here.service.stop(X, None, "Cem", None)
            here.disk.let.set()
            assert (await reply(call))["outcome"] == "stopped"
            assert slide.driven() == ["stop"]

    asyncio.run(run())


def test_what_was_accepted_before_a_stop_never_begins_though_the_running_command_ends_first(path: Path) -> None:
    """STOP-5, CMD-15"""

    async def run() -> None:
        press = Press()
        async with lab(path, {X: press}) as here:
            ann = holder(here)
            first, second = here.order(ann, 1.0), here.order(ann, 2.0)
            await until(lambda: press.moving)
            press.hangs |= {"stop"}
            stopping = asyncio.ensure_future(here.service.stop(X, None, "Cem", None))
            await until(lambda: "stop" in press.calls)
            press.arrive()
            await until(lambda: not press.moving)
            third = here.order(ann, 3.0)
            assert not (await stopping).delivered
            assert (await reply(first))["outcome"] == "done", "the stop was not delivered: the move arrived"
            assert (await reply(second))["outcome"] == "stopped"
            assert (await reply(third))["outcome"] == "stopped", "it came while the stop was on its way"
            assert press.driven() == ["move_to 1", "stop"]

    asyncio.run(run())


def test_a_stop_that_is_delivered_ends_the_command_as_stopped_whatever_the_driver_then_does(path: Path) -> None:
    """STOP-5, DRV-10"""

    class Returns(Slide):
        def stop(self) -> None:
            self.calls.append("stop")
            self.arrive()

    class Raises(Slide):
        def stop(self) -> None:
            self.calls.append("stop")
            assert self._end is not None
            self._end.set_exception(RuntimeError("axis error 7"))

    async def run() -> None:
        drivers = {X: Returns(), Y: Raises()}
        async with lab(path, drivers) as here:
            ann = holder(here)
            here.login(ann, Y)
            for key, driver in drivers.items():
                call = here.order(ann, 5.0, key)
                await until(lambda driver=driver: driver.moving)  # type: ignore[misc]
                assert await here.service.stop(key, ann, "Ann", None)
                assert (await reply(call))["outcome"] == "stopped"

    asyncio.run(run())


def test_a_command_that_returns_while_the_stop_is_still_on_its_way_is_stopped_once_that_is_delivered(
    path: Path,
) -> None:
    """STOP-5, DRV-10"""

    class Returns(Press):
        def stop(self) -> None:
            self.calls.append("stop")
            self.arrive()
            self.free.wait()

    async def run() -> None:
        press = Returns()
        async with lab(path, {X: press}) as here:
            call = here.order(holder(here), 5.0)
            await until(lambda: here.workers[X].readback.moving)
            stopping = asyncio.ensure_future(here.service.stop(X, None, "Cem", None))
            await until(lambda: not here.workers[X].readback.moving)
            assert not call.over.is_set()
            press.let_go()
            assert await stopping
            assert (await reply(call))["outcome"] == "stopped"

    asyncio.run(run())


def test_a_driver_that_raises_ends_its_command_as_failed_and_the_lock_is_kept(path: Path) -> None:
    """CMD-17"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann = holder(here)
            told = await reply(here.order(ann, -1.0))
            assert (told["outcome"], told["success"]) == ("failed", False)
            assert told["error"] == "the drive is blocked"
            assert here.at().holds(ann)
            call = here.order(ann, 1.0)
            await until(lambda: slide.moving)
            slide.arrive()
            assert (await reply(call))["outcome"] == "done"

    asyncio.run(run())


def test_a_driver_that_is_down_keeps_the_lock_and_is_opened_until_it_answers(path: Path) -> None:
    """DRV-6, DRV-7"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann = holder(here)
            slide.down = True
            await until(lambda: not here.workers[X].readback.connected)
            assert here.workers[X].readback.error == "the cable is out"
            await until(lambda: slide.calls.count("open") >= 2)
            slide.down = False
            await until(lambda: here.workers[X].readback.connected)
            assert here.at().holds(ann)
            assert here.at().fence == 1

    asyncio.run(run())


def test_a_position_that_changes_with_no_command_of_ours_is_moved_outside(path: Path) -> None:
    """DRV-8"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            slide.position = 12.0
            await until(lambda: here.workers[X].readback.position == 12.0)
            await here.service.wait_until_committed()
            assert here.events(X) == ["moved_outside"]

    asyncio.run(run())


def test_our_own_motion_is_not_moved_outside_also_where_the_driver_does_not_wait_for_its_end(path: Path) -> None:
    """DRV-8"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann = holder(here)
            call = here.order(ann, 3.0)
            await until(lambda: slide.moving)
            slide.arrive()
            await reply(call)
            assert (await reply(here.order(ann, 0.0, action="nudge")))["outcome"] == "done"
            slide.position, slide.moving = 9.0, False
            await until(lambda: here.workers[X].readback.position == 9.0 and not here.at().moving)
            await here.service.wait_until_committed()
            assert "moved_outside" not in here.events(X)

    asyncio.run(run())


def test_the_readback_is_cached_and_carries_its_age_while_the_driver_hangs(path: Path) -> None:
    """DRV-4"""

    async def run() -> None:
        press, clock = Press(), VirtualClock()
        async with lab(path, {X: press}, clock=clock) as here:
            press.position = 4.0
            await until(lambda: here.workers[X].readback.position == 4.0)
            press.hangs |= {"readback"}
            press.position = 5.0
            clock.advance(30.0)
            shown = here.service.status(X).readback
            assert shown.position == 4.0
            assert 29.0 <= shown.age_seconds <= 30.0
            await until(lambda: not here.workers[X].readback.connected)
            assert here.workers[X].readback.error == "the driver does not answer"

    asyncio.run(run())

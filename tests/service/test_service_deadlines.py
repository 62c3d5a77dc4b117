"""One timer at the earliest deadline: it costs nothing to put one off, and many due at once hold up nobody."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from fakes import Lab, Slide, VirtualClock, X, lab, until

from authority.clock import SystemClock
from authority.core import messages
from authority.core.model import LossCause, Session, SessionId
from authority.deadline_timer import CHECKS_PER_LOOP_TURN, DeadlineScheduler


class Deadlines:
    """What a scheduler looks at, and how often."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.looked: list[str] = []
        self.asked = 0

    def at(self, key: str) -> float | None:
        self.asked += 1
        return self.due.get(key)

    def look(self, key: str) -> None:
        self.looked.append(key)
        self.due.pop(key, None)


def test_what_is_due_is_looked_at_in_the_order_of_its_deadlines() -> None:
    """LIVE-18"""

    async def run() -> list[str]:
        clock, deadlines = VirtualClock(), Deadlines()
        scheduler = DeadlineScheduler(clock, deadlines.at, deadlines.look)
        deadlines.due = {"c": clock.now() + 3, "a": clock.now() + 1, "b": clock.now() + 2, "later": clock.now() + 99}
        for key in deadlines.due:
            scheduler.schedule(key)
        clock.advance(3.0)
        deadlines.due["now"] = clock.now()
        scheduler.schedule("now")
        await until(lambda: len(deadlines.looked) == 4)
        return deadlines.looked

    assert asyncio.run(run()) == ["a", "b", "c", "now"]


def test_one_that_has_ended_looks_at_nothing_any_more() -> None:
    """LIVE-18"""

    async def run() -> None:
        clock, deadlines = VirtualClock(), Deadlines()
        scheduler = DeadlineScheduler(clock, deadlines.at, deadlines.look)
        deadlines.due = {"a": clock.now() - 1, "b": clock.now() - 1}
        scheduler.schedule("a")
        scheduler.close()
        scheduler.schedule("b")
        for _ in range(3):
            await asyncio.sleep(0)
        assert deadlines.looked == []

    asyncio.run(run())


def test_to_put_a_deadline_off_costs_no_new_timer_and_no_memory() -> None:
    """LIVE-18"""

    async def run() -> None:
        clock, deadlines = VirtualClock(), Deadlines()
        scheduler = DeadlineScheduler(clock, deadlines.at, deadlines.look)
        deadlines.due["s"] = clock.now() + 60
        scheduler.schedule("s")
        timers: list[object] = []
        loop = asyncio.get_running_loop()
        loop.call_later = lambda *timer: timers.append(timer)  # type: ignore[assignment,method-assign]
        for _ in range(10_000):
            clock.advance(0.001)
            deadlines.due["s"] = clock.now() + 60
            scheduler.schedule("s")
        assert timers == []
        assert len(scheduler) == 1

    asyncio.run(run())


def test_what_was_put_off_is_looked_at_when_it_is_due_and_not_before() -> None:
    """LIVE-18"""

    async def run() -> None:
        clock, deadlines = VirtualClock(), Deadlines()
        scheduler = DeadlineScheduler(clock, deadlines.at, deadlines.look)
        deadlines.due["s"] = clock.now() + 0.01
        scheduler.schedule("s")
        deadlines.due["s"] = clock.now() + 0.05
        clock.advance(0.02)
        deadlines.due["other"] = clock.now()
        scheduler.schedule("other")
        await until(lambda: deadlines.looked == ["other"])
        assert len(scheduler) == 1
        clock.advance(0.04)
        deadlines.due["other"] = clock.now()
        scheduler.schedule("other")
        await until(lambda: deadlines.looked == ["other", "s", "other"])

    asyncio.run(run())


@pytest.mark.parametrize("all_due", [True, False], ids=["due", "put off"])
def test_ten_thousand_deadlines_at_once_are_worked_off_in_portions_between_which_others_run(all_due: bool) -> None:
    """LIVE-18"""

    async def run() -> tuple[int, int]:
        clock, deadlines = VirtualClock(), Deadlines()
        scheduler = DeadlineScheduler(clock, deadlines.at, deadlines.look)
        at = clock.now() + 1
        for n in range(10_000):
            deadlines.due[f"s{n}"] = at
            scheduler.schedule(f"s{n}")
        clock.advance(1.0)
        if not all_due:
            deadlines.due = dict.fromkeys(deadlines.due, at + 60)
        deadlines.asked = 0
        scheduler.ring()
        most, turns = deadlines.asked, 1
        while deadlines.asked < 10_000:
            before = deadlines.asked
            await asyncio.sleep(0)
            most, turns = max(most, deadlines.asked - before), turns + 1
        return most, turns

    most, turns = asyncio.run(run())
    print(f"10,000 at once: at most {most} in one turn of the loop, {turns} turns")
    assert most <= 2 * CHECKS_PER_LOOP_TURN


def test_what_is_forgotten_takes_no_memory() -> None:
    """LIVE-17"""

    async def run() -> None:
        clock, deadlines = VirtualClock(), Deadlines()
        scheduler = DeadlineScheduler(clock, deadlines.at, deadlines.look)
        for n in range(10_000):
            deadlines.due = {f"s{n}": clock.now() + 31_536_000}
            scheduler.schedule(f"s{n}")
            scheduler.cancel(f"s{n}")
        assert len(scheduler) < 200

    asyncio.run(run())


def test_a_jump_of_the_wall_clock_ends_shortens_and_lengthens_nothing(tmp_path: Path) -> None:
    """LIVE-19, REST-9"""

    async def run() -> None:
        clock = VirtualClock()
        async with lab(tmp_path / "data", {X: Slide()}, clock=clock) as here:
            ann = here.person("ann")
            here.login(ann)
            before = here.service.status(X)
            for jump in (86_400.0, -2 * 86_400.0):
                clock.step_wall(jump)
                here.service.apply(messages.TimerTick(equipment=X, session=ann))
                after = here.service.status(X)
                assert after.ending is not None
                assert before.ending is not None
                assert after.ending.in_seconds == before.ending.in_seconds
                assert here.at().holds(ann)
                assert after.acquired_at != before.acquired_at, "people are shown the clock on the wall"
            clock.advance(300.0)
            here.service.apply(messages.TimerTick(equipment=X))
            assert not here.at().holds(ann)

    asyncio.run(run())


def test_a_wall_clock_that_went_back_before_a_start_puts_nothing_into_the_future() -> None:
    """LIVE-19, LIVE-20"""
    ahead = time.time() + 3600.0
    clock = SystemClock(not_before=ahead)
    assert clock.now() >= ahead
    assert abs(clock.wall(clock.now()) - time.time()) < 60.0, "people are shown the wall clock as it stands"


def test_ten_thousand_sessions_that_expire_together_end_while_others_are_served(tmp_path: Path) -> None:
    """LIVE-15, LIVE-18"""

    async def run() -> list[int]:
        clock = VirtualClock()
        async with lab(tmp_path / "data", {X: Slide()}, clock=clock) as here:
            now = clock.now()
            for n in range(10_000):
                name = SessionId(f"s{n}")
                here.service.apply(
                    messages.OpenSession(
                        session=Session(id=name, user="u", created_at=now, last_seen=now, timeout_s=60.0)
                    )
                )
            await here.service.wait_until_committed()
            bob = here.person("bob", timeout_s=0.0)
            clock.advance(61.0)
            here.service.deadlines.ring()
            left = [10_000]
            while left[-1]:
                here.service.apply(messages.SignOfLife(session=bob))
                await asyncio.sleep(0)
                left.append(sum(session.id != bob for session in here.service.table.all_sessions()))
            return left

    left = asyncio.run(run())
    ended_between_two_requests = [before - after for before, after in pairwise(left)]
    assert max(ended_between_two_requests) <= CHECKS_PER_LOOP_TURN


def test_a_session_takes_little_memory_and_leaves_none_behind(tmp_path: Path) -> None:
    """LIVE-17"""

    async def traced(here: Lab) -> tuple[int, int]:
        for n in range(2_000):
            here.person(f"s{n}", timeout_s=31_536_000.0)
        await here.service.wait_until_committed()
        full = tracemalloc.get_traced_memory()[0]
        for n in range(2_000):
            here.service.apply(messages.EndSession(session=SessionId(f"s{n}"), why=LossCause.SESSION_ENDED))
        await here.service.wait_until_committed()
        return full, tracemalloc.get_traced_memory()[0]

    async def run() -> tuple[float, float]:
        async with lab(tmp_path / "data", {X: Slide()}) as here:
            here.disk.keeps_batches = False
            tracemalloc.start()
            _, empty = await traced(here)  # the first round fills what is kept once for all
            full, left = await traced(here)
            tracemalloc.stop()
            return (full - empty) / 2_000, (left - empty) / 2_000

    each, left = asyncio.run(run())
    print(f"{each:.0f} bytes for each session, {left:.0f} left of one that has ended")
    assert each < 4_096
    assert left < 40

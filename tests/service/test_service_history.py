"""History says where the equipment was, so that a picture of it can be drawn from events alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from fakes import Lab, Slide, VirtualClock, X, lab, reply, until

from authority.core import messages
from authority.core.model import SessionId

BEFORE = Path(__file__).with_name("before_positions.sql")
ITS_TIME = 1_795_335_100.0  # when it was written: what is older than 90 days would be forgotten


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


def told(here: Lab) -> list[Mapping[str, object]]:
    """All stored events of the slide, oldest first."""
    return [msgspec.json.decode(row.body) for row in here.service.events(equipment=X, limit=1000)]


def places(here: Lab) -> list[tuple[object, object, object]]:
    """What each event that says where tells."""
    return [(x["event"], x["position"], x["units"]) for x in told(here) if "units" in x]


def test_the_events_of_a_lock_a_command_a_stop_and_a_motion_from_outside_say_where_the_equipment_was(
    path: Path,
) -> None:
    """STORE-10"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}, clock=VirtualClock()) as here:
            ann = here.person("ann")
            here.login(ann)
            call = here.order(ann, 5.0)
            await until(lambda: slide.moving)
            slide.arrive()
            await reply(call)
            call = here.order(ann, 9.0)
            await until(lambda: slide.moving)
            slide.position = 7.0
            await here.service.stop(X, None, "Bob", "a cable")
            await reply(call)
            here.service.apply(messages.Release(session=ann, equipment=X))
            await here.service.wait_until_committed()
            slide.position = 6.5
            await until(lambda: "moved_outside" in here.events(X))
            assert places(here) == [
                ("lock_acquired", 0.0, "mm"),
                ("command_started", 0.0, "mm"),
                ("command_finished", 5.0, "mm"),
                ("command_started", 5.0, "mm"),
                ("stopped", 7.0, "mm"),
                ("command_finished", 7.0, "mm"),
                ("lock_released", 7.0, "mm"),
                ("moved_outside", 6.5, "mm"),
            ]

    asyncio.run(run())


def test_where_equipment_is_that_cannot_be_read_is_not_guessed(path: Path) -> None:
    """STORE-10"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}, clock=VirtualClock()) as here:
            slide.position, slide.down = 4.0, True
            await until(lambda: not here.workers[X].readback.connected)
            here.login(here.person("ann"))
            await here.service.wait_until_committed()
            assert places(here) == [("lock_acquired", None, None)]

    asyncio.run(run())


def test_what_was_stored_before_events_said_where_is_taken_up_and_history_goes_on(path: Path) -> None:
    """STORE-10 STORE-3"""
    with sqlite3.connect(path) as before:
        before.executescript(BEFORE.read_text(encoding="utf-8"))
    before.close()

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}, clock=VirtualClock(ITS_TIME)) as here:
            holder = here.at().lock
            assert holder is not None
            assert (holder.user, holder.fence) == ("Bob", 2)
            old = told(here)
            assert [x["event"] for x in old][-2:] == ["lock_acquired", "lock_claimed"]
            assert not any("units" in x for x in old)
            call = here.order(SessionId(holder.session), 5.0)
            await until(lambda: slide.moving)
            slide.arrive()
            assert (await reply(call))["outcome"] == "done"
            assert told(here)[: len(old)] == old
            assert places(here) == [("command_started", 0.0, "mm"), ("command_finished", 5.0, "mm")]

    asyncio.run(run())

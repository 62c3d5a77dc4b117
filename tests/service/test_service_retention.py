"""What is forgotten, and by which time: a clock that is wrong at the start costs no history and no key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes import Disk, VirtualClock, X, lab, reply, until
from timeline import Sprint

import authority.retention
from authority.ports import Batch, EventRow
from authority.retention import (
    DAY_S,
    HOUR_S,
    PLAUSIBLE_STEP_OF_COMMANDS_S,
    PLAUSIBLE_STEP_OF_HISTORY_S,
    BelievedTime,
    Retention,
)

BEGUN = 1_000_000_000.0
YEAR_S = 365 * DAY_S


class CountingDisk(Disk):
    """A disk that counts how often it was asked to forget, and to remember until when it did."""

    forgotten = 0
    remembered = 0

    def forget(self, *, events_before: float, commands_before: float, at_most: int = 5000) -> bool:
        more = super().forget(events_before=events_before, commands_before=commands_before, at_most=at_most)
        self.forgotten += 1
        return more

    def set_meta(self, key: str, value: str) -> None:
        super().set_meta(key, value)
        self.remembered += 1


async def two_rounds(disk: Disk) -> None:
    """Return once housekeeping has looked at the clock as it stands, and written down what it believes."""
    assert isinstance(disk, CountingDisk)
    forgotten = disk.forgotten
    remembered = disk.remembered
    await until(lambda: disk.forgotten >= forgotten + 2 and disk.remembered >= remembered + 4)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(authority.retention, "HOUSEKEEPING_S", 0.01)
    return tmp_path / "motorlock.sqlite3"


def filled(path: Path) -> list[str]:
    """Leave a history and the key of a command that is over; return the names of its events."""

    async def run() -> list[str]:
        async with lab(path, {X: Sprint()}, clock=VirtualClock(BEGUN)) as here:
            ann = here.person("ann", timeout_s=0.0)
            here.login(ann)
            await reply(here.order(ann, 1.0, idempotency="once"))
            await here.service.wait_until_committed()
            return here.events()

    return asyncio.run(run())


@pytest.mark.parametrize("ahead", [YEAR_S, 10 * YEAR_S, 100 * DAY_S])
def test_a_start_with_a_clock_that_is_ahead_forgets_nothing_and_nor_do_starts_after_it_was_set_right(
    path: Path, ahead: float
) -> None:
    """STORE-11, STORE-8, CMD-9"""
    kept = filled(path)

    async def run() -> None:
        wrong = VirtualClock(BEGUN + ahead)
        async with lab(path, {X: Sprint()}, clock=wrong, disk=CountingDisk) as here:
            wrong.advance(7 * HOUR_S)
            await two_rounds(here.disk)
            wrong.step_wall(-ahead)
            wrong.advance(HOUR_S / 2)
            await two_rounds(here.disk)
            assert here.events()[: len(kept)] == kept
            assert here.disk.command("once") is not None, "asked for again, the motor would move again"
        for _ in range(3):  # the newest event bears the wrong time, and so does all that follows
            again = VirtualClock(BEGUN + ahead + 8 * HOUR_S)
            again.step_wall(-ahead)
            async with lab(path, {X: Sprint()}, clock=again, disk=CountingDisk) as here:
                again.advance(2 * DAY_S)
                await two_rounds(here.disk)
                assert here.events()[: len(kept)] == kept

    asyncio.run(run())


def test_a_clock_that_nobody_set_right_for_a_day_is_believed(path: Path) -> None:
    """STORE-11, STORE-8"""
    kept = filled(path)

    async def run() -> None:
        clock = VirtualClock(BEGUN + YEAR_S)
        async with lab(path, {X: Sprint()}, clock=clock, disk=CountingDisk) as here:
            clock.advance(DAY_S - 1)
            await two_rounds(here.disk)
            assert here.events()[: len(kept)] == kept
            clock.advance(1)
            await two_rounds(here.disk)
            assert here.events()[: len(kept)] != kept
            assert here.disk.command("once") is None

    asyncio.run(run())


def test_a_key_is_forgotten_in_its_time_by_an_authority_that_is_switched_off_overnight(path: Path) -> None:
    """STORE-11, CMD-9"""
    filled(path)

    async def run() -> None:
        clock = VirtualClock(BEGUN + 15 * HOUR_S)
        async with lab(path, {X: Sprint()}, clock=clock, disk=CountingDisk) as here:
            clock.advance(9 * HOUR_S)
            await two_rounds(here.disk)
            assert here.disk.command("once") is not None
            clock.advance(HOUR_S)
            await two_rounds(here.disk)
            assert here.disk.command("once") is None

    asyncio.run(run())


def test_what_was_believed_is_taken_up_by_the_next_start(path: Path) -> None:
    """STORE-11"""
    filled(path)

    async def run() -> None:
        clock = VirtualClock(BEGUN + YEAR_S)
        async with lab(path, {X: Sprint()}, clock=clock, disk=CountingDisk) as here:
            clock.advance(HOUR_S)
            await two_rounds(here.disk)
            history = float(here.disk.meta("history_believed_until", "never"))
            commands = float(here.disk.meta("commands_believed_until", "never"))
        assert history == pytest.approx(BEGUN + PLAUSIBLE_STEP_OF_HISTORY_S + HOUR_S, abs=60)
        assert commands == pytest.approx(BEGUN + PLAUSIBLE_STEP_OF_COMMANDS_S + HOUR_S, abs=60)

    asyncio.run(run())


def test_time_that_nobody_saw_pass_counts_up_to_a_plausible_step_and_time_that_runs_counts_in_full() -> None:
    """STORE-11"""
    clock = VirtualClock(BEGUN)
    assert BelievedTime(clock, BEGUN - HOUR_S, DAY_S).now() == BEGUN
    assert BelievedTime(clock, BEGUN + HOUR_S, DAY_S).now() == BEGUN, "what is believed is never in the future"
    doubted = BelievedTime(clock, BEGUN - 10 * DAY_S, DAY_S)
    assert doubted.now() == BEGUN - 9 * DAY_S
    clock.advance(HOUR_S)
    assert doubted.now() == BEGUN - 9 * DAY_S + HOUR_S
    clock.advance(DAY_S)
    assert doubted.now() == BEGUN + DAY_S + HOUR_S
    clock.step_wall(-HOUR_S)
    assert doubted.now() == BEGUN + DAY_S + HOUR_S, "an hour is daylight saving"
    clock.step_wall(-1.0)
    assert doubted.now() == BEGUN - 8 * DAY_S + HOUR_S


def test_keys_are_never_kept_longer_than_history(tmp_path: Path) -> None:
    """STORE-11"""

    class Asked(Disk):
        commands_before = 0.0
        events_before = 0.0

        def forget(self, *, events_before: float, commands_before: float, at_most: int = 5000) -> bool:
            self.commands_before = commands_before
            self.events_before = events_before
            return False

    store = Asked(tmp_path / "motorlock.sqlite3")
    store.write(Batch([EventRow(1, BEGUN, "x", None, b"{}")], {}, {}, []))
    clock = VirtualClock(BEGUN + 3 * DAY_S)
    store.set_meta("commands_believed_until", str(BEGUN - YEAR_S))
    retention = Retention(store, clock, lambda work: work(), history_days=90.0, last_event_at=BEGUN)

    async def run_until_it_sleeps() -> None:
        running = asyncio.ensure_future(retention.run())
        await asyncio.sleep(0)
        running.cancel()

    asyncio.run(run_until_it_sleeps())
    assert store.events_before == BEGUN + 3 * DAY_S - 90 * DAY_S
    assert store.commands_before == store.events_before
    store.close()

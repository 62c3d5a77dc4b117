"""A store that fails: what moves is stopped, nobody is told anything more, and stop still works."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from ear import Ear
from fakes import PATIENCE_S, Disk, Press, Slide, X, Y, apply_and_wait, lab, until

import authority.service
from authority.committer import Committer, StoreFailed
from authority.core import messages
from authority.core.model import Session, SessionId
from authority.ports import CommandRow, EventRow
from authority.service import RequestFailed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


def test_a_store_that_fails_stops_what_moves_and_releases_everybody_who_waits(path: Path) -> None:
    """STORE-7, STOP-10"""

    async def run() -> None:
        slide, press = Slide(), Press()
        async with lab(path, {X: slide, Y: press}) as here:
            ann = here.person("ann")
            here.login(ann, X)
            here.login(ann, Y)
            calls = [here.order(ann, 5.0, X), here.order(ann, 5.0, Y, idempotency="k")]
            await until(lambda: slide.moving and press.moving)
            await here.service.wait_until_committed()
            here.disk.dies_at = 0
            with pytest.raises(StoreFailed):
                await apply_and_wait(here.service, messages.Release(session=ann, equipment=X))
            await until(lambda: not slide.moving and not press.moving)
            assert slide.driven()[-1] == press.driven()[-1] == "stop"
            assert len(here.failures) == 1
            async with asyncio.timeout(PATIENCE_S):
                for call in calls:
                    await call.over.wait()
                    with pytest.raises(StoreFailed):
                        await here.service.wait_until_committed()

    asyncio.run(run())


def test_an_outcome_that_the_store_did_not_take_is_told_to_nobody(path: Path) -> None:
    """STORE-1, STORE-7"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann = here.person("ann")
            here.login(ann)
            call = here.order(ann, 5.0, idempotency="k")
            await until(lambda: slide.moving)
            await here.service.wait_until_committed()
            here.disk.dies_at = 0
            slide.arrive()
            await until(lambda: here.service.failure)
            assert call.over.is_set(), "nobody waits for it for ever"
            assert call.reply is None, "after a restart it is unknown"

    asyncio.run(run())


def test_after_the_store_has_failed_only_stop_is_served(path: Path) -> None:
    """STOP-11, STOP-1"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann = here.person("ann")
            here.login(ann)
            await here.service.wait_until_committed()
            here.disk.dies_at = 0
            with pytest.raises(StoreFailed):
                await apply_and_wait(here.service, messages.Release(session=ann, equipment=X))
            seq, stops = here.service.seq, slide.calls.count("stop")
            with pytest.raises(StoreFailed):
                here.login(ann)
            with pytest.raises(StoreFailed):
                here.order(ann, 1.0)
            assert await here.service.stop(X, None, "Cem", None)
            assert slide.calls.count("stop") >= stops + 1
            assert here.service.seq == seq
            assert not [c for c in slide.calls if c.startswith("move")]

    asyncio.run(run())


def test_all_who_wait_for_the_failed_commit_and_for_the_next_are_refused(path: Path) -> None:
    """STORE-7"""

    async def run() -> list[object]:
        async with lab(path) as here:
            ann = here.person("ann")
            await here.service.wait_until_committed()
            here.disk.dies_at = 0
            here.disk.hold()
            first = asyncio.ensure_future(apply_and_wait(here.service, messages.SignOfLife(session=ann)))
            here.login(ann)
            asked = [asyncio.ensure_future(here.service.wait_until_committed()) for _ in range(3)]
            await until(here.disk.held.is_set)
            here.person("bob")
            asked += [asyncio.ensure_future(here.service.wait_until_committed()) for _ in range(3)]
            await asyncio.sleep(0)
            here.disk.let.set()
            told = await asyncio.gather(*asked, return_exceptions=True)
            await asyncio.gather(first, return_exceptions=True)
            return [type(x) for x in told]

    assert asyncio.run(run()) == [StoreFailed] * 6


def test_a_command_whose_commit_failed_never_reaches_the_driver_and_nothing_of_it_is_pushed(path: Path) -> None:
    """STORE-1, STORE-7, CMD-8"""

    async def run() -> None:
        for after in (False, True):
            slide = Slide()
            async with lab(path.with_suffix(f".{after}"), {X: slide}) as here:
                ann = here.person("ann")
                here.login(ann)
                await here.service.wait_until_committed()
                ear = Ear(here.service.hub, here.service.seq)
                here.disk.dies_at, here.disk.dies_after_writing = 0, after
                here.order(ann, 5.0)
                with pytest.raises(StoreFailed):
                    await here.service.wait_until_committed()
                await until(lambda ear=ear: ear.closings)  # type: ignore[misc]
                assert not [c for c in slide.calls if c.startswith("move")]
                assert b"command_started" not in ear.heard

    asyncio.run(run())


def test_after_a_fault_in_a_step_the_half_filled_batch_is_never_written(path: Path) -> None:
    """STORE-7"""

    async def run() -> None:
        disk, failures = Disk(path), list[BaseException]()
        committer = Committer(disk, failures.append)
        committer.open_batch().events.append(EventRow(1, 1.0, None, None, b"{}"))
        committer.fail(RuntimeError("a fault"))
        with pytest.raises(StoreFailed):
            committer.open_batch()
        await committer.close()
        assert disk.load().seq == 0
        disk.close()

    asyncio.run(run())


def test_a_request_that_cannot_be_encoded_is_refused_alone_and_changes_nothing(path: Path) -> None:
    """REST-29"""

    async def run() -> None:
        async with lab(path, {X: Slide()}) as here:
            deep: object = "\ud800"
            session = Session(id=SessionId("s1"), user="Ann", metadata={"x": deep}, created_at=0.0, last_seen=0.0)
            before = here.service.seq
            with pytest.raises(RequestFailed):
                here.service.apply(messages.OpenSession(session=session))
            assert here.service.table.session(SessionId("s1")) is None
            assert here.service.seq == before
            assert here.failures == []
            here.login(here.person("bob"), X)
            await here.service.wait_until_committed()

    asyncio.run(run())


async def read(service: authority.service.Service, what: str) -> object:
    """Read something of the store, as a client does who asks for it."""
    match what:
        case "events":
            return service.events(limit=1)
        case "call":
            return service.find_call("of an earlier run")
        case _:
            return await service.replay(0, 10)


@pytest.mark.parametrize("error", [sqlite3.DatabaseError("malformed"), OSError(5, "Input/output error")], ids=str)
@pytest.mark.parametrize("what", ["events", "call", "replay"])
def test_a_read_that_fails_is_a_failure_of_the_store(path: Path, what: str, error: Exception) -> None:
    """STORE-17"""

    class Unreadable(Disk):
        def events(self, **_: object) -> list[EventRow]:
            raise error

        def replay(self, **_: object) -> list[EventRow]:
            raise error

        def command(self, key: str) -> CommandRow | None:
            raise error

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}, disk=Unreadable) as here:
            ann = here.person("ann")
            here.login(ann)
            here.order(ann, 5.0)
            await until(lambda: slide.moving)
            await here.service.wait_until_committed()
            with pytest.raises(StoreFailed):
                await read(here.service, what)
            await until(lambda: not slide.moving)
            assert here.failures == [error]
            with pytest.raises(StoreFailed):
                here.login(ann)

    asyncio.run(run())


def test_after_a_failure_it_serves_until_nothing_moves_but_not_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STORE-18"""
    monkeypatch.setattr(authority.service, "NOTIFY_AFTER_FAILURE_S", 0.0)

    async def run(*, deaf: bool, at_most_s: float) -> bool:
        monkeypatch.setattr(authority.service, "REST_AFTER_FAILURE_S", at_most_s)
        slide = Slide()
        slide.deaf = deaf
        async with lab(path, {X: slide}) as here:
            ann = here.person("ann")
            here.login(ann)
            here.order(ann, 5.0)
            await until(lambda: here.workers[X].readback.moving)
            here.disk.dies_at = 0
            with pytest.raises(StoreFailed):
                await apply_and_wait(here.service, messages.Release(session=ann, equipment=X))
            await here.service.rest_after_failure()
            moves = here.workers[X].readback.moving is True
            slide.deaf = False
            return moves

    assert asyncio.run(run(deaf=False, at_most_s=PATIENCE_S)) is False
    assert asyncio.run(run(deaf=True, at_most_s=0.2)) is True

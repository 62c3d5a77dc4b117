"""Group commit: many requests share one, and nobody hears of a step before it is on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from ear import Ear
from fakes import Disk, Lab, Slide, VirtualClock, X, Y, apply_and_wait, lab, reply, until

from authority.committer import Committer, StoreFailed
from authority.core import messages
from authority.core.model import Session, SessionId
from authority.core.refusals import EquipmentInUse
from authority.ports import EventRow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


def opening(name: str, now: float) -> messages.OpenSession:
    return messages.OpenSession(session=Session(id=SessionId(name), user=name, created_at=now, last_seen=now))


def test_requests_that_arrive_together_share_a_commit_and_keep_their_order(path: Path) -> None:
    """STORE-1, STORE-6"""

    async def run() -> tuple[int, list[str]]:
        async with lab(path) as here:
            before, now = here.service.committer.commits, here.service.clock.now()
            await asyncio.gather(*(apply_and_wait(here.service, opening(f"s{n:03}", now)) for n in range(300)))
            rows = here.service.events(limit=1000)
            assert [r.seq for r in rows] == list(range(1, 301))
            return here.service.committer.commits - before, [str(r.session) for r in rows]

    commits, order = asyncio.run(run())
    print(f"300 requests in {commits} commits")
    assert commits == 1
    assert order == [f"s{n:03}" for n in range(300)]


def test_what_is_decided_while_a_commit_is_on_its_way_joins_the_next(path: Path) -> None:
    """STORE-1"""

    async def run() -> list[int]:
        async with lab(path) as here:
            now = here.service.clock.now()
            here.disk.wrote.clear()
            here.disk.hold()
            first = asyncio.ensure_future(apply_and_wait(here.service, opening("first", now)))
            await until(here.disk.held.is_set)
            rest = [asyncio.ensure_future(apply_and_wait(here.service, opening(f"s{n}", now))) for n in range(50)]
            await until(lambda: here.service.seq == 51)
            assert not first.done()
            here.disk.let.set()
            await asyncio.gather(first, *rest)
            return [len(b.events) for b in here.disk.wrote]

    assert asyncio.run(run()) == [1, 50]


def test_neither_reply_nor_push_nor_read_nor_driver_call_happens_before_the_commit(path: Path) -> None:
    """STORE-1, CMD-8"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            ann, bob = here.person("ann"), here.person("bob")
            await here.service.wait_until_committed()
            ear = Ear(here.service.hub, here.service.seq)
            here.disk.hold()
            here.login(ann)
            call = here.order(ann, 5.0)
            asked = asyncio.ensure_future(here.service.wait_until_committed())
            with pytest.raises(EquipmentInUse):
                here.login(bob)
            refused = asyncio.ensure_future(here.service.wait_until_committed())
            await until(here.disk.held.is_set)
            for _ in range(50):
                await asyncio.sleep(0)
            assert not asked.done(), "the reply waits"
            assert not refused.done(), "a refusal that names the new holder waits too"
            assert not call.over.is_set()
            assert ear.heard == b"", "nothing is pushed"
            assert slide.driven() == [], "the driver is not called"
            assert here.service.events(equipment=X, limit=10) == [], "nothing is read"
            here.disk.let.set()
            await asyncio.gather(asked, refused)
            await until(lambda: slide.driven() == ["move_to 5"])
            assert ear.heard.index(b'"lock_acquired"') < ear.heard.index(b'"command_started"')
            slide.arrive()
            assert (await reply(call))["outcome"] == "done"

    asyncio.run(run())


def test_the_reply_to_a_command_waits_for_the_commit_of_its_end(path: Path) -> None:
    """STORE-1, CMD-8"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            call = here.order(_holder(here), 5.0, idempotency="k")
            await until(lambda: slide.driven() == ["move_to 5"])
            here.disk.hold()
            slide.arrive()
            await until(here.disk.held.is_set)
            assert call.reply is None, "it could be told if the store failed now"
            assert not call.over.is_set()
            here.disk.let.set()
            await until(call.over.is_set)
            row = here.disk.command("k")
            assert row is not None
            assert row.reply == call.reply

    asyncio.run(run())


def _holder(here: Lab) -> SessionId:
    ann = here.person("ann")
    here.login(ann)
    return ann


def test_signs_of_life_and_use_are_not_written(path: Path) -> None:
    """STORE-2"""

    async def run() -> None:
        async with lab(path) as here:
            ann = _holder(here)
            await here.service.wait_until_committed()
            writes, seq = here.disk.writes, here.service.seq
            for busy in (True, False, None):
                await apply_and_wait(here.service, messages.SignOfLife(session=ann, busy=busy))
            await apply_and_wait(here.service, messages.NoteActivity(session=ann, equipment=X))
            await apply_and_wait(here.service, messages.Observe(session=ann, equipment=X))
            assert (here.disk.writes, here.service.seq) == (writes, seq)

    asyncio.run(run())


def test_a_refusal_that_rests_on_what_was_due_waits_until_that_is_on_disk(path: Path) -> None:
    """STORE-1, LIVE-18"""

    async def run() -> None:
        clock = VirtualClock()
        async with lab(path, clock=clock) as here:
            ann = here.person("ann", timeout_s=60.0)
            bob, cem = here.person("bob", timeout_s=0.0), here.person("cem", timeout_s=0.0)
            here.login(ann)
            here.login(bob, wait=True)
            clock.advance(61.0)  # the timer of Ann's session is late: it counts real seconds
            with pytest.raises(EquipmentInUse) as refused:
                here.login(cem)
            await here.service.wait_until_committed()
            told = refused.value.equipment.lock
            assert told is not None
            assert told.session == bob
            stored = msgspec.json.decode(here.disk.load().equipment[X])
            assert stored["lock"]["session"] == "bob", "Cem was told of a holder that a crash would undo"
            assert stored["lock"]["lock_id"] == told.lock_id

    asyncio.run(run())


def test_housekeeping_that_fails_fails_the_store_instead_of_hanging_every_caller(path: Path) -> None:
    """STORE-7"""

    async def run() -> None:
        disk, failures = Disk(path), list[BaseException]()
        committer = Committer(disk, failures.append)

        def broken() -> None:
            raise OSError(5, "Input/output error")

        committer.run_in_writer(broken)
        committer.open_batch().events.append(EventRow(1, 1.0, None, None, b"{}"))
        async with asyncio.timeout(10):
            with pytest.raises(StoreFailed):
                await committer.wait_until_committed()
        assert len(failures) == 1
        await committer.close()
        disk.close()

    asyncio.run(run())


def test_one_equipment_moves_while_another_waits_for_its_own_motion(path: Path) -> None:
    """CMD-5"""

    async def run() -> None:
        slow, quick = Slide(), Slide()
        async with lab(path, {X: slow, Y: quick}) as here:
            ann = _holder(here)
            here.login(ann, Y)
            waiting = here.order(ann, 1.0, X)
            call = here.order(ann, 2.0, Y)
            await until(lambda: quick.moving and slow.moving)
            quick.arrive()
            assert (await reply(call))["data"] == 2.0
            assert not waiting.over.is_set()

    asyncio.run(run())

"""Push and the journal: a slow listener is closed and resumes, and memory stays bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fakes import Disk, Lab, Slide, X, lab, reply, until

from authority.core.model import SessionId
from authority.hub import BACKLOG, Hub, Message
from authority.journal import KEPT_IN_MEMORY, Call, Journal, row
from authority.ports import Batch


def message(n: int) -> Message:
    return Message("change", b'{"seq":%d}' % n, n)


def numbers(messages: list[Message]) -> list[int | None]:
    return [m.seq for m in messages]


def test_a_listener_that_cannot_keep_up_is_closed_and_slows_nobody_else() -> None:
    """PUSH-6"""

    async def run() -> None:
        hub = Hub()
        slow, quick = hub.subscribe(0), hub.subscribe(0)
        heard = list[Message]()
        for n in range(1, BACKLOG + 2):
            hub.publish(message(n))
            heard += await quick.take(1.0)
        assert slow.closed
        assert not quick.closed
        assert numbers(heard) == list(range(1, BACKLOG + 2))

    asyncio.run(run())


def test_a_closed_listener_gets_nothing_after_the_gap() -> None:
    """PUSH-6, PUSH-3"""

    async def run() -> None:
        hub = Hub()
        slow = hub.subscribe(0)
        for n in range(1, BACKLOG + 2):
            hub.publish(message(n))
        first = await slow.take(1.0)
        hub.publish(message(BACKLOG + 2))
        assert numbers(first) == list(range(1, BACKLOG + 1)), "in order, without a gap"
        assert await slow.take(0.01) == []

    asyncio.run(run())


def test_a_listener_hears_only_what_follows_the_number_it_has() -> None:
    """PUSH-1, PUSH-3"""

    async def run() -> list[Message]:
        hub = Hub()
        listener = hub.subscribe(5)
        for n in (4, 5, 6, 7):
            hub.publish(message(n))
        return await listener.take(1.0)

    assert numbers(asyncio.run(run())) == [6, 7]


def test_every_listener_gets_the_same_bytes_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    """PUSH-1, PUSH-8, PUSH-10"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            one, two = here.service.hub.subscribe(0), here.service.hub.subscribe(0)
            ann = here.person("ann")
            here.login(ann)
            here.login(here.person("bob"), wait=True)
            await here.service.settled()
            told, also = await one.take(1.0), await two.take(1.0)
            assert all(a.frame is b.frame and a.text is b.text for a, b in zip(told, also, strict=True))
            stored = [r.body for r in here.service.events(limit=10)]
            assert len(stored) == 4
            assert all(b in m.frame and b.decode() in m.text for b, m in zip(stored, told, strict=True))

    asyncio.run(run())


def test_a_quiet_stream_returns_empty_handed_in_time_for_a_sign_of_life() -> None:
    """PUSH-4"""

    async def run() -> list[Message]:
        return await Hub().subscribe(0).take(0.01)

    assert asyncio.run(run()) == []


def test_an_authority_that_ends_closes_all_streams_also_those_that_open_then() -> None:
    """LIVE-5"""

    async def run() -> None:
        hub = Hub()
        listener = hub.subscribe(0)
        taking = asyncio.ensure_future(listener.take(30.0))
        await asyncio.sleep(0)
        hub.close()
        assert await taking == []
        assert listener.closed
        assert hub.subscribe(0).closed

    asyncio.run(run())


def holder(here: Lab) -> SessionId:
    ann = here.person("ann")
    here.login(ann)
    return ann


def test_the_journal_in_memory_is_bounded_and_older_calls_come_from_the_store(tmp_path: Path) -> None:
    """CMD-9"""

    async def run() -> None:
        disk = Disk(tmp_path / "data")
        journal = Journal(disk)
        for n in range(KEPT_IN_MEMORY + 500):
            call = Call(f"k{n}", "c", X, b"digest")
            told = b'{"n":%d}' % n
            if n < 500:
                record = row(call, 1.0, told)
                assert record is not None
                disk.write(Batch([], {}, {}, [record]))
            journal.open(call)
            if n not in (0, KEPT_IN_MEMORY + 499):
                call.conclude(told)
            journal.trim()
        assert len(journal._calls) <= KEPT_IN_MEMORY + 1
        assert journal.get("k0") is not None, "a call that is not over is never forgotten"
        assert journal.get("k7") is None
        old = journal.find("k7")
        assert old is not None
        assert (old.reply, old.digest, old.over.is_set()) == (b'{"n":7}', b"digest", True)
        disk.close()

    asyncio.run(run())


def test_a_call_without_a_key_leaves_nothing_behind(tmp_path: Path) -> None:
    """CMD-9"""

    async def run() -> None:
        slide = Slide()
        async with lab(tmp_path / "data", {X: slide}) as here:
            ann = holder(here)
            for _ in range(3):
                await reply(here.order(ann, -1.0))
            assert len(here.service._journal._calls) == 0
            assert slide.driven() == ["move_to -1"] * 3

    asyncio.run(run())


def test_the_same_key_is_answered_byte_for_byte_also_after_a_restart(tmp_path: Path) -> None:
    """CMD-9, STORE-3"""

    async def run() -> None:
        slide = Slide()
        async with lab(tmp_path / "data", {X: slide}) as here:
            call = here.order(holder(here), 5.0, idempotency="k")
            await until(lambda: slide.moving)
            assert here.service.find_call("k") is call, "asked again while it runs, it is the same call"
            slide.arrive()
            await reply(call)
            found = here.service.find_call("k")
            assert found is not None
            assert found.reply == call.reply
        async with lab(tmp_path / "data") as again:
            found = again.service.find_call("k")
            assert found is not None
            assert found.reply == call.reply
            assert again.service.find_call("another") is None

    asyncio.run(run())

"""Push and the journal: a slow listener is closed and resumes, and memory stays bounded."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from pathlib import Path

import pytest
from ear import Ear
from fakes import Disk, Lab, Slide, X, lab, reply, until

from authority.core.model import SessionId
from authority.hub import BACKLOG_BYTES, KEEPALIVE_INTERVAL_S, WRITES_PER_LOOP_TURN, Hub, Message
from authority.journal import REPLIES_IN_MEMORY, Journal, JournalCall, journal_row
from authority.ports import Batch


def message(n: int, text: str = "") -> Message:
    return Message("change", b'{"seq":%d,"text":"%s"}' % (n, text.encode()), n)


def ping() -> Message:
    return Message("ping", b"{}")


async def turn_loop(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def test_a_listener_that_cannot_keep_up_is_closed_once_and_slows_nobody_else() -> None:
    """PUSH-6 PUSH-19"""

    async def run() -> None:
        hub = Hub(ping)
        slow, quick = Ear(hub), Ear(hub)
        slow.unsent = BACKLOG_BYTES
        for n in (1, 2, 3, 4):
            hub.publish(message(n))
            await turn_loop()
            slow.unsent += n == 2
        assert (slow.numbers, slow.closings) == ([1, 2], 1)
        assert (quick.numbers, quick.closings) == ([1, 2, 3, 4], 0)

    asyncio.run(run())


def test_a_listener_whose_client_has_just_gone_is_passed_over() -> None:
    """PUSH-6"""

    async def run() -> None:
        hub = Hub(ping)
        gone, other = Ear(hub), Ear(hub)
        gone.is_gone = True
        hub.publish(message(1))
        await turn_loop()
        assert (gone.numbers, gone.closings) == ([], 0)
        assert other.numbers == [1]

    asyncio.run(run())


def test_what_a_listener_has_not_taken_of_its_snapshot_is_no_backlog() -> None:
    """PUSH-19"""

    async def run() -> None:
        hub = Hub(ping)
        far = Ear(hub, begun=False)
        far.unsent = 5
        snapshot = message(0, "x" * BACKLOG_BYTES)
        far.begin(snapshot)
        far.unsent += len(snapshot.frame) + BACKLOG_BYTES
        hub.publish(message(1))
        await turn_loop()
        assert far.numbers == [0, 1]
        far.unsent += 1
        hub.publish(message(2))
        await turn_loop()
        assert (far.numbers, far.closings) == ([0, 1], 1)

    asyncio.run(run())


def test_what_happens_while_a_listener_is_being_told_what_it_missed_follows_in_order_and_has_a_limit() -> None:
    """PUSH-3 PUSH-6"""

    async def run() -> None:
        hub = Hub(ping)
        late, too_late = Ear(hub, 1, begun=False), Ear(hub, 1, begun=False)
        for n in (1, 2, 3):
            hub.publish(message(n))
            await turn_loop()
        assert late.heard == b""
        late.begin(message(1))
        hub.publish(message(4, "x" * BACKLOG_BYTES))
        await turn_loop()
        assert late.numbers == [1, 2, 3, 4]
        assert (late.closings, too_late.closings) == (0, 1)
        too_late.begin(message(1))
        assert too_late.heard == b"", "the client comes back; half of it would be a gap"

    asyncio.run(run())


def test_a_listener_hears_only_what_follows_the_number_it_has() -> None:
    """PUSH-1, PUSH-3"""

    async def run() -> bytes:
        hub = Hub(ping)
        listener, whole = Ear(hub, 5), Ear(hub, 3)
        for n in (4, 5, 6, 7):
            hub.publish(message(n))
            hub.publish(Message("progress", b'{"of":%d}' % n))
        await turn_loop()
        assert listener.numbers == [6, 7]
        assert whole.numbers == [4, 5, 6, 7]
        return listener.heard

    assert asyncio.run(run()).count(b"event: progress") == 4


def test_a_crowd_is_served_in_slices_between_which_everything_else_has_its_turn() -> None:
    """PUSH-15"""

    async def run() -> None:
        hub = Hub(ping)
        crowd = [Ear(hub) for _ in range(5 * WRITES_PER_LOOP_TURN)]
        hub.publish(message(1))
        served = []
        for _ in range(7):
            await asyncio.sleep(0)
            served.append(sum(1 for ear in crowd if ear.numbers))
        assert served[:5] == [
            WRITES_PER_LOOP_TURN,
            2 * WRITES_PER_LOOP_TURN,
            3 * WRITES_PER_LOOP_TURN,
            4 * WRITES_PER_LOOP_TURN,
            5 * WRITES_PER_LOOP_TURN,
        ]

    asyncio.run(run())


def test_what_happens_during_a_round_goes_out_together_and_in_order_in_the_next() -> None:
    """PUSH-15"""

    async def run() -> None:
        hub = Hub(ping)
        crowd = [Ear(hub) for _ in range(3 * WRITES_PER_LOOP_TURN)]
        hub.publish(message(1))
        await asyncio.sleep(0)
        gone = crowd.pop()
        hub.unsubscribe(gone.listener)
        new = Ear(hub, 2)
        for n in (2, 3, 4):
            hub.publish(message(n))
        await turn_loop(9)
        assert {tuple(ear.numbers) for ear in crowd} == {(1, 2, 3, 4)}
        assert {len(ear.writes) for ear in crowd} == {3}, "a beginning and two rounds"
        assert new.numbers == [3, 4]
        assert gone.numbers == []

    asyncio.run(run())


def test_every_listener_gets_the_same_bytes_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    """PUSH-1, PUSH-8, PUSH-10"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            one, two = Ear(here.service.hub), Ear(here.service.hub)
            ann = here.person("ann")
            here.login(ann)
            here.login(here.person("bob"), wait=True)
            await here.service.wait_until_committed()
            await turn_loop()
            assert all(a is b for a, b in zip(one.writes[1:], two.writes[1:], strict=True))
            stored = [r.body for r in here.service.events(limit=10)]
            assert len(stored) == 4
            assert one.numbers == [1, 2, 3, 4]
            assert all(body in one.heard for body in stored)

    asyncio.run(run())


def test_both_doors_say_the_same_of_one_message() -> None:
    """PUSH-10"""
    told = message(7, "grün")
    frame, event, data, *_ = told.frame.decode().split("\n")
    assert (frame, event) == ("id: 7", "event: change")
    assert json.loads(told.text) == {"event": "change", "data": json.loads(data.removeprefix("data: "))}


CHECK_INTERVAL_S = 0.001


def test_who_has_heard_nothing_for_five_seconds_gets_a_sign_of_life_and_a_keeper_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PUSH-4 PUSH-7"""
    monkeypatch.setattr("authority.hub.KEEPALIVE_CHECK_INTERVAL_S", CHECK_INTERVAL_S)

    async def run() -> None:
        hub = Hub(ping)
        quiet, busy, keeper = Ear(hub), Ear(hub), Ear(hub, hears_events=False)
        opening = Ear(hub, begun=False)
        moment = asyncio.get_running_loop().time()
        quiet.listener.last_write_at = keeper.listener.last_write_at = moment - KEEPALIVE_INTERVAL_S
        busy.listener.last_write_at = moment - KEEPALIVE_INTERVAL_S + 60.0
        await until(lambda: quiet.heard and keeper.heard)
        hub.publish(message(1))
        await turn_loop()
        hub.close()
        assert quiet.heard == ping().frame + message(1).frame
        assert keeper.heard == ping().frame
        assert busy.heard == message(1).frame
        assert opening.heard == b""
        assert quiet.listener.last_write_at >= moment

    asyncio.run(run())


def test_signs_of_life_are_sent_as_long_as_anybody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """PUSH-4"""
    monkeypatch.setattr("authority.hub.KEEPALIVE_CHECK_INTERVAL_S", CHECK_INTERVAL_S)
    monkeypatch.setattr("authority.hub.KEEPALIVE_INTERVAL_S", 0.0)

    async def run() -> None:
        hub = Hub(ping)
        for _ in range(2):  # also for one who comes after all have left
            ear = Ear(hub)
            await until(lambda ear=ear: ear.heard.count(ping().frame) > 2)  # type: ignore[misc]
            hub.unsubscribe(ear.listener)
            await asyncio.sleep(2 * CHECK_INTERVAL_S)  # by then it has looked and found nobody
        assert not hub

    asyncio.run(run())


def test_an_authority_that_ends_closes_all_streams_also_those_that_open_then() -> None:
    """LIVE-5"""

    async def run() -> None:
        hub = Hub(ping)
        crowd = [Ear(hub) for _ in range(2 * WRITES_PER_LOOP_TURN)]
        hub.publish(message(1))
        hub.close()
        late = Ear(hub)
        hub.publish(message(2))
        await turn_loop()
        assert {(tuple(ear.numbers), ear.closings) for ear in crowd} == {((1,), 1)}, "what was told reaches all"
        assert (late.numbers, late.closings) == ([], 1)

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
        for n in range(REPLIES_IN_MEMORY + 500):
            call = JournalCall(f"k{n}", "c", X, b"digest")
            told = b'{"n":%d}' % n
            if n < 500:
                record = journal_row(call, 1.0, told)
                assert record is not None
                disk.write(Batch([], {}, {}, [record]))
            journal.open(call)
            if n not in (0, REPLIES_IN_MEMORY + 499):
                call.conclude(told)
            journal.trim()
        in_memory = sum(journal.get(f"k{n}") is not None for n in range(REPLIES_IN_MEMORY + 500))
        assert in_memory <= REPLIES_IN_MEMORY + 1
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
            calls: weakref.WeakSet[JournalCall] = weakref.WeakSet()
            for _ in range(3):
                call = here.order(ann, -1.0)
                calls.add(call)
                await reply(call)
            del call
            gc.collect()
            assert not calls
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

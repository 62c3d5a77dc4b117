"""How a stream begins: what was missed, page by page, then a snapshot that it shares with those that come with it."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import weakref
from contextlib import closing
from pathlib import Path

import pytest
from ear import Ear
from fakes import Lab, lab, until
from starlette.requests import Request
from starlette.types import Message as AsgiMessage

from authority.api import push
from authority.api.push import Snapshots, Stream, Streams
from authority.api.quotas import PeerLimit
from authority.api.request_context import AppContext
from authority.api.session_ids import SessionIds
from authority.hub import BACKLOG_BYTES
from authority.identity.users import Users
from authority.options import Options


class Client:
    """A client that takes everything, as uvicorn would serve it."""

    def __init__(self, here: Lab, streams: Streams, query: str) -> None:
        self.transport = self
        self.body = b""
        self.head: dict[str, object] = {}
        self.leaves = asyncio.Event()
        scope = {
            "type": "http", "method": "GET", "path": push.PATH, "headers": [], "query_string": query.encode(),
            "client": ("192.0.2.1", 5),
        }  # fmt: skip
        self.serving = asyncio.ensure_future(Stream(streams, Request(scope))(scope, self.receive, self.send))

    @property
    def numbers(self) -> list[int]:
        return [int(line[4:]) for line in self.body.split(b"\n") if line.startswith(b"id: ")]

    async def begun(self) -> None:
        await until(lambda: b"event: snapshot" in self.body or self.serving.done())

    async def end(self) -> None:
        self.leaves.set()
        await self.serving

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.body += data

    async def send(self, message: AsgiMessage) -> None:
        self.body += message.get("body", b"")

    async def receive(self) -> AsgiMessage:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


def streams_of(here: Lab) -> Streams:
    return Streams(AppContext(here.service, SessionIds("key"), Options(), Users()))


async def nine_events(here: Lab) -> None:
    for n in range(9):
        here.person(f"person {n}")
        await here.service.wait_until_committed()
    assert here.service.seq == 9


@pytest.mark.parametrize("page", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("after", [0, 1, 6, 8, 9, 10, 10**30, -1, -(10**30)])
def test_what_follows_a_number_is_replayed_once_and_without_a_gap_whatever_the_size_of_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, after: int
) -> None:
    """PUSH-3 PUSH-9 PUSH-17"""
    monkeypatch.setattr(push, "REPLAY_PAGE", page)

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            await nine_events(here)
            client = Client(here, streams_of(here), f"after={after}")
            await client.begun()
            here.person("one more")
            await until(lambda: client.numbers[-1] == 10)
            missed = list(range(after + 1, 10)) if after >= 0 else []
            assert client.numbers == [*missed, 9, 10], "what was missed, the snapshot, what comes"
            await client.end()
            assert not here.service.hub, "who has left is forgotten"

    asyncio.run(run())


@pytest.mark.parametrize(("after", "missed"), [(3, []), (4, [5, 6, 7, 8, 9]), (5, [6, 7, 8, 9])])
def test_a_replay_of_what_is_no_longer_kept_is_a_snapshot_and_the_oldest_that_is_kept_is_replayed(
    tmp_path: Path, after: int, missed: list[int]
) -> None:
    """PUSH-9"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            await nine_events(here)
            with closing(sqlite3.connect(tmp_path / "data")) as outside, outside:
                outside.execute("DELETE FROM events WHERE seq < 5")
            client = Client(here, streams_of(here), f"after={after}")
            await client.begun()
            assert client.numbers == [*missed, 9]
            await client.end()

    asyncio.run(run())


def test_what_is_decided_while_a_stream_opens_is_told_once_and_after_it_is_on_disk(tmp_path: Path) -> None:
    """PUSH-3 STORE-1"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            await nine_events(here)
            here.disk.hold()
            here.person("ten")
            await until(here.disk.held.is_set)
            client = Client(here, streams_of(here), "after=7")
            await until(lambda: client.numbers == [8, 9])
            await until(lambda: bool(here.service.hub))
            here.person("eleven")
            for _ in range(20):
                await asyncio.sleep(0)
            assert client.numbers == [8, 9], "what a crash could undo is told to nobody"
            here.disk.let.set()
            await until(lambda: 11 in client.numbers)
            assert client.numbers == [8, 9, 10, 10, 11], "the snapshot is of ten"
            await client.end()

    asyncio.run(run())


def test_streams_that_come_together_share_a_snapshot_and_miss_nothing(tmp_path: Path) -> None:
    """PUSH-16"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            await nine_events(here)
            snapshots = Snapshots(here.service)
            one, two, three = (Ear(here.service.hub, begun=False) for _ in range(3))
            asked = [asyncio.ensure_future(snapshots.let_in(ear.listener)) for ear in (one, two, three)]
            await asyncio.sleep(0)
            asked[2].cancel()
            here.service.hub.unsubscribe(three.listener)
            (newest, first), (also, second), hung_up = await asyncio.gather(*asked, return_exceptions=True)
            assert first is second
            assert (newest, also) == (9, 9)
            assert isinstance(hung_up, asyncio.CancelledError)
            here.person("one more")
            later, third = await snapshots.let_in(three.listener)
            assert (later, third is first) == (10, False)

    asyncio.run(run())


def test_the_next_snapshot_is_made_a_while_after_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PUSH-16"""
    monkeypatch.setattr(push, "SNAPSHOT_INTERVAL_S", 3600.0)

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            snapshots = Snapshots(here.service)
            await snapshots.let_in(Ear(here.service.hub, begun=False).listener)
            later = [asyncio.ensure_future(snapshots.let_in(Ear(here.service.hub).listener)) for _ in range(2)]
            for _ in range(20):
                await asyncio.sleep(0)
            assert not any(one.done() for one in later)
            for one in later:
                one.cancel()

    asyncio.run(run())


class Deaf(Client):
    """A client that takes nothing any more, not even the end of its stream."""

    unsent = 0
    aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    async def send(self, message: AsgiMessage) -> None:
        if not message.get("more_body", True):
            await asyncio.Event().wait()

    def abort(self) -> None:
        self.aborted = True


def test_a_client_that_does_not_even_take_the_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PUSH-19"""
    monkeypatch.setattr(push, "SLOW_CLIENT_GRACE_S", 0.01)

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            client = Deaf(here, streams_of(here), "")
            await client.begun()
            client.unsent = 10 * BACKLOG_BYTES
            here.person("ann")
            await client.serving
            assert client.aborted

    asyncio.run(run())


def test_a_stream_whose_task_is_ended_from_outside_ends(tmp_path: Path) -> None:
    """PUSH-1"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            client = Client(here, streams_of(here), "")
            await client.begun()
            client.serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client.serving
            assert not here.service.hub

    asyncio.run(run())


def test_replays_of_one_peer_wait_for_one_another_and_for_nobody_elses() -> None:
    """PUSH-17"""

    async def run() -> None:
        limit = PeerLimit(2)
        going: list[str] = []
        go_on = asyncio.Event()

        async def replay(peer: str) -> None:
            async with limit.place(peer):
                going.append(peer)
                await go_on.wait()

        class Peer(str):
            """An address that can be seen to be forgotten."""

        peers = [Peer(name) for name in ("a", "a", "a", "b", "a")]
        remembered = weakref.WeakSet(peers)
        asked = [asyncio.ensure_future(replay(peer)) for peer in peers]
        for _ in range(5):
            await asyncio.sleep(0)
        assert going == ["a", "a", "b"]
        asked[4].cancel()
        go_on.set()
        await asyncio.gather(*asked, return_exceptions=True)
        assert going == ["a", "a", "b", "a"]
        del peers, asked
        going.clear()
        gc.collect()
        assert not remembered, "no address is remembered of which nothing is asked"

    asyncio.run(run())


def test_a_stream_replays_only_at_its_peers_turn(tmp_path: Path) -> None:
    """PUSH-17"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            await nine_events(here)
            streams = streams_of(here)
            async with streams.replays.place("192.0.2.1"), streams.replays.place("192.0.2.1"):
                waits = Client(here, streams, "after=3")
                goes = Client(here, streams, "")
                await goes.begun()
                assert waits.body == b""
            await waits.begun()
            assert waits.numbers == [4, 5, 6, 7, 8, 9, 9]
            for client in (waits, goes):
                await client.end()

    asyncio.run(run())


def test_a_replay_reads_beside_the_loop(tmp_path: Path) -> None:
    """PUSH-17"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            await nine_events(here)
            read_in = list[bool]()
            replay = here.disk.replay

            def noted(**asked: int) -> object:
                try:
                    read_in.append(asyncio.get_running_loop() is None)
                except RuntimeError:
                    read_in.append(True)
                return replay(**asked)

            here.disk.replay = noted  # type: ignore[method-assign, assignment]
            assert [row.seq for row in await here.service.replay(5, 2)] == [6, 7]
            assert read_in == [True]

    asyncio.run(run())

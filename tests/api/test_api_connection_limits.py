"""How many connections there may be, what gives way, and how much is taken from one that nobody hears."""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from uvicorn.server import ServerState

from authority.api import http_protocol
from authority.api.connection_limits import STOP_ONLY_CONNECTIONS, Admission, ConnectionLimits

HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST /api/locks/acquire HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


class Line:
    """A connection that remembers that it was cut off."""

    def __init__(self) -> None:
        self.is_cut = False

    def abort(self) -> None:
        self.is_cut = True


HERE, THERE = "127.0.0.1", "10.1.1.1"


def busy(limits: ConnectionLimits, address: str = HERE) -> Line:
    """A connection on which something is being served."""
    line = Line()
    assert limits.admit(line, address, 0.0) is Admission.FULL
    limits.mark_busy(line, address)
    return line


def test_the_connection_that_is_idle_for_longest_gives_way_and_none_that_is_served() -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=3, per_address=9)
    served = busy(limits)
    first = busy(limits)
    second = Line()
    assert limits.admit(second, THERE, 0.0) is Admission.FULL
    limits.mark_idle(first, HERE)
    for expected in (second, first):
        assert limits.admit(Line(), HERE, 0.0) is Admission.FULL
        assert expected.is_cut
        limits.release(expected, THERE if expected is second else HERE)
    assert not served.is_cut


def test_one_that_is_served_keeps_no_other_of_its_address_from_giving_way() -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=9, per_address=2)
    idle = Line()
    assert limits.admit(idle, THERE, 0.0) is Admission.FULL
    busy(limits, THERE)
    assert limits.admit(Line(), THERE, 0.0) is Admission.FULL
    assert idle.is_cut


def test_beyond_all_that_are_served_some_get_a_stop_through() -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=1, per_address=9)
    served = busy(limits)
    lines = [Line() for _ in range(STOP_ONLY_CONNECTIONS + 1)]
    assert {limits.admit(line, HERE, 0.0) for line in lines} == {Admission.STOP_ONLY}
    assert [line.is_cut for line in lines] == [True] + STOP_ONLY_CONNECTIONS * [False]
    limits.release(lines[0], HERE)
    for line in lines[1:]:
        limits.mark_busy(line, HERE)
    refused = Line()
    assert limits.admit(refused, HERE, 0.0) is Admission.NONE
    limits.release(refused, HERE)
    limits.release(lines[1], HERE)
    assert limits.admit(Line(), HERE, 0.0) is Admission.STOP_ONLY
    assert not served.is_cut


def test_a_connection_for_a_stop_only_never_becomes_one_for_all() -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=1, per_address=9)
    busy(limits)
    line = Line()
    assert limits.admit(line, HERE, 0.0) is Admission.STOP_ONLY
    limits.mark_idle(line, HERE)
    assert limits.admit(Line(), HERE, 0.0) is Admission.STOP_ONLY
    assert not line.is_cut


@pytest.mark.parametrize("here", [HERE, "::1", "127.0.1.1", "::ffff:127.0.0.1"])
def test_another_machine_has_its_share_and_this_one_all(here: str) -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=12, per_address=2)
    idle = Line()
    assert limits.admit(idle, here, 0.0) is Admission.FULL
    busy(limits, THERE)
    last = busy(limits, THERE)
    assert limits.admit(Line(), THERE, 0.0) is Admission.STOP_ONLY
    assert not idle.is_cut, "it is of another address"
    limits.mark_idle(last, THERE)
    assert limits.admit(Line(), THERE, 0.0) is Admission.FULL
    assert last.is_cut
    busy(limits, "10.1.1.2")
    for _ in range(5):
        busy(limits, here)


class Address(str):
    """An address that can be seen to be forgotten."""


def test_an_address_whose_connections_have_closed_has_its_share_again(caplog: pytest.LogCaptureFixture) -> None:
    """REST-35"""
    caplog.set_level(logging.ERROR, "motorlock")  # a line that is kept would keep the address
    limits = ConnectionLimits(in_all=9, per_address=2)
    there = Address(THERE)
    remembered = weakref.ref(there)
    first = busy(limits, there)
    for _ in range(3):
        limits.release(busy(limits, there), there)
    second = busy(limits, there)
    beyond = Line()
    assert limits.admit(beyond, there, 0.0) is Admission.STOP_ONLY
    for line in (first, second, beyond):
        limits.release(line, there)
    del there
    assert remembered() is None, "no address is remembered that has no connection"


@pytest.mark.parametrize(("descriptors", "equipment_count", "last"), [(1000, 9, 900), (1000, 500, 500), (100, 0, 50)])
def test_the_last_descriptors_are_kept_for_stops_the_store_and_the_drivers(
    caplog: pytest.LogCaptureFixture, descriptors: int, equipment_count: int, last: int
) -> None:
    """REST-35"""

    def limits() -> ConnectionLimits:
        return ConnectionLimits(in_all=900, per_address=900, descriptors=descriptors, equipment_count=equipment_count)

    one = limits()
    idle = Line()
    assert one.admit(idle, HERE, 0.0, descriptor=last - 1) is Admission.FULL
    assert one.admit(Line(), HERE, 0.0, descriptor=last) is Admission.FULL
    assert idle.is_cut
    another = limits()
    assert another.admit(Line(), HERE, 0.0, descriptor=last) is Admission.STOP_ONLY
    warned = [line for line in caplog.messages if line.startswith(f"at most {last} connections may be open, not 900")]
    assert len(warned) == (0 if last == 900 else 2)


def test_one_that_is_idle_is_cut_off_when_no_descriptor_is_left() -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=9, per_address=9)
    served = busy(limits)
    idle = Line()
    limits.admit(idle, HERE, 0.0)
    limits.make_room()
    limits.make_room()
    assert (served.is_cut, idle.is_cut) == (False, True)


async def never_reached(scope: object, receive: object, send: object) -> None:
    raise AssertionError


class Wire(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__({"socket": connection})
        self.written = b""
        self.is_closed = False
        self.is_read = True

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def test_one_beyond_those_that_get_a_stop_through_is_told_so_and_closed() -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=1, per_address=1)
    busy(limits)
    for _ in range(STOP_ONLY_CONNECTIONS):
        line = Line()
        assert limits.admit(line, HERE, 0.0) is Admission.STOP_ONLY
        limits.mark_busy(line, HERE)

    async def run(connection: socket.socket) -> Wire:
        config = uvicorn.Config(never_reached, lifespan="off")
        protocol = http_protocol.protocol_within(limits)(config, ServerState(), {})
        wire = Wire(connection)
        protocol.connection_made(wire)
        return wire

    with socket.socket() as connection:
        wire = asyncio.run(run(connection))
    assert wire.written.startswith(b"HTTP/1.1 503 ")
    assert b"Too many connections are open; close some, or try again later." in wire.written
    assert wire.is_closed


class Unread:
    """A connection to an application that takes a request when it is let, and answers nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self.may_take = asyncio.Event()
        self.taken = 0
        config = uvicorn.Config(self.serve, lifespan="off", interface="asgi3", log_config=None, access_log=False)
        self.protocol = http_protocol.protocol_within(ConnectionLimits(in_all=9, per_address=9))(
            config, ServerState(), {}
        )
        self.wire = Wire(connection)
        self.protocol.connection_made(self.wire)

    async def serve(self, scope: object, receive: Callable[[], Awaitable[dict[str, bytes]]], send: object) -> None:
        await self.may_take.wait()
        while True:
            self.taken += len((await receive())["body"])

    async def settle(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    async def close(self) -> None:
        tasks = list(self.protocol.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.protocol.connection_lost(None)


def test_of_a_body_that_nobody_takes_little_is_kept_and_the_rest_comes_when_it_is_taken() -> None:
    """REST-37"""
    size = 900_000

    async def run(connection: socket.socket) -> None:
        unread = Unread(connection)
        unread.protocol.data_received(POST + b"content-length: %d\r\n\r\n" % size + b" " * size)
        await unread.settle()
        assert len(unread.protocol.cycle.body) <= 3 * http_protocol.BODY_PIECE
        assert not unread.wire.is_read
        unread.may_take.set()
        await unread.settle()
        assert unread.taken == size
        assert unread.wire.is_read
        await unread.close()

    with socket.socket() as connection:
        asyncio.run(run(connection))


def test_requests_behind_one_that_is_not_answered_are_not_even_parsed() -> None:
    """REST-37"""

    async def run(connection: socket.socket) -> None:
        unread = Unread(connection)
        unread.protocol.data_received((HEALTH + b"\r\n") * 5000)
        await unread.settle()
        assert 0 < len(unread.protocol.pipeline) <= http_protocol.HEAD_PIECE // len(HEALTH)
        assert not unread.wire.is_read
        await unread.close()

    with socket.socket() as connection:
        asyncio.run(run(connection))


def test_what_is_refused_is_logged_and_not_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=1, per_address=9)
    busy(limits)
    assert caplog.messages == []
    for now in (0.0, 1.0, 9.9, 10.0):
        limits.admit(Line(), HERE, now)
    assert [line.rpartition(", ")[2] for line in caplog.messages] == [
        "and 1 new ones were refused all but a stop",
        "and 3 new ones were refused all but a stop",
    ]

"""A connection that is closed in the middle of a request is heard out for a while, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from authority.api import connection_close
from authority.api.connection_close import LINGER_BYTES, LingeringTransport


class Wire(asyncio.Transport):
    """A connection that notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.cut = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.done.append("write")

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.done.append("end")

    def resume_reading(self) -> None:
        self.done.append("read")

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")
        self.cut.set()

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done


def after(act: Callable[[LingeringTransport], None], *, more_to_come: bool) -> list[str]:
    """Return what is done to the connection by `act` on its wrapper, and is known to be closing then."""

    async def run() -> list[str]:
        wire = Wire()
        transport = LingeringTransport(wire, lambda: more_to_come)
        transport.write(b"answer")
        act(transport)
        assert transport.is_closing()
        return wire.done

    return asyncio.run(run())


def test_a_connection_whose_request_is_complete_is_closed_at_once() -> None:
    """REST-34"""
    assert after(LingeringTransport.close, more_to_come=False) == ["write", "close"]


def test_a_connection_in_the_middle_of_a_request_is_closed_for_sending_and_read_on() -> None:
    """REST-34"""
    assert after(LingeringTransport.close, more_to_come=True) == ["write", "end", "read"]


def test_it_is_closed_only_once() -> None:
    """REST-34"""

    def twice(transport: LingeringTransport) -> None:
        transport.close()
        transport.close()

    assert after(twice, more_to_come=True) == ["write", "end", "read"]
    assert after(twice, more_to_come=False) == ["write", "close"]


def test_who_sends_much_more_is_cut_off() -> None:
    """REST-34"""

    def flooded(transport: LingeringTransport) -> None:
        transport.close()
        transport.discard(LINGER_BYTES)
        assert transport.is_closing()
        transport.discard(1)

    assert after(flooded, more_to_come=True) == ["write", "end", "read", "abort"]


def test_who_sends_on_slowly_is_cut_off_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """REST-34"""
    monkeypatch.setattr(connection_close, "LINGER_S", 0.0)

    async def run() -> list[str]:
        wire = Wire()
        LingeringTransport(wire, lambda: True).close()
        await wire.cut.wait()
        return wire.done

    assert asyncio.run(run()) == ["end", "read", "abort"]

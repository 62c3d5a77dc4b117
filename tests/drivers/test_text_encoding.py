"""Answers of text devices that are not ASCII, over a socket and over a serial line."""

from __future__ import annotations

import os
import socket
import threading
import tty
from collections.abc import Callable, Iterator

import pytest

from authority.drivers import DriverMisconfigured, build

ANSWER = "21.5 \N{DEGREE SIGN}C"
TABLE = {
    "readings": {"temperature": {"query": "TEMP?", "type": "number", "parse": "(.*) \N{DEGREE SIGN}C"}},
    "observe": {"said": {"query": "TEMP?"}},
}


def answering(receive: Callable[[], bytes], send: Callable[[bytes], object]) -> None:
    """Answer each line with the same bytes, until the line is closed."""
    while True:
        try:
            asked = receive()
        except OSError:  # as a pseudo-terminal says that its other end is closed
            return
        if not asked:
            return
        send((ANSWER + "\n").encode("latin-1") * asked.count(b"\n"))


@pytest.fixture
def over_a_socket() -> Iterator[dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answering(lambda: connection.recv(4096), connection.sendall)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield {"resource": f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET"}
        serving.join(30)
        assert not serving.is_alive()


@pytest.fixture
def over_a_line() -> Iterator[dict[str, str]]:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    serving = threading.Thread(
        target=answering, args=(lambda: os.read(ours, 4096), lambda data: os.write(ours, data)), daemon=True
    )
    serving.start()
    yield {"port": os.ttyname(theirs)}
    os.close(theirs)
    serving.join(30)
    os.close(ours)


@pytest.mark.parametrize("driver_name", ["visa", "serial"])
def test_an_answer_is_read_in_the_encoding_of_the_lab_file(driver_name, request):
    """DRV-69"""
    place = request.getfixturevalue("over_a_socket" if driver_name == "visa" else "over_a_line")
    driver = build(driver_name, {**TABLE, **place, "encoding": "latin-1"})
    driver.open()
    assert driver.readback().values == {"temperature": 21.5}
    assert driver.declared["said"].run() == ANSWER
    driver.close()


@pytest.mark.parametrize("driver_name", ["visa", "serial"])
def test_an_answer_is_ascii_where_the_lab_file_says_nothing_and_other_bytes_are_shown(driver_name, request):
    """DRV-69, DRV-35"""
    place = request.getfixturevalue("over_a_socket" if driver_name == "visa" else "over_a_line")
    driver = build(driver_name, {**TABLE, **place, "readings": {}})
    driver.open()
    assert driver.declared["said"].run() == r"21.5 \xb0C"
    driver.close()


@pytest.mark.parametrize("encoding", ["utf-16", "latin-99", "rot13", "hex", "cp500", "", "a\0b"])
def test_an_encoding_that_is_none_or_has_no_ascii_in_it_is_a_mistake(encoding):
    """DRV-69, DRV-31"""
    with pytest.raises(DriverMisconfigured) as wrong:
        build("serial", {**TABLE, "port": "COM3", "encoding": encoding})
    assert wrong.value.mistakes == (
        f"Driver 'serial': encoding is {encoding!r}, but must be one that Python knows and that has ASCII in it, such "
        'as "latin-1", "utf-8" or "cp437".',
    )

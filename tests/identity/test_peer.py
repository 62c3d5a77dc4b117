"""Whose process is at the other end (WHO-24): real sockets and real processes of two users."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from authority.identity.peer import Peer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who has a socket")

PATIENCE_S = 30.0
OVERFLOW = 65534


@pytest.fixture(params=["127.0.0.1", "::1"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with closing(socket.create_server((request.param, 0), family=family)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def connect_as(user_id: int, address: object, family: int) -> subprocess.Popen[str]:
    """Start a process of a user that connects and holds the connection until its input ends."""
    code = (
        "import os, socket, sys\n"
        f"os.setgroups([]); os.setuid({user_id})\n"
        f"line = socket.socket({int(family)}); line.connect({address!r})\n"
        "print('connected', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-I", "-c", code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def accepted_from(process: subprocess.Popen[str], server: socket.socket) -> socket.socket:
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    return server.accept()[0]


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=PATIENCE_S)


def test_the_owner_of_a_loopback_connection_is_told(listening: socket.socket) -> None:
    """WHO-24"""
    with socket.create_connection(listening.getsockname()[:2]), closing(listening.accept()[0]) as connection:
        assert Peer(connection).user_id == os.getuid()


def test_another_users_process_is_told_by_its_own_user(listening: socket.socket, other_user: int) -> None:
    process = connect_as(other_user, listening.getsockname()[:2], listening.family)
    try:
        with closing(accepted_from(process, listening)) as connection:
            assert Peer(connection).user_id == other_user
    finally:
        end(process)


def test_a_user_whom_this_machine_has_no_number_for_proves_nothing(listening: socket.socket, other_user: int) -> None:
    """WHO-24: Linux says 65534 of everybody who has none in the namespace of this process."""
    assert other_user != OVERFLOW
    process = connect_as(OVERFLOW, listening.getsockname()[:2], listening.family)
    try:
        with closing(accepted_from(process, listening)) as connection:
            assert Peer(connection).user_id is None
    finally:
        end(process)


def test_a_process_that_has_closed_its_socket_proves_nothing(listening: socket.socket) -> None:
    """Linux counts a socket that nobody has any more as root's: who closes at once would pass for root."""
    line = socket.create_connection(listening.getsockname()[:2])
    with closing(listening.accept()[0]) as connection:
        line.close()
        assert Peer(connection).user_id is None


def test_a_process_that_sends_no_more_but_listens_is_told(listening: socket.socket) -> None:
    with socket.create_connection(listening.getsockname()[:2]) as line, closing(listening.accept()[0]) as connection:
        line.shutdown(socket.SHUT_WR)
        assert Peer(connection).user_id == os.getuid()


def test_the_owner_is_asked_once_for_a_connection(listening: socket.socket) -> None:
    with socket.create_connection(listening.getsockname()[:2]) as line, closing(listening.accept()[0]) as connection:
        peer = Peer(connection)
        assert peer.user_id == os.getuid()
        line.close()
        assert peer.user_id == os.getuid()


def test_the_user_of_a_unix_socket_is_told(open_to_all: Path, other_user: int) -> None:
    path = str(open_to_all / "motorlock.sock")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(path)
        server.listen()
        os.chmod(path, 0o666)
        process = connect_as(other_user, path, socket.AF_UNIX)
        try:
            with closing(accepted_from(process, server)) as connection:
                assert Peer(connection).user_id == other_user
        finally:
            end(process)


def test_a_connection_that_is_not_of_this_machine_proves_nothing() -> None:
    with closing(socket.socket(socket.AF_INET)) as unconnected:
        assert Peer(unconnected).user_id is None

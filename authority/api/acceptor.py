"""Takes new connections, a few in each turn of the loop, and goes on when the process has no descriptor left.

The loop's own server takes all that wait at once, before any of them is counted, and closes them unheard when it runs
out of descriptors. Here one descriptor is kept in reserve: it is given up for a connection, which may be for a stop.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable

from .server_certificate import HANDSHAKE_TIMEOUT_S, ServerCertificate

log = logging.getLogger("motorlock")

ACCEPTS_IN_A_TURN = 8
PAUSE_S = 0.02
LOG_PAUSE_S = 10.0
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """The listening socket of a server. All methods are called on its loop."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        make_room: Callable[[], None],
        certificate: ServerCertificate | None = None,
    ) -> None:
        """Accept connections of `listening`, which does not block, from now on, encrypted with a `certificate`.

        `make_room` is called when there is no descriptor left, again and again.
        """
        self._listening = listening
        self._make_protocol = make_protocol
        self._make_room = make_room
        self._certificate = certificate
        self._loop = asyncio.get_running_loop()
        self._reserve: int | None = None
        self._opening: set[asyncio.Task[object]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._logged_at: float | None = None
        self._keep_reserve()
        self._listen()

    def close(self) -> None:
        """Accept nothing more."""
        self._loop.remove_reader(self._listening)
        if self._resuming is not None:
            self._resuming.cancel()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    async def wait_closed(self) -> None:
        """Return at once: what is open belongs to its protocol."""

    def _listen(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._listening, self._accept)

    def _pause(self) -> None:
        """Leave those who wait where they wait, for a moment."""
        self._loop.remove_reader(self._listening)
        self._resuming = self._loop.call_later(PAUSE_S, self._listen)

    def _keep_reserve(self) -> bool:
        if self._reserve is None:
            try:
                self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return False
        return True

    def _accept(self) -> None:
        if not self._keep_reserve():
            self._make_room()
            self._pause()
            return
        for _ in range(ACCEPTS_IN_A_TURN):
            try:
                self._accept_one()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._accept_on_reserve(error)
                    return
                # The client has gone before it was accepted.

    def _accept_one(self) -> None:
        connection, _ = self._listening.accept()
        connection.setblocking(False)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            if self._certificate is None:
                await self._loop.connect_accepted_socket(self._make_protocol, connection)
                return
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                connection,
                ssl=self._certificate.context(),
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            )
        except OSError:  # the client has gone, or speaks no https
            connection.close()

    def _accept_on_reserve(self, error: OSError) -> None:
        now = self._loop.time()
        if self._logged_at is None or now - self._logged_at >= LOG_PAUSE_S:
            log.warning("a connection has to wait, for the authority has no descriptor left: %s", error.strerror)
            self._logged_at = now
        if self._reserve is None:
            return
        os.close(self._reserve)
        self._reserve = None
        try:
            self._accept_one()
        except OSError:  # somebody else was faster
            self._pause()

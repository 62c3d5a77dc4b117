"""The HTTP server: uvicorn, with our own way of accepting connections and our bounds of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from .acceptor import Acceptor
from .connection_limits import ConnectionLimits
from .http_protocol import protocol_within
from .server_certificate import ServerCertificate
from .websocket import WebSocketProtocol

LINGER_S = 3
DESCRIPTORS = 65536


def http_server(
    app: ASGIApp,
    *,
    connections_in_all: int,
    connections_per_address: int,
    equipment_count: int,
    certificate: ServerCertificate | None = None,
) -> uvicorn.Server:
    """Return a server of `app` that has not begun yet; it leaves the signals to its caller."""
    limits = ConnectionLimits(
        in_all=connections_in_all,
        per_address=connections_per_address,
        descriptors=_raise_descriptor_limit(),
        equipment_count=equipment_count,
    )
    config = uvicorn.Config(
        app,
        http=protocol_within(limits),
        access_log=False,
        log_config=None,  # its loggers write as ours do
        # Never less: below that, it and what it uses show the heads of requests, with the tokens in them.
        log_level=max(logging.WARNING, logging.getLogger("motorlock").getEffectiveLevel()),
        lifespan="off",
        timeout_keep_alive=300,
        timeout_graceful_shutdown=LINGER_S,
        server_header=False,
        proxy_headers=False,
        ws=WebSocketProtocol,
        ws_max_size=4096,
        ws_per_message_deflate=False,
        # No pings of uvicorn's own: it closes who does not answer, and a laptop that sleeps is silent, not dead.
        ws_ping_interval=None,
    )
    return _Server(config, limits, certificate)


def _raise_descriptor_limit() -> int:
    """Raise the limit of open descriptors as far as this process may, and return it."""
    if sys.platform == "win32":
        return DESCRIPTORS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        wanted = DESCRIPTORS
    else:
        wanted = min(hard, DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and with our own way of accepting connections."""

    def __init__(self, config: uvicorn.Config, limits: ConnectionLimits, certificate: ServerCertificate | None) -> None:
        """Serve as `config` says, and cut connections off by `limits` when no descriptor is left."""
        super().__init__(config)
        self._limits = limits
        self._certificate = certificate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        if sys.platform == "win32":  # its loop cannot wait for a listening socket
            await super().startup(sockets=sockets)
            return
        await super().startup(sockets=[])
        for listening in sockets or ():
            acceptor = Acceptor(listening, self._make_protocol, self._limits.make_room, self._certificate)
            self.servers.append(acceptor)  # type: ignore[arg-type] # it is closed as a server of the loop is

    def _make_protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg] # uvicorn calls it so
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave the signals to `serve`: the authority first stops what moves, then ends its server."""
        yield

"""One HTTP connection: uvicorn's protocol with bounds on the head of a request, on its time, and on connections.

Whoever sends a head without end, or none at all, hurts that connection alone, and is found out before any check.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .connection_limits import Admission, ConnectionLimits
from .problems import problem
from .websocket import Listener

HEAD_LIMIT = 32 * 1024
HEADERS_LIMIT = 100
HEAD_TIMEOUT_S = 10.0


class HttpProtocol(HttpToolsProtocol):
    """A connection within the limits of `limits`, which the server's own subclass sets."""

    limits: ClassVar[ConnectionLimits]

    _address = "unknown"
    _admission = Admission.FULL
    _in_head = False
    _in_body = False
    _head_size = 0
    _head_is_refused = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take a connection, or cut it off where there are too many."""
        super().connection_made(transport)
        if self.client is not None:
            self._address = str(self.client[0])
        self._admission = self.limits.admit(self, self._address, self.loop.time())
        if self._admission is Admission.NONE:
            self._refuse(503, "too_busy", "Too many connections are open; close some, or try again later.")
            return
        if self._admission is Admission.STOP_ONLY:
            self.app = _StopOnly(self.app)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_head_timer()
        self.limits.release(self, self._address)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Cut the connection off: another one needs its place."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head is given to it in pieces that keep within `HEAD_LIMIT`."""
        begin = 0
        while begin < len(data) and not self.transport.is_closing():
            end = len(data)
            begins_in_body = self._in_body
            if not begins_in_body:
                end = min(end, begin + HEAD_LIMIT + 1 - self._head_size)
            super().data_received(data[begin:end])
            if self._in_head and not begins_in_body:
                self._head_size += end - begin
            begin = end
            if self._head_is_refused or (self._in_head and self._head_size > HEAD_LIMIT):
                detail = f"The head of a request has at most {HEADERS_LIMIT} headers and {HEAD_LIMIT // 1024} KiB."
                self._refuse(431, "headers_too_large", detail)
        if self._in_head and self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_timed_out)

    def on_message_begin(self) -> None:
        """Begin to count the head of a request."""
        super().on_message_begin()
        self._in_head = True
        self._head_size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, unless there are too many."""
        if len(self.headers) >= HEADERS_LIMIT:
            self._head_is_refused = True
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve the request."""
        self._in_head = False
        self._in_body = True
        self._cancel_head_timer()
        if not self._head_is_refused:
            self.limits.has_sent_request(self)
            super().on_headers_complete()
            if self.parser.get_http_version() == "1.0" and self.cycle is not None:
                # Such a client knows no chunks: a body without a length goes on until the connection closes.
                self.cycle.chunked_encoding = False
                self.cycle.expected_content_length = _UntilClosed()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if not self._head_is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of the request."""
        self._in_body = False
        self._head_size = 0
        if not self._head_is_refused:
            super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the protocol of WebSockets, which counts it on."""
        if self._head_is_refused:
            return
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        assert isinstance(protocol, Listener)
        protocol.on_connection_lost = self._release_upgraded

    def _release_upgraded(self) -> None:
        self.limits.release(self, self._address)

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(408, "too_slow", f"The head of the request was not complete after {HEAD_TIMEOUT_S:g} s.")
        else:
            self.transport.close()

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer without any request being served, and close."""
        response = problem(status, code, detail)
        head = [b"HTTP/1.1 %d Refused\r\nconnection: close\r\n" % status]
        head += [b"%s: %s\r\n" % header for header in response.raw_headers]
        self.transport.write(b"".join([*head, b"\r\n", bytes(response.body)]))
        self.transport.close()


class _UntilClosed(int):
    """The length of a body that ends with its connection: it is never used up, and never falls short."""

    def __lt__(self, other: int) -> bool:
        return False

    def __sub__(self, other: int) -> _UntilClosed:
        return self

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


class _StopOnly:
    """Serves what must get through when the authority is full, and refuses all else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"].endswith("/stop") or scope["path"] == "/health"):
            await self._app(scope, receive, send)
            return
        detail = "Too many connections are open; only a stop is served on this one."
        response = problem(503, "too_busy", detail)
        response.headers["connection"] = "close"
        await response(scope, receive, send)


def protocol_within(limits: ConnectionLimits) -> type[HttpProtocol]:
    """Return the protocol of one server: uvicorn makes one object of it for each connection."""

    class BoundHttpProtocol(HttpProtocol):
        """Counted by the limits of this server."""

    BoundHttpProtocol.limits = limits
    return BoundHttpProtocol

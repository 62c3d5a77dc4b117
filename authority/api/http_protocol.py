"""One HTTP connection: uvicorn's protocol with bounds on the head of a request, on its time, and on connections.

Whoever sends a head without end, or none at all, hurts that connection alone, and is found out before any check. What
comes is parsed in pieces, one in each turn of the loop, so that a stop on another connection waits for one at most.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import ClassVar

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from authority.identity.peer import Peer

from .connection_close import LingeringTransport, close_delimited_send
from .connection_limits import Admission, ConnectionLimits
from .guard import PEER
from .problems import ProblemResponse
from .request_body import BODY_FAULT, BODY_IS_MALFORMED, BODY_IS_TOO_SLOW
from .stop_first import StopOnly
from .websocket import WebSocketProtocol

HEAD_LIMIT = 32 * 1024
HEADERS_LIMIT = 100
HEAD_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 30.0
HEAD_PIECE = 4 * 1024
BODY_PIECE = 64 * 1024
CHUNKS_PIECE = 1024  # each chunk is a call, and may be one byte
UNWANTED_BODY_LIMIT = 1024 * 1024


class _Part(Enum):
    """What of a request has begun and is not complete."""

    NONE = auto()
    HEAD = auto()
    BODY = auto()


class HttpProtocol(HttpToolsProtocol):
    """A connection within the limits of `limits`, which the server's own subclass sets."""

    limits: ClassVar[ConnectionLimits]
    unparsed = b""  # what came before anything that could be read now
    reads_no_more = False  # whether what comes is of no use: the body before it was given up

    _address = "unknown"
    _admission = Admission.FULL
    _part = _Part.NONE
    _request_is_complete = False
    _head_size = 0
    _has_too_many_headers = False
    _has_chunks = False
    _unwanted_size = 0
    _parses_soon = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take a connection, or cut it off where there are too many."""
        lingering = LingeringTransport(transport, self._has_more_to_come)
        super().connection_made(lingering)  # type: ignore[arg-type] # it is the transport in all but its close
        self.flow = _Flow(self)
        if self.client is not None:
            self._address = str(self.client[0])
        connection = transport.get_extra_info("socket")
        self.app_state = {**self.app_state, PEER: Peer(connection)}  # of each request, and of a WebSocket
        descriptor = connection.fileno()
        self._admission = self.limits.admit(self, self._address, self.loop.time(), descriptor)
        if self._admission is Admission.NONE:
            self._refuse(ProblemResponse("too_busy.connections"))
            return
        if self._admission is Admission.STOP_ONLY:
            self.app = StopOnly(self.app)
        self._set_timer(HEAD_TIMEOUT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_timer()
        self.unparsed = b""
        self.limits.release(self, self._address)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Cut the connection off: another one needs its place."""
        self.transport.abort()

    # What comes, piece by piece

    def data_received(self, data: bytes) -> None:
        """Take what came. While there is more of it than a piece, nothing further is read."""
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            self.transport.discard(len(data))  # type: ignore[attr-defined] # of LingeringTransport
        elif not self.reads_no_more:
            was_empty = not self.unparsed
            self.unparsed += data
            if was_empty:
                self._parse_piece()

    def parse_soon(self) -> None:
        """Go on with what came, in the next turn of the loop."""
        if not self._parses_soon:
            self._parses_soon = True
            self.loop.call_soon(self._parse_piece)

    def _parse_piece(self) -> None:
        self._parses_soon = False
        if self.parser is None or self.transport.is_closing():
            self.unparsed = b""
            return
        if not self._is_ahead_of_app():
            size = HEAD_PIECE
            if self._part is _Part.BODY:
                if self._has_chunks:
                    size = CHUNKS_PIECE
                else:
                    size = BODY_PIECE
            piece = self.unparsed[:size]
            self.unparsed = self.unparsed[size:]
            self._parse(piece)
        if self._is_ahead_of_app():
            self.flow.pause_reading()  # resumed when the application has taken what there is
        elif self.unparsed:
            self.flow.pause_reading()
            self.parse_soon()
        elif not self.reads_no_more:
            self.flow.resume_reading()

    def _is_ahead_of_app(self) -> bool:
        if self.pipeline:
            return True
        return self.cycle is not None and not self.cycle.response_complete and len(self.cycle.body) > HIGH_WATER_LIMIT

    def _parse(self, piece: bytes) -> None:
        self._request_is_complete = False
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                return
        except httptools.HttpParserError:
            if not self._has_too_many_headers:
                self._refuse_malformed()
                return
        if self._part is _Part.BODY:
            self._set_timer(BODY_TIMEOUT_S)
        elif self._part is _Part.HEAD or not self._request_is_complete:
            # Empty lines before a request are counted as its head.
            self._head_size += len(piece)
            self._set_timer(HEAD_TIMEOUT_S)
        if self._has_too_many_headers or self._head_size >= HEAD_LIMIT:
            self._refuse(ProblemResponse("headers_too_large", headers=HEADERS_LIMIT, kib=HEAD_LIMIT // 1024))

    # What the parser finds

    def on_message_begin(self) -> None:
        """Begin to count the head of a request."""
        super().on_message_begin()
        self._part = _Part.HEAD
        self._head_size = 0
        self._has_chunks = False
        self._unwanted_size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, unless there are too many: then the parser stops here."""
        if len(name) == len(b"transfer-encoding") and name.lower() == b"transfer-encoding":
            self._has_chunks = True
        if len(self.headers) >= HEADERS_LIMIT:
            self._has_too_many_headers = True
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve the request."""
        self._part = _Part.BODY
        self._head_size = 0
        self._cancel_timer()
        self.limits.mark_busy(self, self._address)
        super().on_headers_complete()
        if self._admission is Admission.STOP_ONLY and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; of one that is answered already only so much is awaited."""
        super().on_body(body)
        if self.cycle is not None and self.cycle.response_complete:
            self._unwanted_size += len(body)
            if self._unwanted_size > UNWANTED_BODY_LIMIT:
                self.transport.abort()

    def on_message_complete(self) -> None:
        """Take the end of the request."""
        self._part = _Part.NONE
        self._request_is_complete = True
        self._cancel_timer()
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self.limits.mark_idle(self, self._address)

    # What is answered

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if cycle.scope["http_version"] == "1.0":
            app = close_delimited_send(app)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request, once the body of this one, too, is at its end."""
        super().on_response_complete()
        if self.cycle.response_complete and self._part is not _Part.BODY and not self.transport.is_closing():
            self.limits.mark_idle(self, self._address)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the protocol of WebSockets, which counts it on."""
        self._part = _Part.NONE
        self.unparsed = b""
        self._cancel_timer()
        self.limits.mark_busy(self, self._address)
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        assert isinstance(protocol, WebSocketProtocol)
        protocol.on_connection_lost = self._release_upgraded

    def _release_upgraded(self) -> None:
        self.limits.release(self, self._address)

    # What goes wrong

    def _has_more_to_come(self) -> bool:
        return self._part is not _Part.NONE or bool(self.unparsed)

    def _set_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._time_is_up)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        match self._part:
            case _Part.BODY:
                self._give_up_body(BODY_IS_TOO_SLOW)
            case _Part.HEAD:
                self._refuse(ProblemResponse("too_slow.head", seconds=HEAD_TIMEOUT_S))
            case _Part.NONE:
                self.transport.abort()

    def _refuse_malformed(self) -> None:
        if self._part is _Part.BODY:
            self._give_up_body(BODY_IS_MALFORMED)
        else:
            self._refuse(ProblemResponse("invalid.no_http"))

    def _give_up_body(self, fault: str) -> None:
        """Let the request be answered without the rest of its body, whose reader gets the fault."""
        self.reads_no_more = True
        self.unparsed = b""
        if self.cycle is None or self.cycle.response_started:
            self.transport.abort()
            return
        self.cycle.scope[BODY_FAULT] = fault  # type: ignore[literal-required] # a key of ours
        self.cycle.keep_alive = False
        self.cycle.more_body = False
        self.cycle.message_event.set()

    def _refuse(self, refused: ProblemResponse) -> None:
        """Answer without any request being served, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # it would be taken for the answer to an earlier request
            return
        response = refused.response()
        head = [b"HTTP/1.1 %d Refused\r\nconnection: close\r\n" % refused.status]
        head += [b"%s: %s\r\n" % header for header in response.raw_headers]
        self.transport.write(b"".join([*head, b"\r\n", bytes(response.body)]))
        self.transport.close()


class _Flow(FlowControl):
    """Reads on only when what came before is parsed."""

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        """Let what comes next come."""
        if self._protocol.unparsed:
            self._protocol.parse_soon()
        elif not self._protocol.reads_no_more:
            super().resume_reading()


def protocol_within(limits: ConnectionLimits) -> type[HttpProtocol]:
    """Return the protocol of one server: uvicorn makes one object of it for each connection."""

    class BoundHttpProtocol(HttpProtocol):
        """Counted by the limits of this server."""

    BoundHttpProtocol.limits = limits
    return BoundHttpProtocol

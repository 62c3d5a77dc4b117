"""The second route to what is pushed: a WebSocket, on which clients only listen.

What they send is dropped as it comes, and who sends much is closed; so nothing they send can reach a rule or a log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode

from authority.hub import KEEPALIVE_INTERVAL_S, Message

from .problems import ProblemResponse
from .push import Stream, Streams
from .request_context import RequestContext
from .routing import respond_or_refuse

log = logging.getLogger("motorlock")

PATH = "/api/ws"
RECEIVED_BYTES_LIMIT = 64 * 1024


class WebSocketStream(Stream):
    """The messages of a subscription, one JSON text each."""

    @staticmethod
    def encode(messages: Sequence[Message]) -> bytes:
        """Return messages as frames, which are the same for every client: a server's are not masked."""
        return b"".join([Frame(Opcode.TEXT, message.text).serialize(mask=False) for message in messages])

    async def send_head(self, send: Send) -> None:
        """Accept the handshake."""
        await send({"type": "websocket.accept"})

    async def send_messages(self, send: Send, messages: Sequence[Message]) -> None:
        """Send messages as soon as the client has room for them."""
        for message in messages:
            await send({"type": "websocket.send", "text": message.text.decode()})

    async def send_end(self, send: Send) -> None:
        """Close, and say why."""
        code = CloseCode.TRY_AGAIN_LATER
        why = "You did not keep up"
        if self._authority_ends:
            code = CloseCode.GOING_AWAY
            why = "The authority is ending"
        await send({"type": "websocket.close", "code": code, "reason": f"{why}; come back with after=SEQ."})


class WebSocketEndpoint:
    """Serves every WebSocket that a client asks for."""

    def __init__(self, streams: Streams) -> None:
        """Open streams of `streams`."""
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the handshake: with a stream, or as the HTTP request that it still is."""
        handshake = Request({**scope, "type": "http", "method": "GET"})
        answer = await respond_or_refuse(
            RequestContext(self._streams.app_context, handshake, {}), self._found(handshake)
        )
        await answer(scope, receive, send)

    async def _found(self, handshake: Request) -> ASGIApp:
        if handshake.scope["path"] != PATH:
            raise ProblemResponse("not_found.websocket", path=handshake.scope["path"], only=PATH)
        return await self._streams.opened(WebSocketStream, handshake)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, for a client that has nothing to say: what comes is bounded, and never kept."""

    on_connection_lost: Callable[[], None] = staticmethod(lambda: None)
    _received_bytes = 0
    _since = 0.0
    _is_cut_off = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who counts the connections."""
        super().connection_lost(exc)
        self.on_connection_lost()

    def data_received(self, data: bytes) -> None:
        """Take what a client sends: so much in five seconds, and no more than that while it does not read."""
        if self.handshake_complete:
            self._count(len(data))
        if not self.transport.is_closing():
            super().data_received(data)
        # uvicorn would leave a handshake that is none without an answer, and open.
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def _count(self, size: int) -> None:
        now = self.loop.time()
        if now - self._since > KEEPALIVE_INTERVAL_S and self.writable.is_set():
            self._received_bytes = 0
            self._since = now
        self._received_bytes += size
        if self._received_bytes > RECEIVED_BYTES_LIMIT and not self._is_cut_off:
            self._is_cut_off = True
            log.info("a WebSocket of %s is closed, for its client sends what nobody reads", self._peer())
        if self._received_bytes > 2 * RECEIVED_BYTES_LIMIT:
            self.transport.abort()
        elif self._received_bytes > RECEIVED_BYTES_LIMIT and not self.close_sent:
            # Not cut off at once: what is still on its way would take the close from the client.
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.MESSAGE_TOO_BIG})
            self.conn.send_close(CloseCode.MESSAGE_TOO_BIG, "Nothing is listened to here.")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

    def _peer(self) -> str:
        return self.client[0] if self.client else "an unknown address"

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a handshake that was refused has been answered too, and is no line in the log."""
        await super().send(message)
        self.handshake_complete |= self.close_sent

    def handle_text(self, event: Frame) -> None:
        """Drop it: it is no matter whether it is UTF-8, or how many pieces it comes in."""

    handle_bytes = handle_cont = handle_text

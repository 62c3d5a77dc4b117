"""How a connection closes: so that its client can read the answer although it still sends, or as the answer's end.

A plain close throws what was not read back at the client, as a reset, and its answer is lost with that. To clients of
HTTP/1.0, who know no chunks, an answer without a length ends with the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

LINGER_S = 1.0
LINGER_BYTES = 1024 * 1024


class LingeringTransport:
    """A transport of asyncio: `close` ends the sending at once, and hears a client that still sends out for a while."""

    def __init__(self, transport: asyncio.Transport, has_more_to_come: Callable[[], bool]) -> None:
        """Wrap `transport`; `has_more_to_come` tells whether its client is in the middle of something."""
        self._transport = transport
        self._has_more_to_come = has_more_to_come
        self._closes = False
        self._discarded_bytes = 0
        self.write = transport.write  # asked for often: not by way of __getattr__

    def __getattr__(self, name: str) -> Any:
        """Be the transport in all else."""
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing can be written any more."""
        return self._closes or self._transport.is_closing()

    def close(self) -> None:
        """Send what is written, and then the end; let go of a client that still sends a little later."""
        if self.is_closing():
            return
        if not self._has_more_to_come() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._closes = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def discard(self, size: int) -> None:
        """Count what still came; it is nothing to anybody."""
        self._discarded_bytes += size
        if self._discarded_bytes > LINGER_BYTES:
            self._transport.abort()


def close_delimited_send(app: ASGI3Application) -> ASGI3Application:
    """Return `app` as it answers a client of HTTP/1.0."""

    async def serve(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        cycle = send.__self__  # type: ignore[attr-defined] # it is a method of uvicorn's
        assert isinstance(cycle, RequestResponseCycle)
        await app(scope, receive, _CloseDelimitedResponse(cycle).send)

    return serve


class _CloseDelimitedResponse:
    """An answer that has either the length that it says, or all that comes until the connection closes."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._has_length = False
        self.transport = cycle.transport

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message of ASGI."""
        if message["type"] == "http.response.start":
            self._has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self._has_length:
                self._cycle.chunked_encoding = False
        elif message["type"] == "http.response.body" and not self._has_length:
            self._cycle.expected_content_length = len(message["body"])
        await self._cycle.send(message)

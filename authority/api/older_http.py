"""Answers to clients of HTTP/1.0: they know no chunks, so a body without a length ends with the connection."""

from __future__ import annotations

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def close_delimited_send(app: ASGI3Application) -> ASGI3Application:
    """Return `app` as it answers such a client."""

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

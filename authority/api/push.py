"""Server-sent events: what was missed, a snapshot, then what happens, with a sign of life every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from authority.codec import iso
from authority.committer import StoreFailed
from authority.core import messages as m
from authority.core.model import Role, Session, SessionId
from authority.hub import SIGN_OF_LIFE_S, frame
from authority.service import Service

from .doors import House, Visit, invalid

REPLAY_PAGE = 1000


async def events(house: House, request: Request) -> Response:
    """Open a stream; with `role=feed` or `keeper` it is one of the two connections that prove a session alive."""
    visit = Visit(house, request, dict(request.scope["headers"]), None)
    if house.service.failure is not None:
        raise StoreFailed
    role = request.query_params.get("role", "watch")
    if role not in {"watch", "feed", "keeper"}:
        raise invalid("role", "it is 'watch', 'feed' or 'keeper'")
    session = None
    if role != "watch":
        session = visit.acting(request.query_params.get("session_id", ""))
    after = visit.query("after", int, None)
    if after is None and "last-event-id" in request.headers:
        after = _number(request.headers["last-event-id"])
    assert after is None or isinstance(after, int)
    source = _signs_of_life(house.service) if role == "keeper" else _stream(house.service, after)
    return EventStream(house.service, source, session, None if session is None else Role(role))


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 18 else None


class EventStream(Response):
    """A stream that ends when its client has gone, and tells the rules when it is one of a session's two."""

    def __init__(
        self, service: Service, source: AsyncIterator[bytes], session: Session | None, role: Role | None
    ) -> None:
        """Send `source` for as long as the client reads it."""
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._service = service
        self._source = source
        self._session = session
        self._role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Serve until the client or the authority ends it."""
        self._attach()
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            self._detach()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for chunk in self._source:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _attach(self) -> None:
        if self._session is not None and self._role is not None:
            self._service.apply(m.Attach(session=self._session.id, role=self._role))

    def _detach(self) -> None:
        # An authority that ends closes all streams itself: that says nothing of the sessions.
        if self._session is None or self._role is None or self._service.ending or self._service.failure is not None:
            return
        if self._service.table.session(SessionId(self._session.id)) is not None:
            self._service.apply(m.Detach(session=self._session.id, role=self._role))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _signs_of_life(service: Service) -> AsyncIterator[bytes]:
    while not service.ending:
        yield _ping(service)
        await service.hub.pause(SIGN_OF_LIFE_S)


async def _stream(service: Service, after: int | None) -> AsyncIterator[bytes]:
    subscription = service.hub.subscribe(service.seq)
    try:
        newest, snapshot = service.seq, _snapshot(service)
        await service.settled()
        if after is not None:
            async for page in _replay(service, after, newest):
                yield page
        yield snapshot
        while not subscription.closed:
            yield await subscription.take(SIGN_OF_LIFE_S) or _ping(service)
    except StoreFailed:
        return
    finally:
        service.hub.leave(subscription)


async def _replay(service: Service, after: int, newest: int) -> AsyncIterator[bytes]:
    """Give what was missed, page by page, if all of it is still kept; else the snapshot that follows has to do."""
    if after + 1 < service.first_seq():
        return
    while after < newest:
        rows = service.events(after=after, limit=min(REPLAY_PAGE, newest - after))
        if not rows:
            return
        yield b"".join(frame("change", b'{"seq":%d,"event":%s,"status":null}' % (x.seq, x.body), x.seq) for x in rows)
        after = rows[-1].seq


def _snapshot(service: Service) -> bytes:
    now = iso(service.clock.wall(service.clock.now()))
    equipment = {e.id: service.status(e.id) for e in service.table.all_equipment()}
    body = {"seq": service.seq, "instance": service.instance, "now": now, "equipment": equipment}
    return frame("snapshot", msgspec.json.encode(body), service.seq)


def _ping(service: Service) -> bytes:
    return frame("ping", msgspec.json.encode({"now": iso(service.clock.wall(service.clock.now()))}))

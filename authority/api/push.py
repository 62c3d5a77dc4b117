"""Push: what was missed, a snapshot, then what happens, with a sign of life every few seconds; as server-sent events.

The other door to the same subscription is `websocket`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from authority.codec import iso
from authority.committer import StoreFailed
from authority.core import messages as m
from authority.core.model import EquipmentId, Role, SessionId
from authority.hub import SIGN_OF_LIFE_S, Message
from authority.service import Service
from authority.wire import ReadbackView, StatusView

from .doors import House, Visit, invalid

REPLAY_PAGE = 1000


class EventView(Struct):
    """A stored event; each has further fields of its own, and there may be events that a client does not know."""

    seq: int
    event: str
    timestamp: str
    equipment_id: str | None
    session_id: str | None
    user: str | None


class Change(Struct):
    """What happened, and the equipment as it stands after it; null where replayed, or of no equipment."""

    seq: int
    event: EventView
    status: StatusView | None


class Snapshot(Struct):
    """How everything stands."""

    seq: int
    instance: str
    now: str
    equipment: dict[EquipmentId, StatusView]


class Progress(Struct):
    """What equipment says of itself."""

    equipment_id: str
    readback: ReadbackView


class Ping(Struct):
    """A sign of life."""

    now: str


FORMS = {"snapshot": Snapshot, "change": Change, "status": StatusView, "progress": Progress, "ping": Ping}


class Stream(Response):
    """A subscription that ends with its client or the authority, and tells the rules when it is one of a session's."""

    media_type = "text/event-stream"

    def __init__(self, house: House, request: Request) -> None:
        """Take `role`, `session_id` and `after` of the request, or refuse it."""
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        visit = Visit(house, request, dict(request.scope["headers"]), None)
        self._service = house.service
        if self._service.failure is not None:
            raise StoreFailed
        role = request.query_params.get("role", "watch")
        if role not in {"watch", "feed", "keeper"}:
            raise invalid("role", "it is 'watch', 'feed' or 'keeper'")
        self._session: SessionId | None = None
        if role != "watch":
            self._session, self._role = visit.acting(request.query_params.get("session_id", "")).id, Role(role)
        after = visit.query("after", int, None)
        if after is None and "last-event-id" in request.headers:
            after = _number(request.headers["last-event-id"])
        assert after is None or isinstance(after, int)
        self._messages = _signs_of_life(self._service) if role == "keeper" else _subscribed(self._service, after)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Serve until the client or the authority ends it."""
        if self._session is not None:
            self._service.apply(m.Attach(session=self._session, role=self._role))
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_gone(receive))
        ours = False
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            ours = not leaving.done()  # it ended by itself, because its client cannot keep up
        finally:
            for task in (sending, leaving):
                task.cancel()
            self._detach(ours=ours)
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._messages.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for batch in self._messages:
            body = b"".join([message.frame for message in batch])
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    @property
    def _authority_ends(self) -> bool:
        return self._service.ending or self._service.failure is not None

    def _detach(self, *, ours: bool) -> None:
        # An authority that ends closes all streams itself: that says nothing of the sessions.
        if self._session is None or self._authority_ends:
            return
        if self._service.table.session(self._session) is not None:
            self._service.apply(m.Detach(session=self._session, role=self._role, ours=ours))


async def opened(kind: type[Stream], house: House, request: Request) -> Response:
    """Return a stream; with `role=feed` or `keeper` it is one of the two connections that prove a session alive."""
    return kind(house, request)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 18 else None


async def _gone(receive: Receive) -> None:
    while not (await receive())["type"].endswith(".disconnect"):
        pass


Batches = AsyncGenerator[Sequence[Message], None]


async def _signs_of_life(service: Service) -> Batches:
    while not service.ending and service.failure is None:
        yield [_ping(service)]
        await service.hub.pause(SIGN_OF_LIFE_S)


async def _subscribed(service: Service, after: int | None) -> Batches:
    subscription = service.hub.subscribe(service.seq)
    try:
        newest, snapshot = service.seq, _snapshot(service)
        await service.settled()
        if after is not None:
            async for page in _replay(service, after, newest):
                yield page
        yield [snapshot]
        while not subscription.closed:
            yield await subscription.take(SIGN_OF_LIFE_S) or [_ping(service)]
    except StoreFailed:
        return
    finally:
        service.hub.leave(subscription)


async def _replay(service: Service, after: int, newest: int) -> Batches:
    """Give what was missed, page by page, if all of it is still kept; else the snapshot that follows has to do."""
    if after + 1 < service.first_seq():
        return
    while after < newest:
        rows = service.events(after=after, limit=min(REPLAY_PAGE, newest - after))
        if not rows:
            return
        yield [Message("change", b'{"seq":%d,"event":%s,"status":null}' % (x.seq, x.body), x.seq) for x in rows]
        after = rows[-1].seq


def _snapshot(service: Service) -> Message:
    equipment = {e.id: service.status(e.id) for e in service.table.all_equipment()}
    whole = Snapshot(seq=service.seq, instance=service.instance, now=_now(service), equipment=equipment)
    return Message("snapshot", msgspec.json.encode(whole), service.seq)


def _ping(service: Service) -> Message:
    return Message("ping", msgspec.json.encode(Ping(now=_now(service))))


def _now(service: Service) -> str:
    return iso(service.clock.wall(service.clock.now()))

"""Push: what was missed, a snapshot, then what happens, with a sign of life every few seconds; as server-sent events.

A stream's task opens it and then only waits for its end: what is pushed, the hub writes to the connection itself. The
other route to the same subscription is `websocket`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from authority.codec import iso
from authority.committer import StoreFailed
from authority.core import messages as core_messages
from authority.core.model import EquipmentId, Role, SessionId
from authority.hub import Batch, Message, Sees, Subscriber
from authority.identity.access import Right
from authority.ports import EventRow
from authority.service import Service
from authority.wire import StatusView

from .quotas import PeerLimit
from .request_body import invalid_request
from .request_context import AppContext, RequestContext
from .routing import respond_or_refuse

log = logging.getLogger("motorlock")

PATH = "/api/events"
QUERY = {"once": (bool, False), "after": (int, None)}
REPLAY_PAGE = 200
REPLAYS_PER_PEER = 2
SNAPSHOT_INTERVAL_S = 0.02
SLOW_CLIENT_GRACE_S = 60.0
# A proxy between must neither keep back what is pushed, nor change or remember it.
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Snapshot(Struct):
    """How everything stands."""

    seq: int
    instance: str
    now: str
    equipment: dict[EquipmentId, StatusView]


class Snapshots:
    """Lets streams in: those that come within a short time get the same snapshot, for it is work in a large lab."""

    def __init__(self, service: Service) -> None:
        """Make snapshots of `service`."""
        self._service = service
        self._waiting: list[tuple[Subscriber, asyncio.Future[tuple[int, Batch]]]] = []
        self._next_at = 0.0

    async def let_in(self, listener: Subscriber) -> tuple[int, Batch]:
        """Have the hub keep for `listener` what happens from now on; return the newest number and the snapshot."""
        loop = asyncio.get_running_loop()
        let_in: asyncio.Future[tuple[int, Batch]] = loop.create_future()
        self._waiting.append((listener, let_in))
        if len(self._waiting) == 1:
            loop.call_at(self._next_at, self._let_all_in)
        return await let_in

    def _let_all_in(self) -> None:
        service = self._service
        waiting = self._waiting
        self._waiting = []
        equipment = {e.id: service.status(e.id) for e in service.table.all_equipment()}
        now = iso(service.clock.wall(service.clock.now()))

        def snapshot_of(found: dict[EquipmentId, StatusView]) -> Batch:
            snapshot = Snapshot(seq=service.seq, instance=service.instance, now=now, equipment=found)
            return Batch([Message("snapshot", msgspec.json.encode(snapshot), service.seq)])

        whole = snapshot_of(equipment)
        for listener, let_in in waiting:
            if not let_in.done():  # who hung up is cancelled
                snapshot = whole
                if listener.sees is not None:
                    snapshot = snapshot_of({key: status for key, status in equipment.items() if listener.sees(key)})
                let_in.set_result((service.seq, snapshot))
                service.hub.add(listener, service.seq)
        self._next_at = asyncio.get_running_loop().time() + SNAPSHOT_INTERVAL_S


class Streams:
    """What all streams share; as an ASGI application, it answers a request for server-sent events."""

    def __init__(self, app_context: AppContext) -> None:
        """Serve the events of the service of `app_context`."""
        self.app_context = app_context
        self.snapshots = Snapshots(app_context.service)
        self.replays = PeerLimit(REPLAYS_PER_PEER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a stream, or refuse it."""
        kind = Stream
        if scope["http_version"] == "1.0":
            kind = UnchunkedStream
        answer = await respond_or_refuse(
            RequestContext(self.app_context, Request(scope), {}), self.opened(kind, Request(scope))
        )
        await answer(scope, receive, send)

    async def opened(self, kind: type[Stream], request: Request) -> Stream:
        """Return a stream; with `role=feed` or `keeper` it is one of the two connections that prove a session alive."""
        return kind(self, request)


class Stream:
    """A subscription that ends with its client or the authority, and tells the rules when it is one of a session's."""

    def __init__(self, streams: Streams, request: Request) -> None:
        """Take `role`, `session_id` and `after` of the request, or refuse it."""
        context = RequestContext(streams.app_context, request, QUERY)
        self._streams = streams
        self._service = streams.app_context.service
        self._peer = context.peer
        self._principal = context.principal
        self._sees: Sees | None = None
        if not streams.app_context.users.access.sees_all(context.principal, self._service.workers):
            self._sees = self._may_see
        if self._service.failure is not None:
            raise StoreFailed
        role = request.query_params.get("role", "watch")
        if role not in {"watch", "feed", "keeper"}:
            raise invalid_request("role", "it is 'watch', 'feed' or 'keeper'")
        self._session: SessionId | None = None
        self._role = role
        if role != "watch":
            self._session = context.acting_session(request.query_params.get("session_id", "")).id
        self._once = context.query("once")
        if self._once and role != "watch":
            raise invalid_request(
                "once", "it is for the role 'watch' only: the other streams prove that a session lives"
            )
        after = context.query("after")
        if after is None and "last-event-id" in request.headers:
            after = _sequence_number(request.headers["last-event-id"])
        self._after: int | None = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Serve until the client or the authority ends it."""
        task = asyncio.current_task()
        assert task is not None
        connection = transport_of(send)
        listener = Subscriber(
            connection,
            self.encode,
            task.cancel,
            hears_events=self._role != "keeper",
            sees=self._sees,
            is_allowed=self._is_allowed,
        )
        if self._session is not None:
            self._service.apply(core_messages.AttachConnection(session=self._session, role=Role(self._role)))
        ours = False
        try:
            ours = await self._serve(listener, receive, send)
        finally:
            self._service.hub.unsubscribe(listener)
            self._detach(ours=ours)
        if ours:
            await self._send_end_and_close(connection, send)

    async def _serve(self, listener: Subscriber, receive: Receive, send: Send) -> bool:
        """Return when it is over: whether the authority ends it, because its client cannot keep up or for all."""
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._open(listener, send)
            if self._once:
                return True
            while not (await receive())["type"].endswith(".disconnect"):
                pass
        except StoreFailed:
            return True
        except asyncio.CancelledError:
            # The hub cancels the task of a listener that it closes; everybody else's cancelling goes on.
            if not listener.closed or task.uncancel() > 0:
                raise
            if not self._authority_ends:
                log.info("a %s stream of %s is cut off, for it does not read what it is sent", self._role, self._peer)
            return True
        return False

    async def _open(self, listener: Subscriber, send: Send) -> None:
        """Send what was missed and the snapshot; from then on the hub writes."""
        await self.send_head(send)
        now = asyncio.get_running_loop().time
        if not listener.hears_events:
            self._service.hub.add(listener, 0)
            listener.begin(Batch([self._service.sign_of_life()]), now())
            return
        sent_up_to = self._after
        if sent_up_to is not None:
            # Before it is let in, so that nothing has to be kept for it all the while that this takes.
            sent_up_to = await self._replay(send, sent_up_to, None)
        newest, snapshot = await self._streams.snapshots.let_in(listener)
        await self._service.wait_until_committed()
        if sent_up_to is not None:
            await self._replay(send, sent_up_to, newest)
        listener.begin(snapshot, now())

    async def _replay(self, send: Send, sent_up_to: int, newest: int | None) -> int:
        """Send page by page what follows `sent_up_to`, until `newest` or nearly all is sent; return how far that is.

        Where some of it is no longer kept, the snapshot that follows has to do.
        """
        async with self._streams.replays.place(self._peer):
            while sent_up_to >= 0:
                last = self._service.seq
                if newest is not None:
                    last = newest
                if sent_up_to >= last:
                    break
                limit = min(REPLAY_PAGE, last - sent_up_to)
                rows = await self._service.replay(sent_up_to, limit)
                if rows:
                    sent_up_to = rows[-1].seq
                    seen = [row for row in rows if self._sees is None or self._sees(row.equipment)]
                    await self.send_messages(send, [_replayed_message(row) for row in seen])
                if len(rows) < limit or transport_of(send).is_closing():
                    break
        return sent_up_to

    async def _send_end_and_close(self, connection: asyncio.Transport, send: Send) -> None:
        """Say that it is over, to a client that may be slow to hear it."""
        try:
            async with asyncio.timeout(SLOW_CLIENT_GRACE_S):
                await self.send_end(send)
        except TimeoutError:
            connection.abort()

    def _may_see(self, equipment_id: str | None) -> bool:
        return equipment_id is None or self._streams.app_context.users.access.may(
            self._principal, Right.READ, equipment_id
        )

    def _is_allowed(self) -> bool:
        return self._streams.app_context.users.identification.is_good(self._principal)

    @property
    def _authority_ends(self) -> bool:
        return self._service.ending or self._service.failure is not None

    def _detach(self, *, ours: bool) -> None:
        # An authority that ends closes all streams itself: that says nothing of the sessions.
        if self._session is None or self._authority_ends:
            return
        if self._service.table.session(self._session) is not None:
            self._service.apply(core_messages.DetachConnection(session=self._session, role=Role(self._role), ours=ours))

    # How this route says it

    @staticmethod
    def encode(messages: Sequence[Message]) -> bytes:
        """Return messages as one chunk of an HTTP/1.1 response."""
        body = b"".join([message.frame for message in messages])
        return b"%x\r\n%b\r\n" % (len(body), body)

    async def send_head(self, send: Send) -> None:
        """Begin."""
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})

    async def send_messages(self, send: Send, messages: Sequence[Message]) -> None:
        """Send messages as soon as the client has room for them."""
        body = b"".join([message.frame for message in messages])
        await send({"type": "http.response.body", "body": body, "more_body": True})

    async def send_end(self, send: Send) -> None:
        """End."""
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class UnchunkedStream(Stream):
    """The same for an HTTP/1.0 client, which knows no chunks."""

    @staticmethod
    def encode(messages: Sequence[Message]) -> bytes:
        """Return messages as a part of a body that ends with its connection."""
        return b"".join([message.frame for message in messages])


def transport_of(send: Send) -> asyncio.Transport:
    """Return the connection of a request: uvicorn's `send` is a method of what holds it."""
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    return transport


def _sequence_number(text: str) -> int | None:
    if text.isdecimal() and len(text) < 18:
        return int(text)
    return None


def _replayed_message(row: EventRow) -> Message:
    return Message("change", b'{"seq":%d,"event":%s,"status":null}' % (row.seq, row.body), row.seq)

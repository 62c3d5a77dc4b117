"""Push: what happened is encoded once, and written in the same bytes to all listeners of the same kind of route.

Listeners are served in slices, and the loop turns between two of them, so that a stop waits for a slice and never for a
crowd; what is published meanwhile goes out together in the next round. A listener that cannot keep up is closed; it
resumes from the last sequence number it saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Protocol

BACKLOG_BYTES = 1024 * 1024
WRITES_PER_LOOP_TURN = 32  # writes of some 10 µs each
KEEPALIVE_INTERVAL_S = 5.0
KEEPALIVE_CHECK_INTERVAL_S = 0.5


class Message:
    """One message as each route sends it; each form is made when its first listener takes it, and only once."""

    def __init__(self, event: str, data: bytes, seq: int | None = None, *, equipment: str | None = None) -> None:
        """Take a message; `data` is JSON, so it has no line break. None is of no equipment alone."""
        self.seq = seq
        self.equipment = equipment
        self._event = event
        self._data = data

    @cached_property
    def frame(self) -> bytes:
        """The server-sent event."""
        if self.seq is None:
            head = b""
        else:
            head = b"id: %d\n" % self.seq
        return b"%sevent: %s\ndata: %s\n\n" % (head, self._event.encode(), self._data)

    @cached_property
    def text(self) -> bytes:
        """The message of a WebSocket: the same name and the same data, in one JSON object."""
        return b'{"event":"%s","data":%s}' % (self._event.encode(), self._data)


Encode = Callable[[Sequence[Message]], bytes]
Sees = Callable[[str | None], bool]


class Batch:
    """Messages that go out together, encoded once for each kind of route."""

    def __init__(self, messages: Sequence[Message]) -> None:
        """Keep the messages, oldest first."""
        self.messages = messages
        self.first_seq = next((message.seq for message in messages if message.seq is not None), None)
        self._encoded: dict[Encode, bytes] = {}

    def encoded(self, encode: Encode) -> bytes:
        """Return the bytes that `encode` makes of all messages."""
        if encode not in self._encoded:
            self._encoded[encode] = encode(self.messages)
        return self._encoded[encode]

    def after(self, seq: int) -> Batch:
        """Return what of it follows a sequence number; what has no number follows always."""
        if self.first_seq is None or self.first_seq > seq:
            return self
        return Batch([message for message in self.messages if message.seq is None or message.seq > seq])

    def seen_by(self, sees: Sees) -> Batch:
        """Return what of it somebody may see."""
        return Batch([message for message in self.messages if sees(message.equipment)])


class Connection(Protocol):
    """What a listener's bytes are written to: a transport of asyncio."""

    def write(self, data: bytes) -> None:
        """Take bytes to be sent, without waiting."""

    def is_closing(self) -> bool:
        """Return whether nothing can be written any more."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""


class Subscriber:
    """Somebody who listens: first to what `begin` gives, then to what happened after the number `after`."""

    def __init__(
        self,
        connection: Connection,
        encode: Encode,
        on_close: Callable[[], object],
        *,
        hears_events: bool = True,
        sees: Sees | None = None,
        is_allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        """Write to `connection` what `encode` makes of messages; `on_close` is called once, when the hub closes it.

        One that `hears_events` not gets signs of life only. One that `sees` not everything hears of what it sees. It is
        closed once it `is_allowed` no more.
        """
        self.hears_events = hears_events
        self.sees = sees
        self._is_allowed = is_allowed
        self.closed = False
        self.last_write_at = 0.0
        self._connection = connection
        self._encode = encode
        self._on_close = on_close
        self._after = 0
        self._held: list[Batch] | None = []  # None once it has begun
        self._may_lag_bytes = BACKLOG_BYTES

    def hold_from(self, after: int) -> None:
        """Keep what happens after the sequence number `after` until it begins."""
        self._after = after

    @property
    def has_begun(self) -> bool:
        """Whether what is delivered is written at once."""
        return self._held is None

    def begin(self, first: Batch, now: float) -> None:
        """Write what it begins with, then what came meanwhile; `now` is the time of the loop."""
        if self.closed:
            return
        held = self._held or ()
        self._held = None
        # A snapshot of a large lab is no sign of a slow client.
        self._may_lag_bytes = self._connection.get_write_buffer_size() + BACKLOG_BYTES
        self._may_lag_bytes += len(first.encoded(self._encode))
        for batch in (first, *held):
            self._write(batch, now)

    def deliver(self, batch: Batch, now: float) -> None:
        """Write a batch, or keep it until the listener begins; one that is too far behind is closed."""
        if not self._is_allowed():
            self.close()
        wanted = batch.after(self._after)
        if self.sees is not None:
            wanted = wanted.seen_by(self.sees)
        if self.closed or not wanted.messages:
            return
        if self._held is None:
            self._write(wanted, now)
            return
        self._held.append(wanted)
        if sum(len(held.encoded(self._encode)) for held in self._held) > BACKLOG_BYTES:
            self.close()

    def _write(self, batch: Batch, now: float) -> None:
        # One whose client is gone leaves as soon as its task hears of it.
        if self.closed or self._connection.is_closing():
            return
        if self._connection.get_write_buffer_size() > self._may_lag_bytes:
            self.close()
            return
        self._connection.write(batch.encoded(self._encode))
        self.last_write_at = now

    def close(self) -> None:
        """Deliver nothing more; the listener resumes, or the authority ends."""
        if not self.closed:
            self.closed = True
            self._on_close()


class Hub:
    """All listeners. All methods are called on the loop."""

    def __init__(self, sign_of_life: Callable[[], Message]) -> None:
        """Begin with nobody; who has heard nothing for a while gets a `sign_of_life`."""
        self._sign_of_life = sign_of_life
        self._listeners: dict[Subscriber, None] = {}
        self._pending: list[Message] = []
        self._quiet: list[Subscriber] = []
        self._round: Iterator[None] | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._ended = False

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def add(self, listener: Subscriber, after: int) -> None:
        """Give a listener what happens after the sequence number `after`."""
        listener.hold_from(after)
        self._listeners[listener] = None
        if self._ended:
            listener.close()
        elif self._looking is None:
            self._schedule_keepalives()

    def unsubscribe(self, listener: Subscriber) -> None:
        """Forget a listener."""
        self._listeners.pop(listener, None)

    def publish(self, message: Message) -> None:
        """Give the same message to everybody who hears events."""
        if self._listeners:
            self._pending.append(message)
            self._begin_round()

    def close(self) -> None:
        """Write what is published, then end all streams."""
        self._ended = True
        for _ in self._round or ():
            pass
        if self._looking is not None:
            self._looking.cancel()
        for listener in list(self._listeners):
            listener.close()

    def _begin_round(self) -> None:
        if self._round is None:
            self._round = self._deliveries()
            asyncio.get_running_loop().call_soon(self._write_batch)

    def _write_batch(self) -> None:
        assert self._round is not None
        served = sum(1 for _ in islice(self._round, WRITES_PER_LOOP_TURN))
        if served == WRITES_PER_LOOP_TURN:
            asyncio.get_running_loop().call_soon(self._write_batch)
        else:
            self._round = None

    def _deliveries(self) -> Iterator[None]:
        """Deliver what there is to all listeners, one at each step."""
        clock = asyncio.get_running_loop().time
        while self._pending or self._quiet:
            if self._pending:
                batch = Batch(self._pending)
                listeners = [listener for listener in self._listeners if listener.hears_events]
                self._pending = []
            else:
                batch = Batch([self._sign_of_life()])
                listeners = self._quiet
                self._quiet = []
            for listener in listeners:
                if listener in self._listeners:
                    listener.deliver(batch, clock())
                    yield

    def _schedule_keepalives(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(KEEPALIVE_CHECK_INTERVAL_S, self._send_keepalives)

    def _send_keepalives(self) -> None:
        """Give a sign of life to those who have heard nothing for so long."""
        self._looking = None
        if not self._listeners:
            return
        heard_before = asyncio.get_running_loop().time() - KEEPALIVE_INTERVAL_S
        self._quiet = [one for one in self._listeners if one.has_begun and one.last_write_at <= heard_before]
        if self._quiet:
            self._begin_round()
        self._schedule_keepalives()

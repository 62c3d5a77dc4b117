"""One EPICS record over Channel Access: fields cached by subscription, written, and found again when lost.

Which server is asked is said to caproto by `EPICS_CA_ADDR_LIST`, `EPICS_CA_AUTO_ADDR_LIST` and `EPICS_CA_SERVER_PORT`.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import Protocol, SupportsFloat

from authority.ports import STOP_DEADLINE_S, DriverUnavailable

_ANSWER_S = 0.8 * STOP_DEADLINE_S  # a server that is there answers in milliseconds, and a stop is told in time
_ASK_AGAIN_S = 1.0
_END_STEP_S = 0.05
_CLOSED = -1  # as the descriptor of a socket
_WRITE = 2  # the bit of the access rights in the protocol


class _Response(Protocol):
    data: Sequence[object]


class _Subscription(Protocol):
    @property
    def pv(self) -> _Channel: ...

    def add_callback(self, func: Callable[[_Subscription, _Response], None]) -> int: ...


class _Channel(Protocol):
    """What is used of a caproto PV."""

    name: str
    connected: bool
    access_rights: int | None

    def read(self, *, timeout: float) -> _Response | None: ...

    def write(self, data: float, *, wait: bool, timeout: float) -> object: ...

    def subscribe(self) -> _Subscription: ...


class _Broadcaster(Protocol):
    udp_sock: socket.socket | None
    send: Callable[..., None]

    def search_now(self) -> None: ...


class _Context(Protocol):
    """What is used of a caproto client context."""

    broadcaster: _Broadcaster

    def get_pvs(self, *names: str, connection_state_callback: Callable[[_Channel, str], None]) -> list[_Channel]: ...

    def disconnect(self, *, wait: bool) -> None: ...


class Record:
    """The fields of the record `prefix`.

    `changed` is notified after each change; `on_value(field)` is called with it held, for who sets it.
    """

    def __init__(
        self,
        prefix: str,
        watched: Iterable[str],
        commanded: Iterable[str],
        start_afresh_s: float = 20.0,
    ) -> None:
        self.prefix = prefix
        self._watched = tuple(watched)
        self._commanded = tuple(commanded)
        self.on_value: Callable[[str], None] | None = None
        self.start_afresh_s = start_afresh_s
        self._new_context, self._errors = client()
        self.changed = threading.Condition()
        self._values: dict[str, float | str] = {}
        self._context: _Context | None = None
        self._channels: dict[str, _Channel] = {}
        self._connecting = threading.Lock()
        self._asked_at = self._lost_at = 0.0

    @property
    def connected(self) -> bool:
        """Whether every field is connected and each that is watched has told its value."""
        channels = self._channels
        alive = bool(channels) and all(channel.connected for channel in channels.values())
        return alive and all(field in self._values for field in self._watched)

    def open(self, timeout_s: float) -> None:
        """Connect and wait for the first values; raises `DriverUnavailable` and goes on searching."""
        until = time.monotonic() + timeout_s
        while not self.connected:
            self.seek()
            left = until - time.monotonic()
            if left <= 0:
                raise self.unavailable()
            with self.changed:
                self.changed.wait_for(lambda: self.connected, timeout=min(left, _ASK_AGAIN_S))

    def seek(self) -> None:
        """Hurry the search for a lost server, and start afresh when nothing came of it for long.

        caproto searches by itself, but ever more slowly, and for ever no more if a server goes away just
        between its answer and the connection.
        """
        with self._connecting:
            now = time.monotonic()
            if self._context is None or now - self._lost_at > self.start_afresh_s:
                self._lost_at = self._asked_at = now
                self._connect()
            elif now - self._asked_at > _ASK_AGAIN_S:
                self._asked_at = now
                self._context.broadcaster.search_now()

    def close(self) -> None:
        """Let go of the record."""
        with self._connecting:
            context = self._context
            self._context = None
            self._channels = {}
        if context is not None:
            end_context(context)

    def number(self, field: str) -> float | None:
        """Return the cached value of a field, None while it is not known or no finite number."""
        value = self._values.get(field)
        if isinstance(value, float) and math.isfinite(value):
            return value
        return None

    def text(self, field: str) -> str | None:
        """Return the cached text of a field, None while it is not known or empty."""
        value = self._values.get(field)
        if isinstance(value, str):
            return value or None
        return None

    def fetch(self, field: str) -> float:
        """Ask the server for a field; raises `DriverUnavailable` when it does not answer with a number."""
        try:
            response = self._channel(field).read(timeout=_ANSWER_S)
        except self._errors as lost:
            raise self.unavailable() from lost
        value = None
        if response is not None:
            value = _value(response)
        if not isinstance(value, float):
            raise self.unavailable()
        return value

    def put(self, field: str, value: float, *, confirmed: bool = False) -> None:
        """Write a field; with `confirmed`, return when the server has acknowledged it.

        Raises `DriverUnavailable`, or `PermissionError` where the server's access rules forbid it.
        """
        channel = self._channel(field)
        if channel.access_rights is not None and not channel.access_rights & _WRITE:
            raise PermissionError(f"{channel.name} may not be written from here: ask who keeps its access rules")
        try:
            done = channel.write(value, wait=confirmed, timeout=_ANSWER_S)
        except self._errors as lost:
            raise self.unavailable() from lost
        if confirmed and done is None:
            raise self.unavailable()

    def unavailable(self) -> DriverUnavailable:
        """Return the error that says that the record does not answer, or lacks fields."""
        lacking = [field for field, channel in self._channels.items() if not channel.connected]
        if 0 < len(lacking) < len(self._channels):
            return DriverUnavailable(
                f"{self.prefix} has no field {', '.join(lacking)}: check that it is a motor record"
            )
        return DriverUnavailable(
            f"{self.prefix} does not answer over Channel Access: check that its server runs and that "
            "EPICS_CA_ADDR_LIST names it"
        )

    def _channel(self, field: str) -> _Channel:
        channel = self._channels.get(field)
        if channel is None or not self.connected:
            raise self.unavailable()
        return channel

    def _connect(self) -> None:
        if self._context is not None:
            end_context(self._context)
        with self.changed:
            self._values.clear()
        self._context = self._new_context()
        fields = self._watched + self._commanded
        names = [f"{self.prefix}.{field}" for field in fields]
        found = self._context.get_pvs(*names, connection_state_callback=self._on_connection)
        self._channels = dict(zip(fields, found, strict=True))
        for field in self._watched:
            # caproto keeps callbacks weakly: a bound method of an object that lives is safe, a lambda is not.
            self._channels[field].subscribe().add_callback(self._on_update)

    def _on_connection(self, channel: _Channel, _state: str) -> None:
        with self.changed:
            # A late word of a circuit or context that is long replaced must not undo the new one's values.
            if self._channels.get(_field(channel)) is channel and not channel.connected:
                self._lost_at = time.monotonic()
                self._values.pop(_field(channel), None)
            self.changed.notify_all()

    def _on_update(self, subscription: _Subscription, response: _Response) -> None:
        value = _value(response)
        with self.changed:
            if value is not None:
                self._values[_field(subscription.pv)] = value
                if self.on_value is not None:
                    self.on_value(_field(subscription.pv))
            self.changed.notify_all()


def end_context(context: _Context) -> None:
    """End a context; its search thread would else sleep on for seconds before it sees that it is over.

    It is woken only when its socket is gone: before, it might search on a socket that closes in that moment.
    """
    ending = threading.Thread(target=context.disconnect, kwargs={"wait": True}, daemon=True)
    ending.start()
    while ending.is_alive():
        ending.join(_END_STEP_S)
        if context.broadcaster.udp_sock is None:
            context.broadcaster.search_now()


def _field(channel: _Channel) -> str:
    return channel.name.rpartition(".")[2]


def _value(response: _Response) -> float | str | None:
    match response.data[0] if len(response.data) else None:
        case bytes() as raw:
            return raw.decode("latin-1")
        case str() as text:
            return text
        case SupportsFloat() as number:
            return float(number)
    return None


def client() -> tuple[Callable[[], _Context], tuple[type[Exception], ...]]:
    """Return how to make a client context, and the errors that mean that the server is not there."""
    try:
        threading_client = import_module("caproto.threading.client")
        caproto = import_module("caproto")
    except ImportError as missing:
        raise ModuleNotFoundError(
            "EPICS needs the package caproto: install it with pip install 'jupyter-motorlock[epics]'"
        ) from missing
    # It tells of each channel of each record that comes or goes; what people need to know is in the readback.
    logging.getLogger("caproto.ch").setLevel(logging.WARNING)
    return partial(_open_context, threading_client.Context, caproto.CaprotoError), (caproto.CaprotoError, OSError)


def _open_context(kind: Callable[[], _Context], error: type[Exception]) -> _Context:
    """Open a context whose search thread does not die, with a traceback, of a socket that closes while it sends."""
    context = kind()
    broadcaster = context.broadcaster
    send = broadcaster.send

    def send_while_open(*commands: object) -> None:
        try:
            send(*commands)
        except error:
            sock = broadcaster.udp_sock
            if sock is not None and sock.fileno() != _CLOSED:
                raise

    broadcaster.send = send_while_open
    return context

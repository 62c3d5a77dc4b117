"""What the authority needs from the outside: a clock, a store and drivers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar, Protocol

import msgspec

STOP_DEADLINE_S = 1.0
"""How long a driver has to take a stop; then the stop counts as not delivered."""


class DriverUnavailable(Exception):
    """The equipment cannot be reached now; the text is one sentence for a person."""


class OutsideLimits(Exception):
    """A target beyond what the equipment allows; the text names the target and the limits.

    `always` says that no position or setting would allow it, so that commands before it cannot help.
    """

    def __init__(self, text: str, *, always: bool = False) -> None:
        super().__init__(text)
        self.always = always


class MotionStopped(Exception):
    """A running command ended because `stop` was called, not because it arrived."""


class StopToken:
    """Whether a stop came since a command was accepted. Once stopped, it stays so; safe from any thread."""

    def __init__(self) -> None:
        """Begin without a stop."""
        self._stopped = threading.Event()
        self.delivered = False  # the driver has taken the stop: it ends also what runs

    @property
    def stopped(self) -> bool:
        """Whether a stop came, also one that the driver has not taken yet."""
        return self._stopped.is_set()

    def raise_if_stopped(self, sentence: str = "stopped before the device had the command") -> None:
        """Raise `MotionStopped` with `sentence` where a stop came."""
        if self.stopped:
            raise MotionStopped(sentence)

    def wait(self, timeout_s: float) -> bool:
        """Wait in a thread for a stop, at most so many seconds; return whether it came."""
        return self._stopped.wait(timeout_s)

    def stop(self) -> None:
        """Let a stop have come, for good."""
        self._stopped.set()


class StopSource:
    """Gives each command that is accepted a token, and stops what was accepted before a stop or during it."""

    def __init__(self) -> None:
        """Begin without a stop."""
        self._lock = threading.Lock()
        self._token = StopToken()
        self._under_way = 0

    @property
    def under_way(self) -> bool:
        """Whether a stop is on its way."""
        return self._under_way > 0

    def token(self) -> StopToken:
        """Return the token of what is accepted now: one that is stopped already while a stop is on its way."""
        return self._token

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Stop what was accepted before, and what is accepted until the last of several stops is over."""
        with self._lock:
            self._under_way += 1
            self._token.stop()
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                if self._under_way == 0:
                    self._token = StopToken()


NEVER_STOPPED = StopToken()
"""The token of what no stop can end, such as a reading."""

fence_of_command: ContextVar[int] = ContextVar("fence_of_command", default=0)
"""The fence of the control command that a driver is called for: set around the call, for a device that checks it."""

stop_token_of_command: ContextVar[StopToken] = ContextVar("stop_token_of_command", default=NEVER_STOPPED)
"""The token of the control command that a driver is called for: asked right before the device gets the order."""


class Readback(msgspec.Struct, frozen=True):
    """What the equipment says of itself, cached by the authority and shown to every user.

    `position`, `target` and `tolerance`, within which a motor at rest is where it was, are in `units`; `velocity`, in
    `units` per second, is that of a move, not the present one. Each is None where it is not known.

    `moving` is None where the driver cannot say: the authority then takes it for moving while a control command of its
    own runs and, after that or a stop, until the position has stood still for half a second. False is a promise that
    it rests: by it a lock passes on.
    """

    moving: bool | None = None
    connected: bool = True
    position: float | None = None
    target: float | None = None
    velocity: float | None = None
    tolerance: float = 1e-3
    units: str | None = None
    values: Mapping[str, float | int | bool | str | None] = {}
    error: str | None = None

    def flat(self) -> dict[str, float | bool | str | None]:
        """Return it as the value of a command `status`."""
        return {
            "position": self.position,
            "units": self.units,
            "moving": self.moving,
            "target": self.target,
            "velocity": self.velocity,
            **self.values,
        }


class Driver(Protocol):
    """One piece of equipment; commands are methods marked `@control` or `@observe` (`authority.drivers.declare`).

    One whose commands the lab file writes has them in an attribute `declared` instead.

    `blocking = True` (a plain library that waits): every method runs in threads of this driver's own, control
    commands one after another in one of them, `stop` in a further one, possibly while a command still runs.
    `blocking = False`: methods run on the authority's loop and must return at once; a command that takes time is
    then a coroutine function. Methods named here are never coroutines.

    A stop also stops the token of the command that runs (`stop_token_of_command`), before `stop` is called.
    """

    blocking: ClassVar[bool]

    # A device that remembers fences may have an attribute `highest_fence`, an integer: the highest one that it has
    # obeyed, read after each `open`.

    @property
    def kind(self) -> str:
        """What it is for a person, such as "motor"; a class has it too."""

    @property
    def address(self) -> str | None:
        """What must not be driven by two authorities of one machine, or None."""

    def open(self) -> None:
        """Connect; raise `DriverUnavailable` when that fails: it is called again until it succeeds."""

    def close(self) -> None:
        """Let go of the equipment, without moving it."""

    def readback(self) -> Readback:
        """Return the present readback; raise `DriverUnavailable` or answer `connected=False` when there is none."""

    def stop(self) -> None:
        """Stop all motion now; return when the equipment has the order. Safe to call from any thread, at any time."""

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Raise `OutsideLimits` for a target the equipment must not be sent to. Never waits: it uses what is cached.

        It is also asked beforehand, about commands that may never come: it changes nothing.
        """


def can_stop(driver: Driver) -> bool:
    """Whether a stop can end a command of the driver: one with `has_stop = False` has nothing to stop."""
    return bool(getattr(driver, "has_stop", True))


class Clock(Protocol):
    """Monotonic time in seconds that counts on from the wall time of the process's start."""

    def now(self) -> float:
        """Monotonic seconds: differences are true whatever happens to the wall clock."""

    def wall(self, at: float) -> float:
        """The UTC wall time, in seconds since the epoch, that people are shown for the monotonic `at`."""


class EventRow(msgspec.Struct, frozen=True):
    """One event as it is stored, pushed and shown: `body` is its JSON.

    `wall` is when it happened in `Clock.now`'s seconds, here and in what follows: a wall clock that is set makes
    nothing older or younger.
    """

    seq: int
    wall: float
    equipment: str | None
    session: str | None
    body: bytes


class CommandRow(msgspec.Struct, frozen=True):
    """What is remembered of a command that bore an idempotency key; `reply` is None until it is over."""

    key: str
    digest: bytes
    wall: float
    reply: bytes | None


class Batch(msgspec.Struct):
    """What one commit writes: events, and the entries as they stand after them (None: gone)."""

    events: list[EventRow]
    equipment: dict[str, bytes]
    sessions: dict[str, bytes | None]
    commands: list[CommandRow]


class StoredStateUnreadable(Exception):
    """What the store remembers cannot be understood; the text names the row."""


class StoredState(msgspec.Struct, frozen=True):
    """What a store remembered when the authority starts."""

    seq: int
    wall: float
    equipment: dict[str, bytes]
    sessions: dict[str, bytes]


class Store(Protocol):
    """Where entries and events survive. `write` is called from one thread, the rest from the loop's."""

    def load(self) -> StoredState:
        """Return all entries, the last sequence number and the last event's time."""

    def write(self, batch: Batch) -> None:
        """Put all of `batch` on disk, or raise and write nothing of it."""

    def events(
        self, *, equipment: str | None = None, session: str | None = None, after: int | None = None, limit: int
    ) -> list[EventRow]:
        """Return the newest `limit` events, or with `after` the first `limit` that follow it; oldest first."""

    def replay(self, *, after: int, limit: int) -> list[EventRow]:
        """Return the first `limit` events after a number, none where some that follow it are forgotten.

        Called from one thread of its own, beside the others.
        """

    def command(self, key: str) -> CommandRow | None:
        """Return the command recorded under a key."""

    def forget(self, *, events_before: float, commands_before: float) -> bool:
        """Drop some of what happened before these times; return whether there is more. Called from the writing thread.

        The newest event stays: sequence numbers are not reused.
        """

    def meta(self, key: str, default: str) -> str:
        """Return the value kept under `key`, which is `default` from the first time on."""

    def set_meta(self, key: str, value: str) -> None:
        """Keep another value under `key`. Called from the writing thread."""

    def close(self) -> None:
        """Let go of the disk."""

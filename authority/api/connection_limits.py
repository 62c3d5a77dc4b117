"""How many connections there may be, in all and from one address, and what gives way when there are too many.

A connection on which nothing is being served gives way first, the one that has been so for longest. Where none is left
of that kind, some more are taken that serve nothing but a stop and health: a full server must not keep a stop out.
"""

from __future__ import annotations

import logging
from collections import Counter
from enum import Enum, auto
from typing import Protocol

log = logging.getLogger("motorlock")

STOP_ONLY_CONNECTIONS = 16
DESCRIPTORS_KEPT_FREE = 64
DESCRIPTORS_OF_A_DRIVER = 4
LOG_PAUSE_S = 10.0


class Admission(Enum):
    """What a new connection may do."""

    FULL = auto()
    STOP_ONLY = auto()
    NONE = auto()


class Abortable(Protocol):
    """A connection that can be cut off."""

    def abort(self) -> None:
        """Close it at once."""


class ConnectionLimits:
    """Counts the connections of one server. All methods are called on its loop."""

    def __init__(
        self, *, in_all: int, per_address: int, descriptors: int | None = None, equipment_count: int = 0
    ) -> None:
        """Allow so many in all, and so many from one address that is not this machine's.

        Of the `descriptors` that the process may have open, some are kept free for stops, the store and the drivers.
        """
        self._in_all = in_all
        self._per_address = per_address
        self._last_descriptor: int | None = None
        if descriptors is not None:
            kept_free = DESCRIPTORS_KEPT_FREE + DESCRIPTORS_OF_A_DRIVER * equipment_count
            self._last_descriptor = descriptors - min(kept_free, descriptors // 2)
            self._in_all = min(in_all, self._last_descriptor)
            if self._in_all < in_all:
                log.warning(
                    "at most %d connections may be open, not %d: the system lets this process have %d descriptors",
                    self._in_all,
                    in_all,
                    descriptors,
                )
        self._open = 0
        self._of_address: Counter[str] = Counter()
        self._idle: dict[Abortable, str] = {}  # the longest idle first, each with its address
        self._idle_of_address: dict[str, dict[Abortable, None]] = {}
        self._stop_only: dict[Abortable, bool] = {}  # whether nothing is being served on it
        self._gave_way = 0
        self._turned_away = 0
        self._logged_at: float | None = None

    def admit(self, connection: Abortable, address: str, now: float, descriptor: int = 0) -> Admission:
        """Count a new connection, and say what it may do; `now` is in seconds and only spaces the lines of the log.

        The number of its `descriptor` tells how many are in use at least, by whomever: it was the lowest that was free.
        """
        if self._has_room(address, descriptor):
            admission = Admission.FULL
        else:
            admission = self._beyond_limits()
        self._open += 1
        self._of_address[address] += 1
        match admission:
            case Admission.FULL:
                self.mark_idle(connection, address)
            case Admission.STOP_ONLY:
                self._stop_only[connection] = True
                self._turned_away += 1
            case Admission.NONE:
                self._turned_away += 1
        self._log_limits(address, now)
        return admission

    def mark_busy(self, connection: Abortable, address: str) -> None:
        """Note that a request is being served on it: it does not give way."""
        if connection in self._stop_only:
            self._stop_only[connection] = False
            return
        self._idle.pop(connection, None)
        idle_here = self._idle_of_address.get(address, {})
        idle_here.pop(connection, None)
        if not idle_here:
            self._idle_of_address.pop(address, None)

    def mark_idle(self, connection: Abortable, address: str) -> None:
        """Note that nothing is being served on it any more."""
        if connection not in self._stop_only:
            self._idle[connection] = address
            self._idle_of_address.setdefault(address, {})[connection] = None

    def release(self, connection: Abortable, address: str) -> None:
        """Count a connection that has closed no more."""
        self._open -= 1
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]
        self._stop_only.pop(connection, None)
        self.mark_busy(connection, address)

    def make_room(self) -> None:
        """Cut off the connection that has been idle for longest: no descriptor is left."""
        self._cut_off(next(iter(self._idle), None))

    def _has_room(self, address: str, descriptor: int) -> bool:
        """Tell whether one more may be served everything, after another had to give way for it where that helps."""
        if self._of_address[address] >= self._per_address and not _is_this_machine(address):
            return self._cut_off(next(iter(self._idle_of_address.get(address, ())), None))
        is_full = self._open >= self._in_all
        if self._last_descriptor is not None and descriptor >= self._last_descriptor:
            is_full = True
        return not is_full or self._cut_off(next(iter(self._idle), None))

    def _cut_off(self, idle: Abortable | None) -> bool:
        """Cut off an idle connection; tell whether there is one."""
        if idle is None:
            return False
        self.mark_busy(idle, self._idle[idle])  # it cannot give way twice
        self._gave_way += 1
        idle.abort()
        return True

    def _beyond_limits(self) -> Admission:
        if len(self._stop_only) < STOP_ONLY_CONNECTIONS:
            return Admission.STOP_ONLY
        oldest_idle = next((one for one, is_idle in self._stop_only.items() if is_idle), None)
        if oldest_idle is None:
            return Admission.NONE
        del self._stop_only[oldest_idle]
        oldest_idle.abort()
        return Admission.STOP_ONLY

    def _log_limits(self, address: str, now: float) -> None:
        if not self._turned_away and not self._gave_way:
            return
        if self._logged_at is None or now - self._logged_at >= LOG_PAUSE_S:
            log.warning(
                "too many connections: %d are open, %d from %s; since the last line %d idle ones were cut off, and "
                "%d new ones were refused all but a stop",
                self._open,
                self._of_address[address],
                address,
                self._gave_way,
                self._turned_away,
            )
            self._gave_way = 0
            self._turned_away = 0
            self._logged_at = now


def _is_this_machine(address: str) -> bool:
    """Whether all notebooks of a hub may share this address: its share is the whole."""
    return address.removeprefix("::ffff:").startswith("127.") or address in {"::1", "unknown"}

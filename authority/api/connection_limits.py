"""How many connections there may be, in all and from one address, and what gives way when there are too many.

A connection on which no request has been completed yet gives way first. Where none is left of that kind, some more
connections are taken that serve nothing but a stop and health: a full table must not keep a stop out.
"""

from __future__ import annotations

import logging
from collections import Counter
from enum import Enum, auto
from typing import Protocol

log = logging.getLogger("motorlock")

CONNECTIONS = 8192
CONNECTIONS_PER_ADDRESS = 2048
STOP_ONLY_CONNECTIONS = 16
DESCRIPTORS_KEPT_FREE = 64
LOG_PAUSE_S = 10.0
_THIS_MACHINE = frozenset({"127.0.0.1", "::1", "unknown"})


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

    def __init__(self, *, in_all: int = CONNECTIONS, per_address: int = CONNECTIONS_PER_ADDRESS) -> None:
        """Allow so many in all, and so many from one address that is not this machine's."""
        self._in_all = in_all
        self._per_address = per_address
        self._open = 0
        self._of_address: Counter[str] = Counter()
        self._without_request: dict[Admission, dict[Abortable, None]] = {Admission.FULL: {}, Admission.STOP_ONLY: {}}
        self._refused = 0
        self._logged_at: float | None = None

    @classmethod
    def within_descriptors(cls, descriptors: int) -> ConnectionLimits:
        """Return limits that leave descriptors for the store, the drivers and a stop."""
        return cls(in_all=max(1, min(CONNECTIONS, descriptors - DESCRIPTORS_KEPT_FREE)))

    def admit(self, connection: Abortable, address: str, now: float) -> Admission:
        """Count a new connection, and say what it may do; `now` is in seconds and only spaces the lines of the log."""
        admission = Admission.FULL
        if address not in _THIS_MACHINE and self._of_address[address] >= self._per_address:
            admission = Admission.NONE
        elif self._open >= self._in_all and not self._make_room(Admission.FULL):
            admission = Admission.STOP_ONLY
            if self._open >= self._in_all + STOP_ONLY_CONNECTIONS and not self._make_room(Admission.STOP_ONLY):
                admission = Admission.NONE
        self._open += 1
        self._of_address[address] += 1
        if admission is not Admission.NONE:
            self._without_request[admission][connection] = None
        if admission is not Admission.FULL:
            self._log_refusal(address, now)
        return admission

    def has_sent_request(self, connection: Abortable) -> None:
        """Note that a whole request came on it: it does not give way any more."""
        for waiting in self._without_request.values():
            waiting.pop(connection, None)

    def release(self, connection: Abortable, address: str) -> None:
        """Count a connection that has closed no more."""
        self._open -= 1
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]
        self.has_sent_request(connection)

    def _make_room(self, admission: Admission) -> bool:
        """Cut off the oldest connection of that kind on which no request came; tell whether there was one."""
        waiting = self._without_request[admission]
        oldest = next(iter(waiting), None)
        if oldest is None:
            return False
        del waiting[oldest]
        oldest.abort()
        return True

    def _log_refusal(self, address: str, now: float) -> None:
        self._refused += 1
        if self._logged_at is None or now - self._logged_at >= LOG_PAUSE_S:
            log.warning(
                "too many connections: %d are open, %d from %s; %d were refused all but a stop since the last line",
                self._open,
                self._of_address[address],
                address,
                self._refused,
            )
            self._refused = 0
            self._logged_at = now

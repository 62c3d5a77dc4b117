"""LabLink's settings that the routes and the log obey."""

from __future__ import annotations

from msgspec import Struct


class Options(Struct, frozen=True):
    """What the lab decided for all its equipment; timeouts in seconds, 0 is never."""

    locks: bool = True
    lock_timeout_s: int = 300
    session_timeout_s: int = 600
    queue: bool = True
    observers: bool = True
    log_events: bool = True

"""The settings of a lab that its routes and its log obey, and where a setting may come from."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Struct, field

from .parameters import Range


class SettingSource(Enum):
    """Where a setting comes from before the lab file is asked, and its name there; the first goes first."""

    FLAG = "--{flag}"
    MOTORLOCK = "MOTORLOCK_{KEY}"
    LABLINK = "LABLINK_{KEY}"


_Switch = Annotated[bool, SettingSource.MOTORLOCK, SettingSource.LABLINK]
_Timeout = Annotated[int, Range(0, 31_536_000), SettingSource.MOTORLOCK, SettingSource.LABLINK, "0 is never"]


class Options(Struct, frozen=True):
    """LabLink's seven settings, by their keys in the lab file's `[authority]`; timeouts in seconds."""

    locks: _Switch = field(name="enable_equipment_locks", default=True)
    lock_timeout_s: _Timeout = field(name="lock_timeout_sec", default=300)
    session_timeout_s: _Timeout = field(name="session_timeout_sec", default=600)
    queue: _Switch = field(name="enable_lock_queue", default=True)
    observers: _Switch = field(name="enable_observer_mode", default=True)
    release_on_disconnect: _Switch = field(name="auto_release_on_disconnect", default=True)
    log_events: _Switch = field(name="log_lock_events", default=True)

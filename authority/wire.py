"""What goes over the wire and into the store, as types: the OpenAPI document is made from them.

A `Copied` view has the field names of the model, and `name` is what the wire calls them, where that differs.
"""

from __future__ import annotations

from typing import Literal, NewType

from msgspec import UNSET, Struct, UnsetType, field

Time = NewType("Time", str)
"""Wall time for people and programs; monotonic seconds in the model."""


class Copied(Struct, kw_only=True):
    """A view that has nothing of its own: its fields are copied by their names (decision record 21)."""


class LockView(Struct, kw_only=True):
    """An exclusive lock."""

    lock_id: str
    equipment_id: str
    session_id: str
    lock_mode: Literal["exclusive"] = "exclusive"
    acquired_at: str
    last_activity: str
    timeout_seconds: float
    fence: int
    claimed: bool
    note: str | None
    user: str


class AskView(Copied, kw_only=True):
    """What a waiter asked of the holder, until when an answer is due, and the answer; `text` says it after a name."""

    at: Time
    due: Time
    reason: str | None
    answer: Literal["later", "no", "unanswered"] | None
    promised_at: Time | None
    note: str | None
    text: str


class EntryView(Struct, kw_only=True):
    """A place in the queue; position 1 is next. `equipment_ids` is all that the entry waits for."""

    queue_id: str
    equipment_id: str
    session_id: str
    lock_mode: str
    queued_at: str
    position: int
    priority: int
    user: str
    note: str | None
    suspect: bool
    equipment_ids: list[str]
    swap_with: str | None
    ask: AskView | None
    expected_wait_seconds: float | None


class SessionView(Struct, kw_only=True):
    """A session, without anything that could act for it."""

    session_id: str
    client_name: str | None
    client_ip: str | None
    created_at: str
    last_activity: str
    time_remaining: float | None
    duration_seconds: float
    metadata: dict[str, object]
    user: str
    user_verified: bool
    has_keeper: bool
    suspect: bool


class NewSessionView(SessionView, kw_only=True):
    """A session as its creator gets it: with its token, where one was asked for."""

    session_token: str | UnsetType = UNSET


class HolderView(Struct, kw_only=True):
    """Who holds a lock of either kind."""

    session_id: str
    user: str
    user_verified: bool
    client_name: str | None
    note: str | None
    since: str
    suspect: bool
    busy: bool


class ReadbackView(Struct, kw_only=True):
    """What the equipment said of itself last, and how old that is; `fraction` is how much of its way it went."""

    connected: bool
    moving: bool
    position: float | None
    target: float | None
    velocity: float | None
    fraction: float | None
    units: str | None
    values: dict[str, float | int | bool | str | None]
    error: str | None
    age_seconds: float


class EndingView(Struct, kw_only=True):
    """The one countdown: what ends this, when, unless what."""

    what: str
    at: str | None
    in_seconds: float | None
    text: str


class RunningView(Copied, kw_only=True):
    """The control command in flight."""

    action: str
    parameters: dict[str, object]
    command_id: str
    session: str = field(name="session_id")
    user: str
    started_at: Time


class KeptView(Copied, kw_only=True):
    """The holder's promise: until then idling does not run."""

    until: Time
    note: str | None


class StopView(Copied, kw_only=True):
    """Who stopped the holder's work."""

    user: str
    session: str | None = field(name="session_id")
    at: Time
    reason: str | None
    text: str


class LossView(Copied, kw_only=True):
    """The lock that was lost last; `text` is why, as what follows "because"."""

    session: str = field(name="session_id")
    user: str
    fence: int
    why: str
    by: str | None
    reason: str | None
    at: Time
    text: str


class DrainView(Copied, kw_only=True):
    """What keeps a lock that has ended from passing on: how rest is reached, until when, and why (`text`)."""

    since: Time
    why: str
    how: Literal["stop", "finish"]
    parking: bool
    stop_owed: bool
    deadline: Time
    by: str | None
    reason: str | None
    text: str


class StatusView(Struct, kw_only=True):
    """One piece of equipment as everybody may see it: LabLink's ten fields and ours; `text` is one sentence."""

    equipment_id: str
    locked: bool
    lock_mode: str | None
    session_id: str | None
    lock_id: str | None
    acquired_at: str | None
    time_remaining: float | None
    observer_count: int
    observer_sessions: list[str]
    queue_length: int
    kind: str
    label: str
    state: Literal["free", "held", "draining", "fault"]
    fence: int
    claimed: bool
    holder: HolderView | None
    observers: list[HolderView]
    queue: list[EntryView]
    ending: EndingView | None
    kept: KeptView | None
    running: RunningView | None
    readback: ReadbackView
    stopped_by: StopView | None
    fault: str | None
    fault_at: str | None
    draining: DrainView | None
    last_lost: LossView | None
    text: str


class Progress(Struct):
    """What equipment says of itself."""

    equipment_id: str
    readback: ReadbackView


class Ping(Struct):
    """A sign of life."""

    now: str

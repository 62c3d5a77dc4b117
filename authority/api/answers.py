"""What clients get, route by route, beside the views of `authority.wire`."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from authority.parameters import Command
from authority.wire import EntryView, LockView, SessionView, StatusView


class Problem(Struct):
    """Why a request was refused: `detail` is one sentence for a person. Some codes bring further fields."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, object]] | UnsetType = UNSET


class AcquireAnswer(Struct, omit_defaults=True, kw_only=True):
    """`locked`, `refreshed`, `observer` or `queued`."""

    success: bool = msgspec.field()
    status: Literal["locked", "refreshed", "observer", "queued"] = msgspec.field()
    message: str | UnsetType = UNSET
    lock: LockView | UnsetType = UNSET
    locks: list[LockView] | UnsetType = UNSET
    current_lock: LockView | UnsetType | None = UNSET
    queue_entry: EntryView | UnsetType = UNSET
    observer_count: int | UnsetType = UNSET


class ReleaseAnswer(Struct, kw_only=True):
    """`released`, `observer_released` or `not_locked`; `draining` while the equipment still moves."""

    success: bool
    status: Literal["released", "observer_released", "not_locked"]
    was_forced: bool = False
    draining: bool = False
    message: str | UnsetType = UNSET


class LockAnswer(Struct):
    """The lock, claimed."""

    success: bool
    lock: LockView


class SessionAnswer(Struct):
    """Done, for this session."""

    success: bool
    message: str
    session_id: str


class SessionEndAnswer(SessionAnswer):
    """The session has ended."""

    locks_released: int


class CleanupAnswer(Struct):
    """The sessions whose time was over, and is now recorded as such."""

    success: bool
    message: str
    expired_sessions: int
    session_ids: list[str]


class SessionsAnswer(Struct):
    """The living sessions, oldest first; `next` is where to go on, null when all that is left is here."""

    sessions: list[SessionView]
    count: int
    next: str | None


class SessionLocksAnswer(Struct):
    """What a session has a lock on."""

    session_id: str
    locked_equipment: list[str]
    count: int


class ActivityAnswer(Struct):
    """The idle clock of a lock has started anew."""

    success: bool
    message: str
    equipment_id: str
    session_id: str


class QueueAnswer(Struct):
    """Who waits for one piece of equipment; `next` is where to go on."""

    equipment_id: str
    queue: list[EntryView]
    next: str | None


class LeftAnswer(Struct):
    """The place in the queue is given up."""

    success: bool
    equipment_id: str
    queue_id: str


class StandingAnswer(Struct):
    """Done; how the equipment stands now."""

    success: bool
    status: StatusView


class AllAnswer(Struct):
    """Every lock and queue; `next` is where to go on."""

    exclusive_locks: dict[str, LockView]
    observer_locks: dict[str, list[str]]
    queues: dict[str, list[EntryView]]
    next: str | None


class EquipmentEventsAnswer(Struct):
    """Events of one piece of equipment, oldest first; `next` is the number of the last one where others follow."""

    equipment_id: str
    events: list[msgspec.Raw]
    count: int
    next: int | None


class SessionEventsAnswer(Struct):
    """Events of one session, oldest first; `next` is the number of the last one where others follow."""

    session_id: str
    events: list[msgspec.Raw]
    count: int
    next: int | None


class ListedEquipment(Struct, kw_only=True):
    """One line of the list of equipment."""

    id: str
    type: str
    manufacturer: str = ""
    model: str
    serial_number: str | None = None
    connection_type: str = "motorlock"
    resource_string: str
    nickname: str
    kind: str
    label: str
    state: str
    holder: str | None
    queue_length: int


class EquipmentAnswer(Struct):
    """What a piece of equipment can do, and how it stands."""

    equipment_id: str
    kind: str
    label: str
    commands: list[Command]
    policies: dict[str, object]
    status: StatusView


class WhyAnswer(Struct):
    """Why a piece of equipment stands as it does: one paragraph for a person."""

    equipment_id: str
    text: str


class DeviceStatusAnswer(Struct, kw_only=True):
    """LabLink's status of a device; what a driver cannot tell is null."""

    id: str
    connected: bool
    error: str | None
    firmware_version: str | None = None
    capabilities: dict[str, object]
    last_seen: str


class ReadingsAnswer(Struct):
    """The last readback as numbers; each stands beside `readings`, too, unless it is called as one of these fields."""

    equipment_id: str
    readings: dict[str, object]
    age_seconds: float


class CommandAnswer(Struct, kw_only=True):
    """What became of a command."""

    command_id: str
    equipment_id: str
    success: bool
    data: object
    error: str | None
    timestamp: str
    outcome: Literal["done", "failed", "stopped", "unknown", "not_run", "running"]


class CheckedView(Struct):
    """Whether a command would be accepted now; else the problem, and whether it is one whatever runs before."""

    action: str
    accepted: bool
    refusal: dict[str, object] | None
    always: bool


class CheckAnswer(Struct):
    """Of each command, in their order, whether it would be accepted now."""

    equipment_id: str
    commands: list[CheckedView]


StopOutcome = Literal["stopped", "stop_not_delivered", "nothing_to_stop"]


class StopAnswer(Struct):
    """Whether the driver took the stop in time; `error` says why not, or that there is nothing to stop.

    `ignored` says what of the body was of no use.
    `recorded` is false while the store has not taken it: it was carried out all the same.
    """

    success: bool
    equipment_id: str
    delivered: bool
    outcome: StopOutcome
    error: str | None
    recorded: bool
    ignored: list[str]


class DoneAnswer(Struct):
    """Done, for this equipment."""

    success: bool
    equipment_id: str


class HealthAnswer(Struct):
    """Whether the authority can do its work; `instance` changes at each of its starts.

    `store_slow`: a commit takes longer than 2 s, and nothing is answered as done before it is on disk.
    """

    status: Literal["ok", "store_slow", "store_failed"]
    name: str
    version: str
    instance: str
    locks_enabled: bool
    equipment: int

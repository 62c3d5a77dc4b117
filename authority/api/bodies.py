"""What clients send, path by path. LabLink's paths ignore unknown fields; our own forbid them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from authority.core.model import DEFAULT_LEASE_S

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Note = Annotated[str, Meta(max_length=500)]
Seconds = Annotated[int, Meta(ge=0, le=31_536_000)]
Duration = Annotated[float, Meta(ge=0, le=31_536_000)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Wait = Annotated[float, Meta(ge=0, le=60)]
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class AcquireBody(Struct):
    """Ask for a lock on one piece of equipment, or on several at once (`equipment_ids`)."""

    session_id: Name
    equipment_id: Name | UnsetType = UNSET
    equipment_ids: Annotated[list[Name], Meta(min_length=1, max_length=16)] | UnsetType = UNSET
    lock_mode: str = "exclusive"
    timeout_seconds: Seconds | UnsetType = UNSET
    queue_if_busy: bool = False
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    note: Note | None = None


class ReleaseBody(Struct):
    """Give a lock back, or take it from its holder with `force`."""

    equipment_id: Name
    session_id: Name
    force: bool = False
    stop: bool = False
    reason: Note | None = None


class SessionBody(Struct):
    """Begin a session."""

    client_name: Name | None = None
    client_ip: Name | None = None
    timeout_seconds: Seconds | UnsetType = UNSET
    metadata: dict[str, object] | None = None
    user: Name | None = None
    secret: bool = False
    keeper: bool = False
    lease_seconds: Annotated[float, Meta(gt=0, le=86400)] = DEFAULT_LEASE_S


class ActingBody(Struct):
    """Which session acts."""

    session_id: Name


class CommandBody(Struct):
    """Run a command."""

    command_id: Name
    equipment_id: Name
    action: Name
    parameters: dict[str, object] = {}
    session_id: Annotated[str, Meta(max_length=128)] | None = None
    timestamp: object = None
    fence: int | None = None
    wait_seconds: Wait = 30.0


class AskedCommand(Struct, forbid_unknown_fields=True):
    """One command that is asked about."""

    action: Name
    parameters: dict[str, object] = {}


class CheckBody(Struct, forbid_unknown_fields=True):
    """Ask whether commands would be accepted now."""

    commands: Annotated[list[AskedCommand], Meta(min_length=1, max_length=100)]
    session_id: Annotated[str, Meta(max_length=128)] | None = None
    fence: int | None = None


class StrictActingBody(ActingBody, forbid_unknown_fields=True):
    """Which session acts, on one of our own paths."""


class SwapBody(StrictActingBody, forbid_unknown_fields=True, rename={"partner": "with"}):
    """Offer to swap places with the entry `with`, or agree to its offer; null takes one's own offer back."""

    partner: Name | None


class AskBody(StrictActingBody, forbid_unknown_fields=True):
    """Ask the holder to yield."""

    reason: Note | None = None
    seconds: Annotated[float, Meta(ge=1, le=3600)] = 120.0


class AnswerBody(StrictActingBody, forbid_unknown_fields=True):
    """Answer the ask of an entry: yield to it now, `later` in so many seconds, or `no`."""

    queue_id: Name
    answer: Literal["yield", "later", "no"]
    seconds: Duration | UnsetType = UNSET
    note: Note | None = None


class HandOverBody(StrictActingBody, forbid_unknown_fields=True):
    """Give the lock to somebody who waits: their user, session or `queue_id`."""

    to: Name


class KeepBody(StrictActingBody, forbid_unknown_fields=True):
    """Promise until when idling does not run; 0 takes the promise back."""

    seconds: Duration
    note: Note | None = None


class HeartbeatBody(Struct, forbid_unknown_fields=True):
    """A keeper's sign of life: whether the kernel is running a cell."""

    busy: bool = False


class GoneBody(Struct, forbid_unknown_fields=True):
    """The session's process is dead."""

    reason: Note = "the process ended"


class StopBody(Struct, forbid_unknown_fields=True):
    """Stop equipment; everything in it is optional."""

    session_id: Name | None = None
    user: Name | None = None
    reason: Note | None = None


class ClearFaultBody(Struct, forbid_unknown_fields=True):
    """Declare equipment fit for use again."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    session_id: Name | None = None
    user: Name | None = None

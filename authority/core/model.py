"""What is remembered of each piece of equipment and of each session.

Every entry is frozen; `Table` holds them by id, and a step replaces only the entries it touches. Times are monotonic
seconds (`ports.Clock`), durations seconds; `None` as a time means "this clock does not run".
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal, NewType

from msgspec import Meta, Struct

EquipmentId = NewType("EquipmentId", str)
SessionId = NewType("SessionId", str)
DurationS = Annotated[float, Meta(gt=0)]

DEFAULT_LEASE_S = 60.0
LOSSES_KEPT = 8
HOLDS_KEPT = 20


class LockMode(StrEnum):
    """What a lock allows: to drive, or to look."""

    EXCLUSIVE = "exclusive"
    OBSERVER = "observer"


class LossCause(StrEnum):
    """Why a lock, an observer's lock or a session ended."""

    LOGOUT = "logout"
    FORCED = "forced"
    IDLE = "idle"
    OFFERED = "offered"
    SILENCE = "silence"
    UNCLAIMED = "unclaimed"
    TURN = "turn"
    HANDED_OVER = "handed_over"
    SESSION_ENDED = "session_ended"
    SESSION_EXPIRED = "session_expired"
    GONE = "gone"
    CONNECTIONS_LOST = "connections_lost"
    DOWNGRADED = "downgraded"
    UPGRADED = "upgraded"
    EXCLUSIVE_GRANT = "exclusive_grant"


class RestMethod(StrEnum):
    """How rest is reached before a lock passes on."""

    STOP = "stop"
    FINISH = "finish"


class Outcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    NOT_RUN = "not_run"


class Role(StrEnum):
    """Which of a session's two connections a stream is."""

    FEED = "feed"
    KEEPER = "keeper"


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the lab file says of one piece of equipment; the defaults are those of the specification."""

    enforce_locks: bool = True
    release_with_session: bool = True
    observers: Literal["apart", "alongside"] = "apart"
    on_idle: Literal["release", "offer", "keep"] | None = None
    on_loss: RestMethod = RestMethod.STOP
    on_silence: RestMethod = RestMethod.FINISH
    claim_seconds: DurationS = 120.0
    max_hold_seconds: DurationS | None = None
    max_keep_seconds: DurationS | None = None
    park: bool = False
    finish_seconds: DurationS = 60.0
    stop_seconds: DurationS = 5.0


class Owner(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose a lock or a place in the queue is."""

    session: SessionId
    user: str
    user_verified: bool
    client_name: str | None


class KeepPromise(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A holder's promise: until then idling does not run."""

    until: float
    note: str | None = None


class Lock(Owner, frozen=True, kw_only=True, omit_defaults=True):
    """The exclusive lock; `claim_by` is set until a grant from the queue is claimed, `group` if it was of several.

    `has_arrived`: its last command was done, and nothing has stopped the equipment since.
    """

    lock_id: str
    fence: int
    timeout_s: float
    since: float
    used_at: float
    note: str | None = None
    claim_by: float | None = None
    has_driven: bool = False
    has_arrived: bool = False
    blocking_since: float | None = None
    blocked_s: float = 0.0
    kept: KeepPromise | None = None
    group: tuple[EquipmentId, ...] = ()


class ObserverLock(Owner, frozen=True, kw_only=True, omit_defaults=True):
    """One observer's lock."""

    timeout_s: float
    since: float
    used_at: float
    note: str | None = None


class HolderAsk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a waiter asked of the holder, and the answer; `due` is when the holder's `seconds` to answer end."""

    at: float
    due: float
    seconds: float = 120.0
    reason: str | None = None
    answer: Literal["later", "no", "unanswered"] | None = None
    promised_at: float | None = None
    note: str | None = None


class QueueEntry(Owner, frozen=True, kw_only=True, omit_defaults=True):
    """One place in the queue; it keeps what was asked for. An entry for several has a copy in the queue of each."""

    queue_id: str
    mode: LockMode
    timeout_s: float
    at: float
    priority: int = 0
    note: str | None = None
    group: tuple[EquipmentId, ...] = ()
    swap_with: str | None = None
    ask: HolderAsk | None = None


def queue_order(entry: QueueEntry) -> tuple[int, float]:
    """Return what puts an entry in its place: a higher priority first, then who has waited longest (QUEUE-10)."""
    return (-entry.priority, entry.at)


class Drain(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lock whose right to send has ended, until the equipment is at rest; `heir` is whose entry gets it then."""

    why: LossCause
    how: RestMethod
    since: float
    deadline: float
    stop_owed: bool = False
    parking: bool = False
    by: str | None = None
    reason: str | None = None
    heir: str | None = None

    def loss_of(self, lock: Lock) -> LockLoss:
        """Return what is remembered of `lock`, which ends in this way."""
        return LockLoss(
            session=lock.session, user=lock.user, fence=lock.fence, why=self.why,
            at=self.since, by=self.by, reason=self.reason,
        )  # fmt: skip


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A control command that was accepted; `started_at` is set while it is in flight."""

    key: str
    command_id: str
    session: SessionId
    user: str
    fence: int
    action: str
    parameters: dict[str, object]
    started_at: float | None = None


class StoppedBy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who stopped the holder's work; control is refused until the holder resumes."""

    session: SessionId | None
    user: str
    at: float
    reason: str | None


class LockLoss(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lock that was lost, kept for a refusal that says to its holder who, why and when."""

    session: SessionId
    user: str
    fence: int
    why: LossCause
    at: float
    by: str | None
    reason: str | None


class Equipment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece of equipment as the authority knows it."""

    id: EquipmentId
    policy: Policy = Policy()
    fence: int = 0
    lock: Lock | None = None
    observers: tuple[ObserverLock, ...] = ()
    queue: tuple[QueueEntry, ...] = ()
    drain: Drain | None = None
    running: Command | None = None
    accepted: tuple[Command, ...] = ()
    moving: bool = False
    stopped_by: StoppedBy | None = None
    fault: str | None = None
    fault_at: float | None = None
    losses: tuple[LockLoss, ...] = ()
    holds_s: tuple[float, ...] = ()

    @property
    def state(self) -> Literal["free", "held", "draining", "fault"]:
        """One word for where the equipment stands."""
        if self.fault is not None:
            return "fault"
        if self.drain is not None:
            return "draining"
        if self.lock is None:
            return "free"
        return "held"

    @property
    def at_rest(self) -> bool:
        """Whether nothing that ran under this fence moves, and no stop that was ordered is still on its way."""
        stop_owed = self.drain is not None and self.drain.stop_owed
        ours = self.lock is None or self.lock.has_driven
        return self.running is None and not (self.moving and ours) and not stop_owed

    def parks(self, how: RestMethod) -> bool:
        """Whether it is to be parked before a lock that ends in this way passes on: never after a stop."""
        arrived = self.lock is not None and self.lock.has_arrived
        return self.policy.park and how is RestMethod.FINISH and arrived

    def observer(self, session: SessionId) -> ObserverLock | None:
        """Return the observer's lock of `session`, if it has one."""
        return next((o for o in self.observers if o.session == session), None)

    def entry(self, session: SessionId) -> QueueEntry | None:
        """Return the place of `session` in the queue, if it has one."""
        return next((e for e in self.queue if e.session == session), None)

    def place(self, queue_id: str | None) -> QueueEntry | None:
        """Return the entry of that id, if it is in the queue."""
        return next((e for e in self.queue if e.queue_id == queue_id), None)

    def holds(self, session: SessionId) -> bool:
        """Whether `session` may drive: it has the lock, and the right to send has not ended."""
        return self.lock is not None and self.drain is None and self.lock.session == session

    def loss(self, session: SessionId) -> LockLoss | None:
        """Return how `session` lost this equipment last, if that is still known; what drains it has lost already."""
        if self.drain is not None and self.lock is not None and self.lock.session == session:
            return self.drain.loss_of(self.lock)
        return next((x for x in reversed(self.losses) if x.session == session), None)


class Session(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One client. With a keeper it lives by beats and connections, without one by its timeout."""

    id: SessionId
    user: str
    user_verified: bool = False
    identity: str | None = None  # the name that is proved, without what they call themselves
    proved_by: str | None = None  # the source whose proof this session's own token carries on, None where it does not
    groups: tuple[str, ...] = ()  # those that the source told with it
    client_name: str | None = None
    client_ip: str | None = None
    metadata: dict[str, object] = {}
    created_at: float
    last_seen: float
    timeout_s: float = 600.0
    keeper: bool = False
    lease_s: float = DEFAULT_LEASE_S
    secret_sha256: str | None = None
    busy: bool = False
    idle_since: float = 0.0
    suspect: bool = False
    feeds: int = 0
    keepers: int = 0
    disconnected_at: float | None = None
    equipment: tuple[EquipmentId, ...] = ()


class Table:
    """All entries by id. An overlay looks through to the table below it and keeps its own changes."""

    def __init__(self, below: Table | None = None) -> None:
        """Make an empty table, or an overlay of `below`."""
        self.below = below
        self.equipment_changed: dict[EquipmentId, Equipment] = {}
        self.sessions_changed: dict[SessionId, Session | None] = {}

    def equipment(self, key: EquipmentId) -> Equipment | None:
        """Return the equipment of that id, or None."""
        found = self.equipment_changed.get(key)
        if found is None and self.below is not None:
            return self.below.equipment(key)
        return found

    def session(self, key: SessionId) -> Session | None:
        """Return the living session of that id, or None."""
        if self.below is not None and key not in self.sessions_changed:
            return self.below.session(key)
        return self.sessions_changed.get(key)

    def put(self, entry: Equipment | Session) -> None:
        """Set one entry in place of the one with its id."""
        if isinstance(entry, Session):
            self.sessions_changed[entry.id] = entry
        else:
            self.equipment_changed[entry.id] = entry

    def drop(self, key: SessionId) -> None:
        """Forget a session."""
        if self.below is None:
            self.sessions_changed.pop(key, None)
        else:
            self.sessions_changed[key] = None

    def absorb(self, overlay: Table) -> None:
        """Take over the changes of an overlay of this table."""
        for entry in overlay.equipment_changed.values():
            self.put(entry)
        for key, session in overlay.sessions_changed.items():
            if session is None:
                self.drop(key)
            else:
                self.put(session)

    def all_equipment(self) -> Iterator[Equipment]:
        """Every equipment of a bottom table, in the order of the lab file."""
        return iter(self.equipment_changed.values())

    def all_sessions(self) -> Iterator[Session]:
        """Every living session of a bottom table, oldest first."""
        return (s for s in self.sessions_changed.values() if s is not None)

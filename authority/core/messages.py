"""What can be asked of the rules (imperative) and what can happen (past tense)."""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from .model import (
    Command,
    Drain,
    EquipmentId,
    HolderAsk,
    KeepPromise,
    Lock,
    LockLoss,
    LockMode,
    LossCause,
    ObserverLock,
    Outcome,
    QueueEntry,
    Role,
    Session,
    SessionId,
)


class Request(Struct, frozen=True, kw_only=True):
    """Something asked of the rules, by a client, a timer or a worker."""


class SessionRequest(Request, frozen=True, kw_only=True):
    """A request that acts for a session."""

    session: SessionId


class LockRequest(SessionRequest, frozen=True, kw_only=True):
    """A request that acts for a session on one piece of equipment."""

    equipment: EquipmentId


class OpenSession(Request, frozen=True, kw_only=True):
    """Begin a session."""

    session: Session


class EndSession(SessionRequest, frozen=True, kw_only=True):
    """End a session: politely, or because its process is dead (`why`)."""

    why: LossCause
    reason: str | None = None


class SignOfLife(SessionRequest, frozen=True, kw_only=True):
    """A sign of life; a keeper's says whether the kernel is busy."""

    busy: bool | None = None


class AttachConnection(SessionRequest, frozen=True, kw_only=True):
    """One of the session's two connections is open."""

    role: Role


class DetachConnection(SessionRequest, frozen=True, kw_only=True):
    """One of the session's two connections has closed; `ours`: by the authority's own doing, which proves nothing."""

    role: Role
    ours: bool = False


class Acquire(LockRequest, frozen=True, kw_only=True):
    """Ask for a lock; with `wait`, for a place in the queue if it cannot be had now. `group` names all of several."""

    group: tuple[EquipmentId, ...] = ()
    lock_id: str
    queue_id: str
    mode: LockMode = LockMode.EXCLUSIVE
    timeout_s: float = 300.0
    wait: bool = False
    priority: int = 0
    note: str | None = None


class Claim(LockRequest, frozen=True, kw_only=True):
    """Take up a grant from the queue."""


class NoteActivity(LockRequest, frozen=True, kw_only=True):
    """Restart the idle clock of one's lock."""


class LeaveQueue(LockRequest, frozen=True, kw_only=True):
    """Give up a place in the queue."""

    queue_id: str


class OfferSwap(LockRequest, frozen=True, kw_only=True):
    """Offer to swap places with the entry `partner`, or agree to its offer; None takes the offer back."""

    partner: str | None


class AskHolder(LockRequest, frozen=True, kw_only=True):
    """Ask the holder to yield, within so many seconds."""

    seconds: float = 120.0
    reason: str | None = None


class AnswerAsk(LockRequest, frozen=True, kw_only=True):
    """Answer what the entry `queue_id` asked: yield to it now, in so many seconds, or not."""

    queue_id: str
    answer: Literal["yield", "later", "no"]
    seconds: float = 0.0
    note: str | None = None


class HandOver(LockRequest, frozen=True, kw_only=True):
    """Give the lock to somebody who waits: `to` is their user, session or entry."""

    to: str


class Keep(LockRequest, frozen=True, kw_only=True):
    """Promise a time until which idling does not run; 0 seconds take the promise back."""

    seconds: float
    note: str | None = None


class Release(LockRequest, frozen=True, kw_only=True):
    """Give the lock back; `stop` ends a running command instead of letting it finish."""

    stop: bool = False


class ForceRelease(LockRequest, frozen=True, kw_only=True):
    """Take the lock from whoever holds it. `by` names the one who does it."""

    by: str
    reason: str | None = None


class Control(LockRequest, frozen=True, kw_only=True):
    """Run a control command under the fence it was issued under (None: the present one)."""

    key: str
    command_id: str
    action: str
    parameters: dict[str, object]
    fence: int | None = None


class Observe(LockRequest, frozen=True, kw_only=True):
    """Run an observe command."""


class FinishCommand(Request, frozen=True, kw_only=True):
    """The worker says that the command in flight has ended, and whether the equipment still moves."""

    equipment: EquipmentId
    key: str
    outcome: Outcome
    error: str | None
    moving: bool


class Stop(Request, frozen=True, kw_only=True):
    """A stop has been given to the driver; `user` None means that the authority itself ordered it.

    `error` is why it was not delivered, or that there is nothing to stop.
    """

    equipment: EquipmentId
    delivered: bool
    moving: bool
    session: SessionId | None = None
    user: str | None = None
    reason: str | None = None
    error: str | None = None


class Resume(LockRequest, frozen=True, kw_only=True):
    """Allow control again after somebody else's stop."""


class ClearFault(Request, frozen=True, kw_only=True):
    """Declare equipment fit for use again."""

    equipment: EquipmentId
    by: str
    reason: str


class MotionReport(Request, frozen=True, kw_only=True):
    """The readback says whether the equipment moves; `outside` is a position reached with no command of ours."""

    equipment: EquipmentId
    moving: bool
    outside: float | None = None


class RaiseFence(Request, frozen=True, kw_only=True):
    """The device itself has obeyed the fence `fence`: what the store remembers may be older than that."""

    equipment: EquipmentId
    fence: int


class TimerTick(Request, frozen=True, kw_only=True):
    """Time has passed: let what is due happen."""

    equipment: EquipmentId | None = None
    session: SessionId | None = None


class Recover(Request, frozen=True, kw_only=True):
    """The authority has started again with what the store kept."""

    equipment: EquipmentId


# -- events


class Event(Struct, frozen=True, kw_only=True):
    """A fact that happened at the monotonic time `at`."""

    stored: ClassVar[bool] = True
    at: float


class EquipmentEvent(Event, frozen=True, kw_only=True):
    """A fact about one piece of equipment, and the session it concerns."""

    equipment: EquipmentId
    session: SessionId | None = None
    user: str | None = None


class SessionEvent(Event, frozen=True, kw_only=True):
    """A fact about one session."""

    session: SessionId
    user: str | None = None


class SessionCreated(SessionEvent, frozen=True, kw_only=True):
    """A session began."""

    opened: Session


class SessionSeen(SessionEvent, frozen=True, kw_only=True):
    """The session spoke; `busy` says that its kernel became so or ceased to be."""

    stored: ClassVar[bool] = False
    busy: bool | None = None


class ConnectionsChanged(SessionEvent, frozen=True, kw_only=True):
    """The session's open connections were counted anew."""

    stored: ClassVar[bool] = False
    feeds: int
    keepers: int
    disconnected_at: float | None


class SessionSuspect(SessionEvent, frozen=True, kw_only=True):
    """The session has been silent for its lease."""


class SessionResumed(SessionEvent, frozen=True, kw_only=True):
    """A suspect session spoke again."""


class SessionOver(SessionEvent, frozen=True, kw_only=True):
    """The session ended."""

    why: LossCause
    reason: str | None
    duration_seconds: float


class LockAcquired(EquipmentEvent, frozen=True, kw_only=True):
    """The exclusive lock was granted."""

    lock: Lock
    from_queue: bool = False


class LockRefreshed(EquipmentEvent, frozen=True, kw_only=True):
    """The holder logged in again: same lock, same fence."""

    lock_id: str
    new_timeout: float
    note: str | None


class LockClaimed(EquipmentEvent, frozen=True, kw_only=True):
    """A grant from the queue was taken up."""

    lock_id: str


class LockKept(EquipmentEvent, frozen=True, kw_only=True):
    """The holder promised a time until which idling does not run, or took the promise back."""

    lock_id: str
    kept: KeepPromise | None


class LockUsed(EquipmentEvent, frozen=True, kw_only=True):
    """The holder or an observer did something: its session spoke, and the idle clock starts anew."""

    stored: ClassVar[bool] = False


class LockDraining(EquipmentEvent, frozen=True, kw_only=True):
    """The right to send ended; the lock passes on when the equipment is at rest."""

    lock_id: str
    fence: int
    drain: Drain


class HolderGone(EquipmentEvent, frozen=True, kw_only=True):
    """The holder's session ended, and the lab file says that its lock is kept all the same."""

    why: LossCause


class LockEnded(EquipmentEvent, frozen=True, kw_only=True):
    """The exclusive lock ended: `lock_released`, `lock_expired` or `lock_force_released` (see `codec.event_name`)."""

    lock_id: str
    duration_seconds: float
    loss: LockLoss


class ObserverAcquired(EquipmentEvent, frozen=True, kw_only=True):
    """An observer's lock was granted or refreshed."""

    observing: ObserverLock


class ObserverEnded(EquipmentEvent, frozen=True, kw_only=True):
    """An observer's lock ended."""

    why: LossCause
    by: str | None = None


class Queued(EquipmentEvent, frozen=True, kw_only=True):
    """Somebody waits."""

    entry: QueueEntry
    position: int


class SwapOffered(EquipmentEvent, frozen=True, kw_only=True):
    """A waiter offered to swap places, or took the offer back."""

    queue_id: str
    partner: str | None


class QueueSwapped(EquipmentEvent, frozen=True, kw_only=True):
    """Two waiters swapped their places, with priority and time of waiting; `by` made the offer."""

    queue_id: str
    partner: str
    by: str


class AskChanged(EquipmentEvent, frozen=True, kw_only=True):
    """A waiter asked the holder to yield, the holder answered, or did not in time."""

    holder: str
    queue_id: str
    ask: HolderAsk


class QueueLeft(EquipmentEvent, frozen=True, kw_only=True):
    """An entry left the queue: `granted`, `left`, `session_ended` or `direct` (got the lock without its turn)."""

    queue_id: str
    result: str


class CommandAccepted(EquipmentEvent, frozen=True, kw_only=True):
    """A control command waits behind the one that runs."""

    stored: ClassVar[bool] = False
    command: Command


class CommandStarted(EquipmentEvent, frozen=True, kw_only=True):
    """A control command is in flight: the driver is called once this is on disk."""

    command: Command


class CommandFinished(EquipmentEvent, frozen=True, kw_only=True):
    """A control command has its outcome."""

    key: str
    command_id: str
    action: str
    outcome: Outcome
    error: str | None
    moving: bool


class Stopped(EquipmentEvent, frozen=True, kw_only=True):
    """A stop was given to the driver. `blocks`: the holder must resume before the next control command.

    `error` is why it was not delivered, or that there is nothing to stop, in one sentence.
    """

    by: str | None
    reason: str | None
    delivered: bool
    error: str | None
    moving: bool
    blocks: bool


class Resumed(EquipmentEvent, frozen=True, kw_only=True):
    """The holder took up control again after somebody's stop."""


class Faulted(EquipmentEvent, frozen=True, kw_only=True):
    """The equipment could not be brought to rest."""

    reason: str


class FaultCleared(EquipmentEvent, frozen=True, kw_only=True):
    """Somebody declared the equipment fit for use again."""

    by: str
    reason: str


class FenceRaised(EquipmentEvent, frozen=True, kw_only=True):
    """The device had obeyed a higher fence than the store knew of; a lock that is held goes on under this one."""

    fence: int


class MotionChanged(EquipmentEvent, frozen=True, kw_only=True):
    """The equipment began or ceased to move."""

    stored: ClassVar[bool] = False
    moving: bool


class MovedOutside(EquipmentEvent, frozen=True, kw_only=True):
    """The position changed with no command of ours running."""

    position: float


class ClocksRestarted(EquipmentEvent, frozen=True, kw_only=True):
    """After a restart of the authority every clock of this equipment and its sessions starts in full."""

    stored: ClassVar[bool] = False

"""What the rules can say no to. A refusal carries the facts; its sentence and status are made at the edge."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from .model import Equipment, EquipmentId, LockLoss, SessionId, StoppedBy


class Refusal(Exception):
    """A rule said no; nothing has changed."""

    code: ClassVar[str]


class EquipmentRefusal(Refusal):
    """A refusal that concerns one piece of equipment, with it as it stood."""

    def __init__(self, equipment: Equipment) -> None:
        """Keep the equipment for the sentence."""
        super().__init__(equipment.id)
        self.equipment = equipment


class UnknownEquipment(Refusal):
    """There is no such equipment."""

    code = "unknown_equipment"

    def __init__(self, equipment_id: EquipmentId) -> None:
        """Keep the id that was asked for."""
        super().__init__(equipment_id)
        self.equipment_id = equipment_id


class UnknownSession(Refusal):
    """There is no such session, and never was as far as is known."""

    code = "unknown_session"

    def __init__(self, session: SessionId) -> None:
        """Keep the id that was asked for."""
        super().__init__(session)
        self.session = session


class SessionEnded(UnknownSession):
    """The session has ended; its id is not used again."""

    code = "session_ended"


class EquipmentInUse(EquipmentRefusal):
    """Somebody else has it."""

    code = "equipment_in_use"


class EquipmentAtFault(EquipmentRefusal):
    """It could not be brought to rest, and is given to nobody until that is cleared."""

    code = "equipment_fault"


class WaitersPresent(EquipmentRefusal):
    """A downgrade would pass by those who wait for the lock."""

    code = "waiters_present"


class NotAtRest(EquipmentRefusal):
    """A downgrade has to wait until nothing moves."""

    code = "not_at_rest"


class QueueFull(EquipmentRefusal):
    """The queue has reached its limit."""

    code = "queue_full"


class TooBusy(EquipmentRefusal):
    """As many commands wait as may."""

    code = "too_busy"


class LockRequired(EquipmentRefusal):
    """Control commands need the exclusive lock."""

    code = "lock_required"


class ObserveRequired(EquipmentRefusal):
    """Observe commands need an exclusive or an observer lock."""

    code = "observe_required"


class NotHolder(EquipmentRefusal):
    """Only the holder may do this."""

    code = "not_holder"


class UnknownEntry(EquipmentRefusal):
    """The session has no such place in the queue."""

    code = "unknown_entry"


class UnknownAsk(EquipmentRefusal):
    """The entry has asked for nothing."""

    code = "unknown_ask"


class AlreadyWaiting(EquipmentRefusal):
    """The session waits for it in another entry."""

    code = "already_waiting"


class CannotSwap(EquipmentRefusal):
    """One does not swap with oneself, nor the place of a group in one of its queues."""

    code = "cannot_swap"


class CannotHandOver(EquipmentRefusal):
    """Somebody of higher priority waits, or the one named is silent or waits for a group."""

    code = "cannot_hand_over"


class Ambiguous(EquipmentRefusal):
    """Several who wait have that name."""

    code = "ambiguous"


class KeepTooLong(EquipmentRefusal):
    """The lab file bounds how long it may be kept."""

    code = "outside_limits"


class NoLock(EquipmentRefusal):
    """The session has no lock on it."""

    code = "no_lock"


class NoFault(EquipmentRefusal):
    """There is no fault to clear."""

    code = "no_fault"


class LockLost(EquipmentRefusal):
    """The session had the lock and lost it."""

    code = "lock_lost"

    def __init__(self, equipment: Equipment, loss: LockLoss | None) -> None:
        """Keep who, why and when, as far as they are known."""
        super().__init__(equipment)
        self.loss = loss


class WaitEdge(NamedTuple):
    """One edge of waiting: who waits for what, and who is in the way."""

    waiter: SessionId
    equipment: EquipmentId
    blocker: SessionId


class WouldDeadlock(EquipmentRefusal):
    """Those in the way would wait, one for the other, for the one who asks."""

    code = "would_deadlock"

    def __init__(self, equipment: Equipment, cycle: tuple[WaitEdge, ...]) -> None:
        """Keep the cycle, from the one who asks back to them."""
        super().__init__(equipment)
        self.cycle = cycle


class StoppedByAnother(EquipmentRefusal):
    """Somebody who is not the holder stopped it; the holder has to resume first."""

    code = "stopped_by"

    def __init__(self, equipment: Equipment, stop: StoppedBy) -> None:
        """Keep who stopped it."""
        super().__init__(equipment)
        self.stop = stop

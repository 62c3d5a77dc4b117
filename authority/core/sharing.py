"""What the holder and those who wait ask of each other: leave the queue, swap places, ask and answer, hand over."""

from __future__ import annotations

from msgspec.structs import replace

from . import messages, refusals, waiting
from .acquire import refuse_deadlock
from .model import Equipment, HolderAsk, LockMode, LossCause, QueueEntry
from .step import Step


def _queue_entry_of(step: Step, request: messages.LockRequest) -> tuple[Equipment, QueueEntry]:
    equipment = step.equipment(request.equipment)
    entry = equipment.entry(request.session)
    if entry is None:
        raise refusals.UnknownEntry(equipment)
    return equipment, entry


def leave_queue(step: Step, request: messages.LeaveQueue) -> None:
    """Give up a place in the queue."""
    equipment, entry = _queue_entry_of(step, request)
    if entry.queue_id != request.queue_id:
        raise refusals.UnknownEntry(equipment)
    step.leave_all(equipment.id, entry, "left")


def offer_swap(step: Step, request: messages.OfferSwap) -> None:
    """Offer to swap places, or agree to an offer."""
    equipment, mine = _queue_entry_of(step, request)
    other = equipment.place(request.partner)
    if request.partner is not None and other is None:
        raise refusals.UnknownEntry(equipment)
    if other is not None and (other is mine or mine.group or other.group):
        raise refusals.CannotSwap(equipment)
    if other is None or other.swap_with != mine.queue_id:
        step.emit_for(messages.SwapOffered, equipment.id, mine, queue_id=mine.queue_id, partner=request.partner)
        return
    step.emit_for(
        messages.QueueSwapped, equipment.id, mine, queue_id=mine.queue_id, partner=other.queue_id, by=other.user
    )
    refuse_deadlock(step, mine.session)
    refuse_deadlock(step, other.session)


def ask_holder(step: Step, request: messages.AskHolder) -> None:
    """Ask the holder to yield."""
    equipment, entry = _queue_entry_of(step, request)
    if entry.mode is not LockMode.EXCLUSIVE:
        raise refusals.UnknownEntry(equipment)
    if equipment.lock is None or equipment.drain is not None:
        raise refusals.NoLock(equipment)
    ask = HolderAsk(at=step.now, due=step.now + request.seconds, seconds=request.seconds, reason=request.reason)
    step.emit_for(
        messages.AskChanged, equipment.id, entry, holder=equipment.lock.user, queue_id=entry.queue_id, ask=ask
    )


def answer_ask(step: Step, request: messages.AnswerAsk) -> None:
    """Answer one who asks: yield, promise a time, or say no."""
    equipment = step.equipment(request.equipment)
    if equipment.lock is None or not equipment.holds(request.session):
        raise refusals.NotHolder(equipment)
    entry = equipment.place(request.queue_id)
    if entry is None or entry.ask is None or entry.ask.answer == "no":
        raise refusals.UnknownAsk(equipment)
    if request.answer == "yield":
        _hand_over_to(step, equipment, entry)
        return
    promised = None
    if request.answer == "later":
        promised = step.now + request.seconds
    ask = replace(entry.ask, answer=request.answer, promised_at=promised, note=request.note)
    step.emit_for(
        messages.AskChanged, equipment.id, entry, holder=equipment.lock.user, queue_id=entry.queue_id, ask=ask
    )


def hand_over(step: Step, request: messages.HandOver) -> None:
    """Give the lock to somebody who waits."""
    equipment = step.equipment(request.equipment)
    if not equipment.holds(request.session):
        raise refusals.NotHolder(equipment)
    named = [x for x in equipment.queue if x.mode is LockMode.EXCLUSIVE and _is_named(x, request.to)]
    if not named:
        raise refusals.UnknownEntry(equipment)
    if len(named) > 1:
        raise refusals.Ambiguous(equipment)
    _hand_over_to(step, equipment, named[0])


def _is_named(entry: QueueEntry, name: str) -> bool:
    """Whether a name is that of a waiter: who is shown as `ann (Ann)` goes by all of it, and by either part."""
    proved, _, label = entry.user.removesuffix(")").partition(" (")
    return name in (entry.user, proved, label or None, entry.session, entry.queue_id)


def _hand_over_to(step: Step, equipment: Equipment, heir: QueueEntry) -> None:
    assert equipment.lock is not None
    awake = list(waiting.awake_entries(step.table, equipment))
    if heir.group or heir not in awake or any(x.priority > heir.priority for x in awake):
        raise refusals.CannotHandOver(equipment)
    step.end_lock(
        equipment.id, LossCause.HANDED_OVER, by=equipment.lock.user, reason=f"to {heir.user}", heir=heir.queue_id
    )
    refuse_deadlock(step, heir.session)

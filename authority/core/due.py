"""What is due: what happens by itself when its time has come, before and after what a request causes."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from . import clocks, messages, waiting
from .clocks import RECONNECT_S
from .model import (
    Drain,
    Equipment,
    EquipmentId,
    LockMode,
    LossCause,
    QueueEntry,
    RestMethod,
    SessionId,
)
from .step import Step


def apply_due(step: Step, session: SessionId | None, equipment: EquipmentId | None) -> None:
    """Let all happen that was due before this session asked something, of this equipment or of itself."""
    if session is not None:
        _apply_due_of_session(step, session)
        living_session = step.table.session(session)
        if equipment is None and living_session is not None:
            step.mark_touched(*living_session.equipment)
    if equipment is not None:
        step.mark_touched(equipment)
    apply_touched(step)


def apply_touched(step: Step) -> None:
    """Let happen what is due of the equipment that was touched, and of what that touches in turn."""
    spread: set[EquipmentId] = set()
    while step.touched:
        key = step.touched.popitem()[0]
        _apply_due_of_equipment(step, key)
        if key not in spread:
            spread.add(key)
            # Who waits here may be kept from passing a group elsewhere until the way here is clear.
            for entry in step.equipment(key).queue:
                step.mark_session_touched(entry.session, but=spread)


def _apply_due_of_session(step: Step, key: SessionId) -> None:
    """Let what is due of one session happen: it ends, or becomes suspect."""
    session = step.table.session(key)
    if session is None or not clocks.may_be_due(session, step.now):
        return
    due = clocks.session_due(step.table, session)
    if due is None or step.now < due:
        return
    if not session.keeper:
        step.end_session(session, LossCause.SESSION_EXPIRED)
    elif session.disconnected_at is not None and step.now >= session.disconnected_at + RECONNECT_S:
        step.end_session(session, LossCause.CONNECTIONS_LOST)
    elif session.suspect:
        step.end_session(session, LossCause.SESSION_EXPIRED)
    else:
        step.emit(messages.SessionSuspect(at=step.now, session=session.id, user=session.user))
        step.mark_touched(*session.equipment)


def _apply_due_of_equipment(step: Step, key: EquipmentId) -> None:
    """Let all that is due of one piece of equipment happen, and of what groups tie it to."""
    for name in waiting.equipment_tied_by_groups(step.table, step.equipment(key)):
        _advance_alone(step, name)
    if step.equipment(key).queue:
        _serve_queue(step, key)


def _advance_alone(step: Step, key: EquipmentId) -> None:
    for session in _involved_sessions(step.equipment(key)):
        _apply_due_of_session(step, session)
    equipment = step.equipment(key)
    if clocks.is_quiet(equipment, step.now):
        return
    for observer in equipment.observers:
        due = clocks.observer_due(observer.used_at, observer.timeout_s, step.table.session(observer.session))
        if due is not None and step.now >= due:
            step.emit_for(messages.ObserverEnded, key, observer, why=LossCause.IDLE)
    for entry in equipment.queue:
        if (
            equipment.lock is not None
            and entry.ask is not None
            and entry.ask.answer is None
            and step.now >= entry.ask.due
        ):
            ask = replace(entry.ask, answer="unanswered")
            step.emit_for(messages.AskChanged, key, entry, holder=equipment.lock.user, queue_id=entry.queue_id, ask=ask)
    _advance_lock(step, key)


def _advance_lock(step: Step, key: EquipmentId) -> None:
    equipment = step.equipment(key)
    if equipment.lock is None or equipment.fault is not None:
        return
    if equipment.drain is not None:
        _advance_drain(step, equipment, equipment.drain)
        return
    holder = step.table.session(equipment.lock.session)
    idle = clocks.idle_due(equipment, equipment.lock, holder)
    wanted = next(
        (x.user for x in waiting.awake_entries(step.table, equipment) if waiting.is_blocked(equipment, x)), None
    )
    if equipment.lock.claim_by is not None and step.now >= equipment.lock.claim_by:
        step.end_lock(key, LossCause.UNCLAIMED, by=wanted)
    elif idle is not None and step.now >= idle and clocks.idle_releases(equipment, holder):
        step.end_lock(key, LossCause.IDLE, by=wanted)


def _advance_drain(step: Step, equipment: Equipment, drain: Drain) -> None:
    if equipment.at_rest and equipment.parks(drain.how):
        step.park(equipment, drain)
    elif equipment.at_rest:
        step.end_drain(equipment.id)
    elif step.now >= drain.deadline and drain.how is RestMethod.FINISH:
        step.stop_draining(equipment.id)
    elif step.now >= drain.deadline:
        reason = f"{equipment.id} did not come to rest within {equipment.policy.stop_seconds:g} s of a stop"
        step.emit(messages.Faulted(at=step.now, equipment=equipment.id, reason=reason))
        step.end_drain(equipment.id)


def _serve_queue(step: Step, key: EquipmentId) -> None:
    """Give what is obtainable to those whose turn it is: one exclusive lock, or a run of observers."""
    while True:
        soonest = waiting.next_grant(step.table, step.equipment(key), step.now)
        if soonest is None or soonest.at > step.now:
            return
        entry = soonest.entry
        names = entry.group or (key,)
        for name in names:
            _make_way(step, name, entry)
        if any(waiting.is_blocked(step.equipment(name), entry) for name in names):
            return
        step.grant_entry(key, entry)
        if entry.mode is LockMode.EXCLUSIVE:
            return


def _make_way(step: Step, key: EquipmentId, entry: QueueEntry) -> None:
    equipment = step.equipment(key)
    why = waiting.yield_reason(step.table, equipment, step.now)
    if why is not None and waiting.is_blocked(equipment, entry):
        step.end_lock(key, why, by=entry.user)


def _involved_sessions(equipment: Equipment) -> Iterable[SessionId]:
    if not equipment.queue and not equipment.observers:
        if equipment.lock is None:
            return ()
        return (equipment.lock.session,)
    found = dict.fromkeys(x.session for x in equipment.queue)
    found.update(dict.fromkeys(o.session for o in equipment.observers))
    if equipment.lock is not None:
        found[equipment.lock.session] = None
    return found

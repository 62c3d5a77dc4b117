"""Events and replies as JSON, in the one form that is stored, pushed and shown."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from . import sentences
from .core import messages
from .core.model import LossCause
from .ports import Readback

_NAMES: dict[type[messages.Event], str] = {
    messages.SessionCreated: "session_created",
    messages.SessionSuspect: "session_suspect",
    messages.SessionResumed: "session_resumed",
    messages.LockAcquired: "lock_acquired",
    messages.LockRefreshed: "lock_refreshed",
    messages.LockClaimed: "lock_claimed",
    messages.LockKept: "lock_kept",
    messages.SwapOffered: "swap_offered",
    messages.QueueSwapped: "queue_swapped",
    messages.LockDraining: "lock_draining",
    messages.HolderGone: "holder_gone",
    messages.ObserverAcquired: "observer_lock_acquired",
    messages.ObserverEnded: "observer_lock_released",
    messages.Queued: "queued",
    messages.QueueLeft: "queue_processed",
    messages.CommandStarted: "command_started",
    messages.CommandFinished: "command_finished",
    messages.Stopped: "stopped",
    messages.Resumed: "resumed",
    messages.Faulted: "fault",
    messages.FaultCleared: "fault_cleared",
    messages.FenceRaised: "fence_raised",
    messages.MovedOutside: "moved_outside",
}
_PLACED = (
    messages.LockAcquired,
    messages.LockEnded,
    messages.CommandStarted,
    messages.CommandFinished,
    messages.Stopped,
    messages.Faulted,
    messages.MovedOutside,
)
_RELEASED = frozenset({LossCause.LOGOUT, LossCause.HANDED_OVER, LossCause.DOWNGRADED, LossCause.SESSION_ENDED})


@lru_cache(maxsize=512)  # most of a status is as it was in the last one
def iso(wall: float) -> str:
    """Return UTC wall seconds as people and programs read them."""
    minute, rest = divmod(int(wall * 1e6), 60_000_000)
    second, microsecond = divmod(rest, 1_000_000)
    return f"{_clock_time(minute)}{second:02d}.{microsecond:06d}+00:00"


@lru_cache(maxsize=64)
def _clock_time(minute: int) -> str:
    return datetime.fromtimestamp(60 * minute, UTC).strftime("%Y-%m-%dT%H:%M:")


def event_name(event: messages.Event) -> str:
    """Return the event's name in the interface."""
    if isinstance(event, messages.SessionOver):
        if event.why in {LossCause.SESSION_EXPIRED, LossCause.CONNECTIONS_LOST}:
            return "session_expired"
        return "session_ended"
    if isinstance(event, messages.LockEnded):
        if event.loss.why is LossCause.FORCED:
            return "lock_force_released"
        if event.loss.why in _RELEASED:
            return "lock_released"
        return "lock_expired"
    if isinstance(event, messages.AskChanged):
        return {None: "asked", "unanswered": "ask_expired"}.get(event.ask.answer, "ask_answered")
    return _NAMES[type(event)]


def encode_event(event: messages.Event, seq: int, timestamp: str, readback: Readback | None) -> bytes:
    """Return the JSON of a stored event; `readback` is what its equipment said last, for the events that say where."""
    head: dict[str, object] = {"seq": seq, "event": event_name(event), "timestamp": timestamp}
    if isinstance(event, messages.EquipmentEvent):
        head["equipment_id"] = event.equipment
    else:
        head["equipment_id"] = None
    head["session_id"] = getattr(event, "session", None)
    head["user"] = getattr(event, "user", None)
    head["text"] = sentences.event_sentence(event, readback.units if readback is not None else None)
    if readback is not None and isinstance(event, _PLACED):
        head |= {"position": readback.position, "units": readback.units}
    return msgspec.json.encode(head | _details(event))


def encode_reply(
    command_id: str, equipment_id: str, outcome: str, data: object, error: str | None, timestamp: str
) -> bytes:
    """Return the JSON of the reply to a command, which is declared as `answers.CommandAnswer`."""
    return msgspec.json.encode(
        {
            "command_id": command_id,
            "equipment_id": equipment_id,
            "success": outcome in {"done", "running"},
            "data": data,
            "error": error,
            "timestamp": timestamp,
            "outcome": outcome,
        }
    )


def _details(event: messages.Event) -> dict[str, object]:
    match event:
        case messages.SessionCreated(opened=s):
            return {"client_name": s.client_name, "client_ip": s.client_ip}
        case messages.SessionOver():
            return {"duration_seconds": event.duration_seconds, "why": event.why, "reason": event.reason}
        case messages.LockAcquired(lock=lock):
            claim_seconds = None
            if lock.claim_by is not None:
                claim_seconds = lock.claim_by - event.at
            return {
                "lock_id": lock.lock_id,
                "lock_mode": "exclusive",
                "timeout_seconds": lock.timeout_s,
                "fence": lock.fence,
                "from_queue": event.from_queue,
                "claim_seconds": claim_seconds,
                "note": lock.note,
            }
        case messages.LockDraining(drain=drain):
            head = {"lock_id": event.lock_id, "fence": event.fence}
            head |= {"why": drain.why, "how": drain.how, "by": drain.by, "reason": drain.reason}
            return head | {"parking": drain.parking}
        case messages.FenceRaised(fence=fence):
            return {"fence": fence}
        case messages.LockEnded(loss=x):
            head = {"lock_id": event.lock_id, "fence": x.fence, "duration_seconds": event.duration_seconds}
            return head | {"why": x.why, "by": x.by, "reason": x.reason}
        case messages.ObserverAcquired(observing=o):
            return {"timeout_seconds": o.timeout_s}
        case messages.Queued(entry=entry, position=position):
            head = {"queue_id": entry.queue_id, "position": position, "lock_mode": entry.mode, "note": entry.note}
            return head | {"equipment_ids": entry.group or (event.equipment,), "priority": entry.priority}
        case messages.AskChanged(ask=ask):
            promised = None
            if ask.promised_at is not None:
                promised = ask.promised_at - event.at
            head = {"queue_id": event.queue_id, "holder": event.holder, "seconds": ask.due - ask.at}
            return head | {"reason": ask.reason, "answer": ask.answer, "promised_seconds": promised, "note": ask.note}
        case messages.LockKept(kept=kept):
            if kept is None:
                seconds, note = (0.0, None)
            else:
                seconds, note = (kept.until - event.at, kept.note)
            return {"lock_id": event.lock_id, "seconds": seconds, "note": note}
        case messages.CommandStarted(command=c):
            return {"command_id": c.command_id, "action": c.action, "parameters": c.parameters, "fence": c.fence}
        case _:
            rest = msgspec.to_builtins(event)
            return {k: v for k, v in rest.items() if k not in _HEAD}


_HEAD = frozenset({"at", "equipment", "session", "user", "key", "moving", "blocks"})

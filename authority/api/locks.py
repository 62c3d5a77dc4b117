"""The routes of locks: take and give back, claim and keep, and how they stand."""

from __future__ import annotations

import random

import msgspec

from authority.core import messages
from authority.core.model import Equipment, EquipmentId, LockMode, SessionId
from authority.core.refusals import EquipmentInUse, NoLock, NotHolder
from authority.identity.access import Right
from authority.wire import EntryView, LockView, StatusView

from . import answers, bodies, pagination
from .problems import ProblemResponse, refusal_to_problem
from .refusal_table import holder_sentence
from .request_body import invalid_request
from .request_context import RequestContext
from .routing import Route

RIGHT_TO_LOCK = {LockMode.EXCLUSIVE: Right.CONTROL, LockMode.OBSERVER: Right.OBSERVE}


def acquire(context: RequestContext, body: bodies.AcquireBody) -> answers.AcquireAnswer:
    """Grant, refresh, queue or refuse: one piece of equipment, or all of several."""
    keys = _acquire_request(context, body)
    mode = _mode(body.lock_mode)
    for key in keys:
        context.require(RIGHT_TO_LOCK[mode], key)
        if body.priority > 0:
            context.require(Right.PRIORITY, key)
    if mode is LockMode.OBSERVER and not context.app.options.observers:
        raise ProblemResponse("observing_disabled")
    session = context.session_or_new(body.session_id)
    if body.queue_if_busy:
        for key in keys:
            context.app.quotas.may_wait(context.peer, context.equipment(key), session.id)
    fresh = f"{random.getrandbits(128):032x}"
    group: tuple[EquipmentId, ...] = ()
    if len(keys) > 1:
        group = keys
    timeout_s = context.app.options.lock_timeout_s
    if body.timeout_seconds is not msgspec.UNSET:
        timeout_s = body.timeout_seconds
    request = messages.Acquire(
        equipment=keys[0],
        group=group,
        session=session.id,
        mode=mode,
        timeout_s=timeout_s,
        wait=body.queue_if_busy and context.app.options.queue,
        priority=body.priority,
        note=body.note,
        lock_id=f"lock_{fresh}",
        queue_id=f"queue_{fresh}",
    )
    try:
        events = context.service.apply(request)
    except EquipmentInUse as busy:
        if not body.queue_if_busy or context.app.options.queue:
            raise
        in_use = refusal_to_problem(busy, context.service.views, context.service.clock.now())
        raise ProblemResponse("queue_disabled", in_use.data) from None
    return _acquire_answer(context, request, [context.equipment(key) for key in keys], events)


def _acquire_request(context: RequestContext, body: bodies.AcquireBody) -> tuple[EquipmentId, ...]:
    if (body.equipment_id is msgspec.UNSET) == (body.equipment_ids is msgspec.UNSET):
        raise invalid_request("equipment_id", "name one piece of equipment, or several in `equipment_ids`")
    names = body.equipment_ids
    if isinstance(body.equipment_id, str):
        names = [body.equipment_id]
    assert isinstance(names, list)
    if len(set(names)) < len(names):
        raise invalid_request("equipment_ids", "each is named once")
    return tuple(context.known_equipment_id(name) for name in names)


def _acquire_answer(
    context: RequestContext, request: messages.Acquire, asked: list[Equipment], events: tuple[messages.Event, ...]
) -> answers.AcquireAnswer:
    missing = [e for e in asked if not e.holds(request.session)]
    if request.mode is LockMode.OBSERVER and all(e.observer(request.session) is not None for e in missing):
        return answers.AcquireAnswer(success=True, status="observer", observer_count=len(asked[0].observers))
    if not missing:
        granted = any(isinstance(x, messages.LockAcquired) and x.session == request.session for x in events)
        locks = [_lock(context, e) for e in asked]
        answer = answers.AcquireAnswer(success=True, status="refreshed", lock=locks[0])
        if granted:
            answer.status = "locked"
        if request.group:
            answer.locks = locks
        return answer
    entry = missing[0].entry(request.session)
    assert entry is not None
    return _queued_answer(context, missing, context.service.views.entry(missing[0], entry))


def _queued_answer(context: RequestContext, missing: list[Equipment], entry: EntryView) -> answers.AcquireAnswer:
    equipment = next((e for e in missing if e.lock is not None), missing[0])
    lock = None
    if equipment.lock is not None:
        lock = context.service.views.lock(equipment, equipment.lock)
    if equipment.lock is None:
        who = f"{equipment.id} is being handed over"
    else:
        who = holder_sentence(equipment, equipment.lock, context.service.clock.now())
    return answers.AcquireAnswer(
        success=False,
        status="queued",
        message=f"{who}; you are number {entry.position} in the queue.",
        current_lock=lock,
        queue_entry=entry,
    )


def _mode(text: str) -> LockMode:
    try:
        return LockMode(text.lower())
    except ValueError:
        raise invalid_request("lock_mode", f"it is 'exclusive' or 'observer', not {text!r}") from None


def release(context: RequestContext, body: bodies.ReleaseBody) -> answers.ReleaseAnswer:
    """Give a lock back; with `force` take it from its holder."""
    key = context.known_equipment_id(body.equipment_id)
    watching = False
    try:
        if body.force:
            context.service.apply(_force(context, body))
        else:
            watching = context.equipment(key).observer(SessionId(body.session_id)) is not None
            _release(context, key, body)
    except NoLock:
        message = f"No lock found for session {body.session_id}"
        return answers.ReleaseAnswer(success=False, status="not_locked", message=message)
    draining = context.equipment(key).drain is not None
    answer = answers.ReleaseAnswer(success=True, status="released", was_forced=body.force, draining=draining)
    if watching:
        answer.status = "observer_released"
    return answer


def _release(context: RequestContext, key: EquipmentId, body: bodies.ReleaseBody) -> None:
    name = SessionId(body.session_id)
    if context.service.table.session(name) is None and not context.app.ids.made(name):
        # LabLink's own clients choose their ids, and release also when nothing is theirs.
        context.service.apply(messages.TimerTick(equipment=key))
        equipment = context.equipment(key)
        if equipment.lock is None or equipment.lock.session == name:
            raise NoLock(equipment)
        raise NotHolder(equipment)
    context.acting_session(name)
    context.service.apply(messages.Release(equipment=key, session=name, stop=body.stop))


def _force(context: RequestContext, body: bodies.ReleaseBody) -> messages.ForceRelease:
    key = context.known_equipment_id(body.equipment_id)
    context.require(Right.FORCE, key)
    known = context.service.table.session(SessionId(body.session_id))
    if known is not None:
        context.require_session_token(known)
    if known is not None:
        by = known.user
    else:
        by = context.user_called() or f"{body.session_id} at {context.peer}"
    if not body.reason and not context.app.users.access.is_trusted:
        raise invalid_request("reason", "whoever takes a lock by force says why")
    reason = body.reason or "no reason given"
    return messages.ForceRelease(equipment=key, session=SessionId(body.session_id), by=by, reason=reason)


def claim(context: RequestContext, body: bodies.StrictActingBody) -> answers.LockAnswer:
    """Take up a grant from the queue."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.Claim(equipment=key, session=session.id))
    return answers.LockAnswer(True, _lock(context, context.equipment(key)))


def keep(context: RequestContext, body: bodies.KeepBody) -> answers.StandingAnswer:
    """Promise a time until which idling does not run."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.Keep(equipment=key, session=session.id, seconds=body.seconds, note=body.note))
    return answers.StandingAnswer(True, context.service.status(key))


def activity(context: RequestContext, body: bodies.ActingBody) -> answers.ActivityAnswer:
    """Restart the idle clock of a lock."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.NoteActivity(equipment=key, session=session.id))
    return answers.ActivityAnswer(True, "Activity updated", key, session.id)


def status(context: RequestContext) -> StatusView:
    """Show one piece of equipment."""
    return context.service.status(context.equipment_id)


def queue(context: RequestContext) -> answers.QueueAnswer:
    """Show who waits."""
    equipment = context.equipment(context.equipment_id)
    found, more = pagination.page_of(context, equipment.queue, pagination.NEXT_FIRST)
    return answers.QueueAnswer(equipment.id, [context.service.views.entry(equipment, x) for x in found], more)


def everything(context: RequestContext) -> answers.AllAnswer:
    """Show every lock and queue."""
    views = context.service.views
    used = (e for e in context.visible_equipment() if e.lock is not None or e.observers or e.queue)
    found, more = pagination.page_of(context, used, pagination.BY_ID)
    answer = answers.AllAnswer({}, {}, {}, more)
    for equipment in found:
        if equipment.lock is not None:
            answer.exclusive_locks[equipment.id] = views.lock(equipment, equipment.lock)
        if equipment.observers:
            answer.observer_locks[equipment.id] = [o.session for o in equipment.observers]
        if equipment.queue:
            answer.queues[equipment.id] = views.queue(equipment)
    return answer


def equipment_events(context: RequestContext) -> answers.EquipmentEventsAnswer:
    """Show the newest events of one piece of equipment, or those that follow one."""
    key = context.equipment_id
    rows, more = pagination.events_of(context, equipment=key)
    return answers.EquipmentEventsAnswer(key, rows, len(rows), more)


def _lock(context: RequestContext, equipment: Equipment) -> LockView:
    assert equipment.lock is not None
    return context.service.views.lock(equipment, equipment.lock)


ROUTES = (
    Route("POST", "/api/locks/acquire", acquire, "Ask for a lock", codes=(401, 403, 404, 409, 429)),
    Route("POST", "/api/locks/release", release, "Give a lock back", codes=(401, 403, 404)),
    Route("POST", "/api/locks/claim/{equipment_id}", claim, "Take up a grant from the queue", codes=(401, 403, 404)),
    Route(
        "POST",
        "/api/locks/keep/{equipment_id}",
        keep,
        "Promise until when idling does not run",
        codes=(401, 403, 404),
        right=Right.CONTROL,
    ),
    Route("POST", "/api/locks/activity/{equipment_id}", activity, "Restart a lock's idle clock", codes=(401, 404)),
    Route("GET", "/api/locks/status/{equipment_id}", status, "How one piece of equipment stands", codes=(404,)),
    Route("GET", "/api/locks/queue/{equipment_id}", queue, "Who waits", query=pagination.PAGE, codes=(404, 422)),
    Route("GET", "/api/locks/all", everything, "Every lock and queue", query=pagination.PAGE, codes=(422,)),
    Route(
        "GET",
        "/api/locks/events/{equipment_id}",
        equipment_events,
        "Events of one piece of equipment",
        query=pagination.EVENTS,
        codes=(404, 422),
    ),
)

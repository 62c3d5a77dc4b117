"""The routes of locks, queues and sessions: LabLink's rows 1 to 14, and ours beside them."""

from __future__ import annotations

import random

import msgspec

from authority.core import messages
from authority.core.model import Equipment, EquipmentId, LockMode, LossCause, Session, SessionId
from authority.core.refusals import EquipmentInUse, NoLock, NotHolder
from authority.identity.access import Right
from authority.wire import EntryView, LockView, NewSessionView, SessionView, StatusView

from . import bodies, pagination
from .problems import ProblemResponse, refusal_to_problem
from .refusal_table import holder_sentence
from .request_body import invalid_request
from .routing import Query, RequestContext, Route
from .session_ids import new_session_token

METADATA_LIMIT = 16 * 1024
RIGHT_TO_LOCK = {LockMode.EXCLUSIVE: Right.CONTROL, LockMode.OBSERVER: Right.OBSERVE}


def acquire(context: RequestContext, body: bodies.AcquireBody) -> bodies.AcquireAnswer:
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
    request = messages.Acquire(
        equipment=keys[0],
        group=group,
        session=session.id,
        mode=mode,
        timeout_s=_seconds_or_default(body.timeout_seconds, context.app.options.lock_timeout_s),
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
    return _acquire_answer(context, request, [_equipment(context, key) for key in keys], events)


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
) -> bodies.AcquireAnswer:
    missing = [e for e in asked if not e.holds(request.session)]
    if request.mode is LockMode.OBSERVER and all(e.observer(request.session) is not None for e in missing):
        return bodies.AcquireAnswer(success=True, status="observer", observer_count=len(asked[0].observers))
    if not missing:
        granted = any(isinstance(x, messages.LockAcquired) and x.session == request.session for x in events)
        locks = [_lock(context, e) for e in asked]
        answer = bodies.AcquireAnswer(success=True, status="refreshed", lock=locks[0])
        if granted:
            answer.status = "locked"
        if request.group:
            answer.locks = locks
        return answer
    entry = missing[0].entry(request.session)
    assert entry is not None
    return _queued_answer(context, missing, context.service.views.entry(missing[0], entry))


def _queued_answer(context: RequestContext, missing: list[Equipment], entry: EntryView) -> bodies.AcquireAnswer:
    equipment = next((e for e in missing if e.lock is not None), missing[0])
    lock = None
    if equipment.lock is not None:
        lock = context.service.views.lock(equipment, equipment.lock)
    if equipment.lock is None:
        who = f"{equipment.id} is being handed over"
    else:
        who = holder_sentence(equipment, equipment.lock, context.service.clock.now())
    return bodies.AcquireAnswer(
        success=False,
        status="queued",
        message=f"{who}; you are number {entry.position} in the queue.",
        current_lock=lock,
        queue_entry=entry,
    )


def _seconds_or_default(seconds: int | msgspec.UnsetType, default: int) -> int:
    if seconds is msgspec.UNSET:
        return default
    return seconds


def _mode(text: str) -> LockMode:
    try:
        return LockMode(text.lower())
    except ValueError:
        raise invalid_request("lock_mode", f"it is 'exclusive' or 'observer', not {text!r}") from None


def release(context: RequestContext, body: bodies.ReleaseBody) -> bodies.ReleaseAnswer:
    """Give a lock back; with `force` take it from its holder."""
    key = context.known_equipment_id(body.equipment_id)
    watching = False
    try:
        if body.force:
            context.service.apply(_force(context, body))
        else:
            watching = _equipment(context, key).observer(SessionId(body.session_id)) is not None
            _release(context, key, body)
    except NoLock:
        message = f"No lock found for session {body.session_id}"
        return bodies.ReleaseAnswer(success=False, status="not_locked", message=message)
    draining = _equipment(context, key).drain is not None
    answer = bodies.ReleaseAnswer(success=True, status="released", was_forced=body.force, draining=draining)
    if watching:
        answer.status = "observer_released"
    return answer


def _release(context: RequestContext, key: EquipmentId, body: bodies.ReleaseBody) -> None:
    name = SessionId(body.session_id)
    if context.service.table.session(name) is None and not context.app.ids.made(name):
        # LabLink's own clients choose their ids, and release also when nothing is theirs.
        context.service.apply(messages.TimerTick(equipment=key))
        equipment = _equipment(context, key)
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
    if not body.reason and not context.app.access.is_trusted:
        raise invalid_request("reason", "whoever takes a lock by force says why")
    reason = body.reason or "no reason given"
    return messages.ForceRelease(equipment=key, session=SessionId(body.session_id), by=by, reason=reason)


def claim(context: RequestContext, body: bodies.StrictActingBody) -> bodies.LockAnswer:
    """Take up a grant from the queue."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.Claim(equipment=key, session=session.id))
    return bodies.LockAnswer(True, _lock(context, _equipment(context, key)))


def keep(context: RequestContext, body: bodies.KeepBody) -> bodies.StandingAnswer:
    """Promise a time until which idling does not run."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.Keep(equipment=key, session=session.id, seconds=body.seconds, note=body.note))
    return bodies.StandingAnswer(True, context.service.status(key))


def activity(context: RequestContext, body: bodies.ActingBody) -> bodies.ActivityAnswer:
    """Restart the idle clock of a lock."""
    key = context.equipment_id
    session = context.acting_session(body.session_id)
    context.service.apply(messages.NoteActivity(equipment=key, session=session.id))
    return bodies.ActivityAnswer(True, "Activity updated", key, session.id)


def status(context: RequestContext) -> StatusView:
    """Show one piece of equipment."""
    return context.service.status(context.equipment_id)


def queue(context: RequestContext) -> bodies.QueueAnswer:
    """Show who waits."""
    equipment = _equipment(context, context.equipment_id)
    found, more = pagination.page_of(equipment.queue, pagination.NEXT_FIRST, *_wanted_locks(context))
    return bodies.QueueAnswer(equipment.id, [context.service.views.entry(equipment, x) for x in found], more)


def everything(context: RequestContext) -> bodies.AllAnswer:
    """Show every lock and queue."""
    views = context.service.views
    used = (e for e in context.visible_equipment() if e.lock is not None or e.observers or e.queue)
    found, more = pagination.page_of(used, pagination.BY_ID, *_wanted_locks(context))
    answer = bodies.AllAnswer({}, {}, {}, more)
    for equipment in found:
        if equipment.lock is not None:
            answer.exclusive_locks[equipment.id] = views.lock(equipment, equipment.lock)
        if equipment.observers:
            answer.observer_locks[equipment.id] = [o.session for o in equipment.observers]
        if equipment.queue:
            answer.queues[equipment.id] = views.queue(equipment)
    return answer


def _wanted_locks(context: RequestContext) -> tuple[str | None, int]:
    """Return after what a list is to go on, and how much of it is asked for."""
    return context.query("after"), context.query("limit")


def equipment_events(context: RequestContext) -> bodies.EquipmentEventsAnswer:
    """Show the newest events of one piece of equipment, or those that follow one."""
    key = context.equipment_id
    rows, more = _events(context, equipment=key)
    return bodies.EquipmentEventsAnswer(key, rows, len(rows), more)


def session_events(context: RequestContext) -> bodies.SessionEventsAnswer:
    """Show the newest events of one session, also of one that is over, or those that follow one."""
    name = context.request.path_params["session_id"]
    rows, more = _events(context, session=name)
    return bodies.SessionEventsAnswer(name, rows, len(rows), more)


def _events(
    context: RequestContext, equipment: str | None = None, session: str | None = None
) -> tuple[list[msgspec.Raw], int | None]:
    after: int | None = context.query("after")
    limit: int = context.query("limit")
    most = limit
    if after is not None:
        most += 1  # one more than asked for tells whether others follow; the newest are followed by none
    rows = context.service.events(equipment=equipment, session=session, after=after, limit=most)
    found = [row for row in rows[:limit] if row.equipment is None or context.may(Right.READ, row.equipment)]
    more = None
    if len(rows) > limit:
        more = rows[limit - 1].seq
    return [msgspec.Raw(x.body) for x in found], more


def create_session(context: RequestContext, body: bodies.SessionBody) -> NewSessionView:
    """Begin a session."""
    now = context.service.clock.now()
    if body.secret:
        token, digest = new_session_token()
    else:
        token, digest = (None, None)
    ip = body.client_ip or context.peer
    if body.metadata and len(msgspec.json.encode(body.metadata)) > METADATA_LIMIT:
        raise invalid_request("metadata", f"it has at most {METADATA_LIMIT // 1024} KiB")
    metadata = body.metadata or {}
    user = context.user_called(body.user, metadata.get("user"), body.client_name)
    session = Session(
        id=context.app.ids.new(),
        user=user or f"a program at {context.peer}",
        user_verified=context.principal.user is not None,
        identity=context.principal.user,
        client_name=body.client_name,
        client_ip=ip,
        metadata=metadata,
        created_at=now,
        last_seen=now,
        timeout_s=_seconds_or_default(body.timeout_seconds, context.app.options.session_timeout_s),
        keeper=body.keeper,
        lease_s=body.lease_seconds,
        secret_sha256=digest,
    )
    context.begin(messages.OpenSession(session=session))
    view = msgspec.structs.asdict(context.service.views.session(session))
    session_token = msgspec.UNSET if token is None else token
    return NewSessionView(**view, session_token=session_token)


def end_session(context: RequestContext) -> bodies.SessionEndAnswer:
    """End a session with its locks."""
    name = context.request.path_params["session_id"]
    if context.app.access.is_trusted or not context.may_anywhere(Right.SESSIONS):
        session = context.acting_session(name)
        reason = None
    else:
        session = context.session(name)
        reason = None
        if session.identity != context.principal.user:
            reason = f"ended by {context.user_called()}"
    return bodies.SessionEndAnswer(
        True, "Session ended", session.id, _end(context, session, LossCause.SESSION_ENDED, reason)
    )


def gone(context: RequestContext, body: bodies.GoneBody) -> bodies.SessionEndAnswer:
    """Take the keeper's word that the session's process is dead."""
    session = context.acting_session(context.request.path_params["session_id"])
    reason = body.reason
    return bodies.SessionEndAnswer(True, "Session ended", session.id, _end(context, session, LossCause.GONE, reason))


def _end(context: RequestContext, session: Session, why: LossCause, reason: str | None) -> int:
    held = sum(1 for key in session.equipment if _has_lock(_equipment(context, key), session.id))
    events = context.service.apply(messages.EndSession(session=session.id, why=why, reason=reason))
    kept = sum(1 for event in events if isinstance(event, messages.HolderGone))
    return held - kept


def _has_lock(equipment: Equipment, session: SessionId) -> bool:
    return equipment.holds(session) or equipment.observer(session) is not None


def cleanup(context: RequestContext) -> bodies.CleanupAnswer:
    """Let every session end whose time is over; the authority does so by itself, in time."""
    ended = [
        str(event.session)
        for s in list(context.service.table.all_sessions())
        for event in context.service.apply(messages.TimerTick(session=s.id))
        if isinstance(event, messages.SessionOver)
    ]
    return bodies.CleanupAnswer(True, "Cleanup completed", len(ended), ended)


def sessions(context: RequestContext) -> bodies.SessionsAnswer:
    """List the living sessions."""
    order = pagination.OLDEST_FIRST
    living = sorted(context.service.table.all_sessions(), key=order.key)  # a start brings them back in another order
    found, more = pagination.page_of(living, order, *_wanted_locks(context))
    found, more = pagination.light_page_of(found, more, order, lambda s: len(msgspec.json.encode(s.metadata)))
    return bodies.SessionsAnswer([context.service.views.session(s) for s in found], len(found), more)


def session(context: RequestContext) -> SessionView:
    """Show one session."""
    return context.service.views.session(context.session(context.request.path_params["session_id"]))


def session_activity(context: RequestContext) -> bodies.SessionAnswer:
    """Restart the timeout of a session without a keeper; its locks' idle clocks go on."""
    found = context.acting_session(context.request.path_params["session_id"])
    context.service.apply(messages.SignOfLife(session=found.id))
    return bodies.SessionAnswer(True, "Session activity updated", found.id)


def heartbeat(context: RequestContext, body: bodies.HeartbeatBody) -> bodies.SessionAnswer:
    """Take a keeper's sign of life."""
    found = context.acting_session(context.request.path_params["session_id"])
    context.service.apply(messages.SignOfLife(session=found.id, busy=body.busy))
    return bodies.SessionAnswer(True, "alive", found.id)


def session_locks(context: RequestContext) -> bodies.SessionLocksAnswer:
    """List what a session has a lock on."""
    found = context.session(context.request.path_params["session_id"])
    seen = [key for key in found.equipment if context.may(Right.READ, key)]
    held = [str(key) for key in seen if _has_lock(_equipment(context, key), found.id)]
    return bodies.SessionLocksAnswer(found.id, held, len(held))


def _equipment(context: RequestContext, key: str) -> Equipment:
    found = context.service.table.equipment(context.known_equipment_id(key))
    assert found is not None
    return found


def _lock(context: RequestContext, equipment: Equipment) -> LockView:
    assert equipment.lock is not None
    return context.service.views.lock(equipment, equipment.lock)


_PAGE: Query = {"limit": (bodies.Limit, 1000), "after": (str, None)}
_EVENTS: Query = {"limit": (bodies.Limit, 50), "after": (bodies.Seq, None)}
_SESSION = "/api/locks/sessions/{session_id}"

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
    Route("GET", "/api/locks/queue/{equipment_id}", queue, "Who waits", query=_PAGE, codes=(404, 422)),
    Route("GET", "/api/locks/all", everything, "Every lock and queue", query=_PAGE, codes=(422,)),
    Route(
        "GET",
        "/api/locks/events/{equipment_id}",
        equipment_events,
        "Events of one piece of equipment",
        query=_EVENTS,
        codes=(404, 422),
    ),
    Route("POST", "/api/locks/sessions/create", create_session, "Begin a session", codes=(429,)),
    Route("POST", "/api/locks/cleanup", cleanup, "Let expired sessions end now"),
    Route("GET", "/api/locks/sessions", sessions, "The living sessions", query=_PAGE, codes=(422,)),
    Route("GET", _SESSION, session, "One session", codes=(404,)),
    Route("DELETE", _SESSION, end_session, "End a session with its locks", codes=(401, 404)),
    Route("POST", _SESSION + "/activity", session_activity, "Restart a session's timeout", codes=(401, 404)),
    Route("POST", _SESSION + "/heartbeat", heartbeat, "A keeper's sign of life", codes=(401, 404)),
    Route("POST", _SESSION + "/gone", gone, "The session's process is dead", codes=(401, 404)),
    Route("GET", _SESSION + "/locks", session_locks, "What a session has a lock on", codes=(404,)),
    Route("GET", _SESSION + "/events", session_events, "Events of one session", query=_EVENTS, codes=(422,)),
)

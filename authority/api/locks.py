"""The doors of locks, queues and sessions: LabLink's rows 1 to 14, and ours beside them."""

from __future__ import annotations

import random

import msgspec

from authority.core import messages as m
from authority.core.model import Equipment, EquipmentId, Mode, Session, SessionId, Why
from authority.core.refusals import EquipmentInUse, NoLock, NotHolder
from authority.wire import EntryView, LockView, NewSessionView, SessionView, StatusView

from . import bodies as b
from . import parts
from .doors import Door, Visit
from .identity import new_token
from .problems import Refused, told, who_holds
from .request_body import invalid

METADATA_LIMIT = 16 * 1024


def acquire(v: Visit) -> b.AcquireAnswer:
    """Grant, refresh, queue or refuse: one piece of equipment, or all of several."""
    body = v.body_as(b.AcquireBody)
    keys = _asked(v, body)
    mode = _mode(body.lock_mode)
    if mode is Mode.OBSERVER and not v.house.options.observers:
        detail = "Observing is switched off in this lab; everybody sees the state and readings without a lock."
        raise Refused(409, "observing_disabled", detail)
    session = v.begun(body.session_id)
    if body.queue_if_busy:
        for key in keys:
            v.house.quotas.may_wait(v.peer, v.equipment(key), session.id)
    fresh = f"{random.getrandbits(128):032x}"
    request = m.Acquire(
        equipment=keys[0],
        group=keys if len(keys) > 1 else (),
        session=session.id,
        mode=mode,
        timeout_s=_or(body.timeout_seconds, v.house.options.lock_timeout_s),
        wait=body.queue_if_busy and v.house.options.queue,
        priority=body.priority,
        note=body.note,
        lock_id=f"lock_{fresh}",
        queue_id=f"queue_{fresh}",
    )
    try:
        events = v.service.apply(request)
    except EquipmentInUse as busy:
        if not body.queue_if_busy or v.house.options.queue:
            raise
        sentence = told(busy, v.service.views, v.service.clock.now())
        detail = "Queueing is switched off in this lab; try again when it is free."
        raise Refused(409, "queue_disabled", detail, **sentence.data) from None
    return _acquired(v, request, [_equipment(v, key) for key in keys], events)


def _asked(v: Visit, body: b.AcquireBody) -> tuple[EquipmentId, ...]:
    if (body.equipment_id is msgspec.UNSET) == (body.equipment_ids is msgspec.UNSET):
        raise invalid("equipment_id", "name one piece of equipment, or several in `equipment_ids`")
    names = [body.equipment_id] if isinstance(body.equipment_id, str) else body.equipment_ids
    assert isinstance(names, list)
    if len(set(names)) < len(names):
        raise invalid("equipment_ids", "each is named once")
    return tuple(v.known(name) for name in names)


def _acquired(v: Visit, r: m.Acquire, asked: list[Equipment], events: tuple[m.Event, ...]) -> b.AcquireAnswer:
    missing = [e for e in asked if not e.holds(r.session)]
    if r.mode is Mode.OBSERVER and all(e.observer(r.session) is not None for e in missing):
        return b.AcquireAnswer(success=True, status="observer", observer_count=len(asked[0].observers))
    if not missing:
        granted = any(isinstance(x, m.LockAcquired) and x.session == r.session for x in events)
        locks = [_lock(v, e) for e in asked]
        return b.AcquireAnswer(
            success=True,
            status="locked" if granted else "refreshed",
            lock=locks[0],
            locks=locks if r.group else msgspec.UNSET,
        )
    entry = missing[0].entry(r.session)
    assert entry is not None
    return _queued(v, missing, v.service.views.entry(missing[0], entry))


def _queued(v: Visit, missing: list[Equipment], entry: EntryView) -> b.AcquireAnswer:
    e = next((e for e in missing if e.lock is not None), missing[0])
    lock = None if e.lock is None else v.service.views.lock(e, e.lock)
    who = f"{e.id} is being handed over" if e.lock is None else who_holds(e, e.lock, v.service.clock.now())
    return b.AcquireAnswer(
        success=False,
        status="queued",
        message=f"{who}; you are number {entry.position} in the queue.",
        current_lock=lock,
        queue_entry=entry,
    )


def _or(seconds: int | msgspec.UnsetType, default: int) -> int:
    return default if seconds is msgspec.UNSET else seconds


def _mode(text: str) -> Mode:
    try:
        return Mode(text.lower())
    except ValueError:
        raise invalid("lock_mode", f"it is 'exclusive' or 'observer', not {text!r}") from None


def release(v: Visit) -> b.ReleaseAnswer:
    """Give a lock back; with `force` take it from its holder."""
    body = v.body_as(b.ReleaseBody)
    key = v.known(body.equipment_id)
    watching = False
    try:
        if body.force:
            v.service.apply(_force(v, body))
        else:
            watching = _equipment(v, key).observer(SessionId(body.session_id)) is not None
            _release(v, key, body)
    except NoLock:
        message = f"No lock found for session {body.session_id}"
        return b.ReleaseAnswer(success=False, status="not_locked", message=message)
    draining = _equipment(v, key).drain is not None
    return b.ReleaseAnswer(
        success=True, status="observer_released" if watching else "released", was_forced=body.force, draining=draining
    )


def _release(v: Visit, key: EquipmentId, body: b.ReleaseBody) -> None:
    name = SessionId(body.session_id)
    if v.service.table.session(name) is None and not v.house.ids.made(name):
        # LabLink's own clients choose their ids, and release also when nothing is theirs.
        v.service.apply(m.Tick(equipment=key))
        e = _equipment(v, key)
        raise NoLock(e) if e.lock is None or e.lock.session == name else NotHolder(e)
    v.acting(name)
    v.service.apply(m.Release(equipment=key, session=name, stop=body.stop))


def _force(v: Visit, body: b.ReleaseBody) -> m.ForceRelease:
    known = v.service.table.session(SessionId(body.session_id))
    if known is not None:
        v.prove(known)
    by = known.user if known is not None else f"{body.session_id} at {v.peer}"
    reason = body.reason or "no reason given"
    key = v.known(body.equipment_id)
    return m.ForceRelease(equipment=key, session=SessionId(body.session_id), by=by, reason=reason)


def claim(v: Visit) -> b.LockAnswer:
    """Take up a grant from the queue."""
    key, session = v.equipment_id, v.acting(v.body_as(b.StrictActingBody).session_id)
    v.service.apply(m.Claim(equipment=key, session=session.id))
    return b.LockAnswer(True, _lock(v, _equipment(v, key)))


def keep(v: Visit) -> b.StandingAnswer:
    """Promise a time until which idling does not run."""
    key, body = v.equipment_id, v.body_as(b.KeepBody)
    session = v.acting(body.session_id)
    v.service.apply(m.Keep(equipment=key, session=session.id, seconds=body.seconds, note=body.note))
    return b.StandingAnswer(True, v.service.status(key))


def activity(v: Visit) -> b.ActivityAnswer:
    """Restart the idle clock of a lock."""
    key, session = v.equipment_id, v.acting(v.body_as(b.ActingBody).session_id)
    v.service.apply(m.Activity(equipment=key, session=session.id))
    return b.ActivityAnswer(True, "Activity updated", key, session.id)


def status(v: Visit) -> StatusView:
    """Show one piece of equipment."""
    return v.service.status(v.equipment_id)


def queue(v: Visit) -> b.QueueAnswer:
    """Show who waits."""
    e = _equipment(v, v.equipment_id)
    found, more = parts.part(e.queue, parts.NEXT_FIRST, *_wanted(v))
    return b.QueueAnswer(e.id, [v.service.views.entry(e, x) for x in found], more)


def everything(v: Visit) -> b.AllAnswer:
    """Show every lock and queue."""
    views = v.service.views
    used = (e for e in v.service.table.all_equipment() if e.lock is not None or e.observers or e.queue)
    found, more = parts.part(used, parts.BY_ID, *_wanted(v))
    answer = b.AllAnswer({}, {}, {}, more)
    for e in found:
        if e.lock is not None:
            answer.exclusive_locks[e.id] = views.lock(e, e.lock)
        if e.observers:
            answer.observer_locks[e.id] = [o.session for o in e.observers]
        if e.queue:
            answer.queues[e.id] = views.queue(e)
    return answer


def _wanted(v: Visit) -> tuple[str | None, int]:
    """Return after what a list is to go on, and how much of it is asked for."""
    after, limit = v.query("after", str, None), v.query("limit", b.Limit, 1000)
    assert after is None or isinstance(after, str)
    assert isinstance(limit, int)
    return after, limit


def equipment_events(v: Visit) -> b.EquipmentEventsAnswer:
    """Show the newest events of one piece of equipment, or those that follow one."""
    key = v.equipment_id
    rows, more = _events(v, equipment=key)
    return b.EquipmentEventsAnswer(key, rows, len(rows), more)


def session_events(v: Visit) -> b.SessionEventsAnswer:
    """Show the newest events of one session, also of one that is over, or those that follow one."""
    name = v.request.path_params["session_id"]
    rows, more = _events(v, session=name)
    return b.SessionEventsAnswer(name, rows, len(rows), more)


def _events(v: Visit, equipment: str | None = None, session: str | None = None) -> tuple[list[msgspec.Raw], int | None]:
    after, limit = v.query("after", b.Seq, None), v.query("limit", b.Limit, 50)
    assert after is None or isinstance(after, int)
    assert isinstance(limit, int)
    # One more than asked for tells whether others follow; the newest are followed by none.
    rows = v.service.events(
        equipment=equipment, session=session, after=after, limit=limit if after is None else limit + 1
    )
    found = rows[:limit]
    return [msgspec.Raw(x.body) for x in found], found[-1].seq if len(rows) > limit else None


def create_session(v: Visit) -> NewSessionView:
    """Begin a session."""
    body = v.body_as(b.SessionBody)
    now = v.service.clock.now()
    token, digest = new_token() if body.secret else (None, None)
    ip = body.client_ip or v.peer
    if body.metadata and len(msgspec.json.encode(body.metadata)) > METADATA_LIMIT:
        raise invalid("metadata", f"it has at most {METADATA_LIMIT // 1024} KiB")
    session = Session(
        id=v.house.ids.new(),
        user=_user(body) or body.client_name or f"a program at {v.peer}",
        client_name=body.client_name,
        client_ip=ip,
        metadata=body.metadata or {},
        created_at=now,
        last_seen=now,
        timeout_s=_or(body.timeout_seconds, v.house.options.session_timeout_s),
        keeper=body.keeper,
        lease_s=body.lease_seconds,
        secret_sha256=digest,
    )
    v.begin(m.OpenSession(session=session))
    view = msgspec.structs.asdict(v.service.views.session(session))
    return NewSessionView(**view, session_token=msgspec.UNSET if token is None else token)


def _user(body: b.SessionBody) -> str | None:
    named = (body.metadata or {}).get("user")
    return body.user or (named[:128] if isinstance(named, str) and named else None)


def end_session(v: Visit) -> b.SessionEndAnswer:
    """End a session with its locks."""
    session = v.acting(v.request.path_params["session_id"])
    return b.SessionEndAnswer(True, "Session ended", session.id, _end(v, session, Why.SESSION_ENDED, None))


def gone(v: Visit) -> b.SessionEndAnswer:
    """Take the keeper's word that the session's process is dead."""
    session = v.acting(v.request.path_params["session_id"])
    reason = v.body_as(b.GoneBody).reason
    return b.SessionEndAnswer(True, "Session ended", session.id, _end(v, session, Why.GONE, reason))


def _end(v: Visit, session: Session, why: Why, reason: str | None) -> int:
    held = sum(1 for key in session.equipment if _has_lock(_equipment(v, key), session.id))
    events = v.service.apply(m.EndSession(session=session.id, why=why, reason=reason))
    kept = sum(1 for event in events if isinstance(event, m.HolderGone))
    return held - kept


def _has_lock(e: Equipment, session: SessionId) -> bool:
    return e.holds(session) or e.observer(session) is not None


def cleanup(v: Visit) -> b.CleanupAnswer:
    """Let every session end whose time is over; the authority does so by itself, in time."""
    ended = [
        str(event.session)
        for s in list(v.service.table.all_sessions())
        for event in v.service.apply(m.Tick(session=s.id))
        if isinstance(event, m.SessionOver)
    ]
    return b.CleanupAnswer(True, "Cleanup completed", len(ended), ended)


def sessions(v: Visit) -> b.SessionsAnswer:
    """List the living sessions."""
    order = parts.OLDEST_FIRST
    living = sorted(v.service.table.all_sessions(), key=order.key)  # a start brings them back in another order
    found, more = parts.part(living, order, *_wanted(v))
    found, more = parts.light_part(found, more, order, lambda s: len(msgspec.json.encode(s.metadata)))
    return b.SessionsAnswer([v.service.views.session(s) for s in found], len(found), more)


def session(v: Visit) -> SessionView:
    """Show one session."""
    return v.service.views.session(v.session(v.request.path_params["session_id"]))


def session_activity(v: Visit) -> b.SessionAnswer:
    """Restart the timeout of a session without a keeper; its locks' idle clocks go on."""
    found = v.acting(v.request.path_params["session_id"])
    v.service.apply(m.Seen(session=found.id))
    return b.SessionAnswer(True, "Session activity updated", found.id)


def heartbeat(v: Visit) -> b.SessionAnswer:
    """Take a keeper's sign of life."""
    found = v.acting(v.request.path_params["session_id"])
    v.service.apply(m.Seen(session=found.id, busy=v.body_as(b.HeartbeatBody).busy))
    return b.SessionAnswer(True, "alive", found.id)


def session_locks(v: Visit) -> b.SessionLocksAnswer:
    """List what a session has a lock on."""
    found = v.session(v.request.path_params["session_id"])
    held = [str(key) for key in found.equipment if _has_lock(_equipment(v, key), found.id)]
    return b.SessionLocksAnswer(found.id, held, len(held))


def _equipment(v: Visit, key: str) -> Equipment:
    found = v.service.table.equipment(v.known(key))
    assert found is not None
    return found


def _lock(v: Visit, e: Equipment) -> LockView:
    assert e.lock is not None
    return v.service.views.lock(e, e.lock)


_PART = (("limit", b.Limit, 1000), ("after", str, None))
_EVENTS = (("limit", b.Limit, 50), ("after", b.Seq, None))
_SESSION = "/api/locks/sessions/{session_id}"

DOORS = (
    Door("POST", "/api/locks/acquire", acquire, b.AcquireAnswer, "Ask for a lock", b.AcquireBody,
         codes=(401, 404, 409, 429)),
    Door("POST", "/api/locks/release", release, b.ReleaseAnswer, "Give a lock back", b.ReleaseBody,
         codes=(401, 403, 404)),
    Door("POST", "/api/locks/claim/{equipment_id}", claim, b.LockAnswer, "Take up a grant from the queue",
         b.StrictActingBody, codes=(401, 403, 404)),
    Door("POST", "/api/locks/keep/{equipment_id}", keep, b.StandingAnswer, "Promise until when idling does not run",
         b.KeepBody, codes=(401, 403, 404)),
    Door("POST", "/api/locks/activity/{equipment_id}", activity, b.ActivityAnswer, "Restart a lock's idle clock",
         b.ActingBody, codes=(401, 404)),
    Door("GET", "/api/locks/status/{equipment_id}", status, StatusView, "How one piece of equipment stands",
         codes=(404,)),
    Door("GET", "/api/locks/queue/{equipment_id}", queue, b.QueueAnswer, "Who waits", query=_PART,
         codes=(404, 422)),
    Door("GET", "/api/locks/all", everything, b.AllAnswer, "Every lock and queue", query=_PART, codes=(422,)),
    Door("GET", "/api/locks/events/{equipment_id}", equipment_events, b.EquipmentEventsAnswer,
         "Events of one piece of equipment", query=_EVENTS, codes=(404, 422)),
    Door("POST", "/api/locks/sessions/create", create_session, NewSessionView, "Begin a session", b.SessionBody,
         codes=(429,)),
    Door("POST", "/api/locks/cleanup", cleanup, b.CleanupAnswer, "Let expired sessions end now"),
    Door("GET", "/api/locks/sessions", sessions, b.SessionsAnswer, "The living sessions",
         query=_PART, codes=(422,)),
    Door("GET", _SESSION, session, SessionView, "One session", codes=(404,)),
    Door("DELETE", _SESSION, end_session, b.SessionEndAnswer, "End a session with its locks", codes=(401, 404)),
    Door("POST", _SESSION + "/activity", session_activity, b.SessionAnswer, "Restart a session's timeout",
         codes=(401, 404)),
    Door("POST", _SESSION + "/heartbeat", heartbeat, b.SessionAnswer, "A keeper's sign of life", b.HeartbeatBody,
         codes=(401, 404)),
    Door("POST", _SESSION + "/gone", gone, b.SessionEndAnswer, "The session's process is dead", b.GoneBody,
         codes=(401, 404)),
    Door("GET", _SESSION + "/locks", session_locks, b.SessionLocksAnswer, "What a session has a lock on", codes=(404,)),
    Door("GET", _SESSION + "/events", session_events, b.SessionEventsAnswer, "Events of one session", query=_EVENTS,
         codes=(422,)),
)  # fmt: skip

"""The routes of sessions: begin one, prove that it lives, end it, and what there is of it."""

from __future__ import annotations

import msgspec

from authority.core import messages
from authority.core.model import Equipment, LossCause, Session, SessionId
from authority.identity.access import Right
from authority.wire import NewSessionView, SessionView

from . import answers, bodies, pagination
from .request_body import invalid_request
from .request_context import RequestContext
from .routing import Route
from .session_ids import new_session_token

METADATA_LIMIT = 16 * 1024


def create_session(context: RequestContext, body: bodies.SessionBody) -> NewSessionView:
    """Begin a session."""
    if body.metadata and len(msgspec.json.encode(body.metadata)) > METADATA_LIMIT:
        raise invalid_request("metadata", f"it has at most {METADATA_LIMIT // 1024} KiB")
    metadata = body.metadata or {}
    session = context.new_session(context.app.ids.new(), body.user, metadata.get("user"), body.client_name)
    session = msgspec.structs.replace(
        session,
        client_name=body.client_name,
        client_ip=body.client_ip or context.peer,
        metadata=metadata,
        keeper=body.keeper,
        lease_s=body.lease_seconds,
    )
    if body.timeout_seconds is not msgspec.UNSET:
        session = msgspec.structs.replace(session, timeout_s=body.timeout_seconds)
    token: str | msgspec.UnsetType = msgspec.UNSET
    if body.secret:
        token, digest = new_session_token()
        session = msgspec.structs.replace(session, secret_sha256=digest)
    context.begin(messages.OpenSession(session=session))
    return NewSessionView(**msgspec.structs.asdict(context.service.views.session(session)), session_token=token)


def end_session(context: RequestContext) -> answers.SessionEndAnswer:
    """End a session with its locks."""
    session = context.session(context.path["session_id"])
    reason = None
    if context.app.users.access.is_trusted or not context.may_anywhere(Right.SESSIONS):
        context.require_session_token(session)
    elif session.identity != context.principal.user:
        reason = f"ended by {context.user_called()}"
    return _end(context, session, LossCause.SESSION_ENDED, reason)


def gone(context: RequestContext, body: bodies.GoneBody) -> answers.SessionEndAnswer:
    """Take the keeper's word that the session's process is dead."""
    session = context.acting_session(context.path["session_id"])
    return _end(context, session, LossCause.GONE, body.reason)


def _end(context: RequestContext, session: Session, why: LossCause, reason: str | None) -> answers.SessionEndAnswer:
    held = sum(1 for key in session.equipment if _has_lock(context.equipment(key), session.id))
    events = context.service.apply(messages.EndSession(session=session.id, why=why, reason=reason))
    kept = sum(1 for event in events if isinstance(event, messages.HolderGone))
    return answers.SessionEndAnswer(True, "Session ended", session.id, held - kept)


def _has_lock(equipment: Equipment, session: SessionId) -> bool:
    return equipment.holds(session) or equipment.observer(session) is not None


def cleanup(context: RequestContext) -> answers.CleanupAnswer:
    """Let every session end whose time is over; the authority does so by itself, in time."""
    ended = [
        str(event.session)
        for s in list(context.service.table.all_sessions())
        for event in context.service.apply(messages.TimerTick(session=s.id))
        if isinstance(event, messages.SessionOver)
    ]
    return answers.CleanupAnswer(True, "Cleanup completed", len(ended), ended)


def _metadata_size(session: Session) -> int:
    return len(msgspec.json.encode(session.metadata))


def sessions(context: RequestContext) -> answers.SessionsAnswer:
    """List the living sessions."""
    order = pagination.OLDEST_FIRST
    alive = sorted(context.service.table.all_sessions(), key=order.key)  # a start brings them back in another order
    found, more = pagination.page_of(context, alive, order)
    found, more = pagination.light_page_of(found, more, order, _metadata_size)
    return answers.SessionsAnswer([context.service.views.session(s) for s in found], len(found), more)


def session(context: RequestContext) -> SessionView:
    """Show one session."""
    return context.service.views.session(context.session(context.path["session_id"]))


def session_activity(context: RequestContext) -> answers.SessionAnswer:
    """Restart the timeout of a session without a keeper; its locks' idle clocks go on."""
    found = context.acting_session(context.path["session_id"])
    context.service.apply(messages.SignOfLife(session=found.id))
    return answers.SessionAnswer(True, "Session activity updated", found.id)


def heartbeat(context: RequestContext, body: bodies.HeartbeatBody) -> answers.SessionAnswer:
    """Take a keeper's sign of life."""
    found = context.acting_session(context.path["session_id"])
    context.service.apply(messages.SignOfLife(session=found.id, busy=body.busy))
    return answers.SessionAnswer(True, "alive", found.id)


def session_locks(context: RequestContext) -> answers.SessionLocksAnswer:
    """List what a session has a lock on."""
    found = context.session(context.path["session_id"])
    seen = [key for key in found.equipment if context.may(Right.READ, key)]
    held = [str(key) for key in seen if _has_lock(context.equipment(key), found.id)]
    return answers.SessionLocksAnswer(found.id, held, len(held))


def session_events(context: RequestContext) -> answers.SessionEventsAnswer:
    """Show the newest events of one session, also of one that is over, or those that follow one."""
    name = context.path["session_id"]
    rows, more = pagination.events_of(context, session=name)
    return answers.SessionEventsAnswer(name, rows, len(rows), more)


_SESSION = "/api/locks/sessions/{session_id}"

ROUTES = (
    Route("POST", "/api/locks/sessions/create", create_session, "Begin a session", codes=(429,)),
    Route("POST", "/api/locks/cleanup", cleanup, "Let expired sessions end now"),
    Route("GET", "/api/locks/sessions", sessions, "The living sessions", query=pagination.PAGE, codes=(422,)),
    Route("GET", _SESSION, session, "One session", codes=(404,)),
    Route("DELETE", _SESSION, end_session, "End a session with its locks", codes=(401, 404)),
    Route("POST", _SESSION + "/activity", session_activity, "Restart a session's timeout", codes=(401, 404)),
    Route("POST", _SESSION + "/heartbeat", heartbeat, "A keeper's sign of life", codes=(401, 404)),
    Route("POST", _SESSION + "/gone", gone, "The session's process is dead", codes=(401, 404)),
    Route("GET", _SESSION + "/locks", session_locks, "What a session has a lock on", codes=(404,)),
    Route("GET", _SESSION + "/events", session_events, "Events of one session", query=pagination.EVENTS, codes=(422,)),
)

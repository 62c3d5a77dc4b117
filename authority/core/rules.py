"""The rules of the lock: what each request causes, decided on the newest state at the time `now`.

What ended before `now` ends first, so a late timer never lets an expired holder in. A refusal changes nothing.
"""

from __future__ import annotations

from typing import assert_never

from . import clocks
from . import messages as m
from .control import claim, clear_fault, control, finish, moved, observe, recover, resume, stop
from .model import QUEUE_LIMIT, Entry, Equipment, Mode, Role, Session, SessionId, Table, Why
from .refusals import (
    EquipmentAtFault,
    EquipmentInUse,
    LockLost,
    NoLock,
    NotAtRest,
    NotHolder,
    QueueFull,
    UnknownEntry,
    WaitersPresent,
)
from .step import Step

AnyRequest = (
    m.OpenSession | m.EndSession | m.Seen | m.Attach | m.Detach | m.Acquire | m.Claim | m.Activity | m.Leave
    | m.Release | m.ForceRelease | m.Control | m.Observe | m.Finish | m.Stop | m.Resume | m.ClearFault
    | m.Moved | m.Tick | m.Recover
)  # fmt: skip


def decide(table: Table, request: AnyRequest, now: float) -> tuple[m.Event, ...]:
    """Return the events that `request` causes at `now`, or raise a `Refusal`. Changes nothing."""
    return tuple(work_out(table, request, now).events)


def work_out(table: Table, request: AnyRequest, now: float) -> Step:
    """Decide as `decide` does, and return the step: its events, and the overlay that `Table.absorb` takes over."""
    step = Step(table, now)
    session, equipment = getattr(request, "session", None), getattr(request, "equipment", None)
    if not isinstance(request, m.Recover):
        step.catch_up(SessionId(session) if isinstance(session, str) else None, equipment)
    if isinstance(request, m.Stop | m.ForceRelease):  # anybody's, but who has a session has spoken
        s = None if session is None else step.table.session(session)
    elif isinstance(request, m.OfSession) and not isinstance(request, m.EndSession | m.Detach):
        s = step.session(request.session)
    else:
        s = None
    if s is not None:
        _see(step, s, request)
    _handle(step, request)
    if equipment is not None and not all(isinstance(event, m.LockUsed | m.SessionSeen) for event in step.events):
        step.touch(equipment)
    step.settle()
    return step


def _handle(step: Step, request: AnyRequest) -> None:
    match request:
        case m.Control():
            control(step, request)
        case m.Observe():
            observe(step, request)
        case m.Finish():
            finish(step, request)
        case m.Seen() | m.Tick():
            pass
        case m.Moved():
            moved(step, request)
        case m.Acquire():
            _acquire(step, request)
        case m.Release():
            _release(step, request)
        case m.ForceRelease():
            _force(step, request)
        case m.Claim():
            _claim(step, request)
        case m.Activity():
            _activity(step, request)
        case m.Leave():
            _leave(step, request)
        case m.Stop():
            stop(step, request)
        case m.Resume():
            resume(step, request)
        case m.ClearFault():
            clear_fault(step, request)
        case m.OpenSession(session=session):
            step.emit(m.SessionCreated(at=step.now, session=session.id, user=session.user, opened=session))
        case m.EndSession():
            step.end_session(step.session(request.session), request.why, reason=request.reason)
        case m.Attach() | m.Detach():
            _connect(step, request)
        case m.Recover():
            recover(step, request)
        case _:
            assert_never(request)


# -- sessions


def _see(step: Step, s: Session, request: AnyRequest) -> None:
    if s.suspect:
        step.emit(m.SessionResumed(at=step.now, session=s.id, user=s.user))
        step.touch(*s.equipment)
        step.settle()
    if isinstance(request, m.Observe | m.Activity):
        return  # their `LockUsed` says it too
    busy = request.busy if isinstance(request, m.Seen) and request.busy != s.busy else None
    step.emit(m.SessionSeen(at=step.now, session=s.id, busy=busy))


def _connect(step: Step, r: m.Attach | m.Detach) -> None:
    s = step.table.session(r.session)
    if s is None:
        return
    change = 1 if isinstance(r, m.Attach) else -1
    feeds = s.feeds + (change if r.role is Role.FEED else 0)
    keepers = s.keepers + (change if r.role is Role.KEEPER else 0)
    lost = step.now if feeds == keepers == 0 else None
    step.emit(m.ConnectionsChanged(at=step.now, session=s.id, feeds=feeds, keepers=keepers, disconnected_at=lost))


# -- locks


def _acquire(step: Step, r: m.Acquire) -> None:
    s, e = step.session(r.session), step.equipment(r.equipment)
    want = Entry(
        queue_id=r.queue_id, session=s.id, user=s.user, user_verified=s.user_verified, client_name=s.client_name,
        mode=r.mode, timeout_s=r.timeout_s, at=step.now, note=r.note,
    )  # fmt: skip
    if r.mode is Mode.OBSERVER:
        _acquire_observer(step, r, e, want)
    elif e.holds(s.id):
        _refresh(step, r, e)
    elif e.fault is not None:
        raise EquipmentAtFault(e)
    else:
        _acquire_exclusive(step, r, e, want)


def _acquire_exclusive(step: Step, r: m.Acquire, e: Equipment, want: Entry) -> None:
    why = clocks.available(step.table, e, step.now)
    if why is not None and (e.at_rest or r.wait):
        step.end_lock(e.id, why, by=want.user)
        e = step.equipment(e.id)
    if e.lock is None:
        waiting = e.entry(want.session)
        if waiting is not None:
            step.leave_queue(e.id, waiting, "direct")
        step.grant(e.id, want, r.lock_id, from_queue=False)
    else:
        _wait_or_refuse(step, r, e, want)


def _wait_or_refuse(step: Step, r: m.Acquire, e: Equipment, want: Entry) -> None:
    if not r.wait:
        raise EquipmentInUse(e)
    if e.entry(want.session) is not None:
        return
    if len(e.queue) >= QUEUE_LIMIT:
        raise QueueFull(e)
    position = 1 + sum(1 for x in e.queue if x.priority >= want.priority)
    step.emit(
        m.Queued(at=step.now, equipment=e.id, session=want.session, user=want.user, entry=want, position=position)
    )


def _refresh(step: Step, r: m.Acquire, e: Equipment) -> None:
    assert e.lock is not None
    note = e.lock.note if r.note is None else r.note
    step.emit(
        m.LockRefreshed(
            at=step.now, equipment=e.id, session=e.lock.session, user=e.lock.user,
            lock_id=e.lock.lock_id, new_timeout=r.timeout_s, note=note,
        )
    )  # fmt: skip


def _acquire_observer(step: Step, r: m.Acquire, e: Equipment, want: Entry) -> None:
    if e.holds(want.session):
        if any(x.mode is Mode.EXCLUSIVE for x in clocks.awake(step.table, e)):
            raise WaitersPresent(e)
        if not e.at_rest:
            raise NotAtRest(e)
        step.end_lock(e.id, Why.DOWNGRADED)
        step.observe(e.id, want)
    elif e.lock is not None and e.policy.observers == "apart":
        _wait_or_refuse(step, r, e, want)
    else:
        waiting = e.entry(want.session)
        if waiting is not None and waiting.mode is Mode.OBSERVER:
            step.leave_queue(e.id, waiting, "direct")
        step.observe(e.id, want)


def _release(step: Step, r: m.Release) -> None:
    e = step.equipment(r.equipment)
    observing = e.observer(r.session)
    if e.holds(r.session):
        hurried = r.stop and not e.at_rest
        step.end_lock(e.id, Why.LOGOUT)
        if hurried:
            step.hurry(e.id)
    elif observing is not None:
        step.end_observer(e.id, observing, Why.LOGOUT)
    elif e.lock is not None and e.lock.session != r.session:
        raise NotHolder(e)
    else:
        raise NoLock(e)


def _force(step: Step, r: m.ForceRelease) -> None:
    e = step.equipment(r.equipment)
    if e.lock is None or e.drain is not None:
        raise NoLock(e)
    step.end_lock(e.id, Why.FORCED, by=r.by, reason=r.reason)


def _claim(step: Step, r: m.Claim) -> None:
    e = step.equipment(r.equipment)
    if not e.holds(r.session):
        loss = e.loss(r.session)
        raise NoLock(e) if loss is None else LockLost(e, loss)
    claim(step, e)


def _activity(step: Step, r: m.Activity) -> None:
    e = step.equipment(r.equipment)
    if not e.holds(r.session) and e.observer(r.session) is None:
        raise NoLock(e)
    if e.holds(r.session):
        claim(step, e)
    step.emit(m.LockUsed(at=step.now, equipment=e.id, session=r.session))


def _leave(step: Step, r: m.Leave) -> None:
    e = step.equipment(r.equipment)
    entry = e.entry(r.session)
    if entry is None or entry.queue_id != r.queue_id:
        raise UnknownEntry(e)
    step.leave_queue(e.id, entry, "left")

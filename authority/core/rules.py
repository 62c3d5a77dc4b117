"""The rules of the lock: what each request causes, decided on the newest state at the time `now`.

What ended before `now` ends first, so a late timer never lets an expired holder in. A refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from . import messages as m
from . import refusals as no
from . import waiting
from .control import (
    claim,
    clear_fault,
    control,
    finish,
    moved,
    observe,
    permit_holder,
    raise_fence,
    recover,
    resume,
    stop,
)
from .model import (
    QUEUE_LIMIT,
    Ask,
    Entry,
    Equipment,
    EquipmentId,
    How,
    Kept,
    Mode,
    Role,
    Session,
    SessionId,
    Table,
    Why,
)
from .step import Step, how_to_rest, numbered


def decide(table: Table, request: m.Request, now: float) -> tuple[m.Event, ...]:
    """Return the events that `request` causes at `now`, or raise a `Refusal`. Changes nothing."""
    return tuple(work_out(table, request, now).events)


def work_out(table: Table, request: m.Request, now: float) -> Step:
    """Decide as `decide` does, and return the step: its events, and the overlay that `Table.absorb` takes over."""
    step = Step(table, now)
    session, equipment = getattr(request, "session", None), getattr(request, "equipment", None)
    group = request.group if isinstance(request, m.Acquire) else ()
    if not isinstance(request, m.Recover):
        step.touch(*group)
        step.catch_up(SessionId(session) if isinstance(session, str) else None, equipment)
    if isinstance(request, m.Stop | m.ForceRelease):  # anybody's, but who has a session has spoken
        s = None if session is None else step.table.session(session)
    elif isinstance(request, m.OfSession) and not isinstance(request, m.EndSession | m.Detach):
        s = step.session(request.session)
    else:
        s = None
    if s is not None:
        _see(step, s, request)
    if (rule := _RULES[type(request)]) is not None:
        rule(step, request)
    if equipment is not None and not all(isinstance(event, m.LockUsed | m.SessionSeen) for event in step.events):
        step.touch(equipment, *group)
    step.settle()
    return step


# -- sessions


def _see(step: Step, s: Session, request: m.Request) -> None:
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
    ours = isinstance(r, m.Detach) and r.ours
    lost = step.now if feeds == keepers == 0 and not ours else None
    step.emit(m.ConnectionsChanged(at=step.now, session=s.id, feeds=feeds, keepers=keepers, disconnected_at=lost))


# -- locks


def _acquire(step: Step, r: m.Acquire) -> None:
    s, names = step.session(r.session), r.group or (r.equipment,)
    missing = tuple(x for x in names if not step.equipment(x).holds(s.id)) or names
    want = Entry(
        queue_id=r.queue_id, session=s.id, user=s.user, user_verified=s.user_verified, client_name=s.client_name,
        mode=r.mode, timeout_s=r.timeout_s, at=step.now, note=r.note, priority=r.priority,
        group=missing if len(missing) > 1 else (),
    )  # fmt: skip
    if r.mode is Mode.OBSERVER:
        _acquire_observer(step, r, want, names, missing)
    elif step.equipment(missing[0]).holds(s.id):
        _refresh(step, r, names)
    else:
        _acquire_exclusive(step, r, want, missing)


def _acquire_exclusive(step: Step, r: m.Acquire, want: Entry, missing: tuple[EquipmentId, ...]) -> None:
    wanted = [step.equipment(name) for name in missing]
    for e in wanted:
        if e.fault is not None:
            raise no.EquipmentAtFault(e)
    held = [e for e in wanted if e.lock is not None]
    whys = [waiting.yields_why(step.table, e, step.now) for e in held]
    passing = [e.at_rest and not (why and e.parks(how_to_rest(e, why))) for e, why in zip(held, whys, strict=True)]
    if r.wait or all(passing):
        for e, why in zip(held, whys, strict=True):
            if why is not None and None not in whys:
                step.end_lock(e.id, why, by=want.user)
    firm = [e for e, why in zip(held, whys, strict=True) if why is None]
    in_the_way = firm or [e for e, passes in zip(held, passing, strict=True) if not passes]
    if in_the_way:
        _wait_or_refuse(step, r, step.equipment(in_the_way[0].id), want, missing)
        return
    _refuse_another_entry(step, want.session, missing)
    waits = step.equipment(missing[0]).entry(want.session)
    if r.wait and waits is not None and set(waits.group) == set(want.group):
        return  # it is kept from passing a group, and waits until it may
    for place, name in enumerate(missing):
        own = step.equipment(name).entry(want.session)
        if own is not None and set(own.group) <= set(missing):
            step.leave_queue(name, own, "direct")
        step.grant(name, want, numbered(r.lock_id, place), from_queue=False)
    _refuse_deadlock(step, r.session)
    _refresh(step, r, tuple(name for name in r.group if name not in missing))


def _wait_or_refuse(step: Step, r: m.Acquire, e: Equipment, want: Entry, names: tuple[EquipmentId, ...]) -> None:
    if not r.wait:
        raise no.EquipmentInUse(e)
    _refuse_another_entry(step, want.session, names)
    if step.equipment(names[0]).entry(want.session) is not None:
        return
    for name in names:
        _make_room(step, step.equipment(name))
    for name in names:
        e = step.equipment(name)
        heir = None if e.drain is None else e.drain.heir
        position = 1 + sum(1 for x in e.queue if x.priority >= want.priority or x.queue_id == heir)
        step.tell(m.Queued, name, want, entry=want, position=position)
    _refuse_deadlock(step, r.session)


def _make_room(step: Step, e: Equipment) -> None:
    """Let the entry that was silent longest leave a full queue; refuse where nobody in it is silent."""
    if len(e.queue) < QUEUE_LIMIT:
        return
    silent_since = {}
    for entry in e.queue:
        session = step.session(entry.session)
        if session.suspect:
            silent_since[entry] = session.last_seen
    if not silent_since:
        raise no.QueueFull(e)
    step.leave_all(e.id, min(silent_since, key=silent_since.__getitem__), "silent")


def _refuse_another_entry(step: Step, session: SessionId, names: tuple[EquipmentId, ...]) -> None:
    """Refuse a group of which a part is waited for in another entry; in the same one, its order does not matter."""
    for name in names if len(names) > 1 else ():
        e = step.equipment(name)
        own = e.entry(session)
        if own is not None and not e.holds(session) and set(own.group) != set(names):
            raise no.AlreadyWaiting(e)


def _refuse_deadlock(step: Step, session: SessionId) -> None:
    """Refuse what has just happened in this step if `session` would wait for itself."""
    cycle = waiting.cycle(step.table, session)
    if cycle:
        raise no.WouldDeadlock(step.equipment(cycle[0].equipment), cycle)


def _refresh(step: Step, r: m.Acquire, names: tuple[EquipmentId, ...]) -> None:
    for name in names:
        claim(step, step.equipment(name))
        lock = step.equipment(name).lock
        assert lock is not None
        note = lock.note if r.note is None else r.note
        step.tell(m.LockRefreshed, name, lock, lock_id=lock.lock_id, new_timeout=r.timeout_s, note=note)


def _acquire_observer(
    step: Step, r: m.Acquire, want: Entry, names: tuple[EquipmentId, ...], missing: tuple[EquipmentId, ...]
) -> None:
    for name in missing:
        e = step.equipment(name)
        if waiting.in_the_way(e, want):
            _wait_or_refuse(step, r, e, want, missing)
            return
    _refuse_another_entry(step, want.session, missing)
    for name in names:
        e = step.equipment(name)
        if e.holds(want.session):
            if any(x.mode is Mode.EXCLUSIVE and x.session != want.session for x in waiting.awake(step.table, e)):
                raise no.WaitersPresent(e)
            if not e.at_rest:
                raise no.NotAtRest(e)
            step.end_lock(name, Why.DOWNGRADED)
        own = e.entry(want.session)
        if own is not None and own.mode is Mode.OBSERVER and set(own.group) <= set(names):
            step.leave_all(name, own, "direct")
        step.observe(name, want)


def _release(step: Step, r: m.Release) -> None:
    e = step.equipment(r.equipment)
    observing = e.observer(r.session)
    if e.holds(r.session):
        step.end_lock(e.id, Why.LOGOUT, how=How.STOP if r.stop else None)
    elif observing is not None:
        step.tell(m.ObserverEnded, e.id, observing, why=Why.LOGOUT)
    elif e.lock is not None and e.lock.session != r.session:
        raise no.NotHolder(e)
    else:
        raise no.NoLock(e)


def _force(step: Step, r: m.ForceRelease) -> None:
    e = step.equipment(r.equipment)
    if e.lock is None or e.drain is not None:
        raise no.NoLock(e)
    step.end_lock(e.id, Why.FORCED, by=r.by, reason=r.reason)


def _claim(step: Step, r: m.Claim) -> None:
    claim(step, permit_holder(step, r))


def _keep(step: Step, r: m.Keep) -> None:
    e = permit_holder(step, r)
    assert e.lock is not None
    if e.policy.max_keep_seconds is not None and r.seconds > e.policy.max_keep_seconds:
        raise no.KeepTooLong(e)
    claim(step, e)
    kept = Kept(until=step.now + r.seconds, note=r.note) if r.seconds > 0 else None
    step.tell(m.LockKept, e.id, e.lock, lock_id=e.lock.lock_id, kept=kept)


def _activity(step: Step, r: m.Activity) -> None:
    e = step.equipment(r.equipment)
    if not e.holds(r.session) and e.observer(r.session) is None:
        raise no.NoLock(e)
    if e.holds(r.session):
        claim(step, e)
    step.emit(m.LockUsed(at=step.now, equipment=e.id, session=r.session))


# -- those who wait


def _place(step: Step, r: m.OfLock) -> tuple[Equipment, Entry]:
    e = step.equipment(r.equipment)
    entry = e.entry(r.session)
    if entry is None:
        raise no.UnknownEntry(e)
    return e, entry


def _leave(step: Step, r: m.Leave) -> None:
    e, entry = _place(step, r)
    if entry.queue_id != r.queue_id:
        raise no.UnknownEntry(e)
    step.leave_all(e.id, entry, "left")


def _swap(step: Step, r: m.Swap) -> None:
    e, mine = _place(step, r)
    other = e.place(r.partner)
    if r.partner is not None and other is None:
        raise no.UnknownEntry(e)
    if other is not None and (other is mine or mine.group or other.group):
        raise no.CannotSwap(e)
    if other is None or other.swap_with != mine.queue_id:
        step.tell(m.SwapOffered, e.id, mine, queue_id=mine.queue_id, partner=r.partner)
        return
    step.tell(m.QueueSwapped, e.id, mine, queue_id=mine.queue_id, partner=other.queue_id, by=other.user)
    _refuse_deadlock(step, mine.session)
    _refuse_deadlock(step, other.session)


def _ask(step: Step, r: m.AskHolder) -> None:
    e, entry = _place(step, r)
    if entry.mode is not Mode.EXCLUSIVE:
        raise no.UnknownEntry(e)
    if e.lock is None or e.drain is not None:
        raise no.NoLock(e)
    ask = Ask(at=step.now, due=step.now + r.seconds, seconds=r.seconds, reason=r.reason)
    step.tell(m.AskChanged, e.id, entry, holder=e.lock.user, queue_id=entry.queue_id, ask=ask)


def _answer(step: Step, r: m.AnswerAsk) -> None:
    e = step.equipment(r.equipment)
    if e.lock is None or not e.holds(r.session):
        raise no.NotHolder(e)
    entry = e.place(r.queue_id)
    if entry is None or entry.ask is None or entry.ask.answer == "no":
        raise no.UnknownAsk(e)
    if r.answer == "yield":
        _pass_on(step, e, entry)
        return
    promised = step.now + r.seconds if r.answer == "later" else None
    ask = replace(entry.ask, answer=r.answer, promised_at=promised, note=r.note)
    step.tell(m.AskChanged, e.id, entry, holder=e.lock.user, queue_id=entry.queue_id, ask=ask)


def _hand_over(step: Step, r: m.HandOver) -> None:
    e = step.equipment(r.equipment)
    if not e.holds(r.session):
        raise no.NotHolder(e)
    named = [x for x in e.queue if x.mode is Mode.EXCLUSIVE and r.to in (x.user, x.session, x.queue_id)]
    if not named:
        raise no.UnknownEntry(e)
    if len(named) > 1:
        raise no.Ambiguous(e)
    _pass_on(step, e, named[0])


def _pass_on(step: Step, e: Equipment, heir: Entry) -> None:
    assert e.lock is not None
    awake = list(waiting.awake(step.table, e))
    if heir.group or heir not in awake or any(x.priority > heir.priority for x in awake):
        raise no.CannotHandOver(e)
    step.end_lock(e.id, Why.HANDED_OVER, by=e.lock.user, reason=f"to {heir.user}", heir=heir.queue_id)
    _refuse_deadlock(step, heir.session)


def _open_session(step: Step, r: m.OpenSession) -> None:
    s = r.session
    step.emit(m.SessionCreated(at=step.now, session=s.id, user=s.user, opened=s))


def _end_session(step: Step, r: m.EndSession) -> None:
    step.end_session(step.session(r.session), r.why, reason=r.reason)


# What each request causes beyond what was due and that its session has spoken.
_RULES: dict[type[m.Request], Callable[[Step, Any], None] | None] = {
    m.OpenSession: _open_session, m.EndSession: _end_session, m.Attach: _connect, m.Detach: _connect,
    m.Acquire: _acquire, m.Release: _release, m.ForceRelease: _force, m.Claim: _claim, m.Keep: _keep,
    m.Activity: _activity, m.Leave: _leave, m.Swap: _swap, m.AskHolder: _ask, m.AnswerAsk: _answer,
    m.HandOver: _hand_over, m.Control: control, m.Observe: observe, m.Finish: finish, m.Stop: stop,
    m.Resume: resume, m.ClearFault: clear_fault, m.Moved: moved, m.RaiseFence: raise_fence,
    m.Recover: recover, m.Seen: None, m.Tick: None,
}  # fmt: skip

"""The rules against a second, naive implementation, in any order of requests, with time passing inside each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from authority.core import clocks, messages, waiting
from authority.core.evolve import evolve, session_after_restart
from authority.core.model import (
    Equipment,
    EquipmentId,
    LockMode,
    Outcome,
    Policy,
    QueueEntry,
    RestMethod,
    Role,
    SessionId,
    Table,
)
from authority.core.refusals import EquipmentRefusal, Refusal
from authority.core.rules import decide

from . import given as g
from .naive import E, Naive, No, S, W

X, Y, Z = (EquipmentId(x) for x in "xyz")
USERS = ("Ann", "Ann", "Cem", "Dan")  # two sessions of one user
KEEPERS = 3
SLOTS = st.sampled_from([0, 0, 1, 1, 2, 3])
PLACES = st.sampled_from([X, X, X, X, X, Y, Y, Z])
# What one of a crowd asks for, one acquire after another; each waits where it must.
WISHES = st.sampled_from([((X,),), ((X,),), ((X, Y),), ((X, Y),), ((X,), (Y,)), ((Y,), (X,)), ((Y, Z), (X,))])
GROUPS = st.sampled_from([(X, Y), (X, Y), (Y, X), (X, Z), (Y, Z), (X, Y, Z)])
PRIORITIES = st.sampled_from([0, 0, 0, 0, 5, -5])
MODES = st.sampled_from([LockMode.EXCLUSIVE, LockMode.EXCLUSIVE, LockMode.EXCLUSIVE, LockMode.OBSERVER])
FENCES = st.sampled_from([None, None, 0, 0, -1])
YES_NO = st.booleans()
TIMEOUTS = st.sampled_from([300.0, 300.0, 40.0, 0.0])
ROLES = st.sampled_from(list(Role))
# What passes before a request: so many seconds, with a timer that is in time; or ("due") exactly up to the next
# deadline, which the timer misses; or ("late") half a second more. The keepers beat meanwhile, or they are silent.
BEATING, SILENT = True, False
PASSING = st.sampled_from(
    [(0, SILENT)] * 40
    + [(t, BEATING) for t in (1, 5, 40, 119, 300, 601, "due", "due", "due", "late")]
    + [(t, SILENT) for t in (4, 60, "due", "due", "late")]
)
POLICIES = st.builds(
    Policy,
    observers=st.sampled_from(["apart", "alongside"]),
    on_idle=st.sampled_from([None, None, "release", "offer", "keep"]),
    on_loss=st.sampled_from([RestMethod.STOP, RestMethod.STOP, RestMethod.FINISH]),
    on_silence=st.sampled_from([RestMethod.FINISH, RestMethod.FINISH, RestMethod.STOP]),
    max_hold_seconds=st.sampled_from([None, 100.0]),
    max_keep_seconds=st.sampled_from([None, None, 1000.0]),
    park=YES_NO,
)


class LockMachine(RuleBasedStateMachine):
    """Every request goes to both; what both show must be the same after it, and the invariants hold."""

    examples = steps = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.table = Table()
        self.now = 0.0
        self.count = 0
        self.names: list[SessionId] = []

    @initialize(policies=st.tuples(POLICIES, POLICIES, POLICIES))
    def begin(self, policies: tuple[Policy, Policy, Policy]) -> None:
        self.naive = Naive({})
        for key, p in zip((X, Y, Z), policies, strict=True):
            self.table.put(Equipment(id=key, policy=p))
            self.naive.e[key] = E(
                key, p.observers == "apart", p.on_idle, p.on_loss, p.on_silence, p.max_hold_seconds, p.max_keep_seconds,
                p.park,
            )  # fmt: skip
        self.names = [SessionId("")] * (KEEPERS + 1)
        for slot in range(KEEPERS + 1):
            self._open(slot)

    def _open(self, slot: int) -> None:
        self.count += 1
        name = self.names[slot] = SessionId(f"{'abcd'[slot]}{self.count}")
        keeper = slot < KEEPERS
        session = replace(g.session(name, keeper=keeper, at=self.now), user=USERS[slot])
        self._take(decide(self.table, messages.OpenSession(session=session), self.now))
        self.naive.s[name] = S(keeper, self.now, 600.0, self.now)

    # -- time

    def _pass(self, passing: tuple[int | str, bool]) -> None:
        type(self).steps += 1
        length, beating = passing
        if isinstance(length, str):
            self._pass_to_next_deadline(beating, 0.5 if length == "late" else 0.0)
            return
        until = self.now + length
        while self.now < until:
            if beating:
                self._beat()
            self._pass_to(min(self.now + 50, until) if beating else until)

    def _pass_to_next_deadline(self, beating: bool, late: float) -> None:
        for _ in range(13):
            if beating:
                self._beat()
            soon = min((t for t in self._dues() if t > self.now), default=self.now)
            if not beating or soon < self.now + 60:
                self.now = soon + late
                return
            self._pass_to(self.now + 50)

    def _beat(self) -> None:
        self._ring()
        self.naive.advance(self.now)
        for name in self.names[:KEEPERS]:
            if self.table.session(name) is not None:
                self._take(decide(self.table, messages.SignOfLife(session=name), self.now))
                self.naive.speak(name)
        self._compare()

    def _pass_to(self, until: float) -> None:
        while True:
            instants = {*self._dues(), *self.naive.instants()}
            at = min((t for t in instants if self.now < t <= until), default=until)
            self.now = at
            self._ring()
            self.naive.advance(at)
            if at == until:
                self._compare()
                return

    def _settle(self) -> None:
        self._ring()
        self.naive.advance(self.now)
        self._compare()

    def _dues(self) -> list[float]:
        dues = [waiting.equipment_due(self.table, e) for e in self.table.all_equipment()]
        dues += [clocks.session_due(self.table, s) for s in self.table.all_sessions()]
        return [t for t in dues if t is not None]

    def _ring(self) -> None:
        """Be the timer; it must come to an end."""
        for _ in range(20):
            ticks = [
                messages.TimerTick(session=s.id)
                for s in self.table.all_sessions()
                if self._is_due(clocks.session_due, s)
            ]
            ticks += [
                messages.TimerTick(equipment=e.id)
                for e in self.table.all_equipment()
                if self._is_due(waiting.equipment_due, e)
            ]
            if not ticks:
                return
            for tick in ticks:
                self._take(decide(self.table, tick, self.now))
        raise AssertionError(f"due again and again: {ticks}")

    def _is_due(self, due_of: Callable[..., float | None], entry: object) -> bool:
        due = due_of(self.table, entry)
        return due is not None and due <= self.now

    # -- one request to both

    def _both(self, request: messages.Request, naively: Callable[[], None], speaker: SessionId | None) -> None:
        before = g.snapshot(self.table)
        try:
            events = decide(self.table, request, self.now)
        except Refusal as refusal:
            said: str | None = refusal.code
            named = refusal.equipment.id if isinstance(refusal, EquipmentRefusal) else None
            assert g.snapshot(self.table) == before, "a refusal changed something"
            if isinstance(request, messages.SessionRequest) and self.table.session(request.session) is not None:
                self._hear(request.session)
        else:
            said = named = None
            assert g.snapshot(self.table) == before, "deciding changed something"
            self._take(events)
        self._ring()
        naive_said, naive_named = self._ask_naive(naively, speaker)
        assert said == naive_said, request
        assert naive_named in (None, named), request
        self._compare()

    def _hear(self, session: SessionId) -> None:
        """As the service does: who asks in vain has spoken all the same."""
        try:
            self._take(decide(self.table, messages.SignOfLife(session=session), self.now))
        except Refusal:
            return

    def _ask_naive(self, naively: Callable[[], None], speaker: SessionId | None) -> tuple[str | None, str | None]:
        said = named = None
        self.naive.advance(self.now)
        try:
            if speaker is not None:
                self.naive.speak(speaker)
            naively()
        except No as no:
            said, named = str(no), no.place
        self.naive.advance(self.now)
        return said, named

    def _take(self, events: tuple[messages.Event, ...]) -> None:
        self._check_groups(events)
        faulted = {e.equipment for e in events if isinstance(e, messages.Faulted)}
        for event in events:
            if isinstance(event, messages.LockEnded):
                e = self._equipment(event.equipment)
                assert e.at_rest or e.id in faulted, "the lock passed on although the equipment is not at rest"
            if isinstance(event, messages.LockAcquired):
                e = self._equipment(event.equipment)
                assert e.lock is None, "two holders"
                assert e.fault is None, "granted at fault"
                assert event.lock.fence == e.fence + 1, "the fence does not rise"
            evolve(self.table, event)

    def _check_groups(self, events: tuple[messages.Event, ...]) -> None:
        """Whoever of a group leaves or enters a queue does so with all its members, in one step."""
        entered = [x for x in events if isinstance(x, messages.Queued)]
        left = [x for x in events if isinstance(x, messages.QueueLeft)]
        counts = Counter([(x.entry.queue_id, "entered") for x in entered] + [(x.queue_id, x.result) for x in left])
        for (queue_id, _), count in counts.items():
            entries = [x.entry for x in entered] + [x for e in self.table.all_equipment() for x in e.queue]
            entry = next(x for x in entries if x.queue_id == queue_id)
            assert count == max(1, len(entry.group)), "a group entered, was granted or left in part"

    def _equipment(self, key: EquipmentId) -> Equipment:
        e = self.table.equipment(key)
        assert e is not None
        return e

    # -- what both show

    def _compare(self) -> None:
        for key, naive in self.naive.e.items():
            assert self._shown(self._equipment(key)) == self._naively_shown(naive), key
        suspects = {s.id: s.suspect for s in self.table.all_sessions()}
        assert suspects == {name: s.suspect for name, s in self.naive.s.items()}

    def _shown(self, e: Equipment) -> dict[str, object]:
        lock, drain = e.lock, e.drain
        return {
            "state": e.state, "fence": e.fence, "moving": e.moving, "stopped": e.stopped_by is not None,
            "lock": lock and (lock.session, lock.timeout_s, lock.claim_by),
            "kept": None if lock is None or lock.kept is None or drain else lock.kept.until,
            "drain": drain and (drain.how.value, drain.stop_owed, drain.deadline),
            "observers": {o.session for o in e.observers},
            "queue": [self._entry_shown(e, x) for x in e.queue],
            "commands": [c.key for c in (e.running, *e.accepted) if c is not None],
            "losers": [x.session for x in e.losses],
        }  # fmt: skip

    def _entry_shown(self, e: Equipment, x: QueueEntry) -> tuple[object, ...]:
        offered = e.place(x.swap_with)
        ask = x.ask and (x.ask.answer, x.ask.due if x.ask.answer is None else None, x.ask.promised_at)
        names = x.group or (e.id,)
        return x.session, x.mode.value, x.timeout_s, x.priority, names, offered and offered.session, ask

    def _entry_naively_shown(self, e: E, x: W) -> tuple[object, ...]:
        ask = x.asks.get(e.name)
        answer = ask and (ask.answer, ask.due if ask.answer is None else None, ask.promised)
        return x.session, x.mode, x.timeout, x.priority, x.names, x.swap_with and x.swap_with.session, answer

    def _naively_shown(self, e: E) -> dict[str, object]:
        lock = e.lock
        held = "draining" if lock and lock.draining else "held" if lock else "free"
        return {
            "state": "fault" if e.fault else held, "fence": e.fence, "moving": e.moving, "stopped": e.stopped,
            "lock": lock and (lock.session, lock.timeout, lock.claim_by),
            "kept": None if lock is None or lock.draining else lock.kept,
            "drain": (lock.draining, lock.stop_owed, lock.deadline) if lock and lock.draining else None,
            "observers": set(e.observers),
            "queue": [self._entry_naively_shown(e, x) for x in e.queue],
            "commands": [key for key, _ in (e.running, *e.behind) if key] if e.running else [],
            "losers": e.losers,
        }  # fmt: skip

    # -- the requests, those first that make the others worth while

    @rule(
        what=PLACES, slot=SLOTS, by_holder=YES_NO, passing=PASSING,
        request=st.sampled_from(["claim", "activity", "observe", "leave", "resume", "resume", "clear_fault"]),
    )  # fmt: skip
    def small_request(self, request, what, slot, by_holder, passing):
        if request == "leave":
            self.leave(slot, what, passing)
        elif request == "resume":
            self.resume(what, slot, by_holder, passing)
        elif request == "clear_fault":
            self.clear_fault(what, passing)
        else:
            self.use(what, slot, by_holder, request, passing)

    @rule(
        slot=SLOTS, role=ROLES, busy=YES_NO, passing=PASSING,
        what=st.sampled_from(["begin_again", "begin_again", "beat", "beat", "connect", "disconnect"]),
    )  # fmt: skip
    def life(self, what, slot, role, busy, passing):
        if what == "begin_again":
            self.begin_again(slot, passing)
        elif what == "beat":
            self.beat(slot, busy, passing)
        elif what == "connect":
            self.connect(slot, role, passing)
        else:
            self.disconnect(slot, role, passing)

    @rule(slot=SLOTS)
    def wait_for_x(self, slot):
        self._acquire(self._living(slot), (X,), wait=True)

    @rule(passing=PASSING)
    def holder_of_x_moves_it(self, passing):
        self.control(X, 0, True, None, passing)

    @rule(slot=SLOTS, then=st.sampled_from(["let go", "let go", "stopped", "done"]), passing=PASSING)
    def x_is_driven(self, slot, then, passing):
        if then != "done":
            self.control(X, 0, True, None, passing)
        self.finish(X, False, True, (0, SILENT))
        if then == "stopped":
            self.stop(X, slot, "session", True, False, (0, SILENT))
        if then != "done":
            self.release(X, False, 0, True, (0, SILENT))

    @rule(passing=PASSING)
    def holder_of_x_lets_go(self, passing):
        self.release(X, False, 0, True, passing)

    @rule(slot=SLOTS, what=PLACES, mode=MODES, wait=YES_NO, timeout=TIMEOUTS, priority=PRIORITIES, passing=PASSING)
    def acquire(self, slot, what, mode, wait, timeout, priority, passing):
        self._pass(passing)
        self._acquire(self._living(slot), (what,), mode=mode, wait=wait, timeout=timeout, priority=priority)

    @rule(
        order=st.permutations(range(KEEPERS + 1)), wishes=st.tuples(*[WISHES] * (KEEPERS + 1)), what=PLACES,
        afresh=YES_NO,
    )  # fmt: skip
    def all_ask_and_one_lets_go(self, order, wishes, what, afresh):
        """Make queues of several pieces that depend on each other: single requests seldom build one."""
        if afresh:
            for slot in order:
                self.end(slot, False, (0, SILENT))
        for slot, wish in zip(order, wishes, strict=True):
            for names in wish:
                self._acquire(self._living(slot), names, wait=True)
        self.release(what, False, 0, True, (0, SILENT))

    @rule(
        slot=SLOTS, names=GROUPS, mode=MODES, wait=st.sampled_from([True, True, True, False]), timeout=TIMEOUTS,
        priority=PRIORITIES, passing=PASSING,
    )  # fmt: skip
    def acquire_group(self, slot, names, mode, wait, timeout, priority, passing):
        self._pass(passing)
        self._acquire(self._living(slot), names, mode=mode, wait=wait, timeout=timeout, priority=priority)

    def _living(self, slot: int) -> SessionId:
        """The session of that slot; in place of one that has ended a new one."""
        self._settle()
        if self.table.session(self.names[slot]) is None:
            self._open(slot)
        return self.names[slot]

    def _acquire(self, name, names, *, mode=LockMode.EXCLUSIVE, wait, timeout=300.0, priority=0):
        self.count += 1
        request = messages.Acquire(
            session=name, equipment=names[0], group=names if len(names) > 1 else (), mode=mode, timeout_s=timeout,
            wait=wait, priority=priority, lock_id=f"lock_{self.count}", queue_id=f"queue_{self.count}",
        )  # fmt: skip
        self._both(
            request,
            lambda: self.naive.acquire(name, names, mode.value, timeout, wait=wait, priority=priority),
            name,
        )

    @rule(
        what=PLACES, slot=SLOTS, other=SLOTS, by_waiter=st.sampled_from([True, True, True, False]),
        to_waiter=st.sampled_from([True, True, True, False]), back=st.sampled_from([False] * 7 + [True]),
        passing=PASSING,
    )  # fmt: skip
    def swap(self, what, slot, other, by_waiter, to_waiter, back, passing):
        self._pass(passing)
        if (what := self._waited_for(what, (slot, other))) is None:
            return
        name, partner = self._waiter(what, slot, by_waiter), self._waiter(what, other, to_waiter)
        request = messages.OfferSwap(
            session=name, equipment=what, partner=None if back else self._queue_id(what, partner)
        )
        e = self.naive.e[what]
        self._both(request, lambda: self.naive.swap(name, e, None if back else partner), name)

    def _waited_for(self, what: EquipmentId, slots: tuple[int, ...]) -> EquipmentId | None:
        """Equipment for which so many wait, `what` if it is so; if there is none, let those slots ask for `what`."""
        found = [e.id for e in self.table.all_equipment() if len(e.queue) >= len(slots)]
        if found:
            return what if what in found else found[0]
        for slot in slots:
            self._acquire(self._living(slot), (what,), wait=True)
        return None

    def _waiter(self, what: EquipmentId, slot: int, waits: bool) -> SessionId:
        queue = self._equipment(what).queue
        return queue[slot % len(queue)].session if waits and queue else self.names[slot]

    def _queue_id(self, what: EquipmentId, name: SessionId) -> str:
        entry = self._equipment(what).entry(name)
        return "none" if entry is None else entry.queue_id

    @rule(
        what=PLACES, slot=SLOTS, by_waiter=st.sampled_from([True, True, True, False]),
        seconds=st.sampled_from([120.0, 10.0, 400.0]), passing=PASSING,
    )  # fmt: skip
    def ask(self, what, slot, by_waiter, seconds, passing):
        self._pass(passing)
        if (what := self._waited_for(what, (slot,))) is None:
            return
        name = self._waiter(what, slot, by_waiter)
        e = self.naive.e[what]
        request = messages.AskHolder(session=name, equipment=what, seconds=seconds)
        self._both(request, lambda: self.naive.ask(name, e, seconds), name)

    @rule(
        what=PLACES, slot=SLOTS, asker=SLOTS, by_holder=st.sampled_from([True, True, True, False]),
        answer=st.sampled_from(["yield", "yield", "later", "no"]), passing=PASSING,
    )  # fmt: skip
    def answer(self, what, slot, asker, by_holder, answer, passing):
        self._pass(passing)
        if (what := self._waited_for(what, (asker,))) is None:
            return
        e = self._equipment(what)
        asked = [x for x in e.queue if x.ask is not None] or list(e.queue)
        who = asked[asker % len(asked)].session if asked else self.names[asker]
        name, naive = self._somebody(what, slot, by_holder), self.naive.e[what]
        request = messages.AnswerAsk(
            session=name, equipment=what, queue_id=self._queue_id(what, who), answer=answer, seconds=60.0
        )
        self._both(request, lambda: self.naive.answer(name, naive, who, answer, 60.0), name)

    @rule(
        what=PLACES, slot=SLOTS, to=SLOTS, by_holder=st.sampled_from([True, True, True, False]),
        to_waiter=st.sampled_from([True, True, True, False]), how=st.sampled_from(["session", "queue_id", "user"]),
        passing=PASSING,
    )  # fmt: skip
    def hand_over(self, what, slot, to, by_holder, to_waiter, how, passing):
        self._pass(passing)
        if (what := self._waited_for(what, (to,))) is None:
            return
        name, heir, e = self._somebody(what, slot, by_holder), self._waiter(what, to, to_waiter), self.naive.e[what]
        user = USERS["abcd".index(heir[0])]
        named = {"session": heir, "queue_id": self._queue_id(what, heir), "user": user}[how]
        meant = [x for x in self.names if x == heir or (how == "user" and USERS["abcd".index(x[0])] == user)]
        request = messages.HandOver(session=name, equipment=what, to=named)
        self._both(request, lambda: self.naive.hand_over(name, e, meant), name)

    @rule(
        what=PLACES, slot=SLOTS, by_holder=st.sampled_from([True, True, True, False]),
        seconds=st.sampled_from([0.0, 100.0, 500.0, 2000.0]), passing=PASSING,
    )  # fmt: skip
    def keep(self, what, slot, by_holder, seconds, passing):
        self._pass(passing)
        name, e = self._somebody(what, slot, by_holder), self.naive.e[what]
        request = messages.Keep(session=name, equipment=what, seconds=seconds)
        self._both(request, lambda: self.naive.keep(name, e, seconds), name)

    @rule(what=PLACES, stop=YES_NO, slot=SLOTS, by_holder=YES_NO, passing=PASSING)
    def release(self, what, stop, slot, by_holder, passing):
        self._pass(passing)
        name = self._somebody(what, slot, by_holder)
        self._both(
            g.release(name, what, stop=stop), lambda: self.naive.release(name, self.naive.e[what], stop=stop), name
        )

    def _somebody(self, what: EquipmentId, slot: int, by_holder: bool) -> SessionId:
        lock = self._equipment(what).lock
        return lock.session if by_holder and lock is not None else self.names[slot]

    @rule(slot=SLOTS, what=PLACES, passing=PASSING)
    def force(self, slot, what, passing):
        self._pass(passing)
        name = self.names[slot]
        self._both(g.force(name, what), lambda: self.naive.force(self.naive.e[what]), self._if_alive(name))

    def _if_alive(self, name: SessionId) -> SessionId | None:
        """Who may ask without a session has spoken only if there is one."""
        self.naive.advance(self.now)
        return name if name in self.naive.s else None

    def use(self, what, slot, by_holder, use, passing):
        self._pass(passing)
        name = self._somebody(what, slot, by_holder)
        e = self.naive.e[what]
        if use == "claim":
            self._both(g.claim(name, what), lambda: self.naive.claim(name, e), name)
        elif use == "activity":
            self._both(g.activity(name, what), lambda: self.naive.use(name, e, "no_lock"), name)
        else:
            self._both(g.observe(name, what), lambda: self.naive.use(name, e, "observe_required"), name)

    def leave(self, slot, what, passing):
        self._pass(passing)
        name = self.names[slot]
        request = messages.LeaveQueue(session=name, equipment=what, queue_id=self._queue_id(what, name))
        self._both(request, lambda: self.naive.leave(name, self.naive.e[what]), name)

    @rule(what=PLACES, slot=SLOTS, by_holder=st.sampled_from([True, True, False]), fence=FENCES, passing=PASSING)
    def control(self, what, slot, by_holder, fence, passing):
        self._pass(passing)
        name = self._somebody(what, slot, by_holder)
        self.count += 1
        key, under = f"c{self.count}", None if fence is None else self._equipment(what).fence + fence
        request = g.control(name, key, what, fence=under)
        self._both(request, lambda: self.naive.control(name, self.naive.e[what], key, under), name)

    @rule(
        what=PLACES,
        moving=st.sampled_from([False, False, True]),
        done=st.sampled_from([True, True, False]),
        passing=PASSING,
    )
    def finish(self, what, moving, done, passing):
        self._pass(passing)
        running = self._equipment(what).running
        key = "none" if running is None else running.key
        outcome = Outcome.DONE if done else Outcome.FAILED
        self._both(
            g.finish(key, what, outcome=outcome, moving=moving),
            lambda: self.naive.finish(self.naive.e[what], moving=moving, done=done),
            None,
        )

    @rule(what=PLACES, moving=YES_NO, passing=PASSING)
    def moved(self, what, moving, passing):
        self._pass(passing)
        self._both(g.moved(moving, what), lambda: setattr(self.naive.e[what], "moving", moving), None)

    @rule(
        what=PLACES, slot=SLOTS, who=st.sampled_from(["session", "unnamed", "authority", "authority"]),
        delivered=st.sampled_from([True, True, False]), moving=st.sampled_from([False, False, True]), passing=PASSING,
    )  # fmt: skip
    def stop(self, what, slot, who, delivered, moving, passing):
        self._pass(passing)
        name = self.names[slot] if who == "session" else None
        user = None if who == "authority" else "somebody"
        request = messages.Stop(equipment=what, session=name, user=user, delivered=delivered, moving=moving)
        speaker = None if name is None else self._if_alive(name)
        e = self.naive.e[what]
        self._both(
            request,
            lambda: self.naive.stop(name, e, named=user is not None, delivered=delivered, moving=moving),
            speaker,
        )

    def resume(self, what, slot, by_holder, passing):
        self._pass(passing)
        name = self._somebody(what, slot, by_holder)
        self._both(g.resume(name, what), lambda: self.naive.resume(name, self.naive.e[what]), name)

    def clear_fault(self, what, passing):
        self._pass(passing)
        self._both(g.clear_fault(what), lambda: self.naive.clear_fault(self.naive.e[what]), None)

    @rule(slot=SLOTS, dead=YES_NO, passing=PASSING)
    def end(self, slot, dead, passing):
        self._pass(passing)
        name = self.names[slot]
        self._both(g.gone(name) if dead else g.end(name), lambda: self.naive.end(name, dead=dead), None)

    def begin_again(self, slot, passing):
        self._pass(passing)
        self._living(slot)

    def beat(self, slot, busy, passing):
        self._pass(passing)
        name = self.names[slot]
        self._both(g.beat(name, busy=busy), lambda: self.naive.beat(name, busy=busy), name)

    def connect(self, slot, role, passing):
        self._pass(passing)
        name = self.names[slot]
        self._both(g.connected(name, role), lambda: self.naive.stream(name, role, 1), name)

    def disconnect(self, slot, role, passing):
        self._pass(passing)
        self._settle()
        name = self.names[slot]
        s = self.naive.s.get(name)
        if s is not None and s.streams[role] > 0:
            self._both(g.dropped(name, role), lambda: self.naive.stream(name, role, -1), None)

    @rule(after=st.sampled_from([0, 1, 3600]))
    def restart(self, after):
        self.now += after
        for s in list(self.table.all_sessions()):
            self.table.put(session_after_restart(s, self.now))
        for e in list(self.table.all_equipment()):
            self._take(decide(self.table, messages.Recover(equipment=e.id), self.now))
        self.naive.now = self.now
        self.naive.restart()
        self.naive.advance(self.now)
        self._compare()

    # -- what is always so

    @invariant()
    def nobody_is_queued_twice_and_nobody_waits_for_what_it_has(self):
        for e in self.table.all_equipment():
            sessions = [x.session for x in e.queue]
            assert len(sessions) == len(set(sessions))
            assert not any(e.holds(x.session) for x in e.queue if not x.group)

    @invariant()
    def all_members_of_a_group_have_the_same_entry(self):
        for e in self.table.all_equipment():
            for entry in e.queue:
                for name in entry.group:
                    assert replace(entry, ask=None) in [replace(x, ask=None) for x in self._equipment(name).queue]

    @invariant()
    def nobody_waits_for_themselves(self):
        """Only who slept, was passed over and woke again can make a cycle: that no request can be refused for."""
        found = any(waiting.deadlock_cycle(self.table, s.id) for s in self.table.all_sessions())
        assert self.naive.passed_silent or not (found or self.naive.has_cycle())

    @invariant()
    def the_queue_is_sorted_by_priority_behind_an_heir(self):
        for e in self.table.all_equipment():
            heir = None if e.drain is None else e.place(e.drain.heir)
            assert heir is None or e.queue[0] is heir
            priorities = [x.priority for x in e.queue if x is not heir]
            assert priorities == sorted(priorities, reverse=True)

    @invariant()
    def an_offer_and_an_ask_are_to_somebody_who_is_there(self):
        for e in self.table.all_equipment():
            for entry in e.queue:
                assert entry.swap_with is None or e.place(entry.swap_with) is not None
                assert entry.ask is None or e.state == "held"
                assert not (entry.group and entry.swap_with)

    @invariant()
    def an_ended_session_is_nowhere(self):
        for e in self.table.all_equipment():
            named = [*(x.session for x in e.queue), *(o.session for o in e.observers)]
            if e.lock is not None and e.drain is None:
                named.append(e.lock.session)
            assert all(self.table.session(name) is not None for name in named)

    @invariant()
    def what_is_free_has_no_waiter_that_could_have_it(self):
        """Whatever its place: who is left waiting would wait for itself, were it granted."""
        for e in self.naive.e.values():
            for entry in e.queue:
                members = [self._equipment(EquipmentId(name)) for name in entry.names]
                all_free = all(x.lock is None and x.fault is None for x in members)
                if all_free and not self.naive.s[entry.session].suspect:
                    assert self.naive.would_wait_for_itself(entry), entry

    @invariant()
    def the_clocks_show_nothing_due_in_the_past(self):
        assert all(t >= self.now for t in self._dues())


TestLockMachine = LockMachine.TestCase

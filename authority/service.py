"""The owner of the state: decides each request on the newest state in one step, and sends it on once it is on disk.

Everything here runs on one event loop, and `apply` has no await: no other request can come between its decision and
its effect. An error there that is no refusal stops what moves and ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import uuid
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec

from . import journal
from .actuator import Actuator
from .committer import Committer, StoreFailed
from .core import messages
from .core.model import EquipmentId, Outcome, Policy, SessionId, Table
from .core.refusals import Refusal
from .core.rules import compute_step
from .core.step import Step
from .deadline_watch import DeadlineWatch
from .hub import Hub, Message
from .ports import Batch, Clock, EventRow, Store
from .recorder import Recorder
from .recovery import Recovery, load_state
from .retention import DEFAULT_HISTORY_DAYS, Retention
from .stop_delivery import StopResult
from .views import Views
from .wire import Ping, Progress, StatusView
from .worker import Worker

log = logging.getLogger("motorlock")
REST_AFTER_FAILURE_S = 60.0
NOTIFY_AFTER_FAILURE_S = 10.0
STORE_ERRORS = (sqlite3.Error, OSError)

Found = TypeVar("Found")


class RequestFailed(Exception):
    """A request of a client failed before anything of it was applied: it is refused, and nothing has changed."""


class Service:
    """The authority without its routes."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        workers: Mapping[EquipmentId, Worker],
        policies: Mapping[EquipmentId, Policy],
        *,
        history_days: float = DEFAULT_HISTORY_DAYS,
        on_written: Callable[[Batch], None] | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Take up what the store remembers; `start` begins to act on it. Called on the loop."""
        self.clock = clock
        self.workers = dict(workers)
        self.table = Table()
        self.views = Views(self.table, self.workers, clock)
        self.hub = Hub(self.sign_of_life)
        self.instance = uuid.uuid4().hex
        self.failure: BaseException | None = None
        self.ending = False
        self._store = store
        self._on_failure = on_failure
        self.journal = journal.Journal(store)
        self._replayer = ThreadPoolExecutor(1, thread_name_prefix="motorlock-replay")
        self._tasks: set[asyncio.Task[None]] = set()
        stored = store.load()
        load_state(self.table, stored, policies, clock.now())
        self.committer = Committer(store, self._fail, on_written)
        self._recorder = Recorder(
            self.table, self.views, self.workers, self.journal, self.committer, self.hub, seq=stored.seq
        )
        self._actuator = Actuator(
            self.table,
            self.workers,
            self._recorder,
            self.committer,
            spawn=self._spawn,
            record_stop=self.record_stop,
        )
        self._recovery = Recovery(self.table, self.workers, self._actuator, spawn=self._spawn, apply=self.apply)
        self._retention = Retention(
            store, clock, self.committer.run_in_writer, history_days=history_days, last_event_at=stored.wall
        )
        self._deadline_watch = DeadlineWatch(self.table, clock, self.apply)
        self.deadlines = self._deadline_watch.scheduler

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return self._recorder.seq

    def sign_of_life(self) -> Message:
        """Return what a quiet stream gets."""
        return Message("ping", msgspec.json.encode(Ping(now=self.views.time(self.clock.now()))))

    def start(self) -> None:
        """Recover, and begin to act."""
        for worker in self.workers.values():
            worker.start(self)
        self._recovery.begin()
        self._deadline_watch.begin()
        self._spawn(self._retention.run())

    async def keep(self, key: str, value: str) -> None:
        """Return once `value` is on disk under `key`; raise `StoreFailed` where it cannot be."""
        await self.committer.run_and_wait(lambda: self._store.set_meta(key, value))

    async def close(self) -> None:
        """Stop what moves, end the streams, write what is open and let go of the equipment."""
        self.ending = True
        await self.stop_all("the authority is ending")
        with contextlib.suppress(StoreFailed):
            # What was stopped gets its outcome, and who waits for it the reply.
            await self.wait_until_committed()
            await asyncio.gather(*(w.wait_until_command_ended() for w in self.workers.values()))
            await self.wait_until_committed()
        self.hub.close()
        self.deadlines.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(w.close() for w in self.workers.values()))
        await self.committer.close()
        # The store is closed next: a page that is being read is read to its end.
        self._replayer.shutdown(cancel_futures=True)

    async def stop_all(self, reason: str) -> None:
        """Stop every equipment that moves or runs a command."""
        busy = [e.id for e in self.table.all_equipment() if self._actuator.is_active(e.id)]
        await asyncio.gather(*(self.stop(key, None, None, reason) for key in busy))

    # deciding

    def apply(self, request: messages.Request) -> tuple[messages.Event, ...]:
        """Decide `request` on the newest state and let it have happened; raises a `Refusal`.

        The caller sends nothing of it before `wait_until_committed` has returned.
        """
        if self.failure is not None:
            raise StoreFailed from self.failure
        try:
            step = compute_step(self.table, request, self.clock.now())
        except Refusal:
            if not isinstance(request, messages.TimerTick | messages.SignOfLife):
                self._after_refusal(request)
            raise
        except Exception as bug:
            raise self._refused_for(bug, request) from bug
        try:
            written = self._recorder.encode(step)
        except Exception as bug:
            raise self._refused_for(bug, request) from bug
        try:
            self._apply_step(step, written)
        except StoreFailed:
            raise
        except Exception as bug:
            self._fail(bug)
            raise StoreFailed from bug
        return tuple(step.events)

    def _refused_for(self, bug: Exception, request: messages.Request) -> Exception:
        """Return what a request gets that failed before anything of it was applied: it alone, where a client asked it.

        What the authority asks of itself must not fail in silence: then what moves is stopped, and the process ends.
        """
        if isinstance(
            request,
            messages.TimerTick
            | messages.FinishCommand
            | messages.MotionReport
            | messages.RaiseFence
            | messages.Recover,
        ):
            self._fail(bug)
            return StoreFailed()
        log.error("a request of the kind %s was refused, because it failed", type(request).__name__, exc_info=bug)
        return RequestFailed(type(request).__name__)

    def _after_refusal(self, request: messages.Request) -> None:
        """Let happen what was due anyway, for the refusal may speak of it; who asks in vain has spoken all the same."""
        equipment = getattr(request, "equipment", None)
        if equipment is not None and self.table.equipment(equipment) is not None:
            self.apply(messages.TimerTick(equipment=equipment, session=getattr(request, "session", None)))
        if isinstance(request, messages.SessionRequest) and not isinstance(request, messages.ForceRelease):
            self._record_sign_of_life(request.session)

    def _record_sign_of_life(self, session: SessionId) -> None:
        if self.table.session(session) is not None:
            self.apply(messages.SignOfLife(session=session))

    async def wait_until_committed(self) -> None:
        """Return once everything decided so far is on disk, and may be sent to anybody."""
        await self.committer.wait_until_committed()

    def _apply_step(self, step: Step, written: Batch) -> None:
        self.table.absorb(step.table)
        if written.events:
            rows = iter(written.events)
            timestamp = self.views.time(step.now)
            for event in step.events:
                if event.stored:
                    self._recorder.record_event(next(rows))
                    if isinstance(event, messages.EquipmentEvent):
                        self._actuator.actuate(event, timestamp)
            self._recorder.record_entries(written)
        self._recorder.push_status_changes(step.events)
        self._deadline_watch.note_events(step.events)

    # what workers report

    def command_finished(
        self,
        equipment: EquipmentId,
        key: str,
        outcome: Outcome,
        data: msgspec.Raw | None,
        error: str | None,
        *,
        moving: bool,
    ) -> None:
        """Take the end of a command from its worker."""
        call = self.journal.get(key)
        if call is not None:
            call.data = data
        stopper = self._actuator.stopper(equipment)
        if outcome is Outcome.STOPPED and stopper is not None:
            error = f"{stopper} stopped {equipment}" + (f" ({error})" if error else "")
        if self.failure is None:
            self.apply(
                messages.FinishCommand(equipment=equipment, key=key, outcome=outcome, error=error, moving=moving)
            )

    def stop_obeyed(self, equipment: EquipmentId, fence: int) -> None:
        """Take from its worker which fence the device has obeyed, to go on above it."""
        if self.failure is None:
            self.apply(messages.RaiseFence(equipment=equipment, fence=fence))

    def readback_changed(self, equipment: EquipmentId, *, moving: bool, outside: float | None) -> None:
        """Take a changed readback from its worker, and show it."""
        known_equipment = self.table.equipment(equipment)
        if self.failure is None and known_equipment is not None:
            moves = moving or self._actuator.may_move(known_equipment)
            if known_equipment.moving != moves or outside is not None:
                self.apply(messages.MotionReport(equipment=equipment, moving=moves, outside=outside))
        self._recovery.readback_changed(equipment, moving=moving)
        if self.hub:
            progress = Progress(equipment, self.views.readback(equipment))
            self.hub.publish(Message("progress", msgspec.json.encode(progress), equipment=equipment))

    # stop

    async def stop(
        self, key: EquipmentId, session: SessionId | None, user: str | None, reason: str | None
    ) -> StopResult:
        """Stop the equipment: the driver first, the journal after. Returns whether the driver took it in time."""
        result = await self.deliver_stop(key, user)
        self.record_stop(key, session, user, reason, result)
        return result

    async def deliver_stop(self, key: EquipmentId, user: str | None) -> StopResult:
        """Give the driver the order, and return whether it took it in time; `record_stop` is to follow."""
        return await self._actuator.deliver_stop(key, user)

    def record_stop(
        self, key: EquipmentId, session: SessionId | None, user: str | None, reason: str | None, result: StopResult
    ) -> None:
        """Let a stop that was tried have happened: what was accepted ends, and control waits for the holder."""
        equipment = self.table.equipment(key)
        if self.failure is None and equipment is not None:
            self.apply(
                messages.Stop(
                    equipment=key,
                    session=session,
                    user=user,
                    reason=reason,
                    delivered=result.delivered,
                    error=result.error,
                    moving=self.workers[key].readback.moving is True or self._actuator.may_move(equipment),
                )
            )

    # commands

    def find_call(self, key: str) -> journal.JournalCall | None:
        """Return the call recorded under a client's key."""
        return self._read(partial(self.journal.find, key))

    def control(self, call: journal.JournalCall, request: messages.Control) -> None:
        """Accept a control command, or raise a `Refusal`; `call.over` is set once its reply may be sent."""
        if self.ending:
            raise StoreFailed("the authority is ending")
        call.stop_token = self.workers[request.equipment].stop_token()
        self.journal.open(call)
        try:
            self.apply(request)
        except (Refusal, RequestFailed, StoreFailed):
            self.journal.remove(call.key)
            raise

    def check_request(self, *requests: messages.Request) -> None:
        """Decide `requests`, one after another, as `apply` would now, and let nothing of it happen."""
        table = self.table
        for request in requests:
            if self.ending and isinstance(request, messages.Control):
                raise StoreFailed("the authority is ending")
            table = compute_step(table, request, self.clock.now()).table

    # what people see

    def status(self, key: EquipmentId) -> StatusView:
        """Render one piece of equipment on the newest state: send it only after `wait_until_committed`."""
        return self.views.status(key)

    def events(
        self, *, equipment: str | None = None, session: str | None = None, after: int | None = None, limit: int
    ) -> list[EventRow]:
        """Return stored events, oldest first."""
        read = partial(self._store.events, equipment=equipment, session=session, after=after, limit=limit)
        return self._read(read)

    async def replay(self, after: int, limit: int) -> list[EventRow]:
        """Return the first `limit` events after a number, none where some of them are no longer kept.

        They are read in a thread of their own: a long replay is nobody else's matter.
        """
        read = partial(self._store.replay, after=after, limit=limit)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._replayer, read)
        except STORE_ERRORS as error:
            self._fail(error)
            raise StoreFailed from error

    def _read(self, read: Callable[[], Found]) -> Found:
        """Return what the store has; a store that cannot be read has failed, as one that cannot be written."""
        try:
            return read()
        except STORE_ERRORS as error:
            self._fail(error)
            raise StoreFailed from error

    # the end

    async def rest_after_failure(self) -> None:
        """Return once nothing moves any more after the store has failed, and whoever asked got to know it."""
        moving = [worker.wait_until_resting(REST_AFTER_FAILURE_S) for worker in self.workers.values()]
        await asyncio.gather(asyncio.sleep(NOTIFY_AFTER_FAILURE_S), *moving)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, StoreFailed):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """From here on only stop and health are served: what memory holds may not be what the store holds."""
        if self.failure is not None:
            return
        self.failure = error
        self.committer.fail(error)
        self.journal.abandon()
        self.hub.close()
        for worker in self.workers.values():
            self._spawn(_stop(worker))
        if self._on_failure is not None:
            self._on_failure(error)


async def _stop(worker: Worker) -> None:
    await worker.stop()

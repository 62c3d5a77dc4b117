"""Group commit: what was decided while one commit was on its way joins the next, on a thread of its own.

Nothing is sent that a crash could undo: who sends something calls `wait_until_committed` first, or leaves a callback.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from .ports import Batch, Store

log = logging.getLogger("motorlock")

SLOW_COMMIT_S = 2.0


class StoreFailed(Exception):
    """The store could not write: nothing that was decided since may be sent to anybody."""


class _Pending:
    """The batch that is being filled, and who waits for it."""

    def __init__(self) -> None:
        self.batch = Batch(events=[], equipment={}, sessions={}, commands=[])
        self.callbacks: list[Callable[[], None]] = []
        self.waiters: list[asyncio.Future[None]] = []


class Committer:
    """Writes batches one after another. All methods are called on the loop."""

    def __init__(
        self,
        store: Store,
        on_failure: Callable[[BaseException], None],
        on_written: Callable[[Batch], None] | None = None,
    ) -> None:
        """Use `store` from a thread of its own; `on_failure` is called once when a write fails.

        `on_written` is called in that thread after each commit, with what it wrote.
        """
        self._on_written = on_written
        self._store = store
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._open: _Pending | None = None
        self._writing: _Pending | None = None
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="motorlock-store", daemon=True)
        self._thread.start()
        self._writing_since = 0.0
        self._slow_watch: asyncio.TimerHandle | None = None
        self._was_slow = False
        self.commits = 0
        self.failure: BaseException | None = None

    @property
    def is_writing(self) -> bool:
        """Whether a commit is on its way to the disk."""
        return self._writing is not None

    @property
    def is_slow(self) -> bool:
        """Whether the commit that is on its way to the disk takes longer than `SLOW_COMMIT_S`."""
        return self._writing is not None and self._loop.time() - self._writing_since >= SLOW_COMMIT_S

    def open_batch(self) -> Batch:
        """Return the batch that the next commit writes, to be filled in this step."""
        if self.failure is not None:
            raise StoreFailed from self.failure
        if self._open is None:
            self._open = _Pending()
            if self._writing is None:
                # One turn of the loop later, so that requests that arrived together share the commit.
                self._loop.call_soon(self._flush)
        return self._open.batch

    def call_when_committed(self, callback: Callable[[], None]) -> None:
        """Call back on the loop, in order, once everything decided so far is on disk."""
        pending = self._open or self._writing
        if pending is None:
            callback()
        else:
            pending.callbacks.append(callback)

    async def wait_until_committed(self) -> None:
        """Return once everything decided so far is on disk; raise `StoreFailed` if it will never be."""
        if self.failure is not None:
            raise StoreFailed from self.failure
        pending = self._open or self._writing
        if pending is not None:
            waiter: asyncio.Future[None] = self._loop.create_future()
            pending.waiters.append(waiter)
            await waiter

    def run_in_writer(self, work: Callable[[], None]) -> None:
        """Run housekeeping between two commits, in the writing thread; a store that fails at it has failed."""
        self._inbox.put(lambda: self._run_housekeeping(work))

    async def run_and_wait(self, work: Callable[[], None]) -> None:
        """Do as `run_in_writer`, and return once it is done; raise `StoreFailed` where it fails."""
        done: asyncio.Future[None] = self._loop.create_future()

        def work_and_tell() -> None:
            try:
                work()
            except BaseException:
                self._loop.call_soon_threadsafe(_set_failed, done)
                raise
            self._loop.call_soon_threadsafe(_set_done, done)

        if self.failure is not None:
            raise StoreFailed from self.failure
        self.run_in_writer(work_and_tell)
        await done

    async def close(self) -> None:
        """Write what is open, then end the thread."""
        if self.failure is None:
            await self.wait_until_committed()
            self.failure = StoreFailed("the authority has ended")
        if self._slow_watch is not None:
            self._slow_watch.cancel()
        self._inbox.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _flush(self) -> None:
        if self._open is None or self._writing is not None:
            return
        self._writing = self._open
        self._open = None
        self._writing_since = self._loop.time()
        if self._slow_watch is None:
            self._slow_watch = self._loop.call_later(SLOW_COMMIT_S, self._look_at_slow_commit)
        batch = self._writing.batch
        self._inbox.put(lambda: self._write(batch))

    def _look_at_slow_commit(self) -> None:
        """Log a commit that has been on its way for too long; one look serves all the short ones in between."""
        self._slow_watch = None
        if self._writing is None:
            return
        if not self.is_slow:
            look_at = self._writing_since + SLOW_COMMIT_S
            self._slow_watch = self._loop.call_at(look_at, self._look_at_slow_commit)
        elif not self._was_slow:
            self._was_slow = True
            log.warning("the store is slow: a commit takes longer than %g s, and answers wait for it", SLOW_COMMIT_S)

    def _log_in_time_again(self) -> None:
        """Log that a commit was in time after one that was slow."""
        if self._was_slow and not self.is_slow:
            self._was_slow = False
            log.info("the store is in time again")

    def _work(self) -> None:
        while (work := self._inbox.get()) is not None:
            work()

    def _run_housekeeping(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - without this thread every caller would wait for ever
            self._loop.call_soon_threadsafe(self._failed, error)

    def _write(self, batch: Batch) -> None:
        try:
            self._store.write(batch)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the loop must hear of it
            self._loop.call_soon_threadsafe(self._failed, error)
        else:
            self._loop.call_soon_threadsafe(self._written)
            if self._on_written is not None:
                with contextlib.suppress(OSError, ValueError):  # nobody reads the log any more
                    self._on_written(batch)

    def _written(self) -> None:
        self._log_in_time_again()
        done = self._writing
        self._writing = None
        self.commits += 1
        self._flush()
        if done is not None:
            for callback in done.callbacks:
                callback()
            for waiter in done.waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Write nothing more: what is open may hold half a step. What is being written may still be answered."""
        if self.failure is None:
            self.failure = error
            self._give_up(self._open)
            self._open = None

    def _failed(self, error: BaseException) -> None:
        self._give_up(self._writing)
        self._writing = None
        first = self.failure is None
        self.fail(error)
        if first:
            self._on_failure(error)

    @staticmethod
    def _give_up(pending: _Pending | None) -> None:
        if pending is None:
            return
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_exception(StoreFailed())


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():  # whoever waited may have hung up
        future.set_result(None)


def _set_failed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(StoreFailed())

"""An asyncio loop in a thread of its own, for an object whose methods are coroutines."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
import time
from collections.abc import Callable

from authority.driver_values import sentence_of

_POLL_S = 0.02
_GRACE_S = 1.0


class EventLoop:
    """Runs one thing after another, or beside another, in its one thread; the thread starts with the first."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Callable[[], object], ends: Callable[[], bool]) -> object:
        """Return what `work` returns in the loop's thread, or what that gives when it is awaited.

        Once `ends` says so, it has a second to come to its end and is cancelled then, which raises `CancelledError`
        of `concurrent.futures`.
        """
        running = asyncio.run_coroutine_threadsafe(_awaited(work), self._started())
        ending_at: float | None = None
        while not running.done():
            concurrent.futures.wait([running], timeout=_POLL_S)
            if ending_at is None and ends():
                ending_at = time.monotonic() + _GRACE_S
            if ending_at is not None and time.monotonic() > ending_at:
                running.cancel()
        return running.result()

    def end(self) -> None:
        """Let the thread end; what runs in it is given up."""
        with self._starting:
            loop = self._loop
            self._loop = None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_turn, args=(self._loop,), name="python-object-loop", daemon=True).start()
            return self._loop


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, and leave nothing of it behind."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()


async def _awaited(work: Callable[[], object]) -> object:
    try:
        result = work()
        if inspect.isawaitable(result):
            return await result
        return result
    except (SystemExit, KeyboardInterrupt) as ending:  # it would end the loop, and with it every call to come
        raise RuntimeError(f"it raised {type(ending).__name__}: {sentence_of(ending)}") from None

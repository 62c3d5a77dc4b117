"""Time that jumps to the next deadline when nothing else is left to do, for a loop, an authority and a motor alike.

A thread at work holds it back: what the loop awaits from the real disk comes at the same virtual time on every machine.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_STUCK_S = 20.0  # of real time without anything to do: a test has forgotten something


class VirtualTime:
    """The seconds of one run; also `ports.Clock`, and callable as a motor's clock."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0
        self.busy: Callable[[], object] = bool
        self.in_executor = 0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> float:
        return self.seconds

    def wall(self, at: float) -> float:
        return at

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` on a loop that lives in this time; it is held while `busy` says that a thread works."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(work)


class _Selector(selectors.DefaultSelector):
    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self._time.in_executor or self._time.busy():
            ready = super().select(_STUCK_S)
            assert ready, "nothing happens any more"
            return ready
        self._time.seconds += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, time: VirtualTime) -> None:
        super().__init__(_Selector(time))
        self._virtual = time

    def time(self) -> float:
        return self._virtual.seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        done = super().run_in_executor(executor, func, *args)
        self._virtual.in_executor += 1
        done.add_done_callback(self._back)
        return done

    def _back(self, _: object) -> None:
        self._virtual.in_executor -= 1

"""Calls a driver's methods, in threads of their own or on the loop, and lets nothing out that is not plain.

Foreign code may raise whatever it likes, also what ends a process or a task elsewhere: here that is the failure of the
one call.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from .driver_values import plain_value, sentence_of
from .parameters import InvalidParameters
from .ports import Driver, DriverUnavailable, MotionStopped, OutsideLimits

T = TypeVar("T")


class DriverFailed(Exception):
    """A call of a driver has failed; the text is one sentence for a person."""


class DriverThread:
    """A daemon thread that does one thing after another: a driver that hangs cannot keep the process from ending."""

    def __init__(self, name: str) -> None:
        """Start the thread with its first call: it finds its work there, and need not be woken again for it."""
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._name = name

    async def call(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread and return what it returns; raises what `failure_of` makes of what it raises."""
        task = _DriverCall(asyncio.get_running_loop(), work)
        self._inbox.put(task.run)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        return await task.done

    def end(self) -> None:
        """Let the thread end once it has done what it was given."""
        self._inbox.put(None)

    def _work(self) -> None:
        while (run := self._inbox.get()) is not None:
            try:
                run()
            except RuntimeError:  # the loop has ended
                return
            del run  # it has the result, which may be large


def thread_for(driver: Driver, name: str) -> DriverThread | None:
    """Return a thread for what may wait; a driver that never waits is called on the loop."""
    if driver.blocking:
        return DriverThread(name)
    return None


def take_nothing(result: object) -> None:
    """Take nothing of what a method returns that has nothing to say."""


class _DriverCall(Generic[T]):
    """One piece of work for a driver thread, and the future of who waits for it on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> None:
        self._loop = loop
        self._work = work
        self.done: asyncio.Future[T] = loop.create_future()

    def run(self) -> None:
        """Do the work and let the loop have its end; raises `RuntimeError` where that has ended."""
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits
            self._loop.call_soon_threadsafe(self._fail, failure_of(error))
        else:
            self._loop.call_soon_threadsafe(self._succeed, result)

    def _succeed(self, result: T) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


async def call_driver(thread: DriverThread | None, method: Callable[[], object], take: Callable[[object], T]) -> T:
    """Return what `take` makes of what a driver's method returns, called in `thread`, else on the loop and awaited.

    Raises one of the exceptions that `failure_of` names, whatever the driver raises.
    """
    if thread is not None:
        return await thread.call(lambda: take(_wait_for_call(method())))
    try:
        result = method()
        return take(await result if inspect.iscoroutine(result) else result)
    except BaseException as error:
        if _ends_our_own_task(error):
            raise
        failure = failure_of(error)
    raise failure


def call_concurrent(method: Callable[[], object]) -> None:
    """Call a driver's method that never waits, on the loop; raises as `call_driver` does."""
    try:
        method()
    except BaseException as error:  # noqa: BLE001 - raised below as what it means
        failure = failure_of(error)
    else:
        return
    raise failure


def failure_of(error: BaseException) -> Exception:
    """Return what a driver raised as one of the exceptions that the authority knows, its text one plain sentence.

    That is `MotionStopped`, `DriverUnavailable`, `OutsideLimits`, `InvalidParameters` or `DriverFailed`.
    """
    sentence = sentence_of(error)
    if isinstance(error, InvalidParameters):
        plain_errors = [found for found in map(plain_value, error.errors) if isinstance(found, dict)]
        if plain_errors:
            return InvalidParameters(plain_errors)
        return DriverFailed(sentence)
    if isinstance(error, MotionStopped):
        if sentence == type(error).__name__:
            return MotionStopped("")
        return MotionStopped(sentence)
    if isinstance(error, DriverUnavailable):
        return DriverUnavailable(sentence)
    if isinstance(error, OutsideLimits):
        return OutsideLimits(sentence, always=error.always is True)
    if isinstance(error, Exception):
        return DriverFailed(sentence)
    name = type(error).__name__
    if sentence == name:
        return DriverFailed(f"the driver raised {name}")
    return DriverFailed(f"the driver raised {name}: {sentence}")


def _wait_for_call(result: object) -> object:
    """Return what a method of a blocking driver returned; raises `DriverFailed` for a coroutine."""
    if inspect.iscoroutine(result):
        result.close()
        raise DriverFailed("it is a coroutine, but its driver is `blocking`: make it a plain method")
    return result


def _ends_our_own_task(error: BaseException) -> bool:
    """Whether the task that called the driver is itself being cancelled, or closed after the loop has ended."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    if isinstance(error, GeneratorExit):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return True
    return False

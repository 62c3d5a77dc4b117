"""Any Python object by import path: its methods and properties become commands where the lab file says so.

Most such objects are not made for threads, so one call at a time is made, but for a stop: it waits for the call that
runs only for a moment, and is given once more when that call has ended, lest the order to move was sent behind it.
"""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial

from msgspec.structs import replace

from authority.driver_values import UnusableAnswer, sentence_of
from authority.drivers.event_loop import EventLoop
from authority.drivers.limits import MoveFailed
from authority.drivers.object_answers import as_scalar, as_type
from authority.drivers.object_paths import NoSuch, assign, attribute, imported
from authority.drivers.pending import pending_of
from authority.drivers.python_options import PythonControl, PythonObserve, PythonOptions, PythonReading, refuse_misnamed
from authority.drivers.table_driver import TableDriver, held_within, stopped_text
from authority.parameters import Scalar
from authority.ports import DriverUnavailable, MotionStopped, Readback, StopToken

_STOP_WAITS_S = 0.2
_READBACK_WAITS_S = 0.1
_OPEN_WAITS_S = 1.0
_POLL_S = 0.05
# By the name of the class, since none of these packages need be there; TimeoutError and serial's error are OSErrors.
_LOST = frozenset({"OSError", "VisaIOError", "DisconnectedError"})
# ophyd's own two say that a move took too long, the others speak of files.
_NOT_LOST = frozenset(
    [
        *["StatusTimeoutError", "WaitTimeoutError"],
        *["FileNotFoundError", "FileExistsError", "IsADirectoryError", "NotADirectoryError"],
    ]
)
_STALE_S = 2.0
_STALE = "it is busy with a call: this is what it said before"


class CallFailed(Exception):
    """The object refused a call or failed in it; the text says which call and what the object said."""


class PythonObject(TableDriver[PythonControl, PythonObserve, PythonReading]):
    """A Python object, made and called as the lab file says."""

    def __init__(self, options: PythonOptions) -> None:
        super().__init__(options, options.control, options.observe, options.readings)
        self._options = options
        self._make = imported(options.object_)
        self._turns = threading.RLock()
        self._loop = EventLoop() if options.asyncio else None
        self._object: object = None
        self._lost: str | None = "it is not connected yet"  # why nothing can be asked of the object
        self._losses = 0
        self._wrong: str | None = None  # what the lab file names and the object has not
        self._calling = False  # a control command is in the object
        self._stopped_beside = False  # a stop went to the object while a call was in it
        self._last = Readback(units=options.units)
        self._last_at = -math.inf

    @property
    def address(self) -> str | None:
        """The lab file's, else how the object is made."""
        options = self._options
        given = [repr(one) for one in options.args]
        given += [f"{name}={value!r}" for name, value in sorted(options.arguments.items())]
        if options.address:
            return options.address
        if given:
            return f"{options.object_}({', '.join(given)})"
        return options.object_

    def open(self) -> None:
        """Make the object, afresh where its connection was lost; raises `DriverUnavailable` when that fails."""
        with held_within(self._turns, _OPEN_WAITS_S) as free:
            if not free:
                raise DriverUnavailable(f"{self._options.object_} is busy with a call that does not end")
            if self._lost is not None and self._wrong is None:
                self._discard()
                self._object = self._made()
                self._wrong = self._mistake()
                self._lost = self._wrong
            if self._wrong is not None:  # no object made again would have it
                raise DriverUnavailable(self._wrong)

    def close(self) -> None:
        """Let go of the object: call its `close`, if the lab file names one."""
        with self._turn(_OPEN_WAITS_S):
            self._lost = "it is closed"
            self._discard()
        if self._loop is not None:
            self._loop.end()

    def readback(self) -> Readback:
        """Ask for every reading; while a call is in the object, return the last ones, moving if it is a control one."""
        if self._lost is not None:
            raise DriverUnavailable(self._lost)
        with self._turn(_READBACK_WAITS_S) as free:
            if free:
                self._last = super().readback()
                self._last_at = time.monotonic()
                return self._last
        stale = None
        if not (time.monotonic() - self._last_at < _STALE_S):
            stale = _STALE
        moving = self._last.moving
        if self._calling:
            moving = True
        return replace(self._last, moving=moving, error=stale)

    def ask(self, name: str, entry: PythonReading) -> Scalar | None:
        """Return a reading, None where the object has none now; raises `DriverUnavailable` or `CallFailed`."""
        with self._turn(), self._naming_failure(entry.get):
            value = as_scalar(self._result(partial(_read, entry.get)), entry.type, self._options.units_of(name))
            if value is None and name == "moving":
                raise UnusableAnswer("it answered nothing, so that nobody knows whether it moves")
        if entry.invert and value is not None:
            return not value
        return value

    def inquire(self, entry: PythonObserve, parameters: Mapping[str, Scalar]) -> object:
        """Carry out an observe command."""
        with self._turn(), self._naming_failure(entry.path):
            return as_type(self._result(partial(_call, entry, parameters)), entry.answer, entry.units)

    def perform(self, entry: PythonControl, parameters: Mapping[str, Scalar], token: StopToken) -> object:
        """Carry out a control command, and wait for the status that it returns, if it returns one."""
        with self._turn():
            token.raise_if_stopped()
            losses = self._losses
            with self._in_call(entry.deadline_s, token) as is_over, self._naming_failure(entry.path):
                result = self._result(partial(_call, entry, parameters), is_over)
        if self._await(result, entry, token, losses):
            return None
        with self._naming_failure(entry.path):
            return as_type(result, entry.answer, entry.units)

    def halt(self) -> None:
        """Call the object's stop, beside a call that does not end at once; raises `DriverUnavailable`."""
        path = self._options.stop
        if path is None or not self.has_stop:  # after a deadline, too
            return
        with self._turn(_STOP_WAITS_S) as free:
            made = self._object
            self._stopped_beside = self._stopped_beside or self._calling or not free
            if made is None:
                raise DriverUnavailable(f"{self._options.object_} cannot be stopped: {self._lost}")
            try:
                self._result_of(partial(_read, path, made))
            except Exception as wrong:
                raise DriverUnavailable(f"{path} failed: {sentence_of(wrong)}") from wrong

    def _turn(self, timeout_s: float = -1) -> AbstractContextManager[bool]:
        """Wait for one's turn with the object; False where it did not come in time."""
        if self._options.concurrent:
            return nullcontext(enter_result=True)
        return held_within(self._turns, timeout_s)

    @contextmanager
    def _in_call(self, deadline_s: float, token: StopToken) -> Iterator[Callable[[], bool]]:
        """Bound a control command that is in the object, and let a stop that came meanwhile be its outcome.

        Gives what tells whether a stop or the deadline came.
        """
        expired = threading.Event()

        def is_over() -> bool:
            return self.is_stopped(token) or expired.is_set()

        timer = threading.Timer(deadline_s, self._expire, [expired])
        timer.daemon = True
        self._stopped_beside = False
        self._calling = True
        timer.start()
        failed: Exception | None = None
        try:
            yield is_over
        except Exception as wrong:  # noqa: BLE001 - raised below, unless a stop has made it
            failed = wrong
        finally:
            timer.cancel()
            self._calling = False
        if is_over() and self._stopped_again():
            if self.is_stopped(token):
                raise MotionStopped(self._stopped_now()) from failed
            raise self._too_late(deadline_s) from failed
        if failed is not None:
            raise failed

    def _expire(self, expired: threading.Event) -> None:
        expired.set()
        with suppress(DriverUnavailable):
            self.halt()

    def _too_late(self, deadline_s: float) -> MoveFailed:
        stopped = ""
        if self.has_stop:
            stopped = f" and was stopped{self._at()}"
        return MoveFailed(f"was not done after {deadline_s:.12g} s{stopped}")

    def _stopped_again(self) -> bool:
        """Stop once more where a stop may have overtaken the order; False when the object has no stop to take."""
        if not self._stopped_beside and not self._options.concurrent:
            return True
        try:
            self.halt()
        except DriverUnavailable:
            return False
        return True

    def _await(self, result: object, entry: PythonControl, token: StopToken, losses: int) -> bool:
        """Wait until a status that a call returned is over, keeping nobody from the object; False if it is none."""
        pending = pending_of(result)
        if pending is None:
            return False
        until = time.monotonic() + entry.deadline_s
        pending.call_when_over(lambda _: self._wake())

        def is_over() -> bool:
            return pending.done() or self.is_stopped(token) or self._losses != losses or time.monotonic() >= until

        with self._changed:
            while not is_over():
                self._changed.wait(_POLL_S)
        if self.is_stopped(token):
            raise MotionStopped(self._stopped_now())
        if self._losses != losses:
            raise DriverUnavailable(f"lost during {entry.path}: {self._lost}")
        if not pending.done():
            self.halt()
            raise self._too_late(entry.deadline_s)
        error = pending.error()
        if error is not None:
            with self._naming_failure(entry.path):
                raise error
        return True

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _stopped_now(self) -> str:
        """Return where a stop ended a call, and that it did not end the motion, where the object says so."""
        moving = False
        with suppress(Exception):  # what cannot be read now is left out of the sentence
            moving = "moving" in self._readings and self._reading("moving") is True
        return stopped_text(self._at(), moving=moving)

    def _at(self) -> str:
        try:
            return self._where()
        except Exception:  # noqa: BLE001 - what cannot be read now is left out of the sentence
            return ""

    def _result(self, work: Callable[[object], object], ends: Callable[[], bool] | None = None) -> object:
        made = self._object
        if made is None or self._lost is not None:
            raise DriverUnavailable(self._lost or "it is not connected")
        return self._result_of(partial(work, made), ends)

    def _result_of(self, work: Callable[[], object], ends: Callable[[], bool] | None = None) -> object:
        if self._loop is not None:
            return self._loop.run(work, ends or (lambda: False))
        result = work()
        if inspect.iscoroutine(result):
            result.close()
            raise UnusableAnswer("it is a coroutine: write asyncio = true")
        return result

    @contextmanager
    def _naming_failure(self, path: str) -> Iterator[None]:
        """Turn what the object raises into a sentence, and take note where it means that the connection is lost."""
        try:
            yield
        except DriverUnavailable:
            raise
        except UnusableAnswer as wrong:
            raise CallFailed(f"{path}: {wrong}") from wrong
        except Exception as wrong:
            if not self._means_lost(wrong):
                raise CallFailed(f"{path} failed: {sentence_of(wrong)}") from wrong
            lost = f"{path} failed, and the connection is taken for lost: {sentence_of(wrong)}"
            self._lost = lost
            self._losses += 1
            self._wake()
            raise DriverUnavailable(lost) from wrong

    def _means_lost(self, error: Exception) -> bool:
        names = {one.__name__ for one in type(error).__mro__}
        return bool(names & {*_LOST, *self._options.lost_on}) and not names & _NOT_LOST

    def _made(self) -> object:
        options = self._options
        try:
            made = self._result_of(partial(self._make, *options.args, **options.arguments))
        except Exception as wrong:
            raise DriverUnavailable(f"{options.object_} cannot be made: {sentence_of(wrong)}") from wrong
        if options.open is not None:
            try:
                self._result_of(partial(_read, options.open, made))
            except Exception as wrong:
                self._object = made
                self._discard()
                raise DriverUnavailable(f"{options.object_}: {options.open} failed: {sentence_of(wrong)}") from wrong
        return made

    def _discard(self) -> None:
        made = self._object
        self._object = None
        path = self._options.close
        if made is not None and path is not None:
            # What is lost can often not be closed either, and nothing better can be done about it.
            with suppress(Exception):
                self._result_of(partial(_read, path, made))

    def _mistake(self) -> str | None:
        """Return the first thing that the lab file names and the object has not."""
        try:
            refuse_misnamed(self._options, self._object)
        except NoSuch as wrong:
            return f"{self._options.object_}: {wrong}"
        return None


def _read(path: str, made: object) -> object:
    """Return a property, or what a method without parameters returns."""
    found = attribute(made, path)
    if callable(found):
        return found()
    return found


def _call(entry: PythonControl | PythonObserve, parameters: Mapping[str, Scalar], made: object) -> object:
    if entry.call is not None:
        method = attribute(made, entry.call)
        assert callable(method)  # `open` has seen that
        return method(**{**entry.fixed, **parameters})
    if isinstance(entry, PythonControl) and entry.set is not None:
        (value,) = parameters.values()
        assign(made, entry.set, value)
        return None
    return _read(entry.path, made)

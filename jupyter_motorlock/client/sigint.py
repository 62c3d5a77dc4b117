"""Hears of every interrupt (SIGINT) in a thread of its own, whatever handler is in place and whatever the program does.

Python runs the handler of a signal in the main thread, and everybody puts in their own: ipykernel for each cell,
asyncio, the RunEngine of bluesky. Before that, the interpreter writes the number of the signal to the process's one
*wakeup descriptor*. That is where this listens; who had the descriptor before is told, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

HANDLED_WITHIN_S = 4.0  # a stop that reaches nobody is given up sooner
_MARK = b"\x00"  # no signal has this number


class SigintListener:
    """Calls those who subscribed, in its thread, at each interrupt; on systems without such descriptors it is deaf."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._subscribers: list[Callable[[], None]] = []
        self._read_end = self._write_end = -1
        self._earlier = -1  # the descriptor that somebody else had set, and what it was then
        self._earlier_inode = -1
        self._marks: list[threading.Event] = []
        self._pid = os.getpid()

    @property
    def is_armed(self) -> bool:
        """Whether an interrupt is heard, as far as nobody has taken the descriptor since `arm`."""
        return self._write_end >= 0 and self._pid == os.getpid()

    def subscribe(self, on_interrupt: Callable[[], None]) -> Callable[[], None]:
        """Call `on_interrupt` at each interrupt from now on; return what ends that."""
        with self._guard:
            self._subscribers.append(on_interrupt)
        self.arm()

        def unsubscribe() -> None:
            with self._guard:
                if on_interrupt in self._subscribers:
                    self._subscribers.remove(on_interrupt)
                if not self._subscribers:
                    self._disarm()

        return unsubscribe

    def arm(self) -> None:
        """Take the wakeup descriptor, also again where somebody has taken it; only the main thread can."""
        if os.name != "posix" or threading.current_thread() is not threading.main_thread():
            return
        with self._guard:
            if not self._subscribers or self._pid != os.getpid():
                return
            if self._write_end < 0:
                self._read_end, self._write_end = os.pipe()
                os.set_blocking(self._write_end, False)
                threading.Thread(
                    target=self._listen, args=(self._read_end,), name="motorlock-sigint", daemon=True
                ).start()
            present = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
            if present != self._write_end:
                self._earlier = present
                self._earlier_inode = _inode(present)

    def wait_until_handled(self) -> None:
        """Return when every interrupt that has happened so far was handled, or after `HANDLED_WITHIN_S`."""
        handled = threading.Event()
        with self._guard:
            if not self.is_armed:
                return
            self._marks.append(handled)
            with suppress(OSError):
                os.write(self._write_end, _MARK)
        handled.wait(HANDLED_WITHIN_S)

    def forget_in_fork(self) -> None:
        """Leave the interrupts of the parent alone: the child of a fork has the same pipe."""
        self._guard = threading.RLock()
        self._subscribers = []
        if self._write_end >= 0:
            with suppress(ValueError):  # not in the main thread
                signal.set_wakeup_fd(-1)

    def _disarm(self) -> None:
        if self._write_end < 0 or threading.current_thread() is not threading.main_thread():
            return  # the thread sleeps on, and is used again by the next subscriber
        present = signal.set_wakeup_fd(-1)
        others = present if present != self._write_end else self._earlier
        if others >= 0 and (others != self._earlier or _inode(others) == self._earlier_inode):
            signal.set_wakeup_fd(others, warn_on_full_buffer=False)
        os.close(self._write_end)
        self._write_end = self._earlier = -1

    def _listen(self, read_end: int) -> None:
        while data := os.read(read_end, 64):
            self._tell_who_had_it(data.replace(_MARK, b""))
            for number in data:
                if number == signal.SIGINT:
                    self._tell_subscribers()
                elif number == _MARK[0]:
                    self._marks.pop(0).set()
        os.close(read_end)

    def _tell_subscribers(self) -> None:
        with self._guard:
            subscribers = tuple(self._subscribers)
        for subscriber in subscribers:
            with suppress(Exception):  # the next one is to be told all the same
                subscriber()

    def _tell_who_had_it(self, data: bytes) -> None:
        """Write the signals where they would have gone, unless that descriptor is somebody else's by now."""
        if data and self._earlier >= 0 and _inode(self._earlier) == self._earlier_inode:
            with suppress(OSError):
                os.write(self._earlier, data)


def _inode(descriptor: int) -> int:
    try:
        if descriptor >= 0:
            return os.fstat(descriptor).st_ino
        return -1
    except OSError:
        return -1


_listeners: list[SigintListener] = []  # at most one: a process has one wakeup descriptor


def listener() -> SigintListener:
    """Return this process's listener."""
    if not _listeners:
        _listeners.append(SigintListener())
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_listeners[0].forget_in_fork)
    return _listeners[0]

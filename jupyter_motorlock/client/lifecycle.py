"""How a kernel makes sure that the authority learns of its end: the keeper, the exit hooks and the fork guard."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import FrameType

from jupyter_motorlock.client import keeper

log = logging.getLogger("jupyter_motorlock")

_SECRETS = ("MOTORLOCK_TOKEN", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN")
LAST_WORD_S = 0.8  # a dying kernel has 2.5 s in all for its exit hooks
_BUSY, _IDLE = (json.dumps({"busy": busy}).encode() + b"\n" for busy in (True, False))  # each cell sends both


class KeeperProcess:
    """The kernel's end of the keeper process, which `ensure_running` starts, also again when it died.

    `fd` is the descriptor of the pipe to it, -1 where there is none.
    """

    def __init__(self, config: Mapping[str, str], *, busy: bool) -> None:
        self._config = dict(config)
        self.fd = -1
        self._busy = busy
        self._closed = self._unheard = False
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()  # a signal handler may come while this thread writes

    def ensure_running(self) -> None:
        """Start the process where none runs, unless it ended because the session is over.

        It gets a session of its own: no interrupt and no kill of the group reaches it.
        """
        with self._lock:
            if self._closed or (self._process is not None and self._process.poll() in (None, keeper.EXIT_OVER)):
                if self._unheard:  # the pipe was full
                    self.set_busy(self._busy)
                return
            if self._process is not None:
                log.warning("the keeper of this kernel ended with status %s; another is started", self._process.poll())
            self._close_pipe()
            with contextlib.suppress(OSError), contextlib.ExitStack() as lent:  # if it fails: at the next occasion
                if (process := _this_process()) >= 0:
                    lent.callback(os.close, process)
                end, self.fd = os.pipe()
                lent.callback(os.close, end)
                if hasattr(os, "set_blocking"):
                    os.set_blocking(self.fd, False)  # a stopped keeper must never block a cell
                # Before it runs, so that it knows what to say even if this process is killed in the meantime.
                self._write({**self._config, "process": process, "busy": self._busy})
                pass_fds = [process] if process >= 0 else []
                self._process = subprocess.Popen(  # noqa: S603 - this Python runs our own file
                    [sys.executable, "-I", keeper.__file__],
                    stdin=end,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    pass_fds=pass_fds,
                    cwd=os.sep,
                    env={name: value for name, value in os.environ.items() if name not in _SECRETS},
                )

    def set_busy(self, busy: bool) -> None:
        """Tell the keeper whether a cell runs; never waits."""
        self._busy = busy
        with self._lock:
            self._send(_BUSY if busy else _IDLE)

    def end(self, gone: str | None = None) -> None:
        """Let the keeper end: with nothing to do, or after it has said `gone` in our place."""
        with self._lock:
            self._closed = True
            self._write({"gone": gone} if gone else {"bye": True})

    def say_gone(self, reason: str) -> None:
        """Say once, with a short timeout, that the kernel ends; where that fails, the keeper goes on trying.

        Uses a plain connection of its own: a signal may have come while this thread was inside `requests`.
        """
        if self._closed:
            return
        try:
            keeper.post(self._config, "gone", {"reason": reason}, LAST_WORD_S)
        except OSError:
            return
        except keeper.SessionOver:
            pass
        self.end()

    def wait(self, timeout_s: float) -> None:
        """Wait for the process to end, so that no zombie is left; give up after `timeout_s`."""
        with self._lock:
            self._close_pipe()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it is still trying to deliver a notice
                self._process.wait(timeout_s)

    def _close_pipe(self) -> None:
        if self.fd >= 0:
            fd = self.fd
            self.fd = -1
            os.close(fd)

    def _write(self, line: Mapping[str, object]) -> None:
        self._send(json.dumps(line).encode() + b"\n")

    def _send(self, line: bytes) -> None:
        try:
            os.write(self.fd, line)
            self._unheard = False
        except OSError:  # it is dead or stopped with a full pipe, both of which `ensure_running` sees to
            self._unheard = True


def _this_process() -> int:
    """Return a descriptor of this process, which becomes readable when it ends, or -1 where there are none."""
    try:
        return os.pidfd_open(os.getpid())
    except (AttributeError, OSError):  # no Linux, or one before 5.3
        return -1


class ExitHooks:
    """Calls `say_gone` when Python exits or SIGTERM comes, and `disown` in a fork, which must not speak for the kernel.

    Both are called in a signal handler or after a fork, and must take no lock.
    """

    def __init__(self, say_gone: Callable[[str], None], disown: Callable[[], None]) -> None:
        self._say_gone = say_gone
        self._disown = disown
        self._pid = -1
        self._mask: set[int] = set()

    def install(self) -> None:
        """Install what is not installed yet; the signal handler only from the main thread and over the default."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            atexit.register(self._at_exit)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=_weakly(self._before_fork),
                    after_in_parent=_weakly(self._forked),
                    after_in_child=_weakly(self._in_fork),
                )
        _exchange(signal.SIG_DFL, self._at_sigterm)

    def remove(self) -> None:
        """Take the hooks out again; the fork guard stays, and does nothing for a session that is closed."""
        atexit.unregister(self._at_exit)
        self._pid = -1
        _exchange(self._at_sigterm, signal.SIG_DFL)

    def _at_exit(self) -> None:
        self._end("the kernel was shut down or restarted")

    def _at_sigterm(self, signum: int, _frame: FrameType | None) -> None:
        self._end("the kernel was terminated (SIGTERM)")
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)

    def _end(self, reason: str) -> None:
        if os.getpid() == self._pid:
            self._say_gone(reason)

    def _before_fork(self) -> None:
        """Hold SIGTERM back: Python forgets one that reaches a fork before it has its own signals in order."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _forked(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _in_fork(self) -> None:
        """Let go of the kernel's session and connections, so that the kernel's death closes them."""
        _exchange(self._at_sigterm, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        self._disown()


def replace_descriptors(descriptors: Iterable[int]) -> None:
    """Let descriptors (-1 is none) lead nowhere.

    They are replaced, not closed: whatever still refers to them would later close one of somebody else's under the
    same number. Nothing is shut down: that would end the kernel's own connection.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        if descriptor >= 0:
            os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)


def _exchange(present: object, handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Let `handler` answer SIGTERM where `present` does; only the main thread may say so."""
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) == present:
        signal.signal(signal.SIGTERM, handler)


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Return a hook that calls `method` while its object lives: fork hooks cannot be taken out again."""
    known = weakref.WeakMethod(method)

    def hook() -> None:
        if (alive := known()) is not None:
            alive()

    return hook

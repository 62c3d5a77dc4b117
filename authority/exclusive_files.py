"""One authority for each data directory and each device of a machine: who has it holds a lock on a file.

The files of devices lie where all users of the machine find them, may be locked by each of them whatever the mask of
who made them, and are removed by who holds them. Several users can write there, so no link is followed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType

_SHARED = Path("/run/lock")
_STICKY_AND_WRITABLE = 0o1777
_FOR_ALL_USERS = 0o666


class AlreadyInUse(Exception):
    """Another process of this machine has it, or keeps us from seeing whether; the text is one sentence."""


class Held:
    """A lock on the file at `path`, until `close` or the end of the process."""

    def __init__(self, path: Path, descriptor: int, *, removes: bool) -> None:
        """Take over the descriptor, on which the lock is; with `removes` the file goes with the lock."""
        self._path = path
        self._descriptor = descriptor
        self._removes = removes

    def close(self) -> None:
        """Give the lock back."""
        if self._removes:
            # While the lock is held: who opened the file meanwhile sees that it is gone, and looks again.
            with contextlib.suppress(OSError):  # another user made it, or the system keeps open files
                self._path.unlink()
        os.close(self._descriptor)

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lock_file(path: Path, whose: str, *, removes: bool = False) -> Held:
    """Lock the file at `path` for as long as what is returned is open.

    Raises `AlreadyInUse`, and `OSError` as `open` does.
    """
    while True:
        descriptor = _opened(path, whose)
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise AlreadyInUse(f"{whose} is in use by another authority; stop that one first.") from None
        if _is_still_at(path, descriptor):
            return Held(path, descriptor, removes=removes)
        os.close(descriptor)  # who held it has just removed it: the lock is on a file that nobody else will find


def lock_device(address: str, equipment: str) -> Held:
    """Hold the device at `address` against every other authority of this machine, or raise `AlreadyInUse`."""
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    return lock_file(shared_directory() / f"motorlock-{name}.lock", f"The device {address} ({equipment})", removes=True)


def shared_directory() -> Path:
    """Return where every user of this machine may make a lock file: `/run/lock` where it is so, else the system's."""
    with contextlib.suppress(OSError):
        if stat.S_IMODE(_SHARED.stat().st_mode) == _STICKY_AND_WRITABLE:
            return _SHARED
    return Path(tempfile.gettempdir())


def _opened(path: Path, whose: str) -> int:
    try:
        descriptor = _open_or_make(path)
    except PermissionError:
        raise AlreadyInUse(
            f"{whose} cannot be held: its lock file {path} belongs to another user, who lets nobody read it; "
            "ask them to remove it while no authority of theirs runs."
        ) from None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise AlreadyInUse(_no_file(path, whose)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AlreadyInUse(_no_file(path, whose))
    return descriptor


def _no_file(path: Path, whose: str) -> str:
    return f"{whose} cannot be held: {path} is not a plain file; see who made it, and remove it."


def _open_or_make(path: Path) -> int:
    # Without waiting: what lies there may be a pipe that nobody writes into.
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        try:
            # To lock it, reading is enough; and in a shared directory Linux lets nobody make another user's file anew.
            return os.open(path, os.O_RDONLY | careful)
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | careful, _FOR_ALL_USERS)
            break
        except FileExistsError:  # somebody made it in between, and may remove it again
            continue
    with contextlib.suppress(OSError, AttributeError):
        os.fchmod(descriptor, _FOR_ALL_USERS)  # whatever the mask says
    return descriptor


def _is_still_at(path: Path, descriptor: int) -> bool:
    held = os.fstat(descriptor)
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)


def _lock(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

"""One authority for each data directory and each device of a machine: who has it holds a lock on a file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO


class InUse(Exception):
    """Another process of this machine has it; the text is one sentence."""


def hold(path: Path, whose: str) -> IO[str]:
    """Lock the file at `path` for as long as the returned handle is open, or raise `InUse`."""
    handle = _opened(path)
    try:
        _lock(handle)
    except OSError:
        handle.close()
        raise InUse(f"{whose} is in use by another authority; stop that one first.") from None
    return handle


def hold_device(address: str, equipment: str) -> IO[str]:
    """Hold the device at `address` against every other authority of this machine, or raise `InUse`."""
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    return hold(Path(tempfile.gettempdir()) / f"motorlock-{name}.lock", f"The device {address} ({equipment})")


def _opened(path: Path) -> IO[str]:
    try:
        return open(path, "a+", encoding="utf-8")
    except PermissionError:  # another user made it: to lock it, reading is enough
        return open(path, encoding="utf-8")


def _lock(handle: IO[str]) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

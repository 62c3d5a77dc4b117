"""A copy of the data, taken while the authority serves: whole, of one instant, and ready to be served.

It reads the database beside the authority, as SQLite allows: no commit waits for it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from .store import DATABASE


class BackupFailed(Exception):
    """There is no copy; the text is one sentence without its full stop."""


def back_up(data: Path, target: Path) -> Path:
    """Copy the database of the data directory `data` into the new directory `target`; return the copy's path."""
    source = data / DATABASE
    copy = target / DATABASE
    if not source.is_file():
        raise BackupFailed(f"{source} does not exist; name the data directory of the authority with --data")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise BackupFailed(f"{target} is not empty; name a directory that is new")
        unfinished = copy.with_suffix(".unfinished")
        _copy_whole(source, unfinished)
        os.replace(unfinished, copy)
    except OSError as error:
        raise BackupFailed(f"{error.filename} cannot be used: {error.strerror}") from None
    except sqlite3.Error as error:
        raise BackupFailed(f"{source} cannot be copied: {error}") from None
    return copy


def _copy_whole(source: Path, target: Path) -> None:
    """Copy, or leave no file behind: what is left would fill a full disk, and keep the next try from its directory."""
    try:
        _copy(source, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _copy(source: Path, target: Path) -> None:
    # It holds the hashes of the sessions' secrets: for the eyes of its owner only.
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=60.0)
    writing = sqlite3.connect(target)
    try:
        reading.backup(writing)
        found = writing.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(f"it is damaged ({' '.join(found.split())})")
        # One file, without a log beside it; the authority that serves it makes one again.
        writing.execute("PRAGMA journal_mode=DELETE")
    finally:
        writing.close()
        reading.close()

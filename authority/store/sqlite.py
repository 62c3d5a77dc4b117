"""The embedded store: SQLite in WAL mode, synchronous=FULL, one row per entry and one per event."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

from authority.ports import Batch, CommandRow, EventRow, StoredState

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS equipment (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, wall REAL NOT NULL, equipment TEXT, session TEXT, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_equipment ON events (equipment, seq) WHERE equipment IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_of_session ON events (session, seq) WHERE session IS NOT NULL;
CREATE TABLE IF NOT EXISTS commands (
    key TEXT PRIMARY KEY, digest BLOB NOT NULL, wall REAL NOT NULL, reply BLOB) WITHOUT ROWID;
"""
_VERSION = "1"
WAIT_AT_OPEN_S = 10.0
WAIT_FOR_OTHERS_S = 60.0
"""How long a commit waits for another program that has locked the database, before the store has failed."""
_PAGES_A_PIECE = 1000
_LOG_BYTES_KEPT = 8 * 1024 * 1024


def _create_for_owner_only(path: Path) -> None:
    # It holds what people noted, and the hashes of their secrets. The files beside it get the same mode from SQLite.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError:
        return  # it is there already, or SQLite says better why it cannot be


def _refuse_another(db: sqlite3.Connection, path: Path) -> None:
    """Look before anything is written: what another version made must stay as it is."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return
    row = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is not None and row[0] != _VERSION:
        raise sqlite3.DatabaseError(f"{path} was written by another motorlock (schema {row[0]}, not {_VERSION})")


def _refuse_damage(db: sqlite3.Connection, path: Path) -> None:
    """Find damage now, in one sentence, and not in the middle of somebody's measurement."""
    try:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:  # locked, or the disk: no damage
        raise
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise sqlite3.DatabaseError(f"{path} is damaged ({' '.join(found.split())}); restore a backup")


def _return_free_pages_later(db: sqlite3.Connection) -> None:
    """Let `forget` return disk; a database from before that is rewritten once, which needs as much disk again."""
    incremental = 2
    if db.execute("PRAGMA auto_vacuum").fetchone()[0] == incremental:
        return
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if db.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
        with contextlib.suppress(sqlite3.OperationalError):  # no room for it: it serves as well as it did
            db.execute("VACUUM")


class SqliteStore:
    """Implements `ports.Store`. One connection writes, in the writer's thread; another reads, on the loop.

    Not in SQLite's exclusive locking mode: that allows one connection only, and a read on the loop would then wait for
    the disk behind each commit. Another program may look into the file, and be waited for when it has locked it.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the database; raises `sqlite3.Error` when it cannot be used, and then leaves it as it is."""
        self._path = path
        self._files: dict[Path, tuple[int, int]] = {}
        self._replayer: sqlite3.Connection | None = None
        _create_for_owner_only(path)
        self._writer = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=WAIT_AT_OPEN_S)
        try:
            _refuse_another(self._writer, path)
            _refuse_damage(self._writer, path)
            _return_free_pages_later(self._writer)
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.execute(f"PRAGMA journal_size_limit={_LOG_BYTES_KEPT}")
            self._writer.executescript(_SCHEMA)
            self._reader = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1.0)
            self.meta("schema", _VERSION)
        except sqlite3.Error:
            self._writer.close()
            raise
        self._writer.execute(f"PRAGMA busy_timeout={round(WAIT_FOR_OTHERS_S * 1000)}")

    def load(self) -> StoredState:
        """Return all entries, the last sequence number and the last event's time."""
        seq, wall = self._reader.execute("SELECT coalesce(max(seq), 0), coalesce(max(wall), 0) FROM events").fetchone()
        return StoredState(
            seq=seq,
            wall=wall,
            equipment=dict(self._reader.execute("SELECT id, body FROM equipment")),
            sessions=dict(self._reader.execute("SELECT id, body FROM sessions")),
        )

    def write(self, batch: Batch) -> None:
        """Put all of `batch` on disk in one commit."""
        db = self._writer
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany("INSERT OR REPLACE INTO equipment VALUES (?, ?)", batch.equipment.items())
            kept = [(k, v) for k, v in batch.sessions.items() if v is not None]
            gone = [(k,) for k, v in batch.sessions.items() if v is None]
            db.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?)", kept)
            db.executemany("DELETE FROM sessions WHERE id = ?", gone)
            db.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
                [(e.seq, e.wall, e.equipment, e.session, e.body) for e in batch.events],
            )
            db.executemany(
                "INSERT OR REPLACE INTO commands VALUES (?, ?, ?, ?)",
                [(c.key, c.digest, c.wall, c.reply) for c in batch.commands],
            )
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self._refuse_lost_files()

    def _refuse_lost_files(self) -> None:
        """Raise `OSError` where the files were deleted or exchanged: SQLite writes on into what nobody finds again."""
        for path in (self._path, Path(f"{self._path}-wal")):
            found = os.stat(path)
            same = (found.st_dev, found.st_ino)
            if self._files.setdefault(path, same) != same:
                raise OSError(errno.ESTALE, "the file was exchanged for another one", str(path))

    def events(
        self, *, equipment: str | None = None, session: str | None = None, after: int | None = None, limit: int
    ) -> list[EventRow]:
        """Return the newest `limit` events, or the first `limit` after a sequence number; oldest first."""
        where = ["1"]
        values = []
        for column, value in (("equipment", equipment), ("session", session)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        order = "DESC"
        if after is not None:
            order = "ASC"
        query = f"SELECT seq, wall, equipment, session, body FROM events WHERE {' AND '.join(where)}"  # noqa: S608
        rows = self._reader.execute(f"{query} AND seq > ? ORDER BY seq {order} LIMIT ?", (*values, after or 0, limit))
        found = [EventRow(*row) for row in rows]
        if after is not None:
            return found
        return found[::-1]

    def replay(self, *, after: int, limit: int) -> list[EventRow]:
        """Return the first `limit` events after a sequence number, none where some that follow it are forgotten.

        For one thread that does nothing else: it reads on a connection of its own.
        """
        if self._replayer is None:
            self._replayer = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        query = "SELECT seq, wall, equipment, session, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = [EventRow(*row) for row in self._replayer.execute(query, (after, limit))]
        if rows and rows[0].seq == after + 1:
            return rows
        return []

    def command(self, key: str) -> CommandRow | None:
        """Return the command recorded under a key."""
        row = self._reader.execute("SELECT key, digest, wall, reply FROM commands WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        return CommandRow(*row)

    def forget(self, *, events_before: float, commands_before: float, at_most: int = 5000) -> bool:
        """Drop some of what happened before these times, and return disk; return whether there is more to do.

        The newest event always stays: sequence numbers are not reused. The rest is done in small pieces, between which
        commits find room.
        """
        db = self._writer
        found = db.execute("SELECT seq FROM events WHERE wall >= ? ORDER BY seq LIMIT 1", (events_before,)).fetchone()
        if found is None:
            first_kept = db.execute("SELECT max(seq) FROM events").fetchone()
        else:
            first_kept = found
        events = db.execute(
            "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq < ? ORDER BY seq LIMIT ?)",
            (first_kept[0], at_most),
        )
        commands = db.execute(
            "DELETE FROM commands WHERE key IN (SELECT key FROM commands WHERE wall < ? LIMIT ?)",
            (commands_before, at_most),
        )
        # What is freed is used again by what comes; only what is more than that goes back to the disk.
        free_pages = db.execute("PRAGMA freelist_count").fetchone()[0]
        if free_pages > _PAGES_A_PIECE:
            # `execute` takes one step of a statement without rows, and this one frees one page at each step.
            db.executescript(f"PRAGMA incremental_vacuum({_PAGES_A_PIECE})")
        return events.rowcount == at_most or commands.rowcount == at_most or free_pages > 2 * _PAGES_A_PIECE

    def meta(self, key: str, default: str) -> str:
        """Return the value kept under `key`, which is `default` from the first time on."""
        self._writer.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, default))
        value: str = self._writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]
        return value

    def set_meta(self, key: str, value: str) -> None:
        """Keep another value under `key`."""
        self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def close(self) -> None:
        """Close all connections."""
        if self._replayer is not None:
            self._replayer.close()
        self._reader.close()
        self._writer.close()

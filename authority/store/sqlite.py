"""The embedded store: SQLite in WAL mode, synchronous=FULL, one row per entry and one per event."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from authority.ports import Batch, CommandRow, EventRow, Kept

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


def _refuse_another(db: sqlite3.Connection, path: Path) -> None:
    """Look before anything is written: what another version made must stay as it is."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return
    row = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is not None and row[0] != _VERSION:
        raise sqlite3.DatabaseError(f"{path} was written by another motorlock (schema {row[0]}, not {_VERSION})")


class SqliteStore:
    """Implements `ports.Store`. One connection writes, in the writer's thread; another reads, on the loop."""

    def __init__(self, path: Path) -> None:
        """Open or create the database; raises `sqlite3.Error` when it cannot be used, and then leaves it as it is."""
        self._path = path
        self._replayer: sqlite3.Connection | None = None
        self._writer = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            _refuse_another(self._writer, path)
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.executescript(_SCHEMA)
            self._reader = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except sqlite3.Error:
            self._writer.close()
            raise
        self.meta("schema", _VERSION)

    def load(self) -> Kept:
        """Return all entries, the last sequence number and the last event's time."""
        seq, wall = self._reader.execute("SELECT coalesce(max(seq), 0), coalesce(max(wall), 0) FROM events").fetchone()
        return Kept(
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

    def events(
        self, *, equipment: str | None = None, session: str | None = None, after: int | None = None, limit: int
    ) -> list[EventRow]:
        """Return the newest `limit` events, or the first `limit` after a sequence number; oldest first."""
        where, values = ["1"], []
        for column, value in (("equipment", equipment), ("session", session)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        order = "ASC" if after is not None else "DESC"
        query = f"SELECT seq, wall, equipment, session, body FROM events WHERE {' AND '.join(where)}"  # noqa: S608
        rows = self._reader.execute(f"{query} AND seq > ? ORDER BY seq {order} LIMIT ?", (*values, after or 0, limit))
        found = [EventRow(*row) for row in rows]
        return found if after is not None else found[::-1]

    def replay(self, *, after: int, limit: int) -> list[EventRow]:
        """Return the first `limit` events after a sequence number, none where some that follow it are forgotten.

        For one thread that does nothing else: it reads on a connection of its own.
        """
        if self._replayer is None:
            self._replayer = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        query = "SELECT seq, wall, equipment, session, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = [EventRow(*row) for row in self._replayer.execute(query, (after, limit))]
        return rows if rows and rows[0].seq == after + 1 else []

    def first_seq(self) -> int:
        """Return the sequence number of the oldest event that is kept."""
        first: int = self._reader.execute("SELECT coalesce(min(seq), 0) FROM events").fetchone()[0]
        return first

    def command(self, key: str) -> CommandRow | None:
        """Return the command recorded under a key."""
        row = self._reader.execute("SELECT key, digest, wall, reply FROM commands WHERE key = ?", (key,)).fetchone()
        return None if row is None else CommandRow(*row)

    def forget(self, *, events_before: float, commands_before: float) -> None:
        """Drop what happened before these times, but never the newest event: sequence numbers are not reused."""
        newest = "(SELECT max(seq) FROM events)"
        self._writer.execute(f"DELETE FROM events WHERE wall < ? AND seq < {newest}", (events_before,))  # noqa: S608
        self._writer.execute("DELETE FROM commands WHERE wall < ?", (commands_before,))

    def meta(self, key: str, default: str) -> str:
        """Return the value kept under `key`, which is `default` from the first time on."""
        self._writer.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, default))
        value: str = self._writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]
        return value

    def close(self) -> None:
        """Close all connections."""
        if self._replayer is not None:
            self._replayer.close()
        self._reader.close()
        self._writer.close()

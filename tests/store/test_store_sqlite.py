"""The store's contract: what was written is there, all of it or nothing of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from authority.exclusive_files import AlreadyInUse, lock_file
from authority.ports import Batch, CommandRow, EventRow, StoredState
from authority.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


def event(seq: int, *, equipment: str | None = "x", session: str | None = "ann", wall: float | None = None) -> EventRow:
    return EventRow(seq, float(seq) if wall is None else wall, equipment, session, b'{"seq":%d}' % seq)


def batch(*events: EventRow, **more: object) -> Batch:
    made = Batch(events=list(events), equipment={}, sessions={}, commands=[])
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_an_empty_store_remembers_nothing(store: SqliteStore) -> None:
    """STORE-3"""
    assert store.load() == StoredState(seq=0, wall=0.0, equipment={}, sessions={})
    assert store.events(limit=10) == []
    assert store.command("k") is None


def test_what_was_written_is_loaded_after_a_restart(path: Path) -> None:
    """STORE-3, STORE-6"""
    first = SqliteStore(path)
    first.write(batch(event(1), event(2), equipment={"x": b"a", "y": b"b"}, sessions={"ann": b"s", "bob": b"t"}))
    first.write(batch(event(3), equipment={"x": b"c"}, sessions={"bob": None}))
    first.close()
    again = SqliteStore(path)
    assert again.load() == StoredState(seq=3, wall=3.0, equipment={"x": b"c", "y": b"b"}, sessions={"ann": b"s"})
    assert again.events(limit=10) == [event(1), event(2), event(3)]
    again.close()


def test_a_write_that_fails_in_the_middle_writes_nothing_of_it(store: SqliteStore) -> None:
    """STORE-1, STORE-7"""
    store.write(batch(event(1), equipment={"x": b"old"}, sessions={"ann": b"s"}))
    twice = batch(event(2), event(1), equipment={"x": b"new"}, sessions={"ann": None, "bob": b"t"})
    with pytest.raises(sqlite3.IntegrityError):
        store.write(twice)
    assert store.load() == StoredState(seq=1, wall=1.0, equipment={"x": b"old"}, sessions={"ann": b"s"})
    store.write(batch(event(2), equipment={"x": b"new"}))
    assert store.load().equipment == {"x": b"new"}


def test_the_process_may_end_without_closing_and_all_that_was_written_is_there(path: Path) -> None:
    """STORE-1, STORE-3"""
    program = (
        "import os, sys; from pathlib import Path; from authority.ports import Batch, EventRow\n"
        "from authority.store.sqlite import SqliteStore\n"
        "SqliteStore(Path(sys.argv[1])).write(Batch([EventRow(7, 1.0, 'x', None, b'e')], {'x': b'a'}, {}, []))\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=60)
    store = SqliteStore(path)
    assert store.load() == StoredState(seq=7, wall=1.0, equipment={"x": b"a"}, sessions={})
    store.close()


def test_without_after_the_newest_events_are_given_oldest_first(store: SqliteStore) -> None:
    """REST-13"""
    store.write(batch(*(event(n) for n in range(1, 8))))
    assert [e.seq for e in store.events(limit=3)] == [5, 6, 7]


def test_with_after_the_first_events_that_follow_are_given_without_a_gap(store: SqliteStore) -> None:
    """PUSH-3"""
    store.write(batch(*(event(n) for n in range(1, 8))))
    pages: list[int] = []
    after = 0
    while found := store.events(after=after, limit=3):
        pages += [e.seq for e in found]
        after = found[-1].seq
    assert pages == [1, 2, 3, 4, 5, 6, 7]


def test_events_are_found_by_equipment_and_by_session(store: SqliteStore) -> None:
    """REST-13"""
    store.write(
        batch(
            event(1, equipment=None, session="ann"),
            event(2, equipment="x", session="ann"),
            event(3, equipment="y", session="ann"),
            event(4, equipment="x", session="bob"),
        )
    )
    assert [e.seq for e in store.events(equipment="x", limit=10)] == [2, 4]
    assert [e.seq for e in store.events(session="ann", limit=10)] == [1, 2, 3]
    assert [e.seq for e in store.events(session="ann", after=1, limit=1)] == [2]


def test_forgetting_drops_what_is_old_and_keeps_the_newest_event(path: Path) -> None:
    """STORE-8"""
    store = SqliteStore(path)
    store.write(batch(event(1, wall=10.0), event(2, wall=20.0), event(3, wall=30.0)))
    store.forget(events_before=25.0, commands_before=0.0)
    assert [e.seq for e in store.events(limit=10)] == [3]
    store.forget(events_before=1000.0, commands_before=0.0)
    store.close()
    again = SqliteStore(path)
    assert again.load().seq == 3, "sequence numbers would be used again"
    again.close()


def test_a_commands_row_is_replaced_by_its_outcome_and_forgotten_after_its_time(store: SqliteStore) -> None:
    """CMD-8, CMD-9"""
    begun, over = CommandRow("k", b"digest", 10.0, None), CommandRow("k", b"digest", 11.0, b'{"outcome":"done"}')
    store.write(batch(commands=[begun]))
    assert store.command("k") == begun
    store.write(batch(commands=[over, CommandRow("late", b"d", 30.0, None)]))
    assert store.command("k") == over
    store.forget(events_before=0.0, commands_before=20.0)
    assert store.command("k") is None
    assert store.command("late") is not None


def test_meta_keeps_the_first_value_for_ever(path: Path) -> None:
    """STORE-3"""
    store = SqliteStore(path)
    assert store.meta("session_key", "first") == "first"
    assert store.meta("session_key", "second") == "first"
    store.close()
    again = SqliteStore(path)
    assert again.meta("session_key", "third") == "first"
    again.close()


def test_a_reader_sees_a_commit_whole_and_never_what_is_not_committed(store: SqliteStore, path: Path) -> None:
    """STORE-1"""
    store.write(batch(event(1)))
    outside = sqlite3.connect(path, isolation_level=None)
    outside.execute("BEGIN IMMEDIATE")
    outside.execute("INSERT INTO events VALUES (2, 2.0, 'x', NULL, x'00')")
    assert [e.seq for e in store.events(limit=10)] == [1]
    outside.execute("COMMIT")
    outside.close()
    assert [e.seq for e in store.events(limit=10)] == [1, 2]


@pytest.fixture
def writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """The connection with which a store writes."""
    connections: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connect_and_remember(*where: Any, **how: Any) -> sqlite3.Connection:
        connections.append(connect(*where, **how))
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", connect_and_remember)
    with closing(SqliteStore(path)):
        yield connections[0]


def test_the_disk_has_a_commit_before_write_returns(writer: sqlite3.Connection) -> None:
    """STORE-1"""
    assert writer.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert writer.execute("PRAGMA synchronous").fetchone()[0] == 2, "2 is FULL: the log is flushed at each commit"


def test_a_commit_waits_a_minute_for_a_program_that_has_locked_the_database(writer: sqlite3.Connection) -> None:
    """STORE-13"""
    assert writer.execute("PRAGMA busy_timeout").fetchone()[0] == 60_000


def test_a_store_written_by_a_newer_motorlock_is_refused_and_left_as_it_is(path: Path) -> None:
    """STORE-9"""
    newer = sqlite3.connect(path)
    newer.executescript(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
        "INSERT INTO meta VALUES ('schema', '2'); CREATE TABLE later (a);"
    )
    newer.close()
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError, match="written by another motorlock"):
        SqliteStore(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(path: Path) -> None:
    """STORE-9"""
    path.write_bytes(b"not a database, but somebody's notes\n" * 100)
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_data_directory_is_held_by_one_process_until_that_ends(tmp_path: Path) -> None:
    """STORE-5"""
    program = (
        "import sys; from pathlib import Path; from authority.exclusive_files import lock_file\n"
        "handle = lock_file(Path(sys.argv[1]), 'The data'); print('held', flush=True); sys.stdin.read()"
    )
    lock = tmp_path / "authority.lock"
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(AlreadyInUse, match="The data is in use by another authority"):
            lock_file(lock, "The data")
        other.kill()
        other.wait(60)
    lock_file(lock, "The data").close()


def many(first: int, count: int) -> Batch:
    """So many events of a kilobyte each."""
    return batch(*(EventRow(n, float(n), "x", None, b"e" * 1000) for n in range(first, first + count)))


def forget_all(store: SqliteStore, before: float) -> int:
    """Forget until there is no more to do; return in how many pieces."""
    pieces = 1
    while store.forget(events_before=before, commands_before=0.0):
        pieces += 1
    return pieces


def test_what_is_forgotten_goes_back_to_the_disk_in_pieces(path: Path) -> None:
    """STORE-12, STORE-8"""
    store = SqliteStore(path)
    store.write(many(1, 20_000))
    store.write(many(20_001, 10))
    assert 3 < forget_all(store, before=20_001.0) < 20
    assert [e.seq for e in store.events(limit=100)] == list(range(20_001, 20_011))
    store.close()
    assert path.stat().st_size < 10_000_000, "20 MB were forgotten"


def test_a_database_from_before_disk_was_returned_is_taken_up_and_returns_it(path: Path) -> None:
    """STORE-12"""
    old = sqlite3.connect(path)
    old.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, wall REAL, equipment TEXT, session TEXT, body BLOB)")
    old.executemany("INSERT INTO events VALUES (?, ?, 'x', NULL, ?)", [(n, n, b"e" * 1000) for n in range(1, 9001)])
    old.commit()
    old.close()
    store = SqliteStore(path)
    forget_all(store, before=9000.0)
    assert [e.seq for e in store.events(limit=9)] == [9000]
    store.close()
    assert path.stat().st_size < 6_000_000


def test_the_log_beside_the_database_becomes_small_again(store: SqliteStore, path: Path) -> None:
    """STORE-12"""
    log = Path(f"{path}-wal")
    store.write(batch(event(1)))
    outside = sqlite3.connect(path, isolation_level=None)
    outside.execute("BEGIN")
    outside.execute("SELECT * FROM events").fetchall()  # while somebody reads, the log cannot begin anew
    store.write(many(2, 20_000))
    assert log.stat().st_size > 20_000_000
    outside.close()
    for n in range(3):
        store.write(many(20_002 + 2000 * n, 2000))
    assert log.stat().st_size <= 8 * 1024 * 1024


def test_a_commit_waits_for_a_program_that_has_locked_the_database(store: SqliteStore, path: Path) -> None:
    """STORE-13"""
    outside = sqlite3.connect(path, isolation_level=None)
    outside.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.write, batch(event(1)))
        assert store.events(limit=1) == [], "who reads waits for nobody"
        outside.execute("ROLLBACK")
        writing.result(60)
    outside.close()
    assert [e.seq for e in store.events(limit=1)] == [1]


def test_a_damaged_database_is_refused(path: Path) -> None:
    """STORE-14"""
    store = SqliteStore(path)
    store.write(many(1, 2000))
    store.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = b"\xa5" * 20_000
    path.write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError):
        SqliteStore(path)
    assert path.read_bytes() == bytes(content)


@pytest.mark.parametrize("name", ["motorlock.sqlite3", "motorlock.sqlite3-wal"])
@pytest.mark.parametrize("exchanged", [False, True], ids=["deleted", "exchanged"])
def test_what_is_written_into_files_that_are_gone_is_not_on_disk(
    store: SqliteStore, path: Path, name: str, exchanged: bool
) -> None:
    """STORE-15, STORE-1"""
    store.write(batch(event(1)))
    gone = path.with_name(name)
    content = gone.read_bytes()
    gone.rename(gone.with_suffix(".moved"))
    if exchanged:
        gone.write_bytes(content)
    with pytest.raises(OSError, match=r"exchanged|No such file"):
        store.write(batch(event(2)))


def test_a_key_whose_time_is_just_over_is_kept_and_many_keys_are_forgotten_in_pieces(store: SqliteStore) -> None:
    """STORE-12, CMD-9"""
    store.write(batch(commands=[CommandRow(f"k{n:03}", b"d", float(n), None) for n in range(10)]))
    assert store.forget(events_before=0.0, commands_before=4.0, at_most=3) is True
    assert store.forget(events_before=0.0, commands_before=4.0, at_most=3) is False
    assert [n for n in range(10) if store.command(f"k{n:03}") is not None] == [4, 5, 6, 7, 8, 9]


def test_a_replay_with_a_gap_is_none_at_all(store: SqliteStore) -> None:
    """PUSH-3, STORE-8"""
    store.write(batch(*(event(n) for n in range(1, 8))))
    store.forget(events_before=4.0, commands_before=0.0)
    assert [e.seq for e in store.replay(after=3, limit=9)] == [4, 5, 6, 7]
    assert store.replay(after=2, limit=9) == []

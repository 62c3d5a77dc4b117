"""What became of each command: in memory bounded in bytes and in number, on disk without what is too large."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from authority import journal
from authority.core.messages import CommandFinished
from authority.core.model import EquipmentId, Outcome, SessionId
from authority.journal import LARGEST_KEPT_RESULT_BYTES, REPLIES_IN_MEMORY, REPLY_BYTES_IN_MEMORY, Journal, JournalCall
from authority.ports import Batch
from authority.store.sqlite import SqliteStore

MIB = 2**20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "motorlock.sqlite3")
    yield made
    made.close()


def call(key: str) -> JournalCall:
    return JournalCall(key, "c", "stage_x", hashlib.sha256(key.encode()).digest())


def finished(outcome: Outcome = Outcome.DONE, error: str | None = None) -> CommandFinished:
    return CommandFinished(
        at=1.0, equipment=EquipmentId("stage_x"), session=SessionId("ann"), user="Ann", key="k", command_id="c",
        action="scan", outcome=outcome, error=error, moving=False,
    )  # fmt: skip


def known(calls: Journal, names: list[str]) -> list[str]:
    return [name for name in names if calls.get(name) is not None]


def test_the_newest_replies_are_in_memory_up_to_a_bound_in_bytes(store: SqliteStore) -> None:
    """CMD-41"""
    calls = Journal(store)
    names = [f"k{n}" for n in range(REPLY_BYTES_IN_MEMORY // MIB + 3)]
    for name in names:
        one = call(name)
        one.data = msgspec.Raw(b"[]")
        calls.open(one)
        calls.conclude(one, bytes(MIB))
        assert one.data is None, "its reply has it"
    assert known(calls, names) == names[3:]


def test_what_is_dropped_no_longer_counts(store: SqliteStore) -> None:
    """CMD-41"""
    calls = Journal(store)
    names = [f"k{n}" for n in range(2 * REPLY_BYTES_IN_MEMORY // MIB)]
    for name in names:
        one = call(name)
        calls.open(one)
        calls.conclude(one, bytes(MIB))
        calls.remove(name)
    kept = call("kept")
    calls.open(kept)
    calls.conclude(kept, bytes(REPLY_BYTES_IN_MEMORY))
    assert calls.get("kept") is kept


def test_what_bore_no_key_is_not_counted(store: SqliteStore) -> None:
    """CMD-41"""
    calls = Journal(store)
    for n in range(2 * REPLY_BYTES_IN_MEMORY // MIB):
        calls.conclude(call(f"k{n}"), bytes(MIB))
    kept = call("kept")
    calls.open(kept)
    calls.conclude(kept, bytes(REPLY_BYTES_IN_MEMORY))
    assert calls.get("kept") is kept


def test_a_call_that_still_runs_is_not_forgotten_however_old_it_is(store: SqliteStore) -> None:
    """CMD-41, CMD-13"""
    calls = Journal(store)
    running = call("running")
    calls.open(running)
    names = [f"k{n}" for n in range(REPLIES_IN_MEMORY + 5)]
    for name in names:
        one = call(name)
        calls.open(one)
        calls.conclude(one, b"{}")
    assert calls.get("running") is running
    assert known(calls, names) == names[6:]


def test_what_is_forgotten_in_memory_is_answered_from_the_disk(store: SqliteStore) -> None:
    """CMD-9, CMD-41"""
    calls = Journal(store)
    one = call("k")
    row = journal.journal_row(one, 1.0, b'{"command_id":"c","equipment_id":"stage_x"}')
    assert row is not None
    store.write(Batch(events=[], equipment={}, sessions={}, commands=[row]))
    found = calls.find("k")
    assert found is not None
    assert (found.reply, found.digest, found.command_id, found.equipment) == (row.reply, one.digest, "c", "stage_x")
    assert found.over.is_set()
    assert calls.find("other") is None


@pytest.mark.parametrize("extra", [0, 1])
def test_a_result_is_kept_on_disk_up_to_a_bound_and_else_a_sentence(extra: int) -> None:
    """CMD-40"""
    one = call("k")
    one.data = msgspec.Raw(b'"' + b"x" * (LARGEST_KEPT_RESULT_BYTES - 2 + extra) + b'"')
    whole = journal.reply_of(one, finished(), "now")
    kept = journal.kept_reply(one, finished(), "now", whole)
    assert len(msgspec.json.decode(whole)["data"]) == LARGEST_KEPT_RESULT_BYTES - 2 + extra
    assert (kept == whole) is (extra == 0)
    if extra:
        told = msgspec.json.decode(kept)
        assert (told["outcome"], told["success"], told["data"]) == ("done", True, None)
        assert "its answer of 65537 bytes is not kept any more" in told["error"]


def test_a_command_that_was_not_done_has_no_data_in_its_reply() -> None:
    """CMD-12"""
    one = call("k")
    one.data = msgspec.Raw(b"[1]")
    told = msgspec.json.decode(journal.reply_of(one, finished(Outcome.STOPPED, "Bob stopped it"), "now"))
    assert (told["success"], told["data"], told["error"]) == (False, None, "Bob stopped it")


def test_who_waits_when_nothing_can_be_written_any_more_is_let_go(store: SqliteStore) -> None:
    """STORE-7"""
    calls = Journal(store)
    one = call("k")
    calls.open(one)
    calls.abandon()
    assert one.over.is_set()
    assert one.reply is None


def test_a_command_without_a_key_leaves_nothing_on_disk() -> None:
    """CMD-9"""
    assert journal.journal_row(JournalCall("k", "c", "stage_x", None), 1.0, b"{}") is None

"""The committer alone: what is told when, and what becomes of it when something fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes import PATIENCE_S, Disk, until

from authority.committer import Committer, StoreFailed
from authority.ports import Batch, EventRow


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "motorlock.sqlite3")


def decide(committer: Committer, seq: int) -> None:
    """Let something be decided that has to be on disk."""
    committer.open_batch().events.append(EventRow(seq, float(seq), None, None, b"{}"))


def test_who_asks_to_be_called_waits_for_the_newest_decision_also_while_an_older_one_is_written(disk: Disk) -> None:
    """STORE-1"""

    async def run() -> None:
        committer = Committer(disk, lambda error: None)
        disk.hold()
        decide(committer, 1)
        await until(disk.held.is_set)
        decide(committer, 2)
        commits: list[int] = []
        committer.call_when_committed(lambda: commits.append(committer.commits))
        disk.let.set()
        await committer.wait_until_committed()
        assert commits == [2]
        await committer.close()
        disk.close()

    asyncio.run(run())


def test_a_failure_is_told_once_however_many_writes_fail(disk: Disk) -> None:
    """STORE-7"""

    async def run() -> None:
        failures: list[BaseException] = []
        committer = Committer(disk, failures.append)

        def broken() -> None:
            raise OSError(5, "Input/output error")

        for _ in range(3):
            committer.run_in_writer(broken)
        await until(lambda: failures)
        await committer.close()
        await asyncio.sleep(0)
        assert len(failures) == 1
        disk.close()

    asyncio.run(run())


def test_a_log_that_nobody_reads_any_more_fails_no_commit(disk: Disk) -> None:
    """STORE-7"""

    async def run() -> None:
        failures: list[BaseException] = []

        def log(_: Batch) -> None:
            raise BrokenPipeError

        committer = Committer(disk, failures.append, log)
        for seq in (1, 2):
            decide(committer, seq)
            async with asyncio.timeout(PATIENCE_S):
                await committer.wait_until_committed()
        await committer.close()
        assert (failures, disk.load().seq) == ([], 2)
        disk.close()

    asyncio.run(run())


def test_what_is_open_at_the_end_is_written_and_nothing_is_taken_afterwards(disk: Disk) -> None:
    """RUN-7, STORE-1"""

    async def run() -> None:
        committer = Committer(disk, lambda error: None)
        decide(committer, 1)
        await committer.close()
        assert disk.load().seq == 1
        with pytest.raises(StoreFailed):
            committer.open_batch()
        disk.close()

    asyncio.run(run())


def test_a_slow_commit_is_logged_once_while_it_lasts_and_again_when_one_is_in_time(
    disk: Disk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUN-47"""
    monkeypatch.setattr("authority.committer.SLOW_COMMIT_S", 0.05)
    caplog.set_level("INFO", "motorlock")

    async def commit(committer: Committer, seq: int, told: int) -> None:
        disk.hold()
        decide(committer, seq)
        await until(lambda: committer.is_slow and len(caplog.messages) >= told)
        disk.let.set()
        await committer.wait_until_committed()

    async def run() -> None:
        committer = Committer(disk, lambda error: None)
        for seq in (1, 2):
            await commit(committer, seq, told=1)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        monkeypatch.setattr("authority.committer.SLOW_COMMIT_S", 3600.0)
        decide(committer, 3)
        await committer.wait_until_committed()
        await committer.close()
        disk.close()

    asyncio.run(run())
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the store is slow: a commit takes longer than 0.05 s, and answers wait for it"),
        ("INFO", "the store is in time again"),
    ]

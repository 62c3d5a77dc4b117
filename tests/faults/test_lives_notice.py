"""The seeded lives notice an authority that is wrong: each of these mistakes is found within some dozen seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lives import run_of

from authority.committer import Committer
from authority.core.model import Equipment
from authority.journal import Journal
from authority.ports import StopSource, StopToken
from authority.recovery import Recovery
from authority.service import Service

SEEDS = 60


def passes_on_while_it_moves(patch: pytest.MonkeyPatch) -> None:
    """Rest is assumed where no command runs."""
    patch.setattr(Equipment, "at_rest", property(lambda e: e.running is None))


def drives_before_the_journal(patch: pytest.MonkeyPatch) -> None:
    """The driver is called before the commit."""
    patch.setattr(Committer, "call_when_committed", lambda self, callback: callback())


def forgets_what_it_began(patch: pytest.MonkeyPatch) -> None:
    """A key whose command has begun is not found after a restart."""
    find = Journal.find

    def forgetful(self: Journal, key: str) -> Any:
        call = find(self, key)
        return None if call is not None and self.get(key) is None and call.reply is not None else call

    patch.setattr(Journal, "find", forgetful)


def leaves_it_moving_at_the_restart(patch: pytest.MonkeyPatch) -> None:
    """What was in flight is not stopped."""

    async def nothing(self: Recovery, key: object) -> None:
        return

    patch.setattr(Recovery, "_stop_first", nothing)


def begins_before_the_stop_got_through(patch: pytest.MonkeyPatch) -> None:
    """What is accepted while a stop is on its way begins all the same."""

    token = StopSource.token
    patch.setattr(StopSource, "token", lambda self: StopToken() if self.under_way else token(self))


def calls_done_what_was_stopped(patch: pytest.MonkeyPatch) -> None:
    """Whatever ends is done."""
    finished = Service.command_finished

    def rosy(self: Service, equipment: Any, key: str, outcome: Any, *rest: Any, moving: bool) -> None:
        finished(self, equipment, key, type(outcome).DONE, *rest, moving=moving)

    patch.setattr(Service, "command_finished", rosy)


MISTAKES = (
    passes_on_while_it_moves, drives_before_the_journal, forgets_what_it_began, leaves_it_moving_at_the_restart,
    begins_before_the_stop_got_through, calls_done_what_was_stopped,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_an_authority_that_is_wrong_is_noticed(
    mistake: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SAFE-1, SAFE-2, SAFE-3, SAFE-4, SAFE-5, SAFE-6"""
    mistake(monkeypatch)
    for seed in range(SEEDS):
        try:
            run_of(seed, tmp_path)
        except AssertionError as noticed:
            print(f"{mistake.__name__}: seed {seed}: {str(noticed)[:200]}")
            return
    raise AssertionError(f"nobody noticed in {SEEDS} seeds")

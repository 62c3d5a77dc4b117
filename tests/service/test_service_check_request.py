"""What would become of a request is decided as the request is, and nothing of it happens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes import Slide, VirtualClock, X, lab

from authority.committer import StoreFailed
from authority.core import messages
from authority.core.model import Policy
from authority.core.refusals import LockLost


def test_what_is_due_has_ended_also_for_a_question_before_any_timer_went_off(tmp_path: Path) -> None:
    """CMD-30 CMD-31"""

    async def run() -> None:
        clock = VirtualClock()
        async with lab(tmp_path / "db", {X: Slide()}, clock=clock, policies={X: Policy(on_idle="release")}) as lab_:
            ann = lab_.person("ann", timeout_s=0.0)
            lab_.login(ann)
            move = messages.Control(session=ann, equipment=X, key="", command_id="c", action="nudge", parameters={})
            lab_.service.check_request(move)
            await lab_.service.wait_until_committed()
            clock.advance(301.0)
            held, seq = lab_.at(), lab_.service.seq
            with pytest.raises(LockLost):
                lab_.service.check_request(move)
            assert (lab_.at(), lab_.service.seq, lab_.events(X)) == (held, seq, ["lock_acquired"])
            with pytest.raises(LockLost):
                lab_.service.apply(move)

    asyncio.run(run())


def test_an_authority_that_ends_would_accept_no_command(tmp_path: Path) -> None:
    """CMD-30"""

    async def run() -> None:
        async with lab(tmp_path / "db", {X: Slide()}) as lab_:
            ann = lab_.person("ann")
            lab_.login(ann)
            lab_.service.ending = True
            with pytest.raises(StoreFailed):
                lab_.service.check_request(
                    messages.Control(session=ann, equipment=X, key="", command_id="c", action="nudge", parameters={})
                )
            lab_.service.check_request(messages.Observe(session=ann, equipment=X))

    asyncio.run(run())

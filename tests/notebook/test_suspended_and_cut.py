"""What tests/faults/test_wrongly_lost.py tries in virtual time, once each on real processes, while somebody waits.

A held interpreter, and a network that swallows all packets, are in test_automatic_release.py.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from real_lab import PATIENCE_S, Authority, Kernel, Person, Wire, Witness

LOGIN = """
from jupyter_motorlock.client.session import KernelSession
session = KernelSession()
session.acquire("stage_x")
session.session_id
"""
STILL_OURS = 'session.command("stage_x", "position", {}); session.mirror.held()["stage_x"]["fence"]'


def heard_for(authority: Authority, session_id: str, seconds: float) -> None:
    """Return once the session is heard of so much later: its keeper beats on."""

    def last() -> datetime:
        seen = authority.call("GET", f"/locks/sessions/{session_id}")
        assert "last_activity" in seen, seen
        return datetime.fromisoformat(seen["last_activity"])

    begun, give_up = last(), time.monotonic() + PATIENCE_S
    while (last() - begun).total_seconds() < seconds:
        assert time.monotonic() < give_up, "its keeper has fallen silent"
        time.sleep(0.1)


def kept(kernel: Kernel, witness: Witness, bob: Person, fence: str) -> None:
    """The kernel holds under the same fence, and whoever waits still waits."""
    assert kernel.run(STILL_OURS) == fence
    assert bob.authority.status()["queue"][0]["session_id"] == bob.session_id
    assert not {"session_suspect", "session_expired", "session_ended", "lock_expired"} & set(witness.names())


@pytest.mark.slow
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_a_suspended_kernel_whose_keeper_beats_keeps_the_lock_beyond_its_lease(
    start_kernel: Callable[..., Kernel], authority: Authority, witness: Witness, busy: bool
) -> None:
    """LIVE-14 LIVE-1 LIVE-6"""
    kernel = start_kernel(MOTORLOCK_LEASE_SECONDS="1.5")
    session_id = kernel.run(LOGIN).strip("'")
    fence, bob = kernel.run(STILL_OURS), authority.person("bob")
    assert bob.acquire(wait=True)["status"] == "queued"
    running = kernel.start("print('running', flush=True); import time; time.sleep(1)") if busy else None
    if running is not None:
        kernel.wait_for_output(running)
    os.kill(kernel.pid, signal.SIGSTOP)
    heard_for(authority, session_id, 5.0)
    os.kill(kernel.pid, signal.SIGCONT)
    if running is not None:
        kernel.finish(running)
    kept(kernel, witness, bob, fence)


@pytest.mark.slow
def test_streams_that_all_break_and_come_back_within_five_seconds_keep_the_lock(
    wire: Wire, start_kernel: Callable[..., Kernel], authority: Authority, witness: Witness
) -> None:
    """LIVE-3 LIVE-4"""
    kernel = start_kernel(MOTORLOCK_URL=wire.url)
    session_id = kernel.run(LOGIN).strip("'")
    fence, bob = kernel.run(STILL_OURS), authority.person("bob")
    assert bob.acquire(wait=True)["status"] == "queued"
    for _ in range(2):
        wire.hang_up()
        wire.take_calls()
        heard_for(authority, session_id, 7.0)
    kept(kernel, witness, bob, fence)


@pytest.mark.slow
def test_streams_that_do_not_come_back_within_five_seconds_lose_it_to_who_waits(
    wire: Wire, start_kernel: Callable[..., Kernel], authority: Authority, witness: Witness
) -> None:
    """LIVE-3 LIVE-17"""
    kernel = start_kernel(MOTORLOCK_URL=wire.url)
    session_id = kernel.run(LOGIN).strip("'")
    bob = authority.person("bob")
    bob.acquire(wait=True)
    wire.hang_up()
    witness.wait_for("session_expired", session_id=session_id, why="connections_lost")
    witness.wait_for("lock_acquired", session_id=bob.session_id)
    wire.take_calls()

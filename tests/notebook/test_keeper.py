"""The keeper, a real process, against a listener that answers as it is told: what it says, when, and when no more."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from keeper_bench import BROKEN, FINE, OVER, Child, Listener
from real_lab import PATIENCE_S

from jupyter_motorlock.client import keeper


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def keep(listener: Listener) -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def start(**more: object) -> Child:
        made.append(Child(listener.url, **more))
        return made[-1]

    yield start
    for child in made:
        child.close()


def test_it_beats_and_holds_its_stream_for_the_session(listener: Listener, keep: Callable[..., Child]) -> None:
    """LIVE-1"""
    keep(token="lab")
    _, beat, headers = listener.next("heartbeat")
    assert beat == {"path": "/api/locks/sessions/ann%2F1/heartbeat", "busy": False}
    assert (headers["Motorlock-Session"], headers["Authorization"]) == ("secret", "Bearer lab")
    for _ in range(3):
        listener.next("heartbeat")


def test_its_stream_says_whose_it_is_and_a_token_that_is_none_is_not_sent(
    listener: Listener, keep: Callable[..., Child]
) -> None:
    """LIVE-1"""
    keep()
    _, asked, headers = listener.next("stream")
    assert asked["path"] == "/api/events?role=keeper&session_id=ann%2F1"
    assert headers["Motorlock-Session"] == "secret"
    assert "Authorization" not in headers


def test_a_stream_that_ends_is_opened_again(listener: Listener, keep: Callable[..., Child]) -> None:
    """LIVE-3"""
    child = keep()
    listener.next("stream")
    listener.stream_ends.set()
    for _ in range(3):
        listener.next("stream")
    assert child.process.poll() is None


def test_a_kernel_that_becomes_busy_or_idle_is_told_and_nothing_else_is(
    listener: Listener, keep: Callable[..., Child]
) -> None:
    """IDLE-3"""
    child = keep(lease_s="600", busy=True)  # so that beats come late, but for a change
    assert listener.next("heartbeat")[1]["busy"] is True
    for busy in (False, True, False):
        child.say(busy=busy)
        assert listener.next("heartbeat")[1]["busy"] is busy


def test_the_end_of_the_pipe_is_the_end_of_the_kernel(listener: Listener, keep: Callable[..., Child]) -> None:
    """LIVE-2"""
    child = keep()
    listener.next("heartbeat")
    child.hang_up()
    assert listener.next("gone")[1]["reason"] == "the kernel's process ended"
    assert child.status() == 0


def test_the_death_of_the_process_is_its_end_although_a_fork_holds_the_pipe(
    listener: Listener, keep: Callable[..., Child]
) -> None:
    """LIVE-2"""
    kernel = subprocess.Popen(["sleep", "60"])
    descriptor = os.pidfd_open(kernel.pid)
    child = keep(process=descriptor)
    os.close(descriptor)
    listener.next("heartbeat")
    kernel.kill()
    kernel.wait()
    assert listener.next("gone")[1]["reason"] == "the kernel's process ended"
    assert child.status() == 0


def test_a_kernel_that_lives_is_not_said_to_be_gone(listener: Listener, keep: Callable[..., Child]) -> None:
    """LIVE-2"""
    descriptor = os.pidfd_open(os.getpid())
    child = keep(process=descriptor)
    os.close(descriptor)
    for _ in range(4):
        listener.next("heartbeat")
    child.say(bye=True)
    assert child.status() == 0
    assert "gone" not in [heard[0] for heard in list(listener.heard.queue)]


def test_after_the_kernels_death_it_beats_no_more_however_long_nobody_takes_the_notice(
    listener: Listener, keep: Callable[..., Child]
) -> None:
    """LIVE-2 LIVE-6"""
    listener.answers["gone"] = lambda: BROKEN
    child = keep()
    listener.next("heartbeat")
    child.hang_up()
    listener.next("gone")
    listener.next("gone")  # a beat that was under way has come by now
    kinds: list[str] = []
    while kinds.count("gone") < 4:  # the pauses between notices grow: several beats would fit in
        kinds.append(listener.heard.get(timeout=PATIENCE_S)[0])
    assert "heartbeat" not in kinds


def test_a_reason_of_its_own_is_said_and_again_until_it_is_heard(
    listener: Listener, keep: Callable[..., Child]
) -> None:
    """LIVE-2"""
    answers = iter([BROKEN, BROKEN, FINE])
    listener.answers["gone"] = lambda: next(answers)
    child = keep()
    child.say(gone="the session was closed")
    assert [listener.next("gone")[1]["reason"] for _ in range(3)] == ["the session was closed"] * 3
    assert child.status() == 0


def test_a_session_that_is_over_already_needs_no_notice(listener: Listener, keep: Callable[..., Child]) -> None:
    """LIVE-2"""
    listener.answers["gone"] = lambda: OVER
    child = keep()
    child.hang_up()
    listener.next("gone")
    assert child.status() == 0


@pytest.mark.parametrize("where", ["heartbeat", "stream"])
@pytest.mark.parametrize("code", ["session_ended", "unknown_session", "bad_session_token"])
def test_it_ends_with_its_session(listener: Listener, keep: Callable[..., Child], where: str, code: str) -> None:
    """LIVE-2"""
    listener.answers[where] = lambda: (404, {"code": code})
    assert keep().status() == keeper.EXIT_OVER


@pytest.mark.parametrize("answer", [BROKEN, (503, "no JSON"), (404, []), (404, {"code": "unknown_equipment"})])
def test_any_other_answer_ends_nothing(
    listener: Listener, keep: Callable[..., Child], answer: tuple[int, object]
) -> None:
    """LIVE-1"""
    listener.answers["heartbeat"] = listener.answers["stream"] = lambda: answer
    child = keep()
    for kind in ("heartbeat", "heartbeat", "stream", "stream", "heartbeat"):
        listener.next(kind)
    assert child.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_no_signal_of_the_terminal_ends_it(
    listener: Listener, keep: Callable[..., Child], number: signal.Signals
) -> None:
    """NB-10 NB-17"""
    child = keep()
    listener.next("heartbeat")
    child.process.send_signal(number)
    listener.next("heartbeat")
    listener.next("heartbeat")
    assert child.process.poll() is None


def test_a_notice_that_nobody_takes_is_given_up_at_last(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """LIVE-2"""
    monkeypatch.setattr(keeper, "GIVE_UP_S", 0.2)
    listener.answers["gone"] = lambda: BROKEN
    keeper.report_kernel_gone({"url": listener.url, "session_id": "ann", "session_token": "secret"}, "why")
    assert listener.heard.qsize() >= 2

"""The kernel's end of its keeper, and the exit hooks: real processes, real signals, in this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import pytest
from keeper_bench import FINE, OVER, Listener
from real_lab import PATIENCE_S
from typed import wait_until

from jupyter_motorlock.client.lifecycle import KeeperProcess


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def config(listener: Listener) -> dict[str, str]:
    return {"url": listener.url, "session_id": "ann", "session_token": "secret", "token": "", "lease_s": "0.3"}


@pytest.fixture
def kept(config: dict[str, str]) -> Iterator[KeeperProcess]:
    made = KeeperProcess(config, busy=True)
    yield made
    made.end()
    made.wait(PATIENCE_S)
    for child in keepers():
        child.kill()
        child.wait()


def keepers() -> list[psutil.Process]:
    """The keepers of this process that run."""
    running = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in running if any(word.endswith("keeper.py") for word in child.cmdline())]


def test_the_environment_of_a_keeper_holds_no_token(
    kept: KeeperProcess, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WHO-21, WHO-39"""
    secrets = {"MOTORLOCK_TOKEN", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"}
    for name in secrets:
        monkeypatch.setenv(name, "of the lab")
    kept.ensure_running()
    listener.next("heartbeat")
    [child] = keepers()
    assert secrets.isdisjoint(child.environ())


def test_a_keeper_is_started_once_and_knows_that_the_kernel_is_busy(kept: KeeperProcess, listener: Listener) -> None:
    """LIVE-1"""
    assert kept.fd == -1
    kept.ensure_running()
    assert listener.next("heartbeat")[1]["busy"] is True
    [child] = keepers()
    kept.ensure_running()
    kept.set_busy(False)
    while listener.next("heartbeat")[1]["busy"]:
        pass
    assert keepers() == [child]


def test_a_keeper_has_a_session_of_its_own(kept: KeeperProcess, listener: Listener) -> None:
    """NB-10 NB-17"""
    kept.ensure_running()
    listener.next("heartbeat")
    [child] = keepers()
    assert os.getsid(child.pid) == child.pid


def test_a_keeper_that_is_started_again_is_a_warning_and_the_first_one_is_none(
    kept: KeeperProcess, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """RUN-49"""
    kept.ensure_running()
    listener.next("heartbeat")
    kept.ensure_running()
    assert caplog.records == []
    [child] = keepers()
    child.kill()

    def is_replaced() -> bool:
        kept.ensure_running()
        return [other for other in keepers() if other != child] != []

    wait_until(is_replaced, "a keeper is started")
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("jupyter_motorlock", "WARNING", "the keeper of this kernel ended with status -9; another is started")
    ]


def test_what_the_kernels_side_logs_is_printed_only_where_somebody_asks_for_it() -> None:
    """RUN-49"""
    program = "import logging, jupyter_motorlock; logging.getLogger('jupyter_motorlock').warning('seen')"
    for asked, printed in [("", ""), ("import logging; logging.basicConfig(); ", "WARNING:jupyter_motorlock:seen\n")]:
        ran = subprocess.run([sys.executable, "-c", asked + program], capture_output=True, text=True, check=True)
        assert ran.stderr == printed


def test_a_dead_keeper_is_replaced_and_the_new_one_knows_the_state(kept: KeeperProcess, listener: Listener) -> None:
    """LIVE-1"""
    kept.ensure_running()
    listener.next("heartbeat")
    kept.set_busy(False)
    while listener.next("heartbeat")[1]["busy"]:
        pass
    pipes = open_pipes()
    [child] = keepers()
    child.kill()

    def is_replaced() -> bool:
        kept.ensure_running()  # as at every sign of life: a process that is being taken down is not over yet
        return [other for other in keepers() if other != child] != []

    wait_until(is_replaced, "another one runs")
    assert listener.next("heartbeat")[1]["busy"] is False
    assert open_pipes() == pipes, "the pipe to the dead one is left open"


def open_pipes() -> int:
    """How many ends of pipes this process has."""
    ends = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # it was the one of the listing
            ends += os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:")
    return ends


def test_a_keeper_whose_session_is_over_is_not_replaced(kept: KeeperProcess, listener: Listener) -> None:
    """LIVE-2"""
    listener.answers["heartbeat"] = lambda: OVER
    kept.ensure_running()
    wait_until(lambda: not keepers(), "it has ended with its session")
    kept.ensure_running()
    assert keepers() == []


def test_an_ended_keeper_is_not_started_again_and_says_nothing(kept: KeeperProcess, listener: Listener) -> None:
    """LIVE-2"""
    kept.ensure_running()
    listener.next("heartbeat")
    kept.end()
    kept.wait(PATIENCE_S)
    kept.ensure_running()
    assert keepers() == []
    assert kept.fd == -1
    assert "gone" not in [heard[0] for heard in list(listener.heard.queue)]


def test_a_keeper_says_in_the_kernels_place_what_it_is_given(kept: KeeperProcess, listener: Listener) -> None:
    """LIVE-2"""
    kept.ensure_running()
    listener.next("heartbeat")
    kept.end("closed while nobody answered")
    assert listener.next("gone")[1]["reason"] == "closed while nobody answered"


def test_a_stopped_keeper_holds_nothing_up_and_hears_the_state_when_it_goes_on(
    kept: KeeperProcess, listener: Listener
) -> None:
    """NB-19"""
    kept.ensure_running()
    listener.next("heartbeat")
    [child] = keepers()
    child.suspend()
    for _ in range(20_000):  # more than a pipe takes
        kept.set_busy(True)
    kept.set_busy(False)
    child.resume()
    wait_until(lambda: _empty(kept.fd), "it has read what was said")
    kept.ensure_running()
    while listener.next("heartbeat")[1]["busy"]:
        kept.ensure_running()


def _empty(pipe: int) -> bool:
    import select

    return bool(select.select([], [pipe], [], 0)[1])


# Exit hooks

SCRIPT = """
import os, signal, sys, threading, time
from jupyter_motorlock.client.lifecycle import ExitHooks, KeeperProcess, replace_descriptors

class Kept(KeeperProcess):
    said = 0
    def end(self, gone=None):
        self.said += 1
        super().end(gone)

open_here = []
kept = Kept({{"url": {url!r}, "session_id": "ann", "session_token": "secret"}}, busy=False)
hooks = ExitHooks(kept.say_gone, lambda: replace_descriptors([-1, *open_here]))
hooks.install()
{code}
"""


def run(listener: Listener, code: str) -> tuple[int, list[str]]:
    """Run a program with the hooks to its end; return its status and the reasons that it gave for its end."""
    script = SCRIPT.format(url=listener.url, code=code)
    ended = subprocess.run([sys.executable, "-c", script], timeout=PATIENCE_S, capture_output=True, text=True)
    assert ended.stderr == ""
    return ended.returncode, [heard[1]["reason"] for heard in list(listener.heard.queue) if heard[0] == "gone"]


SHUT, TERMINATED = "the kernel was shut down or restarted", "the kernel was terminated (SIGTERM)"
TERM = "os.kill(os.getpid(), signal.SIGTERM)"


@pytest.mark.parametrize(
    ("code", "status", "reasons"),
    [
        ("", 0, [SHUT]),
        ("hooks.install()", 0, [SHUT]),
        ("kept.end()", 0, []),
        ("hooks.remove()", 0, []),
        ("hooks.remove(); hooks.install()", 0, [SHUT]),
        (TERM, -signal.SIGTERM, [TERMINATED]),
        (f"hooks.remove(); {TERM}", -signal.SIGTERM, []),
        (f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); hooks.install(); {TERM}", 7, [SHUT]),
        ("if os.fork() == 0: sys.exit()\nos.wait()", 0, [SHUT]),
        (f"if os.fork() == 0: {TERM}\nos.wait()", 0, [SHUT]),
        ("kept.say_gone('first'); assert kept.said == 1; kept.say_gone('second')", 0, ["first"]),
        ("if os.fork() == 0: hooks._at_exit(); os._exit(0)\nos.wait()", 0, [SHUT]),
        ("hooks.remove(); t = threading.Thread(target=hooks.install); t.start(); t.join(); "
         "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL", 0, [SHUT]),
        ("open_here += os.pipe()\n"
         "if os.fork() == 0: os._exit(9 * any(os.fstat(fd).st_rdev == 0 for fd in open_here))\n"
         "assert os.wait()[1] == 0", 0, [SHUT]),
        ("hooks.remove(); del hooks\nif os.fork() == 0: os._exit(0)\nos.wait()", 0, []),
    ],
)  # fmt: skip
def test_the_end_of_a_process_is_told_once_by_it_alone(
    listener: Listener, code: str, status: int, reasons: list[str]
) -> None:
    """NB-17 NB-18"""
    assert run(listener, code) == (status, reasons)


@pytest.mark.parametrize(("answer", "said"), [(FINE, 1), (OVER, 1), ((500, {}), 0)])
def test_what_the_authority_does_not_take_is_left_to_the_keeper(
    listener: Listener, answer: tuple[int, object], said: int
) -> None:
    """NB-17"""
    listener.answers["gone"] = lambda: answer
    code = f"kept.say_gone('why'); assert kept.said == {said}, kept.said; kept.end()"
    assert run(listener, code) == (0, ["why"])

"""An authority on a Unix socket: a kernel's session, its keeper and the command line speak through it (WHO-32)."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_motorlock import UsageProblem
from jupyter_motorlock.client.http import Client

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here")
PATIENCE_S = 30.0
STAGE = '[equipment.stage_x]\ndriver = "simulated-motor"\n'
HOLD = """
import sys
import jupyter_motorlock
with jupyter_motorlock.connect().lock("stage_x") as stage:
    print(stage.move_to(1.0), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: that of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ml-") as folder:
        yield Path(folder)


@contextmanager
def authority(place: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "authority", "serve", "--data", str(place / "data")]
    environment = {**os.environ, "MOTORLOCK_AUTH": "os"}
    process = subprocess.Popen(
        [*command, "--socket", str(place / "lab.sock"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def begun(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip().partition("listening on ")[2]


def test_a_script_a_kill_and_the_command_line_over_a_unix_socket(place: Path) -> None:
    """WHO-24, WHO-32: the lock is freed when its process is killed, for the keeper speaks over the socket, too."""
    with authority(place) as process:
        url = begun(process)
        assert url == f"unix:{place / 'lab.sock'}"
        assert stat.S_IMODE((place / "lab.sock").stat().st_mode) == 0o600
        environment = {**os.environ, "MOTORLOCK_URL": url}
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert "1" in holder.stdout.readline()
        status = Client(url).call("GET", "locks", "status", "stage_x")
        assert status["holder"]["user_verified"] is True
        said = subprocess.run(
            [sys.executable, "-m", "authority", "status"], env=environment, capture_output=True, text=True, check=True
        )
        assert "has stage_x" in said.stdout
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=PATIENCE_S)
        until = time.monotonic() + PATIENCE_S
        while Client(url).call("GET", "locks", "status", "stage_x")["state"] != "free":
            assert time.monotonic() < until, "the lock was not freed"
            time.sleep(0.05)
    assert not (place / "lab.sock").exists()


def test_a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not(place: Path) -> None:
    """WHO-32"""
    with authority(place) as process:
        begun(process)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
    assert (place / "lab.sock").exists()
    with authority(place) as process:
        assert begun(process)
        with authority(place, "--data", str(place / "other")) as second:
            _, said = second.communicate(timeout=PATIENCE_S)
            assert second.returncode == 2
            assert "somebody listens there already" in said or "cannot be used" in said
        assert Client(f"unix:{place / 'lab.sock'}").equipment_list()


def test_a_file_in_the_place_of_the_socket_is_left_alone(place: Path) -> None:
    """WHO-32"""
    (place / "lab.sock").write_text("mine", encoding="utf-8")
    with authority(place) as process:
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 2
        assert str(place / "lab.sock") in said
    assert (place / "lab.sock").read_text(encoding="utf-8") == "mine"


def test_the_mode_of_the_socket_says_who_may_connect(place: Path) -> None:
    """WHO-32"""
    lab = place / "lab.toml"
    lab.write_text(
        '[authority]\nsocket_mode = "0666"\n[equipment.stage_x]\ndriver = "simulated-motor"\n', encoding="utf-8"
    )
    with authority(place, "--config", str(lab)) as process:
        assert begun(process)
        assert stat.S_IMODE((place / "lab.sock").stat().st_mode) == 0o666


def test_an_address_without_the_whole_path_is_refused_in_one_sentence() -> None:
    """WHO-32"""
    with pytest.raises(UsageProblem, match="comes the whole path of its socket"):
        Client("unix:lab.sock")

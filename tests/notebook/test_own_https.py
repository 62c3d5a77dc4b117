"""An authority that speaks https itself: all that calls it does, and a renewed certificate needs no restart."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_lab import PATIENCE_S, Authority

from jupyter_motorlock import Untrusted
from jupyter_motorlock.client.http import Client

HERE = Path(__file__).parent
MOVE = """
import sys
import jupyter_motorlock
with jupyter_motorlock.connect().lock("stage_x") as stage:
    print(stage.move_to(1.0), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The certificate and its key, where a test may replace them."""
    for name in ("certificate", "key"):
        shutil.copy(HERE / f"lab_{name}.pem", tmp_path / f"{name}.pem")
    return tmp_path / "certificate.pem", tmp_path / "key.pem"


@pytest.fixture
def lab(tmp_path: Path, files: tuple[Path, Path]) -> Iterator[Authority]:
    certificate, key = files
    running = Authority(tmp_path / "data", "--certfile", str(certificate), "--keyfile", str(key))
    yield running
    running.end()


def shown_certificate(url: str) -> str:
    host, port = url.removeprefix("https://").split(":")
    return ssl.get_server_certificate((host, int(port)), timeout=PATIENCE_S)


def test_a_script_and_its_keeper_speak_https(lab: Authority) -> None:
    """WHO-41: the lock is freed when the script is killed, for its keeper trusts the certificate, too."""
    assert lab.url.startswith("https://")
    client = Client(lab.url, ca_file=str(HERE / "lab_certificate.pem"))
    environment = {**os.environ, "MOTORLOCK_URL": lab.url, "MOTORLOCK_CA_FILE": str(HERE / "lab_certificate.pem")}
    script = subprocess.Popen(
        [sys.executable, "-c", MOVE], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert script.stdout is not None
    assert "1" in script.stdout.readline()
    assert client.call("GET", "locks", "status", "stage_x")["state"] == "held"
    script.kill()
    script.communicate(timeout=PATIENCE_S)
    until = time.monotonic() + PATIENCE_S
    while client.call("GET", "locks", "status", "stage_x")["state"] != "free":
        assert time.monotonic() < until, "the lock was not freed"
        time.sleep(0.05)


def test_who_does_not_trust_the_certificate_is_told_so(lab: Authority) -> None:
    """WHO-41"""
    with pytest.raises(Untrusted):
        Client(lab.url).equipment_list()


def test_a_renewed_certificate_is_taken_without_a_restart_and_a_broken_one_is_not(
    lab: Authority, files: tuple[Path, Path]
) -> None:
    """WHO-41"""
    certificate, key = files
    certificate.write_text("no certificate", encoding="utf-8")
    assert shown_certificate(lab.url).strip() == (HERE / "lab_certificate.pem").read_text(encoding="utf-8").strip()
    shutil.copy(HERE / "other_key.pem", key)
    shutil.copy(HERE / "other_certificate.pem", certificate)
    assert shown_certificate(lab.url).strip() == (HERE / "other_certificate.pem").read_text(encoding="utf-8").strip()
    assert Client(lab.url, ca_file=str(HERE / "other_certificate.pem")).equipment_list()


def test_who_connects_and_says_nothing_holds_up_nobody(lab: Authority) -> None:
    """WHO-41"""
    host, port = lab.url.removeprefix("https://").split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(50)]
    assert Client(lab.url, ca_file=str(HERE / "lab_certificate.pem")).equipment_list()
    for line in silent:
        line.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--certfile", "nothing.pem", "--keyfile", "nothing.pem"], "cannot be used"),
        (["--certfile", "nothing.pem"], "https needs both"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """WHO-41"""
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(tmp_path / "data"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr

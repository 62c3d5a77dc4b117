"""An authority behind https with the lab's own certificate: all that calls it trusts it, or says what is wrong."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from real_lab import Authority, Kernel
from typed import Notebook, wait_until

import jupyter_motorlock
from jupyter_motorlock import Untrusted, UsageProblem
from jupyter_motorlock.client import keeper

CERTIFICATE = Path(__file__).parent / "lab_certificate.pem"
KEY = Path(__file__).parent / "lab_key.pem"
VARIABLES = ("MOTORLOCK_CA_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


class TlsRelay:
    """Ends https at a port of its own and passes on what it hears in plain."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition("//")[2].partition(":")
        self._target = (host, int(port))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATE, KEY)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for end in [self._listener, *self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            near = self._context.wrap_socket(plain, server_side=True)
            far = socket.create_connection(self._target)
        except OSError:
            plain.close()
            return
        self._ends += [near, far]
        threading.Thread(target=_copy, args=(far, near), daemon=True).start()
        _copy(near, far)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay(authority: Authority) -> Iterator[TlsRelay]:
    made = TlsRelay(authority.url)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", ["", *VARIABLES])
def test_the_labs_own_certificate_is_taken_from_an_argument_or_the_environment(
    relay: TlsRelay, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NB-61"""
    if variable:
        monkeypatch.setenv(variable, str(CERTIFICATE))
    given = None if variable else str(CERTIFICATE)
    with jupyter_motorlock.connect(relay.url, user="ann", ca_file=given) as lab, lab.lock("stage_x") as stage:
        assert stage.move_to(0.1) == 0.1
        wait_until(lambda: lab.session.link.feed_alive, "news comes")


def test_a_kernel_and_its_keeper_trust_it_too(
    relay: TlsRelay, authority: Authority, start_kernel: Callable[..., Kernel]
) -> None:
    """NB-61"""
    kernel = start_kernel(MOTORLOCK_URL=relay.url)
    ann = Notebook(kernel)
    assert ann.run(f"%config MotorMagics.ca_file = {str(CERTIFICATE)!r}").status == "ok"
    assert ann.run("%motor_login stage_x --no-panel").status == "ok"
    kernel.manager.shutdown_kernel(now=True)  # so that only the keeper can tell
    wait_until(lambda: authority.status()["state"] == "free", "the keeper tells of the kernel's end")
    assert authority.events()[-1]["reason"] == "the kernel's process ended"


def test_a_certificate_that_is_not_trusted_is_told_as_that(relay: TlsRelay) -> None:
    """NB-61"""
    with pytest.raises(Untrusted, match=r"^The certificate of https://.* is not trusted by .*set MOTORLOCK_CA_FILE"):
        jupyter_motorlock.connect(relay.url).equipment()


def test_https_where_there_is_none_is_told_as_that(authority: Authority) -> None:
    """NB-61"""
    with pytest.raises(Untrusted, match="does not speak https; write http://"):
        jupyter_motorlock.connect(authority.url.replace("http:", "https:")).equipment()


def test_a_file_of_certificates_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-61"""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/lab.pem")
    with pytest.raises(UsageProblem, match="SSL_CERT_FILE names a file of certificates that is not there: /nowhere"):
        jupyter_motorlock.connect("https://lab:8790")


def test_a_keeper_without_the_certificate_does_not_speak(relay: TlsRelay) -> None:
    """NB-61"""
    config = {"url": relay.url, "session_id": "x", "session_token": "y"}
    with pytest.raises(ssl.SSLError):
        keeper.post(config, "heartbeat", {}, 2.0)
    with pytest.raises(keeper.SessionOver):
        keeper.post(config | {"ca_file": str(CERTIFICATE)}, "heartbeat", {}, 2.0)


def test_the_version_is_told() -> None:
    """RUN-12"""
    said = subprocess.run([sys.executable, "-m", "authority", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"motorlock {jupyter_motorlock.__version__}\n"

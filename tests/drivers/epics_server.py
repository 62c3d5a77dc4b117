"""An EPICS server of motor records as a process of its own on loopback, which may be killed and started again."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OURS = [str(Path(__file__).with_name("motor_ioc.py"))]
CAPROTOS = ["-m", "caproto.ioc_examples.fake_motor_record"]


class EpicsServer:
    """A server on a port of its own; `program` is what Python is called with, its records begin with `prefix`."""

    prefix = "sim:"

    def __init__(self, program: list[str], log: Path) -> None:
        self.port = free_port()
        self.program = program
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def client_environment(self) -> dict[str, str]:
        return {
            "EPICS_CA_ADDR_LIST": "127.0.0.1",
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CA_REPEATER_PORT": str(self.port + 1),
        }

    def start(self) -> None:
        serving = {
            "EPICS_CAS_SERVER_PORT": str(self.port),
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_BEACON_PORT": str(self.port + 1),
        }
        command = [sys.executable, *self.program, "--prefix", self.prefix, "--list-pvs", "--interfaces", "127.0.0.1"]
        environment = {**os.environ, **self.client_environment(), **serving}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

        self._await_listening()

    def _await_listening(self) -> None:
        """Return when the server takes connections: what searches before that searches again ever more slowly."""
        assert self.process is not None
        while self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        raise AssertionError(self.log.read_text(encoding="utf-8"))

    def kill(self) -> None:
        """End it with kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def serving(program: list[str], log: Path) -> Iterator[EpicsServer]:
    """Run a server, and let every client of this process look for it."""
    server = EpicsServer(program, log)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in server.client_environment().items():
            environment.setenv(name, value)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

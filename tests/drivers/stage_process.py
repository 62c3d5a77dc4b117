"""The simulated SCPI stage as a process of its own, and a connection that tells it what to be wrong about."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCPI_STAGE = ROOT / "examples" / "scpi_stage.py"
PATIENCE_S = 30.0
_READY = "SCPI stage listening on "


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true answer of `condition`; fail when none comes."""
    give_up = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        time.sleep(0.01)
    return found


class StageProcess:
    """A stage on a port of its own that it keeps over a restart; `terminal` is its pseudo-terminal with `--pty`."""

    def __init__(self, place: Path, *arguments: str) -> None:
        self.record = place / "stage.jsonl"
        self._arguments = arguments
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(SCPI_STAGE), "--port", str(self.port)]
        command += ["--record", str(self.record), *self._arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(_READY), line
        address, _, terminal = line.strip().removeprefix(_READY).partition(" and ")
        self.port = int(address.rpartition(":")[2])
        self.terminal = terminal

    @property
    def resource(self) -> str:
        return f"TCPIP::127.0.0.1::{self.port}::SOCKET"

    def tell(self, *lines: str) -> None:
        """Say something on a connection of one's own; returns when the stage has done it."""
        self.ask(*lines, "SIM?")

    def ask(self, *lines: str) -> list[str]:
        """Say something and return what is answered to it, a line for each query."""
        parts = [part.strip() for line in lines for part in line.split(";")]
        queries = sum(part.endswith("?") and not part.startswith("SIM:") for part in parts)
        with self._say(lines) as connection, connection.makefile("r", encoding="ascii") as answers:
            return [answers.readline().strip() for _ in range(queries)]

    def _say(self, lines: tuple[str, ...]) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        connection.sendall("".join(f"{line}\n" for line in lines).encode("ascii"))
        return connection

    @property
    def facts(self) -> list[dict[str, Any]]:
        """Its own record."""
        return [json.loads(line) for line in self.record.read_text(encoding="utf-8").splitlines()]

    def told(self) -> list[str]:
        """What it was told, shortly: `move 5`, `stop`."""
        found = []
        for fact in self.facts:
            if fact["fact"] == "begin":
                found.append(" ".join([fact["action"], *(f"{value:g}" for value in fact["parameters"].values())]))
            elif fact["fact"] == "stop":
                found.append("stop")
        return found

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.process.pid, 9)
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

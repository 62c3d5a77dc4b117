"""A driver of the SCPI stage that ends its own process, the authority's, with SIGKILL at a chosen point.

The point is what the file `doom` holds, and the file goes before the process does, so that the next one lives.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from authority.drivers.declare import control, observe
from authority.ports import DriverUnavailable, MotionStopped, Readback, fence_of_command

ANSWER_S = 5.0
POINTS = (
    "before the journal", "before the order", "after the order", "on the way", "before the reply", "before the stop",
    "after the stop",
)  # fmt: skip


class MortalStage:
    """Each call opens a connection of its own, so that none waits for another."""

    kind: ClassVar[str] = "motor"
    blocking: ClassVar[bool] = True
    address = None

    def __init__(self, port: int, doom: str) -> None:
        self._port, self._doom = port, Path(doom)

    def open(self) -> None:
        self._ask("*IDN?")

    def close(self) -> None:
        pass

    def readback(self) -> Readback:
        position, moving = self._ask("POS?;MOV?")
        return Readback(position=float(position), moving=moving == "1", units="mm")

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        self._dies("before the journal")

    @control
    def move_to(self, position: float) -> float:
        """Move, and answer the position on arrival."""
        self._dies("before the order")
        origin = float(self._ask(f"POS?;SYST:FENCE {fence_of_command.get()};MOVE {position};*IDN?")[0])
        self._dies("after the order")
        while True:
            present, moving = self._ask("POS?;MOV?")
            if abs(float(present) - origin) > abs(position - origin) / 2:
                self._dies("on the way")  # or there, where a busy machine asks no earlier
            if moving == "0":
                break
            time.sleep(0.01)
        if abs(float(present) - position) > 1e-3:
            raise MotionStopped(f"stopped at {present} mm")
        self._dies("before the reply")
        return position

    @observe
    def position(self) -> float:
        """Answer the position."""
        return float(self._ask("POS?")[0])

    def stop(self) -> None:
        self._dies("before the stop")
        self._ask("STOP;*IDN?")
        self._dies("after the stop")

    def _dies(self, point: str) -> None:
        try:
            if self._doom.read_text() != point:
                return
        except FileNotFoundError:
            return
        self._doom.unlink()
        os.kill(os.getpid(), signal.SIGKILL)

    def _ask(self, line: str) -> list[str]:
        """Say a line and return the answers to the queries in it."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), ANSWER_S) as connection:
                connection.sendall(f"{line}\n".encode())
                with connection.makefile("r") as answers:
                    return [answers.readline().strip() for _ in range(line.count("?"))]
        except OSError as gone:
            raise DriverUnavailable(f"the stage does not answer ({gone})") from gone

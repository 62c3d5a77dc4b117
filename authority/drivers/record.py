"""What a simulated motor itself was told, in order: its own record, which outlives the authority that told it.

One JSON object a line, on its way to the disk as it happens: it survives a `kill -9`. Every line has `at` (seconds
of the motor's clock), `fact` and `position`; by `fact` it has also:

- `on`: the motor's process began, and it stands;
- `begin`: `command` (a number of its own), `action`, `parameters`, `fence`, and `moving`: whether it moved before;
- `end`: `command` and `how` (`arrived`, `stopped`, or `interrupted` by the next begin): that command moves it no more;
- `stop`: a stop was given; `moving`: whether it moved before;
- `refused`: `action`, `parameters` and `fence`, lower than `seen`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from authority.ports import fence_of_command

How = Literal["arrived", "stopped", "interrupted"]


class FenceWentBack(Exception):
    """A command of a lock that has passed on reached the motor; the text says both fences."""


class MotorRecord:
    """The record at `path`, or with None only the highest fence seen; its caller sees to it that one writes."""

    def __init__(self, path: str | None, clock: Callable[[], float]) -> None:
        """Note nothing before `open`."""
        if path is None:
            self._path = None
        else:
            self._path = Path(path)
        self._clock = clock
        self._open = False
        self._commands = 0
        self._fence = 0

    @property
    def highest_fence(self) -> int:
        """The highest fence that the motor has obeyed, 0 before any."""
        return self._fence

    def open(self, position: float) -> None:
        """Take up what was written before and go on with it; a second call does nothing.

        Raises `OSError`, and `ValueError` where the file is no record.
        """
        if self._path is None or self._open:
            return
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                known = json.loads(line)
                self._commands = max(self._commands, known.get("command", 0))
                self._fence = max(self._fence, known.get("fence", 0))
        self._open = True
        self._write("on", position, {})

    def begin(self, action: str, parameters: Mapping[str, object], position: float, *, moving: bool) -> int:
        """Note that a command begins and return its number; raises `FenceWentBack`, and `OSError` if it cannot."""
        fence = fence_of_command.get()
        command: dict[str, object] = {"action": action, "parameters": parameters, "fence": fence}
        if fence < self._fence:
            self._write("refused", position, command | {"seen": self._fence})
            raise FenceWentBack(
                f"The motor has obeyed fence {self._fence} and refuses {action} of fence {fence}: "
                "that lock has passed on, log in again."
            )
        self._write("begin", position, {"command": self._commands + 1} | command | {"moving": moving})
        self._commands += 1
        self._fence = fence
        return self._commands

    def end(self, command: int, how: How, position: float, at: float | None = None) -> None:
        """Note that a command moves the motor no more, now or since `at`."""
        with contextlib.suppress(OSError):  # it has happened, written or not; what is refused is the next begin
            self._write("end", position, {"command": command, "how": how}, at=at)

    def stop(self, position: float, *, moving: bool) -> None:
        """Note that a stop was given; a disk that is full does not keep it from being one."""
        with contextlib.suppress(OSError):
            self._write("stop", position, {"moving": moving})

    def _write(self, fact: str, position: float, more: Mapping[str, object], *, at: float | None = None) -> None:
        if self._path is not None and self._open:
            if at is None:
                at = self._clock()
            line = {"at": at, "fact": fact, "position": position, **more}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

"""The demonstration's child processes, which end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_S = 15.0


class ChildFailed(Exception):
    """A process did not start, or ended before its time; the text is one sentence for a person."""


class Children:
    """Starts Python modules as processes; at its end they end too, the last one first, each by its id.

    They write into `place`, and know nothing of the settings that the person has for a lab of their own.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._started: list[tuple[str, subprocess.Popen[str]]] = []

    def start(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start `python -m ARGUMENTS` with `env` beside the environment; its first lines can be read from stdout."""
        with self._log(name).open("w", encoding="utf-8") as log:
            # A session of its own: Ctrl-C is for us, and we end the children in order.
            child = subprocess.Popen(  # noqa: S603 - our own modules, with our own arguments
                [sys.executable, "-m", *arguments],
                cwd=self._place,
                env={**clean_environment(), **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._started.append((name, child))
        return child

    def failed(self, name: str) -> ChildFailed:
        """Return the error that shows what `name` said last."""
        log_text = self._log(name).read_text(encoding="utf-8", errors="replace").strip()
        last = "it said nothing"
        if log_text:
            last = log_text.splitlines()[-1]
        return ChildFailed(f"The {name} of the demonstration ended: {last}")

    def wait(self) -> None:
        """Return never; raises `ChildFailed` when one of them ends."""
        while True:
            for name, child in self._started:
                if ended(child, within_s=0.5):
                    raise self.failed(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # a second Ctrl-C must not leave somebody behind
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        for _, child in reversed(self._started):
            child.terminate()
            if not ended(child, within_s=PATIENCE_S):
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()

    def _log(self, name: str) -> Path:
        return self._place / f"{name.replace(' ', '-')}.log"


def ended(child: subprocess.Popen[str], *, within_s: float) -> bool:
    """Say whether the process ends within the time."""
    try:
        child.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def clean_environment() -> dict[str, str]:
    """Return the environment without the settings of another lab."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MOTORLOCK_", "LABLINK_"))}

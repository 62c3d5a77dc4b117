"""A cell of commands: its lines one after another, what each gave, and what to say when one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jupyter_motorlock import view
from jupyter_motorlock.errors import MotorlockError
from jupyter_motorlock.interrupt import clicks_heard
from jupyter_motorlock.lines import Line, Mistake
from jupyter_motorlock.sent import Sent, send, told_as_stopped
from jupyter_motorlock.session import KernelSession
from jupyter_motorlock.values import Value

LONGEST = 60  # characters of a line that are shown


class Cell:
    """The lines of one cell for `equipment_id`; `results` has the value of each line that ran, `failed` the error.

    With `no_wait` the last line is sent and not waited for: its value is a `Sent`.
    """

    def __init__(
        self, session: KernelSession, equipment_id: str, lines: Sequence[Line | Mistake], *, no_wait: bool = False
    ) -> None:
        """Raise what is wrong with the first line that cannot be sent; nothing is sent yet."""
        self.equipment_id = equipment_id
        self.results: list[object] = []
        self.failed: MotorlockError | None = None
        self._session, self._no_wait = session, no_wait
        self.lines = [line for line in lines if isinstance(line, Line)]
        for line in lines:
            if isinstance(line, Mistake):
                raise line.problem.in_cell(_where(line), "no line ran")

    @property
    def running(self) -> Line | None:
        """The line that runs now."""
        return None if self.failed or len(self.results) == len(self.lines) else self.lines[len(self.results)]

    def run(self, *, timeout_s: float | None = None, on_change: Callable[[], None] = lambda: None) -> object:
        """Run the lines up to the first that fails, and return the last value; `on_change` is called after each.

        `timeout_s` is how long one line may take. An error says which line it was and which others ran.
        """
        with clicks_heard(1):
            while line := self.running:
                try:
                    with told_as_stopped(self._session, self.equipment_id, line.command):
                        self.results.append(self._run(line, timeout_s))
                        on_change()
                except MotorlockError as error:
                    self.failed = error
                    raise error.in_cell(*self._told(line)) from None
        return self.results[-1] if self.results else None

    def report(self) -> str:
        """Return what became of each line, as text: one line each, and those that did not run in one."""
        ran = [f"{short(x.typed)}  →  {text_of(value)}" for x, value in zip(self.lines, self.results, strict=False)]
        left = self.lines[len(ran) :]
        if self.failed:
            ran.append(f"{short(left.pop(0).typed)}  →  {self.failed.became}")
        return "\n".join(ran + ([f"not run: {', '.join(short(line.typed) for line in left)}"] if left else []))

    def _run(self, line: Line, timeout_s: float | None) -> object:
        if self._no_wait and line is self.lines[-1]:
            return Sent(self._session, self.equipment_id, line.command, line.parameters)
        return send(self._session, self.equipment_id, line.command, line.parameters, timeout_s=timeout_s)

    def _told(self, failed: Line) -> tuple[str, str]:
        """Return which line failed and what else of the cell ran; nothing where it is the only one."""
        if len(self.lines) == 1:
            return "", ""
        ran, left = self.lines[: len(self.results)], self.lines[len(self.results) + 1 :]
        if not ran:
            return _where(failed), f"{_numbers(left)} did not run"
        return _where(failed), f"{_numbers(ran)} ran" + (f", {_numbers(left)} did not" if left else "")


def short(typed: str) -> str:
    """Return a typed line as it is shown."""
    return typed if len(typed) <= LONGEST else f"{typed[: LONGEST - 1]}…"


def text_of(value: object) -> str:
    """Return a value as it is shown: shortened, where it is a structure."""
    if value is None:
        return "done"
    units = f" {value.units}" if isinstance(value, Value) else ""
    return short(view.value(value) + units if isinstance(value, bool | float) else str(value))


def _where(line: Line | Mistake) -> str:
    return f"Line {line.number} ({short(line.typed)})"


def _numbers(lines: Sequence[Line]) -> str:
    match [line.number for line in lines]:
        case [one]:
            return f"line {one}"
        case [one, two]:
            return f"lines {one} and {two}"
        case many:
            return f"lines {many[0]} to {many[-1]}"

"""A cell of commands: its lines one after another, what each gave, and what to say when one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from jupyter_motorlock.client.interrupt import interrupts_limited
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.command_call import CommandCall, PendingCommand
from jupyter_motorlock.errors import DryRunRefused, MotorlockError, SentenceError, error_from_problem
from jupyter_motorlock.notebook.command_lines import CellMistake, Line
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text.values import Value

LONGEST = 60  # characters of a line that are shown


class Cell:
    """The lines of one cell for `equipment_id`; `results` has the value of each line that ran.

    With `no_wait` the last line is sent and not waited for: its value is a `PendingCommand`.
    """

    def __init__(
        self, session: KernelSession, equipment_id: str, lines: Sequence[Line | CellMistake], *, no_wait: bool = False
    ) -> None:
        self.equipment_id = equipment_id
        self.results: list[object] = []
        self.lines = [line for line in lines if isinstance(line, Line)]
        self._mistakes = [line for line in lines if isinstance(line, CellMistake)]
        self._session = session
        self._no_wait = no_wait

    def dry_run(self) -> str:
        """Return that all lines would be accepted now, and which depend on those before them; sends none.

        Raises `DryRunRefused` with what is wrong with each line.
        """
        wrong: dict[int, MotorlockError] = {x.number: x.problem.in_cell(_where(x), "") for x in self._mistakes}
        is_certain = bool(wrong)
        for line, refused, certain in self._refusals():
            wrong[line.number or 0] = refused.in_cell(
                _where(line), "" if certain else "the lines before it may change that"
            )
            is_certain |= certain
        errors = [error for _, error in sorted(wrong.items())]
        heading = _counted(len(self.lines) + len(self._mistakes), len(errors))
        if is_certain:
            raise DryRunRefused(f"{heading}:", errors)
        return "\n".join([heading + (":" if errors else "."), *(f"  {error.shown()}" for error in errors)])

    def prepare(self) -> None:
        """Raise what is wrong with the first line that would be refused whatever runs before it; sends none."""
        for mistake in self._mistakes:
            raise mistake.problem.in_cell(_where(mistake), "no line ran")
        for line, refused, certain in self._refusals() if len(self.lines) > 1 else ():
            if certain:
                raise refused.in_cell(_where(line), "no line ran")

    def _refusals(self) -> Iterator[tuple[Line, MotorlockError, bool]]:
        """Yield the lines that would be refused now, and whether that is certain: nothing runs before the first."""
        asked = [(line.command.name, line.parameters) for line in self.lines]
        for line, found in zip(self.lines, self._session.check(self.equipment_id, asked), strict=True):
            if (problem := found["refusal"]) is not None:
                yield line, error_from_problem(problem, problem["status"]), found["always"] or line is self.lines[0]

    @property
    def running(self) -> Line | None:
        """The line that runs now, or next."""
        if len(self.results) < len(self.lines):
            return self.lines[len(self.results)]
        return None

    def run(self, *, timeout_s: float | None = None, say: Callable[[str], object] = lambda _: None) -> object:
        """Run the lines up to the first that fails, and return the last value; `say` is told what became of each.

        `timeout_s` is how long one line may take. An error says which line it was and which others ran.
        """
        with interrupts_limited(1):
            while line := self.running:
                call = CommandCall(self._session, self.equipment_id, line.command, line.parameters)
                try:
                    with call.stopped_by_interrupt():
                        is_sent_only = self._no_wait and line is self.lines[-1]
                        self.results.append(PendingCommand(call) if is_sent_only else call.run_interruptible(timeout_s))
                        say(f"{shortened(line.typed)}  →  {text_of(self.results[-1])}")
                except SentenceError as error:
                    say(f"{shortened(line.typed)}  →  {error.became}")
                    ran, left = self._besides(line)
                    if left:
                        say(f"not run: {', '.join(shortened(one.typed) for one in left)}")
                    raise error.in_cell(_where(line), _which(ran, left)) if ran or left else error from None
        if self.results:
            return self.results[-1]
        return None

    def _besides(self, failed: Line) -> tuple[Sequence[Line], Sequence[Line]]:
        """Return the lines before the one that failed, and those after it."""
        at = self.lines.index(failed)
        return self.lines[:at], self.lines[at + 1 :]


def shortened(typed: str) -> str:
    """Return a typed line as it is shown."""
    if len(typed) <= LONGEST:
        return typed
    return f"{typed[: LONGEST - 1]}…"


def text_of(value: object) -> str:
    """Return a value as it is shown: shortened, where it is a structure."""
    if value is None or isinstance(value, PendingCommand):
        if value is None:
            return "done"
        return "sent"
    units = ""
    if isinstance(value, Value):
        units = f" {value.units}"
    return shortened(status_text.value_text(value) + units if isinstance(value, bool | float) else str(value))


def _where(line: Line | CellMistake) -> str:
    if line.number:
        return f"Line {line.number} ({shortened(line.typed)})"
    return shortened(line.typed)


def _which(ran: Sequence[Line], left: Sequence[Line]) -> str:
    if not ran:
        return f"{_numbers(left)} did not run"
    return f"{_numbers(ran)} ran" + (f", {_numbers(left)} did not" if left else "")


def _counted(lines: int, wrong: int) -> str:
    """Return how many of so many lines would be accepted."""
    match lines, lines - wrong:
        case 0, _:
            return "There is no command in it; nothing was sent"
        case 1, good:
            return f"It would be {'accepted' if good else 'refused'} now; nothing was sent"
        case _, good:
            if good == lines:
                some = f"All {lines} lines"
            elif good:
                some = f"{good} of {lines} lines"
            else:
                some = f"None of {lines} lines"
            return f"{some} would be accepted now; nothing was sent"


def _numbers(lines: Sequence[Line]) -> str:
    match [line.number for line in lines]:
        case [one]:
            return f"line {one}"
        case [one, two]:
            return f"lines {one} and {two}"
        case many:
            return f"lines {many[0]} to {many[-1]}"

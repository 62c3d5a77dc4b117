"""What the user types: each magic parses its line, asks once and shows one line."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from traceback import extract_stack
from typing import Any

from IPython.core.display_functions import display
from IPython.core.magic import (
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
    output_can_be_silenced,
)

from jupyter_motorlock.client import targets
from jupyter_motorlock.client.stop_line import read_stop_line, stop_everything, stop_typed
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.handle import Handle, Handles
from jupyter_motorlock.login import login
from jupyter_motorlock.notebook.cells import Cell
from jupyter_motorlock.notebook.command_lines import (
    CellMistake,
    Line,
    fill_names,
    read_cell,
    read_line,
    split_line,
    without_semicolon,
)
from jupyter_motorlock.notebook.kernel_magics import from_words, print_sentence
from jupyter_motorlock.notebook.options import read
from jupyter_motorlock.notebook.panel import panel_of
from jupyter_motorlock.notebook.progress import shown
from jupyter_motorlock.notebook.sharing_magics import SharingMagics
from jupyter_motorlock.text.rows import RowList

Names = Mapping[str, object]


@magics_class
class MotorMagics(SharingMagics):
    """`%motor_login`, `%motor`, `%motor_stop` and all the others, for one kernel."""

    @from_words
    def motor_login(self, names: list[str], user: str | None, no_panel: bool, **given: Any) -> Handle | Handles:
        """Take control of a motor and return its handle: `stage = %motor_login stage_x`.

        ::

          %motor_login [NAME ...] [--as USER] [--wait] [--watch] [--note TEXT] [--timeout S] [--priority N] [--no-panel]

        The handle has the motor's commands as methods: `stage.move_to(12.5)`. Without a name it takes the only
        motor there is; with several it takes all of them or none: `x, y = %motor_login stage_x stage_y`.

        --as USER     who you are, as others see it: --as "Ann B"
        --wait        queue behind the holder and return when it is your turn
        --watch       an observer lock: read, but not move
        --note TEXT   what you need it for; others see it: --note "align the beam"
        --timeout S   seconds, or a time, without use after which others may have it; 0 is never: --timeout 10min
        --priority N  your place in the queue: a higher number goes before a lower one; 0 is usual: --priority 1
        --no-panel    show no panel

        For example: stage = %motor_login stage_x --wait --note "align the beam" --timeout 10min
        """
        self.user = user or self.user
        session = self.session
        names = list(dict.fromkeys(names)) or [targets.only_motor(session)]
        names = targets.resolve_names(session, names)
        on_answer = None
        if not no_panel:
            on_answer = partial(self._show, *names)
        handles = login(session, names, on_answer=on_answer, **given)
        session.link.set_busy(True)  # the session may be younger than the cell
        named = " and ".join(names)
        if given["watch"]:
            print_sentence(f"You are watching {named}.")
        else:
            print_sentence(f"{named} {'is' if len(names) == 1 else 'are'} yours.")
        if len(names) == 1:
            return handles[0]
        return handles

    @no_var_expand
    @needs_local_scope
    @output_can_be_silenced
    @line_cell_magic
    def motor(self, line: str, cell: str | None = None, local_ns: Names | None = None) -> object:
        """Send commands to a motor you are logged in to.

        ::

          %motor [NAME] COMMAND [VALUE | PARAMETER=VALUE ...] [-o VAR] [--timeout TIME] [--no-wait] [--dry-run]

          %%motor [NAME] [-o VAR] [--timeout TIME] [--no-wait] [--dry-run]
          move_to 12.5
          position

        A cell has one command a line; all lines are checked before the first one runs. It stops at the first line
        that fails and says which ran; the last result is the value. NAME may be left out when this kernel holds
        exactly one. `{name}`, `{name.attribute}`, `{name[index]}` and `{name:.3f}` are replaced by the values of
        your variables; a brace that is meant is doubled. A `;` at the end shows nothing.

        -o VAR          keep the result, of a cell a list with that of each line that ran: -o results
        --timeout TIME  stop the motor and fail when one line takes longer; 30 is seconds: --timeout 2min
        --no-wait       do not wait for the end of the last line; the value has .done and .wait(timeout=None):
                        move = %motor move_to 80 --no-wait
        --dry-run       check rights, limits and spelling of all lines, and send none
        """
        session = self.session
        names = self.names_of(local_ns)
        line, silent = without_semicolon(line)
        words, given = read("motor", split_line(line), partial(fill_names, names=names))
        if given["no_wait"] and given["timeout_s"] is not None:
            raise UsageProblem("What --no-wait does not wait for, --timeout cannot end; leave one of the two out.")
        if cell is None:
            words[:1] = [fill_names(word, names) for word in words[:1]]
            name, rest = targets.split_target_and_command(session, words)
            lines: list[Line | CellMistake] = [read_line(rest, name, targets.commands_of(session, name), names)]
        else:
            body, ends_silent = without_semicolon(cell)
            silent |= ends_silent
            name = targets.resolve_one(session, [fill_names(word, names) for word in words])
            lines = read_cell(body, name, targets.commands_of(session, name), names)
        called = Cell(session, name, lines, no_wait=given["no_wait"])
        if given["dry_run"]:
            print_sentence(called.dry_run())
            return None
        called.prepare()
        quiet = silent or cell is None
        live = not quiet and bool(lines) and getattr(self._shell, "kernel", None) is not None
        try:
            with shown(session, called) if live else nullcontext():
                say = _say_nothing if quiet else print_sentence
                value = called.run(timeout_s=given["timeout_s"], say=say)
        finally:
            if given["out"] and (cell is not None or called.results):
                if cell is not None:
                    self._shell.user_ns[given["out"]] = called.results
                else:
                    self._shell.user_ns[given["out"]] = called.results[0]
        return None if silent else value

    @from_words
    def motor_status(self, words: list[str]) -> RowList | None:
        """Show who has a motor, who waits and what it reads: `%motor_status [NAME ...]`; without a name, of all.

        `rows = %motor_status` shows nothing and keeps a row for each motor: `pandas.DataFrame(rows)`.
        """
        rows = self.session.rows(*targets.resolve_names(self.session, words))
        if words:  # then all is said that is known
            self.session.mirror.forget_notices(repr(rows))
        return _shown(rows)

    @from_words
    def motor_events(self, words: list[str], last: int, ids: bool) -> RowList | None:
        """Show the newest events of a motor: `%motor_events [NAME] [--last N] [--ids]`.

        `rows = %motor_events` shows nothing and keeps a row for each event: `pandas.DataFrame(rows)`.

        --last N  how many, up to 1000; 20 is usual: %motor_events stage_x --last 100
        --ids     keep in rows the ids of sessions, locks and commands, too: rows = %motor_events stage_x --ids
        """
        return _shown(self.session.events(targets.resolve_one(self.session, words), last, ids=ids))

    @from_words
    def motor_history(self, names: list[str], since: str | None, last: int | None, plot: bool) -> object:
        """Return what happened to motors as a DataFrame: `history = %motor_history stage_x`.

        ::

          %motor_history [NAME ...] [--since TIME] [--last N] [--plot]

        Without a name it is of all there is. It needs the extra `plots`: pip install "jupyter-motorlock[plots]".

        --since TIME  a span such as 8h or 2d, or a time such as 2026-11-21T18:00; 24h is usual
        --last N      the newest N events of each instead: %motor_history stage_x --last 100
        --plot        show who had it when and where it was; the table only where it is kept:
                      history = %motor_history stage_x --since 8h --plot
        """
        from jupyter_motorlock.extras.history import history as history_of  # pandas is loaded when it is needed

        history = history_of(self.session, names, since=since, last=last)
        if plot:
            from jupyter_motorlock.extras.plots import picture  # matplotlib is loaded when it is needed

            display(picture(history))  # type: ignore[no-untyped-call]  # IPython has no types there
            return history if _is_kept() else None
        return history

    @no_var_expand
    @needs_local_scope
    @output_can_be_silenced
    @line_magic
    def motor_stop(self, line: str, local_ns: Names | None = None) -> None:
        """Stop a motor now, whoever holds it: `%motor_stop [NAME ...] [REASON] [--all]`.

        Without a name it stops all that this kernel holds. What follows a name and is none is the reason, which
        everybody is shown: %motor_stop stage_y because the cable

        --all  stop all there is, whoever holds it: %motor_stop --all
        """
        session = self.connected()  # what became of an earlier kernel has to wait
        words, everything = read_stop_line(line, partial(fill_names, names=self.names_of(local_ns)))
        if everything:
            print_sentence(f"{stop_everything(session)}.")
            return
        names = words or sorted(session.mirror.held())
        if not names:
            offered = targets.equipment_list_text(session.equipment_list())
            raise UsageProblem(f"This kernel holds nothing; say what to stop with %motor_stop NAME: {offered}.")
        print_sentence(f"{stop_typed(session, names, how_all='%motor_stop --all')}.")

    @from_words
    def motor_resume(self, words: list[str]) -> None:
        """Allow commands again after somebody else stopped your motor: `%motor_resume [NAME]`."""
        name = targets.resolve_one(self.session, words)
        self.session.resume(name)
        print_sentence(f"{name} takes commands again.")

    @from_words
    def motor_clear_fault(self, words: list[str]) -> None:
        """Say that a motor at fault stands and may be driven again: `%motor_clear_fault NAME REASON`.

        REASON is what you found and did; everybody is shown it, with your name.
        """
        name, *reason = words or [""]
        if not "".join(reason):
            raise UsageProblem("Say of what, and what you found and did: %motor_clear_fault NAME REASON")
        session = self.session
        name = targets.resolve_name(session, name)
        session.clear_fault(name, " ".join(reason))
        print_sentence(f"The fault of {name} is cleared. {session.headline(session.status(name))}")

    @from_words
    def motor_panel(self, words: list[str]) -> None:
        """Show the live panel of a motor, of several as rows, or of all: `%motor_panel [NAME ...]`."""
        self._show(*targets.resolve_names(self.session, words))

    def _show(self, *names: str) -> None:
        display(panel_of(self.session, *names).widget)  # type: ignore[no-untyped-call]  # IPython has no types there


# IPython gives a class the magics of its own body only.
MotorMagics.magics = {kind: SharingMagics.magics[kind] | MotorMagics.magics[kind] for kind in ("line", "cell")}


def _shown(rows: RowList) -> RowList | None:
    """Print the rows, or return them where the typed line keeps them, as `rows = %motor_status` does."""
    if _is_kept():
        return rows
    print_sentence(repr(rows))
    return None


def _is_kept() -> bool:
    """Whether the value of the magic goes somewhere: `rows = %motor_status`, or code that calls it."""
    typed = [outer.line for outer, inner in pairwise(extract_stack()) if inner.name == "run_line_magic"]
    return not typed or not (typed[-1] or "").startswith("get_ipython()")


def _say_nothing(*_sentences: str) -> None:
    pass

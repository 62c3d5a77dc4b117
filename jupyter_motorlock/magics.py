"""What the user types: each magic parses its line, asks once and shows one line."""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable, Mapping
from functools import partial, wraps
from itertools import pairwise
from traceback import extract_stack
from typing import Any

from IPython.core.display_functions import display
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
    output_can_be_silenced,
)
from traitlets import Unicode

from jupyter_motorlock import meant
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.handle import Handle, login, run
from jupyter_motorlock.interrupt import stop_all
from jupyter_motorlock.lines import fill, read_call, read_cell, read_events, read_login, tokens
from jupyter_motorlock.panel import Panel
from jupyter_motorlock.rows import Rows
from jupyter_motorlock.session import KernelSession

Names = Mapping[str, object]


def _of_words(method: Callable[[Any, list[str]], object]) -> Callable[..., object]:
    """Make a line magic of a method that takes the words of the line, with the user's values filled in."""

    @wraps(method)
    def magic(self: MotorMagics, line: str, local_ns: Names | None = None) -> object:
        names = self._names_of(local_ns)
        return method(self, [fill(word, names) for word in _words(line)])

    made: Callable[..., object] = no_var_expand(needs_local_scope(output_can_be_silenced(line_magic(magic))))
    return made


@magics_class
class MotorMagics(Magics):
    """`%motor_login`, `%motor`, `%motor_stop` and the others, for one kernel."""

    authority_url = Unicode(help="Address of the authority; else MOTORLOCK_URL.").tag(config=True)
    user = Unicode(help="Who you are; else MOTORLOCK_USER, the Hub's or the system's user name.").tag(config=True)
    token = Unicode(help="The lab's shared secret, where there is one; else MOTORLOCK_TOKEN.").tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self._shell = shell
        self.current: KernelSession | None = None
        self._made_for = ("", "", "")
        self._panels: dict[str, Panel] = {}

    @_of_words
    def motor_login(self, words: list[str]) -> Handle:
        """Take control of a motor and return its handle: `stage = %motor_login stage_x`.

        ::

          %motor_login [NAME] [--as USER] [--wait] [--watch] [--note TEXT] [--timeout S] [--no-panel]

        The handle has the motor's commands as methods: `stage.move_to(12.5)`. Without a name it takes the only
        motor there is.

        --as USER     who you are, as others see it
        --wait        queue behind the holder and return when it is your turn
        --watch       an observer lock: read, but not move
        --note TEXT   what you need it for; others see it
        --timeout S   seconds without use after which others may have it; 0 is never
        --no-panel    show no panel
        """
        given = read_login(words)
        names, user, no_panel = (given.pop(key) for key in ("names", "user", "no_panel"))
        if len(names) > 1:
            raise UsageProblem(
                f"One name is taken at a time for now: log in to {' and to '.join(names)} on a line each."
            )
        self.user = user or self.user
        session = self.session
        name = names[0] if names else meant.only_motor(session)
        meant.commands(session, name)
        handle = login(session, name, on_answer=None if no_panel else partial(self._show, name), **given)
        session.busy(True)  # the session may be younger than the cell
        say(f"You are watching {name}." if given["watch"] else f"{name} is yours.")
        return handle

    @_of_words
    def motor_logout(self, words: list[str]) -> None:
        """Give a motor back, or leave its queue: `%motor_logout [NAME]`."""
        session = self.session
        if not words and not meant.logged_in(session):
            say("This kernel is not logged in to anything, so there is nothing to give back.")
            return
        name = meant.one(session, words)
        if session.leave(name):
            say(f"You left the queue of {name}.")
            return
        reply = session.release(name)
        if reply.get("status") == "not_locked":
            nothing = f"This kernel is not logged in to {name}, so there is nothing to give back"
            say(f"{nothing}; %motor_status {name} shows who has it.")
            return
        say(f"{name} passes on when it is at rest." if reply.get("draining") else f"You gave {name} back.")

    @no_var_expand
    @needs_local_scope
    @output_can_be_silenced
    @line_cell_magic
    def motor(self, line: str, cell: str | None = None, local_ns: Names | None = None) -> object:
        """Send commands to a motor you are logged in to.

        ::

          %motor [NAME] COMMAND [VALUE | PARAMETER=VALUE ...] [-o VAR]

          %%motor [NAME] [-o VAR]
          move_to 12.5
          position

        A cell has one command a line; all lines are checked before the first one runs, and the last result is the
        value. `-o VAR` keeps the result, for a cell the list of all results. `{name}`, `{name.attribute}` and
        `{name[index]}` are replaced by the values of your variables. NAME may be left out when this kernel holds
        exactly one.
        """
        session, names = self.session, self._names_of(local_ns)
        out, words = _output(_words(line))
        words[:1] = [fill(word, names) for word in words[:1]]
        value: object = None
        if cell is None:
            name, rest = meant.addressed(session, words)
            kept = value = run(session, name, *read_call(rest, name, meant.commands(session, name), names))
        else:
            name = meant.one(session, words)
            calls = read_cell(cell, name, meant.commands(session, name), names)
            kept = results = [run(session, name, *call) for call in calls]
            value = results[-1] if results else None
        if out:
            self._shell.user_ns[out] = kept
        return value

    @_of_words
    def motor_status(self, words: list[str]) -> Rows | None:
        """Show who has a motor, who waits and what it reads: `%motor_status [NAME ...]`; without a name, of all.

        `rows = %motor_status` shows nothing and keeps a row for each motor: `pandas.DataFrame(rows)`.
        """
        return _shown(self.session.rows(*words))

    @_of_words
    def motor_events(self, words: list[str]) -> Rows | None:
        """Show the newest events of a motor: `%motor_events [NAME] [--last N]`; N is 20, and up to 1000.

        `rows = %motor_events` shows nothing and keeps a row for each event: `pandas.DataFrame(rows)`.
        """
        given = read_events(words)
        return _shown(self.session.events(meant.one(self.session, given["names"]), given["last"]))

    @_of_words
    def motor_stop(self, words: list[str]) -> None:
        """Stop a motor now, whoever holds it: `%motor_stop [NAME]`; without a name, all that this kernel holds."""
        session = self.session
        names = words or sorted(session.held())
        if not names:
            offered = meant.listed(session.equipment_list())
            raise UsageProblem(f"This kernel holds nothing; say what to stop with %motor_stop NAME: {offered}.")
        say(f"{stop_all(session, names)}.")

    @_of_words
    def motor_resume(self, words: list[str]) -> None:
        """Allow commands again after somebody else stopped your motor: `%motor_resume [NAME]`."""
        name = meant.one(self.session, words)
        self.session.resume(name)
        say(f"{name} takes commands again.")

    @_of_words
    def motor_panel(self, words: list[str]) -> None:
        """Show the live panel of a motor: `%motor_panel [NAME]`."""
        self._show(meant.one(self.session, words))

    @property
    def session(self) -> KernelSession:
        """This kernel's session; a changed address or user makes a new one, and is refused while something is held."""
        wanted = self.authority_url, self.user, self.token
        if self.current is not None and wanted != self._made_for:
            if held := sorted(self.current.held()):
                self.authority_url, self.user, self.token = self._made_for
                raise UsageProblem(
                    f"This kernel holds {' and '.join(held)} as {self.current.user}; "
                    "log out before you change the user or the address."
                )
            self.close()
        if self.current is None:
            self._made_for = url, user, token = wanted
            self.current = KernelSession(url or None, user=user or None, token=token or None)
        return self.current

    def close(self) -> None:
        """Take the panels off the page and end the session."""
        for panel in self._panels.values():
            panel.close()
        self._panels.clear()
        if self.current is not None:
            session, self.current = self.current, None
            session.close()

    def _names_of(self, local_ns: Names | None) -> Names:
        return ChainMap(dict(local_ns or {}), self._shell.user_ns)

    def _show(self, name: str) -> None:
        if name not in self._panels:
            self._panels[name] = Panel(self.session, name)
        display(self._panels[name].widget)  # type: ignore[no-untyped-call]  # IPython has no types there


def _words(line: str) -> list[str]:
    """Return the words of a line; a `;` at its end is IPython's, to silence the value."""
    return tokens(line.rstrip().removesuffix(";"))


def _output(words: list[str]) -> tuple[str, list[str]]:
    """Take `-o VAR` off the words."""
    if "-o" not in words:
        return "", words
    at = words.index("-o")
    variable = words[at + 1] if at + 1 < len(words) else ""
    if not variable.isidentifier():
        raise UsageProblem("-o needs the name of a variable, for example -o result")
    return variable, words[:at] + words[at + 2 :]


def _shown(rows: Rows) -> Rows | None:
    """Print the rows, or return them where the typed line keeps them, as `rows = %motor_status` does."""
    typed = [outer.line for outer, inner in pairwise(extract_stack()) if inner.name == "run_line_magic"]
    if not typed or not (typed[-1] or "").startswith("get_ipython()"):
        return rows
    say(repr(rows))
    return None


def say(*sentences: str) -> None:
    """Print each on a line."""
    sys.stdout.writelines(f"{sentence}\n" for sentence in sentences)

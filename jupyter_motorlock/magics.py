"""What the user types: each magic parses its line, asks once and shows one line."""

from __future__ import annotations

import os
import sys
from collections import ChainMap
from collections.abc import Mapping
from datetime import datetime

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
from traitlets import Unicode, default

from jupyter_motorlock import view
from jupyter_motorlock.completion import Known
from jupyter_motorlock.errors import MotorlockError, UsageProblem
from jupyter_motorlock.handle import Handle, login, run
from jupyter_motorlock.interrupt import stop_all
from jupyter_motorlock.lines import Call, Command, declared, fill, read_call, read_cell, read_login, tokens
from jupyter_motorlock.panel import Panel
from jupyter_motorlock.session import DEFAULT_URL, KernelSession

Names = Mapping[str, object]


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
        self._commands: dict[str, dict[str, Command]] = {}
        self._names: set[str] = set()

    @default("authority_url")
    def _default_url(self) -> str:
        return os.environ.get("MOTORLOCK_URL") or DEFAULT_URL

    @no_var_expand
    @needs_local_scope
    @output_can_be_silenced
    @line_magic
    def motor_login(self, line: str, local_ns: Names | None = None) -> Handle:
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
        given = read_login(self._words(line, local_ns))
        if len(given.names) > 1:
            raise UsageProblem(
                f"One name is taken at a time for now: log in to {' and to '.join(given.names)} on a line each."
            )
        if given.user:
            self.user = given.user
        session = self.session
        name = given.names[0] if given.names else self._only_motor(session)
        handle = login(
            session,
            name,
            watch=given.watch,
            wait=given.wait,
            note=given.note,
            timeout_s=given.timeout_s,
            on_queued=lambda: self._show(name, panel=not given.no_panel),
        )
        self._remember(session, name)
        self._show(name, panel=not given.no_panel)
        return handle

    @no_var_expand
    @needs_local_scope
    @line_magic
    def motor_logout(self, line: str, local_ns: Names | None = None) -> None:
        """Give a motor back, or leave its queue: `%motor_logout [NAME]`."""
        session, name = self.session, self._named(line, local_ns)
        if session.session_id is not None and _queued(session.status(name), session.session_id):
            session.leave(name)
            _say(f"You left the queue of {name}.")
            return
        reply = session.release(name)
        if reply.get("status") == "not_locked":
            raise UsageProblem(
                f"This kernel is not logged in to {name}, so there is nothing to give back; "
                f"%motor_status {name} shows who has it."
            )
        _say(f"{name} passes on when it is at rest." if reply.get("draining") else f"You gave {name} back.")

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
        names = self._names_of(local_ns)
        out, words = _output(tokens(line.rstrip().removesuffix(";")))
        if cell is None:
            name, words = self._addressed(words, names)
            value = self._run(name, read_call(words, name, self._declared(name), names))
            kept: object = value
        else:
            name = self._one_name([fill(word, names) for word in words])
            results = [self._run(name, call) for call in read_cell(cell, name, self._declared(name), names)]
            value, kept = (results[-1] if results else None), results
        if out:
            self._shell.user_ns[out] = kept
        return value

    @no_var_expand
    @needs_local_scope
    @line_magic
    def motor_status(self, line: str, local_ns: Names | None = None) -> None:
        """Show who has a motor, who waits and what it reads: `%motor_status [NAME]`; without a name, of all."""
        session, now = self.session, datetime.now().astimezone()
        words = self._words(line, local_ns)
        held = sorted(session.held())
        if not words and len(held) != 1:
            names = self._all_names(session)
            _say("\n".join(view.headline(session.status(name), session.session_id, now=now) for name in names))
            return
        for name in words or held:
            _say(view.plain(session.status(name), session.session_id, now=now))

    @no_var_expand
    @needs_local_scope
    @line_magic
    def motor_stop(self, line: str, local_ns: Names | None = None) -> None:
        """Stop a motor now, whoever holds it: `%motor_stop [NAME]`; without a name, all that this kernel holds."""
        words = self._words(line, local_ns)
        names = words or sorted(self.session.held())
        if not names:
            listed = ", ".join(self._all_names(self.session))
            raise UsageProblem(f"This kernel holds nothing; say what to stop with %motor_stop NAME, of {listed}.")
        stopped = stop_all(self.session, names)
        if not stopped.delivered:
            raise MotorlockError(f"{stopped.clause}.")
        _say(f"{stopped.clause}.")

    @no_var_expand
    @needs_local_scope
    @line_magic
    def motor_resume(self, line: str, local_ns: Names | None = None) -> None:
        """Allow commands again after somebody else stopped your motor: `%motor_resume [NAME]`."""
        name = self._named(line, local_ns)
        self.session.resume(name)
        _say(f"{name} takes commands again.")

    @no_var_expand
    @needs_local_scope
    @line_magic
    def motor_panel(self, line: str, local_ns: Names | None = None) -> None:
        """Show the live panel of a motor: `%motor_panel [NAME]`."""
        self._show(self._named(line, local_ns), panel=True)

    @property
    def session(self) -> KernelSession:
        """This kernel's session; nothing is sent before it is used. A changed address or user makes a new one."""
        wanted = (self.authority_url, self.user, self.token)
        if self.current is not None and wanted != self._made_for:
            held = sorted(self.current.held())
            if held:
                _, self.user, _ = self._made_for
                raise UsageProblem(
                    f"This kernel holds {' and '.join(held)} as {self.current.user}; "
                    "log out before you change the user or the address."
                )
            self.close()
        if self.current is None:
            self._made_for = wanted
            token = self.token or os.environ.get("MOTORLOCK_TOKEN")
            self.current = KernelSession(self.authority_url, user=self.user or None, token=token or None)
        return self.current

    def known(self) -> Known:
        """Return what Tab may offer; asks nobody."""
        heard = self.current
        held = sorted(heard.held()) if heard else []
        names = self._names.union(held, heard.statuses if heard else ())
        return Known(sorted(names), held, dict(self._commands))

    def close(self) -> None:
        """Take the panels off the page and end the session."""
        for panel in self._panels.values():
            panel.close()
        self._panels.clear()
        if self.current is not None:
            session, self.current = self.current, None
            session.close()

    def _words(self, line: str, local_ns: Names | None) -> list[str]:
        """Return the words of a line, filled in; a `;` at its end is IPython's, to silence the value."""
        names = self._names_of(local_ns)
        return [fill(word, names) for word in tokens(line.rstrip().removesuffix(";"))]

    def _names_of(self, local_ns: Names | None) -> Names:
        return ChainMap(dict(local_ns or {}), self._shell.user_ns)

    def _named(self, line: str, local_ns: Names | None) -> str:
        return self._one_name(self._words(line, local_ns))

    def _one_name(self, words: list[str]) -> str:
        """Return the one name given, or the only one that is held."""
        if len(words) > 1:
            raise UsageProblem(f"One name is taken at a time, and {len(words)} were given: {' '.join(words)}.")
        if words:
            return words[0]
        here = self._here()
        if len(here) == 1:
            return here[0]
        if here:
            raise UsageProblem(f"This kernel is logged in to {' and '.join(here)}; say which one is meant.")
        raise UsageProblem("This kernel is not logged in to anything; log in first: %motor_login NAME")

    def _addressed(self, words: list[str], names: Names) -> tuple[str, list[str]]:
        """Split `[NAME] COMMAND ...`; a first word that is a command of the only one held is no name."""
        if not words:
            raise UsageProblem("Say what to do: %motor NAME COMMAND, for example %motor stage_x move_to 12.5")
        first, here = fill(words[0], names), self._here()
        if len(here) == 1 and first != here[0] and first in self._declared(here[0]):
            return here[0], words
        if len(words) > 1 or first in here:
            return first, self._with_command(first, words[1:])
        return self._one_name([]), words

    def _with_command(self, name: str, words: list[str]) -> list[str]:
        if not words:
            listed = ", ".join(sorted(self._declared(name)))
            raise UsageProblem(f"Say what {name} is to do: it has {listed}.")
        return words

    def _here(self) -> list[str]:
        """Return what this kernel is logged in to, as holder or observer, as far as it knows."""
        session = self.session
        return sorted({*session.held(), *_observed(session)})

    def _declared(self, name: str) -> dict[str, Command]:
        if name not in self._commands:
            self._remember(self.session, name)
        return self._commands[name]

    def _remember(self, session: KernelSession, name: str) -> None:
        self._commands[name] = declared(session.describe(name))

    def _run(self, name: str, call: Call) -> object:
        return run(self.session, name, call)

    def _only_motor(self, session: KernelSession) -> str:
        found = session.equipment_list()
        self._names.update(str(item["id"]) for item in found)
        motors = [item for item in found if item.get("kind") == "motor"]
        if len(motors) == 1:
            return str(motors[0]["id"])
        listed = ", ".join(_offered(item) for item in found) or "nothing"
        raise UsageProblem(f"Say which one with %motor_login NAME; there is {listed}.")

    def _all_names(self, session: KernelSession) -> list[str]:
        self._names.update(str(item["id"]) for item in session.equipment_list())
        return sorted(self._names)

    def _show(self, name: str, *, panel: bool) -> None:
        if not panel:
            return
        if name not in self._panels:
            self._panels[name] = Panel(self.session, name)
        display(self._panels[name].widget)  # type: ignore[no-untyped-call]  # IPython has no types there


def _offered(item: Mapping[str, object]) -> str:
    holder = item.get("holder")
    who = holder.get("user") if isinstance(holder, Mapping) else holder
    return f"{item['id']} ({who} has it)" if who else f"{item['id']} ({item.get('state', 'free')})"


def _observed(session: KernelSession) -> list[str]:
    statuses, me = session.statuses, session.session_id
    return [name for name, status in statuses.items() if me and me in (status.get("observer_sessions") or ())]


def _queued(status: Mapping[str, object], session_id: str) -> bool:
    queue = status.get("queue")
    return isinstance(queue, list) and any(entry.get("session_id") == session_id for entry in queue)


def _output(words: list[str]) -> tuple[str, list[str]]:
    """Take `-o VAR` off the words."""
    if "-o" not in words:
        return "", words
    at = words.index("-o")
    variable = words[at + 1] if at + 1 < len(words) else ""
    if not variable.isidentifier():
        raise UsageProblem("-o needs the name of a variable, for example -o result")
    return variable, words[:at] + words[at + 2 :]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")

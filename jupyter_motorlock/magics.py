"""What the user types: each magic parses its line, asks once and shows one line."""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
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

from jupyter_motorlock import meant, view
from jupyter_motorlock.cells import Cell
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.handle import Handle, Handles, login
from jupyter_motorlock.interrupt import stop_all
from jupyter_motorlock.lines import Line, Mistake, fill, read_cell, read_line, tokens, unsilenced
from jupyter_motorlock.options import read, read_span
from jupyter_motorlock.panel import panel_of
from jupyter_motorlock.progress import shown
from jupyter_motorlock.restart import Memory
from jupyter_motorlock.rows import Rows
from jupyter_motorlock.session import KernelSession

Names = Mapping[str, object]


def _of_words(method: Callable[..., object]) -> Callable[..., object]:
    """Make a line magic of a method that takes the words of the line and, by name, the options that it has.

    The user's values are filled in.
    """

    @wraps(method)
    def magic(self: MotorMagics, line: str, local_ns: Names | None = None) -> object:
        filled = partial(fill, names=self._names_of(local_ns))
        words, given = read(method.__name__, _words(line), filled)
        return method(self, [filled(word) for word in words], **given)

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
        self._memory = Memory(shell)

    @_of_words
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
        names = list(dict.fromkeys(names)) or [meant.only_motor(session)]
        for name in names:
            meant.commands(session, name)
        handles = login(session, names, on_answer=None if no_panel else partial(self._show, *names), **given)
        session.busy(True)  # the session may be younger than the cell
        named = " and ".join(names)
        if given["watch"]:
            say(f"You are watching {named}.")
        else:
            say(f"{named} {'is' if len(names) == 1 else 'are'} yours.")
        return handles[0] if len(names) == 1 else handles

    @_of_words
    def motor_logout(self, names: list[str], to: str | None, force: str | None) -> None:
        """Give a motor back, or leave its queue.

        ::

          %motor_logout [NAME ...] [--to USER] [--force REASON]

        --to USER       hand it over to somebody who waits for it: %motor_logout stage_x --to bob
        --force REASON  take it from whoever has it; it is stopped, and they are told who did it and why:
                        %motor_logout stage_x --force "the sample is melting"
        """
        if not names and not meant.logged_in(self.session):
            say("This kernel is not logged in to anything, so there is nothing to give back.")
            return
        for name in names or [meant.one(self.session, [])]:
            say(self._logout(name, to, force))

    def _logout(self, name: str, to: str | None, force: str | None) -> str:
        session = self.session
        if to is not None:
            draining = session.hand_over(name, to)["state"] == "draining"
            return f"{name} is handed over to {to}{' as soon as it is at rest' if draining else ''}."
        if force is None and session.leave(name):
            return f"You left the queue of {name}."
        reply = session.release(name, force=force is not None, reason=force)
        if reply.get("status") == "not_locked":
            nobody = f"Nobody has {name}" if force else f"This kernel is not logged in to {name}"
            return f"{nobody}, so there is nothing to give back; %motor_status {name} shows who has it."
        if force is not None:
            return f"{name} was taken from its holder, who is told that you did it and why."
        return f"{name} passes on when it is at rest." if reply.get("draining") else f"You gave {name} back."

    @_of_words
    def motor_keep(self, words: list[str]) -> None:
        """Promise until when you need a motor, so that idling does not end it: `%motor_keep 3h "overnight scan"`.

        ::

          %motor_keep [NAME] TIME [NOTE]

        TIME is such as `45min`, `3h` or `1h30min`; `0s` takes the promise back. Others see the time and the note.
        """
        named, rest = meant.named_first(self.session, words)
        name, seconds = named or meant.one(self.session, []), read_span(rest[0]) if rest else None
        if seconds is None or len(rest) > 2:
            raise UsageProblem('Say for how long, such as 45min, 3h or 1h30min: %motor_keep 3h "overnight scan"')
        kept = self.session.keep(name, seconds, *rest[1:])["kept"]
        say(f"{name} is kept{view.until(kept, _now())}." if kept else f"{name} is no longer kept; idling runs again.")

    @_of_words
    def motor_ask(self, words: list[str], within: float) -> None:
        """Wait for a motor without blocking, and ask its holder to yield: `%motor_ask stage_x "five minutes"`.

        ::

          %motor_ask NAME [REASON] [--within TIME]

        You are told the answer, and your turn, when a later cell ends.

        --within TIME  how long the holder has to answer, 2min if nothing is said: --within 90s
        """
        name, *reason = words or [""]
        if not name or len(reason) > 1:
            raise UsageProblem('Say for what you ask, and why: %motor_ask NAME "REASON" --within 2min')
        session = self.session
        meant.commands(session, name)
        if session.acquire(name, queue=True)["status"] != "queued":
            say(f"{name} is yours.")
            return
        status = session.ask(name, *reason, seconds=within)
        say(view.headline(status, session.session_id, now=_now()), f"{status['holder']['user']} is asked to yield.")

    @_of_words
    def motor_answer(self, words: list[str], to: str | None) -> None:
        """Answer somebody who asks for a motor of yours: `%motor_answer yes`, `no`, or a time such as `10min`.

        ::

          %motor_answer [NAME] yes | no | TIME [NOTE] [--to USER]

        `yes` hands it over now. A TIME is when you mean to be done; nothing ends your lock then.

        --to USER  whom you answer, where several ask: %motor_answer no --to bob
        """
        named, rest = meant.named_first(self.session, words)
        answer = rest[0] if rest else ""
        seconds = read_span(answer)
        if (answer not in ("yes", "no") and seconds is None) or len(rest) > 2:
            raise UsageProblem('Answer yes, no or a time: %motor_answer 10min "two more scans"')
        name, entry = meant.asking(self.session, named, to)
        what = {"yes": "yield", "no": "no"}.get(answer, "later")
        note = rest[1] if len(rest) > 1 else None
        self.session.answer(name, entry["queue_id"], what, seconds=seconds, note=note)
        say(f"{name} is handed over to {entry['user']}." if what == "yield" else f"{entry['user']} is told.")

    @_of_words
    def motor_swap(self, words: list[str]) -> None:
        """Offer to swap places with somebody who waits too, or agree to their offer: `%motor_swap NAME USER`."""
        if len(words) != 2:
            raise UsageProblem("Say for what and with whom: %motor_swap NAME USER")
        session, (name, user) = self.session, words
        places = [x["queue_id"] for x in session.status(name)["queue"] if x["user"] == user]
        if len(places) != 1:
            raise UsageProblem(f"{'Nobody' if not places else 'More than one'} of that name waits for {name}: {user}.")
        status = session.swap(name, places[0])
        if view.place(status, session.session_id)["swap_with"]:
            say(f"{user} has to agree: %motor_swap {name} {session.user}")
        else:
            say(f"You have swapped: {view.standing(status, session.session_id)}.")

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
        session, names = self.session, self._names_of(local_ns)
        line, silent = unsilenced(line)
        words, given = read("motor", tokens(line), partial(fill, names=names))
        if given["no_wait"] and given["timeout_s"] is not None:
            raise UsageProblem("What --no-wait does not wait for, --timeout cannot end; leave one of the two out.")
        if cell is None:
            words[:1] = [fill(word, names) for word in words[:1]]
            name, rest = meant.addressed(session, words)
            lines: list[Line | Mistake] = [read_line(rest, name, meant.commands(session, name), names)]
        else:
            body, ends_silent = unsilenced(cell)
            silent |= ends_silent
            name = meant.one(session, [fill(word, names) for word in words])
            lines = read_cell(body, name, meant.commands(session, name), names)
        called = Cell(session, name, lines, no_wait=given["no_wait"])
        if given["dry_run"]:
            say(called.dry_run())
            return None
        called.prepare()
        quiet = silent or cell is None
        live = not quiet and bool(lines) and getattr(self._shell, "kernel", None) is not None
        try:
            with shown(session, called) if live else nullcontext():
                value = called.run(timeout_s=given["timeout_s"], say=_say_nothing if quiet else say)
        finally:
            if given["out"] and (cell is not None or called.results):
                self._shell.user_ns[given["out"]] = called.results if cell is not None else called.results[0]
        return None if silent else value

    @_of_words
    def motor_status(self, words: list[str]) -> Rows | None:
        """Show who has a motor, who waits and what it reads: `%motor_status [NAME ...]`; without a name, of all.

        `rows = %motor_status` shows nothing and keeps a row for each motor: `pandas.DataFrame(rows)`.
        """
        return _shown(self.session.rows(*words))

    @_of_words
    def motor_events(self, words: list[str], last: int) -> Rows | None:
        """Show the newest events of a motor: `%motor_events [NAME] [--last N]`.

        `rows = %motor_events` shows nothing and keeps a row for each event: `pandas.DataFrame(rows)`.

        --last N  how many, up to 1000; 20 is usual: %motor_events stage_x --last 100
        """
        return _shown(self.session.events(meant.one(self.session, words), last))

    @_of_words
    def motor_history(self, names: list[str], since: str | None, last: int | None, plot: bool) -> object:
        """Return what happened to motors as a DataFrame: `history = %motor_history stage_x`.

        ::

          %motor_history [NAME ...] [--since TIME] [--last N] [--plot]

        Without a name it is of all there is. It needs the extra `plots`: pip install "jupyter-motorlock[plots]".

        --since TIME  a span such as 8h or 2d, or a time such as 2026-11-21T18:00; 24h is usual
        --last N      the newest N events of each instead: %motor_history stage_x --last 100
        --plot        show who had it when and where it was, too: %motor_history stage_x --since 8h --plot
        """
        history = self.session.history(*names, since=since, last=last)
        if plot:
            from jupyter_motorlock.extras.plots import picture  # matplotlib is loaded when it is needed

            display(picture(history))  # type: ignore[no-untyped-call]  # IPython has no types there
        return history

    @_of_words
    def motor_stop(self, words: list[str]) -> None:
        """Stop a motor now, whoever holds it: `%motor_stop [NAME]`; without a name, all that this kernel holds."""
        session = self._connected()  # what became of an earlier kernel has to wait
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
    def motor_clear_fault(self, words: list[str]) -> None:
        """Say that a motor at fault stands and may be driven again: `%motor_clear_fault NAME REASON`.

        REASON is what you found and did; everybody is shown it, with your name.
        """
        name, reason = words[0] if words else "", " ".join(words[1:])
        if not reason:
            raise UsageProblem("Say of what, and what you found and did: %motor_clear_fault NAME REASON")
        session = self.session
        meant.commands(session, name)
        session.clear_fault(name, reason)
        headline = view.headline(session.status(name), session.session_id, now=_now())
        say(f"The fault of {name} is cleared. {headline}")

    @_of_words
    def motor_panel(self, words: list[str]) -> None:
        """Show the live panel of a motor, of several as rows, or of all: `%motor_panel [NAME ...]`."""
        for name in words:
            meant.commands(self.session, name)
        self._show(*words)

    @property
    def session(self) -> KernelSession:
        """This kernel's session; the first time after a restart says what became of the kernel's locks."""
        session = self._connected()
        say(*self._memory.tell(session))
        return session

    def _connected(self) -> KernelSession:
        """Return the session; a changed address or user makes a new one, and is refused while something is held."""
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
            self.current.held_changed = partial(self._memory.keep, self.current)
        return self.current

    def close(self) -> None:
        """Take the panels off the page and end the session."""
        if self.current is not None:
            session, self.current = self.current, None
            session.close()

    def _names_of(self, local_ns: Names | None) -> Names:
        return ChainMap(dict(local_ns or {}), self._shell.user_ns)

    def _show(self, *names: str) -> None:
        display(panel_of(self.session, *names).widget)  # type: ignore[no-untyped-call]  # IPython has no types there


def _words(line: str) -> list[str]:
    """Return the words of a line, without the `;` that silences its value."""
    return tokens(unsilenced(line)[0])


def _shown(rows: Rows) -> Rows | None:
    """Print the rows, or return them where the typed line keeps them, as `rows = %motor_status` does."""
    typed = [outer.line for outer, inner in pairwise(extract_stack()) if inner.name == "run_line_magic"]
    if not typed or not (typed[-1] or "").startswith("get_ipython()"):
        return rows
    say(repr(rows))
    return None


def _now() -> datetime:
    return datetime.now().astimezone()


def _say_nothing(*_sentences: str) -> None:
    pass


def say(*sentences: str) -> None:
    """Print each on a line."""
    sys.stdout.writelines(f"{sentence}\n" for sentence in sentences)

"""What every magic stands on: one kernel's session and settings, and how a typed line becomes words."""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, needs_local_scope, no_var_expand, output_can_be_silenced
from traitlets import Unicode

from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.client.stop_line import split_stop
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.notebook.command_lines import fill_names, split_line, without_semicolon
from jupyter_motorlock.notebook.options import read, unquoted
from jupyter_motorlock.notebook.restart import RestartNote

Names = Mapping[str, object]


class KernelMagics(Magics):
    """The session that the magics of one kernel share, made when it is first needed."""

    authority_url = Unicode(help="Address of the authority; else MOTORLOCK_URL.").tag(config=True)
    user = Unicode(help="Who you are; else MOTORLOCK_USER, the Hub's or the system's user name.").tag(config=True)
    token = Unicode(help="The lab's shared secret, where there is one; else MOTORLOCK_TOKEN.").tag(config=True)

    ca_file = Unicode(help="The certificates trusted for https, a file; else MOTORLOCK_CA_FILE.").tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self._shell = shell
        self.current: KernelSession | None = None
        self._made_for = ("", "", "", "")
        self._memory = RestartNote(shell)

    @property
    def session(self) -> KernelSession:
        """This kernel's session; the first time after a restart says what became of the kernel's locks."""
        session = self.connected()
        print_sentence(*self._memory.report(session))
        return session

    def connected(self) -> KernelSession:
        """Return the session; a changed address or user makes a new one, and is refused while something is held."""
        wanted = (self.authority_url, self.user, self.token, self.ca_file)
        if self.current is not None and wanted != self._made_for:
            if held := sorted(self.current.mirror.held()):
                self.authority_url, self.user, self.token, self.ca_file = self._made_for
                raise UsageProblem(
                    f"This kernel holds {' and '.join(held)} as {self.current.user}; "
                    "log out before you change the user or the address."
                )
            self.close()
        if self.current is None:
            url, user, token, ca_file = self._made_for = wanted
            self.current = KernelSession(url or None, user=user or None, token=token or None, ca_file=ca_file or None)
            self.current.mirror.held_changed = partial(self._memory.keep, self.current)
        return self.current

    def refuse_words_without_quotes(self, option: str, words: Sequence[str]) -> None:
        """Raise `UsageProblem` where a text of several words is typed without quotes; equipment may follow a text."""
        known = self.session.equipment_ids()
        if not set(known).issuperset(words[1:]):
            text = " ".join(word for word in words if word not in known)
            raise UsageProblem(f'Put the text in quotes: {option} "{text}"')

    def close(self) -> None:
        """Take the panels off the page and end the session."""
        if self.current is not None:
            session = self.current
            self.current = None
            session.close()

    def names_of(self, local_ns: Names | None) -> Names:
        """Return the variables that a line may name, those of the place where it stands first."""
        return ChainMap(dict(local_ns or {}), self._shell.user_ns)


def from_words(method: Callable[..., object]) -> Callable[..., object]:
    """Make a line magic of a method that takes the words of the line and, by name, the options that it has.

    The user's values are filled in.
    """

    @wraps(method)
    def magic(self: KernelMagics, line: str, local_ns: Names | None = None) -> object:
        line, stop = split_stop(line)
        if stop is not None:
            self._shell.run_line_magic("motor_stop", stop)
        filled = partial(fill_names, names=self.names_of(local_ns))
        typed = words_of(line)
        words, given = read(method.__name__, typed, filled)
        if several := unquoted(method.__name__, typed):
            self.refuse_words_without_quotes(*several)
        return method(self, [filled(word) for word in words], **given)

    made: Callable[..., object] = no_var_expand(needs_local_scope(output_can_be_silenced(line_magic(magic))))
    return made


def words_of(line: str) -> list[str]:
    """Return the words of a line, without the `;` that silences its value."""
    return split_line(without_semicolon(line)[0])


def print_sentence(*sentences: str) -> None:
    """Print each on a line."""
    sys.stdout.writelines(f"{sentence}\n" for sentence in sentences)

"""Tab completion of what may be typed into a magic's line and a cell of commands, from what is already known here.

It never asks the authority: a completion must not hang, and what was never heard of is not offered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import TypeAlias

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.interactiveshell import InteractiveShell

from jupyter_motorlock.client.commands import Command
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.client.targets import logged_in
from jupyter_motorlock.handle import Handle
from jupyter_motorlock.notebook.options import OPTIONS, split

Matcher: TypeAlias = Callable[[CompletionContext], SimpleMatcherResult]
Found: TypeAlias = Iterable[tuple[str, str]]
"""What may be typed, and what it is, as the popup labels it."""

_MAGIC = re.compile(r"\s*(?:\w[\w\s,]*=\s*)?(%{0,2})(motor(?:_\w+)?)\s(.*)", re.DOTALL)
_HANDLE = re.compile(r"(?:^|.*[^\w.])([A-Za-z_]\w*)\.(\w*)", re.DOTALL)
_NAME = re.compile(r"\{(\w*)$")
_TAKE_SEVERAL = frozenset({"motor_login", "motor_logout", "motor_status", "motor_stop", "motor_panel"})


def matcher(session: Callable[[], KernelSession | None], shell: InteractiveShell) -> Matcher:
    """Return a matcher to put into `Completer.custom_matchers`; `session` returns the kernel's, where it has one."""

    def complete_motor_line(context: CompletionContext) -> SimpleMatcherResult:
        if of_handle := _of_handle(shell, context.text_until_cursor):
            return of_handle
        line = context.text_until_cursor
        head = context.full_text.partition("\n")[0]
        in_cell = context.cursor_line > 0 and head.startswith("%%motor")
        typed = _MAGIC.fullmatch(f"{head} " if in_cell else line)
        begun = line.rpartition(" ")[2]
        found: Found = ()
        if typed and (name := _NAME.search(line)):
            begun = name[1]
            found = _variables(shell)
        elif typed and in_cell:
            found = _line(split("motor", typed[3].split())[0], line, session())
        elif typed:
            found = _suggestions(typed[2], typed[3], session(), whole_cell=typed[1] == "%%")
        texts = [SimpleCompletion(text=text, type=kind) for text, kind in found if text.startswith(begun)]
        return SimpleMatcherResult(completions=texts, suppress=bool(texts), matched_fragment=begun)

    marked: Matcher = context_matcher(identifier="motorlock")(complete_motor_line)
    return marked


def _of_handle(shell: InteractiveShell, line: str) -> SimpleMatcherResult | None:
    """Return what may follow `stage.` where that is a handle: what the motor can do first, then the handle's own."""
    typed = _HANDLE.fullmatch(line)
    handle = None
    if typed:
        handle = shell.user_ns.get(typed[1])
    if typed is None or not isinstance(handle, Handle):
        return None
    commands = handle.command_names
    own = [name for name in dir(handle) if not name.startswith("_") and name not in commands]
    kinds = [(name, "command") for name in commands]
    kinds += [(name, "function" if callable(getattr(Handle, name, None)) else "property") for name in own]
    found = [SimpleCompletion(text=text, type=kind) for text, kind in kinds if text.startswith(typed[2])]
    return SimpleMatcherResult(completions=found, suppress=bool(found), matched_fragment=typed[2], ordered=True)


def _suggestions(magic: str, text: str, session: KernelSession | None, *, whole_cell: bool) -> Found:
    """Yield what may stand at the end of a magic's line."""
    before = text.rpartition(" ")[0].split()
    given, awaited = split(magic, before)
    if awaited:
        return  # the value of an option is the user's own
    if magic == "motor" and not whole_cell:
        yield from _line([], text if not before else " ".join([*given, text.rpartition(" ")[2]]), session, names=True)
    elif session is not None and (not given or magic in _TAKE_SEVERAL):
        yield from ((name, "equipment") for name in sorted(session.mirror.statuses) if name not in given)
    yield from ((option.typed, "option") for option in OPTIONS.get(magic, ()) if option.typed not in before)


def _line(named: Sequence[str], line: str, session: KernelSession | None, *, names: bool = False) -> Found:
    """Yield what may stand at the end of a line of a cell for `named`; with `names` the line may begin with a name."""
    if session is None:
        return
    *before, begun = f"{line}|".split()
    known = sorted(session.mirror.statuses) if names else []
    if before[:1] and before[0] in known:
        named = before[:1]
        before = before[1:]
        known = []
    here = named or logged_in(session)
    commands = session.known_commands.get(here[0], {}) if len(here) == 1 else {}
    if not before:
        yield from ((name, "equipment") for name in known)
        yield from ((name, "command") for name in sorted(commands))
    elif before[0] in commands:
        yield from _values(commands[before[0]], before[1:], begun.removesuffix("|"))


def _values(command: Command, given: Sequence[str], begun: str) -> Found:
    """Yield the parameters that are not given yet, and the choices of the one whose turn it is or that is named."""
    named = {word.partition("=")[0] for word in given if "=" in word}
    left = [name for name in command.parameters if name not in named][sum("=" not in word for word in given) :]
    at, equals, _ = begun.partition("=")
    if equals and at in left:
        yield from ((f"{at}={choice}", "value") for choice in command.choices(at))
        return
    yield from ((choice, "value") for choice in (command.choices(left[0]) if left else ()))
    yield from ((f"{name}=", "parameter") for name in left)


def _variables(shell: InteractiveShell) -> Found:
    """Yield the user's variables that could be filled in."""
    for name, value in sorted(shell.user_ns.items()):
        is_own = not name.startswith("_") and name not in shell.user_ns_hidden
        if is_own and not callable(value) and not isinstance(value, ModuleType):
            yield name, "variable"

"""Tab completion of motor names, options, commands and parameters, from what is already known here.

It never asks the authority: a completion must not hang, and what was never heard of is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from jupyter_motorlock.lines import Command

Matcher: TypeAlias = Callable[[CompletionContext], SimpleMatcherResult]

OPTIONS: Mapping[str, Sequence[str]] = {
    "motor_login": ("--as", "--wait", "--watch", "--note", "--timeout", "--no-panel"),
    "motor": ("-o",),
}
NAMED = ("motor", "motor_login", "motor_logout", "motor_panel", "motor_resume", "motor_status", "motor_stop")


@dataclass(frozen=True)
class Known:
    """What this kernel has heard so far: all names, the names it holds, the commands of each."""

    names: Sequence[str]
    held: Sequence[str]
    commands: Mapping[str, Mapping[str, Command]]


def matcher(known: Callable[[], Known]) -> Matcher:
    """Return a matcher to put into `Completer.custom_matchers`."""

    def complete_motor_line(context: CompletionContext) -> SimpleMatcherResult:
        found = suggestions(context.full_text.split("\n"), context.cursor_line, context.text_until_cursor, known())
        begun = context.text_until_cursor.split()[-1:] if context.text_until_cursor[-1:].strip() else []
        fragment = begun[0] if begun else ""
        texts = [SimpleCompletion(text=text, type=kind) for text, kind in found if text.startswith(fragment)]
        return SimpleMatcherResult(completions=texts, suppress=bool(texts), matched_fragment=fragment)

    marked: Matcher = context_matcher(identifier="motorlock")(complete_motor_line)
    return marked


def suggestions(cell: Sequence[str], at: int, line: str, known: Known) -> list[tuple[str, str]]:
    """Return what may stand at the end of `line`, the text before the cursor in line `at`, with its type."""
    words = line.split()
    before = words if not line[-1:].strip() else words[:-1]
    if at > 0 and cell[0].startswith("%%motor"):
        return _command_words(before, _commands(cell[0].split()[1:2], known))
    if not before or not before[0].startswith("%"):
        return []
    magic, given = before[0].lstrip("%"), before[1:]
    if magic not in NAMED:
        return []
    options = [(option, "option") for option in OPTIONS.get(magic, ()) if option not in given]
    if magic == "motor" and not before[0].startswith("%%"):
        named = bool(given) and given[0] in known.commands
        commands = _command_words(given[named:], _commands(given[:1] if named else [], known))
        return [*([] if given else _names(known.names)), *commands, *options]
    return [*([] if given else _names(known.names)), *options]


def _names(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, "motor") for name in sorted(names)]


def _commands(named: Sequence[str], known: Known) -> Mapping[str, Command]:
    """Return the commands of the named equipment, or of the only one that is held."""
    chosen = named[0] if named else known.held[0] if len(known.held) == 1 else ""
    return known.commands.get(chosen, {})


def _command_words(before: Sequence[str], commands: Mapping[str, Command]) -> list[tuple[str, str]]:
    if not before:
        return [(name, "command") for name in sorted(commands)]
    command = commands.get(before[0])
    if command is None:
        return []
    given = {word.partition("=")[0] for word in before[1:] if "=" in word}
    return [(f"{name}=", "parameter") for name in command.parameters if name not in given]

"""Tab completion of motor names, options, commands and parameters, from what is already known here.

It never asks the authority: a completion must not hang, and what was never heard of is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from jupyter_motorlock.meant import logged_in
from jupyter_motorlock.options import OPTIONS
from jupyter_motorlock.session import KernelSession

Matcher: TypeAlias = Callable[[CompletionContext], SimpleMatcherResult]


def matcher(session: Callable[[], KernelSession | None]) -> Matcher:
    """Return a matcher to put into `Completer.custom_matchers`; `session` returns the kernel's, where it has one."""

    def complete_motor_line(context: CompletionContext) -> SimpleMatcherResult:
        words = f"{context.text_until_cursor}|".split()  # the mark ends the word that is begun
        begun, cell = words.pop().removesuffix("|"), context.full_text.split("\n")[0]
        if context.cursor_line > 0 and cell.startswith("%%motor"):
            words = [*cell.split()[:2], *words]
        found = suggestions(words, session()) if words and words[0].lstrip("%").startswith("motor") else []
        texts = [SimpleCompletion(text=text) for text in found if text.startswith(begun)]
        return SimpleMatcherResult(completions=texts, suppress=bool(texts), matched_fragment=begun)

    marked: Matcher = context_matcher(identifier="motorlock")(complete_motor_line)
    return marked


def suggestions(words: Sequence[str], session: KernelSession | None) -> list[str]:
    """Return what may stand after `words`, which begin with the magic."""
    magic, given, known = words[0].lstrip("%"), words[1:], sorted(session.statuses) if session else []
    names = [] if given else known
    if magic != "motor" or session is None:
        return [*names, *(option.typed for option in OPTIONS.get(magic, ()) if option.typed not in given)]
    named = [word for word in given[:1] if word in known]
    here = named or logged_in(session)
    commands = session.known_commands.get(here[0], {}) if len(here) == 1 else {}
    before = given[len(named) :]
    if not before:
        return [*names, *sorted(commands)]
    parameters = commands[before[0]].parameters if before[0] in commands else {}
    return [f"{name}=" for name in parameters if not any(word.startswith(f"{name}=") for word in before)]

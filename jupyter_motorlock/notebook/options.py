"""The options of every magic: one table, by which lines are read, Tab completes and the help is checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import takewhile
from typing import Any

from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.text.units import A_TIME, read_seconds

_OPTION = re.compile(r"--?[A-Za-z]")  # -3 is a number


def _variable(text: str) -> str:
    if not text.isidentifier():
        raise ValueError
    return text


@dataclass(frozen=True)
class OptionValue:
    """What an option takes: in words, and how it is read; `read` raises `ValueError`."""

    wanted: str
    read: Callable[[str], object]


TEXT = OptionValue("a text", str)
REASON = OptionValue("a reason, which its holder is shown", str)
NUMBER = OptionValue("a whole number", int)
TIME = OptionValue(A_TIME, read_seconds)
VARIABLE = OptionValue("the name of a variable", _variable)


@dataclass(frozen=True)
class Option:
    """One option: how it is typed, by what name its magic gets it, and what it takes; a switch takes nothing."""

    typed: str
    name: str
    value: OptionValue | None = None
    default: object = None


OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "motor_login": (
        Option("--as", "user", TEXT),
        Option("--wait", "wait"),
        Option("--watch", "watch"),
        Option("--note", "note", TEXT),
        Option("--timeout", "timeout_s", TIME),
        Option("--priority", "priority", NUMBER, 0),
        Option("--no-panel", "no_panel"),
    ),
    "motor_logout": (Option("--to", "to", TEXT), Option("--force", "force", REASON)),
    "motor_keep": (Option("--long", "long"),),
    "motor": (
        Option("-o", "out", VARIABLE),
        Option("--timeout", "timeout_s", TIME),
        Option("--no-wait", "no_wait"),
        Option("--dry-run", "dry_run"),
    ),
    "motor_stop": (Option("--all", "everything"),),
    "motor_ask": (Option("--within", "within", TIME, 120.0),),
    "motor_answer": (Option("--to", "to", TEXT),),
    "motor_events": (Option("--last", "last", NUMBER, 20), Option("--ids", "ids")),
    "motor_history": (Option("--since", "since", TEXT), Option("--last", "last", NUMBER), Option("--plot", "plot")),
}


def split(magic: str, words: Sequence[str]) -> tuple[list[str], bool]:
    """Return the words that are no options nor their values, and whether a value is to follow the last."""
    takes = {option.typed for option in OPTIONS.get(magic, ()) if option.value}
    rest = [x for at, x in enumerate(words) if not _OPTION.match(x) and not (at and words[at - 1] in takes)]
    return rest, bool(words) and words[-1] in takes


def unquoted(magic: str, words: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the first option with a text of several words without quotes, and these words."""
    texts = {option.typed for option in OPTIONS.get(magic, ()) if option.value in (TEXT, REASON)}
    for place, word in enumerate(words):
        following = list(takewhile(lambda one: not _OPTION.match(one), words[place + 1 :]))
        if word in texts and len(following) > 1:
            return word, following
    return None


def read(magic: str, words: Sequence[str], filled: Callable[[str], str] = str) -> tuple[list[str], dict[str, Any]]:
    """Return the words of a line that are no options, and the options by name; `filled` puts in the user's values.

    Raises `UsageProblem` with a sentence that says what is allowed.
    """
    has = {option.typed: option for option in OPTIONS.get(magic, ())}
    given = {option.name: option.default if option.value else False for option in has.values()}
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word.startswith("--"):
            typed, equals, text = word.partition("=")
        else:
            typed, equals, text = (word, "", "")
        option = has.get(typed)
        if option is None:
            if _OPTION.match(word):
                raise UsageProblem(_unknown(magic, typed, list(has)))
            rest.append(word)
        elif option.value is None:
            if equals:
                raise UsageProblem(f"{typed} of %{magic} takes no value; write it alone.")
            given[option.name] = True
        else:
            given[option.name] = _read(magic, option, option.value, text if equals else next(left, ""), has, filled)
    return rest, given


def _read(
    magic: str, option: Option, value: OptionValue, text: str, has: Mapping[str, Option], filled: Callable[[str], str]
) -> object:
    if not text or text in has:
        raise UsageProblem(f"{option.typed} of %{magic} takes {value.wanted}, and none follows it.")
    try:
        return value.read(filled(text))
    except ValueError:
        raise UsageProblem(f"{option.typed} of %{magic} takes {value.wanted}, not {text!r}.") from None


def _unknown(magic: str, typed: str, has: Sequence[str]) -> str:
    if not has:
        return f"%{magic} has no option {typed}; it takes none."
    if near := get_close_matches(typed, has, n=1):
        return f"%{magic} has no option {typed}; did you mean {near[0]} (it has {', '.join(has)})?"
    return f"%{magic} has no option {typed}; it has {', '.join(has)}."

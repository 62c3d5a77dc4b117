"""What a person types into a line as if it were Python: a call, a loop, a variable without braces. Pure."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence

from jupyter_motorlock.errors import UsageProblem

_CALL = re.compile(r"(?:(?P<of>[A-Za-z_]\w*)\.)?(?P<command>[A-Za-z_]\w*)\s*\((?P<arguments>.*)\)", re.DOTALL)


def words_of_call(words: Sequence[str], equipment_id: str, names: Mapping[str, object]) -> Sequence[str]:
    """Return `move_to(3)`, or `stage_x.move_to(3)` of this equipment, as the words `move_to 3`, all else unchanged.

    Raises `UsageProblem` for a call of something else, and for a statement of Python.
    """
    if not words:
        return words
    if keyword.iskeyword(words[0]):
        raise UsageProblem(
            f"{words[0]} is Python, and a line here is one command; loops and the like belong in a normal cell, "
            "with the handle: for place in (1, 2, 3): stage.move_to(place)"
        )
    call = _CALL.fullmatch(" ".join(words))
    if call is None:
        return words
    of = call["of"]
    if of is not None and equipment_id not in (of, getattr(names.get(of), "equipment_id", None)):
        raise UsageProblem(f"This is for {equipment_id}, and {of} is another; write: {call['command']} VALUE")
    return [call["command"], *(argument.strip() for argument in call["arguments"].split(",") if argument.strip())]


def assigned_variable(words: Sequence[str], names: Mapping[str, object]) -> str:
    """Return a question that suggests braces where one of the words is a number among the user's variables."""
    for word in words:
        given = names.get(word)
        if isinstance(given, int | float) and not isinstance(given, bool):
            return f" did you mean {{{word}}}, your variable?"
    return ""

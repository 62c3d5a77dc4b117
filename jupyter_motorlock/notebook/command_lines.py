"""What a person types, brought into the form that the equipment declares, before anything is sent. Pure.

Only what is needed to send is looked at here: which command, which value is which parameter, and what JSON it
becomes. Whether a value is allowed is the authority's to say.
"""

from __future__ import annotations

import keyword
import re
import shlex
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jupyter_motorlock.client.commands import Command, unknown_command
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.notebook.options import OPTIONS
from jupyter_motorlock.text.units import is_number_with_unit

CELL_OPTIONS = frozenset(option.typed for option in OPTIONS["motor"])
_CALL = re.compile(r"(?:(?P<of>[A-Za-z_]\w*)\.)?(?P<command>[A-Za-z_]\w*)\s*\((?P<arguments>.*)\)", re.DOTALL)
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_FIELD = re.compile(r"([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\[[^][{}]+\])*)")
_STEP = re.compile(r"\.(\w+)|\[([^]]+)\]")
_INDEX = re.compile(r"-?\d+")
_LIKE_A_SPACE = {0xA0: " ", 0x202F: " ", 0x2009: " ", 0x3000: " ", 0xFEFF: None, 0x200B: None}  # from pages and chats
_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|(?:^|(?<=\s))#.*""")


@dataclass(frozen=True)
class CellMistake:
    """A line of a cell that cannot be sent, and why."""

    typed: str
    number: int
    problem: UsageProblem


def split_line(line: str) -> list[str]:
    """Split one typed line into words; quotes hold words together, a `#` after a space begins a comment."""
    plain = line.translate(_LIKE_A_SPACE)
    try:
        return shlex.split(_COMMENT.sub(r"\1", plain))
    except ValueError:
        raise UsageProblem("A quotation mark is not closed; close it, or put a \\ before it.") from None


def without_semicolon(text: str) -> tuple[str, bool]:
    """Return `text` without the `;` at its end, which silences the value as in IPython, and whether there was one."""
    before, newline, last = text.rstrip().rpartition("\n")
    bare = _COMMENT.sub(r"\1", last).rstrip()
    if bare.endswith(";"):
        return (f"{before}{newline}{bare[:-1]}", True)
    return (text, False)


class _Filler(string.Formatter):
    """Fills `{name}`, `{name.attribute}` and `{name[index]}`, each with a conversion and a format, and nothing else."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[object, str]:  # noqa: ARG002
        match = _FIELD.fullmatch(field_name)
        if match is None:
            raise ValueError(f"{field_name!r} is no name")
        path = match[1]
        try:
            value = kwargs[path]
            for attribute, key in _STEP.findall(match[2]):
                if attribute:
                    path += f".{attribute}"
                else:
                    path += f"[{key}]"
                if attribute.startswith("_"):
                    raise UsageProblem(f"{{{path}}} is not filled in: what begins with _ is the object's own.")
                if attribute:
                    value = getattr(value, attribute)
                elif _INDEX.fullmatch(key):
                    value = value[int(key)]
                else:
                    value = value[key]
        except (LookupError, AttributeError, TypeError):
            raise UsageProblem(f"{{{path}}} has no value here; define it in a cell above, or correct it.") from None
        return value, path

    def format_field(self, value: object, format_spec: str) -> str:
        # A value with units is typed without them.
        if isinstance(value, float) and not format_spec:
            return repr(float(value))
        return format(value, format_spec)


def fill_names(text: str, names: Mapping[str, object]) -> str:
    """Put values into `{name}`, `{name.attribute}`, `{name[index]}` and `{name:.3f}`; no expression is evaluated."""
    try:
        return _Filler().vformat(text, (), names)
    except (ValueError, TypeError):
        how = "a name stands in braces, as in {name}, {name.attribute}, {name[index]} or {name:.3f}, and no expression"
        raise UsageProblem(f"{text} cannot be filled in: {how}; double a brace that is meant.") from None


@dataclass(frozen=True)
class Line:
    """One command as it was typed, with its values filled in; `number` is that of its line in the cell."""

    typed: str
    command: Command
    parameters: Mapping[str, object]
    number: int | None = None


def read_line(
    words: Sequence[str], equipment_id: str, commands: Mapping[str, Command], names: Mapping[str, object]
) -> Line:
    """Read one command given as words (`move_to 12.5`, `move_to position=12.5`, also `move_to(12.5)`)."""
    if fill_names(words[0], names) not in commands:
        words = words_of_call(words, equipment_id, names)
    name = fill_names(words[0], names)
    if name not in commands:
        raise UsageProblem(unknown_command(name, equipment_id, commands))
    positional: list[object] = []
    named: dict[str, object] = {}
    typed = [name]
    for word in words[1:]:
        if word in CELL_OPTIONS:
            raise UsageProblem(f"{word} is an option; write it on the %%motor line.")
        match = _NAMED.fullmatch(word)
        if match is None:
            value = fill_names(word, names)
            typed.append(value)
            positional.append(value)
            continue
        key = match[1]
        value = fill_names(match[2], names)
        typed.append(f"{key}={value}")
        if key in named:
            raise UsageProblem(f"{name} got {key} twice; give it once.")
        named[key] = value
    try:
        parameters = commands[name].bind(_with_units(commands[name], positional), named)
    except UsageProblem as problem:
        if meant := assigned_variable(words[1:], names):
            raise UsageProblem(f"{str(problem).removesuffix('.')};{meant}") from None
        raise
    return Line(" ".join(typed), commands[name], parameters)


def _with_units(command: Command, positional: Sequence[object]) -> list[object]:
    """Return the values with the unit that is typed behind one as a part of it, as in `move_to 3 mm`."""
    declared = list(command.parameters.values())
    values: list[object] = []
    for value in positional:
        before = None
        if 0 < len(values) <= len(declared):
            before = declared[len(values) - 1]
        after = None
        if len(values) < len(declared):
            after = declared[len(values)]
        if before is not None and before["units"] and _is_unit_behind(values[-1], value, before, after):
            values[-1] = f"{values[-1]} {value}"
        else:
            values.append(value)
    return values


def _is_unit_behind(
    number: object, word: object, parameter: Mapping[str, Any], after: Mapping[str, Any] | None
) -> bool:
    if after is None:  # nothing else could stand there, so that another kind of unit is told as one
        return str(word).isalpha()
    return str(word) not in map(str, after["choices"] or ()) and is_number_with_unit(
        str(number), str(word), parameter["units"]
    )


def read_cell(
    body: str, equipment_id: str, commands: Mapping[str, Command], names: Mapping[str, object]
) -> list[Line | CellMistake]:
    """Read every line of a cell; in the place of a wrong one stands what is wrong with it."""
    lines: list[Line | CellMistake] = []
    for number, text in enumerate(body.splitlines(), start=2):  # line 1 is the %%motor line itself
        words: list[str] = []
        try:
            if words := split_line(text):
                lines.append(replace(read_line(words, equipment_id, commands, names), number=number))
        except UsageProblem as problem:
            lines.append(CellMistake(" ".join(words) or text.strip(), number, problem))
    return lines


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

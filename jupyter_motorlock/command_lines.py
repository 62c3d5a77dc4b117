"""What a person types, brought into the form that the equipment declares, before anything is sent. Pure.

Only what is needed to send is looked at here: which command, which value is which parameter, and what JSON it
becomes. Whether a value is allowed is the authority's to say.
"""

from __future__ import annotations

import inspect
import keyword
import re
import shlex
import string
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from jupyter_motorlock import status_text
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.options import OPTIONS
from jupyter_motorlock.typed_calls import assigned_variable, words_of_call
from jupyter_motorlock.units import WrongUnit, is_number_with_unit, number_in
from jupyter_motorlock.values import Value

CELL_OPTIONS = frozenset(option.typed for option in OPTIONS["motor"])
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_FIELD = re.compile(r"([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\[[^][{}]+\])*)")
_STEP = re.compile(r"\.(\w+)|\[([^]]+)\]")
_INDEX = re.compile(r"-?\d+")
_LIKE_A_SPACE = {0xA0: " ", 0x202F: " ", 0x2009: " ", 0x3000: " ", 0xFEFF: None, 0x200B: None}  # from pages and chats
_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|(?:^|(?<=\s))#.*""")


def _number(given: object, units: str | None) -> float:
    return number_in(given, units)


def _whole(given: object, units: str | None) -> int:
    number = number_in(given, units)
    if not number.is_integer():
        raise ValueError
    return int(number)


def _boolean(given: object, _units: str | None) -> bool:
    return {"true": True, "on": True, "false": False, "off": False}[str(given).lower()]


def _text(given: object, _units: str | None) -> str:
    return str(given)


_TYPES: Mapping[str, tuple[str, type, Callable[[object, str | None], object]]] = {
    "number": ("a number", float, _number),
    "integer": ("a whole number", int, _whole),
    "boolean": ("true or false", bool, _boolean),
    "text": ("a text", str, _text),
}


class Command:
    """One declared command (`Command` in docs/reference/rest.md); positional values follow its parameters."""

    def __init__(self, declared: Mapping[str, Any]) -> None:
        self.name: str = declared["name"]
        self.kind: str = declared["kind"]
        self.parameters: dict[str, Mapping[str, Any]] = {p["name"]: p for p in declared["parameters"]}
        self._declared = declared

    @property
    def usage(self) -> str:
        """How it is typed: `move_to POSITION`."""
        words = [name.upper() if p["required"] else f"[{name.upper()}]" for name, p in self.parameters.items()]
        return " ".join([self.name, *words])

    @property
    def help(self) -> str:
        """The docstring of the method: what it does, what each parameter is, what it returns."""
        units = self._declared["returns"]["units"]
        lines = [self._declared["doc"], "", *(_explained_mistake(p) for p in self.parameters.values())]
        if units:
            lines += [f"Returns a value in {units}."]
        if self.kind == "control":
            lines.append("It needs the lock.")
        else:
            lines.append("It changes nothing.")
        return "\n".join(lines)

    def choices(self, name: str) -> Sequence[str]:
        """Return what may be typed for a parameter, where that is a few words."""
        parameter = self.parameters[name]
        if parameter["choices"]:
            return [str(choice) for choice in parameter["choices"]]
        if parameter["type"] == "boolean":
            return ["true", "false"]
        return []

    @property
    def signature(self) -> inspect.Signature:
        """What Python shows for `stage.move_to?`, and how values are given their names.

        A parameter whose name is a word of Python's own, such as `lambda`, is `lambda_` there.
        """
        parameters: list[inspect.Parameter] = []
        for declared_name, parameter in self.parameters.items():
            name = python_name(declared_name, self.parameters)
            # Python has no required parameter after an optional one that could be positional.
            by_name = parameter["required"] and any(before.default is not before.empty for before in parameters)
            kind = inspect.Parameter.KEYWORD_ONLY if by_name else inspect.Parameter.POSITIONAL_OR_KEYWORD
            if parameter["required"]:
                default = inspect.Parameter.empty
            else:
                default = parameter["default"]
            parameters.append(inspect.Parameter(name, kind, default=default, annotation=_TYPES[parameter["type"]][1]))
        return inspect.Signature(parameters)

    def bind(self, positional: Sequence[object], named: Mapping[str, object]) -> dict[str, object]:
        """Return the parameters to send, or raise `UsageProblem` saying how the command is written."""
        written = {python_name(name, self.parameters): value for name, value in named.items()}
        if len(written) < len(named):
            raise UsageProblem(f"{self.name} got a parameter twice; write: {self.usage}")
        try:
            bound = self.signature.bind_partial(*positional, **written).arguments
        except TypeError as wrong:
            raise UsageProblem(f"{self.name}: {wrong}; write: {self.usage}") from None
        names = {python_name(name, self.parameters): name for name in self.parameters}
        given = {names[name]: value for name, value in bound.items()}
        for name, parameter in self.parameters.items():
            if parameter["required"] and name not in given:
                raise UsageProblem(f"{self.name} needs {name}, {_expected_text(parameter)}; write: {self.usage}")
        return {name: _value(self.parameters[name], value) for name, value in given.items()}

    def typed(self, answered: object) -> object:
        """Return what it answered, as a `Value` where it is declared to return a number with a unit."""
        returns = self._declared["returns"]
        if isinstance(answered, int | float) and returns["type"] == "number" and returns["units"]:
            return Value(answered, returns["units"])
        return answered


def python_name(name: str, declared_names: Collection[str]) -> str:
    """Return how Python code writes a declared name: a word of Python's own gets a `_` at its end."""
    if not keyword.iskeyword(name):
        return name
    written = f"{name}_"
    while written in declared_names:
        written += "_"
    return written


@dataclass(frozen=True)
class CellMistake:
    """A line of a cell that cannot be sent, and why."""

    typed: str
    number: int
    problem: UsageProblem


def command_from_description(description: Mapping[str, Any]) -> dict[str, Command]:
    """Return the commands in the answer of `GET equipment/{id}`, by name."""
    return {command["name"]: Command(command) for command in description["commands"]}


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


def unknown_command(name: str, equipment_id: str, commands: Collection[str]) -> str:
    """Return the sentence for a command that is not declared."""
    has = ", ".join(sorted(commands))
    if near := get_close_matches(name, commands, n=1):
        return f"{equipment_id} has no command {name}; did you mean {near[0]} (it has {has})?"
    return f"{equipment_id} has no command {name}; it has {has}."


def _expected_text(parameter: Mapping[str, Any]) -> str:
    """Return what it takes, for people: `a number in mm from 0 to 100`."""
    if parameter["choices"]:
        return "one of " + ", ".join(map(str, parameter["choices"]))
    units = ""
    if parameter["units"]:
        units = f" in {parameter['units']}"
    return _TYPES[parameter["type"]][0] + units + _span(parameter.get("low"), parameter.get("high"))


def _explained_mistake(parameter: Mapping[str, Any]) -> str:
    """Return a line of the help: `position: a number in mm from 0 to 100; where to go`."""
    if parameter["required"]:
        default = ""
    else:
        default = f", {status_text.value_text(parameter['default'])} if nothing is said"
    doc = ""
    if parameter["doc"]:
        doc = f"; {parameter['doc']}"
    return f"{parameter['name']}: {_expected_text(parameter)}{default}{doc}"


def _span(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {status_text.number_text(low)} to {status_text.number_text(high)}"
    if low is not None:
        return f", at least {status_text.number_text(low)}"
    if high is None:
        return ""
    return f", at most {status_text.number_text(high)}"


def _value(parameter: Mapping[str, Any], given: object) -> object:
    """Return `given` (a Python value, also numpy's, or typed text) as the declared JSON type."""
    try:
        return _TYPES[parameter["type"]][2](given, parameter["units"])
    except WrongUnit as wrong:
        raise UsageProblem(f"{parameter['name']} must be {_expected_text(parameter)}, not {given}: {wrong}.") from None
    except (TypeError, ValueError, LookupError, OverflowError):
        raise UsageProblem(f"{parameter['name']} must be {_expected_text(parameter)}, not {given!r}.") from None

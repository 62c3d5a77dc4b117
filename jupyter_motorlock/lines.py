"""What a person types, brought into the form that the equipment declares, before anything is sent. Pure.

Only what is needed to send is looked at here: which command, which value is which parameter, and what JSON it
becomes. Whether a value is allowed is the authority's to say.
"""

from __future__ import annotations

import argparse
import inspect
import math
import re
import shlex
import string
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, SupportsFloat, TypeAlias

from jupyter_motorlock.errors import UsageProblem

_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d)")
_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|(?:^|(?<=\s))#.*""")


def _number(given: object) -> float:
    number = math.nan if isinstance(given, bool) or not isinstance(given, str | SupportsFloat) else float(given)
    if not math.isfinite(number):
        raise ValueError
    return number


def _whole(given: object) -> int:
    number = _number(given)
    if not number.is_integer():
        raise ValueError
    return int(number)


def _truth(given: object) -> bool:
    return {"true": True, "on": True, "false": False, "off": False}[str(given).lower()]


_TYPES: Mapping[str, tuple[str, type, Callable[[object], object]]] = {
    "number": ("a number", float, _number),
    "integer": ("a whole number", int, _whole),
    "boolean": ("true or false", bool, _truth),
    "text": ("a text", str, str),
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
        lines = [self._declared["doc"], "", *(f"{n}: {_wanted(p)}; {p['doc']}" for n, p in self.parameters.items())]
        lines += [f"Returns a value in {units}."] if units else []
        return "\n".join([*lines, "It needs the lock." if self.kind == "control" else "It changes nothing."])

    @property
    def signature(self) -> inspect.Signature:
        """What Python shows for `stage.move_to?`, and how values are given their names."""
        parameters: list[inspect.Parameter] = []
        for name, p in self.parameters.items():
            # Python has no required parameter after an optional one that could be positional.
            by_name = p["required"] and any(before.default is not before.empty for before in parameters)
            kind = inspect.Parameter.KEYWORD_ONLY if by_name else inspect.Parameter.POSITIONAL_OR_KEYWORD
            default = inspect.Parameter.empty if p["required"] else p["default"]
            parameters.append(inspect.Parameter(name, kind, default=default, annotation=_TYPES[p["type"]][1]))
        return inspect.Signature(parameters)

    def bind(self, positional: Sequence[object], named: Mapping[str, object]) -> dict[str, object]:
        """Return the parameters to send, or raise `UsageProblem` saying how the command is written."""
        try:
            given = self.signature.bind_partial(*positional, **named).arguments
        except TypeError as wrong:
            raise UsageProblem(f"{self.name}: {wrong}; write: {self.usage}") from None
        for name, p in self.parameters.items():
            if p["required"] and name not in given:
                raise UsageProblem(f"{self.name} needs {name}, {_wanted(p)}; write: {self.usage}")
        return {name: _value(self.parameters[name], value) for name, value in given.items()}


Call: TypeAlias = tuple[Command, dict[str, object]]
"""A command and its parameters, ready to be sent."""


class _Parser(argparse.ArgumentParser):
    """Reads names and options; `magic` is whose."""

    def __init__(self, magic: str) -> None:
        super().__init__(magic, add_help=False, allow_abbrev=False)
        self.add_argument("names", nargs="*")

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"{self.prog}: {message}; {self.prog}? shows how it is written.")


def read_login(words: Sequence[str]) -> dict[str, Any]:
    """Return the options of a `%motor_login` line: `names`, `user`, `no_panel`, and those that `login` takes."""
    parser = _Parser("%motor_login")
    parser.add_argument("--as", dest="user")
    parser.add_argument("--note")
    parser.add_argument("--timeout", dest="timeout_s", type=int)
    parser.add_argument("--priority", type=int, default=0)
    for switch in ("--wait", "--watch", "--no-panel"):
        parser.add_argument(switch, action="store_true")
    return vars(parser.parse_args(list(words)))


def read_options(magic: str, words: Sequence[str], **defaults: object) -> dict[str, Any]:
    """Return `names` and the options of a line, each of the type of its default; None is a text."""
    parser = _Parser(magic)
    for option, default in defaults.items():
        parser.add_argument(f"--{option}", type=str if default is None else type(default), default=default)
    return vars(parser.parse_args(list(words)))


def read_span(text: str) -> float | None:
    """Return a length of time such as `3h`, `1h30min` or `45s` in seconds; None for what is none."""
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def declared(description: Mapping[str, Any]) -> dict[str, Command]:
    """Return the commands in the answer of `GET equipment/{id}`, by name."""
    return {command["name"]: Command(command) for command in description["commands"]}


def tokens(line: str) -> list[str]:
    """Split one typed line into words; quotes hold words together, a `#` after a space begins a comment."""
    try:
        return shlex.split(_COMMENT.sub(r"\1", line))
    except ValueError:
        raise UsageProblem("A quotation mark is not closed; close it, or put a \\ before it.") from None


def fill(text: str, names: Mapping[str, object]) -> str:
    """Put values into `{name}`, `{name.attribute}` and `{name[index]}`; no expression is evaluated."""
    try:
        return string.Formatter().vformat(text, (), names)
    except (LookupError, AttributeError, TypeError):
        raise UsageProblem(f"{text} has no value here; define it in a cell above, or correct it.") from None
    except ValueError:
        raise UsageProblem(f"{text} cannot be filled in; write {{name}}, or double a brace that is meant.") from None


def read_call(
    words: Sequence[str], equipment_id: str, commands: Mapping[str, Command], names: Mapping[str, object]
) -> Call:
    """Read one command given as words (`move_to 12.5`, `move_to position=12.5`)."""
    name = fill(words[0], names)
    if name not in commands:
        raise UsageProblem(unknown_command(name, equipment_id, commands))
    positional: list[object] = []
    named: dict[str, object] = {}
    for word in words[1:]:
        match = _NAMED.fullmatch(word)
        if match is None:
            positional.append(fill(word, names))
        elif match[1] in named:
            raise UsageProblem(f"{name} got {match[1]} twice; give it once.")
        else:
            named[match[1]] = fill(match[2], names)
    return commands[name], commands[name].bind(positional, named)


def read_cell(body: str, equipment_id: str, commands: Mapping[str, Command], names: Mapping[str, object]) -> list[Call]:
    """Read every line of a cell; the first that is wrong raises `UsageProblem` naming its number in the cell."""
    calls = []
    for number, line in enumerate(body.splitlines(), start=2):  # line 1 is the %%motor line itself
        try:
            if words := tokens(line):
                calls.append(read_call(words, equipment_id, commands, names))
        except UsageProblem as problem:
            raise UsageProblem(f"Line {number}: {problem}") from None
    return calls


def unknown_command(name: str, equipment_id: str, commands: Collection[str]) -> str:
    """Return the sentence for a command that is not declared."""
    has = ", ".join(sorted(commands))
    if near := get_close_matches(name, commands, n=1):
        return f"{equipment_id} has no command {name}; did you mean {near[0]} (it has {has})?"
    return f"{equipment_id} has no command {name}; it has {has}."


def _wanted(parameter: Mapping[str, Any]) -> str:
    """Return what it takes, for people: `a number in mm`."""
    if parameter["choices"]:
        return "one of " + ", ".join(map(str, parameter["choices"]))
    return _TYPES[parameter["type"]][0] + (f" in {parameter['units']}" if parameter["units"] else "")


def _value(parameter: Mapping[str, Any], given: object) -> object:
    """Return `given` (a Python value, also numpy's, or typed text) as the declared JSON type."""
    try:
        return _TYPES[parameter["type"]][2](given)
    except (TypeError, ValueError, LookupError, OverflowError):
        raise UsageProblem(f"{parameter['name']} must be {_wanted(parameter)}, not {given!r}.") from None

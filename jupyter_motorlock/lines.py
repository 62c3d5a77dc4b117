"""What a person types, checked against what the equipment declares before anything is sent. Pure."""

from __future__ import annotations

import argparse
import inspect
import math
import re
import shlex
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn, SupportsFloat

from jupyter_motorlock.errors import UsageProblem

Value = float | int | bool | str | None
"""What a parameter can be on the wire."""

_ARTICLE = {"number": "a number", "integer": "a whole number", "boolean": "true or false", "text": "a text"}
_PYTHON: dict[str, type] = {"number": float, "integer": int, "boolean": bool, "text": str}
_TRUTH = {"true": True, "on": True, "false": False, "off": False}
_FIELD = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[[^\[\]]+\])*")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; `type` is `number`, `integer`, `boolean` or `text`."""

    name: str
    type: str
    units: str | None
    required: bool
    default: object
    choices: tuple[object, ...]
    doc: str

    @property
    def wanted(self) -> str:
        """What it takes, for people: `a number in mm`."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        return _ARTICLE.get(self.type, self.type) + (f" in {self.units}" if self.units else "")

    def value(self, given: object) -> Value:
        """Return `given` (a Python value or typed text) as the declared JSON type, or raise `UsageProblem`."""
        value = _converted(self.type, given)
        if value is None or (self.choices and value not in self.choices):
            raise UsageProblem(f"{self.name} must be {self.wanted}, not {given!r}.")
        return value


@dataclass(frozen=True)
class Command:
    """One declared command; positional arguments follow the order of `parameters`."""

    name: str
    kind: str
    doc: str
    parameters: tuple[Parameter, ...]
    units: str | None

    @property
    def usage(self) -> str:
        """How it is typed: `move_to POSITION`."""
        words = [p.name.upper() if p.required else f"[{p.name.upper()}]" for p in self.parameters]
        return " ".join([self.name, *words])

    @property
    def help(self) -> str:
        """The docstring of the method: what it does, what each parameter is, what it returns."""
        lines = [self.doc, ""] if self.doc else []
        lines += [f"{p.name}: {p.wanted}" + (f"; {p.doc}" if p.doc else "") for p in self.parameters]
        lines += [f"Returns a value in {self.units}."] if self.units else []
        return "\n".join([*lines, "It needs the lock." if self.kind == "control" else "It changes nothing."])

    @property
    def signature(self) -> inspect.Signature:
        """What Python shows for `stage.move_to?`."""
        parameters = []
        optional = by_name = False
        for p in self.parameters:
            by_name = by_name or (optional and p.required)  # Python has none such that could be positional
            optional = optional or not p.required
            kind = inspect.Parameter.KEYWORD_ONLY if by_name else inspect.Parameter.POSITIONAL_OR_KEYWORD
            default = inspect.Parameter.empty if p.required else p.default
            annotation = _PYTHON.get(p.type, inspect.Parameter.empty)
            parameters.append(inspect.Parameter(p.name, kind, default=default, annotation=annotation))
        return inspect.Signature(parameters)

    def bind(self, positional: Sequence[object], named: Mapping[str, object]) -> dict[str, Value]:
        """Return the parameters to send, or raise `UsageProblem` saying how the command is written."""
        takes = ", ".join(p.name for p in self.parameters) or "no parameters"
        if len(positional) > len(self.parameters):
            were = "1 value was" if len(positional) == 1 else f"{len(positional)} values were"
            raise UsageProblem(f"{self.name} takes {takes}, and {were} given.")
        given: dict[str, object] = {p.name: v for p, v in zip(self.parameters, positional, strict=False)}
        known = {p.name for p in self.parameters}
        for name, value in named.items():
            if name not in known:
                raise UsageProblem(f"{self.name} has no parameter {name}; it takes {takes}.")
            if name in given:
                raise UsageProblem(f"{self.name} got {name} twice; give it once.")
            given[name] = value
        for p in self.parameters:
            if p.required and p.name not in given:
                raise UsageProblem(f"{self.name} needs {p.name}, {p.wanted}; write: {self.usage}")
        return {p.name: p.value(given[p.name]) for p in self.parameters if p.name in given}


@dataclass(frozen=True)
class Call:
    """A checked line, ready to be sent."""

    command: Command
    parameters: dict[str, Value]


class LoginLine(argparse.Namespace):
    """The options of `%motor_login`."""

    names: list[str]
    user: str | None
    wait: bool
    watch: bool
    note: str | None
    timeout_s: int | None
    no_panel: bool


class _LoginParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"%motor_login: {message}; %motor_login? shows how it is written.")


def read_login(words: Sequence[str]) -> LoginLine:
    """Return the options in the words of a `%motor_login` line."""
    parser = _LoginParser(add_help=False, allow_abbrev=False)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--as", dest="user")
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--note")
    parser.add_argument("--timeout", dest="timeout_s", type=int)
    parser.add_argument("--no-panel", action="store_true")
    return parser.parse_args(list(words), namespace=LoginLine())


def declared(description: Mapping[str, object]) -> dict[str, Command]:
    """Return the commands in the answer of `GET equipment/{id}`, by name."""
    return {command.name: command for command in map(_command, _objects(description.get("commands")))}


def tokens(line: str) -> list[str]:
    """Split one typed line into words; quotes hold words together, a `#` after a space begins a comment."""
    try:
        return shlex.split(_without_comment(line))
    except ValueError:
        raise UsageProblem("A quotation mark is not closed; close it, or put a \\ before it.") from None


def fill(text: str, names: Mapping[str, object]) -> str:
    """Put values into `{name}`, `{name.attribute}` and `{name[index]}`; nothing else is evaluated."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        raise UsageProblem(f"{text} has a lone brace; write {{name}}, or double it.") from None
    return "".join(literal + _filled(field, spec, how, names) for literal, field, spec, how in parts)


def read_call(
    words: Sequence[str], equipment_id: str, commands: Mapping[str, Command], names: Mapping[str, object]
) -> Call:
    """Check one command given as words (`move_to 12.5`, `move_to position=12.5`)."""
    name = fill(words[0], names)
    command = commands.get(name)
    if command is None:
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
    return Call(command, command.bind(positional, named))


def read_cell(body: str, equipment_id: str, commands: Mapping[str, Command], names: Mapping[str, object]) -> list[Call]:
    """Check every line of a cell; the first that is wrong raises `UsageProblem` naming its number in the cell."""
    calls = []
    for number, line in enumerate(body.splitlines(), start=2):  # line 1 is the %%motor line itself
        try:
            words = tokens(line)
            if words:
                calls.append(read_call(words, equipment_id, commands, names))
        except UsageProblem as problem:
            raise UsageProblem(f"Line {number}: {problem}") from None
    return calls


def unknown_command(name: str, equipment_id: str, commands: Iterable[str]) -> str:
    """Return the sentence for a command that is not declared."""
    known = sorted(commands)
    near = get_close_matches(name, known, n=1)
    has = ", ".join(known)
    if near:
        return f"{equipment_id} has no command {name}; did you mean {near[0]} (it has {has})?"
    return f"{equipment_id} has no command {name}; it has {has}."


def _filled(field: str | None, spec: str | None, how: str | None, names: Mapping[str, object]) -> str:
    if field is None:
        return ""
    if spec or how or not _FIELD.fullmatch(field):
        shown = field + (f"!{how}" if how else "") + (f":{spec}" if spec else "")
        raise UsageProblem(f"{{{shown}}} is not filled in: only {{name}}, {{name.attribute}} and {{name[index]}} are.")
    try:
        value, _ = string.Formatter().get_field(field, (), names)
    except (LookupError, AttributeError, TypeError):
        raise UsageProblem(f"{{{field}}} has no value here; define it in a cell above, or correct it.") from None
    return str(value)


def _without_comment(line: str) -> str:
    quote = ""
    for at, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"" and line[at - 1 : at] != "\\":
            quote = sign
        elif sign == "#" and (at == 0 or line[at - 1].isspace()):
            return line[:at]
    return line


def _converted(declared_type: str, given: object) -> Value:
    match declared_type:
        case "number":
            return _number(given)
        case "integer":
            number = _number(given)
            return int(number) if number is not None and number.is_integer() else None
        case "boolean":
            return given if isinstance(given, bool) else _TRUTH.get(str(given).lower())
        case _:
            return given if isinstance(given, str) else str(given)


def _number(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, str | SupportsFloat):
        return None
    try:
        number = float(given)  # also what numpy hands out in a scan
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _command(item: Mapping[str, object]) -> Command:
    returns = item.get("returns")
    units = returns.get("units") if isinstance(returns, Mapping) else None
    return Command(
        name=str(item["name"]),
        kind=str(item.get("kind", "control")),
        doc=str(item.get("doc") or ""),
        parameters=tuple(_parameter(p) for p in _objects(item.get("parameters"))),
        units=str(units) if units else None,
    )


def _parameter(item: Mapping[str, object]) -> Parameter:
    units, choices = item.get("units"), item.get("choices")
    return Parameter(
        name=str(item["name"]),
        type=str(item.get("type", "text")),
        units=str(units) if units else None,
        required=bool(item.get("required", True)),
        default=item.get("default"),
        choices=tuple(choices) if isinstance(choices, list | tuple) else (),
        doc=str(item.get("doc") or ""),
    )


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list | tuple):
        yield from (item for item in value if isinstance(item, Mapping))

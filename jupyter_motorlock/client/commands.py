"""The commands that equipment declares: how each is called, and what may be given to it. Pure."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text.units import WrongUnit, number_in
from jupyter_motorlock.text.values import Value


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
        lines = [self._declared["doc"], "", *(_parameter_help(p) for p in self.parameters.values())]
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
            default = inspect.Parameter.empty if parameter["required"] else parameter["default"]
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


def command_from_description(description: Mapping[str, Any]) -> dict[str, Command]:
    """Return the commands in the answer of `GET equipment/{id}`, by name."""
    return {command["name"]: Command(command) for command in description["commands"]}


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


def _parameter_help(parameter: Mapping[str, Any]) -> str:
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

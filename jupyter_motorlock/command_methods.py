"""What a handle has for each declared command: a method that runs it, and one behind `start` that only sends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jupyter_motorlock.command_call import PendingCommand
from jupyter_motorlock.command_lines import Command

Call = Callable[..., Any]


class CommandMethod:
    """One declared command as a method; shown without being called, it says how it is called."""

    def __init__(self, equipment_id: str, command: Command, call: Call, *, limits: str = "") -> None:
        self._equipment_id = equipment_id
        self._command = command
        self._call = call
        self.__name__ = self.__qualname__ = command.name
        self.__doc__ = f"{command.help}\n{limits}".rstrip()
        self.__signature__ = command.signature

    def __call__(self, *positional: object, **named: object) -> Any:
        """Run the command."""
        return self._call(self._command.name, *positional, **named)

    def __repr__(self) -> str:
        parameters = ", ".join(self._command.parameters)
        return f"{self._command.name} is a command of {self._equipment_id}: write {self._command.name}({parameters})"


class Start:
    """The commands of a handle as methods that return a `PendingCommand` at once: `await stage.start.move_to(5)`.

    Called itself, it is the declared command `start`, where the equipment has one.
    """

    def __init__(
        self, equipment_id: str, commands: Mapping[str, Command], *, send: Callable[..., PendingCommand], run: Call
    ):
        self._equipment_id = equipment_id
        self._commands = commands
        self._send = send
        self._run = run

    def __call__(self, *positional: object, **named: object) -> Any:
        """Run the declared command `start` to its end."""
        return self._run("start", *positional, **named)

    def __getattr__(self, name: str) -> Callable[..., PendingCommand]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._commands:
            return CommandMethod(self._equipment_id, self._commands[name], self._send)
        return lambda *positional, **named: self._send(name, *positional, **named)  # raises what is wrong with it

    def __dir__(self) -> Iterable[str]:
        return sorted(self._commands)

    def __repr__(self) -> str:
        return f"start.COMMAND(...) sends a command and does not wait for it: {', '.join(sorted(self._commands))}"

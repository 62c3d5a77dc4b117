"""One command on its way: sent under a key, waited for or awaited, stopped when it is interrupted or takes too long."""

from __future__ import annotations

import asyncio
import math
import sys
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jupyter_motorlock.client.commands import Command
from jupyter_motorlock.client.http import Json
from jupyter_motorlock.client.interrupt import (
    hear_interrupts,
    interrupts_limited,
    stop_after_interrupt,
    stop_and_describe,
)
from jupyter_motorlock.client.session import KernelSession, outcome_of_reply
from jupyter_motorlock.client.sigint import listener
from jupyter_motorlock.errors import CommandStopped, CommandTimedOut, Interrupted, StillRuns
from jupyter_motorlock.text import status as status_text


@dataclass(frozen=True)
class CommandCall:
    """One checked command to one piece of equipment; each method sends it."""

    session: KernelSession
    equipment_id: str
    command: Command
    parameters: Mapping[str, object]

    def run(self, timeout_s: float | None = None) -> object:
        """Return its value at its end; an interrupt stops the equipment, and so does the end of `timeout_s`.

        Raises `Interrupted` after an interrupt, `CommandTimedOut` after the time, and what `outcome_of_reply` raises.
        """
        with interrupts_limited(1), self.stopped_by_interrupt():
            return self.run_interruptible(timeout_s)

    def run_interruptible(self, timeout_s: float | None = None) -> object:
        """Do as `run` does, but let an interrupt through: for one who sends several."""
        within_s = math.inf if timeout_s is None else timeout_s
        reply = self.send(str(uuid.uuid4()), within_s)
        if reply.get("outcome") != "running":
            return self.command.typed(outcome_of_reply(reply))
        done = stop_and_describe(self.session, self.moved, f"{self.command.name} took longer than its user allowed")
        allowed = f"{status_text.number_text(within_s)} s"
        if within_s >= 1:
            allowed = status_text.duration_text(within_s)
        long = f"{self._name} took longer than {allowed}"
        raise CommandTimedOut(f"{long}; {done or 'it is waited for no more'}.")

    def send(self, key: str, within_s: float) -> Json:
        """Return the reply at its end, or the outcome `running` after `within_s`."""
        return self.session.send(self.equipment_id, self.command.name, self.parameters, key=key, within_s=within_s)

    @contextmanager
    def stopped_by_interrupt(self) -> Iterator[None]:
        """Stop the equipment at an interrupt of the block, and raise `Interrupted` in its place.

        So it is also where the interrupt reached another thread, or STOP was pressed in this kernel's own panel.
        """
        in_flight = self.session.in_flight
        if self.moved:
            self._look_for_interrupts_before()
        with in_flight.flight(self.equipment_id, is_control=bool(self.moved)) as flight:
            try:
                yield
            except CommandStopped:
                if not flight.stopped_by_click:
                    raise
                stopped = f"You {flight.stopped_by_click} {self._name}; {self.equipment_id} was stopped."
                raise Interrupted(stopped) from None
            except Interrupted:
                raise
            except KeyboardInterrupt:
                done = stop_after_interrupt(self.session, self.moved)
                in_flight.note_interrupt()
                raise Interrupted(f"You interrupted {self._name}; {done or 'nothing was moving'}.") from None

    def _look_for_interrupts_before(self) -> None:
        """Say that a command begins after an interrupt of the same cell; raise where STOP was pressed in it."""
        in_flight = self.session.in_flight
        hear_interrupts(self.session)
        if in_flight.is_held_back(self.equipment_id):
            pressed = f"You pressed STOP for {self.equipment_id} while this cell ran"
            raise Interrupted(f"{pressed}; {self._name} is left to another cell.")
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):  # as in a `finally`: the listener may be behind us
            in_flight.note_interrupt()
        if in_flight.take_interrupt():
            sys.stderr.write(f"After your interrupt {self._name} begins; interrupt again, or press STOP, to end it.\n")

    @property
    def moved(self) -> list[str]:
        """What it may move."""
        return [self.equipment_id] if self.command.kind == "control" else []

    @property
    def _name(self) -> str:
        return f"{self.command.name} of {self.equipment_id}"


class PendingCommand:
    """A command that was sent and not waited for; it goes on whether or not anybody asks for it.

    What is asked bears the command's key, so that it runs once.
    """

    def __init__(self, call: CommandCall) -> None:
        """Send it; raises what the authority refuses."""
        self._call = call
        self._key = str(uuid.uuid4())
        self._session_id = call.session.link.session()
        arguments = status_text.arguments_text({"parameters": call.parameters})
        self._typed = f"{call.command.name}({arguments}) of {call.equipment_id}"
        with interrupts_limited(1), call.stopped_by_interrupt():
            self._reply = call.send(self._key, 0.0)

    @property
    def done(self) -> bool:
        """Whether it is over, well or not, asked now; raises `Unreachable` when nobody answers."""
        return bool(self._ask(0.0)["outcome"] != "running")

    def wait(self, timeout: float | None = None) -> object:
        """Return its value at its end, or raise what became of it; an interrupt stops the equipment.

        Raises `StillRuns` when it is not over `timeout` seconds later; it goes on, and can be waited for again.
        """
        with interrupts_limited(1), self._call.stopped_by_interrupt():
            reply = self._ask(math.inf if timeout is None else timeout)
            if reply["outcome"] == "running":
                raise StillRuns(f"{self._typed} is not over; it goes on, and .wait() waits for it again.")
            return self._call.command.typed(outcome_of_reply(reply))

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for its value as `wait` does, beside other tasks; a task that is cancelled stops the equipment."""
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        try:
            return await asyncio.to_thread(self.wait)
        except Interrupted:
            raise  # which has stopped it
        except asyncio.CancelledError:
            listener().wait_until_handled()  # an interrupt cancels tasks, too, and stops by itself
            session = self._call.session
            if not session.in_flight.is_stopped_by_click(self._call.equipment_id):
                stop_and_describe(session, self._call.moved, "the task that moved it was cancelled")
            raise

    def __repr__(self) -> str:
        match self._reply["outcome"]:
            case "running":
                return f"{self._typed} was sent; .wait() gives its value, .done tells whether it is over."
            case "done":
                return f"{self._typed} is done: {status_text.value_text(self._reply['data'])}."
            case end:
                return f"{self._typed} ended as {end}: {str(self._reply['error']).rstrip('.')}."

    def _ask(self, within_s: float) -> Json:
        if self._reply["outcome"] == "running":
            ask = self._call.session.client.past_command
            self._reply = ask(self._call.equipment_id, self._session_id, key=self._key, within_s=within_s)
        return self._reply


class CommandMethod:
    """One declared command as a method; shown without being called, it says how it is called."""

    def __init__(self, equipment_id: str, command: Command, call: Callable[..., Any], *, limits: str = "") -> None:
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
        self,
        equipment_id: str,
        commands: Mapping[str, Command],
        *,
        send: Callable[..., PendingCommand],
        run: Callable[..., Any],
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

"""The live handle: one piece of equipment as a Python object, its declared commands as methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, Self

from jupyter_motorlock.client.commands import Command, python_name, unknown_command
from jupyter_motorlock.client.interrupt import interrupts_limited, stop_all
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.command_call import CommandCall, CommandMethod, PendingCommand, Start
from jupyter_motorlock.errors import LockRequired, MotorlockError, UsageProblem
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text import values
from jupyter_motorlock.text.units import A_TIME, read_seconds

if TYPE_CHECKING:
    from pandas import DataFrame

    from jupyter_motorlock.extras.bluesky import MotorDevice
    from jupyter_motorlock.extras.qcodes import MotorParameter


class NotAssignable(UsageProblem, AttributeError):
    """A command that somebody assigned to, as to a property."""


class UnknownCommand(UsageProblem, AttributeError):
    """A method that the equipment does not declare; also an AttributeError, so that `hasattr` works."""


class Handle:
    """A piece of equipment this session is logged in to.

    Each command that the equipment declares is a method: `stage.move_to(12.5)`, `stage.position()`. It is also a
    context manager, which logs out at the end. The handle's own names are `stop`, `release`, `resume`, `lock`,
    `reading`, `provenance`, `history`, `bluesky`, `qcodes`, `start`, `equipment_id`, `command_names` and `command`; a
    declared command of such a name is called by `stage.command(name, ...)`. A name that is a word of Python's own
    gets a `_` at its end: `mono.move_to(lambda_=633)`.
    """

    __slots__ = ("_commands", "_devices", "_session", "equipment_id")

    def __init__(self, session: KernelSession, equipment_id: str) -> None:
        self._session = session
        self.equipment_id = equipment_id
        self._commands = session.commands(equipment_id)
        self._devices: dict[tuple[str, ...], Any] = {}

    def command(self, name: str, /, *positional: object, **named: object) -> Any:
        """Run the declared command `name` and return its value; a number with a unit is a `Value`, such as 12.5 mm.

        With `timeout=`, in seconds or as "2min", it is stopped when it takes longer, and raises `CommandTimedOut`.
        """
        command = self._declared(name)
        timeout_s = None
        if "timeout" in named and "timeout" not in command.parameters:
            timeout_s = _seconds(named.pop("timeout"))
        return self._call(command, positional, named).run(timeout_s)

    @property
    def start(self) -> Start:
        """The commands, sent and not waited for: `move = stage.start.move_to(5)`, then `await move` or `move.wait()`.

        The task that awaits it stops the equipment when it is cancelled.
        """
        return Start(self.equipment_id, self._commands, send=self._send, run=self.command)

    def stop(self, reason: str | None = None) -> None:
        """Stop all motion now; it needs no lock and does not end the login."""
        stop_all(self._session, [self.equipment_id], reason)

    def resume(self) -> None:
        """Allow commands again after somebody else stopped the equipment."""
        self._session.resume(self.equipment_id)

    def release(self) -> None:
        """Log out: let the next user have the equipment as soon as it is at rest."""
        self._session.release(self.equipment_id)

    @property
    def lock(self) -> Mapping[str, Any]:
        """Who holds it, who waits and what it reads, asked now (`Status` in docs/reference/rest.md)."""
        return self._session.status(self.equipment_id)

    @property
    def reading(self) -> values.Reading:
        """Position, target and what else the equipment told the authority last; it needs no lock."""
        return values.reading(self.lock)

    def provenance(self) -> dict[str, str | int | float]:
        """Return who measures with it now, to be stored with data: plain names with texts and numbers.

        It has `equipment`, `user`, `note`, `since`, `fence`, `lock_id`, `session_id`, `authority`, and `position` in
        `units` at `time`, except for what there is none of. Raises `LockRequired` where this session does not hold it.
        """
        status = self.lock
        now = self._session.client.clock.now().astimezone()
        if status["state"] != "held" or status["session_id"] != self._session.session_id:
            refused = f"Without the lock there is no provenance to give: {self._session.headline(status)}"
            raise LockRequired(refused, code="not_holder", status=403, data=status)
        since = datetime.fromisoformat(status["holder"]["since"])  # exact, where the clock may be known by the second
        return values.provenance(status, self._session.client.url, max(now, since))

    def history(self, *, since: datetime | timedelta | str | None = None, last: int | None = None) -> DataFrame:
        """Return what happened to it, as `jupyter_motorlock.motor_history` does."""
        from jupyter_motorlock.extras.history import history  # pandas is loaded when it is needed

        return history(self._session, [self.equipment_id], since=since, last=last)

    def bluesky(self, name: str | None = None, *, move: str = "move_to", read: str | None = None) -> MotorDevice:
        """Return it as a bluesky device, the same one each time: `RE(scan([det], stage.bluesky(), 0, 10, 11))`.

        `name` is what its data are called. The command `move` sets it, and the command `read`, without one the
        position, tells where it is: `supply.bluesky(move="set_voltage", read="get_voltage")`.
        """
        device: MotorDevice = self._device("bluesky", name, move, read)
        return device

    def qcodes(self, name: str | None = None, *, move: str = "move_to", read: str | None = None) -> MotorParameter:
        """Return it as a QCoDeS parameter, the same one each time: setting it moves and waits, getting it reads.

        `name`, `move` and `read` are as for `bluesky`.
        """
        parameter: MotorParameter = self._device("qcodes", name, move, read)
        return parameter

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        written = {python_name(declared, self._commands): declared for declared in self._commands}
        declared = self._declared(written.get(name, name))
        return CommandMethod(self.equipment_id, declared, self.command, limits=self._limits_of(declared))

    @property
    def command_names(self) -> list[str]:
        """The names of the commands that the equipment declares."""
        return sorted(self._commands)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(python_name(name, self._commands) for name in self._commands)})

    def __repr__(self) -> str:
        known = self._session.mirror.statuses.get(self.equipment_id)
        return self._session.headline(known) if known else f"{self.equipment_id}."

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Log out; after an error also stop what still moves."""
        with interrupts_limited(0):
            try:
                self._session.release(self.equipment_id, stop=error is not None)
            except MotorlockError:
                if error is None:  # else the first error is the one to show
                    raise

    def _declared(self, name: str) -> Command:
        if name not in self._commands:
            raise UnknownCommand(unknown_command(name, self.equipment_id, self._commands))
        return self._commands[name]

    def _device(self, extra: str, name: str | None, move: str, read: str | None) -> Any:
        """Return what the extra makes of it; raises `UsageProblem` where the extra is not installed."""
        key = (extra, name or "", move, read or "")
        if key not in self._devices:
            try:
                maker = import_module(f"jupyter_motorlock.extras.{extra}")
            except ModuleNotFoundError as missing:
                install = f'pip install "jupyter-motorlock[{extra}]"'
                raise UsageProblem(f"{extra}() needs {missing.name}: {install}.") from None
            from jupyter_motorlock.extras.axis import Axis

            axis = Axis(self._session, self.equipment_id, move, read)
            self._devices[key] = maker.device(self, axis, name or self.equipment_id)
        return self._devices[key]

    def _limits_of(self, command: Command) -> str:
        """Return the limits that the equipment has told of, for the help of a command that moves in their unit."""
        readback = self._session.mirror.statuses.get(self.equipment_id, {}).get("readback", {})
        low, high = (readback.get("values", {}).get(end) for end in ("low", "high"))
        units = readback.get("units")
        is_moved = any(p["type"] in ("number", "integer") and p["units"] == units for p in command.parameters.values())
        if command.kind != "control" or not is_moved or low is None or high is None:
            return ""
        limits = f"{status_text.value_text(low)} to {status_text.value_text(high)} {units or ''}".rstrip()
        return f"{self.equipment_id} has the limits {limits}."

    def _send(self, name: str, /, *positional: object, **named: object) -> PendingCommand:
        return PendingCommand(self._call(self._declared(name), positional, named))

    def _call(self, command: Command, positional: Sequence[object], named: Mapping[str, object]) -> CommandCall:
        return CommandCall(self._session, self.equipment_id, command, command.bind(positional, named))

    def __setattr__(self, name: str, value: object) -> None:
        """Answer what is assigned to a command by how it is called."""
        if name not in getattr(self, "_commands", ()):
            object.__setattr__(self, name, value)
            return
        setter = next((command.name for command in self._commands.values() if name in command.parameters), name)
        call = f"{setter}({value!r})"
        raise NotAssignable(f"{name} is a command of {self.equipment_id}, and is called: write {call}")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _known: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be sent to another process, which has no session."""
        raise MotorlockError(
            f"The handle of {self.equipment_id} belongs to this process and cannot be sent to another one; call "
            "jupyter_motorlock.connect() in it to get a session of its own."
        )


def _seconds(timeout: object) -> float | None:
    """Return a time of the user's in seconds: a number of them, or such as `2min`; None is no limit."""
    if timeout is None:
        return None
    try:
        return float(read_seconds(str(timeout)))
    except ValueError:
        raise UsageProblem(f"timeout must be {A_TIME}, not {timeout!r}.") from None


class Handles(tuple[Handle, ...]):
    """A handle for each of several: `x, y = %motor_login stage_x stage_y`; a context manager that logs out of all."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        """Log out of each; after an error also stop what still moves."""
        with ExitStack() as stack:
            for handle in self:
                stack.callback(handle.__exit__, *error)

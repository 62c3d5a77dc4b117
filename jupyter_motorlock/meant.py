"""Which equipment a typed line means, from what this kernel is logged in to and what the authority offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jupyter_motorlock.completion import Known
from jupyter_motorlock.errors import InvalidRequest, UsageProblem
from jupyter_motorlock.lines import Command
from jupyter_motorlock.session import KernelSession


class Meant:
    """Names and commands heard of so far; asks the authority only where a line needs more."""

    def __init__(self, session: Callable[[], KernelSession]) -> None:
        self._session = session
        self._names: set[str] = set()
        self._commands: dict[str, dict[str, Command]] = {}

    def one(self, words: Sequence[str]) -> str:
        """Return the one name given, or the only one this kernel is logged in to."""
        if len(words) > 1:
            raise UsageProblem(f"One name is taken at a time, and {len(words)} were given: {' '.join(words)}.")
        here = [*words] or logged_in(self._session())
        if len(here) == 1:
            return here[0]
        if here:
            raise UsageProblem(f"This kernel is logged in to {' and '.join(here)}; say which one is meant.")
        raise UsageProblem("This kernel is not logged in to anything; log in first: %motor_login NAME")

    def addressed(self, words: Sequence[str]) -> tuple[str, Sequence[str]]:
        """Split `[NAME] COMMAND ...` into the name and the rest."""
        if not words:
            raise UsageProblem("Say what to do: %motor NAME COMMAND, for example %motor stage_x move_to 12.5")
        if not self._is_name(*words[:2]):
            return self.one([]), words
        if len(words) == 1:
            has = ", ".join(sorted(self.commands(words[0])))
            raise UsageProblem(f"Say what {words[0]} is to do; it has {has}.")
        return words[0], words[1:]

    def commands(self, name: str) -> dict[str, Command]:
        """Return the declared commands; a name that is not there is answered by a list of what is."""
        try:
            self._commands[name] = self._session().commands(name)
        except InvalidRequest:
            raise UsageProblem(f"{name} is not here; there is {listed(self.offered())}.") from None
        return self._commands[name]

    def offered(self) -> list[dict[str, object]]:
        """Ask what there is and who holds it."""
        found = self._session().equipment_list()
        self._names.update(str(item["id"]) for item in found)
        return found

    def only_motor(self) -> str:
        """Return the name of the only motor there is."""
        found = self.offered()
        motors = [str(item["id"]) for item in found if item.get("kind") == "motor"]
        if len(motors) != 1:
            raise UsageProblem(f"Say which one with %motor_login NAME; there is {listed(found)}.")
        return motors[0]

    def known(self, session: KernelSession | None) -> Known:
        """Return what Tab may offer; asks nobody."""
        statuses = session.statuses if session else {}
        here = logged_in(session) if session else []
        return Known(sorted(self._names.union(statuses)), here, dict(self._commands))

    def forget(self) -> None:
        """Forget everything: the next authority may have something else."""
        self._names.clear()
        self._commands.clear()

    def _is_name(self, first: str, second: str = "") -> bool:
        session = self._session()
        here, names = logged_in(session), self._names.union(session.statuses)
        if first in names or first in here:
            return True
        if len(here) == 1:  # a misspelt command, unless what follows is a command of it
            return first not in self.commands(here[0]) and second in self.commands(here[0])
        return any(item["id"] == first for item in self.offered())


def logged_in(session: KernelSession) -> list[str]:
    """Return what this kernel is logged in to, as holder or observer, as far as it knows."""
    me = session.session_id
    watched = [name for name, status in session.statuses.items() if me and me in _watchers(status)]
    return sorted({*session.held(), *watched})


def listed(found: Sequence[Mapping[str, object]]) -> str:
    """Return what there is, with who has it: `stage_x (free), stage_y (Bob has it)`."""
    return ", ".join(_with_holder(item) for item in found) or "nothing"


def _watchers(status: Mapping[str, object]) -> Sequence[object]:
    sessions = status.get("observer_sessions")
    return sessions if isinstance(sessions, list) else ()


def _with_holder(item: Mapping[str, object]) -> str:
    holder = item.get("holder")
    user = holder.get("user") if isinstance(holder, Mapping) else holder
    return f"{item['id']} ({f'{user} has it' if user else item.get('state', 'free')})"

"""A device in memory that a table drives: it moves by one each time it is asked whether it moves."""

from __future__ import annotations

from collections.abc import Mapping

from authority.drivers.table import ControlEntry, ObserveEntry, ReadingEntry, TableOptions
from authority.drivers.table_driver import TableDriver
from authority.ports import DriverUnavailable, StopToken


class DeskControl(ControlEntry, frozen=True, kw_only=True):
    """What to write into which register."""

    register: str


class DeskOptions(TableOptions, frozen=True, kw_only=True):
    """A desk with registers `goal`, `position` and `speed`."""

    start: float = 0.0
    control: Mapping[str, DeskControl] = {}


class Desk(TableDriver[DeskControl, ObserveEntry, ReadingEntry]):
    """`written` is its record of what reached it; `stuck_at` where it goes no further; `lost` cuts it off."""

    def __init__(self, options: DeskOptions) -> None:
        super().__init__(options, options.control, options.observe, options.readings)
        self.position = self.goal = options.start
        self.written: list[tuple[str, object]] = []
        self.stuck_at: float | None = None
        self.never_rests = False
        self.lost = 0
        self.on_ask = lambda: None

    @property
    def address(self) -> str | None:
        return None

    def open(self) -> None:
        self.lost -= 1

    def close(self) -> None:
        pass

    def perform(self, entry: DeskControl, parameters: Mapping[str, object], token: StopToken) -> object:
        token.raise_if_stopped()
        (value,) = parameters.values()
        self.written.append((entry.register, value))
        if entry.register == "goal":
            self.goal = float(value)
        if entry.register == "shift":
            self.goal = self.position + float(value)
        return None

    def inquire(self, entry: ObserveEntry, parameters: Mapping[str, object]) -> object:
        return {"answered": dict(parameters)}

    def ask(self, name: str, entry: ReadingEntry) -> float | bool:
        self.on_ask()
        if self.lost > 0:
            raise DriverUnavailable("the cable is out")
        if name == "moving":
            if self.position not in (self.goal, self.stuck_at):
                self.position += 1 if self.goal > self.position else -1
            return self.never_rests or self.position not in (self.goal, self.stuck_at)
        return {"position": self.position, "humidity": 40.0}[name]

    def halt(self) -> None:
        self.written.append(("stop", None))
        self.goal = self.position
        self.never_rests = False

"""Which deadlines the events of a step may have moved, and what is asked of the rules when one has come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from .committer import StoreFailed
from .core import clocks, messages, waiting
from .core.model import EquipmentId, SessionId, Table
from .deadline_timer import DeadlineScheduler
from .ports import Clock

Key = tuple[Literal["equipment", "session"], str]


class DeadlineWatch:
    """Has the rules look at an equipment or a session once something of it is due."""

    def __init__(self, table: Table, clock: Clock, apply: Callable[[messages.Request], object]) -> None:
        """Give each tick to `apply`."""
        self._table = table
        self._apply = apply
        self.scheduler: DeadlineScheduler[Key] = DeadlineScheduler(clock, self._due_at, self._tick)

    def begin(self) -> None:
        """Take up every living session; equipment is taken up by the events of its recovery."""
        for session in self._table.all_sessions():
            self.scheduler.schedule(("session", session.id))

    def note_events(self, events: Sequence[messages.Event]) -> None:
        """Take note of the deadlines that a step may have put forward."""
        for event in events:
            if isinstance(event, messages.LockUsed) or (isinstance(event, messages.SessionSeen) and event.busy is None):
                continue  # they only put deadlines off
            if isinstance(event, messages.EquipmentEvent):
                self.scheduler.schedule(("equipment", event.equipment))
                if event.session is not None:
                    self.scheduler.schedule(("session", event.session))
            elif isinstance(event, messages.SessionEvent):
                self._note_session(event.session)

    def _note_session(self, name: SessionId) -> None:
        session = self._table.session(name)
        if session is None:
            self.scheduler.cancel(("session", name))
            return
        self.scheduler.schedule(("session", name))
        for key in session.equipment:
            self.scheduler.schedule(("equipment", key))

    def _due_at(self, key: Key) -> float | None:
        kind, name = key
        if kind == "equipment":
            equipment = self._table.equipment(EquipmentId(name))
            if equipment is None:
                return None
            return waiting.equipment_due(self._table, equipment)
        session = self._table.session(SessionId(name))
        if session is None:
            return None
        return clocks.session_due(self._table, session)

    def _tick(self, key: Key) -> None:
        kind, name = key
        try:
            if kind == "equipment":
                self._apply(messages.TimerTick(equipment=EquipmentId(name)))
                return
            session = self._table.session(SessionId(name))
            self._apply(messages.TimerTick(session=SessionId(name)))
            for wanted in session.equipment if session is not None else ():
                self._apply(messages.TimerTick(equipment=wanted))
        except StoreFailed:
            return

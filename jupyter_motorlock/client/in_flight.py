"""What a session has on its way: the commands that its threads wait for, and what an interrupt did to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from jupyter_motorlock.client.sigint import listener


class CallInFlight:
    """One command that a thread waits for; `stopped_by_click` says how its own user has stopped it since."""

    def __init__(self, equipment_id: str, *, is_control: bool) -> None:
        self.equipment_id = equipment_id
        self.is_control = is_control
        self.in_main_thread = threading.current_thread() is threading.main_thread()
        self.stopped_by_click = ""


class CallsInFlight:
    """The commands in flight of one session, and the interrupts that it has heard since the cell began.

    `react` is called in a thread of its own at each interrupt, once `hear_interrupts` was called.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._flights: list[CallInFlight] = []
        self._unsubscribe: Callable[[], None] | None = None
        self._held_back: set[str] = set()
        self._is_cell_interrupted = False
        self.stopped = ""  # a clause that says what the newest interrupt stopped

    def hear_interrupts(self, react: Callable[[], None]) -> None:
        """Have `react` called at each interrupt; called again, it takes the signal back from who took it."""

        def on_interrupt() -> None:
            self._is_cell_interrupted = True
            react()

        if self._unsubscribe is None:
            self._unsubscribe = listener().subscribe(on_interrupt)
        else:
            listener().arm()

    def close(self) -> None:
        """Hear no interrupt any more."""
        unsubscribe = self._unsubscribe
        self._unsubscribe = None
        if unsubscribe is not None:
            unsubscribe()

    def forget_in_fork(self) -> None:
        """Have nothing in flight: what was is the parent's."""
        CallsInFlight.__init__(self)

    def begin_cell(self) -> None:
        """A cell begins: what was interrupted or stopped was that of an earlier one."""
        self._is_cell_interrupted = False
        self._held_back = set()
        self.stopped = ""

    @contextmanager
    def flight(self, equipment_id: str, *, is_control: bool) -> Iterator[CallInFlight]:
        """Count a command as in flight while the block waits for it."""
        made = CallInFlight(equipment_id, is_control=is_control)
        with self._guard:
            self._flights.append(made)
        try:
            yield made
        finally:
            with self._guard:
                self._flights.remove(made)

    def of_other_threads(self) -> list[CallInFlight]:
        """Return the control commands that an interrupt of the main thread does not end by itself."""
        with self._guard:
            return [flight for flight in self._flights if flight.is_control and not flight.in_main_thread]

    def is_stopped_by_click(self, equipment_id: str) -> bool:
        """Whether a command in flight for it was stopped by an interrupt or by a click on STOP."""
        with self._guard:
            return any(flight.stopped_by_click and flight.equipment_id == equipment_id for flight in self._flights)

    @property
    def is_main_thread_waiting(self) -> bool:
        """Whether the main thread waits for a command, so that it stops what it moves itself."""
        with self._guard:
            return any(flight.in_main_thread for flight in self._flights)

    def hold_back(self, equipment_ids: Iterable[str]) -> None:
        """End what is in flight for these by a click on STOP, and let the cell that runs begin nothing for them."""
        names = set(equipment_ids)
        with self._guard:
            self._held_back |= names
            for flight in self._flights:
                if flight.equipment_id in names:
                    flight.stopped_by_click = "pressed STOP during"

    def is_held_back(self, equipment_id: str) -> bool:
        """Whether STOP was pressed for it since the cell began."""
        return equipment_id in self._held_back

    def note_interrupt(self) -> None:
        """The main thread was interrupted: be sure that this is known, and not heard a second time later."""
        listener().wait_until_handled()
        self._is_cell_interrupted = True

    def take_interrupt(self) -> bool:
        """Return whether there was an interrupt of the cell that runs, of which this was not asked before."""
        taken = self._is_cell_interrupted
        self._is_cell_interrupted = False
        return taken

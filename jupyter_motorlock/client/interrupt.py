"""An interrupt stops what moves, and a second click does not break the stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from jupyter_motorlock.client.http import Json
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.client.sigint import listener
from jupyter_motorlock.errors import InvalidRequest, MotorlockError

SWALLOWED_S = 0.5  # one that is heard begins a stop sooner, which then hears no click
INTERRUPTED = "the cell that moved it was interrupted"  # the reason that others see


@contextmanager
def interrupts_limited(most: int) -> Iterator[Callable[[], None]]:
    """Let the first `most` interrupts of the block raise KeyboardInterrupt; later ones only count.

    Python swallows what is raised while it tidies up an object: a click `SWALLOWED_S` after one that had no effect
    raises again, and who waits in the block calls what it gives, which raises for a click that was swallowed.
    Signals reach the main thread only, and only it may handle them: elsewhere nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    clicks = 0
    raised_at = -SWALLOWED_S

    def on_click(_number: int, _frame: FrameType | None) -> None:
        nonlocal clicks, raised_at
        clicks += 1
        if clicks <= most or (most > 0 and time.monotonic() - raised_at > SWALLOWED_S):
            raised_at = time.monotonic()
            raise KeyboardInterrupt

    def raise_if_clicked() -> None:
        if clicks > 0 and most > 0:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_click)
    try:
        yield raise_if_clicked
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


class StopReport:
    """What came of the stops for one `reason`: a clause for each that was `done`, and for each that `failed`."""

    def __init__(self, session: KernelSession, reason: str | None) -> None:
        self._session = session
        self._reason = reason
        self.done: list[str] = []
        self.failed: list[str] = []

    def stop(self, equipment_id: str) -> None:
        """Stop it; raises `InvalidRequest` where there is no such equipment, and else remembers what came of it."""
        try:
            reply = self._session.stop(equipment_id, self._reason)
        except MotorlockError as error:
            if isinstance(error, InvalidRequest) and error.code == "unknown_equipment":
                raise
            self.failed.append(f"the stop did not reach {equipment_id}{_because(error)}")
            return
        if reply.get("outcome") == "nothing_to_stop":
            self.done.append(f"{equipment_id} has nothing to stop")
        elif reply.get("delivered", True):
            is_recorded = reply.get("recorded", True)
            self.done.append(f"{equipment_id} was stopped{'' if is_recorded else ', which is not on disk yet'}")
        else:
            self.failed.append(f"{equipment_id} did not take the stop{_because(reply.get('error'))}")

    def clause(self) -> str:
        """Return a clause that says what was done; raise `MotorlockError` with it where a stop was not delivered."""
        if self.failed:
            clause = " and ".join(self.done + self.failed)
            raise MotorlockError(f"{clause}: use the equipment's own emergency stop.")
        return " and ".join(self.done)


def stop_all(session: KernelSession, equipment_ids: Iterable[str], reason: str | None = None) -> str:
    """Stop each piece of equipment, deaf to further interrupts, and return a clause that says so.

    Raises `MotorlockError` with that clause, when all were tried, where a stop was not delivered.
    """
    report = StopReport(session, reason)
    with interrupts_limited(0):
        for equipment_id in equipment_ids:
            report.stop(equipment_id)
    return report.clause()


def _because(why: object) -> str:
    if why:
        return f" ({str(why).rstrip('.')})"
    return ""


def hear_interrupts(session: KernelSession) -> None:
    """Stop, at each interrupt and at once, what `session` moves and the main thread does not wait for.

    Called again, as at the begin of each cell, it makes sure that interrupts are still heard.
    """
    session.in_flight.hear_interrupts(partial(_stop_at_interrupt, session))


def _stop_at_interrupt(session: KernelSession) -> None:
    """Stop what other threads wait for and, where the main thread waits for nothing, all else that moves here."""
    flights = session.in_flight.of_other_threads()
    for flight in flights:
        flight.stopped_by_click = "interrupted"
    names = {flight.equipment_id for flight in flights}
    if not session.in_flight.is_main_thread_waiting:
        names.update(_moving(session))
    session.in_flight.stopped = stop_and_describe(session, sorted(names), INTERRUPTED)


def stop_after_interrupt(session: KernelSession, also: Iterable[str] = ()) -> str:
    """Stop `also`, and what this kernel holds and moves or runs a command as far as the feed has told.

    What another thread waits for is stopped by the listener of interrupts. Returns a clause that says what came of
    it, an empty one when nothing was to be stopped; raises nothing of ours.
    """
    elsewhere = set()
    if listener().is_armed:
        elsewhere = {flight.equipment_id for flight in session.in_flight.of_other_threads()}
    return stop_and_describe(session, sorted({*also, *_moving(session)} - elsewhere), INTERRUPTED)


def stop_after_cell(session: KernelSession) -> str:
    """Return a clause that says what an interrupt of the cell stopped, and stop what it did not."""
    with interrupts_limited(0):
        listener().wait_until_handled()
        return session.in_flight.stopped or stop_after_interrupt(session)


def stop_by_click(session: KernelSession, equipment_id: str) -> Json:
    """Stop it for somebody who pressed STOP in this kernel's own panel; return the reply.

    What the running cell, or a thread, does with it ends as after an interrupt, and begins nothing more in this cell.
    """
    if session.link.busy:
        session.in_flight.hold_back([equipment_id])
    return session.stop(equipment_id)


def _moving(session: KernelSession) -> list[str]:
    known = [(name, session.mirror.statuses[name]) for name in session.mirror.held() if name in session.mirror.statuses]
    return [name for name, status in known if status["running"] or status["readback"]["moving"]]


def stop_and_describe(session: KernelSession, equipment_ids: Iterable[str], reason: str) -> str:
    """Stop each piece of equipment and return a clause that says what came of it; raises nothing of ours."""
    try:
        return stop_all(session, equipment_ids, reason)
    except MotorlockError as failed:
        return str(failed).removesuffix(".")

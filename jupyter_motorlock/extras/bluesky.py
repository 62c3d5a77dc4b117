"""A motor as a bluesky device, `RE(scan([det], stage.bluesky(), 0, 10, 11))`; the extra `bluesky` brings bluesky.

Bluesky calls a device in the thread of its event loop. A move is sent and waited for in a thread of its own, whose
end bluesky is told. The first interrupt stops the motor at once and lets bluesky pause; what bluesky does further
reaches a device as `stop`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from bluesky.protocols import (
    Checkable,
    Configurable,
    HasHints,
    HasParent,
    Hints,
    Locatable,
    Location,
    Readable,
    Reading,
    Status,
    Stoppable,
)
from event_model import DataKey

from jupyter_motorlock.client.http import CONNECT_S, QUICK_S, Json
from jupyter_motorlock.client.interrupt import stop_all
from jupyter_motorlock.command_call import CommandCall, PendingCommand
from jupyter_motorlock.errors import CommandStopped, Interrupted, LockRequired
from jupyter_motorlock.extras.axis import Axis, EquipmentHandle

COUNTED_APART_S = 0.15  # bluesky counts interrupts that come 0.1 s apart
PAUSES_WITHIN_S = 5.0  # a plan that does not pause fails
_OF_A_RUN = ("user", "note", "since", "fence", "lock_id", "session_id", "authority")  # what stays so while it is held


class MoveStatus(Status):
    """How far one move is; done at its end, with the error that ended it where it did not arrive."""

    def __init__(self, axis: Axis, number: object) -> None:
        """Send the move, and return before it is over; raises `UsageProblem` where `number` is none."""
        self._axis = axis
        self._parameters = axis.bind(number)
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Status], None]] = []
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._is_planned_stop: bool | None = None
        self._is_stop_planned = threading.Event()
        self.is_interrupted = False
        self._was_taken = threading.Event()  # the authority has it, or has refused it
        self._thread = threading.Thread(target=self._carry_out, name=f"motorlock-{axis.equipment_id}", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether the move is over."""
        return self._over.is_set()

    @property
    def success(self) -> bool:
        """Whether it is over and did what was asked: arrived, or stopped as planned."""
        return self.done and self._error is None

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        """Return why it failed, None where it did not; raises `TimeoutError` when it is not over in time."""
        if not self._over.wait(timeout):
            raise TimeoutError(f"{self!r}")
        return self._error

    def add_callback(self, callback: Callable[[Status], None]) -> None:
        """Call `callback` with this once it is over, in the thread of the move, or now if it is."""
        with self._guard:
            if not self.done:
                self._callbacks.append(callback)
                return
        callback(self)

    def watch(self, tell: Callable[..., None]) -> None:
        """Tell a progress bar of bluesky how far the move is, each time that this is heard."""
        axis = self._axis
        (target,) = self._parameters.values()
        initial: list[float] = []

        def on_change(equipment_id: str | None, status: Json | None, _event: Json | None) -> None:
            if equipment_id == axis.equipment_id and status is not None and status["readback"]["position"] is not None:
                current = status["readback"]["position"]
                initial[:] = initial or [current]
                tell(name=equipment_id, current=current, initial=initial[0], target=target, unit=axis.units or "")

        unsubscribe = axis.session.subscribe(on_change)
        self.add_callback(lambda _: unsubscribe())

    def will_be_stopped(self, *, as_planned: bool) -> None:
        """Hear that a stop is on its way; one that is planned is no failure."""
        self._is_planned_stop = as_planned
        self._is_stop_planned.set()

    def was_taken(self, timeout_s: float) -> bool:
        """Wait until the authority has it, so that a stop ends it; False if that is not known in time."""
        return self._was_taken.wait(timeout_s)

    def __repr__(self) -> str:
        """Return it in a sentence: bluesky shows this when a move failed."""
        if self._error is not None:
            return str(self._error)
        what = f"{self._axis.move.name}({', '.join(map(str, self._parameters.values()))}) of {self._axis.equipment_id}"
        if self.done:
            return f"{what} is over."
        return f"{what} is not over."

    def _carry_out(self) -> None:
        error: BaseException | None = None
        try:
            if self._is_planned_stop is None:
                axis = self._axis
                sent = PendingCommand(CommandCall(axis.session, axis.equipment_id, axis.move, self._parameters))
                self._was_taken.set()
                sent.wait()
        except Interrupted as interrupted:
            error = self._pause_after(interrupted)
        except CommandStopped as stopped:
            error = None
            if not self._is_planned_stop:
                error = self._axis.loss() or stopped
        except BaseException as failed:  # noqa: BLE001 - whatever it is, a plan must not wait for ever
            error = failed
        self._was_taken.set()
        with self._guard:
            self._error = error
            self._over.set()
        for callback in self._callbacks:
            callback(self)

    def _pause_after(self, interrupted: Interrupted) -> BaseException | None:
        """Let bluesky pause after an interrupt that has stopped the motor; return what fails the move, if anything.

        A move that ended now would be one that has arrived, and its plan would measure at the wrong place.
        """
        self.is_interrupted = True
        if not self._axis.session.in_flight.is_held_back(self._axis.equipment_id) and ask_for_a_pause():
            self._is_stop_planned.wait(PAUSES_WITHIN_S)
        if self._is_planned_stop:
            return None
        return CommandStopped(str(interrupted))


def ask_for_a_pause() -> bool:
    """Interrupt once more, where bluesky answers interrupts: it pauses at once at the second; return whether it does.

    At the first one it waits for the next checkpoint of the plan.
    """
    if not str(getattr(signal.getsignal(signal.SIGINT), "__module__", "")).startswith("bluesky."):
        return False
    time.sleep(COUNTED_APART_S)
    os.kill(os.getpid(), signal.SIGINT)
    return True


class MotorDevice(
    Locatable[float], Readable[float], Stoppable, Checkable[float], Configurable[Any], HasHints, HasParent
):
    """One number of the equipment as bluesky moves, reads and stops it; made by `handle.bluesky()`.

    Data have the position as `NAME` and where it was sent as `NAME_setpoint`; the configuration in a run's descriptor
    has `NAME_user`, `NAME_note`, `NAME_fence` and what else says under which lock the run was made.
    """

    def __init__(self, handle: EquipmentHandle, axis: Axis, name: str) -> None:
        self._handle = handle
        self._axis = axis
        self._name = name
        self._moves: list[MoveStatus] = []

    @property
    def name(self) -> str:
        """What its data are called."""
        return self._name

    @property
    def parent(self) -> None:
        """It is part of no other device."""
        return

    @property
    def hints(self) -> Hints:
        """What to plot: the position."""
        return {"fields": [self._name]}

    def set(self, value: float) -> MoveStatus:
        """Move to `value`, in the units that `describe` says; the status is done when the move is over."""
        move = MoveStatus(self._axis, value)
        self._moves = [*(going for going in self._moves if not going.done), move]
        return move

    def stop(self, success: bool = True) -> None:
        """Stop what moves under this session's lock; with `success` the moves then count as ended as planned.

        Without `success` it stops whatever moves it. Raises `MotorlockError` where the stop was not delivered.
        """
        going = [move for move in self._moves if not move.done]
        for move in going:
            move.will_be_stopped(as_planned=success)
        if success and not going and not self._moves_for_us():
            return  # bluesky stops what it moved at the end of every plan, when somebody else may have it
        if going and all(move.is_interrupted for move in going):
            return  # the interrupt has stopped it already
        # A move that the authority has not heard of yet would begin after the stop.
        early = [move for move in going if not move.was_taken(0.0)]
        self._stop_now()
        if any(not move.was_taken(CONNECT_S + QUICK_S) or not move.done for move in early):
            self._stop_now()

    def check_value(self, value: float) -> None:
        """Raise `UsageProblem` where it may not be set to `value`, as far as the limits are known; nothing moves."""
        self._axis.check(value)

    def locate(self) -> Location[float]:
        """Return where it is and where it was sent."""
        place = self._axis.place()
        return {"setpoint": place.setpoint, "readback": place.position}

    def read(self) -> dict[str, Reading[float]]:
        """Return where it is and where it was sent, as the authority has it now."""
        place = self._axis.place()
        return {
            self._name: {"value": place.position, "timestamp": place.at},
            f"{self._name}_setpoint": {"value": place.setpoint, "timestamp": place.at},
        }

    def describe(self) -> dict[str, DataKey]:
        """Return what `read` gives: numbers, their unit and limits."""
        low, high = self._axis.limits()
        key = self._key("number")
        key["dtype_numpy"] = "<f8"
        if self._axis.units is not None:
            key["units"] = self._axis.units
        if low is not None or high is not None:
            key["limits"] = {"control": {"low": low, "high": high}}
        return {self._name: key, f"{self._name}_setpoint": key.copy()}

    def read_configuration(self) -> dict[str, Reading[Any]]:
        """Return who moves it under which lock; nothing where this session only reads it."""
        now = time.time()
        return {name: {"value": value, "timestamp": now} for name, value in self._provenance().items()}

    def describe_configuration(self) -> dict[str, DataKey]:
        """Return what `read_configuration` gives."""
        return {
            name: self._key("integer" if isinstance(value, int) else "string")
            for name, value in self._provenance().items()
        }

    def __repr__(self) -> str:
        return f"{self._name} ({self._axis.equipment_id} for bluesky)"

    def _key(self, dtype: Any) -> DataKey:
        return {"source": f"motorlock:{self._axis.equipment_id}", "dtype": dtype, "shape": []}

    def _provenance(self) -> Mapping[str, str | int | float]:
        try:
            known = {"note": "", **self._handle.provenance()}
        except LockRequired:
            return {}
        return {f"{self._name}_{name}": known[name] for name in _OF_A_RUN}

    def _moves_for_us(self) -> bool:
        """Whether it moves under our lock, or may do so."""
        session = self._axis.session
        equipment_id = self._axis.equipment_id
        if equipment_id not in session.mirror.held():
            return False
        known = session.mirror.statuses.get(equipment_id)
        return known is None or not session.link.feed_alive or bool(known["running"] or known["readback"]["moving"])

    def _stop_now(self) -> None:
        stop_all(self._axis.session, [self._axis.equipment_id], "by its plan")


def device(handle: EquipmentHandle, axis: Axis, name: str) -> MotorDevice:
    """Return the device of `handle`; `name` is what its data are called."""
    return MotorDevice(handle, axis, name)

"""EPICS motors that a test opens, how it waits for what their records say, and somebody who writes to them besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from as_worker import as_worker

from authority.drivers.channel_access import client, end_context
from authority.drivers.epics import EpicsMotor
from authority.ports import Readback

FAST, SLOW = "sim:m1", "sim:slow"  # 0 to 10 mm at 5 mm/s, and 0 to 100 mm at 1 mm/s
WAIT_S = 30  # how long a condition is waited for: a bound for a broken run, not a time that is measured


@contextmanager
def motors(usual: str, closing: ThreadPoolExecutor) -> Iterator[Callable[..., EpicsMotor]]:
    """Give what makes and opens a motor, by default of the record `usual`; all are stopped and closed in the end.

    Closing takes caproto a good third of a second: it is left to `closing`, and the next test begins.
    """
    opened: list[EpicsMotor] = []

    def make(prefix: str = usual, **options: object) -> EpicsMotor:
        motor = as_worker(EpicsMotor(prefix, **{"connect_timeout_s": WAIT_S, **options}))
        opened.append(motor)
        motor.open()
        return motor

    try:
        yield make
    finally:
        for motor in opened:
            motor.stop()
            until(motor, lambda seen: not seen.moving)
            closing.submit(motor.close)


class Outsider:
    """A client of the server that knows nothing of the authority: a person at another screen, or the metal's fate."""

    def __init__(self) -> None:
        open_context, _ = client()
        self._context = open_context()

    def close(self) -> None:
        end_context(self._context)

    def write(self, name: str, value: float) -> None:
        """Write a PV and return when the server has it."""
        assert self._pv(name).write([value], wait=True, timeout=WAIT_S) is not None

    def read(self, name: str) -> float:
        return float(self._pv(name).read(timeout=WAIT_S).data[0])

    def _pv(self, name: str):
        (pv,) = self._context.get_pvs(name)
        for _ in range(WAIT_S * 10):
            if pv.channel_ready.wait(0.1):
                return pv
            self._context.broadcaster.search_now()
        raise AssertionError(f"{name} was not found")


def until(motor: EpicsMotor, holds: Callable[[Readback], bool]) -> Readback:
    """Wait for a condition on the readback, as the authority does: by looking again after each change."""
    condition = motor.record.changed
    with condition:
        for _ in range(WAIT_S * 10):
            seen = motor.readback()
            if holds(seen):
                return seen
            condition.wait(0.1)
    raise AssertionError(f"never came: {seen}")

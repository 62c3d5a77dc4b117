"""An interrupt stops what moves, and a second click does not break the stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from jupyter_motorlock.errors import MotorlockError

if TYPE_CHECKING:
    from jupyter_motorlock.session import KernelSession

INTERRUPTED = "interrupted by its user"  # the reason that others see


@contextmanager
def clicks_heard(most: int) -> Iterator[None]:
    """Let the first `most` interrupts of the block raise KeyboardInterrupt; later ones only count.

    Signals reach the main thread only, and only it may handle them: elsewhere nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    clicks = 0

    def on_click(_number: int, _frame: FrameType | None) -> None:
        nonlocal clicks
        clicks += 1
        if clicks <= most:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_click)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def moving_here(session: KernelSession) -> list[str]:
    """Return what this session holds that moves or runs a command, as far as the feed has told."""
    mine = sorted(session.held())
    return [equipment_id for equipment_id in mine if _moves(session.statuses.get(equipment_id, {}))]


class Stopped(NamedTuple):
    """What came of stopping: one clause for a person, and whether every stop was delivered."""

    clause: str
    delivered: bool


def stop_all(session: KernelSession, equipment_ids: Iterable[str], reason: str | None = None) -> Stopped:
    """Stop each piece of equipment, deaf to further interrupts; raises nothing of ours."""
    done: list[str] = []
    failed: list[str] = []
    with clicks_heard(0):
        for equipment_id in equipment_ids:
            try:
                if session.stop(equipment_id, reason).get("delivered", True):
                    done.append(f"{equipment_id} was stopped")
                else:
                    failed.append(f"{equipment_id} did not take the stop")
            except MotorlockError as error:
                failed.append(f"the stop did not reach {equipment_id} ({str(error).rstrip('.')})")
    if failed:
        failed[-1] += ": use the equipment's own emergency stop"
    return Stopped(" and ".join(done + failed), not failed)


def _moves(status: object) -> bool:
    if not isinstance(status, dict):
        return False
    readback = status.get("readback")
    moving = isinstance(readback, dict) and readback.get("moving") is True
    return moving or status.get("running") is not None

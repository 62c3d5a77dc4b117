"""One motor, several notebooks, one holder: the notebook side of motorlock.

In a notebook: `%load_ext jupyter_motorlock`, then `stage = %motor_login stage_x`. In a script:
`with jupyter_motorlock.connect(url).lock("stage_x") as stage: ...`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_motorlock.errors import (
    CommandFailed,
    CommandStopped,
    DriverUnavailable,
    EquipmentInUse,
    InvalidRequest,
    LockLost,
    LockRequired,
    MotorlockError,
    Refused,
    SessionEnded,
    StoppedBySomebody,
    Unreachable,
    UsageProblem,
)
from jupyter_motorlock.handle import Connection, Handle
from jupyter_motorlock.session import KernelSession

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = [
    "CommandFailed",
    "CommandStopped",
    "Connection",
    "DriverUnavailable",
    "EquipmentInUse",
    "Handle",
    "InvalidRequest",
    "LockLost",
    "LockRequired",
    "MotorlockError",
    "Refused",
    "SessionEnded",
    "StoppedBySomebody",
    "Unreachable",
    "UsageProblem",
    "connect",
    "load_ipython_extension",
    "unload_ipython_extension",
]


def connect(url: str | None = None, user: str | None = None, token: str | None = None) -> Connection:
    """Return a connection of its own session to the authority at `url`.

    What is not given is taken from MOTORLOCK_URL, MOTORLOCK_USER and MOTORLOCK_TOKEN. Nothing is sent before the
    connection is used; its methods raise `Unreachable` when no authority answers.
    """
    return Connection(KernelSession(url, user=user, token=token))


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext jupyter_motorlock`."""
    from jupyter_motorlock import extension  # IPython is imported where it is there already

    extension.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext jupyter_motorlock`."""
    from jupyter_motorlock import extension

    extension.unload(shell)

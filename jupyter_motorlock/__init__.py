"""One motor, several notebooks, one holder: the notebook side of motorlock.

In a notebook: `%load_ext jupyter_motorlock`, then `stage = %motor_login stage_x`. In a script:
`with jupyter_motorlock.connect(url).lock("stage_x") as stage: ...`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_motorlock.errors import CommandFailed as CommandFailed
from jupyter_motorlock.errors import CommandStopped as CommandStopped
from jupyter_motorlock.errors import DriverUnavailable as DriverUnavailable
from jupyter_motorlock.errors import EquipmentInUse as EquipmentInUse
from jupyter_motorlock.errors import InvalidRequest as InvalidRequest
from jupyter_motorlock.errors import LockLost as LockLost
from jupyter_motorlock.errors import LockRequired as LockRequired
from jupyter_motorlock.errors import MotorlockError as MotorlockError
from jupyter_motorlock.errors import Refused as Refused
from jupyter_motorlock.errors import SessionEnded as SessionEnded
from jupyter_motorlock.errors import StoppedBySomebody as StoppedBySomebody
from jupyter_motorlock.errors import Unreachable as Unreachable
from jupyter_motorlock.errors import UsageProblem as UsageProblem
from jupyter_motorlock.handle import Connection as Connection
from jupyter_motorlock.handle import Handle as Handle
from jupyter_motorlock.handle import Handles as Handles
from jupyter_motorlock.session import KernelSession

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


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

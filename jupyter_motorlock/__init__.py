"""One motor, several notebooks, one holder: the notebook side of motorlock.

In a notebook: `%load_ext jupyter_motorlock`, then `stage = %motor_login stage_x`. In a script:
`with jupyter_motorlock.connect(url).lock("stage_x") as stage: ...`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.client.this_kernel import kernel_session as kernel_session
from jupyter_motorlock.errors import CommandFailed as CommandFailed
from jupyter_motorlock.errors import CommandStopped as CommandStopped
from jupyter_motorlock.errors import DriverUnavailable as DriverUnavailable
from jupyter_motorlock.errors import EquipmentInUse as EquipmentInUse
from jupyter_motorlock.errors import Interrupted as Interrupted
from jupyter_motorlock.errors import InvalidRequest as InvalidRequest
from jupyter_motorlock.errors import LockLost as LockLost
from jupyter_motorlock.errors import LockRequired as LockRequired
from jupyter_motorlock.errors import MotorlockError as MotorlockError
from jupyter_motorlock.errors import NotAllowed as NotAllowed
from jupyter_motorlock.errors import Refused as Refused
from jupyter_motorlock.errors import SessionEnded as SessionEnded
from jupyter_motorlock.errors import StoppedBySomebody as StoppedBySomebody
from jupyter_motorlock.errors import Unreachable as Unreachable
from jupyter_motorlock.errors import Untrusted as Untrusted
from jupyter_motorlock.errors import UsageProblem as UsageProblem
from jupyter_motorlock.handle import Handle as Handle
from jupyter_motorlock.handle import Handles as Handles
from jupyter_motorlock.login import Connection as Connection
from jupyter_motorlock.text.values import Reading as Reading
from jupyter_motorlock.text.values import Value as Value

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from IPython.core.interactiveshell import InteractiveShell
    from pandas import DataFrame


logging.getLogger("jupyter_motorlock").addHandler(logging.NullHandler())


def connect(
    url: str | None = None, user: str | None = None, token: str | None = None, ca_file: str | None = None
) -> Connection:
    """Return a connection of its own session to the authority at `url`; `http://` may be left out.

    `ca_file` has the certificates that are trusted where the address begins with https. What is not given is taken
    from MOTORLOCK_URL, MOTORLOCK_USER, MOTORLOCK_TOKEN and MOTORLOCK_CA_FILE (else REQUESTS_CA_BUNDLE, SSL_CERT_FILE).
    Nothing is sent before the connection is used; its methods raise `Unreachable` when no authority answers.
    """
    return Connection(KernelSession(url, user=user, token=token, ca_file=ca_file))


def __getattr__(name: str) -> str:
    """Return the version of what is installed, looked up when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("jupyter-motorlock")


def motor_history(*names: str, since: datetime | timedelta | str | None = None, last: int | None = None) -> DataFrame:
    """Return what happened to `names`, or to all there is, as a `pandas.DataFrame`, oldest first.

    `since` is a time (without a zone a local one) or a span before now such as "8h" or "2d"; `last` is how many of
    the newest events of each are wanted. With neither it is the last 24 h. The columns are those of docs/history.md;
    durations are in seconds, positions in `units`. Raises `UsageProblem` for a name that is not there and where
    pandas is not, `Unreachable` when no authority answers.
    """
    from jupyter_motorlock.extras.history import history  # pandas is loaded when it is needed

    return history(kernel_session(), names, since=since, last=last)


def motor_panel(*names: str) -> object:
    """Return the live panel of one equipment, of several as rows, or without a name of all there is.

    It is displayed as the value of a cell, and is text where there are no widgets. Raises `Unreachable` when no
    authority answers, and `InvalidRequest` for a name that is not there.
    """
    from jupyter_motorlock.notebook.panel import panel_of

    return panel_of(kernel_session(), *names).widget


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext jupyter_motorlock`."""
    from jupyter_motorlock.notebook import extension  # IPython is imported where it is there already

    extension.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext jupyter_motorlock`."""
    from jupyter_motorlock.notebook import extension

    extension.unload(shell)

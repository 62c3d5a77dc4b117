"""The session of the kernel in which this runs, for functions that are called without one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from jupyter_motorlock.client.session import KernelSession

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

KEPT_AS = "_motorlock_extension"  # on the shell, because a module is made anew by %reload_ext


class HasSession(Protocol):
    """What the extension is for who only wants its session."""

    @property
    def session(self) -> KernelSession:
        """The session of the shell's kernel."""


def session_of(shell: InteractiveShell) -> KernelSession | None:
    """Return the session of the shell's kernel; None where the extension is not loaded."""
    extension: HasSession | None = getattr(shell, KEPT_AS, None)
    if extension is not None:
        return extension.session
    return None


def kernel_session() -> KernelSession:
    """Return this kernel's session where the extension is loaded, else a new one by the defaults of `connect`.

    Nothing is sent before it is used. A new one is the caller's to `close`; the kernel's ends with the kernel.
    """
    ipython = sys.modules.get("IPython")  # who has not imported it is in no notebook
    shell = None
    if ipython:
        shell = ipython.get_ipython()
    if shell is None:
        return KernelSession()
    return session_of(shell) or KernelSession()

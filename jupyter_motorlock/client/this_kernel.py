"""The session of the kernel in which this runs, for functions that are called without one."""

from __future__ import annotations

import sys

from jupyter_motorlock.client.session import KernelSession

KEPT_AS = "_motorlock_extension"  # on the shell, because a module is made anew by %reload_ext


def kernel_session() -> KernelSession:
    """Return this kernel's session where the extension is loaded, else a new one by the defaults of `connect`.

    Nothing is sent before it is used. A new one is the caller's to `close`; the kernel's ends with the kernel.
    """
    ipython = sys.modules.get("IPython")  # who has not imported it is in no notebook
    extension = getattr(ipython and ipython.get_ipython(), KEPT_AS, None)
    if extension is None:
        return KernelSession()
    session: KernelSession = extension.session
    return session

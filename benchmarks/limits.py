"""As many file descriptors as the system allows: a benchmark of thousands of streams needs them at both ends."""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> None:
    """Raise the soft limit of this process to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

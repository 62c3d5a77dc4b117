"""What needs more than the light install: each module names the extra that brings what it stands on."""

from __future__ import annotations

from jupyter_motorlock.errors import UsageProblem


def not_installed(missing: ModuleNotFoundError, extra: str) -> UsageProblem:
    """Return the sentence that says what is missing and which extra brings it."""
    return UsageProblem(
        f'The package {missing.name} is not installed: pip install "jupyter-motorlock[{extra}]" brings it.'
    )

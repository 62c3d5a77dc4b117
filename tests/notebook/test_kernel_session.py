"""The session that functions of the package use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from real_lab import Authority, Kernel

import jupyter_motorlock


def test_functions_share_the_session_of_a_kernel_that_has_the_extension(
    authority: Authority, start_kernel: Callable[..., Kernel]
) -> None:
    """NB-40 NB-5"""
    kernel = start_kernel("ann")
    kernel.run("import jupyter_motorlock\nbefore = jupyter_motorlock.kernel_session()")
    kernel.run("%load_ext jupyter_motorlock\nstage = %motor_login stage_x")
    kernel.run("session = jupyter_motorlock.kernel_session()\nassert session is jupyter_motorlock.kernel_session()")
    assert kernel.run("session.session_id") == repr(authority.status()["holder"]["session_id"])
    kernel.run("%unload_ext jupyter_motorlock\nassert jupyter_motorlock.kernel_session() is not session")
    kernel.run("assert before is not session and before.session_id is None")


def test_elsewhere_a_function_has_a_session_of_its_own_by_the_defaults(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NB-40"""
    monkeypatch.setenv("MOTORLOCK_URL", authority.url)
    session = jupyter_motorlock.kernel_session()
    assert session.status("stage_x")["state"] == "free"
    assert session is not jupyter_motorlock.kernel_session()
    session.close()
    alone = "import sys, jupyter_motorlock; jupyter_motorlock.kernel_session(); assert 'IPython' not in sys.modules"
    subprocess.run([sys.executable, "-c", alone], check=True)

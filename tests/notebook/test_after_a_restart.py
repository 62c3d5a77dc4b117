"""A kernel that was restarted says what became of what it held, and takes nothing back by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from real_lab import PATIENCE_S, Authority, Kernel, Person
from typed import Notebook, wait_until

LOGIN = '%motor_login stage_x --no-panel --note "overnight scan"'
LOAD = "%load_ext jupyter_motorlock"
BEFORE = "This kernel was restarted"
MINE = f"{BEFORE}: your lock on stage_x (overnight scan) ended at "


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


def remembered(kernel: Kernel) -> Path:
    """The file that says what the kernel holds."""
    connection = Path(kernel.manager.connection_file)
    return connection.with_name(f".{connection.name}.motorlock")


def killed(kernel: Kernel, authority: Authority) -> None:
    """Kill the kernel's process, and start the next one when its lock has ended."""
    os.kill(kernel.pid, signal.SIGKILL)
    wait_until(lambda: authority.status()["session_id"] is None, "the lock of a killed kernel to end")
    again(kernel)


def again(kernel: Kernel) -> None:
    """Start the kernel's next process, in place of what is left of the one before."""
    kernel.client.stop_channels()
    kernel.manager.restart_kernel(now=True)
    kernel.connect()


def test_the_first_magic_after_a_restart_says_once_what_became_of_the_lock_and_takes_nothing_back(
    kernel: Kernel, authority: Authority
) -> None:
    """NB-60 NB-17"""
    Notebook(kernel).run(LOGIN)
    kernel.restart()
    ann = Notebook(kernel)
    said = ann.run("%motor_status stage_x").stdout.splitlines()
    at, _, rest = said[0].removeprefix(MINE).partition(" ")
    assert len(at) == len("14:02")
    assert rest == (
        "because the kernel was shut down or restarted. stage_x is free. %motor_login stage_x asks for it again."
    )
    assert said[1].startswith("stage_x is free")
    assert authority.status()["state"] == "free"
    assert BEFORE not in ann.run("%motor_status stage_x").stdout
    assert not remembered(kernel).exists()


def test_after_a_crash_who_has_it_now_is_said_and_that_one_must_wait(
    kernel: Kernel, authority: Authority, bob: Person
) -> None:
    """NB-60"""
    ann = Notebook(kernel)
    ann.run(f"{LOGIN} --as Ann")
    ann.run("%motor_login stage_y --no-panel")
    bob.acquire(wait=True)
    os.kill(kernel.pid, signal.SIGKILL)
    wait_until(lambda: authority.status()["session_id"] == bob.session_id, "bob to have it")
    again(kernel)
    x, y, *_ = Notebook(kernel).run("%motor_status stage_x").stdout.splitlines()
    assert x.startswith(MINE)
    assert " because the kernel's process ended. Bob has stage_x since " in x
    assert x.endswith("; nobody waits. %motor_login stage_x --as Ann --wait asks for it again.")
    assert y.startswith(f"{BEFORE}: your lock on stage_y ended at ")
    assert y.endswith(". stage_y is free. %motor_login stage_y --as Ann asks for it again.")


def test_a_login_after_a_restart_says_first_what_became_of_the_lock_and_then_has_it(
    kernel: Kernel, authority: Authority
) -> None:
    """NB-60"""
    Notebook(kernel).run(LOGIN)
    killed(kernel, authority)
    said = Notebook(kernel).run(LOGIN).stdout.splitlines()
    assert [line[: len(MINE)] for line in said] == [MINE, "stage_x is yours."]
    assert authority.status()["state"] == "held"
    assert json.loads(remembered(kernel).read_text())["held"] == {"stage_x": "overnight scan"}


def test_what_was_given_back_or_lost_before_the_restart_is_not_told_again(
    kernel: Kernel, authority: Authority, bob: Person
) -> None:
    """NB-60"""
    ann = Notebook(kernel)
    ann.run("%motor_login stage_x stage_y --no-panel")
    assert remembered(kernel).exists()
    bob.release(force=True)
    wait_until(lambda: "stage_x" not in remembered(kernel).read_text(), "the loss to be known")
    ann.run("%motor_logout stage_y")
    assert not remembered(kernel).exists()
    kernel.restart()
    assert BEFORE not in Notebook(kernel).run("%motor_status").stdout


def test_what_is_remembered_is_for_the_user_alone_and_has_no_secret_and_an_unload_removes_it(
    kernel: Kernel, authority: Authority
) -> None:
    """NB-60 NB-22"""
    ann = Notebook(kernel)
    ann.run(LOGIN)
    assert remembered(kernel).stat().st_mode & 0o777 == 0o600
    found = json.loads(remembered(kernel).read_text())
    assert found == {
        "url": authority.url,
        "user": "ann",
        "session_id": authority.status()["session_id"],
        "held": {"stage_x": "overnight scan"},
    }
    ann.run("%reload_ext jupyter_motorlock")
    assert not remembered(kernel).exists()
    assert ann.run("%motor_status stage_x").stdout.startswith("stage_x is free")


def test_a_child_of_the_kernel_that_ends_forgets_nothing_for_it(kernel: Kernel, authority: Authority) -> None:
    """NB-60 NB-18"""
    ann = Notebook(kernel)
    ann.run(LOGIN)
    ann.value("""
import multiprocessing
unload = get_ipython().run_line_magic
child = multiprocessing.get_context("fork").Process(target=unload, args=("unload_ext", "jupyter_motorlock"))
child.start()
child.join()
""")
    assert remembered(kernel).exists()
    assert authority.status()["state"] == "held"


def test_an_authority_that_does_not_answer_is_asked_another_time(
    kernel: Kernel, authority: Authority, start_kernel: Callable[..., Kernel]
) -> None:
    """NB-60 NB-19"""
    Notebook(kernel).run(LOGIN)
    os.kill(kernel.pid, signal.SIGKILL)
    wait_until(lambda: authority.status()["session_id"] is None, "the lock to end")
    authority.end()
    try:
        again(kernel)
        ann = Notebook(kernel)
        out = ann.run("%motor_status stage_x")
        assert out.error.startswith("Unreachable: ")
        assert BEFORE not in out.stdout
    finally:
        authority.start()
    assert ann.run("%motor_status stage_x").stdout.startswith(MINE)


def test_a_kernel_that_is_back_before_the_authority_says_who_is_still_taken_for_the_holder(
    kernel: Kernel, authority: Authority
) -> None:
    """NB-60"""
    Notebook(kernel).run(LOGIN)
    keeper = kernel.keeper_pid
    os.kill(keeper, signal.SIGSTOP)  # it can neither tell nor let go
    os.kill(kernel.pid, signal.SIGKILL)
    try:
        again(kernel)
        said = Notebook(kernel).run("%motor_status stage_x").stdout.splitlines()[0]
        assert said == (
            f"{BEFORE}, and the authority has not heard of it yet: stage_x (overnight scan) is held for it as it was; "
            "%motor_login stage_x --wait asks for it."
        )
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait_until(lambda: authority.status()["state"] == "free", "the keeper to tell")


def test_a_stop_after_a_restart_is_sent_before_anything_is_asked_or_told(kernel: Kernel, authority: Authority) -> None:
    """NB-60 STOP-1"""
    Notebook(kernel).run(LOGIN)
    killed(kernel, authority)
    ann = Notebook(kernel)
    assert ann.run("%motor_stop stage_x").stdout == "stage_x was stopped.\n"
    assert ann.run("%motor_status stage_x").stdout.startswith(MINE)


def test_an_ipython_without_a_connection_file_remembers_nothing(authority: Authority, tmp_path: Path) -> None:
    """NB-60"""
    env = {
        **os.environ,
        "MOTORLOCK_URL": authority.url,
        "IPYTHONDIR": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
    }
    lines = [LOAD, LOGIN, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    code = "\n".join(f"get_ipython().run_cell({line!r})" for line in lines)
    run = [sys.executable, "-m", "IPython", "--no-banner", "-c", code]
    died = subprocess.run(run, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "stage_x is yours." in died.stdout
    assert not [*tmp_path.rglob("*.motorlock")]

"""Where there are no widgets: IPython in a terminal, and programs that run a notebook from one end to the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from real_lab import PATIENCE_S, Authority, Person
from typed import wait_until

LOAD = "%load_ext jupyter_motorlock"
LOGIN = "stage = %motor_login stage_x"


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def env(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment, also that of the kernels which this process starts."""
    for name, value in {
        "MOTORLOCK_URL": authority.url,
        "MOTORLOCK_USER": "ann",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


def freed(authority: Authority) -> None:
    wait_until(lambda: authority.status()["state"] == "free", "the end to free the lock")


def ipython(env: dict[str, str], *lines: str) -> subprocess.Popen[str]:
    """Start IPython as in a terminal, with the lines typed in."""
    run = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "--simple-prompt"]
    shell = subprocess.Popen(
        run, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert shell.stdin is not None
    shell.stdin.write("".join(f"{line}\n" for line in lines))
    shell.stdin.flush()
    return shell


def test_a_terminal_has_magics_handle_and_panel_as_text_and_its_end_frees_the_lock(
    authority: Authority, env: dict[str, str]
) -> None:
    """NB-64 NB-9"""
    shell = ipython(env, LOAD, LOGIN, "%motor_panel", "stage.move_to(0.5)", "%motor_status stage_x", "exit")
    said, _ = shell.communicate(timeout=PATIENCE_S)
    assert "stage_x is yours." in said
    assert "Widget" not in said
    assert "VBox(" not in said
    assert said.count("stage_x is yours since") >= 3  # the login's panel, the other one, the status
    assert "0.5" in said
    freed(authority)


def test_ctrl_c_in_a_terminal_stops_the_motor_and_keeps_the_lock(authority: Authority, env: dict[str, str]) -> None:
    """NB-64 NB-10 NB-11"""
    shell = ipython(env, LOAD, f"{LOGIN} --no-panel", "stage.move_to(95)", "%motor_status stage_x")
    wait_until(lambda: authority.status()["running"], "the move to begin")
    shell.send_signal(signal.SIGINT)
    wait_until(lambda: not authority.status()["running"], "the move to end")
    assert authority.status()["state"] == "held"
    said, _ = shell.communicate("exit\n", timeout=PATIENCE_S)
    assert "You interrupted move_to of stage_x; stage_x was stopped." in said
    assert authority.status()["readback"]["position"] < 95
    freed(authority)


def notebook(*cells: str) -> nbformat.NotebookNode:
    made: nbformat.NotebookNode = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return made


def texts(made: nbformat.NotebookNode) -> str:
    outputs: list[dict[str, Any]] = [output for cell in made.cells for output in cell.outputs]
    return "\n".join(one.get("text") or one.get("data", {}).get("text/plain", "") for one in outputs)


def test_nbclient_runs_a_notebook_whose_panel_has_its_text_and_no_secret_and_frees_the_lock(
    authority: Authority, env: dict[str, str]
) -> None:
    """NB-64"""
    made = notebook(LOAD, LOGIN, "from jupyter_motorlock import kernel_session\n"
                    "token = kernel_session().client.session_token\ntoken[:0]",
                    "stage.move_to(0.25)", "print(hash(token) and 'known', token[::-1])")  # fmt: skip
    nbclient.NotebookClient(made, timeout=PATIENCE_S).execute()
    said = texts(made)
    assert "stage_x is yours since" in said
    assert "0.25" in said
    secret = said.rpartition("known ")[2].strip()[::-1]
    assert len(secret) > 20
    assert secret not in json.dumps(made)
    freed(authority)


def test_a_refusal_ends_the_run_of_a_notebook(authority: Authority, env: dict[str, str], bob: Person) -> None:
    """NB-64 NB-3"""
    bob.acquire()
    made = notebook(LOAD, LOGIN, "print('went on')")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="EquipmentInUse"):
        nbclient.NotebookClient(made, timeout=PATIENCE_S).execute()
    assert "went on" not in texts(made)


def test_jupyter_execute_frees_the_lock_at_the_end_of_the_run(
    authority: Authority, env: dict[str, str], tmp_path: Path
) -> None:
    """NB-64 NB-17"""
    file = tmp_path / "scan.ipynb"
    nbformat.write(notebook(LOAD, LOGIN, "stage.move_to(0.75)"), file)
    run = [sys.executable, "-m", "jupyter", "execute", "--inplace", str(file)]
    done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "0.75" in texts(nbformat.read(file, as_version=4))
    freed(authority)
    last = [event for event in authority.events() if event["event"] == "lock_expired"][-1]
    assert last["reason"] == "the kernel was shut down or restarted"

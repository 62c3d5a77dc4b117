"""The tests' own environment: what it lets in, and that nothing outlives a test run."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import environment
import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import pytest
import reaper

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0
HOSTILE = {
    "MOTORLOCK_TOKEN": "of another lab",
    "LABLINK_LOCK_TIMEOUT_SEC": "1",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "no_proxy": "*",
    "JUPYTER_CONFIG_DIR": "/nowhere",
    "IPYTHONDIR": "/nowhere",
    "PYTHONOPTIMIZE": "1",
    "PYTHONWARNINGS": "error",
    "HOME": "/nowhere",
    "LC_TIME": "de_DE.UTF-8",
    "LANGUAGE": "de",
    "TZ": "Pacific/Kiritimati",
    "EPICS_CA_ADDR_LIST": "192.0.2.1",
}
CONFTEST = f"""
import sys
sys.path.append({str(ROOT / "tests")!r})
from environment import pytest_configure, pytest_unconfigure
"""
SHOWS_ITS_ENVIRONMENT = """
import json, os

def test_shows_its_environment():
    print("\\nSHOWN", json.dumps(dict(os.environ)))
"""
SHOWS_WHAT_A_CHILD_GETS = """
import subprocess, sys

CHILD = "import os, signal; print('SHOWN', os.fstat(0).st_mode > 0, signal.getsignal(signal.SIGHUP) is signal.SIG_DFL, "
CHILD += "signal.getsignal(signal.SIGINT) is signal.default_int_handler, oct(os.umask(0)))"

def test_shows_what_a_child_gets():
    print()
    print(subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout)
"""
# What it starts is in sessions of their own, as a kernel and its keeper are.
STARTS_A_SERVER = """
import subprocess, sys, time
import pytest

WAITS = "import time; time.sleep(600)"
STARTS_ANOTHER = f"import os, subprocess, sys; run = [sys.executable, '-c', {WAITS!r}]; "
STARTS_ANOTHER += "other = subprocess.Popen(run, start_new_session=True); "
STARTS_ANOTHER += "print(os.getpid(), other.pid, flush=True); other.wait()"

@pytest.fixture
def server():
    started = subprocess.Popen([sys.executable, "-c", STARTS_ANOTHER], start_new_session=True, stdout=subprocess.PIPE)
    print("\\nSHOWN", started.stdout.readline().decode().strip(), flush=True)
    WHAT_THEN

def test_with_a_server(server):
    pass
"""


@pytest.fixture
def run_tests(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a pytest of its own with one file of tests, by the command `shell` where one is given."""
    started: list[subprocess.Popen[str]] = []
    outside = {name: value for name, value in os.environ.items() if name != reaper.MARK}

    def run(text: str, *shell: str, **variables: str) -> subprocess.Popen[str]:
        (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n", encoding="utf-8")
        (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
        command = [*shell, sys.executable, "-m", "pytest", "-s", str(tmp_path)]
        env = {**outside, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=env))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def shown(process: subprocess.Popen[str]) -> str:
    """Return what a test of that pytest has shown, as soon as it has."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("SHOWN "):
            return line.removeprefix("SHOWN ").strip()
    raise AssertionError(said)


def test_no_variable_of_the_users_reaches_a_test(run_tests: Callable[..., subprocess.Popen[str]]) -> None:
    process = run_tests(SHOWS_ITS_ENVIRONMENT, **HOSTILE)
    found = json.loads(shown(process))
    assert [name for name in HOSTILE if found.get(name) == HOSTILE[name]] == []
    assert set(found) & set(HOSTILE) == {"HOME", "TZ"}
    assert process.wait(PATIENCE_S) == 0
    assert not Path(found["HOME"]).exists(), "the tests' home ends with them"


def test_signals_that_were_ignored_and_a_standard_input_that_was_closed_are_as_usual_for_what_a_test_starts(
    run_tests: Callable[..., subprocess.Popen[str]],
) -> None:
    nohup = ["sh", "-c", 'trap \'\' HUP INT; umask 077; exec "$0" "$@" <&-']
    assert shown(run_tests(SHOWS_WHAT_A_CHILD_GETS, *nohup)) == "True True True 0o22"


@pytest.mark.parametrize("hour", range(24))
def test_it_is_morning_in_the_tests_at_every_hour(hour: int) -> None:
    now = datetime(2026, 11, 29, hour, 59, tzinfo=UTC)
    program = f"import time; print(time.localtime({now.timestamp()}).tm_hour)"
    env = {**os.environ, "TZ": environment.zone_where_it_is_morning(now)}
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert int(ran.stdout) == environment.MORNING_HOUR


@pytest.mark.parametrize(
    ("then", "kill"),
    [("time.sleep(600)", True), ("raise ValueError('a fixture that fails')", False), ("", False)],
    ids=["pytest is killed", "a fixture fails", "nobody ends it"],
)
def test_what_a_test_has_started_ends_with_pytest(
    run_tests: Callable[..., subprocess.Popen[str]], then: str, kill: bool
) -> None:
    process = run_tests(STARTS_A_SERVER.replace("WHAT_THEN", then))
    started = [psutil.Process(int(pid)) for pid in shown(process).split()]
    assert len(started) == 2
    if kill:
        process.send_signal(signal.SIGKILL)
    else:
        process.wait(PATIENCE_S)
    assert psutil.wait_procs(started, PATIENCE_S)[1] == []


def test_an_assertion_of_the_product_only_tells_the_type_checker_what_is_known() -> None:
    """With PYTHONOPTIMIZE it is left out, so nothing may depend on it."""
    files = [*(ROOT / "authority").rglob("*.py"), *(ROOT / "jupyter_motorlock").rglob("*.py")]
    asserted = [
        node.test
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert len(asserted) > 20
    called = {
        node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        for test in asserted
        for node in ast.walk(test)
        if isinstance(node, ast.Call)
    }
    assert called <= {"isinstance", "callable"}

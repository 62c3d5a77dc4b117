"""The twenty mistakes a newcomer makes first, each made in a real kernel; docs/newcomer.md has the same sentences."""

from __future__ import annotations

import http.server
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_lab import Authority, Kernel
from typed import Notebook, Output, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "newcomer.md"
ROW = re.compile(r"^\| (?P<mistake>[^|]+) \| `(?P<typed>[^|]+)` \| (?P<said>[^|]+) \|$", re.MULTILINE)
TABLE = {row["mistake"]: (row["typed"].replace(" ⏎ ", "\n"), row["said"]) for row in ROW.finditer(PAGE.read_text())}


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture(scope="module")
def opened(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Notebook]]:
    """Open Ann's notebooks by name, each with a kernel of its own; they stay open for the next test."""
    home, notebooks = str(tmp_path_factory.mktemp("ipython")), dict[str, Notebook]()

    def open_one(name: str) -> Notebook:
        env = {**os.environ, "IPYTHONDIR": home, "MOTORLOCK_URL": authority.url, "MOTORLOCK_USER": "ann"}
        if name not in notebooks:
            notebooks[name] = Notebook(Kernel(env | {"JPY_SESSION_NAME": f"lab/{name}"}))
        return notebooks[name]

    yield open_one
    for notebook in notebooks.values():
        notebook.kernel.end()


@pytest.fixture
def ann(opened: Callable[[str], Notebook], authority: Authority) -> Iterator[Notebook]:
    """Ann's notebook; afterwards nobody holds anything."""
    notebook = opened("scan-2.ipynb")
    yield notebook
    for name in ("scan-1.ipynb", "scan-2.ipynb"):
        opened(name).run("%reload_ext jupyter_motorlock")
    for session in authority.call("GET", "/locks/sessions")["sessions"]:
        authority.call("DELETE", f"/locks/sessions/{session['session_id']}")
    wait_until(lambda: authority.status()["state"] == "free", "the motor is free for the next test")


@pytest.fixture
def elsewhere(ann: Notebook, authority: Authority) -> Iterator[Callable[[str], Notebook]]:
    """Let Ann's notebook look for the authority at another address."""

    def look_at(url: str) -> Notebook:
        ann.value(f"%set_env MOTORLOCK_URL {url}\n%config MotorMagics.authority_url = {url!r}")
        ann.value("%config MotorMagics.authority_url = ''")
        return ann

    yield look_at
    ann.value(f"%set_env MOTORLOCK_URL {authority.url}\n%config MotorMagics.authority_url = {authority.url!r}")
    ann.value("%config MotorMagics.authority_url = ''")


@pytest.fixture
def another_program() -> Iterator[str]:
    """The address of a web server that is no authority."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it overrides
        """Say nothing."""


def typed(notebook: Notebook, mistake: str) -> Output:
    """Make the mistake as the page has it."""
    return notebook.run(TABLE[mistake][0])


def check(mistake: str, out: Output) -> None:
    """The sentence is the page's, it is all that is shown, and it stops "Run all"."""
    said = re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:8790", out.error)
    said = re.sub(r"\bfor \d+ s\b", "for 5 s", said)
    assert said == TABLE[mistake][1]
    assert (out.status, len(out.traceback), out.stderr) == ("error", 1, "")


def test_the_page_has_twenty_mistakes() -> None:
    assert len(TABLE) == 20


def test_the_authority_is_not_started(elsewhere: Callable[[str], Notebook]) -> None:
    """NB-19 NB-3"""
    mistake = "the authority is not started"
    check(mistake, typed(elsewhere("http://127.0.0.1:9"), mistake))


def test_the_address_is_that_of_another_program(elsewhere: Callable[[str], Notebook], another_program: str) -> None:
    mistake = "the address is that of another program"
    check(mistake, typed(elsewhere(another_program), mistake))


@pytest.mark.parametrize("mistake", ["the name is wrong", "the login is forgotten"])
def test_nothing_is_logged_in_to(ann: Notebook, mistake: str) -> None:
    check(mistake, typed(ann, mistake))


def test_a_colleague_has_it(ann: Notebook, authority: Authority) -> None:
    mistake = "a colleague has it"
    authority.person("Bob").acquire()
    check(mistake, typed(ann, mistake))


def test_ones_own_other_notebook_has_it(ann: Notebook, opened: Callable[[str], Notebook]) -> None:
    mistake = "one's own other notebook has it"
    opened("scan-1.ipynb").value("stage = %motor_login stage_x --no-panel")
    check(mistake, typed(ann, mistake))


def test_the_kernel_was_restarted(ann: Notebook) -> None:
    """NB-17"""
    mistake = "the kernel was restarted and the login not repeated"
    ann.value("stage = %motor_login stage_x --no-panel")
    ann.kernel.restart()
    check(mistake, typed(Notebook(ann.kernel), mistake))


@pytest.mark.parametrize(
    "mistake",
    [
        "the command is misspelt",
        "a parameter is missing",
        "another unit is typed after the number",
        "the target is outside the limits",
        "a line of a cell is beyond the limits",
        "a distance of a cell leads beyond the limits",
        "a variable is not defined",
        "a sum is written in braces",
        "an option is misspelt",
        "an option stands in the body of a cell",
        "a time has no unit that is known",
        "a line takes longer than it may",
    ],
)
def test_a_line_is_wrong(ann: Notebook, mistake: str) -> None:
    ann.value("stage = %motor_login stage_x --no-panel")
    check(mistake, typed(ann, mistake))


def test_it_is_given_back_twice(ann: Notebook) -> None:
    mistake = "it is given back twice"
    ann.value("stage = %motor_login stage_x --no-panel")
    assert typed(ann, mistake).stdout == "You gave stage_x back.\n"
    again = typed(ann, mistake)
    assert (again.status, again.stdout) == ("ok", TABLE[mistake][1] + "\n")

"""The twelve mistakes a newcomer makes first, each made in a real kernel; docs/newcomer.md has the same sentences."""

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

Open = Callable[[str], Notebook]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    running = Authority(tmp_path_factory.mktemp("authority"))
    yield running
    running.end()


@pytest.fixture
def open_notebook(authority: Authority, tmp_path: Path) -> Iterator[Open]:
    """Open notebooks of the user ann that look for the authority at the given address."""
    opened: list[Kernel] = []

    def start(url: str) -> Notebook:
        env = {**os.environ, "IPYTHONDIR": str(tmp_path), "MOTORLOCK_URL": url, "MOTORLOCK_USER": "ann"}
        opened.append(Kernel(env | {"JPY_SESSION_NAME": f"lab/scan-{len(opened) + 1}.ipynb"}))
        return Notebook(opened[-1])

    yield start
    for kernel in opened:
        kernel.end()
    for session in authority.call("GET", "/locks/sessions")["sessions"]:
        authority.call("DELETE", f"/locks/sessions/{session['session_id']}")
    wait_until(lambda: authority.status()["state"] == "free", "the motor is free for the next test")


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


def test_the_page_has_twelve_mistakes() -> None:
    assert len(TABLE) == 12


def test_the_authority_is_not_started(open_notebook: Open) -> None:
    mistake = "the authority is not started"
    check(mistake, typed(open_notebook("http://127.0.0.1:9"), mistake))


def test_the_address_is_that_of_another_program(open_notebook: Open, another_program: str) -> None:
    mistake = "the address is that of another program"
    check(mistake, typed(open_notebook(another_program), mistake))


def test_the_name_is_wrong(open_notebook: Open, authority: Authority) -> None:
    mistake = "the name is wrong"
    check(mistake, typed(open_notebook(authority.url), mistake))


def test_the_login_is_forgotten(open_notebook: Open, authority: Authority) -> None:
    mistake = "the login is forgotten"
    check(mistake, typed(open_notebook(authority.url), mistake))


def test_a_colleague_has_it(open_notebook: Open, authority: Authority) -> None:
    mistake = "a colleague has it"
    authority.person("Bob").acquire()
    check(mistake, typed(open_notebook(authority.url), mistake))


def test_ones_own_other_notebook_has_it(open_notebook: Open, authority: Authority) -> None:
    mistake = "one's own other notebook has it"
    open_notebook(authority.url).value("stage = %motor_login stage_x --no-panel")
    check(mistake, typed(open_notebook(authority.url), mistake))


def test_the_kernel_was_restarted(open_notebook: Open, authority: Authority) -> None:
    mistake = "the kernel was restarted and the login not repeated"
    notebook = open_notebook(authority.url)
    notebook.value("stage = %motor_login stage_x --no-panel")
    notebook.kernel.restart()
    check(mistake, typed(Notebook(notebook.kernel), mistake))


@pytest.fixture
def logged_in(open_notebook: Open, authority: Authority) -> Notebook:
    notebook = open_notebook(authority.url)
    notebook.value("stage = %motor_login stage_x --no-panel")
    return notebook


@pytest.mark.parametrize(
    "mistake",
    [
        "the command is misspelt",
        "a parameter is missing",
        "a unit is typed after the number",
        "the target is outside the limits",
    ],
)
def test_a_line_is_wrong(logged_in: Notebook, mistake: str) -> None:
    check(mistake, typed(logged_in, mistake))


def test_it_is_given_back_twice(logged_in: Notebook) -> None:
    mistake = "it is given back twice"
    assert typed(logged_in, mistake).status == "ok"
    check(mistake, typed(logged_in, mistake))

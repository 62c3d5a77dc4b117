"""The client commands of `motorlock`, each a process of its own against a real authority."""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
from real_lab import PATIENCE_S, Authority, Wire
from typed import wait_until

from authority.__main__ import main
from jupyter_motorlock.cli import print_line

OWNER = getpass.getuser()
ROOT = Path(__file__).parents[2]
NOT_LIGHT = ("msgspec", "starlette", "uvicorn", "dotenv", "httptools", "websockets", "uvloop")
WITHOUT_THE_EXTRA = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background was started to ignore it
sys.modules.update(dict.fromkeys({NOT_LIGHT}))
from authority.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
JAMMED = """
[equipment.press]
driver = "tests.api.drivers:Flaky"
stop_seconds = 0.2
options = {{ place = "{place}" }}
"""
Ran = subprocess.CompletedProcess[str]


def environment(url: str | None) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MOTORLOCK_")}
    named = {} if url is None else {"MOTORLOCK_URL": url}
    return {**kept, **named, "MOTORLOCK_USER": "Eva", "PYTHONPATH": str(ROOT)}


def motorlock(url: str | None, *words: str) -> Ran:
    """Type a command, in this process: it speaks with the authority's."""
    said, wrong = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as env, redirect_stdout(said), redirect_stderr(wrong):
        for name in [name for name in os.environ if name.startswith("MOTORLOCK_")]:
            env.delenv(name)
        for name, value in environment(url).items():
            env.setenv(name, value)
        status = main(list(words))
    return Ran(words, status, said.getvalue(), wrong.getvalue())


def light(url: str | None, *words: str) -> Ran:
    """Type a command where nothing but the light client is installed, as a process of its own."""
    command = [sys.executable, "-c", WITHOUT_THE_EXTRA, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment(url))


def done(ran: Ran) -> str:
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def refused(ran: Ran, status: int = 1) -> str:
    assert (ran.returncode, ran.stdout) == (status, ""), ran
    assert ran.stderr.count("\n") == 1
    return ran.stderr.rstrip("\n")


def command(authority: Authority, session_id: str, action: str, equipment_id: str = "stage_x", **given: float) -> None:
    """Begin a command and do not wait for its end."""
    asked = {"command_id": "c", "equipment_id": equipment_id, "action": action, "parameters": given}
    begun = authority.call(
        "POST", f"/equipment/{equipment_id}/command", asked | {"session_id": session_id, "wait_seconds": 0}
    )
    assert begun["outcome"] == "running", begun


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """One authority for all whose people leave."""
    running = Authority(tmp_path_factory.mktemp("shared"))
    yield running
    running.end()


@pytest.fixture
def authority(shared: Authority) -> Iterator[Authority]:
    """The shared authority, whose equipment is free before and after."""
    yield shared
    for session in shared.call("GET", "/locks/sessions")["sessions"]:
        shared.call("DELETE", f"/locks/sessions/{session['session_id']}")
    wait_until(lambda: shared.status()["state"] == "free", "the motor to be free")


@pytest.fixture(scope="module")
def os_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """An authority that knows its users by the operating system."""
    with pytest.MonkeyPatch.context() as env:
        env.setenv("MOTORLOCK_AUTH", "os,token")
        running = Authority(tmp_path_factory.mktemp("users"))
    yield running
    running.end()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Authority]:
    """An authority that a test may end."""
    running = Authority(tmp_path / "data")
    yield running
    running.end()


@pytest.fixture
def press(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority whose one piece of equipment can be unplugged and jammed."""
    lab = tmp_path / "lab.toml"
    lab.write_text(JAMMED.format(place=tmp_path), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    running = Authority(tmp_path / "data", "--config", str(lab))
    wait_until(lambda: running.status("press")["readback"]["connected"], "the device to answer")
    yield running
    (tmp_path / "jammed").unlink(missing_ok=True)
    running.end(signal.SIGKILL)


def test_status_says_who_has_what_in_a_line_each_or_all_there_is_to_say(authority: Authority) -> None:
    """RUN-12, RUN-17"""
    ann, bob = authority.person("Ann"), authority.person("Bob")
    ann.acquire()
    bob.acquire(wait=True)
    first, *others = done(light(authority.url, "status")).splitlines()
    assert first.startswith("Ann has stage_x since ")
    assert others == ["stage_y is free.", "ps_abc123 is free.", "scope_123 is free."]
    whole = done(motorlock(None, "status", "stage_x", "--url", authority.url))
    assert re.search(r"^  reads: \d+\.\d{3} mm$", whole, re.MULTILINE)
    assert "  queue 1: Bob" in whole
    [held] = [json.loads(line) for line in done(motorlock(authority.url, "status", "stage_x", "--json")).splitlines()]
    assert (held["holder"]["user"], held["queue"][0]["user"], held["readback"]["units"]) == ("Ann", "Bob", "mm")


def test_stop_stops_what_another_moves_and_makes_no_session(authority: Authority) -> None:
    """RUN-18"""
    ann = authority.person("Ann")
    ann.acquire()
    command(authority, ann.session_id, "move_to", position=90)
    sessions = authority.call("GET", "/locks/sessions")["count"]
    said = done(light(authority.url, "stop", "stage_x", "stage_y", "--reason", "the cable"))
    assert said == "stage_x was stopped and stage_y was stopped.\n"
    wait_until(lambda: not authority.status()["readback"]["moving"], "the motor to stand")
    stop = authority.status()["stopped_by"]
    assert (stop["user"], stop["reason"]) == ("Eva", "the cable")
    assert authority.call("GET", "/locks/sessions")["count"] == sessions


def test_a_stop_that_the_driver_does_not_take_is_said_loudly(press: Authority, tmp_path: Path) -> None:
    """RUN-18, STOP-20"""
    (tmp_path / "jammed").touch()
    said = refused(motorlock(press.url, "stop", "press"))
    assert said == (
        "motorlock: STOP NOT DELIVERED: press did not take the stop (no answer within 1 s): "
        "use the equipment's own emergency stop."
    )


@pytest.mark.parametrize("words", [["stop", "stage_x"], ["status"]])
def test_an_authority_that_is_not_there_or_does_not_answer_is_one_sentence_with_its_address(
    wire: Wire, words: list[str]
) -> None:
    """RUN-17, RUN-18"""
    gone = refused(light("http://127.0.0.1:1", *words))
    wire.cut()
    silent = refused(motorlock(wire.url, *words))
    assert "No motorlock authority answers at http://127.0.0.1:1" in gone
    assert f"No motorlock authority answers at {wire.url}" in silent
    assert [("STOP NOT DELIVERED" in said) for said in (gone, silent)] == [words[0] == "stop"] * 2


def test_release_by_force_stops_the_holder_and_tells_both_who_did_it_and_why(authority: Authority) -> None:
    """RUN-12"""
    ann = authority.person("Ann")
    ann.acquire()
    command(authority, ann.session_id, "move_to", position=90)
    said = done(light(authority.url, "release", "stage_x", "--force", "--reason", "Ann went home"))
    assert said.startswith("stage_x was taken from Ann, who is told that you did it and why.\n")
    loss = authority.status()["last_lost"]
    assert (loss["why"], loss["by"], loss["reason"]) == ("forced", "Eva", "Ann went home")
    wait_until(lambda: authority.status()["state"] == "free", "the motor to be free")
    again = refused(motorlock(authority.url, "release", "stage_x", "--force", "--reason", "again"))
    assert again == "motorlock: Nothing was taken: stage_x is free."
    assert all(one["user"] != "Eva" for one in authority.call("GET", "/locks/sessions")["sessions"])


def test_a_fault_is_explained_and_cleared_with_a_reason(press: Authority, tmp_path: Path) -> None:
    """RUN-12"""
    ann = press.person("Ann")
    ann.acquire(equipment_id="press")
    command(press, ann.session_id, "crawl", "press")
    (tmp_path / "jammed").touch()
    (tmp_path / "unplugged").touch()
    ann.leave()
    wait_until(lambda: press.status("press")["state"] == "fault", "the fault")
    assert "motorlock clear-fault press --reason" in done(motorlock(press.url, "why", "press"))
    assert "has a fault" in done(motorlock(press.url, "status", "press"))
    said = done(motorlock(press.url, "clear-fault", "press", "--reason", "looked at it"))
    assert said == "The fault of press is cleared. press is free.\n"
    cleared = press.events("press")[-1]
    assert (cleared["event"], cleared["user"], cleared["reason"]) == ("fault_cleared", "Eva", "looked at it")
    assert (
        refused(motorlock(press.url, "clear-fault", "press", "--reason", "x"))
        == "motorlock: press has no fault to clear."
    )


def test_events_are_the_newest_of_one_or_of_all_oldest_first(authority: Authority) -> None:
    """RUN-12"""
    ann = authority.person("Ann")
    ann.acquire()
    ann.acquire(equipment_id="stage_y")
    ann.release()
    told = [line.split("  ", 1)[1] for line in done(motorlock(authority.url, "events", "--last", "3")).splitlines()]
    assert told == ["Ann has stage_x", "Ann has stage_y", "Ann gave stage_x back"]
    last = done(motorlock(authority.url, "events", "--last", "1", "--json"))
    assert [json.loads(line)["event"] for line in last.splitlines()] == ["lock_released"]
    assert done(motorlock(authority.url, "events", "stage_y")).endswith("  Ann has stage_y\n")
    assert done(motorlock(authority.url, "events", "scope_123")) == ""  # to which nothing ever happened


@contextmanager
def following(url: str, *words: str) -> Iterator[Callable[[], str]]:
    """Follow the events; gives the next line, which may be long in coming."""
    ran = [sys.executable, "-c", WITHOUT_THE_EXTRA, "events", "--follow", *words]
    with subprocess.Popen(
        ran, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(url)
    ) as process:
        lines: Queue[str] = Queue()
        reader = Thread(target=lambda out: [lines.put(line) for line in out], args=[process.stdout], daemon=True)
        reader.start()
        try:
            yield lambda: lines.get(timeout=PATIENCE_S).rstrip("\n").split("  ", 1)[-1]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 130
            reader.join(PATIENCE_S)
            assert lines.empty(), lines.get()


def test_following_goes_on_with_what_happens_also_across_a_restart_of_the_authority(own: Authority) -> None:
    """RUN-12"""
    ann, bob = own.person("Ann"), own.person("Bob")
    ann.acquire()
    with following(own.url, "stage_x") as line:
        assert line() == "Ann has stage_x"
        bob.acquire(equipment_id="stage_y")
        ann.release()
        assert line() == "Ann gave stage_x back"
        own.end()
        assert line() == "motorlock: no word from the authority, which is tried again."
        own.start()
        assert line() == "motorlock: the authority is back."
        bob.acquire()
        assert line() == "Bob has stage_x"


def test_what_people_wrote_cannot_command_the_terminal(authority: Authority) -> None:
    """RUN-12"""
    mallory = authority.person("\x1b]0;owned\x07Mallory\u202e")
    mallory.acquire()
    for words in (["status"], ["status", "stage_x"], ["why", "stage_x"], ["events"]):
        said = done(motorlock(authority.url, *words))
        assert "]0;owned Mallory" in said  # the authority has made the name printable
        assert all(c.isprintable() or c == "\n" for c in said)


def test_what_reaches_the_terminal_unprintable_is_shown_and_not_sent() -> None:
    """RUN-12"""
    said = StringIO()
    print_line("\x1b]0;owned\x07Mallory\u202e\nhas stage_x", said)
    assert said.getvalue() == "\\x1b]0;owned\\x07Mallory\\u202e\nhas stage_x\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["status", "nowhere"], 1),
        (["why", "nowhere"], 1),
        (["stop", "nowhere"], 1),
        (["clear-fault", "stage_x", "--reason", "none"], 1),
        (["clear-fault", "stage_x"], 2),
        (["release", "stage_x", "--reason", "no force"], 2),
        (["release", "stage_x", "--force"], 2),
        (["stop"], 2),
        (["events", "--last", "0"], 2),
        (["status", "--url", "ftp://nowhere"], 2),
        (["sing"], 2),
    ],
)
def test_the_exit_status_tells_a_refusal_from_a_mistake_in_the_line(
    shared: Authority,
    words: list[str],
    status: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RUN-17"""
    monkeypatch.setenv("MOTORLOCK_URL", shared.url)
    try:
        ended: object = main(words)
    except SystemExit as usage:
        ended = usage.code
    said = capsys.readouterr()
    assert (ended, said.out) == (status, "")
    assert said.err


def test_the_token_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUN-17"""
    monkeypatch.setenv("MOTORLOCK_TOKEN", "of the lab")
    guarded = Authority(tmp_path / "data")
    try:
        assert "asks for the lab's token" in refused(motorlock(guarded.url, "stop", "stage_x"))
        env = {**environment(guarded.url), "MOTORLOCK_TOKEN": "of the lab"}
        ran = [sys.executable, "-c", WITHOUT_THE_EXTRA, "stop", "stage_x"]
        stopped = subprocess.run(ran, capture_output=True, text=True, timeout=PATIENCE_S, env=env)
        assert done(stopped) == "stage_x was stopped.\n"
    finally:
        guarded.end()


def test_whoami_says_who_one_is_and_what_one_may(os_users: Authority) -> None:
    """WHO-30, RUN-55"""
    said = done(motorlock(os_users.url, "whoami"))
    assert said == f"You are {OWNER}, as the operating system says: admin of stage_x, stage_y, ps_abc123, scope_123.\n"
    (found,) = [json.loads(line) for line in done(motorlock(os_users.url, "whoami", "--json")).splitlines()]
    assert found["user_verified"] is True


def test_a_token_is_made_shown_once_listed_and_revoked(os_users: Authority) -> None:
    """WHO-27, RUN-55"""
    words = ("token", "create", "ann", "--role", "operator", "--equipment", "stage_*", "--expires", "90d")
    ran = motorlock(os_users.url, *words)
    token = ran.stdout.rstrip("\n")
    assert token.startswith("motorlock_")
    token_id = ran.stderr.split()[1].rstrip(":")
    assert f"{token_id}: ann, operator of stage_*, until " in ran.stderr
    who = subprocess.run(
        [sys.executable, "-m", "authority", "whoami"],
        env={**environment(os_users.url), "MOTORLOCK_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert who.stdout == "You are ann, as your token says: operator of stage_x, stage_y.\n"
    listed = done(motorlock(os_users.url, "token", "list"))
    assert token_id in listed
    assert token not in listed
    assert done(motorlock(os_users.url, "token", "revoke", token_id)) == (
        f"The token {token_id} is worth nothing any more.\n"
    )
    assert done(motorlock(os_users.url, "token", "list")) == ""
    assert "There is no token" in refused(motorlock(os_users.url, "token", "revoke", token_id))


def test_a_time_that_is_none_is_a_mistake_in_the_line(os_users: Authority) -> None:
    """RUN-55"""
    with pytest.raises(SystemExit) as ended:
        motorlock(os_users.url, "token", "create", "ann", "--role", "operator", "--expires", "soon")
    assert ended.value.code == 2

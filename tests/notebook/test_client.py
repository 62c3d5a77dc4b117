"""The client and the session: what a kernel asks, and what it is told when that cannot be."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from real_lab import PATIENCE_S, Authority, Person, Wire
from typed import wait_until

from jupyter_motorlock.client.http import CONNECT_S, Client
from jupyter_motorlock.client.session import KernelSession, outcome_of_reply
from jupyter_motorlock.client.state_mirror import StateMirror
from jupyter_motorlock.errors import (
    CommandFailed,
    CommandStopped,
    EquipmentInUse,
    Interrupted,
    InvalidRequest,
    LockLost,
    LockRequired,
    MotorlockError,
    NotAllowed,
    Refused,
    SessionEnded,
    StoppedBySomebody,
    Unreachable,
    UsageProblem,
    error_from_problem,
)
from jupyter_motorlock.login import login


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture(autouse=True)
def all_free(authority: Authority) -> Iterator[None]:
    """After each test nobody has anything, so that no test meets what another one left."""
    yield
    wait_until(lambda: all(x["state"] == "free" for x in authority.call("GET", "/equipment/list")), "all is free again")


@pytest.fixture
def session(wire: Wire) -> Iterator[KernelSession]:
    made = KernelSession(wire.url, user="ann")
    yield made
    made.close()


@pytest.fixture
def bob(authority: Authority) -> Iterator[Person]:
    somebody = authority.person("bob")
    yield somebody
    somebody.leave()


# Errors


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("equipment_in_use", 409, EquipmentInUse),
        ("lock_lost", 403, LockLost),
        ("observe_required", 403, LockRequired),
        ("stopped_by", 409, StoppedBySomebody),
        ("outside_limits", 422, InvalidRequest),
        ("unknown_command", 404, InvalidRequest),
        ("not_allowed", 403, NotAllowed),
        ("session_ended", 404, SessionEnded),
        ("a_code_of_a_later_version", 409, Refused),
    ],
)
def test_a_refusal_is_an_error_of_its_own_class_and_its_sentence_is_the_authoritys(
    code: str, status: int, kind: type[Refused]
) -> None:
    error = error_from_problem({"code": code, "detail": "Ann has it.", "holder": "ann"}, status)
    assert type(error) is kind
    assert str(error) == "Ann has it."
    assert (error.code, error.status, error.data["holder"]) == (code, status, "ann")


def test_a_notebook_shows_an_error_as_one_line() -> None:
    assert Unreachable("http://x", "broken")._render_traceback_() == [
        "Unreachable: No motorlock authority answers at http://x; start it with `motorlock serve`, "
        "or set MOTORLOCK_URL to its address."
    ]


@pytest.mark.parametrize(
    "given", ["ftp://lab", "http://", "http://lab:port", "lab server", "http://[::1", ":", "http://lab:0"]
)
def test_an_address_that_is_none_is_refused_and_named_with_what_is_allowed(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NB-61"""
    with pytest.raises(UsageProblem) as refused:
        Client(given)
    assert str(refused.value) == f"{given!r} is no address of an authority: it reads http://HOST:PORT, or https://."
    monkeypatch.setenv("MOTORLOCK_URL", given)
    with pytest.raises(UsageProblem, match="in MOTORLOCK_URL is no address"):
        Client()


@pytest.mark.parametrize("given", ["http://ann:secret@lab:port", "ftp://ann:secret@lab", "ann:secret@lab:port"])
def test_a_refused_address_is_named_without_the_password_in_it(given: str) -> None:
    """NB-61, WHO-13"""
    with pytest.raises(UsageProblem) as refused:
        Client(given)
    assert "secret" not in str(refused.value)
    assert "lab" in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-61"""
    monkeypatch.setenv("MOTORLOCK_URL", "\ufeffhttp://lab:8790\r\n")
    assert Client().url == "http://lab:8790"


def test_the_scheme_of_an_address_may_be_left_out() -> None:
    """NB-61"""
    assert Client("127.0.0.1:8801").url == "http://127.0.0.1:8801"
    assert Client("lab-server").url == "http://lab-server"


def test_an_unknown_name_is_told_as_one_and_an_argument_is_no_variable() -> None:
    """NB-19 NB-61"""
    with pytest.raises(Unreachable) as lost:
        KernelSession("http://no-such-host.invalid:8790").equipment_list()
    assert str(lost.value) == (
        "No motorlock authority answers at http://no-such-host.invalid:8790; the name no-such-host.invalid is not "
        "known here; start it with `motorlock serve`, or give its address."
    )


def test_a_token_is_stripped_and_one_that_cannot_be_sent_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-61"""
    assert Client(token="  s3cret\n").token == "s3cret"
    monkeypatch.setenv("MOTORLOCK_TOKEN", "s3cret\r\n")
    assert Client().token == "s3cret"
    monkeypatch.setenv("MOTORLOCK_TOKEN", " \n")
    assert Client().token is None
    for secret in ("schl\u00fcssel", "a\x00b"):
        with pytest.raises(UsageProblem, match="The token has a character that cannot be sent") as refused:
            Client(token=secret)
        assert str(refused.value).endswith("has a character that cannot be sent; copy it again.")
    assert Client(token="\ufeffs3cret").token == "s3cret"  # as read from a file of Windows


def test_a_missing_file_of_certificates_hinders_no_authority_without_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-61"""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/not/there.pem")
    assert Client("http://lab:8790").ca_file is None
    with pytest.raises(UsageProblem, match="REQUESTS_CA_BUNDLE names a file of certificates that is not there"):
        Client("https://lab:8790")


def test_a_password_in_the_address_is_neither_kept_nor_shown() -> None:
    assert Client("http://ann:secret@lab:8790/").url == "http://lab:8790"


# An authority that is not there


def test_a_closed_port_is_told_with_the_address_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable, match=f"{url}; start it with `motorlock serve`"):
        KernelSession(url).acquire("stage_x")


def test_an_authority_that_takes_the_call_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            KernelSession(f"http://127.0.0.1:{mute.getsockname()[1]}").acquire("stage_x")
    print(f"given up after {time.monotonic() - start:.1f} s")
    assert caught.value.kind == "silent"


def test_what_answers_and_is_no_authority_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        threading.Thread(target=_answer_like_a_web_page, args=(stranger,), daemon=True).start()
        with pytest.raises(UsageProblem, match="not a motorlock authority"):
            KernelSession(f"http://127.0.0.1:{stranger.getsockname()[1]}").equipment_list()


def _answer_like_a_web_page(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")


def test_nothing_is_sent_before_the_first_login(session: KernelSession, authority: Authority) -> None:
    session.equipment_list()
    session.link.set_busy(True)
    assert authority.call("GET", "/locks/sessions")["count"] == 0
    assert session.session_id is None


def test_a_proxy_of_the_environment_does_not_get_the_labs_calls(
    session: KernelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert session.equipment_list()
    assert session.acquire("stage_x")["status"] == "locked"


def test_an_observer_whose_lock_was_ended_does_not_ask_again_by_itself(
    session: KernelSession, authority: Authority, bob: Person
) -> None:
    """OBS-11"""
    session.acquire("scope_123", mode="observer")
    ended, freed = threading.Event(), threading.Event()
    seen = {"observer_lock_released": ended, "lock_released": freed}
    session.subscribe(lambda _name, _status, event: seen.get((event or {}).get("event", ""), threading.Event()).set())
    wait_until(lambda: session.link.feed_alive, "news arrives")  # of what came before, only the state is told
    bob.acquire(equipment_id="scope_123")
    assert ended.wait(PATIENCE_S)
    bob.release(equipment_id="scope_123")
    assert freed.wait(PATIENCE_S)
    assert authority.call("GET", "/locks/status/scope_123")["observer_sessions"] == []
    assert "lock on scope_123 ended" in session.mirror.take_notices()[0]


# Commands


def test_a_command_returns_its_value(session: KernelSession) -> None:
    session.acquire("stage_x")
    session.command("stage_x", "move_to", {"position": 1.5})
    assert session.command("stage_x", "position", {}) == 1.5


def test_a_lost_answer_never_means_a_second_move(session: KernelSession, authority: Authority, wire: Wire) -> None:
    """NB-24"""
    session.acquire("stage_x")
    here = session.command("stage_x", "position", {})
    before = len(authority.events())
    wire.drop_answer_to("/stage_x/command")
    session.command("stage_x", "move_by", {"distance": 1.0})
    assert authority.status()["readback"]["position"] == pytest.approx(here + 1.0)
    assert [e["event"] for e in authority.events()[before:]].count("command_started") == 1


def test_a_command_that_takes_longer_than_one_wait_is_asked_for_until_its_end(
    session: KernelSession,
) -> None:
    session.client.wait_s = 0.2
    session.acquire("stage_x")
    session.command("stage_x", "move_to", {"position": 10.0})
    assert session.command("stage_x", "position", {}) == 10.0


def test_a_stop_ends_the_running_command_with_an_error_of_its_own(session: KernelSession, bob: Person) -> None:
    session.acquire("stage_x")
    stopper = _once_it_runs(session, lambda: bob.stop("a hand in the way"))
    with pytest.raises(CommandStopped):
        session.command("stage_x", "move_to", {"position": 100.0})
    stopper.join(PATIENCE_S)
    with pytest.raises(StoppedBySomebody):
        session.command("stage_x", "move_to", {"position": 0.0})
    wait_until(lambda: "hand in the way" in "".join(session.mirror.take_notices()), "the news of the stop")
    session.resume("stage_x")


def test_a_target_outside_the_limits_is_refused(session: KernelSession) -> None:
    session.acquire("stage_x")
    with pytest.raises(InvalidRequest):
        session.command("stage_x", "move_to", {"position": 1000.0})


def test_a_command_in_flight_when_the_authority_dies_is_told_as_unknown(
    session: KernelSession, authority: Authority
) -> None:
    session.acquire("stage_x")

    def fall_over() -> None:
        authority.end(signal.SIGKILL)
        authority.start()

    falling = _once_it_runs(session, fall_over)
    with pytest.raises(CommandFailed) as caught:
        session.command("stage_x", "move_to", {"position": 100.0})
    falling.join(PATIENCE_S)
    assert caught.value.outcome == "unknown"


def test_an_answer_that_is_not_kept_any_more_is_an_error_and_not_none() -> None:
    """CMD-40"""
    assert outcome_of_reply({"outcome": "done", "data": 3, "error": None}) == 3
    with pytest.raises(CommandFailed, match=r"^it is not kept any more$") as caught:
        outcome_of_reply({"outcome": "done", "data": None, "error": "it is not kept any more"})
    assert caught.value.outcome == "done"


def _once_it_runs(session: KernelSession, act: Callable[[], object]) -> threading.Thread:
    """Do `act` in a thread of its own when the feed says that a command runs."""
    runs = threading.Event()
    session.subscribe(lambda _, status, __: runs.set() if status and status["running"] else None)

    def follow() -> None:
        assert runs.wait(PATIENCE_S)
        act()

    thread = threading.Thread(target=follow)
    thread.start()
    return thread


# Locks and the queue


def test_a_login_on_equipment_in_use_is_refused_with_who_has_it(session: KernelSession, bob: Person) -> None:
    bob.acquire()
    with pytest.raises(EquipmentInUse, match="bob"):
        session.acquire("stage_x")
    assert session.mirror.held() == {}


def test_one_who_waits_gets_the_lock_when_it_is_given_back_and_has_claimed_it(
    session: KernelSession, bob: Person
) -> None:
    """CLAIM-5"""
    bob.acquire()
    fence = session.status("stage_x")["fence"]
    assert session.acquire("stage_x", queue=True)["status"] == "queued"
    letting_go = _once_it_waits(session, bob.release)
    session.wait_for("stage_x")
    letting_go.join(PATIENCE_S)
    assert session.mirror.held()["stage_x"]["claimed"]
    assert session.mirror.held()["stage_x"]["fence"] == fence + 1
    assert session.mirror.take_notices() == []


def test_one_who_does_not_wait_in_the_call_is_told_at_the_next_cell_that_it_is_his_turn(
    session: KernelSession, bob: Person
) -> None:
    _granted_from_the_queue(session, bob)
    assert ["your turn on stage_x" in notice for notice in session.mirror.take_notices()] == [True]
    assert session.mirror.take_notices() == []


def test_a_turn_that_came_before_the_wait_began_is_no_news_once_it_is_taken_up(
    session: KernelSession, bob: Person
) -> None:
    _granted_from_the_queue(session, bob)
    session.wait_for("stage_x")
    assert session.mirror.take_notices() == []


def _once_it_waits(session: KernelSession, act: Callable[[], object]) -> threading.Thread:
    """Do `act` in a thread of its own when the session waits for its turn."""

    def follow() -> None:
        wait_until(lambda: "stage_x" in session.mirror.awaited, "the session waits")
        act()

    thread = threading.Thread(target=follow)
    thread.start()
    return thread


def _granted_from_the_queue(session: KernelSession, bob: Person) -> None:
    """Let `session` queue behind Bob without waiting in a call, and hear that it has the lock."""
    bob.acquire()
    session.acquire("stage_x", queue=True)
    heard = threading.Event()
    session.subscribe(lambda equipment_id, status, event: heard.set() if session.mirror.held() else None)
    bob.release()
    assert heard.wait(PATIENCE_S)


def test_one_who_is_thrown_out_of_the_queue_does_not_wait_for_ever(session: KernelSession, bob: Person) -> None:
    bob.acquire()
    session.acquire("stage_x", queue=True)
    leaving = _once_it_waits(session, lambda: session.leave("stage_x"))
    with pytest.raises(LockLost, match="place in the queue"):
        session.wait_for("stage_x")
    leaving.join(PATIENCE_S)


def test_an_interrupt_while_waiting_leaves_the_queue(session: KernelSession, authority: Authority, bob: Person) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    bob.acquire()
    with pytest.raises(Interrupted, match="you are not in its queue"):
        login(session, ["stage_x"], wait=True, on_answer=interrupt)
    assert authority.status()["queue"] == []


def test_one_whose_lock_was_taken_by_force_is_told_who_and_why(session: KernelSession, bob: Person) -> None:
    session.acquire("stage_x")
    heard = threading.Event()
    session.subscribe(lambda equipment_id, status, event: None if session.mirror.held() else heard.set())
    bob.release(force=True, reason="beam time")
    assert heard.wait(PATIENCE_S)
    (notice,) = session.mirror.take_notices()
    assert "bob took it by force (beam time)" in notice
    with pytest.raises(LockLost, match="bob"):
        session.command("stage_x", "move_to", {"position": 1.0})


def test_a_loss_that_only_a_snapshot_shows_is_told_too() -> None:
    mirror = StateMirror()
    mirror.start_session("me")
    mirror.add_lock({"equipment_id": "stage_x", "lock_mode": "exclusive", "fence": 3})
    loss = {
        "session_id": "me",
        "fence": 3,
        "why": "silence",
        "by": "bob",
        "reason": None,
        "at": "2026-11-21T20:35:34+00:00",
        "text": "nothing was heard of the kernel and bob asked for it",
    }
    status: dict[str, object] = {"state": "free", "session_id": None, "fence": 3, "queue": [], "last_lost": loss}
    mirror.handle_message("snapshot", {"seq": 2000, "equipment": {"stage_x": status}})
    assert mirror.held() == {}
    (notice,) = mirror.take_notices()
    assert "because nothing was heard of the kernel and bob asked for it;" in notice


def test_news_older_than_the_reply_that_gave_the_lock_does_not_take_it_away() -> None:
    mirror = StateMirror()
    mirror.start_session("me")
    mirror.add_lock({"equipment_id": "stage_x", "lock_mode": "exclusive", "fence": 3})
    older = {"state": "held", "session_id": "bob", "fence": 2, "queue": [], "last_lost": None}
    mirror.handle_message("snapshot", {"seq": 7, "equipment": {"stage_x": older}})
    assert mirror.held()["stage_x"]["fence"] == 3


def test_a_fork_does_not_speak_for_the_kernel(session: KernelSession, authority: Authority) -> None:
    """NB-18"""
    session.acquire("stage_x")
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    child = context.Process(target=_move_in_a_fork, args=(session, answers))
    child.start()
    said = answers.get(timeout=PATIENCE_S)
    child.join(PATIENCE_S)
    assert "fork" in said
    assert authority.status()["session_id"] == session.session_id
    assert session.command("stage_x", "position", {}) == authority.status()["readback"]["position"]


def _move_in_a_fork(session: KernelSession, answers: multiprocessing.Queue[str]) -> None:
    try:
        session.command("stage_x", "move_to", {"position": 1.0})
    except MotorlockError as error:
        answers.put(str(error))
    session.close()


def test_close_gives_everything_back(session: KernelSession, authority: Authority) -> None:
    session.acquire("stage_x")
    session.close()
    assert authority.status()["state"] == "free"
    assert authority.call("GET", "/locks/sessions")["count"] == 0


def test_a_closed_session_takes_no_more_commands_and_makes_no_new_session(
    session: KernelSession, authority: Authority
) -> None:
    session.acquire("stage_x")
    session.close()
    with pytest.raises(MotorlockError, match="This session was closed; log in again"):
        session.command("stage_x", "move_to", {"position": 1.0})
    assert authority.call("GET", "/locks/sessions")["count"] == 0


def test_the_secrets_are_neither_in_the_representation_nor_in_an_error(wire: Wire) -> None:
    session = KernelSession(wire.url, user="ann", token="s3cret")
    try:
        session.acquire("stage_x")
        told = session.client.session_token or ""
        with pytest.raises(InvalidRequest) as caught:
            session.command("stage_x", "fly", {})
    finally:
        session.close()
    for text in (repr(session), repr(session.client), str(caught.value), repr(caught.value.data)):
        assert "s3cret" not in text
        assert told not in text


def test_a_quick_call_waits_as_long_as_its_client_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB-19"""
    waited: list[object] = []

    def request(http: requests.Session, method: str, url: str, **asked: Any) -> requests.Response:
        waited.append(asked["timeout"])
        raise requests.ConnectionError

    monkeypatch.setattr(requests.Session, "request", request)
    client = Client("http://127.0.0.1:9")
    client.quick_s = 7.0
    with pytest.raises(Unreachable):
        client.equipment_list()
    assert waited[0] == (CONNECT_S, 7.0)

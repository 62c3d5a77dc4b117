"""The edge of the authority: one request, one connection or one slow disk hurts nobody else, and STOP gets through."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rest_lab import PATIENCE_S, ROOT, Authority, Person, ok, refused, running, until

from authority.api import http_protocol
from authority.api.connection_limits import Admission, ConnectionLimits
from authority.api.request_body import DEPTH_LIMIT, is_too_deep

STOPPED = ["stopped", True]


def stop_request(motor: str, body: bytes, headers: str = "content-type: application/json") -> bytes:
    head = f"POST /api/equipment/{motor}/stop HTTP/1.1\r\nhost: localhost\r\n{headers}\r\nconnection: close\r\n"
    return head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body


def connect(lab: Authority) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(lab.url.rpartition(":")[2])), timeout=PATIENCE_S)


def ask(lab: Authority, request: bytes) -> tuple[int, bytes]:
    """Send bytes on a connection of their own, and return the status and the rest until it closes."""
    with connect(lab) as line:
        line.sendall(request)
        return answer_of(line)


def answer_of(line: socket.socket) -> tuple[int, bytes]:
    answer = b""
    while piece := line.recv(65536):
        answer += piece
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    ("body", "kind", "left_out"),
    [
        (b'{"reason":"hei\xdf"}', "application/json", "the body is no JSON object in UTF-8"),
        (b'{"reason":', "application/json", "the body is no JSON object in UTF-8"),
        (b"reason", "application/json", "the body is no JSON object in UTF-8"),
        (b"[1]", "application/json", "the body is no JSON object in UTF-8"),
        (b'{"cause":"x"}', "application/json", "'cause' is no field of it"),
        (b'{"reason":7}', "application/json", "reason: expected `str | null`, got `int`"),
        (json.dumps({"reason": "x" * 501}).encode(), "application/json", "reason: expected `str` of length <= 500"),
        (b"[" * 400 + b"]" * 400, "application/json", "the body is nested more than 32 deep"),
        (b"reason=fire", "application/x-www-form-urlencoded", "the body is no JSON object in UTF-8"),
    ],
)
def test_a_stop_is_carried_out_whatever_its_body_and_what_is_of_no_use_is_told(
    lab: Authority, ann: Person, motor: str, body: bytes, kind: str, left_out: str
) -> None:
    """STOP-13"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    answer = ok(lab.raw(f"/equipment/{motor}/stop", body, kind))
    assert [answer["outcome"], answer["delivered"]] == STOPPED
    assert left_out in answer["ignored"]
    until(lambda: lab.status(motor)["running"] is None, "the command ends")


def test_what_of_a_stops_body_is_of_use_is_used(lab: Authority, ann: Person, motor: str) -> None:
    """STOP-13"""
    ann.has(motor)
    body = json.dumps({"user": "Cem", "reason": "a cable", "colour": "red"}).encode()
    assert ok(lab.raw(f"/equipment/{motor}/stop", body, "text/plain"))["ignored"] == ["'colour' is no field of it"]
    stopped = lab.status(motor)["stopped_by"]
    assert (stopped["user"], stopped["reason"]) == ("Cem", "a cable")


def test_a_stop_does_not_wait_for_a_body_that_does_not_come(lab: Authority, ann: Person, motor: str) -> None:
    """STOP-13"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    with connect(lab) as line:
        head = f"POST /api/equipment/{motor}/stop HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n"
        line.sendall(head.encode() + b'{"reason"')
        until(lambda: lab.status(motor)["running"] is None, "the stop ends the command")
        status, answer = answer_of_keeping(line)
    assert status == 200
    assert b"the body was not complete after 0.5 s" in answer


def answer_of_keeping(line: socket.socket) -> tuple[int, bytes]:
    """Read one answer with a length from a connection that stays open."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += line.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(next(row for row in head.lower().split(b"\r\n") if row.startswith(b"content-length")).split(b":")[1])
    while len(body) < length:
        body += line.recv(65536)
    return int(answer.split(b" ", 2)[1]), body


@pytest.mark.parametrize(
    "path",
    ["/locks/acquire", "/locks/release", "/locks/sessions/create", "/equipment/{motor}/command", "/locks/keep/{motor}"],
)
@pytest.mark.parametrize("body", [b'{"note":"hei\xdf"}', b'{"note":"\\ud800"}', b"\xff\xfe{}", b"[" * 900 + b"]" * 900])
def test_elsewhere_a_body_that_cannot_be_read_is_422(lab: Authority, motor: str, path: str, body: bytes) -> None:
    """REST-5, REST-29"""
    refused(lab.raw(path.format(motor=motor), body), 422, "invalid")


@pytest.mark.parametrize("depth", [33, 60, 983])
def test_metadata_nested_deep_is_refused_and_the_next_request_is_served(lab: Authority, depth: int) -> None:
    """REST-29"""
    body = b'{"metadata":{"x":' + b"[" * depth + b"]" * depth + b"}}"
    refused(lab.raw("/locks/sessions/create", body), 422, "invalid")
    assert lab.send("GET", "/health").json()["status"] == "ok"
    ok(lab.post("/locks/sessions/create", {"metadata": {"x": [[[1]]]}}))


def test_brackets_in_a_text_are_no_depth() -> None:
    """REST-29"""
    assert is_too_deep(b"[" * (DEPTH_LIMIT + 1))
    assert not is_too_deep(b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT)
    assert not is_too_deep(b'{"note":"' + b"[" * 200 + b'\\"' + b"[" * 200 + b'"}')
    assert not is_too_deep(b"[" + b"[]," * 200 + b"[]]")


def test_metadata_has_a_limit_of_its_own(lab: Authority) -> None:
    """REST-29"""
    ok(lab.post("/locks/sessions/create", {"metadata": {"x": "y" * 16_000}}))
    answer = refused(lab.post("/locks/sessions/create", {"metadata": {"x": "y" * 17_000}}), 422, "invalid")
    assert "metadata: it has at most 16 KiB" in answer["detail"]


def test_a_user_is_not_named_after_an_address_that_the_client_invented(lab: Authority) -> None:
    """WHO-1, REST-30"""
    made = ok(lab.post("/locks/sessions/create", {"client_ip": "10.0.0.1"}))
    assert made["user"] == "a program at 127.0.0.1"
    assert made["client_ip"] == "10.0.0.1"


def test_a_length_of_10_gb_is_refused_at_once(lab: Authority) -> None:
    """REST-31"""
    head = b"POST /api/locks/acquire HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    status, answer = ask(lab, head + b"content-length: 10000000000\r\n\r\n{")
    assert status == 413
    assert b"connection: close" in answer.lower()


def test_head_is_answered_where_get_is_without_a_body(lab: Authority) -> None:
    """REST-32"""
    answer = lab.send("HEAD", "/api/equipment/list")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0
    assert lab.send("HEAD", "/").status_code == 200


def test_the_root_of_the_interface_lists_what_there_is(lab: Authority) -> None:
    """REST-32"""
    found = lab.send("GET", "/api").json()
    assert {"method": "POST", "path": "/api/locks/acquire"}.items() <= found["paths"][-1].items() or any(
        row["path"] == "/api/locks/acquire" for row in found["paths"]
    )


def test_a_stream_to_an_older_client_has_no_chunks(lab: Authority) -> None:
    """REST-32"""
    with connect(lab) as line:
        line.sendall(b"GET /api/events HTTP/1.0\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        answer = b""
        while b"\n\n" not in answer.partition(b"\r\n\r\n")[2]:
            answer += line.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body.startswith((b"id: ", b"event: ", b":"))


# heads and connections


def test_a_head_without_end_is_cut_off_and_delays_no_stop(lab: Authority, ann: Person, motor: str) -> None:
    """REST-33"""
    with connect(lab) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000)
        status, answer = answer_of(line)
    assert status == 431
    assert b"headers_too_large" in answer
    assert ok(ann.stop(motor))["delivered"] is True


def test_more_than_a_hundred_headers_are_refused_and_a_hundred_are_not(lab: Authority) -> None:
    """REST-33"""

    def request(count: int) -> bytes:
        rows = "".join(f"x-{number}: 1\r\n" for number in range(count - 2))
        return f"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{rows}\r\n".encode()

    assert ask(lab, request(100))[0] == 200
    assert ask(lab, request(101))[0] == 431


def test_a_large_head_in_one_piece_after_a_body_is_refused_too(lab: Authority) -> None:
    """REST-33"""
    first = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with connect(lab) as line:
        line.sendall(first)
        answer_of_keeping(line)
        line.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 60_000 + b"\r\n\r\n")
        assert answer_of(line)[0] == 431


@pytest.fixture
def hasty_lab(tmp_path: Path) -> Iterator[Authority]:
    """An authority that waits a tenth of a second for a head or a body."""
    place = tmp_path / "hasty"
    place.mkdir()
    (place / "hasty.py").write_text(
        "import sys\n"
        "from authority.api import http_protocol, request_body\n"
        "http_protocol.HEAD_TIMEOUT_S = request_body.BODY_TIMEOUT_S = 0.1\n"
        "from authority.__main__ import main\n"
        "sys.exit(main())\n"
    )
    with running(place, env={"PYTHONPATH": str(ROOT)}, program=[str(place / "hasty.py")]) as lab:
        yield lab


def test_a_request_that_is_never_completed_is_closed_after_a_time(hasty_lab: Authority) -> None:
    """REST-34"""
    assert (http_protocol.HEAD_TIMEOUT_S, 30.0) == (10.0, 30.0)
    with connect(hasty_lab) as silent, connect(hasty_lab) as halting, connect(hasty_lab) as slow:
        halting.sendall(b"GET /health HTTP/1.1\r\nhost")
        head = b"POST /api/locks/acquire HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        slow.sendall(head + b"content-length: 50\r\n\r\n{")
        assert silent.recv(10) == b""
        assert answer_of(halting)[0] == 408
        status, answer = answer_of(slow)
    assert status == 408
    assert b"too_slow" in answer


def test_a_kept_connection_is_not_closed_while_it_rests(hasty_lab: Authority) -> None:
    """REST-34"""
    with connect(hasty_lab) as line:
        for _ in range(2):
            line.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert answer_of_keeping(line)[0] == 200
            time.sleep(0.3)  # three times as long as a head may take


class Line:
    """A connection that remembers that it was cut off."""

    def __init__(self) -> None:
        self.is_cut = False

    def abort(self) -> None:
        self.is_cut = True


def test_the_oldest_connection_without_a_request_gives_way_and_none_with_one() -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=2)
    lines = [Line() for _ in range(20)]
    assert limits.admit(lines[0], "127.0.0.1", 0.0) is Admission.FULL
    limits.has_sent_request(lines[0])
    assert limits.admit(lines[1], "127.0.0.1", 0.0) is Admission.FULL
    assert limits.admit(lines[2], "127.0.0.1", 0.0) is Admission.FULL
    assert [line.is_cut for line in lines[:3]] == [False, True, False]
    limits.release(lines[1], "127.0.0.1")
    limits.has_sent_request(lines[2])
    admitted = [limits.admit(line, "127.0.0.1", 0.0) for line in lines[3:]]
    assert set(admitted) == {Admission.STOP_ONLY}
    assert [line.is_cut for line in lines[3:]] == [True] + 16 * [False]
    for line in lines[4:]:
        limits.has_sent_request(line)
    assert limits.admit(Line(), "127.0.0.1", 0.0) is Admission.NONE
    assert not any(line.is_cut for line in (lines[0], lines[2]))


def test_another_machine_has_its_share_and_this_one_all() -> None:
    """REST-35"""
    limits = ConnectionLimits(in_all=10, per_address=2)
    for _ in range(2):
        assert limits.admit(Line(), "10.1.1.1", 0.0) is Admission.FULL
    line = Line()
    assert limits.admit(line, "10.1.1.1", 0.0) is Admission.NONE
    limits.release(line, "10.1.1.1")
    assert limits.admit(Line(), "10.1.1.2", 0.0) is Admission.FULL
    for _ in range(5):
        assert limits.admit(Line(), "127.0.0.1", 0.0) is Admission.FULL


def test_a_stop_gets_through_when_all_descriptors_are_taken(tmp_path: Path) -> None:
    """REST-35"""

    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 160))

    with running(tmp_path / "full", preexec=few_descriptors) as lab, ExitStack() as lines:
        ann = lab.person("Ann")
        ann.has("stage_x")
        ann.begins("move_to", "stage_x", position=100)
        for _ in range(200):  # some send nothing
            lines.enter_context(connect(lab))
        is_full = False
        while not is_full:  # others listen
            line = lines.enter_context(connect(lab))
            line.sendall(b"GET /api/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            is_full = b" 503 " in line.recv(20)
        assert ask(lab, stop_request("stage_x", b"{}"))[0] == 200
        status, answer = ask(lab, b"GET /api/equipment/list HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert status == 503
        assert b"only a stop is served" in answer
        assert "too many connections" in lab.log


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    """REST-35"""

    def low() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    with running(tmp_path / "low", preexec=low) as lab:
        found = subprocess.run(["cat", f"/proc/{lab.process.pid}/limits"], capture_output=True, text=True, check=True)
        row = next(row for row in found.stdout.splitlines() if row.startswith("Max open files"))
        soft, hard = row.split()[3:5]
        assert int(soft) == min(int(hard), 65536)


# tokens


@pytest.mark.parametrize("token", ["geheim\n", " geheim ", "geheim\r\n"])
def test_white_space_around_the_token_is_none_of_it(tmp_path: Path, token: str) -> None:
    """WHO-5, REST-36"""
    with running(tmp_path / "lab", env={"MOTORLOCK_TOKEN": token}) as lab:
        refused(lab.get("/equipment/list"), 401, "token_required")
        assert lab.get("/equipment/list", headers={"Authorization": "Bearer geheim"}).status_code == 200


@pytest.mark.parametrize("token", ["geh\nheim", "gehïm", "€"])
def test_a_token_that_cannot_be_sent_is_named_at_the_start_and_not_shown(tmp_path: Path, token: str) -> None:
    """REST-36"""
    import os

    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    ended = subprocess.run(
        command, env={**os.environ, "MOTORLOCK_TOKEN": token}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "MOTORLOCK_TOKEN holds a character that no client can send" in ended.stderr
    assert token not in ended.stderr


People = Callable[..., Person]

"""Connections: heads without end, requests that never come, too many at once. None of them keeps a STOP out."""

from __future__ import annotations

import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from raw_http import answer_of, ask, connect, kept_answer_of, stop_request
from rest_lab import ROOT, Authority, Person, ok, running, until

from authority.api import http_protocol

MOTORS = 12
POST = b"POST /api/locks/acquire HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"


def test_a_stream_to_an_older_client_has_no_chunks(lab: Authority) -> None:
    """REST-32"""
    with connect(lab) as line:
        line.sendall(b"GET /api/events HTTP/1.0\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        answer = b""
        while b"event: ping" not in answer:
            answer += line.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body.startswith(b"id: ")
    assert all(row.startswith((b"id: ", b"event: ", b"data: ")) for row in body.splitlines() if row)


def test_an_older_client_gets_what_was_missed_without_chunks(lab: Authority, ann: Person, motor: str) -> None:
    """REST-32"""
    ann.has(motor)
    with connect(lab) as line:
        line.sendall(b"GET /api/events?after=0 HTTP/1.0\r\nhost: localhost\r\n\r\n")
        answer = b""
        while b"event: snapshot" not in answer:
            answer += line.recv(65536)
    assert b"lock_acquired" in answer
    assert answer.partition(b"\r\n\r\n")[2].startswith(b"id: 1\n")


def test_an_older_client_gets_a_plain_answer_with_its_length(lab: Authority) -> None:
    """REST-32"""
    status, answer = ask(lab, b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status == 200
    assert f"content-length: {len(body)}".encode() in head.lower()


def test_a_head_of_32_kib_is_read_and_one_that_is_longer_is_refused(lab: Authority) -> None:
    """REST-33"""

    def request(size: int) -> bytes:
        begin = HEALTH + b"connection: close\r\nx: "
        return begin + b"a" * (size - len(begin) - 4) + b"\r\n\r\n"

    assert ask(lab, request(http_protocol.HEAD_LIMIT))[0] == 200
    status, answer = ask(lab, request(http_protocol.HEAD_LIMIT + 1))
    assert status == 431
    assert b"headers_too_large" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_long_address_is_a_long_head(lab: Authority) -> None:
    """REST-33"""
    status, answer = ask(lab, b"GET /" + b"a" * 90_000)
    assert status == 431
    assert answer.count(b"HTTP/1.1 ") == 1


def test_more_than_a_hundred_headers_are_refused_and_a_hundred_are_not(lab: Authority) -> None:
    """REST-33"""

    def request(count: int) -> bytes:
        rows = "".join(f"x-{number}: 1\r\n" for number in range(count - 2))
        return HEALTH + f"connection: close\r\n{rows}\r\n".encode()

    assert ask(lab, request(100))[0] == 200
    assert ask(lab, request(101))[0] == 431


def test_a_long_head_on_a_kept_connection_is_refused_too(lab: Authority) -> None:
    """REST-33"""
    with connect(lab) as line:
        line.sendall(HEALTH + b"\r\n")
        assert kept_answer_of(line)[0] == 200
        line.sendall(HEALTH + b"x: " + b"a" * 60_000 + b"\r\n\r\n")
        assert answer_of(line)[0] == 431


def test_a_connection_is_kept_after_a_refusal_that_leaves_nothing_unread(lab: Authority) -> None:
    """REST-34"""
    with connect(lab) as line:
        for length, status in ((1, 422), (1, 422), (2_000_000, 413)):
            line.sendall(POST + b"content-length: %d\r\n\r\n{" % length)
            assert kept_answer_of(line)[0] == status
        assert line.recv(10) == b""


def test_what_is_no_request_is_told_so(lab: Authority) -> None:
    """REST-3"""
    status, answer = ask(lab, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert status == 400
    assert b'"detail":"What came is no HTTP request."' in answer
    assert "Invalid HTTP request" not in lab.log


def test_requests_that_come_together_are_answered_one_after_another(lab: Authority) -> None:
    """REST-37"""
    crowd = 300  # more than a piece
    with connect(lab) as line:
        line.sendall((HEALTH + b"\r\n") * (crowd - 1) + HEALTH + b"connection: close\r\n\r\n")
        answers = answer_of(line)[1]
    assert answers.count(b"HTTP/1.1 200 OK") == crowd


def test_a_body_that_comes_slowly_or_all_at_once_is_the_same(lab: Authority) -> None:
    """REST-37"""
    body = b'{"client_name":"Ann"}' + b" " * 300_000
    head = b"POST /api/locks/sessions/create HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    request = head + b"content-length: %d\r\n\r\n" % len(body) + body
    with connect(lab) as line:
        line.sendall(request)
        assert kept_answer_of(line)[0] == 200
        for begin in range(0, len(request), 50_000):
            line.sendall(request[begin : begin + 50_000])
        assert kept_answer_of(line)[0] == 200
        line.sendall(HEALTH + b"\r\n")
        assert kept_answer_of(line)[0] == 200


def test_heads_without_end_take_neither_memory_nor_the_way_of_a_stop(lab: Authority, ann: Person, motor: str) -> None:
    """REST-33, REST-37"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    process = psutil.Process(lab.process.pid)
    before = process.memory_info().rss
    with ExitStack() as lines:
        endless = [lines.enter_context(connect(lab)) for _ in range(8)]
        for line in endless:
            line.setblocking(False)
        for piece in (b"GET /health HTTP/1.1\r\nx: ", b"a" * 1_000_000, b"b" * 1_000_000):
            for line in endless:
                _push(line, piece)
        assert ok(ann.stop(motor))["delivered"] is True
        assert process.memory_info().rss - before < 32 * 1024 * 1024


def _push(line: socket.socket, data: bytes) -> None:
    try:
        line.send(data)
    except OSError:  # it is refused, or full
        return


@pytest.fixture
def hasty_lab(tmp_path: Path) -> Iterator[Authority]:
    """An authority that waits two seconds for a head or a body: long enough for a client that has to wait itself."""
    place = tmp_path / "hasty"
    place.mkdir()
    (place / "hasty.py").write_text(
        "import sys\n"
        "from authority.api import http_protocol\n"
        "http_protocol.HEAD_TIMEOUT_S = http_protocol.BODY_TIMEOUT_S = 2.0\n"
        "from authority.__main__ import main\n"
        "sys.exit(main())\n"
    )
    with running(place, env={"PYTHONPATH": str(ROOT)}, program=[str(place / "hasty.py")]) as lab:
        yield lab


def test_a_request_that_is_never_completed_is_closed_after_a_time(hasty_lab: Authority) -> None:
    """REST-34"""
    assert (http_protocol.HEAD_TIMEOUT_S, http_protocol.BODY_TIMEOUT_S) == (10.0, 30.0)
    with ExitStack() as lines:
        silent, blank, halting, later, slow, unwanted = (lines.enter_context(connect(hasty_lab)) for _ in range(6))
        blank.sendall(b"\r\n\r\n")
        halting.sendall(HEALTH[:30])
        later.sendall(HEALTH + b"\r\n")
        assert kept_answer_of(later)[0] == 200
        later.sendall(HEALTH[:30])
        slow.sendall(POST + b"content-length: 50\r\n\r\n{")
        unwanted.sendall(b"POST /api/locks/acquire HTTP/1.1\r\nhost: elsewhere\r\ncontent-length: 50\r\n\r\n{")
        assert kept_answer_of(unwanted)[0] == 403
        assert silent.recv(10) == b""
        assert blank.recv(10) == b""
        assert answer_of(halting)[0] == 408
        assert answer_of(later)[0] == 408
        status, answer = answer_of(slow)
        assert status == 408
        assert b"too_slow" in answer
        assert unwanted.recv(10) == b""


def test_a_body_that_comes_after_its_answer_ends_no_connection(lab: Authority) -> None:
    """REST-34"""
    with connect(lab) as line:
        line.sendall(b"POST /api/locks/acquire HTTP/1.1\r\nhost: elsewhere\r\ncontent-length: 100000\r\n\r\n")
        assert kept_answer_of(line)[0] == 403
        line.sendall(b" " * 100_000 + HEALTH + b"\r\n")
        assert kept_answer_of(line)[0] == 200


def test_of_a_body_that_comes_after_its_answer_a_mebibyte_is_awaited(lab: Authority) -> None:
    """REST-34"""
    with connect(lab) as line:
        line.sendall(b"POST /api/locks/acquire HTTP/1.1\r\nhost: elsewhere\r\ncontent-length: 9000000\r\n\r\n")
        assert kept_answer_of(line)[0] == 403
        assert _is_cut_off(line, 9_000_000)


def _is_cut_off(line: socket.socket, size: int) -> bool:
    """Send so much; tell whether the connection is reset by then."""
    try:
        line.sendall(b" " * size)
        line.recv(10)
    except OSError:
        return True
    return False


def test_a_kept_connection_is_not_closed_while_it_rests(hasty_lab: Authority) -> None:
    """REST-34"""
    with connect(hasty_lab) as line:
        for _ in range(2):
            line.sendall(HEALTH + b"\r\n")
            assert kept_answer_of(line)[0] == 200
            time.sleep(2.5)  # longer than a head may take


def test_a_stop_gets_through_when_all_descriptors_are_taken(tmp_path: Path) -> None:
    """REST-35"""

    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (120, 160))

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
        assert ask(lab, stop_request("stage_x"))[0] == 200
        status, answer = ask(lab, b"GET /api/equipment/list HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert status == 503
        assert b"only a stop is served" in answer
        assert b'"ok"' in ask(lab, HEALTH + b"\r\n")[1]
        assert "too many connections" in lab.log
        lines.close()
        until(lambda: lab.send("GET", "/api/equipment/list").status_code == 200, "there is room again")
        assert lab.status("stage_x")["running"] is None


def test_the_lab_file_says_how_many_connections_there_may_be(tmp_path: Path) -> None:
    """REST-35"""
    lab_file = '[authority]\nmax_connections = 3\n[equipment.stage_x]\ndriver = "simulated-motor"\n'
    with running(tmp_path / "few", lab=lab_file) as lab, ExitStack() as lines:
        for _ in range(3):
            line = lines.enter_context(connect(lab))
            line.sendall(b"GET /api/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b" 200 " in line.recv(20)
        assert ask(lab, b"GET /api/equipment/list HTTP/1.1\r\nhost: localhost\r\n\r\n")[0] == 503
        assert ask(lab, stop_request("stage_x"))[0] == 200


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

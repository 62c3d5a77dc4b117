"""The WebSocket, the second way to what is pushed: the same messages, the same rules, and nothing to say there."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rest_lab import PATIENCE_S, Authority, Person, ok, refused, running, until
from socket_stream import Socket, opening
from sse import Message, Stream
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.typing import Origin

People = Callable[..., Person]

MOTORS = 20
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)
PING = b"\x89\xfd" + b"\x00" * (4 + 125)  # with the longest content it may have


def handshake_refused(lab: Authority, status: int, code: str, query: str = "role=watch", **more: Any) -> None:
    with pytest.raises(InvalidStatus) as no, opening(lab, query, **more):
        pass
    assert no.value.response.status_code == status
    assert no.value.response.headers["content-type"] == "application/problem+json"
    assert json.loads(no.value.response.body)["code"] == code


def is_snapshot(message: Message) -> bool:
    return message.event == "snapshot"


def is_finished(message: Message) -> bool:
    return message.event == "change" and message.data["event"]["event"] == "command_finished"


def use(ann: Person, motor: str) -> None:
    """Make events of many kinds, and progress."""
    ann.has(motor, note="scän")
    ok(ann.command("move_to", motor, position=1))
    ok(ann.release(motor))


def is_release(message: Message) -> bool:
    return message.event == "change" and message.data["event"]["event"] == "lock_released"


def lasting(messages: list[Message]) -> list[tuple[str, dict[str, Any]]]:
    """Return what has the same form for everybody: a sign of life comes to each in its own quiet."""
    return [(m.event, m.data) for m in messages if m.event != "ping"]


def test_both_doors_tell_the_same_messages_in_the_same_order(lab: Authority, ann: Person, motor: str) -> None:
    """PUSH-10 PUSH-1 PUSH-2 PUSH-5"""
    with Stream(lab) as stream, Socket(lab) as line:
        first, also = stream.to(is_snapshot), line.to(is_snapshot)
        assert first[-1].data.keys() == also[-1].data.keys()
        assert first[-1].data["seq"] == also[-1].data["seq"]
        assert set(also[-1].data["equipment"]) == set(lab.equipment())
        use(ann, motor)
        told, told_here = lasting(stream.to(is_release)), lasting(line.to(is_release))
    assert told_here == told
    assert {event for event, _ in told} == {"change", "progress"}
    assert told[0][1]["status"]["holder"]["note"] == "scän"


def test_a_quiet_socket_gets_a_ping(lab: Authority) -> None:
    """PUSH-10 PUSH-4"""
    with Socket(lab) as line:
        message = line.to(lambda m: m.event == "ping")[-1]
    assert message.data.keys() == {"now"}


def test_who_comes_back_gets_at_either_door_what_was_missed_at_the_other(
    lab: Authority, ann: Person, motor: str
) -> None:
    """PUSH-10 PUSH-3"""
    with Socket(lab) as line:
        seen = line.to(is_snapshot)[-1].data["seq"]
    use(ann, motor)
    with Socket(lab, f"after={seen}") as line, Stream(lab, f"after={seen}") as stream:
        missed = line.to(is_snapshot)
        assert lasting(missed)[:-1] == lasting(stream.to(is_snapshot))[:-1]
        ok(ann.acquire(motor))
        live = line.to(lambda m: m.event == "change")
    numbers = [m.data["seq"] for m in missed + live if m.event == "change"]
    assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
    assert len(numbers) == 5
    assert all(m.data["status"] is None for m in missed if m.event == "change")


@pytest.mark.parametrize("query", ["after=soon", "after=", "after=" + "9" * 5000, "role=king"])
def test_an_odd_question_is_refused_at_the_handshake(lab: Authority, query: str) -> None:
    """PUSH-10 PUSH-12"""
    handshake_refused(lab, 422, "invalid", query)


# -- the two connections of a session


@pytest.mark.parametrize("role", ["feed", "keeper"])
def test_feed_and_keeper_need_a_session_and_its_token(lab: Authority, person: People, role: str) -> None:
    """PUSH-7 PUSH-10 WHO-7"""
    ann = person("ann", keeper=True, secret=True)
    handshake_refused(lab, 404, "unknown_session", f"role={role}")
    handshake_refused(lab, 404, "unknown_session", f"role={role}&session_id=nobody")
    query = f"role={role}&session_id={ann.session_id}"
    handshake_refused(lab, 401, "bad_session_token", query)
    with Socket(lab, query, **ann.headers) as line:
        assert line.next().event == {"feed": "snapshot", "keeper": "ping"}[role]


def test_a_feed_here_and_a_keeper_there_are_the_two_connections_of_a_session(
    lab: Authority, person: People, bob: Person, motor: str
) -> None:
    """LIVE-3 PUSH-7 PUSH-10"""
    ann = person("ann", keeper=True)
    with Socket(lab) as watch:
        watch.to(is_snapshot)
        feed = Socket(lab, f"role=feed&session_id={ann.session_id}")
        keeper = Stream(lab, f"role=keeper&session_id={ann.session_id}")
        feed.next()
        keeper.next()
        ann.has(motor)
        ok(bob.acquire(motor, queue_if_busy=True))
        keeper.__exit__()
        feed.__exit__()
        over = watch.change("session_expired", session_id=ann.session_id)
    assert over.data["event"]["why"] == "connections_lost"
    assert over.data["event"]["duration_seconds"] > 5
    assert lab.status(motor)["session_id"] == bob.session_id


def test_an_open_feed_here_keeps_a_session_without_a_keeper_alive(lab: Authority, person: People, motor: str) -> None:
    """LIVE-16 PUSH-10"""
    ann = person("ann", timeout_seconds=1)
    ann.has(motor)
    with Socket(lab, f"role=feed&session_id={ann.session_id}") as feed:
        feed.to(lambda m: m.event == "ping")
        assert lab.status(motor)["session_id"] == ann.session_id
    until(lambda: not lab.status(motor)["locked"], "the session expires once its feed is closed")


# -- who may open it


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example"])
def test_a_foreign_page_opens_no_socket(lab: Authority, origin: str) -> None:
    """WHO-12 PUSH-12"""
    handshake_refused(lab, 403, "foreign_origin", origin=Origin(origin))


def test_a_page_of_the_authority_itself_opens_a_socket(lab: Authority) -> None:
    """WHO-12 PUSH-12"""
    with opening(lab, origin=Origin(lab.url)) as line:
        assert json.loads(line.recv(PATIENCE_S))["event"] == "snapshot"


def raw(lab: Authority, request: str) -> bytes:
    """Send a handshake as it stands, and return the answer's head and what came with it."""
    host, _, port = lab.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as line:
        line.sendall(request.encode("latin-1"))
        return line.recv(65536)


def test_a_foreign_name_of_the_authority_opens_no_socket(lab: Authority) -> None:
    """WHO-12 PUSH-12"""
    request = HANDSHAKE.format(path="/api/ws", more="")
    assert raw(lab, request).startswith(b"HTTP/1.1 101 ")
    assert raw(lab, request.replace("127.0.0.1", "evil.example")).startswith(b"HTTP/1.1 403 ")


def test_where_a_token_is_set_the_socket_asks_for_it(tmp_path: Path) -> None:
    """WHO-5 PUSH-12"""
    with running(tmp_path, env={"MOTORLOCK_TOKEN": "the lab's very own"}) as lab:
        handshake_refused(lab, 401, "token_required")
        handshake_refused(lab, 401, "token_required", additional_headers={"Authorization": "Bearer wrong"})
        handshake_refused(lab, 401, "token_required", "access_token=the%20lab's%20very%20own")
        with Socket(lab, Authorization="Bearer the lab's very own") as line:
            assert line.next().event == "snapshot"
        assert "very own" not in lab.log


def test_there_is_one_socket_and_a_plain_request_for_it_is_told_what_is_missing(lab: Authority) -> None:
    """PUSH-12 REST-17"""
    answer = raw(lab, HANDSHAKE.format(path="/api/locks/all", more=""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"not_found"' in answer
    plain = lab.get("/ws")
    refused(plain, 426, "upgrade_required")
    assert plain.headers["upgrade"] == "websocket"


# -- what clients send


def complaints(lab: Authority) -> list[str]:
    """Return what stands in the log beside the events, and beside who was cut off."""
    return [line for line in lab.log.splitlines() if not line.startswith("{") and " INFO " not in line]


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/api/ws", "Content-Length: 5\r\n"),
        ("/api/ws", "Sec-WebSocket-Key: another\r\n"),
        ("/api/ws", "Sec-WebSocket-Protocol: \xff,,\r\n"),
        ("/api/ws", "".join(f"X-{n}: 1\r\n" for n in range(200))),
        ("/api/ws", f"X: {'x' * 20000}\r\n"),
        ("/api/ws?after=" + "1" * 20000, ""),
        ("http://evil.example/api/ws", ""),
        ("/api/ws?after=%ff%00", ""),
        ("/%2e%2e/api//ws", ""),
    ],
    ids=["body", "two keys", "protocols", "many headers", "long header", "long path", "proxy", "zero", "dots"],
)
def test_a_handshake_that_is_none_is_ended_and_leaves_nothing_in_the_log(lab: Authority, path: str, more: str) -> None:
    """PUSH-12 REST-17"""
    answer = raw(lab, HANDSHAKE.format(path=path, more=more))
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert complaints(lab) == []


def test_what_a_client_says_is_not_listened_to(lab: Authority, ann: Person, motor: str) -> None:
    """PUSH-13"""
    with Socket(lab) as line:
        line.to(is_snapshot)
        line.line.send('{"event":"stop","data":{}}')
        line.line.send(b"\xff\xfe", text=True)
        line.line.send(b"\x00" * 4096)
        line.line.send(["in", "", "pieces"])
        assert line.line.ping().wait(PATIENCE_S)
        ann.has(motor)
        assert line.change("lock_acquired", equipment_id=motor)
    assert complaints(lab) == []


def test_a_message_that_is_too_long_closes_the_socket(lab: Authority) -> None:
    """PUSH-13"""
    with Socket(lab) as line:
        line.to(is_snapshot)
        line.line.send("x" * 4097)
        assert line.ended()[1] == 1009
    assert complaints(lab) == []


@pytest.mark.parametrize("kind", ["messages", "pings", "pieces"])
def test_a_client_that_floods_is_closed(lab: Authority, kind: str) -> None:
    """PUSH-13"""
    with Socket(lab) as line:
        line.to(is_snapshot)
        with pytest.raises(ConnectionClosed) as closed:
            flood(line.line, kind)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    assert complaints(lab) == []


def test_a_client_that_floods_on_without_reading_is_cut_off(lab: Authority) -> None:
    """PUSH-13"""
    host, _, port = lab.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as line:
        line.sendall(HANDSHAKE.format(path="/api/ws", more="").encode())
        assert line.recv(12) == b"HTTP/1.1 101"
        with pytest.raises(ConnectionError):
            line.sendall(PING * 500_000)
    assert complaints(lab) == []


def flood(line: ClientConnection, kind: str) -> None:
    """Send 10 MB and more; each answer to a ping is waited for, so that the close is not lost behind what is sent."""
    for n in range(100_000):
        if kind == "messages":
            line.send("x" * 4000)
        elif kind == "pieces":
            line.send(["x", *[""] * 100])
        assert line.ping(f"{n:0100}", ack_on_close=True).wait(PATIENCE_S)


@pytest.mark.parametrize(
    "nonsense",
    [b"\xff" * 100, b"\x81\x05hello", b"\x83\x80abcd", b"\x88\x81abcdx", b"\x80\x80abcd", b"\x81"],
    ids=["noise", "no mask", "no such kind", "half a code", "a piece of nothing", "a beginning"],
)
def test_bytes_that_are_no_websocket_end_it_and_leave_nothing_in_the_log(lab: Authority, nonsense: bytes) -> None:
    """PUSH-13 REST-17"""
    raw(lab, HANDSHAKE.format(path="/api/ws", more="") + nonsense.decode("latin-1"))
    ok(lab.send("GET", "/health"))
    assert complaints(lab) == []


# -- ends


def test_an_authority_that_ends_says_so_and_the_socket_resumes(tmp_path: Path) -> None:
    """PUSH-10 LIVE-5 PUSH-3"""
    with running(tmp_path) as lab:
        ann = lab.person("ann", keeper=True)
        ann.has()
        watch = Socket(lab)
        feed = Socket(lab, f"role=feed&session_id={ann.session_id}")
        keeper = Socket(lab, f"role=keeper&session_id={ann.session_id}")
        seen = watch.next().data["seq"]
        lab.restart()
        for line in (watch, feed, keeper):
            _, code, reason = line.ended()
            assert (code, reason) == (1001, "The authority is ending; come back with after=SEQ.")
        assert lab.status()["session_id"] == ann.session_id
        ok(ann.release())
        with Socket(lab, f"after={seen}") as back:
            numbers = [m.data["seq"] for m in back.to(is_snapshot) if m.event == "change"]
        assert numbers == list(range(seen + 1, lab.events()[-1]["seq"] + 1))
        assert complaints(lab) == []


@pytest.mark.slow
def test_a_client_that_does_not_read_is_closed_and_resumes_without_a_gap_while_others_are_served(
    lab: Authority, person: People, ann: Person, motor: str
) -> None:
    """PUSH-6 PUSH-10 PUSH-3 RUN-48"""
    host, _, port = lab.url.removeprefix("http://").partition(":")
    ann.has(motor)
    for n in range(20):
        # Every change shows the whole queue: what is pushed is more than any buffer of a socket holds.
        ok(person(f"waiter {n}").acquire(motor, queue_if_busy=True, note="n" * 500))
    start = lab.events(motor)[-1]["seq"]
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect((host, int(port)))
    slow = Socket(lab, f"after={start}", line)
    for _ in range(1280):
        ok(ann.acquire(motor, note="n" * 500))
    with Socket(lab) as other:
        assert other.next().data["seq"] == start + 1280
    told, code, reason = slow.ended()
    assert (code, reason) == (1013, "You did not keep up; come back with after=SEQ.")
    line_of_log = "motorlock INFO a watch stream of 127.0.0.1 is cut off, for it does not read what it is sent"
    assert [line for line in lab.log.splitlines() if line.endswith(line_of_log)] != []
    seen = [m.data["seq"] for m in told]
    assert seen == list(range(start, start + len(seen)))
    assert 0 < len(seen) < 1280
    with Socket(lab, f"after={seen[-1]}") as back:
        missed = [m.data["seq"] for m in back.to(is_snapshot) if m.event == "change"]
    assert missed == list(range(seen[-1] + 1, start + 1281))

"""What only the WebSocket has: its handshake, what clients send on it, and how it is closed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from push_clients import WebSocketStream, changes, is_snapshot
from rest_lab import PATIENCE_S, Authority, Person, ok, refused, running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

MOTORS = 20
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)
PING = b"\x89\xfd" + b"\x00" * (4 + 125)  # with the longest content it may have


# -- who may open it


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example"])
def test_a_foreign_page_opens_no_socket(lab: Authority, origin: str) -> None:
    """WHO-12 PUSH-12"""
    WebSocketStream.assert_refused(lab, 403, "foreign_origin", Origin=origin)


def test_a_page_of_the_authority_itself_opens_a_socket(lab: Authority) -> None:
    """WHO-12 PUSH-12"""
    with WebSocketStream(lab, Origin=lab.url) as line:
        assert line.next().event == "snapshot"


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
        WebSocketStream.assert_refused(lab, 401, "token_required")
        WebSocketStream.assert_refused(lab, 401, "token_required", Authorization="Bearer wrong")
        WebSocketStream.assert_refused(lab, 401, "token_required", "access_token=the%20lab's%20very%20own")
        with WebSocketStream(lab, Authorization="Bearer the lab's very own") as line:
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
    lines = [line for line in lab.log.splitlines() if not line.startswith("{") and " INFO " not in line]
    return [line for line in lines if "WARNING refused (" not in line]  # what another test was refused


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
    with WebSocketStream(lab) as line:
        line.snapshot()
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
    with WebSocketStream(lab) as line:
        line.snapshot()
        line.line.send("x" * 4097)
        assert line.ended()[1] == 1009
    assert complaints(lab) == []


@pytest.mark.parametrize("kind", ["messages", "pings", "pieces"])
def test_a_client_that_floods_is_closed(lab: Authority, kind: str) -> None:
    """PUSH-13"""
    with WebSocketStream(lab) as line:
        line.snapshot()
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
        watch = WebSocketStream(lab)
        feed = WebSocketStream(lab, f"role=feed&session_id={ann.session_id}")
        keeper = WebSocketStream(lab, f"role=keeper&session_id={ann.session_id}")
        seen = watch.next().data["seq"]
        lab.restart()
        for line in (watch, feed, keeper):
            _, code, reason = line.ended()
            assert (code, reason) == (1001, "The authority is ending; come back with after=SEQ.")
        assert lab.status()["session_id"] == ann.session_id
        ok(ann.release())
        with WebSocketStream(lab, f"after={seen}") as back:
            numbers = changes(back.to(is_snapshot))
        assert numbers == list(range(seen + 1, lab.events()[-1]["seq"] + 1))
        assert complaints(lab) == []

"""Requests as bytes, on connections of their own."""

from __future__ import annotations

import socket

from rest_lab import PATIENCE_S, Authority


def connect(lab: Authority) -> socket.socket:
    """Open a connection on which nothing is sent yet."""
    return socket.create_connection(("127.0.0.1", int(lab.url.rpartition(":")[2])), timeout=PATIENCE_S)


def ask(lab: Authority, request: bytes) -> tuple[int, bytes]:
    """Send bytes on a connection of their own, and return the status and all that comes until it closes."""
    with connect(lab) as line:
        line.sendall(request)
        return answer_of(line)


def answer_of(line: socket.socket) -> tuple[int, bytes]:
    """Return the status and all that comes until the connection closes."""
    answer = b""
    while piece := line.recv(65536):
        answer += piece
    return int(answer.split(b" ", 2)[1]), answer


def kept_answer_of(line: socket.socket) -> tuple[int, bytes]:
    """Return the status and the body, which has a length, from a connection that may stay open."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = line.recv(65536)
        assert piece, f"closed after {answer!r}"
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(next(row for row in head.lower().split(b"\r\n") if row.startswith(b"content-length")).split(b":")[1])
    while len(body) < length:
        body += line.recv(65536)
    return int(answer.split(b" ", 2)[1]), body


def stop_request(motor: str, body: bytes = b"{}") -> bytes:
    """Return a whole request for a stop."""
    head = f"POST /api/equipment/{motor}/stop HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

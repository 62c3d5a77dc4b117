"""What stands before every path: origin, size, kind and shape of a body, wrong methods and paths, health."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from rest_lab import Authority, Person, ok, refused

MOTORS = 12
MIB = 1024 * 1024
BODIES = ["/locks/acquire", "/locks/release", "/locks/sessions/create", "/equipment/stage_x/command"]
FOREIGN = "This request came by way of another site or under another name; use the authority's own address."


def exchange(lab: Authority, request: bytes) -> tuple[int, dict[str, Any]]:
    """Send bytes that no HTTP library would send, and return status and body of the answer."""
    host, _, port = lab.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else {}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8790", "localhost.evil.example", "", "[", "[::1", "127.0.0.1.evil.example", "a@b"],
)
@pytest.mark.parametrize("path", ["/api/locks/all", "/health", "/", "/openapi.json", "/api/events", "/nowhere"])
def test_a_request_under_a_name_that_is_not_this_authoritys_is_refused(lab: Authority, host: str, path: str) -> None:
    """WHO-12"""
    refused(lab.send("GET", path, headers={"Host": host}), 403, "foreign_origin")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8790", "192.168.7.7"])
def test_this_machines_names_and_plain_addresses_are_let_in(lab: Authority, host: str) -> None:
    """WHO-12"""
    ok(lab.get("/locks/all", headers={"Host": host}))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "http://[", "file://", "", "x"]
)
def test_a_request_from_another_sites_page_is_refused_and_nothing_is_done(
    lab: Authority, ann: Person, motor: str, origin: str
) -> None:
    """WHO-12"""
    asked = {"equipment_id": motor, "session_id": ann.session_id}
    refused(lab.post("/locks/acquire", asked, headers={"Origin": origin}), 403, "foreign_origin")
    refused(lab.post(f"/equipment/{motor}/stop", {}, headers={"Origin": origin}), 403, "foreign_origin")
    assert lab.events(motor) == []


def test_a_request_from_the_authoritys_own_page_is_let_in(lab: Authority) -> None:
    """WHO-12"""
    ok(lab.post("/equipment/stage_x/stop", {}, headers={"Origin": lab.url}))


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
@pytest.mark.parametrize("path", BODIES)
def test_a_body_of_another_content_type_is_415(lab: Authority, path: str, kind: str | None) -> None:
    """REST-5"""
    refused(lab.raw(path, b'{"equipment_id": "stage_x"}', kind), 415, "not_json")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_content_type_may_have_parameters_and_any_letter_case(lab: Authority, kind: str) -> None:
    """REST-5"""
    made = ok(lab.raw("/locks/sessions/create", b"{}", kind))
    ok(lab.delete(f"/locks/sessions/{made['session_id']}"))


@pytest.mark.parametrize("path", [*BODIES, "/locks/sessions/x/gone"])
def test_a_body_of_more_than_a_mebibyte_is_413(lab: Authority, path: str) -> None:
    """REST-5 WHO-14"""
    refused(lab.raw(path, b" " * (MIB + 1)), 413, "too_large")


def test_a_large_body_that_comes_in_pieces_is_413_too(lab: Authority) -> None:
    """REST-5 WHO-14"""
    pieces = (b" " * 65536 for _ in range(17))
    answer = lab.send("POST", "/api/locks/acquire", data=pieces, headers={"content-type": "application/json"})
    refused(answer, 413, "too_large")


def test_a_body_of_just_a_mebibyte_is_read(lab: Authority) -> None:
    """WHO-14"""
    made = ok(lab.raw("/locks/sessions/create", b"{}" + b" " * (MIB - 2)))
    ok(lab.delete(f"/locks/sessions/{made['session_id']}"))


MALFORMED = [
    b"", b"{", b"nonsense", b"[]", b"null", b"7", b'"text"', b"{} {}", b"\xff\xfe", b"\xef\xbb\xbf{}",
    b'{"equipment_id": NaN}', b'{"timeout_seconds": NaN}', b'{"timeout_seconds": Infinity}',
    b'{"timeout_seconds": -Infinity}', b'{"timeout_seconds": 1e999}', b'{"equipment_id": "\\ud800"}',
    b"[" * 100_000, b'{"metadata": ' + b"[" * 100_000, b'{"a": ' * 50_000,
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=lambda b: repr(b[:24]))
@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_is_malformed_or_too_deep_or_no_object_is_422_and_never_500(
    lab: Authority, path: str, body: bytes
) -> None:
    """REST-5"""
    refused(lab.raw(path, body), 422, "invalid")


@pytest.mark.parametrize("depth", [10, 100, 200, 254, 255, 300, 500, 700, 900, 990, 1000, 1100, 2000])
def test_metadata_of_any_depth_is_taken_whole_or_refused_whole(lab: Authority, depth: int) -> None:
    """REST-5 REST-17"""
    before = ok(lab.get("/locks/sessions"))["count"]
    answer = lab.raw("/locks/sessions/create", b'{"metadata": {"a": ' + b"[" * depth + b"]" * depth + b"}}")
    if answer.status_code == 200:
        ok(lab.get("/locks/sessions"))
        ok(lab.get(f"/locks/sessions/{answer.json()['session_id']}"))
        ok(lab.delete(f"/locks/sessions/{answer.json()['session_id']}"))
    else:
        refused(answer, 422, "invalid")
    assert ok(lab.get("/locks/sessions"))["count"] == before


@pytest.mark.parametrize("value", ["1" + "0" * 400, "-9223372036854775809", "1e308", '"\\u0000"', '"\U0001f600"'])
def test_odd_values_in_metadata_are_given_back_or_refused(lab: Authority, value: str) -> None:
    """REST-17"""
    answer = lab.raw("/locks/sessions/create", b'{"metadata": {"a": %s}}' % value.encode())
    assert answer.status_code in {200, 422}, answer.text
    if answer.status_code == 200:
        shown = ok(lab.get(f"/locks/sessions/{answer.json()['session_id']}"))
        assert shown["metadata"] == json.loads(b'{"a": %s}' % value.encode())
        ok(lab.delete(f"/locks/sessions/{answer.json()['session_id']}"))


def test_the_authority_answers_on_after_all_bad_bodies_and_says_nothing_of_them_in_its_log(lab: Authority) -> None:
    """REST-17"""
    assert ok(lab.send("GET", "/health"))["status"] == "ok"
    assert "Traceback" not in lab.log


@pytest.mark.parametrize(("field", "length"), [("equipment_id", 128), ("session_id", 128), ("note", 500)])
def test_ids_and_notes_have_a_longest_length(lab: Authority, field: str, length: int) -> None:
    """WHO-14"""
    asked = {"equipment_id": "stage_x", "session_id": "s", field: "x" * (length + 1)}
    body = refused(lab.post("/locks/acquire", asked), 422, "invalid")
    assert field in body["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/locks/acquire"),
        ("GET", "/api/locks/acquire"),
        ("POST", "/api/locks/all"),
        ("PATCH", "/api/locks/sessions/x"),
        ("DELETE", "/health"),
        ("POST", "/"),
        ("POST", "/api/events"),
        ("POST", "/openapi.json"),
    ],
)
def test_a_wrong_method_is_405_as_a_problem_that_names_the_right_one(lab: Authority, method: str, path: str) -> None:
    """REST-17"""
    answer = lab.send(method, path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["/nowhere", "/api/nowhere", "/api/locks", "/api/locks/status/"])
def test_an_unknown_path_is_404_as_a_problem(lab: Authority, path: str) -> None:
    """REST-17"""
    refused(lab.send("GET", path, allow_redirects=False), 404, "not_found")


@pytest.mark.parametrize("name", ["a%2Fb", "%00", "%ff", "..%2f..", "%E2%82%AC", "x" * 5000, "a b", "'--"])
def test_an_odd_name_in_a_path_is_404_and_never_500(lab: Authority, name: str) -> None:
    """REST-10 REST-17"""
    answers = [
        lab.get(f"/locks/status/{name}"),
        lab.get(f"/locks/sessions/{name}"),
        lab.delete(f"/locks/sessions/{name}"),
        lab.get(f"/equipment/{name}/readings"),
        lab.delete(f"/locks/queue/stage_x/{name}?session_id={name}"),
    ]
    for answer in answers:
        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("query", ["limit=%ff", "limit=%00", "limit=1&limit=0", "limit=" + "9" * 5000, "x=y&&=&limit"])
def test_an_odd_query_is_answered_or_refused_and_never_500(lab: Authority, query: str) -> None:
    """REST-17"""
    answer = lab.get(f"/locks/events/stage_x?{query}")
    assert answer.status_code in {200, 422}, answer.text


def test_a_request_that_is_no_http_is_refused_and_closed(lab: Authority) -> None:
    """REST-17"""
    status, _ = exchange(lab, b"GARBAGE\r\n\r\n")
    assert status == 400


def test_a_body_that_stops_short_of_its_length_harms_nobody(lab: Authority) -> None:
    """REST-17"""
    host, _, port = lab.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(
            b"POST /api/locks/acquire HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: 100\r\n\r\n{"
        )
    assert ok(lab.send("GET", "/health"))["status"] == "ok"


def test_health_needs_no_session_and_says_what_runs(lab: Authority) -> None:
    """REST-15"""
    body = ok(lab.send("GET", "/health"))
    assert body.keys() >= {"status", "name", "version", "instance", "locks_enabled", "equipment"}
    assert (body["status"], body["name"], body["locks_enabled"]) == ("ok", "motorlock", True)
    assert body["equipment"] == len(lab.equipment())
    assert body["version"]


def test_the_pages_at_the_root_and_of_the_document_come_without_the_internet(lab: Authority) -> None:
    """RUN-8 REST-16 WHO-35"""
    for path in ("/", "/docs"):
        answer = lab.send("GET", path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        for outside in ('src="http', 'href="http', "url(http", "@import"):
            assert outside not in answer.text

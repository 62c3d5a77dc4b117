"""The edge of the authority: no body of a request hurts anybody else, and no body keeps a STOP out."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from raw_http import answer_of, ask, connect, kept_answer_of
from rest_lab import ROOT, Authority, Person, ok, program_with, refused, running, until
from starlette.types import Message, Receive

from authority.api.problems import ProblemResponse
from authority.api.request_body import (
    DEPTH_LIMIT,
    LARGE_BODIES,
    NESTED_LIMIT,
    SMALL_BODY,
    BodyReader,
    decode_body,
    read_small_body,
)


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
        (b'{"x":' + b"[" * 400 + b"]" * 400 + b"}", "application/json", "it is nested more than 32 deep"),
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
    assert (answer["outcome"], answer["delivered"]) == ("stopped", True)
    assert left_out in answer["ignored"]
    until(lambda: lab.status(motor)["running"] is None, "the command ends")


def test_what_of_a_stops_body_is_of_use_is_used(lab: Authority, ann: Person, motor: str) -> None:
    """STOP-13"""
    ann.has(motor)
    body = json.dumps({"user": "Cem", "reason": "a cable", "colour": "red"}).encode()
    assert ok(lab.raw(f"/equipment/{motor}/stop", body, "text/plain"))["ignored"] == ["'colour' is no field of it"]
    stopped = lab.status(motor)["stopped_by"]
    assert (stopped["user"], stopped["reason"]) == ("Cem", "a cable")


def test_a_body_that_never_comes_whole_is_left_out_of_the_stop(lab: Authority, ann: Person, motor: str) -> None:
    """STOP-13"""
    ann.has(motor)
    with connect(lab) as line:
        line.sendall(stop_head(motor) + b'{"reason"')
        status, answer = kept_answer_of(line)
    assert status == 200
    assert b"the body was not complete after 0.5 s" in answer


def test_a_stop_is_delivered_before_its_body_has_come_which_then_says_who_it_was(tmp_path: Path) -> None:
    """STOP-13"""
    patient = program_with(tmp_path, "authority.api.equipment.STOP_BODY_S", 60.0)
    body = b'{"user": "Cem", "reason": "a cable"}'.ljust(100)
    with running(tmp_path / "lab", program=patient) as lab, connect(lab) as line:
        ann = lab.person("Ann")
        ann.has("stage_x")
        ann.begins("move_to", "stage_x", "key", position=100)
        line.sendall(stop_head("stage_x") + body[:10])
        until(lambda: lab.status("stage_x")["running"] is None, "the command ends")
        assert ok(ann.command("move_to", "stage_x", "key", position=100))["outcome"] == "stopped"
        line.sendall(body[10:])
        assert kept_answer_of(line)[0] == 200
        stopped = lab.status("stage_x")["stopped_by"]
        assert (stopped["user"], stopped["reason"]) == ("Cem", "a cable")


def stop_head(motor: str) -> bytes:
    """The head of a stop whose body has 100 bytes."""
    head = f"POST /api/equipment/{motor}/stop HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n"
    return head.encode()


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


JSON_TYPE = {b"content-type": b"application/json"}
TOO_DEEP = b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT,
        b'{"a":[' * 16 + b"]}" * 16,
        b'{"note":"' + b"[" * 200 + b'\\"' + b"{" * 200 + b'"}',
        b"[" + b"[]," * (NESTED_LIMIT - 2) + b"[]]",
    ],
    ids=["as deep as may be", "of both kinds", "in a text", "side by side"],
)
def test_brackets_are_counted_as_deep_as_they_stand_in_one_another(body: bytes) -> None:
    """REST-29"""
    assert decode_body(object, JSON_TYPE, body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (TOO_DEEP, "nested more than 32 deep"),
        (b"[[]," + TOO_DEEP + b"]", "nested more than 32 deep"),
        (b'{"a":[' * 16 + b"[]" + b"]}" * 16, "nested more than 32 deep"),
        (b'{"a":"]",' + b'"b":' + TOO_DEEP + b"}", "nested more than 32 deep"),
        (b"[" + b"[]," * (NESTED_LIMIT - 1) + b"[]]", "more than 10000 lists and objects"),
    ],
)
def test_what_is_nested_too_much_is_told_so(body: bytes, sentence: str) -> None:
    """REST-29"""
    with pytest.raises(ProblemResponse, match=sentence):
        decode_body(object, JSON_TYPE, body)


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


def test_a_client_that_goes_on_sending_can_read_why_it_is_refused(lab: Authority) -> None:
    """REST-31, REST-34"""
    head = b"POST /api/locks/acquire HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with connect(lab) as line:
        line.sendall(head + b"content-length: 700000000\r\n\r\n" + b" " * 700_000)
        assert answer_of(line)[0] == 413


def test_broken_chunks_are_told_and_a_stop_with_them_is_carried_out(lab: Authority, ann: Person, motor: str) -> None:
    """STOP-13, REST-5"""
    chunks = b"host: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n"
    status, answer = ask(lab, b"POST /api/locks/acquire HTTP/1.1\r\n" + chunks)
    assert status == 400
    assert b"The body's chunks cannot be read." in answer
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    status, answer = ask(lab, f"POST /api/equipment/{motor}/stop HTTP/1.1\r\n".encode() + chunks)
    assert status == 200
    assert b"the body's chunks cannot be read" in answer
    until(lambda: lab.status(motor)["running"] is None, "the stop ends the command")


def test_a_stop_whose_chunks_never_end_is_carried_out(lab: Authority, ann: Person, motor: str) -> None:
    """STOP-13"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    with connect(lab) as line:
        head = f"POST /api/equipment/{motor}/stop HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        line.sendall(head.encode() + b"5\r\n     \r\n")
        status, answer = kept_answer_of(line)
    assert status == 200
    assert b"the body was not complete after 0.5 s" in answer
    assert lab.status(motor)["running"] is None


def test_head_is_answered_where_get_is_without_a_body(lab: Authority) -> None:
    """REST-32"""
    answer = lab.send("HEAD", "/api/equipment/list")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0
    for path in ("/", "/docs", "/openapi.json", "/api", "/health", "/api/locks/all"):
        assert lab.send("HEAD", path).status_code == 200, path
    stream = lab.send("HEAD", "/api/events")
    assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert lab.send("HEAD", "/api/locks/acquire").status_code == 405
    assert lab.send("HEAD", "/api/equipment/nothing").status_code == 404


def test_the_root_of_the_interface_lists_what_there_is(lab: Authority) -> None:
    """REST-32"""
    found = {(row["method"], row["path"]): row["summary"] for row in lab.send("GET", "/api").json()["paths"]}
    assert {("POST", "/api/locks/acquire"), ("GET", "/api/events"), ("GET", "/api/ws")} <= found.keys()
    assert all(found.values())


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
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    ended = subprocess.run(
        command, env={**os.environ, "MOTORLOCK_TOKEN": token}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "MOTORLOCK_TOKEN holds a character that no client can send" in ended.stderr
    assert token not in ended.stderr


@pytest.mark.parametrize("twice", [b"Host: 127.0.0.1\r\nHost: evil.example", b"Host: evil.example\r\nHost: 127.0.0.1"])
def test_a_request_with_two_hosts_is_refused(lab: Authority, twice: bytes) -> None:
    """WHO-20"""
    status, answer = ask(lab, b"GET /api/locks/all HTTP/1.1\r\n" + twice + b"\r\nConnection: close\r\n\r\n")
    assert status == 400
    assert b'"invalid"' in answer


def test_a_request_with_two_origins_is_refused(lab: Authority) -> None:
    """WHO-20"""
    host = lab.url.removeprefix("http://").encode()
    origins = b"Origin: http://evil.example\r\nOrigin: http://" + host
    head = b"GET /api/locks/all HTTP/1.1\r\nHost: " + host + b"\r\n" + origins
    status, answer = ask(lab, head + b"\r\nConnection: close\r\n\r\n")
    assert status == 400
    assert b'"invalid"' in answer


def pieces(*bodies: bytes, last_after: asyncio.Event | None = None) -> Receive:
    """Return a `receive` of ASGI that gives a body in these pieces, the last one after an event."""
    left = list(bodies)

    async def receive() -> Message:
        if len(left) == 1 and last_after is not None:
            await last_after.wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


@pytest.mark.parametrize("body", [[b" " * (SMALL_BODY + 1)], [b" " * SMALL_BODY, b" "]])
def test_a_body_that_means_nothing_is_bounded_in_however_many_pieces_it_comes(body: list[bytes]) -> None:
    """WHO-23"""
    with pytest.raises(ProblemResponse) as refusal:
        asyncio.run(read_small_body({}, {}, pieces(*body)))
    assert (refusal.value.status, refusal.value.code) == (413, "too_large")
    assert asyncio.run(read_small_body({}, {}, pieces(b" " * SMALL_BODY))) == b" " * SMALL_BODY


def test_a_large_body_that_comes_whole_waits_for_its_place_among_the_large_ones() -> None:
    """REST-37"""
    json_type = {b"content-type": b"application/json"}

    async def read_all() -> None:
        reader = BodyReader()
        rest_comes = asyncio.Event()
        slow = [
            asyncio.create_task(
                reader.read(dict, {}, json_type, pieces(b" " * (SMALL_BODY + 1), b"{}", last_after=rest_comes))
            )
            for _ in range(LARGE_BODIES)
        ]
        await asyncio.sleep(0)
        whole = asyncio.create_task(reader.read(dict, {}, json_type, pieces(b"{}" + b" " * SMALL_BODY)))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not whole.done()
        rest_comes.set()
        assert await asyncio.gather(*slow, whole) == [{}] * (LARGE_BODIES + 1)

    asyncio.run(read_all())

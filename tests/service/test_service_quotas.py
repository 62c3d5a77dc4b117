"""What one peer address may have at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import Lab, VirtualClock, X, lab
from starlette.types import ASGIApp, Message

from authority.api import quotas
from authority.api.app import make_app
from authority.api.problems import ProblemResponse
from authority.api.quotas import Quota, Quotas
from authority.api.session_ids import SessionIds
from authority.core import messages
from authority.core.model import Equipment, LossCause, SessionId
from authority.identity.users import Users

HERE, THERE, ELSEWHERE = "127.0.0.1", "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def small_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "OF_ANOTHER", Quota(sessions=5, unused=3, metadata_bytes=100, places=2))
    monkeypatch.setattr(quotas, "OF_THIS_MACHINE", Quota(sessions=9, unused=9, metadata_bytes=900, places=3))


def begin(here: Lab, kept: Quotas, name: str, address: str = THERE, size: int = 0) -> SessionId:
    kept.may_begin(address, size, here.service.table)
    session = here.person(name)
    kept.begun(address, session, size)
    return session


def refusal(asked: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ProblemResponse) as refused:
        asked()
    return refused.value.status, refused.value.code


def test_sessions_that_are_never_used_are_limited_for_each_address(tmp_path: Path) -> None:
    """LIMIT-1 LIMIT-4"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            kept = Quotas()
            first, *_ = [begin(here, kept, f"s{n}") for n in range(3)]
            assert refusal(lambda: begin(here, kept, "s3")) == (429, "too_many_sessions")
            for address in (ELSEWHERE, HERE, "", "::1"):
                begin(here, kept, f"of {address}", address)
            here.login(first)
            begin(here, kept, "s3")
            assert refusal(lambda: begin(here, kept, "s4")) == (429, "too_many_sessions")

    asyncio.run(run())


def test_a_session_of_which_something_was_heard_is_used_and_one_that_ended_counts_no_more(tmp_path: Path) -> None:
    """LIMIT-1"""

    async def run() -> None:
        clock = VirtualClock()
        async with lab(tmp_path / "data", clock=clock) as here:
            kept = Quotas()
            heard, ended, *_ = [begin(here, kept, f"s{n}") for n in range(3)]
            clock.advance(1.0)
            here.service.apply(messages.SignOfLife(session=heard))
            here.service.apply(messages.EndSession(session=ended, why=LossCause.SESSION_ENDED))
            begin(here, kept, "s3")
            begin(here, kept, "s4")
            assert refusal(lambda: begin(here, kept, "s5")) == (429, "too_many_sessions")

    asyncio.run(run())


def test_used_sessions_are_limited_too(tmp_path: Path) -> None:
    """LIMIT-1"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            kept = Quotas()
            for n in range(5):
                here.login(begin(here, kept, f"s{n}"), wait=True)
            assert refusal(lambda: begin(here, kept, "s5")) == (429, "too_many_sessions")
            here.service.apply(messages.EndSession(session=SessionId("s4"), why=LossCause.SESSION_ENDED))
            begin(here, kept, "s5")

    asyncio.run(run())


def test_the_metadata_of_an_address_is_limited_together(tmp_path: Path) -> None:
    """LIMIT-2"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            kept = Quotas()
            begin(here, kept, "s0", size=60)
            assert refusal(lambda: begin(here, kept, "s1", size=41)) == (429, "too_many_sessions")
            begin(here, kept, "s1", size=40)
            begin(here, kept, "of another", ELSEWHERE, size=100)
            here.service.apply(messages.EndSession(session=SessionId("s0"), why=LossCause.SESSION_ENDED))
            begin(here, kept, "s2", size=60)

    asyncio.run(run())


def test_the_places_in_a_queue_that_one_address_has_are_limited(tmp_path: Path) -> None:
    """LIMIT-3"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            kept = Quotas()
            here.login(begin(here, kept, "holder", ELSEWHERE))
            waiting, _ = [begin(here, kept, f"s{n}") for n in range(2)]
            third = begin(here, kept, "third")

            def equipment() -> Equipment:
                return here.at(X)

            for name in ("s0", "s1"):
                kept.may_wait(THERE, equipment(), SessionId(name))
                here.login(SessionId(name), wait=True)
            assert refusal(lambda: kept.may_wait(THERE, equipment(), third)) == (429, "too_many_waiting")
            kept.may_wait(THERE, equipment(), waiting)  # it has its place
            kept.may_wait(ELSEWHERE, equipment(), third)
            kept.may_wait(HERE, equipment(), third)

    asyncio.run(run())


async def post(app: ASGIApp, path: str, body: object) -> tuple[int, dict[str, object]]:
    """Make a request of an address that is not this machine's, and return status and body."""
    raw = json.dumps(body).encode()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw))]
    scope = {
        "type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "client": (THERE, 5),
    }  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_who_begins_too_many_sessions_in_either_way_or_waits_in_too_many_places_reads_why(tmp_path: Path) -> None:
    """LIMIT-1 LIMIT-2 LIMIT-3 LIMIT-4"""

    async def run() -> None:
        async with lab(tmp_path / "data") as here:
            app = make_app(here.service, SessionIds("key"), users=Users())
            create, acquire = "/api/locks/sessions/create", "/api/locks/acquire"
            heavy = {"client_name": "h", "client_ip": "198.51.100.7", "metadata": {"text": "x" * 100}}
            assert (await post(app, create, {"client_name": "a", "metadata": {"text": "x" * 60}}))[0] == 200
            status, answer = await post(app, create, heavy)
            assert (status, answer["code"]) == (429, "too_many_sessions")
            assert answer["detail"] == (
                "The sessions of this address have 0 MiB of metadata; end some that are not needed, or try again later."
            )
            wait = {"equipment_id": X, "queue_if_busy": True}
            statuses = [(await post(app, acquire, wait | {"session_id": f"own {n}"}))[0] for n in range(3)]
            assert statuses == [200, 200, 200]
            status, answer = await post(app, acquire, wait | {"session_id": "own 3"})
            assert (status, answer["code"]) == (429, "too_many_waiting")
            assert answer["detail"] == (
                "2 clients of this address wait for stage_x already; leave some of these places, or try again later."
            )
            status, answer = await post(app, acquire, wait | {"session_id": "own 4"})
            assert (status, answer["code"]) == (429, "too_many_sessions")
            assert here.service.table.session(SessionId("own 4")) is None

    asyncio.run(run())

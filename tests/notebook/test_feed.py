"""The feed: parsing what is pushed, and resuming."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_lab import PATIENCE_S, Authority, Person, Wire

from jupyter_motorlock.client.feed import LONGEST_MESSAGE, Feed, Message, SseParser
from jupyter_motorlock.client.http import Json
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.client.state_mirror import StateMirror

STREAM = (
    ": a comment\n\n"
    'event: change\nid: 7\ndata: {"a": "ü\u2028"}\n\n'
    "event: ping\ndata: {}\n\n"
    "event: nothing\n\n"
    "id: 8\ndata: last\n\n"
    "data: unfinished\n"
).encode()
MESSAGES = [Message("change", '{"a": "ü\u2028"}'), Message("ping", "{}"), Message("message", "last")]


def test_a_stream_is_read_as_the_authority_writes_it() -> None:
    assert list(SseParser().feed(STREAM)) == MESSAGES


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_it_does_not_matter_where_the_network_cuts_the_stream(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    parser = SseParser()
    heard = [m for start, end in pairwise(edges) for m in parser.feed(STREAM[start:end])]
    assert heard == MESSAGES


def test_a_message_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(ValueError, match="longer than any"):
        list(SseParser().feed(b"data: " + b"x" * LONGEST_MESSAGE))


class Told:
    """What a watcher was told, and a way to wait for it."""

    def __init__(self, session: KernelSession) -> None:
        self.calls: list[tuple[str | None, Json | None, Json | None]] = []
        self.alive: list[bool] = []
        self._more = threading.Condition()
        self._session = session
        self.unsubscribe = session.subscribe(self)

    def __call__(self, equipment_id: str | None, status: Json | None, event: Json | None) -> None:
        with self._more:
            self.calls.append((equipment_id, status, event))
            if equipment_id is None:
                self.alive.append(self._session.link.feed_alive)
            self._more.notify_all()

    def events(self) -> list[str]:
        return [event["event"] for _, _, event in self.calls if event is not None]

    def wait_for_alive(self, *history: bool) -> None:
        with self._more:
            assert self._more.wait_for(lambda: self.alive == list(history), PATIENCE_S), self.alive

    def wait_for_event(self, name: str, times: int = 1) -> None:
        with self._more:
            assert self._more.wait_for(lambda: self.events().count(name) >= times, PATIENCE_S), self.events()


@pytest.fixture
def session(wire: Wire) -> Iterator[KernelSession]:
    made = KernelSession(wire.url, user="ann")
    made.client.quick_s = PATIENCE_S  # a busy machine is no authority that does not answer
    yield made
    made.close()


@pytest.fixture
def bob(authority: Authority) -> Person:
    return authority.person("bob")


def test_a_watcher_hears_what_others_do_before_any_login(session: KernelSession, bob: Person) -> None:
    told = Told(session)
    told.wait_for_alive(True)
    assert session.session_id is None
    bob.acquire()
    told.wait_for_event("lock_acquired")
    assert session.mirror.statuses["stage_x"]["holder"]["user"] == "bob"


def test_a_watcher_that_fails_hurts_nobody_and_what_it_raised_is_kept(session: KernelSession, bob: Person) -> None:
    def fail(equipment_id: str | None, status: Json | None, event: Json | None) -> None:
        raise ZeroDivisionError

    Told(session).wait_for_alive(True)
    session.subscribe(fail)
    told = Told(session)
    bob.acquire()
    told.wait_for_event("lock_acquired")
    assert isinstance(session.mirror.last_callback_error, ZeroDivisionError)


def test_loss_and_return_of_the_feed_are_told_once_each(
    session: KernelSession, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """RUN-49"""
    caplog.set_level("INFO", "jupyter_motorlock")
    told = Told(session)
    told.wait_for_alive(True)
    authority.end(signal.SIGKILL)
    told.wait_for_alive(True, False)
    authority.start()
    told.wait_for_alive(True, False, True)
    where = session.client.url
    assert [
        (record.levelname, record.getMessage()) for record in caplog.records if record.name == "jupyter_motorlock"
    ] == [
        ("INFO", f"news comes from the authority at {where}"),
        ("WARNING", f"no news comes from the authority at {where}; it is tried again"),
        ("INFO", f"news comes from the authority at {where}"),
    ]


def test_a_line_that_is_dead_without_having_been_closed_counts_as_lost(session: KernelSession, wire: Wire) -> None:
    session.client.silence_s = 0.5
    told = Told(session)
    told.wait_for_alive(True)
    wire.cut()
    told.wait_for_alive(True, False)
    wire.mend()
    told.wait_for_alive(True, False, True)


def test_after_a_restart_of_the_authority_the_feed_resumes_and_the_lock_is_still_ours(
    session: KernelSession, authority: Authority, bob: Person
) -> None:
    """NB-20"""
    told = Told(session)
    told.wait_for_alive(True)
    fence = session.acquire("stage_x")["lock"]["fence"]
    told.wait_for_event("lock_acquired")
    authority.end(signal.SIGKILL)
    authority.start()
    bob.acquire(equipment_id="stage_y")
    told.wait_for_event("lock_acquired", times=2)
    assert told.events().count("lock_acquired") == 2
    assert session.mirror.held()["stage_x"]["fence"] == fence
    assert session.command("stage_x", "position", {}) == 0.0


def test_what_happened_while_the_line_was_broken_is_heard_afterwards_once(
    session: KernelSession, authority: Authority, bob: Person, wire: Wire
) -> None:
    told = Told(session)
    told.wait_for_alive(True)
    wire.hang_up()
    bob.acquire()
    bob.release()
    wire.take_calls()
    told.wait_for_event("lock_released")
    bob.acquire(equipment_id="stage_y")
    told.wait_for_event("lock_acquired", times=2)
    assert told.events().count("lock_released") == 1


def test_a_login_in_the_place_of_an_ended_session_makes_a_new_one(session: KernelSession, authority: Authority) -> None:
    told = Told(session)
    told.wait_for_alive(True)  # else what happens first may be in its snapshot
    session.acquire("stage_x")
    first = session.session_id
    assert first is not None
    assert session.client.call("DELETE", "locks", "sessions", first)["success"]
    told.wait_for_event("lock_released")
    assert session.acquire("stage_x")["status"] == "locked"
    assert session.session_id not in (None, first)
    assert authority.status()["session_id"] == session.session_id


def test_a_login_that_hears_first_that_its_session_has_ended_makes_a_new_one(session: KernelSession) -> None:
    go_on = threading.Event()

    def hold_the_feed_up(equipment_id: str | None, status: Json | None, event: Json | None) -> None:
        if event is not None and event["event"] == "lock_released":
            go_on.wait(PATIENCE_S)

    session.subscribe(hold_the_feed_up)
    Told(session).wait_for_alive(True)  # else the release may be in its snapshot
    session.acquire("stage_x")
    first = session.session_id
    assert first is not None
    session.client.call("DELETE", "locks", "sessions", first)
    try:
        assert session.acquire("stage_x")["status"] == "locked"
    finally:
        go_on.set()
    assert session.session_id != first


class OneStream:
    """An answer with all that it ever has."""

    def __init__(self, content: bytes) -> None:
        self.raw = self
        self._content = content

    def __enter__(self) -> OneStream:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def fileno(self) -> int:
        return -1

    def iter_content(self, chunk_size: int | None) -> Iterator[bytes]:
        yield self._content


class OneStreamAfterAnother:
    """A client that is sent one stream after another, and what it asks for each of them."""

    def __init__(self, *streams: bytes) -> None:
        self.url = "http://authority"
        self.asked: list[Json] = []
        self.over = threading.Event()
        self._streams = iter(streams)

    def rights(self) -> dict[str, list[str]]:
        return {}

    def open_stream(self, params: Json) -> OneStream:
        self.asked.append(params)
        stream = next(self._streams, None)
        if stream is None:
            self.over.set()
            raise OSError("nothing follows")
        return OneStream(stream)


def pushed(event: str, seq: int | None) -> bytes:
    return f"event: {event}\ndata: {json.dumps({} if seq is None else {'seq': seq})}\n\n".encode()


@pytest.mark.parametrize(
    ("heard", "after"),
    [
        ([("snapshot", 5)], "5"),
        ([("snapshot", 5), ("change", 6), ("change", 7)], "7"),
        ([("snapshot", 5), ("change", 6), ("progress", None), ("ping", None)], "6"),
        ([("change", 3), ("change", 4)], "4"),
        ([], None),
    ],
    ids=["a snapshot", "changes", "signs of life", "a replay that broke off", "nothing"],
)
def test_the_feed_resumes_from_the_newest_number_that_it_heard_whatever_said_it(
    heard: list[tuple[str, int | None]], after: str | None
) -> None:
    """PUSH-3"""
    client = OneStreamAfterAnother(b"".join(pushed(event, seq) for event, seq in heard))
    feed = Feed(client, StateMirror(), on_message=lambda *_: None, on_ended=lambda *_: None)  # type: ignore[arg-type]
    feed.start()
    assert client.over.wait(PATIENCE_S)
    feed.close()
    assert client.asked[:2] == [{"role": "watch"}, {"role": "watch"} | ({} if after is None else {"after": after})]

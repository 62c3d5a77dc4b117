"""Push over REST: snapshot, changes, resuming, signs of life, slow clients, and the two connections of a session."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from rest_lab import PATIENCE_S, Authority, Person, ok, refused, until
from sse import Message, Stream

People = Callable[..., Person]

MOTORS = 40


def is_snapshot(message: Message) -> bool:
    return message.event == "snapshot"


def is_ping(message: Message) -> bool:
    return message.event == "ping"


def changes(messages: list[Message]) -> list[int]:
    return [m.data["seq"] for m in messages if m.event == "change"]


def test_a_stream_begins_with_one_snapshot_of_all_equipment(lab: Authority) -> None:
    """PUSH-1"""
    with Stream(lab) as stream:
        first = stream.next()
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
    assert first.event == "snapshot"
    assert first.data.keys() >= {"seq", "instance", "now", "equipment"}
    assert first.id == first.data["seq"]
    assert set(first.data["equipment"]) == set(lab.equipment())
    assert first.data["instance"] == ok(lab.send("GET", "/health"))["instance"]
    shown = lab.status("stage_x")
    assert first.data["equipment"]["stage_x"].keys() == shown.keys()


def test_a_stream_asks_what_comes_between_to_pass_it_on_at_once_and_as_it_is(lab: Authority) -> None:
    """PUSH-18"""
    with Stream(lab) as stream:
        headers = stream.answer.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-cache, no-store, no-transform"
        assert headers["x-accel-buffering"] == "no"


def test_each_change_carries_its_event_and_the_status_that_results_from_it(
    lab: Authority, ann: Person, motor: str
) -> None:
    """PUSH-1 PUSH-2 PUSH-8"""
    with Stream(lab) as stream:
        stream.to(is_snapshot)
        lock = ann.has(motor, note="scan")
        change = stream.change("lock_acquired", equipment_id=motor)
        ok(ann.release(motor))
        released = stream.change("lock_released", equipment_id=motor)
    assert change.id == change.data["seq"] == change.data["event"]["seq"]
    assert change.data["status"]["lock_id"] == lock["lock_id"]
    assert change.data["status"]["holder"]["note"] == "scan"
    assert released.data["status"]["locked"] is False
    stored = {e["seq"]: e for e in lab.events(motor)}
    assert stored[change.data["seq"]] == change.data["event"]


def test_changes_come_in_the_order_of_their_sequence_numbers(lab: Authority, ann: Person, motor: str) -> None:
    """PUSH-1 STORE-6"""
    with Stream(lab) as stream:
        seen = stream.to(is_snapshot)
        for _ in range(10):
            ann.has(motor)
            ok(ann.release(motor))
        last = lab.events(motor)[-1]["seq"]
        seen += stream.to(lambda m: m.event == "change" and m.data["seq"] == last)
    numbers = changes(seen)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("way", ["query", "header"])
def test_a_client_that_comes_back_gets_every_event_it_missed_once_and_then_goes_on_live(
    lab: Authority, ann: Person, motor: str, way: str
) -> None:
    """PUSH-3"""
    with Stream(lab) as stream:
        before = stream.to(is_snapshot)[-1].data["seq"]
        ann.has(motor)
        seen = stream.change("lock_acquired", equipment_id=motor).data["seq"]
    ok(ann.release(motor))
    ann.has(motor)
    query = f"role=watch&after={seen}" if way == "query" else "role=watch"
    headers = {} if way == "query" else {"Last-Event-ID": str(seen)}
    with Stream(lab, query, **headers) as stream:
        missed = stream.to(is_snapshot)
        ok(ann.release(motor))
        live = stream.to(lambda m: m.event == "change" and m.data["event"]["event"] == "lock_released")
    numbers = changes(missed) + changes(live)
    assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
    assert all(m.data["status"] is None for m in missed if m.event == "change")
    assert [m.data["event"]["event"] for m in missed if m.event == "change"] == ["lock_released", "lock_acquired"]
    assert missed[-1].data["seq"] == numbers[1]
    assert before < seen


def test_who_is_not_reached_by_a_stream_asks_once_and_gets_what_was_missed_and_a_snapshot(
    lab: Authority, ann: Person, motor: str
) -> None:
    """PUSH-20"""
    with Stream(lab, "once=true") as stream:
        (snapshot,) = stream.rest()
    assert snapshot.event == "snapshot"
    ann.has(motor)
    seen = snapshot.data["seq"]
    with Stream(lab, f"once=true&after={seen}") as stream:
        missed = stream.rest()
    assert [message.event for message in missed] == ["change", "snapshot"]
    assert (missed[0].id, missed[1].data["seq"]) == (seen + 1, seen + 1)
    assert missed[1].data["equipment"][motor]["locked"] is True
    refused(lab.get(f"/events?once=true&role=feed&session_id={ann.session_id}"), 422, "invalid")
    refused(lab.get("/events?once=perhaps"), 422, "invalid")


def test_a_client_that_missed_nothing_gets_the_snapshot_only(lab: Authority) -> None:
    """PUSH-3"""
    with Stream(lab) as stream:
        seen = stream.to(is_snapshot)[-1].data["seq"]
    with Stream(lab, f"after={seen}") as stream:
        assert [m.event for m in stream.to(is_snapshot)] == ["snapshot"]


def test_a_client_that_missed_one_event_gets_that_one(lab: Authority, ann: Person, motor: str) -> None:
    """PUSH-3"""
    with Stream(lab) as stream:
        seen = stream.to(is_snapshot)[-1].data["seq"]
    ann.has(motor)
    with Stream(lab, f"after={seen}") as stream:
        assert changes(stream.to(is_snapshot)) == [seen + 1]


@pytest.mark.parametrize("after", ["999999999", "-7", "1" + "0" * 30])
def test_after_a_number_that_never_was_gives_a_snapshot(lab: Authority, after: str) -> None:
    """PUSH-9"""
    with Stream(lab, f"after={after}") as stream:
        assert stream.next().event == "snapshot"


@pytest.mark.parametrize("query", ["after=soon", "after=1.5", "after=", "after=" + "9" * 5000, "role=king"])
def test_an_odd_question_for_events_is_refused(lab: Authority, query: str) -> None:
    """PUSH-3 REST-17"""
    refused(lab.get(f"/events?{query}"), 422, "invalid")


@pytest.mark.parametrize("number", ["soon", "", "9" * 5000, "-1"])
def test_an_odd_last_event_id_gives_a_snapshot(lab: Authority, number: str) -> None:
    """PUSH-9 REST-17"""
    with Stream(lab, "role=watch", **{"Last-Event-ID": number}) as stream:
        assert stream.next().event == "snapshot"


def make_events(lab: Authority, people: list[Person], motors: list[str], each: int) -> None:
    """Make `each` events on each motor, at once."""

    def use(who: Person, motor: str) -> None:
        with requests.Session() as http:
            http.trust_env = False
            asked = {"equipment_id": motor, "session_id": who.session_id, "note": "n" * 500}
            for _ in range(each):
                ok(http.post(f"{lab.url}/api/locks/acquire", json=asked, timeout=PATIENCE_S))

    with ThreadPoolExecutor(len(motors)) as pool:
        list(pool.map(use, people, motors))


def test_more_events_than_one_reading_of_the_store_are_replayed_without_a_gap(
    lab: Authority, person: People, numbers: Iterator[int]
) -> None:
    """PUSH-3"""
    motors = [f"motor_{next(numbers)}" for _ in range(8)]
    people = [person(motor) for motor in motors]
    with Stream(lab) as stream:
        seen = stream.to(is_snapshot)[-1].data["seq"]
    make_events(lab, people, motors, 130)
    with Stream(lab, f"after={seen}") as stream:
        missed = changes(stream.to(is_snapshot))
    assert missed == list(range(seen + 1, seen + 1 + 8 * 130))


def test_a_quiet_stream_gets_a_ping(lab: Authority) -> None:
    """PUSH-4"""
    with Stream(lab) as stream:
        message = stream.to(is_ping)[-1]
    assert message.data.keys() == {"now"}
    assert message.id is None


def test_progress_is_pushed_while_something_moves_and_has_no_number(lab: Authority, ann: Person, motor: str) -> None:
    """PUSH-5"""
    ann.has(motor)
    with Stream(lab) as stream:
        stream.to(is_snapshot)
        ann.begins("move_to", motor, position=5)
        seen = stream.to(lambda m: m.event == "change" and m.data["event"]["event"] == "command_finished")
    progress = [m for m in seen if m.event == "progress" and m.data["equipment_id"] == motor]
    positions = [m.data["readback"]["position"] for m in progress]
    assert len(set(positions)) > 3
    assert positions == sorted(positions)
    assert all(m.id is None for m in progress)
    assert any(m.data["readback"]["moving"] for m in progress)


def test_a_status_is_pushed_when_a_kernel_becomes_idle_because_that_begins_the_countdown(
    lab: Authority, person: People, motor: str
) -> None:
    """PUSH-11"""
    ann = person("Ann", keeper=True)
    ann.beats(busy=True)
    ann.has(motor)
    with Stream(lab) as stream:
        assert stream.to(is_snapshot)[-1].data["equipment"][motor]["ending"] is None
        ann.beats(busy=False)
        message = stream.to(lambda m: m.event == "status")[-1]
        ann.beats(busy=False)
        ok(ann.release(motor))
        assert all(m.event != "status" for m in stream.to(lambda m: m.event == "change"))
    assert (message.id, message.data["equipment_id"]) == (None, motor)
    assert message.data["ending"]["what"] == "offer"
    assert message.data["holder"]["busy"] is False


@pytest.mark.slow
def test_a_client_that_does_not_read_is_closed_and_resumes_without_a_gap_while_others_are_served(
    lab: Authority, person: People, ann: Person, motor: str
) -> None:
    """PUSH-6 PUSH-3"""
    host, _, port = lab.url.removeprefix("http://").partition(":")
    ann.has(motor)
    for n in range(20):
        # Every change shows the whole queue: what is pushed is more than any buffer of a socket holds.
        ok(person(f"waiter {n}").acquire(motor, queue_if_busy=True, note="n" * 500))
    start = lab.events(motor)[-1]["seq"]
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(PATIENCE_S)
    line.connect((host, int(port)))
    with line:
        line.sendall(f"GET /api/events?after={start} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        line.recv(1)
        make_events(lab, [ann] * 8, [motor] * 8, 160)
        with Stream(lab) as other:
            assert other.next().data["seq"] == start + 1280
        raw = b""
        while not raw.endswith(b"\r\n0\r\n\r\n"):
            raw += line.recv(65536)
    seen = [int(x[4:]) for x in raw.split(b"\n") if x.startswith(b"id: ")]
    assert seen[0] == start
    assert 0 < len(seen) < 1280
    with Stream(lab, f"after={seen[-1]}") as stream:
        missed = changes(stream.to(is_snapshot))
    assert missed == list(range(seen[-1] + 1, start + 1281))


# -- the two connections of a session


def test_feed_and_keeper_need_a_session(lab: Authority) -> None:
    """PUSH-7"""
    for role in ("feed", "keeper"):
        refused(lab.get(f"/events?role={role}"), 404, "unknown_session")
        refused(lab.get(f"/events?role={role}&session_id=nobody"), 404, "unknown_session")


def test_the_keepers_stream_gets_signs_of_life_only(lab: Authority, person: People, motor: str) -> None:
    """PUSH-7"""
    ann = person("ann", keeper=True, secret=True)
    with Stream(lab, f"role=keeper&session_id={ann.session_id}", **ann.headers) as keeper:
        first = keeper.next()
        ann.has(motor)
        second = keeper.next()
    assert (first.event, second.event) == ("ping", "ping")


def test_both_connections_closed_for_five_seconds_end_the_session_and_its_lock(
    lab: Authority, person: People, bob: Person, motor: str
) -> None:
    """LIVE-3"""
    ann = person("ann", keeper=True)
    with Stream(lab) as watch:
        watch.to(is_snapshot)
        feed = Stream(lab, f"role=feed&session_id={ann.session_id}")
        keeper = Stream(lab, f"role=keeper&session_id={ann.session_id}")
        feed.next()
        keeper.next()
        ann.has(motor)
        ok(bob.acquire(motor, queue_if_busy=True))
        for stream in (feed, keeper):
            stream.__exit__()
        over = watch.change("session_expired", session_id=ann.session_id)
        granted = watch.change("lock_acquired", equipment_id=motor) if lab.status(motor)["fence"] > 2 else None
    assert over.data["event"]["why"] == "connections_lost"
    assert over.data["event"]["duration_seconds"] > 5
    assert granted is None
    assert lab.status(motor)["session_id"] == bob.session_id


@pytest.mark.slow
def test_one_connection_alone_or_a_short_loss_of_both_proves_nothing(
    lab: Authority, person: People, motor: str
) -> None:
    """LIVE-4 LIVE-3"""
    ann = person("ann", keeper=True)
    ann.has(motor)
    feed_of = f"role=feed&session_id={ann.session_id}"
    feed = Stream(lab, feed_of)
    keeper = Stream(lab, f"role=keeper&session_id={ann.session_id}")
    feed.next()
    keeper.next()
    keeper.__exit__()
    feed.__exit__()
    with Stream(lab, feed_of) as back:
        back.to(is_snapshot)
        back.to(is_ping)
        back.to(is_ping)
        assert lab.status(motor)["session_id"] == ann.session_id


@pytest.mark.slow
def test_a_session_whose_connections_were_never_open_is_not_lost(lab: Authority, person: People, motor: str) -> None:
    """LIVE-4"""
    ann = person("ann", keeper=True)
    ann.has(motor)
    with Stream(lab) as stream:
        stream.to(is_ping)
        stream.to(is_ping)
    assert lab.status(motor)["session_id"] == ann.session_id


def test_an_open_feed_keeps_a_session_without_a_keeper_alive(lab: Authority, person: People, motor: str) -> None:
    """LIVE-16"""
    ann = person("ann", timeout_seconds=1)
    ann.has(motor)
    with Stream(lab, f"role=feed&session_id={ann.session_id}") as feed:
        feed.to(is_ping)
        assert lab.status(motor)["session_id"] == ann.session_id
    until(lambda: not lab.status(motor)["locked"], "the session expires once its feed is closed")

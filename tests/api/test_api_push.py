"""What is pushed, the same by server-sent events and by WebSocket; what only one of them has is in its own file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests
from push_clients import EventStream, PushClient, WebSocketStream, changes, is_change, is_ping, is_snapshot
from rest_lab import PATIENCE_S, Authority, Person, ok, until

People = Callable[..., Person]

MOTORS = 50
WAYS = [EventStream, WebSocketStream]
NAMES = ["events", "websocket"]


@pytest.fixture(params=WAYS, ids=NAMES)
def subscribe(request: pytest.FixtureRequest) -> type[PushClient]:
    """Each way to subscribe."""
    way: type[PushClient] = request.param
    return way


def test_a_stream_begins_with_one_snapshot_of_all_equipment(lab: Authority, subscribe: type[PushClient]) -> None:
    """PUSH-1 PUSH-10"""
    with subscribe(lab) as stream:
        first = stream.next()
    assert first.event == "snapshot"
    assert first.data.keys() >= {"seq", "instance", "now", "equipment"}
    assert set(first.data["equipment"]) == set(lab.equipment())
    assert first.data["instance"] == ok(lab.send("GET", "/health"))["instance"]
    shown = lab.status("stage_x")
    assert first.data["equipment"]["stage_x"].keys() == shown.keys()


def test_both_ways_push_the_same_messages_in_the_same_order(lab: Authority, ann: Person, motor: str) -> None:
    """PUSH-10 PUSH-1 PUSH-2 PUSH-5"""
    received: list[list[tuple[str, object]]] = []
    with ExitStack() as both:
        streams = [both.enter_context(subscribe(lab)) for subscribe in WAYS]
        first, other = [stream.snapshot() for stream in streams]
        assert first.data["seq"] == other.data["seq"]
        ann.has(motor, note="scän")
        ok(ann.command("move_to", motor, position=1))
        ok(ann.release(motor))
        for stream in streams:
            messages = stream.to(lambda m: is_change(m) and m.data["event"]["event"] == "lock_released")
            # A ping comes to each in its own quiet.
            received.append([(m.event, m.data) for m in messages if not is_ping(m)])
    assert received[0] == received[1]
    assert {event for event, _ in received[0]} == {"change", "progress"}
    assert "scän" in str(received[0][0])


def test_each_change_carries_its_event_and_the_status_that_results_from_it(
    lab: Authority, ann: Person, motor: str, subscribe: type[PushClient]
) -> None:
    """PUSH-1 PUSH-2 PUSH-8"""
    with subscribe(lab) as stream:
        stream.snapshot()
        lock = ann.has(motor, note="scan")
        change = stream.change("lock_acquired", equipment_id=motor)
        ok(ann.release(motor))
        released = stream.change("lock_released", equipment_id=motor)
    assert change.data["seq"] == change.data["event"]["seq"]
    assert change.data["status"]["lock_id"] == lock["lock_id"]
    assert change.data["status"]["holder"]["note"] == "scan"
    assert released.data["status"]["locked"] is False
    stored = {event["seq"]: event for event in lab.events(motor)}
    assert stored[change.data["seq"]] == change.data["event"]


def test_changes_come_in_the_order_of_their_sequence_numbers(
    lab: Authority, ann: Person, motor: str, subscribe: type[PushClient]
) -> None:
    """PUSH-1 STORE-6"""
    with subscribe(lab) as stream:
        seen = stream.to(is_snapshot)
        for _ in range(10):
            ann.has(motor)
            ok(ann.release(motor))
        last = lab.events(motor)[-1]["seq"]
        seen += stream.to(lambda m: is_change(m) and m.data["seq"] == last)
    numbers = changes(seen)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("before", WAYS, ids=NAMES)
def test_a_client_that_comes_back_gets_every_event_it_missed_once_and_then_goes_on_live(
    lab: Authority, ann: Person, motor: str, subscribe: type[PushClient], before: type[PushClient]
) -> None:
    """PUSH-3 PUSH-10"""
    with before(lab) as stream:
        stream.snapshot()
        ann.has(motor)
        seen = stream.change("lock_acquired", equipment_id=motor).data["seq"]
    ok(ann.release(motor))
    ann.has(motor)
    with subscribe(lab, f"role=watch&after={seen}") as stream:
        missed = stream.to(is_snapshot)
        ok(ann.release(motor))
        live = stream.to(lambda m: is_change(m) and m.data["event"]["event"] == "lock_released")
    numbers = changes(missed) + changes(live)
    assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
    assert all(m.data["status"] is None for m in missed if is_change(m))
    assert [m.data["event"]["event"] for m in missed if is_change(m)] == ["lock_released", "lock_acquired"]
    assert missed[-1].data["seq"] == numbers[1]


def test_a_client_that_missed_nothing_gets_the_snapshot_only(lab: Authority, subscribe: type[PushClient]) -> None:
    """PUSH-3"""
    with subscribe(lab) as stream:
        seen = stream.snapshot().data["seq"]
    with subscribe(lab, f"after={seen}") as stream:
        assert [m.event for m in stream.to(is_snapshot)] == ["snapshot"]


def test_a_client_that_missed_one_event_gets_that_one(
    lab: Authority, ann: Person, motor: str, subscribe: type[PushClient]
) -> None:
    """PUSH-3"""
    with subscribe(lab) as stream:
        seen = stream.snapshot().data["seq"]
    ann.has(motor)
    with subscribe(lab, f"after={seen}") as stream:
        assert changes(stream.to(is_snapshot)) == [seen + 1]


@pytest.mark.parametrize("after", ["999999999", "-7", "1" + "0" * 30])
def test_after_a_number_that_never_was_gives_a_snapshot(
    lab: Authority, subscribe: type[PushClient], after: str
) -> None:
    """PUSH-9"""
    with subscribe(lab, f"after={after}") as stream:
        assert stream.next().event == "snapshot"


@pytest.mark.parametrize("query", ["after=soon", "after=1.5", "after=", "after=" + "9" * 5000, "role=king"])
def test_an_odd_subscription_is_refused(lab: Authority, subscribe: type[PushClient], query: str) -> None:
    """PUSH-3 PUSH-12 REST-17"""
    subscribe.assert_refused(lab, 422, "invalid", query)


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
    with EventStream(lab) as stream:
        seen = stream.snapshot().data["seq"]
    make_events(lab, people, motors, 130)
    for subscribe in WAYS:
        with subscribe(lab, f"after={seen}") as stream:
            assert changes(stream.to(is_snapshot)) == list(range(seen + 1, seen + 1 + 8 * 130))


def test_a_quiet_stream_gets_a_ping(lab: Authority) -> None:
    """PUSH-4 PUSH-10"""
    with ExitStack() as both:
        for stream in [both.enter_context(subscribe(lab)) for subscribe in WAYS]:
            message = stream.to(is_ping)[-1]
            assert message.data.keys() == {"now"}
            assert message.id is None


def test_progress_is_pushed_while_something_moves_and_has_no_number(
    lab: Authority, ann: Person, motor: str, subscribe: type[PushClient]
) -> None:
    """PUSH-5"""
    ann.has(motor)
    with subscribe(lab) as stream:
        stream.snapshot()
        ann.begins("move_to", motor, position=5)
        seen = stream.to(lambda m: is_change(m) and m.data["event"]["event"] == "command_finished")
    progress = [m for m in seen if m.event == "progress" and m.data["equipment_id"] == motor]
    positions = [m.data["readback"]["position"] for m in progress]
    assert len(set(positions)) > 3
    assert positions == sorted(positions)
    assert all(m.id is None for m in progress)
    assert any(m.data["readback"]["moving"] for m in progress)


def test_a_status_is_pushed_when_a_kernel_becomes_idle_because_that_begins_the_countdown(
    lab: Authority, person: People, motor: str, subscribe: type[PushClient]
) -> None:
    """PUSH-11"""
    ann = person("Ann", keeper=True)
    ann.beats(busy=True)
    ann.has(motor)
    with subscribe(lab) as stream:
        assert stream.snapshot().data["equipment"][motor]["ending"] is None
        ann.beats(busy=False)
        message = stream.to(lambda m: m.event == "status")[-1]
        ann.beats(busy=False)
        ok(ann.release(motor))
        assert all(m.event != "status" for m in stream.to(is_change))
    assert (message.id, message.data["equipment_id"]) == (None, motor)
    assert message.data["ending"]["what"] == "offer"
    assert message.data["holder"]["busy"] is False


@pytest.mark.slow
def test_a_client_that_does_not_read_is_closed_and_resumes_without_a_gap_while_others_are_served(
    lab: Authority, person: People, ann: Person, motor: str, subscribe: type[PushClient]
) -> None:
    """PUSH-6 PUSH-3 PUSH-10 RUN-48"""
    ann.has(motor)
    for number in range(20):
        # Every change shows the whole queue: what is pushed is more than any buffer of a socket holds.
        ok(person(f"waiter {number}").acquire(motor, queue_if_busy=True, note="n" * 500))
    start = lab.events(motor)[-1]["seq"]
    logged = lab.log
    read_to_the_end = subscribe.not_reading(lab, f"after={start}")
    make_events(lab, [ann] * 8, [motor] * 8, 160)
    with subscribe(lab) as other:
        assert other.next().data["seq"] == start + 1280
    seen = read_to_the_end()
    assert seen == list(range(start, start + len(seen)))
    assert 0 < len(seen) < 1280
    line_of_log = "motorlock INFO a watch stream of 127.0.0.1 is cut off, for it does not read what it is sent"
    assert [line for line in lab.log.removeprefix(logged).splitlines() if line.endswith(line_of_log)] != []
    with subscribe(lab, f"after={seen[-1]}") as stream:
        missed = changes(stream.to(is_snapshot))
    assert missed == list(range(seen[-1] + 1, start + 1281))


# -- the two connections of a session


@pytest.mark.parametrize("role", ["feed", "keeper"])
def test_feed_and_keeper_need_a_session_and_its_token(
    lab: Authority, person: People, subscribe: type[PushClient], role: str
) -> None:
    """PUSH-7 PUSH-12 WHO-7"""
    ann = person("ann", keeper=True, secret=True)
    subscribe.assert_refused(lab, 404, "unknown_session", f"role={role}")
    subscribe.assert_refused(lab, 404, "unknown_session", f"role={role}&session_id=nobody")
    query = f"role={role}&session_id={ann.session_id}"
    subscribe.assert_refused(lab, 401, "bad_session_token", query)
    with subscribe(lab, query, **ann.headers) as stream:
        assert stream.next().event == {"feed": "snapshot", "keeper": "ping"}[role]


def test_the_keepers_stream_gets_signs_of_life_only(lab: Authority, person: People, motor: str) -> None:
    """PUSH-7 PUSH-10"""
    ann = person("ann", keeper=True)
    with ExitStack() as both:
        keepers = [both.enter_context(way(lab, f"role=keeper&session_id={ann.session_id}")) for way in WAYS]
        assert [keeper.next().event for keeper in keepers] == ["ping", "ping"]
        ann.has(motor)
        assert [keeper.next().event for keeper in keepers] == ["ping", "ping"]


def test_both_connections_closed_for_five_seconds_end_the_session_and_its_lock(
    lab: Authority, person: People, bob: Person, numbers: Iterator[int]
) -> None:
    """LIVE-3 PUSH-7 PUSH-10"""
    motors = [f"motor_{next(numbers)}" for _ in WAYS]
    people = [person("ann", keeper=True) for _ in WAYS]
    with EventStream(lab) as watch:
        watch.snapshot()
        with ExitStack() as connections:
            for ann, motor, feed_way, keeper_way in zip(people, motors, WAYS, reversed(WAYS), strict=True):
                for role, way in (("feed", feed_way), ("keeper", keeper_way)):
                    connections.enter_context(way(lab, f"role={role}&session_id={ann.session_id}")).next()
                ann.has(motor)
                ok(bob.acquire(motor, queue_if_busy=True))
        ended = [watch.change("session_expired"), watch.change("session_expired")]
    assert {change.data["event"]["session_id"] for change in ended} == {ann.session_id for ann in people}
    assert {change.data["event"]["why"] for change in ended} == {"connections_lost"}
    assert all(change.data["event"]["duration_seconds"] > 5 for change in ended)
    assert {lab.status(motor)["session_id"] for motor in motors} == {bob.session_id}


@pytest.mark.slow
def test_one_connection_alone_or_a_short_loss_of_both_proves_nothing(
    lab: Authority, person: People, motor: str, subscribe: type[PushClient]
) -> None:
    """LIVE-4 LIVE-3"""
    ann = person("ann", keeper=True)
    ann.has(motor)
    feed_of_ann = f"role=feed&session_id={ann.session_id}"
    with subscribe(lab, feed_of_ann) as feed, subscribe(lab, f"role=keeper&session_id={ann.session_id}") as keeper:
        feed.next()
        keeper.next()
    with subscribe(lab, feed_of_ann) as back:
        back.snapshot()
        back.to(is_ping)
        back.to(is_ping)
        assert lab.status(motor)["session_id"] == ann.session_id


@pytest.mark.slow
def test_a_session_whose_connections_were_never_open_is_not_lost(lab: Authority, person: People, motor: str) -> None:
    """LIVE-4"""
    ann = person("ann", keeper=True)
    ann.has(motor)
    with EventStream(lab) as stream:
        stream.to(is_ping)
        stream.to(is_ping)
    assert lab.status(motor)["session_id"] == ann.session_id


def test_an_open_feed_keeps_a_session_without_a_keeper_alive(
    lab: Authority, person: People, numbers: Iterator[int]
) -> None:
    """LIVE-16 PUSH-10"""
    motors = [f"motor_{next(numbers)}" for _ in WAYS]
    with ExitStack() as feeds:
        for motor, way in zip(motors, WAYS, strict=True):
            ann = person("ann", timeout_seconds=1)
            ann.has(motor)
            feed = feeds.enter_context(way(lab, f"role=feed&session_id={ann.session_id}"))
        feed.to(is_ping)
        assert all(lab.status(motor)["locked"] for motor in motors)
    until(lambda: not any(lab.status(motor)["locked"] for motor in motors), "they expire once their feeds are closed")

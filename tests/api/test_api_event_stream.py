"""What only server-sent events have: headers, ids, `Last-Event-ID`, and a stream that ends after its snapshot."""

from __future__ import annotations

import pytest
from push_clients import EventStream, changes, is_change, is_snapshot
from rest_lab import Authority, Person, ok, refused

MOTORS = 10


def test_a_stream_asks_what_comes_between_to_pass_it_on_at_once_and_as_it_is(lab: Authority) -> None:
    """PUSH-18"""
    with EventStream(lab) as stream:
        headers = stream.answer.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-cache, no-store, no-transform"
        assert headers["x-accel-buffering"] == "no"


def test_the_id_of_a_snapshot_and_of_a_change_is_its_sequence_number(lab: Authority, ann: Person, motor: str) -> None:
    """PUSH-3"""
    with EventStream(lab) as stream:
        snapshot = stream.next()
        ann.has(motor)
        change = stream.change("lock_acquired", equipment_id=motor)
    assert snapshot.id == snapshot.data["seq"]
    assert change.id == change.data["seq"]


def test_a_client_that_comes_back_with_last_event_id_gets_what_it_missed(
    lab: Authority, ann: Person, motor: str
) -> None:
    """PUSH-3"""
    with EventStream(lab) as stream:
        seen = stream.snapshot().id
    ann.has(motor)
    ok(ann.release(motor))
    assert seen is not None
    with EventStream(lab, "role=watch", **{"Last-Event-ID": str(seen)}) as stream:
        missed = stream.to(is_snapshot)
        ann.has(motor)
        live = stream.to(is_change)
    assert changes(missed + live) == [seen + 1, seen + 2, seen + 3]


@pytest.mark.parametrize("number", ["soon", "", "9" * 5000, "-1"])
def test_an_odd_last_event_id_gives_a_snapshot(lab: Authority, number: str) -> None:
    """PUSH-9 REST-17"""
    with EventStream(lab, "role=watch", **{"Last-Event-ID": number}) as stream:
        assert stream.next().event == "snapshot"


def test_who_is_not_reached_by_a_stream_asks_once_and_gets_what_was_missed_and_a_snapshot(
    lab: Authority, ann: Person, motor: str
) -> None:
    """PUSH-20"""
    with EventStream(lab, "once=true") as stream:
        (snapshot,) = stream.rest()
    assert snapshot.event == "snapshot"
    ann.has(motor)
    seen = snapshot.data["seq"]
    with EventStream(lab, f"once=true&after={seen}") as stream:
        missed = stream.rest()
    assert [message.event for message in missed] == ["change", "snapshot"]
    assert (missed[0].id, missed[1].data["seq"]) == (seen + 1, seen + 1)
    assert missed[1].data["equipment"][motor]["locked"] is True
    refused(lab.get(f"/events?once=true&role=feed&session_id={ann.session_id}"), 422, "invalid")
    refused(lab.get("/events?once=perhaps"), 422, "invalid")

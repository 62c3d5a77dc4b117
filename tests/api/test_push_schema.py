"""The schema of what is pushed: the committed one is that of the code, and both ways of pushing tell what it says.

`python tests/api/test_push_schema.py` writes docs/reference/push-schema.json anew.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
from msgspec import UNSET, Struct, UnsetType
from push_clients import EventStream, WebSocketStream, is_ping, is_snapshot
from rest_lab import Authority, Person, ok

from authority.api.push import Snapshot
from authority.wire import Ping, Progress, StatusView

People = Callable[..., Person]

MOTORS = 8


class EventView(Struct):
    """A stored event; each has further fields of its own, and there may be events that a client does not know.

    `text` is what happened, in plain words; an event that an older version stored has none.
    """

    seq: int
    event: str
    timestamp: str
    equipment_id: str | None
    session_id: str | None
    user: str | None
    text: str | UnsetType = UNSET


class Change(Struct):
    """What happened, and the equipment as it stands after it; null where replayed, or of no equipment."""

    seq: int
    event: EventView
    status: StatusView | None


MESSAGE_TYPES = {"snapshot": Snapshot, "change": Change, "status": StatusView, "progress": Progress, "ping": Ping}
COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "push-schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON schema of a message, made from the types that write and show it."""
    of_data, types = msgspec.json.schema_components(
        MESSAGE_TYPES.values(),
        schema_hook=lambda kind: {"description": "any JSON value"},
        ref_template="#/$defs/{name}",
    )
    for one in types.values():
        if "description" in one:  # a docstring, which Python indents up to 3.12
            one["description"] = inspect.cleandoc(one["description"])
    messages = [
        {"type": "object", "properties": {"event": {"const": name}, "data": data}, "required": ["event", "data"]}
        for name, data in zip(MESSAGE_TYPES, of_data, strict=True)
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What the motorlock authority pushes",
        "description": "A message of the WebSocket; a server-sent event has the same two parts. Fields may be added.",
        "oneOf": messages,
        "$defs": types,
    }


def rendered() -> str:
    """Return the schema as it is committed."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


def exact() -> jsonschema.Draft202012Validator:
    """Return the committed schema with nothing allowed that it does not name, but the further fields of an event."""
    found = copy.deepcopy(json.loads(COMMITTED.read_text(encoding="utf-8")))
    for name, one in found["$defs"].items():
        if name != EventView.__name__:
            one["additionalProperties"] = False
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def test_the_committed_schema_of_what_is_pushed_is_that_of_the_code() -> None:
    """PUSH-14"""
    assert COMMITTED.read_text(encoding="utf-8") == rendered(), "run: python tests/api/test_push_schema.py"


def test_whatever_is_pushed_fits_the_schema(lab: Authority, person: People, motor: str) -> None:
    """PUSH-14 PUSH-10"""
    people = person("Ann", keeper=True), person("Bob"), person("Cem")
    with EventStream(lab) as stream, WebSocketStream(lab) as websocket:
        live_through_much(*people, motor)
        seen = stream.to(is_ping) + websocket.to(is_ping)
    with EventStream(lab, "after=0") as stream, WebSocketStream(lab, "after=0") as websocket:
        seen += stream.to(is_snapshot) + websocket.to(is_snapshot)
    fits = exact()
    for message in seen:
        fits.validate({"event": message.event, "data": message.data})
    assert {m.event for m in seen} == set(MESSAGE_TYPES)
    shown = [m.data["status"] for m in seen if m.event == "change" and m.data["status"] is not None]
    for part in ("holder", "ending", "running", "stopped_by", "last_lost", "queue", "observers"):
        assert any(status[part] for status in shown), f"no status with {part} was checked"


def live_through_much(ann: Person, bob: Person, cem: Person, motor: str) -> None:
    """Make every part of a status be shown."""
    ok(cem.acquire(motor, lock_mode="observer"))
    ann.beats(busy=True)
    ann.has(motor, note="scan")
    ok(bob.acquire(motor, queue_if_busy=True, note="next"))
    ann.begins("move_to", motor, position=50)
    ok(bob.stop(motor, reason="a cable"))
    ann.beats(busy=False)
    ok(ann.release(motor))
    ok(bob.post(f"/locks/claim/{motor}"))
    ok(bob.command("move_to", motor, position=1))
    ok(bob.release(motor))
    ok(cem.acquire(motor, lock_mode="observer"))


def test_a_message_of_another_form_does_not_fit(lab: Authority) -> None:
    """PUSH-14"""
    with EventStream(lab) as stream:
        first = stream.next()
    fits = exact()
    for event, data in (("change", first.data), ("snapshot", {**first.data, "seq": "1"}), ("hello", {}), ("ping", {})):
        assert not fits.is_valid({"event": event, "data": data})


if __name__ == "__main__":
    COMMITTED.write_text(rendered(), encoding="utf-8")

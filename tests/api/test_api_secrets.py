"""Who speaks: session tokens, the lab's token, and that no secret is ever shown."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from push_clients import EventStream
from rest_lab import Authority, Person, ok, refused, running

from authority.api.session_ids import SessionIds

People = Callable[..., Person]

MOTORS = 36
Ask = Callable[[Authority, Person, str], requests.Response]


@pytest.fixture
def secret(person: People) -> Person:
    return person("ann", secret=True)


def body(one: Person, **more: object) -> dict[str, object]:
    return {"session_id": one.session_id, **more}


ACTING: dict[str, Ask] = {
    "acquire": lambda lab, ann, eq: lab.post("/locks/acquire", body(ann, equipment_id=eq)),
    "observe": lambda lab, ann, eq: lab.post("/locks/acquire", body(ann, equipment_id=eq, lock_mode="observer")),
    "queue": lambda lab, ann, eq: lab.post("/locks/acquire", body(ann, equipment_id=eq, queue_if_busy=True)),
    "release": lambda lab, ann, eq: lab.post("/locks/release", body(ann, equipment_id=eq)),
    "force": lambda lab, ann, eq: lab.post("/locks/release", body(ann, equipment_id=eq, force=True)),
    "claim": lambda lab, ann, eq: lab.post(f"/locks/claim/{eq}", body(ann)),
    "activity": lambda lab, ann, eq: lab.post(f"/locks/activity/{eq}", body(ann)),
    "leave": lambda lab, ann, eq: lab.delete(f"/locks/queue/{eq}/queue_1?session_id={ann.session_id}"),
    "session activity": lambda lab, ann, eq: lab.post(f"/locks/sessions/{ann.session_id}/activity"),
    "heartbeat": lambda lab, ann, eq: lab.post(f"/locks/sessions/{ann.session_id}/heartbeat", {}),
    "gone": lambda lab, ann, eq: lab.post(f"/locks/sessions/{ann.session_id}/gone", {}),
    "end": lambda lab, ann, eq: lab.delete(f"/locks/sessions/{ann.session_id}"),
    "control": lambda lab, ann, eq: lab.post(
        f"/equipment/{eq}/command", body(ann, equipment_id=eq, command_id="c", action="home")
    ),
    "observe command": lambda lab, ann, eq: lab.post(
        f"/equipment/{eq}/command", body(ann, equipment_id=eq, command_id="c", action="position")
    ),
    "resume": lambda lab, ann, eq: lab.post(f"/equipment/{eq}/resume", body(ann)),
    "clear a fault": lambda lab, ann, eq: lab.post(f"/equipment/{eq}/clear-fault", body(ann, reason="looked")),
    "feed": lambda lab, ann, eq: lab.get(f"/events?role=feed&session_id={ann.session_id}"),
    "keeper": lambda lab, ann, eq: lab.get(f"/events?role=keeper&session_id={ann.session_id}"),
}


@pytest.mark.parametrize("ask", ACTING.values(), ids=ACTING.keys())
def test_whatever_acts_for_a_session_with_a_secret_must_bear_its_token(
    lab: Authority, secret: Person, motor: str, ask: Ask
) -> None:
    """WHO-7"""
    secret.has(motor)
    before = lab.events(motor), ok(lab.get(f"/locks/sessions/{secret.session_id}"))["last_activity"]
    refused(ask(lab, secret, motor), 401, "bad_session_token")
    assert lab.events(motor) == before[0]
    assert ok(lab.get(f"/locks/sessions/{secret.session_id}"))["last_activity"] == before[1]


@pytest.mark.parametrize("token", ["", "wrong", "é".encode("latin-1").decode("latin-1"), "x" * 4000])
def test_a_wrong_token_is_no_token(lab: Authority, secret: Person, motor: str, token: str) -> None:
    """WHO-7"""
    asked = {"equipment_id": motor, "session_id": secret.session_id}
    headers = {"Motorlock-Session": token.encode("latin-1")}
    refused(lab.post("/locks/acquire", asked, headers=headers), 401, "bad_session_token")


def test_the_hash_that_is_kept_of_a_token_and_another_sessions_token_are_no_token(
    lab: Authority, secret: Person, person: People, motor: str
) -> None:
    """WHO-7 WHO-13"""
    assert secret.token
    other = person("bob", secret=True)
    for token in (hashlib.sha256(secret.token.encode()).hexdigest(), other.token):
        asked = {"equipment_id": motor, "session_id": secret.session_id}
        answer = lab.post("/locks/acquire", asked, headers={"Motorlock-Session": token})
        refused(answer, 401, "bad_session_token")


def test_with_its_token_a_session_with_a_secret_does_all_that_others_do(
    lab: Authority, secret: Person, motor: str
) -> None:
    """WHO-7"""
    secret.has(motor)
    assert ok(secret.command("home", motor))["success"] is True
    assert ok(secret.command("position", motor))["data"] == 0
    ok(secret.post(f"/locks/activity/{motor}"))
    ok(lab.post(f"/locks/sessions/{secret.session_id}/heartbeat", {}, headers=secret.headers))
    assert ok(secret.release(motor))["status"] == "released"
    ok(secret.leave())


def test_what_became_of_a_command_of_a_session_with_a_secret_is_told_to_its_token_only(
    lab: Authority, secret: Person, motor: str
) -> None:
    """CMD-19 WHO-7"""
    secret.has(motor)
    ok(secret.command("home", motor, "k"))
    path, key = f"/equipment/{motor}/command?session_id={secret.session_id}", {"Idempotency-Key": "k"}
    refused(lab.get(path, headers=key), 401, "bad_session_token")
    assert ok(lab.get(path, headers=key | secret.headers))["success"] is True


def test_a_session_without_a_secret_acts_by_its_id_alone(lab: Authority, ann: Person, motor: str) -> None:
    """WHO-8"""
    assert ann.token is None
    assert ok(lab.post("/locks/acquire", {"equipment_id": motor, "session_id": ann.session_id}))["success"] is True


def test_a_stop_that_cannot_be_proved_is_carried_out_as_that_of_an_unnamed_user(
    lab: Authority, secret: Person, motor: str
) -> None:
    """STOP-2 WHO-7"""
    secret.has(motor)
    secret.begins("move_to", motor, "k", position=100)
    answer = ok(lab.post(f"/equipment/{motor}/stop", {"session_id": secret.session_id}))
    assert (answer["delivered"], answer["outcome"]) == (True, "stopped")
    assert lab.status(motor)["stopped_by"]["user"] == "somebody at 127.0.0.1"
    assert lab.status(motor)["stopped_by"]["session_id"] is None


def test_what_is_shown_of_a_session_with_a_secret_needs_no_token(lab: Authority, secret: Person) -> None:
    """WHO-7"""
    path = f"/locks/sessions/{secret.session_id}"
    for shown in (path, f"{path}/locks", f"{path}/events"):
        ok(lab.get(shown))


def test_no_secret_appears_in_any_answer_event_error_or_log(
    lab: Authority, secret: Person, bob: Person, motor: str
) -> None:
    """WHO-13"""
    assert secret.token
    token = secret.token
    shown: list[str] = []
    with EventStream(lab, "role=watch&after=0") as stream:
        secret.has(motor, note="scan")
        shown += [bob.acquire(motor, queue_if_busy=True).text, bob.command("home", motor).text]
        shown += [secret.command("move_to", motor, position=500).text, secret.command("fly", motor).text]
        shown += [lab.post("/locks/acquire", {"equipment_id": motor, "session_id": secret.session_id}).text]
        paths = ["/locks/all", "/locks/sessions", f"/locks/status/{motor}", f"/locks/events/{motor}", "/equipment/list"]
        paths += [f"/locks/sessions/{secret.session_id}{x}" for x in ("", "/locks", "/events")]
        shown += [lab.get(path).text for path in [*paths, f"/equipment/{motor}", f"/equipment/{motor}/status"]]
        shown += [secret.leave().text, lab.log]
        ended = {"event": "session_ended", "session_id": secret.session_id}
        shown += [str(m) for m in stream.to(lambda m: ended.items() <= m.data.get("event", {}).items())]
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert len(shown) > 20
    assert not [text for text in shown if token in text or digest in text or "sha256" in text or "secret" in text]


def test_the_store_keeps_only_the_hash_of_a_session_token(lab: Authority, secret: Person) -> None:
    """WHO-13"""
    assert secret.token
    kept = b"".join(file.read_bytes() for file in lab.data.iterdir())
    assert hashlib.sha256(secret.token.encode()).hexdigest().encode() in kept
    assert secret.token.encode() not in kept


# -- the lab's token


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with running(tmp_path_factory.mktemp("guarded"), env={"MOTORLOCK_TOKEN": "the lab's very own"}) as authority:
        yield authority


def test_where_a_token_is_set_every_path_below_api_asks_for_it(guarded: Authority) -> None:
    """WHO-5"""
    for method, path in [("GET", "/locks/all"), ("POST", "/equipment/stage_x/stop"), ("GET", "/events"), ("GET", "/x")]:
        refused(guarded.send(method, f"/api{path}", json={}), 401, "token_required")


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Basic the lab's very own", "the lab's very own", "Bearer ", "Bearer"]
)
def test_a_wrong_lab_token_is_refused(guarded: Authority, header: str) -> None:
    """WHO-5"""
    refused(guarded.get("/locks/all", headers={"Authorization": header}), 401, "token_required")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_labs_token_lets_in(guarded: Authority, scheme: str) -> None:
    """WHO-5"""
    ok(guarded.get("/locks/all", headers={"Authorization": f"{scheme} the lab's very own"}))


def test_health_and_the_pages_need_no_token_and_do_not_show_it(guarded: Authority) -> None:
    """REST-15 WHO-6 WHO-13"""
    for path in ("/health", "/", "/docs", "/openapi.json"):
        answer = guarded.send("GET", path)
        assert answer.status_code == 200
        assert "very own" not in answer.text
    assert "very own" not in guarded.log


def test_a_token_may_come_from_a_file(tmp_path: Path) -> None:
    """WHO-5"""
    (tmp_path / "token").write_text("from a file\n", encoding="utf-8")
    lab = f'[authority]\ntoken_file = "{tmp_path / "token"}"\n[equipment.m]\ndriver = "simulated-motor"\n'
    with running(tmp_path / "place", lab=lab) as authority:
        refused(authority.get("/locks/all"), 401, "token_required")
        ok(authority.get("/locks/all", headers={"Authorization": "Bearer from a file"}))


def test_an_id_is_known_as_made_here_by_the_authoritys_own_key_only() -> None:
    """WHO-10"""
    ids = SessionIds("ours")
    made = ids.new()
    assert ids.made(made)
    assert SessionIds("ours").made(made), "also after a restart"
    assert not SessionIds("theirs").made(made)
    head, last = made[:-1], made[-1]
    assert not ids.made(head + ("0" if last != "0" else "1"))
    assert not ids.made("no id")


UNPRINTABLE = "\x1b]0;pwned\x07\r\n\u202eA\u200bnn\u2066"
SHOWN = "]0;pwned    A nn"
SHOWN_AS_NAME = "]0;pwned A nn"


def test_what_people_write_reaches_nobody_with_characters_that_a_screen_obeys_or_hides(
    lab: Authority, motor: str
) -> None:
    """WHO-16"""
    made = lab.post("/locks/sessions/create", {"client_name": UNPRINTABLE, "user": UNPRINTABLE})
    ann = Person(lab, ok(made)["session_id"])
    assert ann.has(motor, note=UNPRINTABLE)["note"] == SHOWN
    assert lab.status(motor)["holder"]["client_name"] == SHOWN
    assert lab.status(motor)["holder"]["user"] == SHOWN_AS_NAME
    ok(lab.post(f"/equipment/{motor}/stop", {"user": UNPRINTABLE, "reason": UNPRINTABLE}))
    stop = lab.status(motor)["stopped_by"]
    assert stop["user"].startswith(SHOWN_AS_NAME)
    assert stop["reason"] == SHOWN
    assert ann.post(f"/locks/keep/{motor}", {"seconds": 60, "note": "Zoë's 2ⁿᵈ scan, 5 µm 🔬"}).ok
    assert lab.status(motor)["kept"]["note"] == "Zoë's 2ⁿᵈ scan, 5 µm 🔬"


def test_nobody_else_reads_the_data_that_the_authority_made(tmp_path: Path) -> None:
    """WHO-17"""
    before = os.umask(0o022)
    try:
        with running(tmp_path / "place") as authority:
            made = [authority.data, *authority.data.glob("motorlock.sqlite3*")]
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made}
    finally:
        os.umask(before)
    assert modes.pop("data") == 0o700
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize(
    ("written", "name"), [("\uff21nn", "Ann"), ("A\ufb01", "Afi"), (" Ann \t  Lee ", "Ann Lee"), ("A\u200bnn", "A nn")]
)
def test_a_name_is_written_in_one_way(lab: Authority, written: str, name: str) -> None:
    """WHO-34"""
    assert ok(lab.post("/locks/sessions/create", {"user": written}))["user"] == name


@pytest.mark.parametrize(
    "name", ["the authority", " The\u200bAuthority ", "\uff34he  authority", "Somebody at 10.0.0.5", "you", "\x07"]
)
def test_nobody_goes_by_a_name_of_the_authoritys_own(lab: Authority, motor: str, name: str) -> None:
    """WHO-22"""
    made = ok(lab.post("/locks/sessions/create", {"user": name, "metadata": {"user": name}, "client_name": "Ann's PC"}))
    assert made["user"] == "Ann's PC"
    holder = Person(lab, made["session_id"])
    holder.has(motor)
    ok(lab.post(f"/equipment/{motor}/stop", {"user": name}))
    assert lab.status(motor)["stopped_by"]["user"] == "somebody at 127.0.0.1"

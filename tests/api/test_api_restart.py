"""An authority that ends and starts again on the same data, and one that is not alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from push_clients import EventStream
from rest_lab import ROOT, Authority, ok, refused, running

ENDS = [signal.SIGTERM, signal.SIGKILL]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def fresh(place: Path) -> Iterator[Authority]:
    with running(place / "lab") as authority:
        yield authority


def refuses(*arguments: str) -> str:
    """Start an authority that must not start, and return its sentence."""
    command = [sys.executable, "-m", "authority", "serve", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert (found.returncode, found.stdout) == (2, "")
    return found.stderr


@pytest.mark.parametrize("how", ENDS)
def test_holders_queues_fences_and_history_come_back_after_a_restart(fresh: Authority, how: signal.Signals) -> None:
    """STORE-3 LOCK-9 RUN-7"""
    ann, bob = fresh.person("ann", secret=True), fresh.person("bob")
    lock = ann.has("stage_x", note="scan")
    ok(ann.release("stage_x"))
    lock = ann.has("stage_x", note="scan")
    entry = ok(bob.acquire("stage_x", queue_if_busy=True))["queue_entry"]
    ok(bob.acquire("scope_123", lock_mode="observer"))
    before = fresh.events("stage_x")
    instance = ok(fresh.send("GET", "/health"))["instance"]
    fresh.restart(how)
    assert ok(fresh.send("GET", "/health"))["instance"] != instance
    status = fresh.status("stage_x")
    assert (status["lock_id"], status["fence"], status["session_id"]) == (lock["lock_id"], 2, ann.session_id)
    assert status["holder"]["note"] == "scan"
    assert [e["queue_id"] for e in status["queue"]] == [entry["queue_id"]]
    assert fresh.status("scope_123")["observer_sessions"] == [bob.session_id]
    assert fresh.events("stage_x") == before
    refused(fresh.post("/locks/release", {"equipment_id": "stage_x", "session_id": ann.session_id}), 401,
            "bad_session_token")  # fmt: skip
    assert ok(ann.command("home"))["success"] is True
    ok(ann.release("stage_x"))
    assert fresh.status("stage_x")["fence"] == 3


@pytest.mark.parametrize("how", ENDS)
def test_a_command_in_flight_at_the_end_is_stopped_and_its_key_never_runs_it_again(
    fresh: Authority, how: signal.Signals
) -> None:
    """STORE-4 CMD-9 CMD-19 STOP-10"""
    ann = fresh.person("ann")
    ann.has("stage_x")
    ann.begins("move_to", "stage_x", "k", position=100)
    fresh.restart(how)
    asked = f"/equipment/stage_x/command?session_id={ann.session_id}"
    became = ok(fresh.get(asked, headers={"Idempotency-Key": "k"}))
    assert became["outcome"] == ("stopped" if how is signal.SIGTERM else "unknown")
    answer = ann.command("move_to", "stage_x", "k", position=100)
    assert ok(answer)["outcome"] == ("stopped" if how is signal.SIGTERM else "unknown")
    assert ok(answer)["success"] is False
    assert ok(answer)["error"]
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert fresh.status("stage_x")["session_id"] == ann.session_id
    assert len([e for e in fresh.events("stage_x") if e["event"] == "command_started"]) == 1
    assert ok(ann.command("home"))["success"] is True


@pytest.mark.parametrize("how", ENDS)
def test_a_recorded_reply_is_answered_byte_for_byte_across_a_restart(fresh: Authority, how: signal.Signals) -> None:
    """CMD-9"""
    ann = fresh.person("ann")
    ann.has("stage_x")
    first = ann.command("move_by", "stage_x", "k", distance=0.01)
    ok(first)
    fresh.restart(how)
    again = ann.command("move_by", "stage_x", "k", distance=0.01)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    refused(ann.command("move_by", "stage_x", "k", distance=0.02), 422, "idempotency_mismatch")


@pytest.mark.parametrize("how", ENDS)
def test_a_feed_resumes_after_a_restart_without_a_gap_and_numbers_go_on(fresh: Authority, how: signal.Signals) -> None:
    """PUSH-3 STORE-6 LIVE-5"""
    ann = fresh.person("ann", keeper=True)
    ann.has("stage_x")
    with EventStream(fresh, f"role=feed&session_id={ann.session_id}") as feed:
        seen = feed.next().data["seq"]
        fresh.restart(how)
    ok(ann.release("stage_x"))
    with EventStream(fresh, f"role=feed&session_id={ann.session_id}&after={seen}") as feed:
        missed = feed.to(lambda m: m.event == "snapshot")
    numbers = [m.data["seq"] for m in missed[:-1]]
    assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
    assert missed[-2].data["event"]["event"] == "lock_released"
    assert missed[-1].data["seq"] == numbers[-1]


def test_a_session_that_ended_before_a_restart_is_not_revived_after_it(fresh: Authority) -> None:
    """WHO-10"""
    ann = fresh.person("ann")
    ok(ann.leave())
    fresh.restart()
    refused(ann.acquire("stage_x"), 404, "session_ended")


def test_sigterm_ends_all_streams_and_the_process_with_status_0(fresh: Authority) -> None:
    """RUN-7"""
    with EventStream(fresh) as stream:
        stream.next()
        assert fresh.end() == 0
        stream.rest()
    assert "Traceback" not in fresh.log


def test_a_second_authority_on_the_same_data_says_so_in_one_sentence(fresh: Authority) -> None:
    """STORE-5"""
    said = refuses("--port", "0", "--data", str(fresh.data))
    assert said == f"motorlock: The data directory {fresh.data} is in use by another authority; stop that one first.\n"
    assert ok(fresh.send("GET", "/health"))["status"] == "ok"


def test_a_second_authority_for_the_same_device_says_so_in_one_sentence(place: Path) -> None:
    """STORE-5"""
    address = f"test:{place}"
    lab = (
        '[equipment.flaky]\ndriver = "tests.api.drivers:Flaky"\n'
        f'options = {{ place = "{place}", address = "{address}" }}\n'
    )
    with running(place / "first", lab=lab):
        (place / "lab.toml").write_text(lab, encoding="utf-8")
        said = refuses("--port", "0", "--config", str(place / "lab.toml"), "--data", str(place / "second"))
        assert said == (
            f"motorlock: The device {address} (flaky) is in use by another authority; stop that one first.\n"
        )


def test_a_port_that_is_taken_is_one_sentence_that_names_it(fresh: Authority, place: Path) -> None:
    """RUN-11"""
    port = fresh.url.rpartition(":")[2]
    said = refuses("--port", port, "--data", str(place / "other"))
    assert said == (
        f"motorlock: Cannot listen on 127.0.0.1 port {port}: Address already in use; choose another with --port.\n"
    )

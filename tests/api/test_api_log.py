"""What an authority logs, as a person and as a program reads it: a real process, and its standard error."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from push_clients import open_websocket
from rest_lab import ROOT, Authority, ok, running, until

FLAKY = """
[equipment.flaky]
driver = "tests.api.drivers:Flaky"
options = {{ place = "{place}" }}
"""
SECRET = "the-very-own-secret-of-this-lab"


def lines_as_json(lab: Authority) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lab.log.splitlines()]


def lose_and_mend(lab: Authority, place: Path) -> None:
    """Cut the device's cable, try to stop it, and plug it in again."""
    cut = place / "unplugged"
    until(lambda: lab.status("flaky")["readback"]["connected"], "the device answers")
    cut.touch()
    until(lambda: not lab.status("flaky")["readback"]["connected"], "the loss is noticed")
    lab.post("/equipment/flaky/stop", {"user": "Cem"})
    lab.post("/equipment/flaky/stop", {"user": "Cem"})
    cut.unlink()
    until(lambda: lab.status("flaky")["readback"]["connected"], "the device answers again")


def flaky(place: Path, *options: str, **more: Any) -> Any:
    place.mkdir(exist_ok=True)
    return running(place, lab=FLAKY.format(place=place), options=options, **more)


def test_a_device_lost_and_back_and_a_stop_refused_are_one_line_each_as_text(tmp_path: Path) -> None:
    """RUN-43 RUN-45 RUN-46"""
    with flaky(tmp_path / "lab") as lab:
        lose_and_mend(lab, tmp_path / "lab")
    lines = [line for line in lab.log.splitlines() if not line.startswith("{")]
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", line) for line in lines] == [
        "motorlock WARNING the device of flaky cannot be reached, and is tried again: the cable is out",
        "motorlock ERROR a stop of flaky was NOT DELIVERED, it may still move: the cable is out",
        "motorlock INFO the device of flaky is back",
    ]


def test_each_line_is_an_object_with_the_time_in_utc_where_json_is_asked_for(tmp_path: Path) -> None:
    """RUN-43 RUN-45 RUN-46"""
    with flaky(tmp_path / "lab", "--log-format", "json", "--log-level", "debug") as lab:
        lose_and_mend(lab, tmp_path / "lab")
        lab.person("ann").has("flaky")
    lines = lines_as_json(lab)
    ours = [(line["level"], line["message"]) for line in lines if "event" not in line and line["logger"] == "motorlock"]
    assert ours == [
        ("warning", "the device of flaky cannot be reached, and is tried again: the cable is out"),
        ("error", "a stop of flaky was NOT DELIVERED, it may still move: the cable is out"),
        ("debug", "a stop of flaky was NOT DELIVERED, it may still move: the cable is out"),
        ("info", "the device of flaky is back"),
    ]
    assert "lock_acquired" in [line["event"]["event"] for line in lines if "event" in line]
    for line in lines:
        assert {"time", "level", "logger", "message"} <= line.keys()
        told_at = datetime.fromisoformat(line["time"])
        assert told_at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - told_at) < timedelta(hours=1)


def test_what_is_less_than_the_level_is_left_out_and_lock_events_are_info(tmp_path: Path) -> None:
    """RUN-43"""
    with flaky(tmp_path / "lab", "--log-level", "error", "--log-format", "json") as lab:
        lose_and_mend(lab, tmp_path / "lab")
        lab.person("ann").has("flaky")
    assert [line["level"] for line in lines_as_json(lab)] == ["error"]


@pytest.mark.parametrize("option", ["--log-level=loud", "--log-format=xml"])
def test_another_level_or_format_is_a_mistake_in_the_line(option: str) -> None:
    """RUN-43"""
    ran = subprocess.run([sys.executable, "-m", "authority", "serve", option], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "invalid choice" in ran.stderr


LOGS = """
import logging, sys
from authority.log_format import set_up

set_up("debug", sys.argv[1])
log = logging.getLogger("motorlock")
log.warning("one\\nERROR two \\x1b[2J")
try:
    raise RuntimeError("three\\nfour")
except RuntimeError:
    log.exception("five")
logging.getLogger("driver.of.somebody").debug("PASSWORD six")
"""


def logged(log_format: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", LOGS, log_format], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stderr.splitlines()


def test_a_message_with_a_line_break_is_one_line_and_a_traceback_cannot_be_taken_for_one() -> None:
    """RUN-43 RUN-44"""
    first, second, *traceback = logged("text")
    assert first.endswith(r" motorlock WARNING one\nERROR two \x1b[2J")
    assert second.endswith(" motorlock ERROR five")
    assert [line[:4] for line in traceback] == ["    "] * len(traceback)
    assert [line.strip() for line in traceback[-2:]] == ["RuntimeError: three", "four"]


def test_an_object_has_the_text_of_the_exception() -> None:
    """RUN-43 RUN-44"""
    first, second = (json.loads(line) for line in logged("json"))
    assert (first["level"], first["message"]) == ("warning", "one\nERROR two \x1b[2J")
    assert (second["level"], second["message"]) == ("error", "five")
    assert second["exception"].startswith("Traceback (most recent call last):")
    assert second["exception"].endswith("RuntimeError: three\nfour")
    assert "exception" not in first


UVICORN_WARNS = """
import logging, sys, uvicorn
from authority.__main__ import main

starts = uvicorn.Server.startup

async def startup(server, sockets=None):
    logging.getLogger("uvicorn.error").warning("of uvicorn")
    await starts(server, sockets=sockets)

uvicorn.Server.startup = startup
sys.exit(main())
"""


def test_uvicorn_writes_in_the_format_that_is_asked_for(tmp_path: Path) -> None:
    """RUN-43"""
    with flaky(tmp_path / "text", program=("-c", UVICORN_WARNS)) as lab:
        pass
    [line] = [line for line in lab.log.splitlines() if "of uvicorn" in line]
    assert line.endswith(" uvicorn.error WARNING of uvicorn")
    with flaky(tmp_path / "json", "--log-format", "json", program=("-c", UVICORN_WARNS)) as lab:
        pass
    [said] = [line for line in lines_as_json(lab) if line["logger"] == "uvicorn.error"]
    assert (said["level"], said["message"]) == ("warning", "of uvicorn")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_token_is_in_the_log_at_any_level(tmp_path: Path, log_format: str) -> None:
    """RUN-44"""
    options = ("--log-level", "debug", "--log-format", log_format)
    with flaky(tmp_path / "lab", *options, env={"MOTORLOCK_TOKEN": SECRET}) as lab:
        bearer = {"Authorization": f"Bearer {SECRET}"}
        made = ok(lab.post("/locks/sessions/create", {"client_name": "ann", "secret": True}, headers=bearer))
        token = {**bearer, "Motorlock-Session": made["session_token"]}
        query = f"role=feed&session_id={made['session_id']}"
        with open_websocket(lab, query, additional_headers=token) as line:
            line.recv()
        ok(lab.post(f"/locks/sessions/{made['session_id']}/heartbeat", {"busy": True}, headers=token))
    assert '"session_created"' in lab.log
    assert SECRET not in lab.log
    assert made["session_token"] not in lab.log


def test_a_client_that_sends_what_nobody_reads_is_cut_off_in_the_log(tmp_path: Path) -> None:
    """RUN-48"""
    with flaky(tmp_path / "lab", "--log-format", "json") as lab:
        with open_websocket(lab) as line:
            line.recv()
            for _ in range(200):
                try:
                    line.send("x" * 4000)
                except Exception:  # noqa: BLE001 - it is closed meanwhile
                    break
        until(lambda: "is closed" in lab.log, "the log says so")
    told = [(line["level"], line["message"]) for line in lines_as_json(lab) if "event" not in line]
    assert told == [("info", "a WebSocket of 127.0.0.1 is closed, for its client sends what nobody reads")]


def test_a_log_that_nobody_reads_keeps_neither_a_stop_nor_a_decision_waiting(tmp_path: Path) -> None:
    """RUN-43"""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"." * 4096):
            pass
    os.set_blocking(writing, True)
    with flaky(tmp_path / "lab", preexec=lambda: os.dup2(writing, 2)) as lab:
        lose_and_mend(lab, tmp_path / "lab")
        for user in ("ann", "bob"):
            person = lab.person(user)
            person.has("flaky")
            ok(person.release("flaky"))
        assert ok(lab.post("/equipment/flaky/stop", {"user": "Cem"}))["delivered"] is True
        assert lab.end() == 0
    os.close(writing)
    os.close(reading)

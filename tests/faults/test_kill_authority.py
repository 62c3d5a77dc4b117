"""The real process under load, killed at seeded random moments and started again on the same data."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 30.0
ROUNDS = 10
MOTORS = ("stage_x", "stage_y")
_READY = "listening on http://"
_LAB = "".join(
    f'[equipment.{name}]\ndriver = "simulated-motor"\n[equipment.{name}.options]\nvelocity = 40.0\n' for name in MOTORS
)


class Process:
    """An authority on data of its own, and a lab file unless there is one; every start may take another port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        if not (home / "lab.toml").exists():
            (home / "lab.toml").write_text(_LAB, encoding="utf-8")
        self.start()

    def start(self) -> None:
        # Its log is buffered, as where nobody says otherwise: what a full disk keeps from it is still there at the end.
        as_a_service = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        arguments = ["serve", "--port", "0", "--config", str(self.home / "lab.toml"), "--data", str(self.home / "data")]
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "authority", *arguments], stdout=subprocess.PIPE, text=True, env=as_a_service
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert _READY in line, f"the authority did not start: {line!r}"
        host, _, port = line.strip().partition(_READY)[2].rpartition(":")
        self.address = (host, int(port))

    def end(self, how: signal.Signals) -> int:
        self.popen.send_signal(how)
        status = self.popen.wait(PATIENCE_S)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return status

    def client(self) -> Client:
        return Client(*self.address)


class Client:
    """One connection; raises `OSError` or `HTTPException` when the other side has gone."""

    def __init__(self, host: str, port: int) -> None:
        self._http = HTTPConnection(host, port, timeout=PATIENCE_S)

    def raw(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} | ({"idempotency-key": key} if key else {})
        self._http.request(method, f"/api{path}", None if body is None else json.dumps(body), headers)
        answer = self._http.getresponse()
        return answer.status, answer.read()

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        status, text = self.raw(method, path, body)
        return status, json.loads(text)

    def session(self, name: str) -> str:
        _, made = self.call("POST", "/locks/sessions/create", {"user": name, "timeout_seconds": 0})
        return str(made["session_id"])

    def health(self) -> dict[str, Any]:
        self._http.request("GET", "/health")
        found: dict[str, Any] = json.loads(self._http.getresponse().read())
        return found

    def acquire(self, session: str, equipment: str) -> tuple[int, Any]:
        return self.call("POST", "/locks/acquire", {"equipment_id": equipment, "session_id": session})

    def release(self, session: str, equipment: str) -> tuple[int, Any]:
        return self.call("POST", "/locks/release", {"equipment_id": equipment, "session_id": session})

    def events(self, equipment: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/locks/events/{equipment}?limit=1000")[1]["events"]
        return found

    def close(self) -> None:
        self._http.close()


@dataclass
class Order:
    """A command as it was sent, and the reply if one came."""

    session: str
    equipment: str
    position: float
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    reply: bytes | None = None

    def send(self, client: Client, wait_seconds: float = 30.0) -> tuple[int, bytes]:
        body = {
            "command_id": self.key, "equipment_id": self.equipment, "session_id": self.session,
            "action": "move_to", "parameters": {"position": self.position}, "wait_seconds": wait_seconds,
        }  # fmt: skip
        return client.raw("POST", f"/equipment/{self.equipment}/command", body, self.key)


@dataclass
class Told:
    """What the authority told one client, kept over all rounds."""

    granted: list[tuple[str, str, int, str]] = field(default_factory=list)
    released: list[tuple[str, str, int]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)


def work(process: Process, told: Told, seed: int, begun: threading.Barrier) -> None:
    """Log in, move and log out, again and again, until the authority is gone."""
    dice, client = random.Random(seed), process.client()
    try:
        session = client.session(f"user {seed}")
        begun.wait(PATIENCE_S)
        while True:
            equipment = dice.choice(MOTORS)
            status, answer = client.acquire(session, equipment)
            if status != 200:
                continue
            fence = answer["lock"]["fence"]
            told.granted.append((equipment, session, fence, answer["lock"]["lock_id"]))
            for _ in range(dice.randrange(3)):
                order = Order(session, equipment, dice.uniform(0.0, 5.0))
                told.orders.append(order)
                status, body = order.send(client)
                assert status == 200, body
                order.reply = body
            status, answer = client.release(session, equipment)
            assert answer["status"] == "released", answer
            told.released.append((equipment, session, fence))
    except (OSError, HTTPException):
        return
    finally:
        client.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    started = Process(tmp_path)
    yield started
    if started.popen.poll() is None:
        started.end(signal.SIGKILL)


@pytest.mark.slow
def test_nothing_that_was_told_is_lost_when_the_authority_is_killed_again_and_again(process: Process) -> None:
    """STORE-1, STORE-3, STORE-4, STORE-6, LOCK-8, LOCK-9, CMD-9"""
    seed = 20261121
    dice, told = random.Random(seed), [Told() for _ in range(4)]
    unknown = 0
    began = time.monotonic()
    for number in range(ROUNDS):
        begun = threading.Barrier(len(told) + 1)
        threads = [
            threading.Thread(target=work, args=(process, each, seed + 100 * number + n, begun))
            for n, each in enumerate(told)
        ]
        for thread in threads:
            thread.start()
        begun.wait(PATIENCE_S)
        time.sleep(dice.uniform(0.1, 1.5))  # when it dies is what is drawn by lot, not what is waited for
        process.end(signal.SIGKILL)
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        process.start()
        unknown += check(process, told)
    orders = [o for each in told for o in each.orders]
    print(
        f"seed {seed}: {ROUNDS} kills in {time.monotonic() - began:.1f} s, "
        f"{sum(len(each.granted) for each in told)} grants, {len(orders)} commands, "
        f"{sum(o.reply is not None for o in orders) - unknown} of them answered, {unknown} found in flight"
    )
    assert any(o.reply is not None for o in orders)
    assert unknown > 0, "no kill came while a command ran: draw other moments"


def check(process: Process, told: list[Told]) -> int:
    """Compare what the restarted authority says with all that was ever told; returns how many commands were unknown."""
    client, unknown = process.client(), 0
    for equipment in MOTORS:
        settle(client, equipment)
        events = client.events(equipment)
        numbers = [e["seq"] for e in events]
        assert numbers == sorted(set(numbers))
        fences = [e["fence"] for e in events if e["event"] == "lock_acquired"]
        assert fences == sorted(set(fences)), "a fence was given twice, or went back"
        stored = {(e["session_id"], e["fence"], e["lock_id"]) for e in events if e["event"] == "lock_acquired"}
        ended = {(e["session_id"], e["fence"]) for e in events if e["event"] == "lock_released"}
        oldest = fences[0] if fences else 0
        for each in told:
            grants = {(s, f, i) for eq, s, f, i in each.granted if eq == equipment and f >= oldest}
            assert grants <= stored, "a grant that was told is gone"
            releases = {(s, f) for eq, s, f in each.released if eq == equipment and f >= oldest}
            assert releases <= ended, "a release that was told is gone"
        unknown += check_holder(client, equipment, told)
    for each in told:
        for order in each.orders[-40:]:
            if order.reply is not None:
                assert order.send(client) == (200, order.reply), "the same key was answered otherwise"
    client.close()
    return unknown


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def settle(client: Client, equipment: str) -> None:
    """Wait until what was in flight has its outcome and the motor stands."""

    def stands() -> bool:
        _, status = client.call("GET", f"/locks/status/{equipment}")
        seen = status["readback"]
        return status["running"] is None and seen["connected"] and not seen["moving"]

    wait_for(stands)


def check_holder(client: Client, equipment: str, told: list[Told]) -> int:
    """Who was told to hold and not told to have released holds still; then end that, so that others can go on."""
    _, status = client.call("GET", f"/locks/status/{equipment}")
    unknown = 0
    for each in told:
        for order in each.orders[-1:]:
            if order.reply is None and order.equipment == equipment and status["session_id"] == order.session:
                unknown += check_in_flight(client, order)
    held = status["session_id"]
    granted = max((g for each in told for g in each.granted if g[0] == equipment), key=lambda g: g[2], default=None)
    if granted is not None and status["fence"] == granted[2]:
        _, session, fence, lock_id = granted
        released = any((equipment, session, fence) in each.released for each in told)
        if held is None:
            assert (session, fence) in {
                (e["session_id"], e["fence"]) for e in client.events(equipment) if e["event"] == "lock_released"
            }, "the lock of a holder is gone, and nobody released it"
        else:
            assert not released, "a lock that was told to be released is held"
            assert (held, status["lock_id"]) == (session, lock_id)
    if held is not None:
        assert client.release(held, equipment)[1]["status"] == "released"
    return unknown


def check_in_flight(client: Client, order: Order) -> int:
    """A command without a reply ran to its end, never began, or was in flight: then it is `unknown`, and stays so."""
    known = [e for e in client.events(order.equipment) if e.get("command_id") == order.key]
    if not known:
        return 0
    status, body = order.send(client)
    assert status == 200
    assert order.send(client) == (status, body)
    outcome = json.loads(body)["outcome"]
    assert [e["event"] for e in known] == ["command_started", "command_finished"]
    assert outcome == known[-1]["outcome"]
    assert outcome in {"unknown", "done"}
    order.reply = body
    return int(outcome == "unknown")


def test_a_motor_that_moved_when_the_authority_was_killed_is_stopped_and_its_holder_still_holds(
    process: Process,
) -> None:
    """STORE-4, STORE-3, LOCK-9, CMD-8"""
    client = process.client()
    ann = client.session("Ann")
    lock = client.acquire(ann, "stage_x")[1]["lock"]
    order = Order(ann, "stage_x", 100.0)
    status, body = order.send(client, wait_seconds=0)
    assert (status, json.loads(body)["outcome"]) == (202, "running")
    process.end(signal.SIGKILL)
    client.close()
    process.start()
    client = process.client()
    settle(client, "stage_x")
    _, shown = client.call("GET", "/locks/status/stage_x")
    assert (shown["session_id"], shown["fence"], shown["lock_id"]) == (ann, lock["fence"], lock["lock_id"])
    told = [(e["event"], e.get("outcome"), e.get("delivered")) for e in client.events("stage_x")]
    assert ("command_finished", "unknown", None) in told
    assert ("stopped", None, True) in told
    status, body = order.send(client)
    assert (status, json.loads(body)["outcome"]) == (200, "unknown")
    assert Order(ann, "stage_x", 1.0).send(client)[0] == 200, "the holder goes on without logging in again"
    client.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_stops_a_moving_motor_and_the_authority_ends_cleanly(process: Process, how: signal.Signals) -> None:
    """STOP-10, CMD-8"""
    client, waiting = process.client(), process.client()
    ann = client.session("Ann")
    client.acquire(ann, "stage_x")
    order, answers = Order(ann, "stage_x", 100.0), list[tuple[int, bytes]]()
    thread = threading.Thread(target=lambda: answers.append(order.send(waiting)))
    thread.start()
    wait_for(lambda: client.call("GET", "/locks/status/stage_x")[1]["readback"]["moving"])
    began = time.monotonic()
    assert process.end(how) == 0
    print(f"{how.name}: ended {time.monotonic() - began:.2f} s later")
    thread.join(PATIENCE_S)
    assert [json.loads(body)["outcome"] for _, body in answers] == ["stopped"], "who waits for the move is told"
    client.close()
    waiting.close()
    process.start()
    client = process.client()
    told = [(e["event"], e.get("outcome"), e.get("delivered")) for e in client.events("stage_x")]
    assert told[-2:] == [("stopped", None, True), ("command_finished", "stopped", None)]
    _, shown = client.call("GET", "/locks/status/stage_x")
    assert shown["session_id"] == ann
    assert order.send(client) == answers[0]
    client.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit a running process")
def test_with_a_full_disk_only_stop_and_health_are_served_and_who_waits_is_told_at_once(process: Process) -> None:
    """STORE-7, STORE-18, STOP-10, STOP-11"""
    client, waiting = process.client(), process.client()
    ann = client.session("Ann")
    client.acquire(ann, "stage_x")
    order, answers = Order(ann, "stage_x", 100.0), list[tuple[int, bytes]]()
    thread = threading.Thread(target=lambda: answers.append(order.send(waiting)))
    thread.start()
    wait_for(lambda: client.call("GET", "/locks/status/stage_x")[1]["readback"]["moving"])
    resource.prlimit(process.popen.pid, resource.RLIMIT_FSIZE, (1, 1))  # from here on no file can grow
    status, told = client.acquire("bob", "stage_y")
    assert (status, told["code"]) == (503, "store_unavailable")
    thread.join(PATIENCE_S)
    assert [(status, json.loads(body)["code"]) for status, body in answers] == [(503, "store_unavailable")]
    assert client.call("GET", "/locks/status/stage_x")[1]["code"] == "store_unavailable"
    status, told = client.call("POST", "/equipment/stage_x/stop", {"user": "Cem"})
    assert (status, told["delivered"]) == (200, True)
    assert client.health()["status"] == "store_failed"
    client.close()
    waiting.close()
    wait_for(lambda: process.popen.poll() is not None)  # it ends by itself once nothing moves
    assert process.end(signal.SIGTERM) == 70
    process.start()
    client = process.client()
    settle(client, "stage_x")
    assert client.call("GET", "/locks/status/stage_x")[1]["session_id"] == ann
    assert json.loads(order.send(client)[1])["outcome"] == "unknown"
    client.close()


def test_a_second_authority_on_the_same_data_says_so_and_ends_with_status_2(process: Process) -> None:
    """STORE-5"""
    arguments = ["serve", "--port", "0", "--data", str(process.home / "data")]
    second = subprocess.run(
        [sys.executable, "-m", "authority", *arguments], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert second.returncode == 2
    assert "is in use by another authority" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    process.end(signal.SIGKILL)
    process.start()


def test_a_second_authority_for_the_same_device_says_so_and_ends_with_status_2(tmp_path: Path) -> None:
    """STORE-5"""
    (tmp_path / "bench_driver.py").write_text(
        "from authority.drivers.simulated import SimulatedMotor\n"
        "class Serial(SimulatedMotor):\n"
        f"    address = 'serial:{tmp_path}'\n"
    )
    lab = tmp_path / "serial.toml"
    lab.write_text('[equipment.arm]\ndriver = "bench_driver:Serial"\n', encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def command(data: str) -> list[str]:
        arguments = ["serve", "--port", "0", "--config", str(lab), "--data", str(tmp_path / data)]
        return [sys.executable, "-m", "authority", *arguments]

    first = subprocess.Popen(command("one"), stdout=subprocess.PIPE, text=True, env=environment)
    with first:
        assert first.stdout is not None
        assert _READY in first.stdout.readline()
        second = subprocess.run(
            command("two"), capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=False
        )
        first.kill()
    assert second.returncode == 2
    assert "(arm) is in use by another authority" in second.stderr


def test_data_of_a_newer_motorlock_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """STORE-9"""
    process = Process(tmp_path)
    assert process.end(signal.SIGTERM) == 0
    newer = sqlite3.connect(tmp_path / "data" / "motorlock.sqlite3")
    with newer:
        newer.execute("UPDATE meta SET value = '2' WHERE key = 'schema'")
    newer.close()
    arguments = ["serve", "--port", "0", "--data", str(tmp_path / "data")]
    refused = subprocess.run(
        [sys.executable, "-m", "authority", *arguments], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert refused.returncode == 2
    assert "was written by another motorlock" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1

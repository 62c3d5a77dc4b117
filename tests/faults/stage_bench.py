"""A real authority in front of a real stage that outlives it and keeps its own record, and two people."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from record import check, read
from stage_process import PATIENCE_S, StageProcess
from test_kill_authority import Client, Order, Process, wait_for

X = "stage_x"
MORTAL = """
[equipment.stage_x]
driver = "mortal_stage:MortalStage"
[equipment.stage_x.options]
port = PORT
doom = "DOOM"
"""
VISA = """
[equipment.stage_x]
driver = "visa"
[equipment.stage_x.options]
resource = "TCPIP::127.0.0.1::PORT::SOCKET"
kind = "motor"
units = "mm"
low = 0.0
high = 100.0
tolerance = 0.01
stop = "STOP"
errors = "SYST:ERR?"
fence = "SYST:FENCE {fence}"
[equipment.stage_x.options.readings]
position = { query = "POS?", type = "number" }
moving = { query = "MOV?", type = "boolean" }
[equipment.stage_x.options.control.move_to]
send = "MOVE {position:.4f}"
target = "position"
until = "rest"
answers = "position"
parameters = { position = { type = "number" } }
"""


class Bench:
    """A stage, an authority in front of it, and two people who take turns."""

    def __init__(self, place: Path, lab: str) -> None:
        self.doom = place / "doom"
        self.stage = StageProcess(place, "--velocity", "60")
        (place / "lab.toml").write_text(lab.replace("PORT", str(self.stage.port)).replace("DOOM", str(self.doom)))
        self.process = Process(place)
        self.ends: list[int] = []
        self.sent: list[Order] = []
        client = self.process.client()
        self.people = [client.session(name) for name in ("Ann", "Bob")]
        assert client.acquire(self.people[0], X)[0] == 200
        client.close()
        wait_for(lambda: self.status()["readback"]["connected"])  # before that, what is sent is refused

    @property
    def holder(self) -> str:
        return self.people[0]

    def close(self) -> None:
        if self.process.popen.poll() is None:
            self.process.end(signal.SIGKILL)
        self.stage.close()

    def order(self, dice: random.Random) -> Order:
        """A command of the holder to a target of its own, far from where the stage is."""
        position = float(self.stage.ask("POS?")[0])
        away = dice.uniform(15.0, 30.0) + len(self.sent) / 1e4
        made = Order(self.holder, X, round(position + away if position < 50.0 else position - away, 4))
        self.sent.append(made)
        return made

    def die_of(self, order: Order, *, after_s: float | None = None, stop: bool = False) -> None:
        """Send the order and return when the authority has been killed: by its driver, or so long after."""
        sender = threading.Thread(target=self._send, args=(order,))
        sender.start()
        if stop:
            wait_for(lambda: self.stage.ask("MOV?") == ["1"])
            client = self.process.client()
            with pytest.raises((OSError, HTTPException)):
                client.call("POST", f"/equipment/{X}/stop", {"user": "Cem"})
            client.close()
        if after_s is not None:
            time.sleep(after_s)  # when it dies is what is drawn by lot, not what is waited for
            os.kill(self.process.popen.pid, signal.SIGKILL)
        assert self.process.popen.wait(PATIENCE_S) == -signal.SIGKILL
        assert self.process.popen.stdout is not None
        self.process.popen.stdout.close()
        sender.join(PATIENCE_S)
        assert not sender.is_alive()
        for _ in range(3):
            self.stage.ask("*IDN?")  # by now it has read all that the dead one had sent
        self.ends.append(len(self.stage.facts))

    def _send(self, order: Order) -> None:
        client = self.process.client()
        try:
            status, body = order.send(client)
            if status == 200:
                order.reply = body
        except (OSError, HTTPException):
            return
        finally:
            client.close()

    def restart(self) -> str:
        """Start again on the same data: the holder holds, the stage stands; returns what became of the last order."""
        self.process.start()
        client = self.process.client()
        self.stands(client)
        _, status = client.call("GET", f"/locks/status/{X}")
        assert status["session_id"] == self.holder
        order = self.sent[-1]
        began = self.begins(order)
        status, body = order.send(client)
        assert status == 200, body
        assert order.reply in (None, body), "the same key was answered otherwise"
        order.reply = body
        outcome = str(json.loads(body)["outcome"])
        if outcome == "done":
            assert self.arrived(order)
        elif outcome == "stopped":
            assert self.begins(order) == began
        elif began:
            assert self.begins(order) == began, "asking again moved it again"
        client.close()
        return outcome

    def stands(self, client: Client) -> None:
        """Wait until what was in flight has its outcome, was stopped, and the stage is read."""

        def is_so() -> bool:
            _, status = client.call("GET", f"/locks/status/{X}")
            seen = status["readback"]
            return status["running"] is None and seen["connected"] and not seen["moving"]

        wait_for(is_so)

    def other_waits(self) -> None:
        """The other one queues."""
        client = self.process.client()
        wanted = {"equipment_id": X, "session_id": self.people[1], "queue_if_busy": True}
        assert client.call("POST", "/locks/acquire", wanted)[1]["status"] == "queued"
        client.close()

    def pass_on(self) -> None:
        """The holder goes, and the other one, who waits, gets it."""
        client = self.process.client()
        assert client.release(self.holder, X)[1]["status"] == "released"
        self.people.reverse()
        wait_for(lambda: client.call("GET", f"/locks/status/{X}")[1]["session_id"] == self.holder)
        client.close()

    def begins(self, order: Order) -> list[dict[str, Any]]:
        """The stage's lines of an order's begin."""
        return [f for f in self.stage.facts if f["fact"] == "begin" and f["parameters"]["position"] == order.position]

    def arrived(self, order: Order) -> bool:
        (begun,) = self.begins(order)
        hows = [f["how"] for f in self.stage.facts if f["fact"] == "end" and f["command"] == begun["command"]]
        return hows == ["arrived"]

    def status(self) -> dict[str, Any]:
        """How the equipment stands."""
        client = self.process.client()
        found: dict[str, Any] = client.call("GET", f"/locks/status/{X}")[1]
        client.close()
        return found

    def check(self) -> None:
        """The record is as it must be, and every key is answered as ever."""
        client = self.process.client()
        for order in self.sent:
            assert order.send(client) == (200, order.reply)
        client.close()
        check(read(self.stage.record), ends=self.ends)

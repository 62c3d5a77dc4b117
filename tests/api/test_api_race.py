"""A hundred clients who want one lock at the same instant."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from rest_lab import PATIENCE_S, Authority, ok

MOTORS = 2
CLIENTS, ROUNDS = 100, 5


def test_of_a_hundred_who_ask_at_once_one_is_granted_and_the_others_are_refused_in_every_round(
    lab: Authority, motor: str
) -> None:
    """LOCK-1 LOCK-13 LOCK-8"""
    people = [lab.person(f"client {n}") for n in range(CLIENTS)]
    begin = threading.Barrier(CLIENTS)
    links = [requests.Session() for _ in people]

    def ask(n: int) -> tuple[int, str]:
        asked = {"equipment_id": motor, "session_id": people[n].session_id}
        links[n].trust_env = False
        links[n].get(f"{lab.url}/health", timeout=PATIENCE_S)
        begin.wait(PATIENCE_S)
        answer = links[n].post(f"{lab.url}/api/locks/acquire", json=asked, timeout=PATIENCE_S)
        return answer.status_code, answer.json().get("code") or answer.json()["status"]

    with ThreadPoolExecutor(CLIENTS) as pool:
        for fence in range(1, ROUNDS + 1):
            answers = list(pool.map(ask, range(CLIENTS)))
            assert Counter(answers) == {(200, "locked"): 1, (409, "equipment_in_use"): CLIENTS - 1}
            winner = people[answers.index((200, "locked"))]
            status = lab.status(motor)
            assert (status["session_id"], status["fence"]) == (winner.session_id, fence)
            ok(winner.release(motor))
    for link in links:
        link.close()
    granted = [e["fence"] for e in lab.events(motor) if e["event"] == "lock_acquired"]
    assert granted == list(range(1, ROUNDS + 1))


class FromAddress(HTTPAdapter):
    """Connections that come from one of this machine's addresses."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *sizes: Any, **more: Any) -> None:
        super().init_poolmanager(*sizes, **more, source_address=(self._address, 0))


def test_of_a_hundred_who_queue_at_once_each_has_its_own_place(lab: Authority, motor: str) -> None:
    """LOCK-13 QUEUE-2 QUEUE-9"""
    lab.person("holder").has(motor)

    def ask(n: int) -> tuple[int, int]:
        # One address may not have all places of a queue (LIMIT-4).
        with requests.Session() as http:
            http.mount("http://", FromAddress(f"127.0.0.{1 + n % 2}"))
            url = f"{lab.url}/api/locks/sessions/create"
            made = http.post(url, json={"client_name": f"client {n}"}, timeout=PATIENCE_S).json()
            asked = {"equipment_id": motor, "session_id": made["session_id"], "queue_if_busy": True}
            answer = http.post(f"{lab.url}/api/locks/acquire", json=asked, timeout=PATIENCE_S)
        return answer.status_code, answer.json().get("queue_entry", {}).get("position", 0)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS + 1)))
    assert sorted(answers) == [*((200, n) for n in range(1, CLIENTS + 1)), (409, 0)]
    assert lab.status(motor)["queue_length"] == CLIENTS

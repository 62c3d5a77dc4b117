"""A real authority process, and people who speak plain REST to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from authority.api.refusal_table import REFUSALS

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0  # how long a condition may take before a test gives up; never a measure of speed
_READY = "motorlock authority listening on "

# The fields of the page that LabLink has, and with them ours.
LOCK = {"lock_id", "equipment_id", "session_id", "lock_mode", "acquired_at", "last_activity", "timeout_seconds"}
LOCK_OURS = LOCK | {"fence", "claimed", "note", "user"}
ENTRY = {"queue_id", "equipment_id", "session_id", "lock_mode", "queued_at", "position"}
ENTRY_OURS = ENTRY | {"priority", "user", "note"}
HOLDER = {"session_id", "user", "user_verified", "client_name", "note", "since", "suspect", "busy"}

Json = dict[str, Any]


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true answer of `condition`; fail when none comes."""
    give_up = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        time.sleep(0.01)
    return found


def ok(answer: requests.Response, status: int = 200) -> Json:
    """Return the body of an answer that is no refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: Json = answer.json()
    return body


def refused(answer: requests.Response, status: int, code: str) -> Json:
    """Return the body of a refusal, which has all that REST-3 asks for."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: Json = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"] == f"urn:motorlock:{code}"
    assert body["title"]
    sentence = body["detail"]
    assert "\n" not in sentence
    assert sentence.endswith("."), sentence
    assert _is_in_the_table(code, sentence), f"{code}: {sentence}"
    return body


def _is_in_the_table(code: str, sentence: str) -> bool:
    """Whether the table of refusals has the sentence; one that is made by a function may be any."""
    rows = [row for name, (_, row) in REFUSALS.items() if name.partition(".")[0] == code]
    patterns = [re.sub(r"\\{.*?\\}", ".*", re.escape(row)) for row in rows if isinstance(row, str)]
    return len(patterns) < len(rows) or any(re.fullmatch(pattern, sentence) for pattern in patterns)


class Authority:
    """One authority process on a port of its own; `log` is what it wrote to its standard error."""

    def __init__(
        self,
        place: Path,
        *,
        lab: str | None = None,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "authority"),
        preexec: Callable[[], None] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.place = place
        self._program = program
        self._preexec = preexec
        self.data = place / "data"
        self._errors = place / "stderr.txt"
        self._env = {**os.environ, **(env or {})}
        self._arguments = ["--data", str(self.data), *options]
        if lab is not None:
            (place / "lab.toml").write_text(lab, encoding="utf-8")
            self._arguments += ["--config", str(place / "lab.toml")]
        self._port = 0
        self._http = requests.Session()
        self._http.trust_env = False
        self.start()

    def start(self) -> None:
        """Start the process on the same data and, after the first time, the same port."""
        command = [sys.executable, *self._program, "serve", "--port", str(self._port), *self._arguments]
        with self._errors.open("a", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self._env,
                cwd=ROOT,
                preexec_fn=self._preexec,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith(_READY):
            self.end(signal.SIGKILL)
            raise AssertionError(f"the authority did not start: {line!r} {self.log}")
        self.url = line.strip().removeprefix(_READY)
        self._port = int(self.url.rpartition(":")[2])

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the process by its id and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def close(self) -> None:
        """End the process and the connections to it."""
        self.end()
        self._http.close()

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and start it again on the same data and port."""
        self.end(how)
        self.start()

    @property
    def log(self) -> str:
        """What the process wrote to its standard error."""
        return self._errors.read_text(encoding="utf-8")

    def get(self, path: str, **more: Any) -> requests.Response:
        """Make a GET request below `/api`."""
        return self.send("GET", f"/api{path}", **more)

    def post(self, path: str, body: object = None, **more: Any) -> requests.Response:
        """Make a POST request below `/api`, with a JSON body."""
        return self.send("POST", f"/api{path}", json=body, **more)

    def delete(self, path: str, **more: Any) -> requests.Response:
        """Make a DELETE request below `/api`."""
        return self.send("DELETE", f"/api{path}", **more)

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        """Make any request."""
        return self._http.request(method, self.url + path, **{"timeout": PATIENCE_S, **more})

    def raw(self, path: str, body: bytes, content_type: str | None = "application/json") -> requests.Response:
        """Post bytes below `/api` as they are."""
        headers = {} if content_type is None else {"content-type": content_type}
        return self.send("POST", f"/api{path}", data=body, headers=headers)

    def status(self, equipment: str = "stage_x") -> Json:
        """The present status."""
        return ok(self.get(f"/locks/status/{equipment}"))

    def events(self, equipment: str = "stage_x") -> list[Json]:
        """The stored events, oldest first."""
        found: list[Json] = ok(self.get(f"/locks/events/{equipment}?limit=1000"))["events"]
        return found

    def person(self, name: str, **more: object) -> Person:
        """Somebody with a session of their own."""
        made = ok(self.post("/locks/sessions/create", {"client_name": name, "user": name, **more}))
        return Person(self, made["session_id"], made.get("session_token"))

    def equipment(self) -> list[str]:
        """The ids of all equipment."""
        return [one["id"] for one in self.get("/equipment/list").json()]


@dataclass
class Person:
    """A user with a session and no kernel."""

    lab: Authority
    session_id: str
    token: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What proves that a request acts for this session, where that is asked for."""
        return {} if self.token is None else {"Motorlock-Session": self.token}

    def post(self, path: str, body: Json | None = None, **more: Any) -> requests.Response:
        """Post for this session."""
        headers = {**self.headers, **more.pop("headers", {})}
        return self.lab.post(path, {"session_id": self.session_id, **(body or {})}, headers=headers, **more)

    def beats(self, *, busy: bool) -> None:
        """Send a keeper's sign of life."""
        ok(self.lab.post(f"/locks/sessions/{self.session_id}/heartbeat", {"busy": busy}, headers=self.headers))

    def acquire(self, equipment: str = "stage_x", **more: object) -> requests.Response:
        """Ask for a lock."""
        return self.post("/locks/acquire", {"equipment_id": equipment, **more})

    def has(self, equipment: str = "stage_x", **more: object) -> Json:
        """Get the exclusive lock and return it."""
        answer = ok(self.acquire(equipment, **more))
        assert answer["status"] == "locked", answer
        lock: Json = answer["lock"]
        return lock

    def release(self, equipment: str = "stage_x", **more: object) -> requests.Response:
        """Give a lock back."""
        return self.post("/locks/release", {"equipment_id": equipment, **more})

    def command(
        self, action: str, equipment: str = "stage_x", key: str | None = None, **parameters: object
    ) -> requests.Response:
        """Run a command and wait for its end."""
        return self.order({"action": action, "parameters": parameters}, equipment, key)

    def order(self, body: Json, equipment: str = "stage_x", key: str | None = None) -> requests.Response:
        """Run a command with anything in its body."""
        headers = {} if key is None else {"Idempotency-Key": key}
        full = {"command_id": "c1", "equipment_id": equipment, **body}
        return self.post(f"/equipment/{equipment}/command", full, headers=headers)

    def begins(self, action: str, equipment: str = "stage_x", key: str | None = None, **parameters: object) -> None:
        """Begin a command that takes its time, and do not wait for its end."""
        answer = self.order({"action": action, "parameters": parameters, "wait_seconds": 0}, equipment, key)
        assert ok(answer, 202)["outcome"] == "running"

    def stop(self, equipment: str = "stage_x", **more: object) -> requests.Response:
        """Stop equipment."""
        return self.post(f"/equipment/{equipment}/stop", dict(more))

    def leave(self) -> requests.Response:
        """End the session."""
        return self.lab.delete(f"/locks/sessions/{self.session_id}", headers=self.headers)


def program_with(place: Path, constant: str, value: float) -> list[str]:
    """Return a program that is the authority with one constant changed, such as `authority.service.LONG_S`."""
    module = constant.rpartition(".")[0]
    lines = ["import sys", f"sys.path.insert(0, {str(ROOT)!r})", f"import {module}", f"{constant} = {value}"]
    program = place / "changed_authority.py"
    program.write_text("\n".join([*lines, "from authority.__main__ import main", "sys.exit(main())", ""]))
    return [str(program)]


@contextmanager
def running(place: Path, **how: Any) -> Iterator[Authority]:
    """Run an authority for as long as a test needs it; `how` is as `Authority` takes it."""
    place.mkdir(parents=True, exist_ok=True)
    authority = Authority(place, **how)
    try:
        yield authority
    finally:
        authority.close()

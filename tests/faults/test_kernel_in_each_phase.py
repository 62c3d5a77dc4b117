"""A real kernel with its keeper, killed or suspended in each phase of a move; then the motor's own record is read."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_lab import Authority, Kernel, KernelError, Witness
from record import check, read
from test_kill_authority import wait_for

LAB = """
[equipment.stage_x]
driver = "simulated-motor"
[equipment.stage_x.options]
velocity = 25.0
record = "RECORD"
"""
OPEN = """
from jupyter_motorlock.client.session import KernelSession
session = KernelSession()
"""
LOGIN = 'session.acquire("stage_x")'
QUEUE = 'session.acquire("stage_x", queue=True); session.session_id'
WAIT = 'print("waits", flush=True); session.wait_for("stage_x")'


class Scene:
    """Ann's kernel, and Bob, who speaks plain REST; the motor is told a target of its own each time."""

    def __init__(self, authority: Authority, witness: Witness, kernel: Kernel, record: Path) -> None:
        self.authority, self.witness, self.kernel, self.record = authority, witness, kernel, record
        self.bob = authority.person("bob")
        kernel.run(OPEN)

    def far(self) -> float:
        """A target of its own, almost half of the range away."""
        away = 45.0 + len(read(self.record)) / 1000
        position = self.position()
        return position + away if position < 50.0 else position - away

    def position(self) -> float:
        return float(self.authority.status()["readback"]["position"])

    def ann_moves(self) -> float:
        """Let her cell move; returns the target once the motor moves."""
        self.kernel.run(LOGIN)
        target = self.far()
        self.cell = self.kernel.start(f'session.command("stage_x", "move_to", {{"position": {target}}})')
        wait_for(lambda: self.begins(target))
        return target

    def begins(self, target: float) -> list[dict[str, Any]]:
        return [f for f in read(self.record) if f["fact"] == "begin" and f["parameters"]["position"] == target]

    def gone_by(self, part: float, target: float) -> None:
        """Return when so much of the way is gone."""
        origin = self.begins(target)[0]["position"]
        wait_for(lambda: abs(self.position() - origin) >= part * abs(target - origin))

    def bob_waits(self) -> None:
        assert self.bob.acquire(wait=True)["status"] == "queued"

    def bob_moves(self, *, wait_seconds: float = 30.0) -> tuple[float, dict[str, Any]]:
        target = self.far()
        body = {
            "command_id": "b", "equipment_id": "stage_x", "session_id": self.bob.session_id, "action": "move_to",
            "parameters": {"position": target}, "wait_seconds": wait_seconds,
        }  # fmt: skip
        answer: dict[str, Any] = self.authority.call("POST", "/equipment/stage_x/command", body)
        return target, answer

    def bob_has_it(self) -> None:
        """Bob is granted, drives, and the record is as it must be."""
        self.witness.wait_for("lock_acquired", session_id=self.bob.session_id)
        assert self.bob_moves()[1]["outcome"] == "done"
        check(read(self.record))

    def how(self, target: float) -> str:
        """How the move to a target ended."""
        (begun,) = self.begins(target)
        (end,) = [f for f in read(self.record) if f["fact"] == "end" and f["command"] == begun["command"]]
        return str(end["how"])


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("motor") / "record"


@pytest.fixture(scope="module")
def authority(record: Path) -> Iterator[Authority]:
    """One for all tests here; each leaves the stage free."""
    lab = record.with_name("lab.toml")
    lab.write_text(LAB.replace("RECORD", str(record)))
    running = Authority(record.with_name("data"), "--config", str(lab))
    yield running
    running.end()


@pytest.fixture
def scene(authority: Authority, record: Path, tmp_path: Path) -> Iterator[Scene]:
    witness = Witness(authority.url)
    place = {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    ours = {"MOTORLOCK_URL": authority.url, "MOTORLOCK_USER": "ann", "MOTORLOCK_LEASE_SECONDS": "1.5"}
    kernel = Kernel({**os.environ, **place, **ours})
    made = Scene(authority, witness, kernel, record)
    yield made
    kernel.end()
    made.bob.leave()
    wait_for(lambda: authority.status()["state"] == "free")
    witness.close()


def before_any_move(s: Scene) -> None:
    s.kernel.run(LOGIN)
    s.bob_waits()
    os.kill(s.kernel.pid, signal.SIGKILL)
    s.bob_has_it()


def as_it_begins(s: Scene) -> None:
    target = s.ann_moves()
    s.bob_waits()
    os.kill(s.kernel.pid, signal.SIGKILL)
    s.bob_has_it()
    assert s.how(target) == "stopped"


def in_the_middle(s: Scene) -> None:
    target = s.ann_moves()
    s.bob_waits()
    s.gone_by(0.4, target)
    os.kill(s.kernel.pid, signal.SIGKILL)
    s.bob_has_it()
    assert s.how(target) == "stopped"


def near_the_end(s: Scene) -> None:
    target = s.ann_moves()
    s.bob_waits()
    s.gone_by(0.97, target)
    os.kill(s.kernel.pid, signal.SIGKILL)
    s.bob_has_it()
    assert s.how(target) in {"stopped", "arrived"}


def when_it_has_arrived(s: Scene) -> None:
    target = s.ann_moves()
    s.kernel.finish(s.cell)
    s.bob_waits()
    os.kill(s.kernel.pid, signal.SIGKILL)
    s.bob_has_it()
    assert s.how(target) == "arrived"


def while_it_queues(s: Scene) -> None:
    """It has a place in the queue, and its cell is over: Bob's move is none of its business."""
    s.bob.acquire()
    target, answer = s.bob_moves(wait_seconds=0)
    assert answer["outcome"] == "running"
    ann = s.kernel.run(QUEUE).strip("'")
    os.kill(s.kernel.pid, signal.SIGKILL)
    s.witness.wait_for("queue_processed", session_id=ann, result="session_ended")
    wait_for(lambda: s.authority.status()["running"] is None)
    assert s.how(target) == "arrived"
    check(read(s.record))


def while_it_waits_in_the_call(s: Scene) -> None:
    """Its cell waits for its turn."""
    s.bob.acquire()
    target, _ = s.bob_moves(wait_seconds=0)
    ann = s.kernel.run(QUEUE).strip("'")
    s.kernel.wait_for_output(s.kernel.start(WAIT))
    os.kill(s.kernel.pid, signal.SIGKILL)
    s.witness.wait_for("queue_processed", session_id=ann, result="session_ended")
    s.bob.release()
    wait_for(lambda: s.authority.status()["state"] == "free")
    assert s.how(target) == "arrived"
    check(read(s.record))


PHASES = [
    in_the_middle,
    *(
        pytest.param(phase, marks=pytest.mark.slow)
        for phase in (
            before_any_move, as_it_begins, near_the_end, when_it_has_arrived, while_it_queues,
            while_it_waits_in_the_call,
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_a_kernel_killed_in_any_phase_of_a_move_leaves_a_motor_that_stands(
    scene: Scene, phase: Callable[[Scene], None]
) -> None:
    """SAFE-1, SAFE-2, LIVE-2, LOSS-4, LOSS-9, QUEUE-7"""
    phase(scene)


@pytest.mark.slow
@pytest.mark.parametrize("moving", [True, False], ids=["in a move", "at rest"])
def test_who_slept_past_the_lease_while_somebody_waited_is_refused_also_after_the_next_has_left(
    scene: Scene, moving: bool
) -> None:
    """SAFE-1, SAFE-2, LIVE-11, LOCK-11"""
    if moving:
        target = scene.ann_moves()
    else:
        scene.kernel.run(LOGIN)
    scene.bob_waits()
    keeper = scene.kernel.keeper_pid
    for pid in (keeper, scene.kernel.pid):
        os.kill(pid, signal.SIGSTOP)
    scene.bob_has_it()
    assert scene.bob.release()["status"] == "released"
    wait_for(lambda: scene.authority.status()["state"] == "free")
    for pid in (keeper, scene.kernel.pid):
        os.kill(pid, signal.SIGCONT)
    if moving:
        scene.kernel.finish(scene.cell)
        assert scene.how(target) == "arrived", "on silence it may finish"
    told = len(read(scene.record))
    with pytest.raises(KernelError, match="LockLost"):
        scene.kernel.run(f'session.command("stage_x", "move_to", {{"position": {scene.far()}}})')
    facts = read(scene.record)
    assert [json.dumps(f) for f in facts[told:] if f["fact"] == "begin"] == []
    check(facts)

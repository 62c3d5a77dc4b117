"""The play: Ann's and Bob's notebooks against each other in two real kernels, each step checked."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from authority.demo.kernels import Person, Ran
from authority.demo.push import Fields, NothingCame, Push, moment
from authority.demo.workbench import put_notebooks
from jupyter_motorlock.client.http import Client

STAGE = "stage_x"
LOW_MM = 5.0
HIGH_MM = 25.0
BOBS_MM = 12.5  # where the notebooks send the stage


class Unexpected(Exception):
    """A step went otherwise than it should; the text says what was expected, and what came."""


def play(url: str, place: Path) -> None:
    """Play it and tell it line by line; raises `Unexpected` at the first step that is not as it should be."""
    began = time.monotonic()
    work = place / "notebooks"
    put_notebooks(work)
    with _people(url, work) as (ann, bob), Push(url) as push:
        scene = Scene(ann, bob, push, Client(url))
        try:
            scene.lab_is_ready()
            scene.bob_is_refused()
            scene.bob_stops_a_running_cell()
            scene.ann_resumes_and_bob_queues()
            scene.ann_dies_and_bob_gets_it()
            scene.bob_moves_and_leaves()
        except (NothingCame, TimeoutError) as nothing:
            raise Unexpected(f"The demonstration stuck: {nothing}.") from nothing
    _print_line("Lab", f"all of it went as it should, in {time.monotonic() - began:.0f} s.")


@contextmanager
def _people(url: str, work: Path) -> Iterator[tuple[Person, Person]]:
    people: list[Person] = []
    try:
        people.extend(Person(name, work / f"{name.lower()}.ipynb", url) for name in ("Ann", "Bob"))
        for one in people:
            one.ready()
        ann, bob = people
        yield ann, bob
    finally:
        for one in people:
            one.close()


class Scene:
    """Ann, Bob, and what the authority says of the stage."""

    def __init__(self, ann: Person, bob: Person, push: Push, client: Client) -> None:
        self._ann = ann
        self._bob = bob
        self._push = push
        self._client = client
        self._fence = 0
        self._scan = ""

    def lab_is_ready(self) -> None:
        """Wait for the stage, and let both load the extension."""
        if not self._readback()["connected"]:
            self._push.until("progress", lambda seen: _part(seen, "readback").get("connected") is True)
        for one in (self._ann, self._bob):
            _went_well(one, "load the extension", one.run("load"))
        _print_line("Lab", f"{self._label()} is ready, and the kernels of Ann and Bob run.")

    def bob_is_refused(self) -> None:
        """Ann logs in and scans; Bob asks and is told who has it."""
        ran = self._ann.run("login")
        _went_well(self._ann, f"log in to {STAGE}", ran)
        self._held_by("Ann")
        self._fence = self._status()["fence"]
        _print_line("Ann", f"logs in and has {STAGE} {_ms(ran.took_s)} later.")
        self._scan = self._ann.start("scan")
        self._mid_move()
        _print_line("Ann", "starts to scan; the stage moves.")
        ran = self._bob.run("ask")
        _refused(self._bob, "be refused while Ann has it", ran, "EquipmentInUse", "Ann")
        self._held_by("Ann")
        _print_line("Bob", f"is refused {_ms(ran.took_s)} later: {ran.error}")

    def bob_stops_a_running_cell(self) -> None:
        """Bob stops the stage in the middle of Ann's cell; the lock stays hers, her commands wait for her word."""
        self._mid_move()
        pressed = time.time()
        _went_well(self._bob, f"stop {STAGE}", self._bob.run("stop"))
        rest = self._push.until("command_finished", lambda event: moment(event) >= pressed)
        _expect(rest["outcome"] == "stopped", "the move ends as stopped", rest)
        ran = self._ann.finish(self._scan)
        _refused(self._ann, "see who stopped her scan", ran, "CommandStopped", "Bob")
        self._rests()
        _print_line("Bob", f"presses STOP while Ann's cell runs; the stage rests {_ms(moment(rest) - pressed)} later.")
        _print_line("Ann", f"reads: {ran.seen_last}")
        ran = self._ann.run("scan-on")
        _refused(self._ann, "be refused until she resumes", ran, "StoppedBySomebody", "Bob")
        self._held_by("Ann")
        _expect(self._status()["fence"] == self._fence, f"Ann still has fence {self._fence}", self._status()["fence"])
        _print_line("Ann", f"still has {STAGE}, and is asked to look first: {ran.error}")

    def ann_resumes_and_bob_queues(self) -> None:
        """Ann scans on; Bob's cell waits in the queue."""
        _went_well(self._ann, "resume", self._ann.run("resume"))
        self._scan = self._ann.start("scan-on")
        self._mid_move()
        _print_line("Ann", "resumes and scans on.")
        self._waiting = self._bob.start("wait")
        queued = self._push.until("queued", lambda event: event["user"] == "Bob")
        _expect(queued["position"] == 1, "Bob is next in the queue", queued)
        _print_line("Bob", "waits in the queue; he is next.")

    def ann_dies_and_bob_gets_it(self) -> None:
        """Ann's kernel is killed in the middle of a move: the stage is stopped, and then it is Bob's."""
        self._mid_move()
        killed = time.time()
        self._ann.kill()
        granted = self._push.until("lock_acquired", lambda event: event["user"] == "Bob")
        ran = self._bob.finish(self._waiting)
        returned = time.time() - killed
        _went_well(self._bob, f"get {STAGE}", ran)
        self._held_by("Bob")
        _expect(granted["fence"] == self._fence + 1, f"Bob has fence {self._fence + 1}", granted["fence"])
        stopped = self._stopped_before(granted)
        at = self._rests()
        _print_line("Ann", "her kernel is killed (SIGKILL) in the middle of a move.")
        _print_line(
            "Lab", f"the stage got its stop {_ms(moment(stopped) - killed)} after the kill and rests at {at:.2f} mm."
        )
        _print_line(
            "Bob", f"has it {_ms(moment(granted) - killed)} after the kill; his cell returns after {_ms(returned)}."
        )

    def bob_moves_and_leaves(self) -> None:
        """Bob moves the stage and logs out."""
        ran = self._bob.run("move")
        _went_well(self._bob, f"move to {BOBS_MM} mm", ran)
        at = self._readback()["position"]
        _expect(abs(float(at) - BOBS_MM) < 0.1, f"the stage is at {BOBS_MM} mm", at)
        _print_line("Bob", f"moves the stage to {ran.text} in {ran.took_s:.1f} s.")
        _went_well(self._bob, "log out", self._bob.run("logout"))
        _expect(self._status()["state"] == "free", f"{STAGE} is free", self._status()["state"])
        _print_line("Bob", f"logs out; {STAGE} is free.")

    def _mid_move(self) -> None:
        """Wait until the stage is well between the two ends of the scan, which leaves time to act."""

        def between(readback: Fields) -> bool:
            return readback["moving"] is True and LOW_MM + 5 < float(str(readback["position"])) < HIGH_MM - 5

        moved = False
        while not moved:
            self._push.until(
                "progress", lambda seen: seen["equipment_id"] == STAGE and between(_part(seen, "readback"))
            )
            moved = between(self._readback())  # what was pushed may be old by now

    def _stopped_before(self, granted: Fields) -> Fields:
        """Return the stop that came between the end of Ann's lock and Bob's grant."""
        events = self._client.call("GET", "locks", "events", STAGE)["events"]
        names = [event["event"] for event in events if event["seq"] <= int(str(granted["seq"]))]
        tail = names[len(names) - names[::-1].index("lock_draining") - 1 :]
        order = [name for name in tail if name in {"lock_draining", "stopped", "lock_expired", "lock_acquired"}]
        wanted = ["lock_draining", "stopped", "lock_expired", "lock_acquired"]
        _expect(order == wanted, "the stage is stopped before the lock passes on", tail)
        stopped: Fields = [event for event in events if event["event"] == "stopped"][-1]
        return stopped

    def _held_by(self, user: str) -> None:
        holder = self._status()["holder"]
        _expect(holder is not None and holder["user"] == user, f"{user} has {STAGE}", holder)

    def _rests(self) -> float:
        readback = self._readback()
        _expect(readback["moving"] is False, "the stage rests", readback)
        return float(readback["position"])

    def _readback(self) -> dict[str, Any]:
        found: dict[str, Any] = self._status()["readback"]
        return found

    def _status(self) -> dict[str, Any]:
        return self._client.call("GET", "locks", "status", STAGE)

    def _label(self) -> str:
        return str(self._status().get("label") or STAGE)


def _part(seen: Fields, name: str) -> Mapping[str, object]:
    part = seen[name]
    if isinstance(part, Mapping):
        return part
    return {}


def _went_well(who: Person, what: str, ran: Ran) -> None:
    _expect(ran.error is None, f"{who.name} can {what}", ran.error)


def _refused(who: Person, what: str, ran: Ran, error: str, names: str) -> None:
    """Check that the cell ended with this error, whose sentence names somebody."""
    shown = f"{ran.error or 'no error'} {ran.text}"  # what came while the cell ran stands below its error
    fits = shown.startswith(f"{error}: ") and names in shown
    _expect(fits, f"{who.name} should {what} ({error}, naming {names})", shown)


def _expect(holds: bool, what: str, came: object) -> None:
    if not holds:
        raise Unexpected(f"Expected: {what}. Found: {came}")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def _print_line(who: str, sentence: str) -> None:
    sys.stdout.write(f"{who}: {sentence}\n")
    sys.stdout.flush()

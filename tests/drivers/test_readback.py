"""What a worker tells of the equipment it reads, and how it reaches for one that is down: on a clock of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping
from typing import ClassVar

import pytest
from virtual_time import VirtualTime

from authority.core.model import Command, EquipmentId, Outcome, SessionId
from authority.drivers.declare import control, observe
from authority.drivers.simulated import SimulatedMotor
from authority.ports import STOP_DEADLINE_S, DriverUnavailable, Readback, fence_of_command, stop_token_of_command
from authority.worker import Worker

STAGE = EquipmentId("stage_x")


class Clock:
    """Implements `ports.Clock` on the loop's time."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time

    def now(self) -> float:
        return self._time()

    def wall(self, at: float) -> float:
        return at


class Told:
    """Notes what a worker tells, and when."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self.at: list[float] = []
        self.outside: list[float] = []
        self.outcomes: list[Outcome] = []
        self.ended = asyncio.Event()

    def command_finished(
        self, equipment: EquipmentId, key: str, outcome: Outcome, data: object, error: str | None, *, moving: bool
    ) -> None:
        self.outcomes.append(outcome)
        self.ended.set()

    def readback_changed(self, equipment: EquipmentId, *, moving: bool, outside: float | None) -> None:
        self.at.append(self._time())
        if outside is not None:
            self.outside.append(outside)

    def stop_obeyed(self, equipment: EquipmentId, fence: int) -> None:
        assert fence == 0


class Elsewhere(SimulatedMotor):
    """A motor that somebody else moves: where it is, and whether it moves, is a function of time."""

    def __init__(self, time: VirtualTime, course: Callable[[float], tuple[float, bool]], tolerance: float) -> None:
        super().__init__(clock=time)
        self._time, self._course, self._tolerance = time, course, tolerance
        self._began = time()

    def readback(self) -> Readback:
        position, moving = self._course(self._time() - self._began)
        return Readback(position=position, moving=moving, tolerance=self._tolerance)


class Plain(SimulatedMotor):
    """A motor that tells nothing of its moves, each of which waits for a test; it notes when and how it was called."""

    blocking: ClassVar[bool] = False

    def __init__(self, time: VirtualTime) -> None:
        super().__init__(clock=time)
        self._time = time
        self.read: list[float] = []
        self.fences: list[int] = []
        self.stopped: list[bool] = []
        self.may_end = asyncio.Event()
        self.down = False
        self.says = Readback(moving=False, position=5.0, target=5.0)

    def readback(self) -> Readback:
        self.read.append(self._time())
        if self.down:
            raise DriverUnavailable("the cable is out")
        return self.says

    def open(self) -> None:
        """Note nothing."""

    @control
    async def move_to(self, position: float) -> float:  # type: ignore[override]
        """Wait for a test."""
        self.fences.append(fence_of_command.get())
        self.stopped.append(stop_token_of_command.get().stopped)
        await self.may_end.wait()
        self.stopped.append(stop_token_of_command.get().stopped)
        return position


class Broken(SimulatedMotor):
    """A motor whose cable is out until a test puts it back; it notes when it was tried."""

    blocking: ClassVar[bool] = False

    def __init__(self, time: VirtualTime) -> None:
        super().__init__(clock=time)
        self._time = time
        self.tried: list[float] = []

    def open(self) -> None:
        self.tried.append(self._time())
        raise DriverUnavailable("the cable is out")

    def readback(self) -> Readback:
        raise DriverUnavailable("the cable is out")


def move(action: str, parameters: Mapping[str, object]) -> Command:
    return Command(
        key="k", command_id="c", session=SessionId("ann"), user="Ann", fence=7, action=action,
        parameters=dict(parameters),
    )  # fmt: skip


def pauses(tried: list[float]) -> list[float]:
    return [round(b - a, 6) for a, b in itertools.pairwise(tried)]


def test_progress_is_told_at_most_ten_times_a_second_and_rest_at_once(clock: VirtualTime) -> None:
    """PUSH-5"""

    async def run() -> tuple[list[float], float]:
        motor = SimulatedMotor(clock=clock)
        worker, told = Worker(STAGE, motor, Clock(clock)), Told(clock)
        worker.start(told)
        await asyncio.sleep(5)
        told.at.clear()
        worker.run(move("move_to", {"position": 20.03}), worker.stop_token())  # 2.003 s
        await told.ended.wait()
        arrived = clock()
        await asyncio.sleep(5)
        await worker.close()
        return told.at, arrived

    at, arrived = clock.run(run())
    mere_progress = at[1:-1]
    assert 10 <= len(mere_progress) <= 21
    assert min(pauses(mere_progress)) >= 0.1
    assert at[-1] == pytest.approx(arrived)


@pytest.mark.parametrize(
    ("start", "target", "seen"),
    [(0.0, 40.0, (10.0, 40.0, 10.0, 0.25)), (50.0, 30.0, (40.0, 30.0, 10.0, 0.5)), (5.0, 5.0, (5.0, 5.0, 10.0, None))],
)
def test_the_readback_says_where_it_goes_how_fast_and_how_much_of_the_way_is_gone(
    clock: VirtualTime, start: float, target: float, seen: tuple[float | None, ...]
) -> None:
    """DRV-17"""

    async def run() -> tuple[float | None, ...]:
        worker, told = Worker(STAGE, SimulatedMotor(start=start, clock=clock), Clock(clock)), Told(clock)
        worker.start(told)
        await asyncio.sleep(1)
        assert worker.fraction is None
        worker.run(move("move_to", {"position": target}), worker.stop_token())
        await asyncio.sleep(1.04)
        r = worker.readback
        shown = (r.position and round(r.position), r.target, r.velocity, worker.fraction and round(worker.fraction, 2))
        await worker.stop()
        await asyncio.sleep(1)
        assert worker.fraction is None
        await worker.close()
        return shown

    assert clock.run(run()) == seen


def told_outside(clock: VirtualTime, course: Callable[[float], tuple[float, bool]], seconds: float) -> list[float]:
    """What a worker tells of a motor that somebody else moves, within a tolerance of 0.0101."""

    async def run() -> list[float]:
        worker, listener = Worker(STAGE, Elsewhere(clock, course, 0.0101), Clock(clock)), Told(clock)
        worker.start(listener)
        await asyncio.sleep(seconds)
        await worker.close()
        return listener.outside

    return clock.run(run())


def ramp(begins: float, speed: float, ends: float) -> Callable[[float], tuple[float, bool]]:
    return lambda t: (speed * (min(max(t, begins), ends) - begins), begins < t < ends)


@pytest.mark.parametrize(
    ("course", "told"),
    [
        (ramp(5.0, 2.0, 10.0), [0.5, 10.0]),  # it is noticed when it begins, and where it rests
        (lambda t: (0.005 * (-1) ** int(2 * t), False), []),  # noise
        (lambda t: (0.001 * t, False), [0.0105, 0.021, 0.0315, 0.042, 0.0525]),  # a drift that no two readbacks show
        (lambda t: (7.0 if t > 3 else 0.0, False), [7.0]),  # a jump between two readbacks
        (lambda t: (0.0, t > 3), []),  # a motor that says that it moves, and does not
    ],
    ids=["motion", "noise", "drift", "jump", "trembling"],
)
def test_what_moves_it_from_outside_is_told_when_it_begins_and_where_it_rests_and_noise_is_not(
    clock: VirtualTime, course: Callable[[float], tuple[float, bool]], told: list[float]
) -> None:
    """DRV-8"""

    found = told_outside(clock, course, 60)
    assert len(found) == len(told)
    assert found == pytest.approx(told, abs=0.6 if told[:1] == [0.5] else 0.001)


def test_what_trembles_for_hours_is_told_once_a_minute_and_where_it_rests(clock: VirtualTime) -> None:
    """DRV-8"""

    def trembling(t: float) -> tuple[float, bool]:
        return (float(int(t / 2) % 2) if t < 3600 else 5.0, False)

    found = told_outside(clock, trembling, 3700)
    assert 55 < len(found) < 70
    assert found[-1] == 5.0


def reached_for(clock: VirtualTime, during: Callable[[Worker], object], seconds: float) -> list[float]:
    """When a motor was tried that is down for `seconds`, while `during` happens after 5.2 s."""

    async def run() -> list[float]:
        motor = Broken(clock)
        worker = Worker(STAGE, motor, Clock(clock))
        worker.start(Told(clock))
        await asyncio.sleep(5.2)
        during(worker)
        await asyncio.sleep(seconds - 5.2)
        await worker.close()
        return motor.tried

    return clock.run(run())


def test_equipment_that_is_down_is_reached_for_in_pauses_that_grow_to_fifteen_seconds(clock: VirtualTime) -> None:
    """DRV-7"""
    assert pauses(reached_for(clock, lambda worker: None, 70)) == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_who_wants_equipment_that_is_down_hurries_the_next_attempt_but_not_without_a_pause(clock: VirtualTime) -> None:
    """DRV-7"""
    tried = reached_for(clock, Worker.reconnect_soon, 5.3)
    assert pauses(tried) == [0.5, 1, 2, pytest.approx(1.7)]
    again = reached_for(clock, lambda worker: [worker.reconnect_soon() for _ in range(100)], 6)
    assert len(again) == len(tried)


def begun(clock: VirtualTime, then: Callable[[Worker, Plain], Coroutine[object, object, None]]) -> Plain:
    """A motor that a command was begun for 0.3 s after a readback, while `then` happens."""

    async def run() -> Plain:
        motor = Plain(clock)
        worker = Worker(STAGE, motor, Clock(clock))
        worker.start(Told(clock))
        await asyncio.sleep(5.3)
        motor.read.clear()
        worker.run(move("move_to", {"position": 5.0}), worker.stop_token())
        await then(worker, motor)
        await worker.close()
        return motor

    return clock.run(run())


def test_equipment_is_read_at_once_and_often_while_a_command_of_ours_runs(clock: VirtualTime) -> None:
    """DRV-4, PUSH-5: also where it does not say that it moves."""

    async def a_second(worker: Worker, motor: Plain) -> None:
        await asyncio.sleep(1)

    read = begun(clock, a_second).read
    assert read[0] == pytest.approx(1005.3)
    assert set(pauses(read)) == {0.05}


def test_a_way_of_nothing_has_no_fraction(clock: VirtualTime) -> None:
    """DRV-17"""

    async def look(worker: Worker, motor: Plain) -> None:
        await asyncio.sleep(0.1)
        assert worker.fraction is None

    begun(clock, look)


def test_a_driver_is_told_the_fence_of_its_command_and_whether_a_stop_came_in_between(clock: VirtualTime) -> None:
    """CMD-6, STOP-5"""

    async def stop(worker: Worker, motor: Plain) -> None:
        await asyncio.sleep(0.1)
        await worker.stop()
        motor.may_end.set()
        await worker.wait_until_command_ended()

    motor = begun(clock, stop)
    assert motor.fences == [7]
    assert motor.stopped == [False, True]


def test_the_end_of_a_command_is_waited_for_as_long_as_a_stop_may_take(clock: VirtualTime) -> None:
    """STOP-10"""

    async def wait(worker: Worker, motor: Plain) -> None:
        asked = clock()
        await worker.wait_until_command_ended()
        assert clock() - asked == pytest.approx(STOP_DEADLINE_S)
        motor.may_end.set()
        await worker.wait_until_command_ended()
        ended = clock()
        await worker.wait_until_command_ended()
        assert clock() == ended
        assert ended - asked < STOP_DEADLINE_S + 0.1

    begun(clock, wait)


def test_equipment_that_was_back_is_reached_for_as_soon_as_it_was_the_first_time(clock: VirtualTime) -> None:
    """DRV-7"""

    async def run() -> list[float]:
        motor = Plain(clock)
        motor.down = True
        worker = Worker(STAGE, motor, Clock(clock))
        worker.start(Told(clock))
        await asyncio.sleep(10)
        motor.down = False
        await asyncio.sleep(20)
        motor.down = True
        motor.read.clear()
        await asyncio.sleep(8)
        await worker.close()
        return motor.read

    assert pauses(clock.run(run())) == [0.5, 1, 2, 4]


@pytest.mark.parametrize(("position", "fraction"), [(4.0, 0.0), (5.0, 0.0), (7.5, 0.5), (10.0, 1.0), (11.0, 1.0)])
def test_a_fraction_is_none_of_the_way_at_least_and_all_of_it_at_most(
    clock: VirtualTime, position: float, fraction: float
) -> None:
    """DRV-17"""

    async def go(worker: Worker, motor: Plain) -> None:
        motor.says = Readback(moving=True, position=position, target=10.0)
        await asyncio.sleep(0.1)
        assert worker.fraction == fraction

    begun(clock, go)


@pytest.mark.parametrize(("rests_after_s", "waits_s"), [(0.0, 0.0), (2.0, 2.0), (9.0, 5.0)])
def test_rest_is_waited_for_and_not_for_ever(clock: VirtualTime, rests_after_s: float, waits_s: float) -> None:
    """STORE-4"""

    async def run() -> float:
        motor = Plain(clock)
        motor.says = Readback(moving=rests_after_s > 0, position=1.0)
        worker = Worker(STAGE, motor, Clock(clock))
        worker.start(Told(clock))
        await asyncio.sleep(1)
        began = clock()
        rests = Readback(moving=False, position=1.0)
        asyncio.get_running_loop().call_later(rests_after_s, setattr, motor, "says", rests)
        await worker.wait_until_resting(5.0)
        waited = clock() - began
        await worker.close()
        return waited

    assert clock.run(run()) == pytest.approx(waits_s, abs=0.11)


class Asked(Plain):
    """A motor with a question that is answered at once, and one that is not."""

    kind: ClassVar[str] = "motor \udcfc"

    @observe
    def now(self) -> float:
        """Answer."""
        return 1.0

    @observe
    async def later(self) -> float:
        """Answer later."""
        return 1.0


def test_only_a_plain_question_on_the_loop_is_answered_at_once(clock: VirtualTime) -> None:
    """CMD-5, DRV-50"""

    async def run() -> None:
        on_loop = Worker(STAGE, Asked(clock), Clock(clock))
        assert [on_loop.answers_at_once(name) for name in ("now", "later")] == [True, False]
        assert on_loop.kind == "motor \\udcfc"

    clock.run(run())


def test_where_no_command_ran_none_is_waited_for(clock: VirtualTime) -> None:
    """STOP-10"""

    async def run() -> float:
        worker = Worker(STAGE, Plain(clock), Clock(clock))
        began = clock()
        await worker.wait_until_command_ended()
        return clock() - began

    assert clock.run(run()) == 0

"""What a driver raises, in whatever way it is called, and what comes too late: one call's failure and nobody else's."""

from __future__ import annotations

import asyncio
import threading
import weakref
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from fakes import PATIENCE_S, Lab, Press, Slide, VirtualClock, X, lab, reply, until

from authority.core.model import Command, SessionId
from authority.driver_calls import DriverFailed, DriverThread, call_driver
from authority.drivers.declare import InvalidParameters, control
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits, Readback
from authority.worker import Worker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "motorlock.sqlite3"


def holder(here: Lab) -> SessionId:
    ann = here.person("ann")
    here.login(ann)
    return ann


class Waits(Slide):
    """Its command waits for something that is cancelled, or that ends the process; it notes its own cancellation."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error
        self.cancelled = False

    @control
    async def move_to(self, position: float) -> float:
        """Wait, and then fail."""
        self.moving = True
        try:
            await asyncio.sleep(0 if position else PATIENCE_S)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        self.moving = False
        raise self._error


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), GeneratorExit(), SystemExit("gone"), KeyboardInterrupt()], ids=repr
)
def test_what_ends_a_task_or_a_process_elsewhere_fails_a_command_on_the_loop(path: Path, error: BaseException) -> None:
    """DRV-52, CMD-17"""

    async def run() -> None:
        async with lab(path, {X: Waits(error)}) as here:
            told = await reply(here.order(holder(here), 1.0))
            assert told["outcome"] == "failed"
            assert str(told["error"]).startswith(f"the driver raised {type(error).__name__}")
            assert here.at().running is None
            assert here.failures == []

    asyncio.run(run())


def test_a_stop_that_was_delivered_is_the_outcome_whatever_the_command_then_raises(path: Path) -> None:
    """STOP-5, DRV-52"""

    class Raises(Press):
        @control
        def move_to(self, position: float) -> float:
            """Move until a stop, and end the process then."""
            self.moving = True
            self._ended.wait()
            raise SystemExit("gone")

    async def run() -> None:
        press = Raises()
        async with lab(path, {X: press}) as here:
            call = here.order(holder(here), 1.0)
            await until(lambda: press.moving)
            assert await here.service.stop(X, None, "Cem", None)
            told = await reply(call)
            assert told["outcome"] == "stopped"
            assert told["error"] == f"Cem stopped {X} (the driver raised SystemExit: gone)"

    asyncio.run(run())


def test_a_command_is_cancelled_at_the_end_of_its_authority_and_is_no_failure(path: Path) -> None:
    """DRV-52"""

    class Ear:
        def __init__(self) -> None:
            self.finishes = 0

        def command_finished(self, *_: object, **__: object) -> None:
            self.finishes += 1

        def read(self, *_: object, **__: object) -> None:
            """Hear nothing."""

    async def run() -> None:
        waits, ear = Waits(ValueError()), Ear()
        async with lab(path, {X: waits}, started=False) as here:
            worker = here.workers[X]
            worker.start(ear)
            await until(lambda: worker.readback.connected)
            ordered = msgspec.structs.replace(_command(), parameters={"position": 0.0})
            worker.run(ordered, worker.stop_token())
            await until(lambda: waits.moving)
            await worker.close()
            assert waits.cancelled
            assert ear.finishes == 0

    asyncio.run(run())


def _command() -> Command:
    return Command(key="k", command_id="c", session=SessionId("ann"), user="Ann", fence=7, action="move_to",
                   parameters={})  # fmt: skip


@pytest.mark.parametrize("raises", [False, True])
def test_what_a_driver_says_too_late_is_heard_by_nobody(raises: bool) -> None:
    """STOP-4"""

    async def run() -> None:
        said: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        lane, free = DriverThread("late"), threading.Event()

        def late() -> None:
            free.wait(PATIENCE_S)
            if raises:
                raise ValueError("late")

        calling = asyncio.ensure_future(call_driver(lane, late, _same))
        await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        free.set()
        assert await call_driver(lane, lambda: 3, _same) == 3
        lane.end()
        assert said == []

    asyncio.run(run())


def test_a_lane_keeps_nothing_of_what_it_did() -> None:
    """CMD-41"""

    class Large:
        """A result."""

    async def run() -> None:
        lane, gone = DriverThread("kept"), threading.Event()

        def make() -> Large:
            made = Large()
            weakref.finalize(made, gone.set)
            return made

        await call_driver(lane, make, _same)
        await until(gone.is_set)
        lane.end()

    asyncio.run(run())


def _same(result: object) -> object:
    return result


@pytest.mark.parametrize("lane", [None, "lane"])
@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (MotionStopped("at 3\n mm"), MotionStopped, "at 3 mm"),
        (MotionStopped(), MotionStopped, ""),
        (DriverUnavailable("the cable\nis out"), DriverUnavailable, "the cable is out"),
        (OutsideLimits("too far"), OutsideLimits, "too far"),
        (TimeoutError("too slow"), DriverFailed, "too slow"),
        (StopIteration(3), DriverFailed, "3"),
        (InvalidParameters([]), DriverFailed, "."),
    ],
    ids=repr,
)
def test_what_a_driver_raises_is_one_of_few_exceptions_with_a_plain_sentence(
    lane: str | None, raised: Exception, kind: type[Exception], text: str
) -> None:
    """DRV-52"""

    def method() -> NoReturn:
        raise raised

    async def run() -> None:
        thread = None if lane is None else DriverThread(lane)
        with pytest.raises(kind) as found:
            await call_driver(thread, method, _same)
        assert type(found.value) is kind
        assert str(found.value) == text
        if thread is not None:
            thread.end()

    asyncio.run(run())


def test_what_is_wrong_with_a_target_or_a_parameter_stays_known() -> None:
    """DRV-52, CMD-3"""

    def beyond() -> NoReturn:
        raise OutsideLimits("too far", always=True)

    def wrong() -> NoReturn:
        raise InvalidParameters([{"loc": ["position"], "msg": "it is \udcfc", "type": "value_error"}])

    async def run() -> None:
        with pytest.raises(OutsideLimits) as outside:
            await call_driver(None, beyond, _same)
        assert outside.value.always is True
        with pytest.raises(InvalidParameters) as invalid:
            await call_driver(None, wrong, _same)
        assert invalid.value.errors == [{"loc": ["position"], "msg": "it is \\udcfc", "type": "value_error"}]

    asyncio.run(run())


def test_a_coroutine_of_a_blocking_driver_is_refused() -> None:
    """DRV-52"""

    async def later() -> None:
        """Wait."""

    async def run() -> None:
        lane = DriverThread("lane")
        with pytest.raises(DriverFailed, match="it is a coroutine, but its driver is `blocking`"):
            await call_driver(lane, later, _same)
        lane.end()

    asyncio.run(run())


def test_a_command_that_was_accepted_during_a_stop_never_begins_though_the_stop_has_ended(path: Path) -> None:
    """STOP-5"""

    async def run() -> None:
        press = Press()
        async with lab(path, {X: press}) as here:
            ann = holder(here)
            await here.service.wait_until_committed()
            press.hangs |= {"stop"}
            stopping = asyncio.ensure_future(here.service.stop(X, ann, "Ann", None))
            await until(lambda: "stop" in press.calls)
            here.disk.hold()
            call = here.order(ann, 5.0)
            press.free.set()
            assert await stopping
            here.disk.let.set()
            assert (await reply(call))["outcome"] == "stopped"
            assert press.driven() == ["stop"]

    asyncio.run(run())


def test_a_command_that_ends_while_its_driver_does_not_answer_is_not_taken_to_rest(path: Path) -> None:
    """LOSS-2, LOSS-18: nobody can tell whether it moves, and the lock stays until somebody can."""

    class Lost(Slide):
        @control
        async def move_to(self, position: float) -> float:
            """Lose the device right after the order."""
            self.down = True
            raise DriverUnavailable("lost in the move")

    async def run() -> None:
        slide = Lost()
        async with lab(path, {X: slide}) as here:
            ann, bob = holder(here), here.person("bob")
            here.login(bob, wait=True)
            told = await reply(here.order(ann, 5.0))
            assert (told["outcome"], told["error"]) == ("failed", "lost in the move")
            assert here.at().moving
            assert not here.at().at_rest
            slide.down = False
            await until(lambda: here.at().at_rest)

    asyncio.run(run())


def test_a_readback_of_another_kind_is_told_as_down_and_never_as_the_last_one(path: Path) -> None:
    """DRV-51"""

    async def run() -> None:
        slide = Slide()
        async with lab(path, {X: slide}) as here:
            slide.readback = lambda: {"position": 1}  # type: ignore[method-assign, assignment, return-value]
            await until(lambda: not here.workers[X].readback.connected)
            assert here.workers[X].readback.error == "its readback is a dict, {'position': 1}, not a Readback"
            slide.readback = lambda: Readback(moving=False, position=2.0)  # type: ignore[method-assign]
            await until(lambda: here.workers[X].readback.position == 2.0)

    asyncio.run(run())


def test_a_question_to_a_driver_that_blocks_is_not_answered_at_once() -> None:
    """CMD-5"""
    assert not Worker(X, Press(), VirtualClock()).answers_at_once("where")

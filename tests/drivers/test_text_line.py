"""A text driver over a line in memory whose answers come when the test says: late, twice or never."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from as_worker import as_worker

from authority.drivers.text import DeviceError, LineLost, NoAnswer, TextDriver
from authority.drivers.text_options import TextOptions
from authority.lab_file import read_table
from authority.ports import DriverUnavailable, MotionStopped, fence_of_command

TIMEOUT_S = 0.5


class MemoryLine:
    """A device that answers `A?` with `1`, `B?` with `2` and so on, over a serial line.

    `late` are the questions whose next answer comes only while the line is drained for long enough, or else before
    the next answer. `down` is why the line is down.
    """

    name = "LINE"

    def __init__(self, *, duplex: bool = True) -> None:
        self.duplex = duplex
        self.sent: list[str] = []
        self.answers = {"A?": "1", "B?": "2", "ERR?": "0,none", "POS?": "5", "MOV?": "0"}
        self.late: set[str] = set()
        self.down: str | None = None
        self.opened = 0
        self.closed = 0
        self.on_write = lambda: None
        self._under_way: list[str] = []
        self._come: list[str] = []

    def open(self) -> None:
        if self.down is not None:
            raise LineLost(self.down)
        self.opened += 1

    def close(self) -> None:
        self.closed += 1

    def forget(self) -> None:
        """Leave it to `drain`, as a serial port does."""

    def write(self, lines: str) -> None:
        self.on_write()
        if self.down is not None:
            raise LineLost(self.down)
        for line in lines.split("\n"):
            self.sent.append(line)
            if line in self.late:
                self.late.remove(line)
                self._under_way.append(self.answers[line])
            elif line in self.answers:
                self._come += [*self._under_way, self.answers[line]]
                self._under_way = []

    def read(self) -> str:
        if not self._come:
            raise NoAnswer
        return self._come.pop(0)

    def drain(self, quiet_s: float) -> None:
        self._come = []
        if quiet_s >= TIMEOUT_S:
            self._under_way = []


class LineDriver(TextDriver):
    """A text driver at the end of that line."""

    address = None


READINGS = {"a": {"query": "A?", "type": "integer"}}
COMMANDS = {
    "go": {"send": "GO {level:.1f}", "parameters": {"level": {"type": "number"}}},
    "ask": {"query": "B?", "type": "integer"},
}


def driver_on(line: MemoryLine, **more: object) -> LineDriver:
    table = {"timeout_s": TIMEOUT_S, "stop": "STOP", "readings": READINGS, "control": COMMANDS, **more}
    options, wrong = read_table(TextOptions, table)
    assert not wrong
    driver = as_worker(LineDriver(options, line))
    driver.open()
    line.sent.clear()
    return driver


def run(driver: LineDriver, action: str, **parameters: object) -> object:
    return driver.declared[action].run(**parameters)


@contextlib.contextmanager
def fence(number: int) -> Iterator[None]:
    token = fence_of_command.set(number)
    try:
        yield
    finally:
        fence_of_command.reset(token)


def test_a_late_answer_is_waited_for_and_dropped_before_the_next_question_is_asked():
    """DRV-35"""
    line = MemoryLine()
    driver = driver_on(line)
    line.late.add("A?")
    with pytest.raises(DriverUnavailable, match=r"^LINE: no answer within 0\.5 s: check that it is switched on"):
        driver.readback()
    with pytest.raises(DriverUnavailable, match=r"^LINE: not connected$"):
        run(driver, "ask")
    line.answers["A?"] = "7"
    driver.open()
    assert run(driver, "ask") == 2
    assert driver.readback().values["a"] == 7


def test_a_question_after_one_that_was_answered_waits_for_no_late_answer():
    """DRV-35: what is waited for once is not waited for ever after."""
    line = MemoryLine()
    driver = driver_on(line)
    drained: list[float] = []
    drain = line.drain
    line.drain = lambda quiet_s: (drained.append(quiet_s), drain(quiet_s))[1]
    driver.readback()
    line.late.add("A?")
    with contextlib.suppress(DriverUnavailable):
        driver.readback()
    driver.open()
    driver.readback()
    assert drained == [0.0, 0.0, TIMEOUT_S, 0.0]


def test_a_line_that_is_lost_is_closed_and_opened_anew():
    """DRV-6, DRV-7"""
    line = MemoryLine()
    driver = driver_on(line)
    line.down = "the cable is out"
    with pytest.raises(DriverUnavailable, match=r"^LINE: the cable is out$"):
        driver.readback()
    assert line.closed == 1
    with pytest.raises(DriverUnavailable, match=r"^LINE: the cable is out$"):
        driver.open()
    line.down = None
    driver.open()
    driver.open()
    assert (line.opened, driver.readback().values["a"]) == (2, 1)


def test_errors_are_asked_until_there_is_none_and_fail_the_command_before_them():
    """DRV-35"""
    line = MemoryLine()
    driver = driver_on(line, errors="ERR?")
    line.answers["ERR?"] = '-200,"Execution error"'

    def run_out_of_errors() -> None:
        if line.sent[-1:] == ["ERR?"]:
            line.answers["ERR?"] = "0,none"

    line.on_write = run_out_of_errors
    with pytest.raises(DeviceError, match=r'^LINE says -200,"Execution error"$'):
        run(driver, "go", level=1.0)
    assert line.sent == ["GO 1.0", "ERR?", "ERR?"]


def test_errors_of_before_the_connection_are_nobodys():
    """DRV-35"""
    line = MemoryLine()
    errors = iter(["-1,old"])
    write = line.write

    def answering_in_turn(lines: str) -> None:
        if lines == "ERR?":
            line.answers["ERR?"] = next(errors, "0,none")
        write(lines)

    line.write = answering_in_turn
    driver = driver_on(line, errors="ERR?")
    run(driver, "go", level=1.0)


def test_a_device_whose_errors_never_end_is_not_asked_for_ever():
    """DRV-35"""
    line = MemoryLine()
    driver = driver_on(line, errors="ERR?")
    line.answers["ERR?"] = "-1,again"
    with pytest.raises(DeviceError):
        run(driver, "go", level=1.0)
    assert line.sent == ["GO 1.0", *["ERR?"] * 20]


@pytest.mark.parametrize("nothing", ["0", "+0", '0,"No error"', "0.0", "No error", "OK", '"no error"', 'x,"No error"'])
def test_what_devices_answer_when_there_is_no_error_is_none(nothing):
    """DRV-35"""
    line = MemoryLine()
    driver = driver_on(line, errors="ERR?")
    line.answers["ERR?"] = nothing
    run(driver, "go", level=1.0)


@pytest.mark.parametrize("something", ["1", "-0.5,x", "ERROR", '00x,"No errors"', ""])
def test_whatever_else_they_answer_is_an_error(something):
    """DRV-35"""
    line = MemoryLine()
    driver = driver_on(line, errors="ERR?")
    line.answers["ERR?"] = something
    with pytest.raises(DeviceError):
        run(driver, "go", level=1.0)


def test_a_command_goes_with_the_fence_before_it_only_where_the_device_wants_one():
    """DRV-37"""
    line = MemoryLine()
    with fence(7):
        run(driver_on(line, fence="FENCE {fence}"), "go", level=2.0)
        assert line.sent == ["FENCE 7", "GO 2.0"]
        assert run(driver_on(line, fence="FENCE {fence}"), "ask") == 2
        assert line.sent == ["FENCE 7", "B?"]
        run(driver_on(line), "go", level=2.0)
    assert line.sent == ["GO 2.0"]


def test_a_stop_goes_to_a_line_that_is_down_once_it_can_be_opened_and_else_says_why():
    """DRV-34"""
    line = MemoryLine()
    driver = driver_on(line)
    line.down = "the cable is out"
    with pytest.raises(DriverUnavailable):
        driver.readback()
    with pytest.raises(DriverUnavailable, match=r"^LINE: the cable is out$"):
        driver.stop()
    line.down = None
    driver.stop()
    assert (line.sent[-1], line.opened) == ("STOP", 2)


def test_a_stop_of_a_device_with_nothing_to_stop_sends_nothing():
    """DRV-66"""
    line = MemoryLine()
    driver = driver_on(line, stop="")
    driver.stop()
    driver.halt()
    assert line.sent == []


def test_what_a_stop_overtakes_between_fence_and_line_is_not_sent():
    """DRV-34"""
    line = MemoryLine()
    driver = driver_on(line, errors="ERR?")
    drain = line.drain

    def stopped_meanwhile(quiet_s: float) -> None:
        drain(quiet_s)
        if "STOP" not in line.sent:
            driver.stop()

    line.drain = stopped_meanwhile
    with pytest.raises(MotionStopped):
        run(driver, "ask")
    assert line.sent == ["STOP"]


def test_a_stop_waits_for_the_answer_only_on_a_bus_with_one_talker():
    """DRV-34"""
    for duplex in (True, False):
        line = MemoryLine(duplex=duplex)
        driver = driver_on(line)
        asking, answer, stopped = threading.Event(), threading.Event(), threading.Event()
        read = line.read

        def hanging(asking=asking, answer=answer, read=read) -> str:
            asking.set()
            assert answer.wait(30)
            return read()

        line.read = hanging
        reader = threading.Thread(target=driver.readback)
        reader.start()
        assert asking.wait(30)
        stopper = threading.Thread(target=lambda driver=driver, stopped=stopped: (driver.stop(), stopped.set()))
        stopper.start()
        if duplex:
            assert stopped.wait(30)
            assert not answer.is_set()
        else:
            assert "STOP" not in line.sent
        answer.set()
        reader.join(30)
        stopper.join(30)
        assert line.sent == ["A?", "STOP"]

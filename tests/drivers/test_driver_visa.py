"""`visa` on what pyvisa-sim simulates, and on an instrument that has a lock of its own."""

from __future__ import annotations

import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from vxi11_instrument import Vxi11Instrument

from authority.drivers import DriverMisconfigured, build
from authority.drivers.text_options import BadAnswer
from authority.drivers.visa import Visa
from authority.ports import DriverUnavailable

SIM = f"{Path(__file__).parent / 'supply.yaml'}@sim"
SUPPLY = tomllib.loads(
    """
kind = "power_supply"
stop = "OUTP 0"
errors = "SYST:ERR?"
[readings]
voltage = { query = "VOLT?", type = "number", units = "V" }
ready = { query = "STAT?", type = "boolean", true = "ready", false = "busy" }
[control.set_voltage]
doc = "Set the voltage and answer it."
send = "VOLT {voltage:.3f}"
answers = "voltage"
parameters = { voltage = { type = "number", units = "V", low = 0, high = 30 } }
[control.set_output]
send = "OUTP {enabled}"
parameters = { enabled = { type = "boolean" } }
[observe]
identity = { query = "*IDN?", parse = "[^,]*,([^,]*),.*" }
curve = { query = "CURV?", type = "list", per_unit = 0.5 }
steps = { query = "STEP?", type = "integer" }
way = { query = "STEP?", type = "number", per_unit = 2000.0 }
sense = { query = "SENS?", type = "number" }
status = { query = "STAT?", type = "boolean" }
strict = { query = "STAT?", parse = "(BUSY|IDLE)" }
"""
)
RESOURCES = ["ASRL1::INSTR", "USB0::0x1111::0x2222::0x1234::0::INSTR", "GPIB0::8::INSTR", "TCPIP0::sim::5025::SOCKET"]


def supply(resource: str = RESOURCES[0], **more: object) -> Visa:
    made = build("visa", SUPPLY | {"resource": resource, "backend": SIM} | more)
    assert isinstance(made, Visa)
    return made


@pytest.fixture(params=RESOURCES)
def driver(request: pytest.FixtureRequest) -> Iterator[Visa]:
    made = supply(str(request.param))
    made.open()
    yield made
    made.close()


def run(driver: Visa, action: str, **parameters: object) -> object:
    return driver.declared[action].run(**parameters)


def test_an_instrument_is_driven_by_its_table_whatever_way_visa_reaches_it(driver):
    """DRV-38, DRV-30"""
    assert run(driver, "set_voltage", voltage=12.5) == 12.5
    shown = driver.readback()
    assert (dict(shown.values), shown.position, shown.moving) == ({"voltage": 12.5, "ready": True}, None, False)
    assert run(driver, "set_output", enabled=True) is None
    driver.stop()
    assert (driver.kind, driver.address.startswith("visa:")) == ("power_supply", True)
    returns = driver.declared["set_voltage"].command.returns
    assert (returns.type, returns.units) == ("number", "V")


def test_an_answer_is_read_as_what_the_table_says():
    """DRV-30"""
    driver = supply()
    driver.open()
    assert run(driver, "identity") == "supply"
    assert run(driver, "curve") == [2.0, 5.0, -6.0]
    assert (run(driver, "steps"), run(driver, "way")) == (4000, 2.0)
    assert run(driver, "sense") is None
    driver.close()


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("status", "ASRL1::INSTR answered 'READY', which is no boolean"),
        ("strict", "ASRL1::INSTR answered 'READY', which does not match '(BUSY|IDLE)'"),
    ],
)
def test_what_cannot_be_read_is_shown(action, sentence):
    """DRV-35"""
    driver = supply()
    driver.open()
    with pytest.raises(BadAnswer) as bad:
        run(driver, action)
    assert str(bad.value) == sentence
    driver.close()


def test_a_resource_is_one_address_by_whatever_spelling(tmp_path):
    """DRV-38, STORE-5"""
    addresses = {supply(name).address for name in ("GPIB::8::INSTR", "gpib0::8", "GPIB0::8::INSTR")}
    assert addresses == {"visa:GPIB0::8::INSTR"}
    port = tmp_path / "ttyUSB0"
    port.touch()
    (tmp_path / "stage").symlink_to(port)
    assert supply(f"ASRL{tmp_path}/stage::INSTR").address == f"serial:{port}"


def test_an_instrument_that_is_not_there_is_unavailable():
    """DRV-6"""
    with pytest.raises(DriverUnavailable, match=r"^ASRL/dev/no-such-port::INSTR: cannot be opened \("):
        supply("ASRL/dev/no-such-port::INSTR", backend="@py").open()


@pytest.fixture
def instrument() -> Iterator[Vxi11Instrument]:
    made = Vxi11Instrument()
    yield made
    made.close()


def locking(resource: str, **more: object) -> Visa:
    readings = {"identity": {"query": "*IDN?", "type": "text"}}
    made = build("visa", {"resource": resource, "lock": True, "readings": readings} | more)
    assert isinstance(made, Visa)
    return made


def test_the_instruments_own_lock_is_taken_and_keeps_another_out(instrument):
    """DRV-38"""
    first, second = locking(instrument.resource), locking(instrument.resource)
    first.open()
    assert instrument.holder is not None
    assert first.readback().values == {"identity": "motorlock,VXI-11 instrument,0,1"}
    with pytest.raises(DriverUnavailable, match="is locked by another program: end that one"):
        second.open()
    without = locking(instrument.resource, lock=False)
    with pytest.raises(DriverUnavailable):
        without.open()
    first.close()
    assert instrument.holder is None
    second.open()
    assert instrument.holder is not None
    second.close()


def test_a_lock_that_there_is_not_is_said_and_not_gone_without():
    """DRV-38"""
    driver = supply("GPIB0::8::INSTR", lock=True)
    with pytest.raises(DriverUnavailable, match="lock is true, but there is no lock through the backend"):
        driver.open()


def test_over_a_bus_with_one_talker_a_stop_goes_right_behind_the_answer_that_is_awaited(instrument):
    """DRV-34"""
    options = {"stop": "STOP", "control": {"x": {"send": "X"}}, "timeout_s": 30}
    driver = locking(instrument.resource, lock=False, **options)
    driver.open()
    instrument.reading.clear()
    instrument.may_answer.clear()
    threads = [threading.Thread(target=driver.readback), threading.Thread(target=driver.stop)]
    threads[0].start()
    assert instrument.reading.wait(30)
    threads[1].start()
    assert instrument.told[-1] == "*IDN?"
    instrument.may_answer.set()
    for thread in threads:
        thread.join(30)
    assert instrument.told[-1] == "STOP"
    driver.close()


def mistakes(**options: object) -> tuple[str, ...]:
    with pytest.raises(DriverMisconfigured) as wrong:
        build("visa", {"resource": "GPIB0::8::INSTR"} | options)
    return tuple(one.removeprefix("Driver 'visa': ") for one in wrong.value.mistakes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"resource": "TCPIP::stage::SOCKET"}, "resource 'TCPIP::stage::SOCKET' cannot be read ("),
        ({"resource": "TCPIP::s::1::SOCKET", "lock": True}, "lock is true, but TCPIP::s::1::SOCKET has no lock of its "
         "own: leave lock out, or reach the instrument by a resource that has one, such as TCPIP::HOST::INSTR."),
        ({"resource": "ASRL1::INSTR", "lock": True}, "lock is true, but ASRL1::INSTR has no lock of its own: "),
        ({"baud_rate": 9600}, "baud_rate is for a serial resource, such as ASRL/dev/ttyUSB0::INSTR."),
        ({"read_termination": ""}, "read_termination is '', but must be one or two control characters, such as "),
        ({"write_termination": "x"}, "write_termination is 'x', but must be one or two control characters, such as "),
        ({"parity": "some"}, "parity must be one of 'none', 'odd', 'even', 'mark', 'space', not 'some'."),
        ({"timeout_s": 0}, "timeout_s must be a number from 0.01 to 60, not 0."),
    ],
)  # fmt: skip
def test_a_mistake_in_the_options_of_visa_is_one_sentence(options, sentence):
    """DRV-31"""
    (told,) = mistakes(**options)
    assert told.startswith(sentence)


def test_without_its_packages_visa_says_how_to_install_them(monkeypatch):
    """DRV-38"""
    monkeypatch.setitem(sys.modules, "pyvisa_py", None)
    assert mistakes() == ("visa needs the package pyvisa_py: install it with pip install 'jupyter-motorlock[visa]'.",)
    monkeypatch.setitem(sys.modules, "pyvisa", None)
    assert mistakes() == ("visa needs the package pyvisa: install it with pip install 'jupyter-motorlock[visa]'.",)


MOVE = {"send": "MOVE {position:.3f}", "parameters": {"position": {"type": "number"}}}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"control": {"x": {"parameters": {}}}}, "control.x needs either send, for a command that the device does not "
         "answer, or query, for one that it answers."),
        ({"control": {"x": MOVE | {"query": "MOVE?"}}}, "control.x needs either send, for a command that the device "
         "does not answer, or query, for one that it answers."),
        ({"control": {"x": {"send": "MOVE {position}"}}}, "control.x send has the placeholder {position}, but there "
         "are no parameters."),
        ({"control": {"x": MOVE | {"send": "MOVE {}"}}}, "control.x send has the placeholder {}, but parameters are "
         "position."),
        ({"control": {"x": MOVE | {"send": "MOVE {position!r}"}}}, "control.x send has the placeholder {position!r}, "
         "but parameters are position."),
        ({"control": {"x": MOVE | {"send": "MOVE {position.real}"}}}, "control.x send has the placeholder "
         "{position.real}, but parameters are position."),
        ({"control": {"x": MOVE | {"send": "MOVE"}}}, "control.x send has no placeholder {position}, but there is a "
         "parameter position."),
        ({"control": {"x": MOVE | {"send": "MOVE {position:d}"}}}, "control.x send has the placeholder {position:d}, "
         "which no number can fill (Unknown format code 'd' for object of type 'float')."),
        ({"control": {"x": MOVE | {"send": "MOVE {position}}"}}}, "control.x send is 'MOVE {position}}', whose braces "
         "cannot be read (Single '}' encountered in format string); a brace itself is written twice."),
        ({"control": {"x": MOVE | {"send": "MOVE {position}\n"}}}, "control.x send is 'MOVE {position}\\n', but must "
         "be one line of printable ASCII; the driver ends it."),
        ({"control": {"x": MOVE | {"type": "number"}}}, "control.x has type, but nothing is read after send: write "
         "query where the device answers."),
        ({"observe": {"x": {"query": ""}}}, "observe.x query is empty."),
        ({"observe": {"x": {"query": "X?", "parse": "("}}}, "observe.x parse is no regular expression: missing ), "
         "unterminated subpattern at position 0."),
        ({"observe": {"x": {"query": "X?", "parse": "(a)(b)"}}}, "observe.x parse has 2 groups, but only one can be "
         "the value: write (?:...) for the others."),
        ({"observe": {"x": {"query": "X?", "type": "boolean", "true": "A"}}}, "observe.x needs both true and false, "
         "the two words of a boolean, or neither."),
        ({"observe": {"x": {"query": "X?", "true": "A", "false": "B"}}}, "observe.x has true and false, which only a "
         "boolean can have, not text."),
        ({"observe": {"x": {"query": "X?", "per_unit": 2}}}, "observe.x has per_unit, which only a number can have, "
         "not text."),
        ({"readings": {"x": {"query": "X?", "type": "number", "per_unit": 0}}}, "readings.x per_unit is 0, but must "
         "be how many of the device's units make one of yours."),
        ({"readings": {"x": {"query": "X? {y}", "type": "number"}}}, "readings.x query has the placeholder {y}, but "
         "there are no parameters."),
        ({"control": {"x": {"send": "X {y}", "parameters": {"y": {"type": "text", "choices": ["a", "b;c"]}}}}},
         "control.x parameters.y allows 'b;c', but a text to a device must be printable ASCII without ;."),
        ({"stop": "STOP {x}"}, "stop has the placeholder {x}, but there are no parameters."),
        ({"fence": "FENCE"}, "fence has no placeholder {fence}, but there is a parameter fence."),
        ({"errors": "ÉRR?"}, "errors is 'ÉRR?', but must be one line of printable ASCII; the driver ends it."),
    ],
)  # fmt: skip
def test_a_mistake_in_what_is_sent_is_one_sentence(options, sentence):
    """DRV-31"""
    assert mistakes(**{"stop": "", **options}) == (sentence,)

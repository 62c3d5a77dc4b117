"""`serial` keeps its port to itself: who else opens it is refused by the system."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from stage_process import PATIENCE_S, StageProcess

from authority.drivers import DriverMisconfigured, build
from authority.drivers.serial_port import Serial
from authority.ports import DriverUnavailable

NOBODY = 65534
OPEN = 'exec 3<>"$1"'


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StageProcess]:
    process = StageProcess(tmp_path, "--pty")
    yield process
    process.close()


def driver_of(port: str, **more: object) -> Serial:
    made = build("serial", {"port": port, "readings": {"position": {"query": "POS?", "type": "number"}}} | more)
    assert isinstance(made, Serial)
    return made


def opened_by_another_user(port: str) -> str:
    """Open a port as one who is not root, and return what the system said against it."""
    os.chmod(port, 0o666)
    user = NOBODY if os.geteuid() == 0 else None
    command = ["/bin/sh", "-c", OPEN, "sh", port]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, user=user, check=False)
    return tried.stderr.strip()


def test_a_second_opener_that_asks_for_the_lock_is_refused(stage):
    """DRV-39"""
    first, second = driver_of(stage.terminal), driver_of(stage.terminal)
    first.open()
    with pytest.raises(DriverUnavailable, match="is in use by another program, which keeps it to itself: end that one"):
        second.open()
    with pytest.raises(serial.SerialException):
        serial.Serial(stage.terminal, exclusive=True)
    assert first.readback().position == 0.0
    first.close()
    second.open()
    assert second.readback().position == 0.0
    second.close()


def test_one_who_does_not_ask_for_a_lock_is_refused_by_the_system_too(stage):
    """DRV-39"""
    driver = driver_of(stage.terminal)
    assert opened_by_another_user(stage.terminal) == ""
    driver.open()
    assert "Device or resource busy" in opened_by_another_user(stage.terminal)
    driver.close()
    assert opened_by_another_user(stage.terminal) == ""


def test_a_port_that_another_program_has_locked_is_said_to_be_in_use(stage):
    """DRV-39"""
    with serial.Serial(stage.terminal, exclusive=True):
        driver = driver_of(stage.terminal)
        with pytest.raises(DriverUnavailable, match=f"^{stage.terminal}: is in use by another program"):
            driver.open()
    driver.open()
    driver.close()


def test_a_port_that_is_not_there_is_said_to_be_missing():
    """DRV-39, DRV-6"""
    with pytest.raises(DriverUnavailable, match="there is no such port: check that the device is plugged in"):
        driver_of("/dev/ttyNO0").open()


def test_a_port_is_one_address_by_whatever_name(stage, tmp_path):
    """DRV-39, STORE-5"""
    (tmp_path / "stage").symlink_to(stage.terminal)
    assert driver_of(str(tmp_path / "stage")).address == driver_of(stage.terminal).address == f"serial:{stage.terminal}"


def test_a_device_whose_far_end_goes_away_is_unavailable(stage):
    """DRV-6"""
    driver = driver_of(stage.terminal)
    driver.open()
    stage.kill()
    with pytest.raises(DriverUnavailable):
        driver.readback()
    with pytest.raises(DriverUnavailable, match="there is no such port"):
        driver.open()
    driver.close()
    stage.start()


def test_a_mistake_in_the_options_of_serial_is_one_sentence(monkeypatch):
    """DRV-31"""

    def mistakes(**options: object) -> list[str]:
        with pytest.raises(DriverMisconfigured) as wrong:
            build("serial", options)
        return [one.removeprefix("Driver 'serial': ") for one in wrong.value.mistakes]

    assert mistakes(baud_rate=9600.5, data_bits=9) == [
        "port is missing; it must be a text.",
        "baud_rate must be a whole number from 50 to 12000000, not 9600.5.",
        "data_bits must be one of 5, 6, 7, 8, not 9.",
    ]
    assert mistakes(port=" ") == ["port is empty, but must be a port such as /dev/ttyUSB0 or COM3."]
    assert mistakes(port="socket://127.0.0.1:4001") == [
        "port is 'socket://127.0.0.1:4001', but must be a port of this machine such as /dev/ttyUSB0: a device behind a "
        'network is reached by visa, with resource = "TCPIP::HOST::PORT::SOCKET".'
    ]
    monkeypatch.setitem(sys.modules, "serial", None)
    assert mistakes(port="COM3") == [
        "serial needs the package pyserial: install it with pip install 'jupyter-motorlock[serial]'."
    ]

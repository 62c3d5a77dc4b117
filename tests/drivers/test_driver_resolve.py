"""The lab file's words become a driver, or one sentence that says which word is wrong."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from authority.drivers import DriverMisconfigured, build, known_drivers, resolve
from authority.drivers.simulated import SimulatedMotor


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module of the lab's own beside the lab file, as `package.module:Class` names it."""
    (tmp_path / "our_lab.py").write_text(
        "from authority.drivers.declare import control\n"
        "from authority.drivers.declare import BadOptions\n"
        "from authority.drivers.simulated_instruments import SimulatedPowerSupply\n"
        "class Heater(SimulatedPowerSupply):\n"
        "    def __init__(self, port: str, *, baud: int = 9600, log=None, factor: float | None = None) -> None:\n"
        "        super().__init__()\n"
        "        if port == 'gone':\n"
        "            raise OSError('no such port')\n"
        "        self.given = (port, baud, factor)\n"
        "class Wrong(SimulatedPowerSupply):\n"
        "    @control\n"
        "    def heat(self): pass\n"
        "class NeedsBytes(SimulatedPowerSupply):\n"
        "    def __init__(self, ports: bytes) -> None: pass\n"
        "class Racks(SimulatedPowerSupply):\n"
        "    def __init__(self, ports: list[str]) -> None:\n"
        "        super().__init__()\n"
        "        self.given = ports\n"
        "class Greedy(Heater):\n"
        "    address = property(lambda self: self.given)\n"
        "class Picky(SimulatedPowerSupply):\n"
        "    def __init__(self, low: float, high: float) -> None:\n"
        "        raise BadOptions('low is too low', 'high is too high')\n"
        "class NoStop:\n"
        "    kind, blocking, address = 'x', True, None\n"
        "    def open(self): pass\n"
        "    close = readback = check = open\n"
    )
    (tmp_path / "our_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("our_lab", "our_broken"):
        sys.modules.pop(name, None)


def sentence(name: str, **options: object) -> str:
    with pytest.raises(DriverMisconfigured) as wrong:
        build(name, options)
    assert str(wrong.value).endswith(".")
    return str(wrong.value)


def test_the_simulated_motor_is_built_by_name_with_its_options():
    motor = build("simulated-motor", {"low": -5, "high": 5.5, "units": "deg"})
    assert isinstance(motor, SimulatedMotor)
    assert (motor.readback().values["low"], motor.readback().values["high"], motor.units) == (-5.0, 5.5, "deg")


def test_the_built_in_names_are_those_of_the_installed_package():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = project["project"]["entry-points"]["motorlock.drivers"]
    assert {name: known_drivers()[name] for name in declared} == declared
    for name, place in declared.items():
        loaded = EntryPoint(name, place, "motorlock.drivers").load()
        assert resolve(name) is loaded


def test_a_checkout_that_nobody_installed_has_the_built_in_drivers(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2])])
    assert not entry_points(group="motorlock.drivers")
    assert resolve("simulated-motor") is SimulatedMotor


def test_an_installed_package_can_offer_drivers(tmp_path, monkeypatch):
    metadata = tmp_path / "some_lab-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: some-lab\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[motorlock.drivers]\nour-motor = authority.drivers.simulated:SimulatedMotor\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "our-motor" in {entry.name for entry in entry_points(group="motorlock.drivers")}
    assert resolve("our-motor") is SimulatedMotor


def test_a_class_of_the_labs_own_is_named_by_its_module(own_module):
    heater = build("our_lab:Heater", {"port": "/dev/ttyUSB0", "factor": 2})
    assert heater.given == ("/dev/ttyUSB0", 9600, 2.0)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "simulated-moter",
            {},
            "There is no driver 'simulated-moter', perhaps simulated-motor is meant: known are epics-motor, python, "
            "serial, simulated-motor, simulated-oscilloscope, simulated-power-supply, visa, and package.module:Class "
            "names your own.",
        ),
        (
            "nowhere.at_all:Motor",
            {},
            "Driver 'nowhere.at_all:Motor': the module nowhere.at_all cannot be imported (No module named 'nowhere').",
        ),
        (
            "our_broken:Motor",
            {},
            "Driver 'our_broken:Motor': the module our_broken cannot be imported (division by zero).",
        ),
        ("our_lab:Motor", {}, "Driver 'our_lab:Motor': the module our_lab has no 'Motor'."),
        ("our_lab:NoStop", {}, "Driver 'our_lab:NoStop': NoStop is no driver, it lacks stop()."),
        ("our_lab:Heater", {}, "Driver 'our_lab:Heater': port is missing; it must be a text."),
        (
            "our_lab:Heater",
            {"port": "a", "boud": 1},
            "Driver 'our_lab:Heater': boud is no key here, perhaps baud is meant; allowed are port, baud, factor.",
        ),
        (
            "our_lab:Heater",
            {"port": "a", "log": "x"},
            "Driver 'our_lab:Heater': log is no key here; allowed are port, baud, factor.",
        ),
        (
            "our_lab:Greedy",
            {"port": "a"},
            "Driver 'our_lab:Greedy': its address must be a text or None, not ('a', 9600, None).",
        ),
        ("our_lab:Heater", {"port": 3}, "Driver 'our_lab:Heater': port must be a text, not 3."),
        ("our_lab:Heater", {"port": "gone"}, "Driver 'our_lab:Heater' refuses its options: no such port."),
        (
            "our_lab:NeedsBytes",
            {},
            "NeedsBytes cannot be made from a lab file: ports is <class 'bytes'>, but can be only float, int, bool, "
            "str or Literal.",
        ),
        (
            "our_lab:Wrong",
            {},
            "Driver 'our_lab:Wrong': Wrong.heat has no docstring: users of the command are shown it.",
        ),
        (
            "simulated-motor",
            {"low": "0"},
            "Driver 'simulated-motor': low must be a number, not '0' (a number is written without quotes).",
        ),
        (
            "simulated-motor",
            {"high": -1.0},
            "Driver 'simulated-motor' refuses its options: low is 0 and high is -1, but low must be less than high.",
        ),
        (
            "simulated-motor",
            {"velocity": True},
            "Driver 'simulated-motor': velocity must be a number, not true.",
        ),
        (
            "simulated-power-supply",
            {"port": 1},
            "Driver 'simulated-power-supply': port is no key here; allowed are none.",
        ),
    ],
)
def test_a_wrong_word_in_the_lab_file_gets_one_sentence(own_module, name, options, expected):
    assert sentence(name, **options) == expected


def test_an_option_of_a_constructor_may_be_a_list(own_module):
    """DRV-1, RUN-15"""
    assert build("our_lab:Racks", {"ports": ["a", "b"]}).given == ["a", "b"]
    assert sentence("our_lab:Racks", ports=["a", 3]) == "Driver 'our_lab:Racks': ports[1] must be a text, not 3."
    assert sentence("our_lab:Racks", ports=[], PORTS=[]) == (
        "Driver 'our_lab:Racks': PORTS is no key here, perhaps ports is meant; allowed are ports."
    )


def test_a_constructor_may_say_several_things_that_are_wrong_at_once(own_module):
    """RUN-5"""
    with pytest.raises(DriverMisconfigured) as wrong:
        build("our_lab:Picky", {"low": -1, "high": 1})
    assert wrong.value.mistakes == (
        "Driver 'our_lab:Picky' refuses its options: low is too low.",
        "Driver 'our_lab:Picky' refuses its options: high is too high.",
    )


@pytest.mark.parametrize(
    ("name", "options", "clauses"),
    [
        (
            "simulated-motor",
            {"low": 5.0, "high": 1.0, "velocity": -1.0},
            [
                "low is 5 and high is 1, but low must be less than high",
                "velocity is -1, but must be more than 0 and finite",
            ],
        ),
        (
            "simulated-motor",
            {"start": -5.0, "home_position": 500.0, "max_velocity": 1.0},
            [
                "home_position is 500, but must be from 0 to 100",
                "start is -5, but must be from 0 to 100",
                "velocity is 10, but max_velocity is 1",
            ],
        ),
        pytest.param(
            "epics-motor",
            {"prefix": "IOC:m1.VAL", "low": 5.0, "high": 1.0, "tolerance": 0.0, "velocity": 5.0, "max_velocity": 1.0},
            [
                "prefix is 'IOC:m1.VAL', but must be the record's name without a field: leave out the dot",
                "low is 5 and high is 1, but low must be less than high",
                "tolerance is 0, but must be more than 0 and finite",
                "velocity is 5, but max_velocity is 1",
            ],
            marks=pytest.mark.epics,
        ),
    ],
)
def test_all_that_is_wrong_with_a_motors_options_is_said_at_once(name, options, clauses):
    """RUN-5"""
    with pytest.raises(DriverMisconfigured) as wrong:
        build(name, options)
    assert wrong.value.mistakes == tuple(f"Driver {name!r} refuses its options: {clause}." for clause in clauses)


@pytest.mark.epics
def test_the_epics_motor_needs_its_record_and_says_so():
    pytest.importorskip("caproto")
    assert sentence("epics-motor") == "Driver 'epics-motor': prefix is missing; it must be a text."
    assert sentence("epics-motor", prefix="sim:mtr1", home_with="HOME") == (
        "Driver 'epics-motor': home_with must be one of 'HOMF', 'HOMR', not 'HOME'."
    )


def test_a_missing_caproto_is_said_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "caproto", None)
    monkeypatch.setitem(sys.modules, "caproto.threading.client", None)
    assert sentence("epics-motor", prefix="sim:mtr1") == (
        "Driver 'epics-motor' refuses its options: EPICS needs the package caproto: "
        "install it with pip install 'jupyter-motorlock[epics]'."
    )

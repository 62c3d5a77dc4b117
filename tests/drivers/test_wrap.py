"""The draft that `motorlock wrap` makes of a class, from looking at it: of our own, PyMeasure's and ophyd's."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from bench import Stage
from oven import Oven

from authority.__main__ import EXIT_USAGE, main
from authority.drivers import build
from authority.settings import Misconfigured, load
from authority.wrap import CannotWrap, wrap
from authority.wrap.arguments import Unfit, argument_of_property, arguments_of
from authority.wrap.docstrings import type_in, type_of_value_in, units_in
from authority.wrap.toml import comment, key_of, short, toml

OVEN = """\
# A draft by `motorlock wrap oven:Oven`, from looking at the class: no equipment was asked.
# Read each command: what may change the equipment belongs under control, and observers may give what is under observe.
# Then say which parameter is a target, with low and high, delete what nobody needs, decide each TODO and run
# `motorlock check`.
[equipment.oven]
driver = "python"

[equipment.oven.options]
object = "oven:Oven"
# It is made as Oven(port, baud=9600, name='oven', **more)
arguments = { port = "?" }  # TODO: what are they?
# close = "disconnect"  # does it only that, or does it move or switch something, too?
asyncio = true  # coroutines, such as purge
# TODO: the stop must be decided, and nothing here looks like one. Write stop = with what stops all motion and switches
# off what must be off, or stop = "" if there is nothing to stop; without that line nothing here can be used.
# right: as left

[equipment.oven.options.observe.setpoint]
get = "setpoint"
type = "number"
doc = "The temperature it goes to (°C)."
units = "°C"  # from the docstring

[equipment.oven.options.control.set_setpoint]
set = "setpoint"
doc = "The temperature it goes to (°C)."
parameters = { setpoint = { type = "number", units = "°C" } }  # units: from the docstring

[equipment.oven.options.observe.door_open]
get = "door_open"
type = "boolean"
doc = "Whether the route is open."

# control, because its name says 'next'
[equipment.oven.options.control.next_alarm]
get = "next_alarm"
doc = "Take an alarm off the list."

# control, because its code sets seen
[equipment.oven.options.control.level]
get = "level"
doc = "The level."

[equipment.oven.options.observe.get_gas]
get = "get_gas"
type = "text"
doc = "The gas in it."

# control, because it takes parameters
[equipment.oven.options.control.get_profile]
call = "get_profile"
doc = "Return a stored profile."
parameters = { number = { type = "integer" } }

# control, because its name says 'clear'
[equipment.oven.options.control.read_and_clear]
call = "read_and_clear"
doc = "Read the counter."

[equipment.oven.options.control.ramp]
call = "ramp"
doc = "Go to a temperature slowly."
RAMP

[equipment.oven.options.control.fill]
call = "fill"
doc = "Let gas in."
FILL

[equipment.oven.options.control.purge]
call = "purge"
doc = "Purge it."

[equipment.oven.options.control.check_]
call = "check"
doc = "Look whether all is well."

[equipment.oven.options.control.disconnect]
call = "disconnect"
doc = "Give the port back."

[equipment.oven.options.observe.left_temperature]
get = "left.temperature"
type = "number"
doc = "Its temperature in degrees Celsius."
units = "°C"  # from the docstring

# Left out:
# - serial_number: it is read once and kept
# - load: its parameter profile is list[float]
# - write: words sent as they are, around every limit
# - ports: it belongs to the class, not to the equipment
# - port: an attribute that the constructor sets: get reads it, set assigns to it
"""
RAMP = (
    'parameters = { rate = { type = "number", units = "K/min" }, to = { type = "number", default = 20.0 }, '
    'mode = { type = "text", default = "slow", choices = ["fast", "slow"] } }  # units of rate: from the docstring'
)
FILL = (
    'parameters = { gas = { type = "text" }, amount = { type = "number", units = "mbar", default = 2 } }'
    "  # units of amount: from the docstring"
)


def options_of(draft: str) -> dict[str, object]:
    """The options in a draft, which has one piece of equipment."""
    (entry,) = tomllib.loads(draft)["equipment"].values()
    assert entry["driver"] == "python"
    return entry["options"]


def decided(draft: str) -> str:
    """A draft in which somebody has written what the object is made with."""
    return draft.replace('"?"', '"COM1"')


def load_draft(draft: str, place: Path):
    """Load a draft as the lab file it is."""
    path = place / "lab.toml"
    path.write_text(draft, encoding="utf-8")
    return load(host=None, port=None, config=path, data=place, environ={}, dotenv=place / "none")


def test_a_draft_tells_what_plainly_looks_from_what_may_act_and_touches_nothing():
    """RUN-13"""
    assert wrap("oven:Oven") == OVEN.replace("RAMP", RAMP).replace("FILL", FILL)
    with pytest.raises(AssertionError):  # nobody made one before
        Oven("COM1")


def test_a_draft_cannot_be_used_before_somebody_has_decided_the_stop(tmp_path):
    """RUN-13"""
    draft = wrap("oven:Oven")
    with pytest.raises(Misconfigured, match=r"stop is missing, but there are control commands"):
        load_draft(draft, tmp_path)
    stoppable = draft.replace("# TODO: the stop must", 'stop = ""\n# the stop must')
    (oven,) = load_draft(decided(stoppable), tmp_path).apparatus
    assert oven.driver.address == "oven:Oven(port='COM1')"


def test_a_draft_cannot_be_used_before_somebody_has_decided_what_the_object_is_made_with(tmp_path):
    """RUN-31"""
    sentence = r'arguments\.port is "\?", as a draft has it: write what the object is made with\.$'
    with pytest.raises(Misconfigured, match=sentence):
        load_draft(wrap("oven:SafeOven"), tmp_path)
    by_place = wrap("oven:SafeOven").replace('arguments = { port = "?" }', 'args = ["?"]')
    with pytest.raises(Misconfigured, match=r'args\[0\] is "\?", as a draft has it'):
        load_draft(by_place, tmp_path)


def test_a_method_that_is_plainly_a_stop_is_proposed_and_no_command(tmp_path):
    """RUN-13"""
    draft = wrap("oven:SafeOven")
    assert 'stop = "stop"  # TODO: try it during a move before you rely on it\n' in draft
    options = options_of(draft)
    assert "stop" not in options["control"]
    assert "abort" in options["control"]
    assert load_draft(decided(draft), tmp_path).apparatus[0].id == "safe_oven"


def test_a_method_that_may_be_a_stop_is_only_named():
    """RUN-13"""
    draft = wrap("pymeasure.instruments.agilent:AgilentE5062A")
    assert "TODO: the stop must be decided, and abort" in draft
    assert "stop" not in options_of(draft)


def test_a_draft_of_a_class_that_works_works():
    """RUN-13, DRV-40"""
    driver = build("python", options_of(wrap("bench:Stage")))
    driver.open()
    driver.declared["move"].run(position=2.0, wait=True)
    assert driver.readback().position == 2.0
    assert driver.readback().moving is False
    assert driver.declared["velocity"].run() == 5.0
    driver.declared["set_velocity"].run(velocity=6.0)
    assert driver.declared["velocity"].run() == 6.0
    assert isinstance(driver._object, Stage)
    driver.close()


@pytest.mark.parametrize(
    "place",
    [
        "pymeasure.instruments.newport:ESP300",
        "pymeasure.instruments.parker:ParkerGV6",
        "pymeasure.instruments.anaheimautomation:DPSeriesMotorController",
        "pymeasure.instruments.attocube:ANC300Controller",
        "pymeasure.instruments.keithley:Keithley2400",
        "pymeasure.instruments.srs:SR830",
        "pymeasure.instruments.lakeshore:LakeShore331",
        "pymeasure.instruments.oxfordinstruments:ITC503",
        "pymeasure.instruments.keysight:KeysightDSOX1102G",
        "pymeasure.instruments.toptica:IBeamSmart",
    ],
)
def test_drafts_of_pymeasures_classes_load_once_arguments_and_stop_are_decided(place, tmp_path):
    """RUN-13, RUN-31"""
    draft = decided(wrap(place))
    options = options_of(draft)
    assert options["close"] == "adapter.close"
    if "stop" not in options:
        with pytest.raises(Misconfigured, match="stop is missing"):
            load_draft(draft, tmp_path)
        draft = draft.replace("# TODO: the stop must", 'stop = "shutdown"\n# the stop must')
    (one,) = load_draft(draft, tmp_path).apparatus
    assert one.driver.declared


def test_limits_choices_and_types_are_those_of_pymeasures_validators():
    """RUN-13"""
    draft = wrap("pymeasure.instruments.keithley:Keithley2400")
    control = options_of(draft)["control"]
    assert control["set_source_delay"]["parameters"]["source_delay"] == {
        "type": "number",
        "units": "s",
        "low": 0.0,
        "high": 999.9999,
    }
    assert control["set_source_mode"]["parameters"]["source_mode"]["choices"] == ["current", "voltage"]
    assert control["set_source_enabled"]["parameters"]["source_enabled"] == {"type": "boolean"}
    assert "# units: from the docstring; limits: from strict_range\n" in draft


def test_the_values_of_a_dynamic_property_are_those_of_the_subclass():
    """RUN-13"""
    from pymeasure.instruments import Instrument
    from pymeasure.instruments.validators import strict_range

    class General(Instrument):
        field = Instrument.control("F?", "F%g", "Control the field in T.", strict_range, [0, 1], dynamic=True)

    class Special(General):
        field_values = (0, 5)

    for cls, high in ((General, 1.0), (Special, 5.0)):
        argument = argument_of_property(cls, "field", General.field, General.field.__doc__)
        assert (argument.units, argument.low, argument.high) == ("T", 0.0, high)


@pytest.mark.parametrize(
    ("place", "first", "others", "name"),
    [
        ("pymeasure.instruments.keysight:KeysightE36312A", "ch_1", "ch_2, ch_3", "voltage_setpoint"),
        ("pymeasure.instruments.lakeshore:LakeShore331", "input_A", "input_B", "kelvin"),
        ("pymeasure.instruments.newport:ESP300", "x", "y, phi", "position"),
    ],
)
def test_channels_and_axes_are_in_the_draft_and_those_alike_are_named(place, first, others, name):
    """RUN-13"""
    draft = wrap(place)
    options = options_of(draft)
    assert options["observe"][f"{first}_{name}"]["get"] == f"{first}.{name}"
    assert f"# {others}: as {first}\n" in draft
    assert f"{others.partition(',')[0]}_{name}" not in options["observe"]


def test_a_draft_of_ophyds_motor_is_printed_by_the_command_line_and_checked(tmp_path):
    """RUN-13"""
    lab = tmp_path / "lab.toml"
    env = {**os.environ, "OPHYD_CONTROL_LAYER": "dummy"}
    command = [sys.executable, "-m", "authority"]
    with lab.open("wb") as out:
        subprocess.run([*command, "wrap", "ophyd:EpicsMotor"], env=env, stdout=out, check=True, timeout=120)
    options = options_of(lab.read_text(encoding="utf-8"))
    assert options["arguments"] == {"prefix": "?", "name": "epics_motor"}
    assert (options["open"], options["close"], options["stop"]) == ("wait_for_connection", "destroy", "stop")
    assert set(options["readings"]) == {"position", "moving"}
    assert options["control"]["set_velocity"]["call"] == "velocity.put"
    assert options["control"]["move"]["parameters"]["wait"] == {"type": "boolean", "default": True}
    assert options["observe"]["user_readback"]["get"] == "user_readback.get"
    assert "set_user_readback" not in options["control"]
    lab.write_text(decided(lab.read_text(encoding="utf-8")), encoding="utf-8")
    checked = subprocess.run([*command, "check", str(lab)], env=env, capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("nowhere.at_all:Motor", "there is no module nowhere.at_all: install it here, or set PYTHONPATH to its folder"),
        ("oven:Ofen", "oven has no 'Ofen', perhaps 'Oven' is meant"),
        ("oven", "'oven' names no object: write package.module:Class, such as ophyd:EpicsMotor"),
        ("bench:make_nothing", "bench:make_nothing is a function, no class: name the class of what it makes"),
        ("bench:stage", "bench:stage is Stage, but must be a class or a function that makes the object"),
    ],
)
def test_what_cannot_be_wrapped_is_one_sentence(place, sentence, capsys):
    """RUN-13"""
    with pytest.raises(CannotWrap) as told:
        wrap(place)
    assert str(told.value) == sentence
    assert main(["wrap", place]) == EXIT_USAGE
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"motorlock: {sentence}.\n")


def test_a_module_that_needs_another_or_fails_is_one_sentence(tmp_path, monkeypatch):
    """RUN-13"""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needy.py").write_text("import nowhere_at_all\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("raise RuntimeError('no\\n  licence')\n", encoding="utf-8")
    with pytest.raises(CannotWrap, match=r"^the module needy needs nowhere_at_all, which is not installed here$"):
        wrap("needy:Motor")
    with pytest.raises(CannotWrap, match=r"^the module broken cannot be imported: no licence$"):
        wrap("broken:Motor")


class Ways:
    """Methods that take what a lab file can hold, and what it cannot."""

    def of_literal(self, gear: Literal[1, 2, 3] = 2) -> None: ...

    def of_mixed(self, gear: Literal[1, "two"]) -> None: ...

    def of_union(self, x: int | float, y: float | None = None) -> None: ...

    def of_annotated(self, x: Annotated[float, "a length"], *rest: float, **more: float) -> None: ...

    def of_position(self, x: float, /) -> None: ...

    def of_optional_position(self, x: float = 1.0, /) -> None: ...

    def of_wrong_default(self, x: bool = 3) -> None: ...

    def of_callback(self, x: float, done: Callable[[], None] = print) -> None: ...

    def of_anything(self, x: Any) -> None: ...

    def of_nowhere(self, x: Nowhere = 1.5) -> None: ...  # noqa: F821 - as foreign code has it


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("of_literal", [("gear", "integer", (1, 2, 3), 2)]),
        ("of_mixed", "its parameter gear is Literal[1, 'two']"),
        ("of_union", [("x", "number", (), None)]),
        ("of_annotated", [("x", "number", (), None)]),
        ("of_position", "its parameter x cannot be given by name"),
        ("of_optional_position", []),
        ("of_wrong_default", []),
        ("of_callback", [("x", "number", (), None)]),
        ("of_anything", [("x", "number", (), None)]),
        ("of_nowhere", [("x", "number", (), 1.5)]),
    ],
)
def test_a_method_is_taken_with_what_a_lab_file_can_hold_or_left_out_with_the_reason(method, expected):
    """RUN-13"""
    if isinstance(expected, str):
        with pytest.raises(Unfit) as told:
            arguments_of(getattr(Ways, method), "")
        assert str(told.value).replace("typing.", "") == expected
        return
    found = arguments_of(getattr(Ways, method), "")
    assert [(one.name, one.type, one.choices, one.default) for one in found] == expected


@pytest.mark.parametrize(
    ("validator", "values", "expected"),
    [
        ("strict_range", [0, 5], ("number", 0.0, 5.0, ())),
        ("strict_range", [5, 0, 3], ("number", 0.0, 5.0, ())),
        ("strict_range", [0, float("inf")], ("number", None, None, ())),
        ("strict_range", ["a", None], ("number", None, None, ())),
        ("strict_discrete_set", {"CW": "+", "CCW": "-"}, ("text", None, None, ("CW", "CCW"))),
        ("strict_discrete_set", {3, 1, 2}, ("integer", None, None, (1, 2, 3))),
        ("strict_discrete_set", [1, 2.5], ("number", None, None, (1.0, 2.5))),
        ("strict_discrete_set", [True, False], ("boolean", None, None, ())),
        ("strict_discrete_set", ["a", 1], ("number", None, None, ())),
        ("strict_discrete_set", range(1000), ("number", None, None, ())),
        ("strict_discrete_set", "abc", ("number", None, None, ())),
    ],
)
def test_a_validator_gives_limits_or_choices_where_a_lab_file_can_hold_them(validator, values, expected):
    """RUN-13"""
    from pymeasure.instruments import Instrument, validators

    class Thing(Instrument):
        gain = Instrument.control("G?", "G%s", "Control the gain.", getattr(validators, validator), values)

    found = argument_of_property(Thing, "gain", Thing.gain, Thing.gain.__doc__)
    assert (found.type, found.low, found.high, found.choices) == expected


def test_what_a_module_says_when_it_is_imported_is_no_part_of_the_draft(tmp_path, monkeypatch, capsys):
    """RUN-13"""
    monkeypatch.syspath_prepend(tmp_path)
    source = "print('Welcome!')\nclass Pump:\n    def stop(self) -> None:\n        'Stop it.'\n"
    (tmp_path / "talkative.py").write_text(source, encoding="utf-8")
    assert main(["wrap", "talkative:Pump"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "Welcome!\n"
    assert options_of(printed.out) == {"object": "talkative:Pump", "stop": "stop"}


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("The position in mm.", "mm"),
        ("Control the voltage in Volts (float).", "V"),
        ("The field (T).", "T"),
        ("The speed in degrees per second", "deg/s"),
        ("In degrees Celsius", "°C"),
        ("Wait time in ms. after a move is finished", "ms"),
        ("A position in absolute units. They could be in meters or in degrees.", None),
        ("The voltage in V or the current in A", None),
        ("Whether it is in range (bool)", None),
        ("Put it in a box in time", None),
        ("", None),
    ],
)
def test_a_unit_is_taken_only_where_a_docstring_plainly_names_one(text, units):
    """RUN-13"""
    assert units_in(text) == units


def test_types_are_taken_where_a_docstring_plainly_names_them():
    """RUN-13"""
    text = "Move.\n\n:param int n: how often\n:type x: float\nrate : float, optional\n    In mm/s.\n"
    assert (type_in(text, "n"), type_in(text, "x"), type_in(text, "rate")) == ("integer", "number", "number")
    assert type_in(text, "other") is None
    assert type_of_value_in("Control the gain (int) of it.") == "integer"
    assert type_of_value_in("A boolean property or (int).") is None


def test_whatever_a_text_has_in_it_the_toml_is_valid():
    """RUN-13"""
    ugly = 'a "quoted" \\ back\x7f\x00\nline\t\ud800 ü #'
    read = tomllib.loads("\n".join([*comment(ugly), f"{key_of('ü')} = {toml(ugly)}", f"list = {toml([1, 0.5, True])}"]))
    assert read["ü"] == 'a "quoted" \\ back  \nline\t? ü #'
    assert read["list"] == [1, 0.5, True]
    assert len(short("x" * 100)) == 60


@pytest.mark.slow
def test_every_instrument_class_of_pymeasure_gives_a_draft_that_loads():
    """RUN-13"""
    import pymeasure.instruments
    from pymeasure.instruments import Instrument

    places = set()
    for module in pkgutil.walk_packages(pymeasure.instruments.__path__, "pymeasure.instruments."):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = vars(importlib.import_module(module.name))
            except ImportError:  # two need a maker's library
                continue
        places |= {
            f"{module.name}:{name}"
            for name, one in found.items()
            if isinstance(one, type) and issubclass(one, Instrument) and one.__module__ == module.name
        }
    assert len(places) > 150
    for place in sorted(places):
        options = options_of(decided(wrap(place)))
        options.setdefault("stop", "shutdown")
        assert build("python", options).declared, place

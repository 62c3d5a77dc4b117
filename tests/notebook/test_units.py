"""Numbers that know their unit are converted or refused; what is no number never moves anything."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pint
import pytest
import xarray

from jupyter_motorlock.client.commands import command_from_description
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.notebook.command_lines import read_line, split_line
from jupyter_motorlock.text.units import WrongUnit, number_in
from jupyter_motorlock.text.values import Value

REGISTRY = pint.UnitRegistry()


class AstropyLike:
    """What astropy's quantities can do: `unit`, `value` and `to`, and no `float` of what has a unit."""

    def __init__(self, value: float, unit: str) -> None:
        self.value, self.unit = value, unit

    def to(self, unit: str) -> AstropyLike:
        if (self.unit, unit) != ("degree", "deg"):
            raise ValueError(f"{self.unit} and {unit} are not convertible")
        return AstropyLike(self.value, unit)


@pytest.mark.parametrize(
    ("given", "units", "number"),
    [
        (Value(12.5, "mm"), "um", 12500.0),
        (Value(12.5, "um"), "mm", 0.0125),
        (Value(12.5, "mm"), "mm", 12.5),
        (Value(12.5, "steps"), "steps", 12.5),
        (Value(12.5, "mm"), None, 12.5),
        (Value(90, "deg"), "mrad", pytest.approx(1570.79632679)),
        (Value(2, "mm/s"), "um/ms", 2.0),
        (0.7 * REGISTRY.cm, "mm", 7.0),
        (90 * REGISTRY.degree, "deg", 90.0),
        (90 * REGISTRY.degree, "°", 90.0),
        (3 * REGISTRY.um / REGISTRY.s, "mm/s", 0.003),
        (AstropyLike(90, "degree"), "deg", 90.0),
        (AstropyLike(7, "mm"), "um", 7000.0),
        (xarray.DataArray(2.0, attrs={"units": "cm"}), "mm", 20.0),
        ("3 mm", "mm", 3.0),
        ("3mm", "um", 3000.0),
        ("-0.5 µm", "nm", -500.0),
        ("5 steps", "steps", 5.0),
        (np.float32(0.5), "mm", 0.5),
        (np.int64(3), "mm", 3.0),
        (np.array(3), "mm", 3.0),
        (Decimal("0.25"), "mm", 0.25),
        (Fraction(1, 4), "mm", 0.25),
        ("1e3", "mm", 1000.0),
    ],
)
def test_a_number_that_knows_its_unit_is_converted(given: object, units: str | None, number: float) -> None:
    """DRV-80"""
    assert number_in(given, units) == number


@pytest.mark.parametrize(
    ("given", "units"),
    [
        (Value(12.5, "mm"), "deg"),
        (Value(12.5, "steps"), "mm"),
        (3 * REGISTRY.V, "mm"),
        (3 * REGISTRY.mm, "steps"),
        (AstropyLike(3, "furlong"), "mm"),
        (xarray.DataArray(2.0, attrs={"units": "V"}), "mm"),
        ("3 V", "mm"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_both_units_named(given: object, units: str) -> None:
    """DRV-80"""
    with pytest.raises(WrongUnit) as refused:
        number_in(given, units)
    assert f"cannot be turned into {units}" in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        True, np.bool_(True), np.array([2.0]) > 0, np.array(1) > 0, np.complex128(3 + 4j), 3 + 4j, np.complex64(3),
        None, "1_0", "1_000.5", "nan", "inf", "0x10", "", "one", [1], np.array([1.0, 2.0]),
        np.datetime64("2026-01-01"), float("nan"), np.float64("inf"), np.timedelta64(3, "s"), "١٢",
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(given: object) -> None:
    """DRV-81"""
    with pytest.raises((ValueError, TypeError)):
        number_in(given, "mm")


COMMANDS = command_from_description(
    {
        "commands": [
            {
                "name": "move_to",
                "kind": "control",
                "doc": "",
                "returns": {"type": "number", "units": "mm"},
                "parameters": [
                    {"name": "position", "type": "number", "units": "mm", "required": True, "default": None,
                     "choices": None, "doc": "", "low": 0.0, "high": 100.0},
                    {"name": "mode", "type": "text", "units": None, "required": False, "default": "m",
                     "choices": ["m", "fast"], "doc": "", "low": None, "high": None},
                ],
            }
        ]
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "parameters"),
    [
        ("move_to 3 mm", {"position": 3.0}),
        ("move_to 3 um", {"position": 0.003}),
        ("move_to 3um fast", {"position": 0.003, "mode": "fast"}),
        ("move_to 3 um fast", {"position": 0.003, "mode": "fast"}),
        ("move_to position=3um", {"position": 0.003}),
        ("move_to 3 m", {"position": 3.0, "mode": "m"}),
    ],
)
def test_typed_units_are_taken(line: str, parameters: dict[str, object]) -> None:
    """DRV-80"""
    assert read_line(split_line(line), "stage_x", COMMANDS, {}).parameters == parameters


def test_the_sentence_names_the_unit_that_is_wanted() -> None:
    with pytest.raises(UsageProblem) as refused:
        read_line(split_line("move_to 3V"), "stage_x", COMMANDS, {})
    assert str(refused.value) == "position must be a number in mm from 0 to 100, not 3V: V cannot be turned into mm."

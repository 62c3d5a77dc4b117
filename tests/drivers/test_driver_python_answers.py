"""What a Python object answers, as it is sent on."""

from __future__ import annotations

import datetime
import decimal
import math
from pathlib import PurePosixPath

import bench
import numpy
import pint
import pytest
from python_lab import run

from authority.driver_values import MOST_VALUES, UnusableAnswer, plain_value
from authority.drivers.object_answers import as_scalar, as_type


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (numpy.bool_(True), True),
        (numpy.float64(1.5), 1.5),
        (numpy.float32(0.5), 0.5),
        (numpy.int16(3), 3),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (float("nan"), None),
        (math.inf, None),
        (numpy.array([1.0, numpy.nan]), [1.0, None]),
        (1 + 2j, {"real": 1.0, "imag": 2.0}),
        (bench.Colour.RED, "RED"),
        (bench.Flags.LOW, "LOW"),
        (bench.Flags(0), 0),
        (bench.Sample(1.0, bench.Colour.RED), {"x": 1.0, "colour": "RED"}),
        ({"a": (1, 2), 3: {4}}, {"a": [1, 2], "3": [4]}),
        (b"+1.5", "+1.5"),
        (decimal.Decimal("1.5"), 1.5),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.timedelta(seconds=90), 90.0),
        (PurePosixPath("a/b"), "a/b"),
        (ValueError("too hot"), "ValueError: too hot"),
        (pint.Quantity(2.0, "mm"), {"value": 2.0, "units": "millimeter"}),
        (pint.Quantity(numpy.array([1.0, 2.0]), "V"), {"value": [1.0, 2.0], "units": "volt"}),
    ],
)
def test_an_answer_becomes_what_json_can_hold(value, expected):
    """DRV-46"""
    found = plain_value(value)
    assert found == expected
    assert type(found) is type(expected)


def test_a_quantity_is_answered_in_the_unit_of_the_lab_file(made):
    """DRV-46"""
    assert plain_value(pint.Quantity(2.0, "mm"), "um") == pytest.approx(2000.0)
    driver = made()
    bench.made[-1].field = pint.Quantity(1500.0, "mT")
    assert run(driver, "field") == pytest.approx(1.5)
    with pytest.raises(UnusableAnswer, match="cannot be had in V"):
        plain_value(pint.Quantity(2.0, "mm"), "V")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (object(), "it answered a object, <object object at .*, which cannot be sent on: name one of its attributes"),
        (print, "it answered a builtin_function_or_method"),
        (b"\xff\x00", "it answered 2 bytes that are no text"),
        (numpy.zeros(MOST_VALUES + 1), "it answered 1000001 values, but at most 1000000 can be answered"),
        ([0] * (MOST_VALUES + 1), "it answered 1000001 values"),
    ],
)
def test_an_answer_that_json_cannot_hold_is_refused_with_what_it_is(value, sentence):
    """DRV-46"""
    with pytest.raises(UnusableAnswer, match=sentence):
        plain_value(value)


def test_an_answer_that_contains_itself_is_refused():
    """DRV-46"""
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(UnusableAnswer, match="contains itself"):
        plain_value(endless)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (numpy.int32(2), "number", 2.0),
        (2.0, "integer", 2),
        (1.0, "boolean", True),
        (0, "boolean", False),
        (3, "text", "3"),
        ((1, 2), "list", [1, 2]),
        ("x", "object", "x"),
        (object(), "nothing", None),
    ],
)
def test_an_answer_is_of_the_type_that_the_lab_file_says(value, kind, expected):
    """DRV-46"""
    found = as_type(value, kind)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "number"), (True, "number"), (2.5, "integer"), (True, "integer"), (2, "boolean"), ({}, "list")],
)
def test_an_answer_of_another_type_is_refused(value, kind):
    """DRV-46"""
    with pytest.raises(UnusableAnswer, match=f"which is no {kind}: check its type in the lab file"):
        as_type(value, kind)
    with pytest.raises(UnusableAnswer, match="no single value"):
        as_scalar([1], "list")

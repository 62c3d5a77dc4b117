"""What a driver hands over is made plain, whatever its class, or refused: bounded, and without trust in its methods."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
from collections.abc import Iterator, Sequence
from typing import NoReturn

import msgspec
import numpy
import pytest

from authority.driver_values import (
    LONGEST_SENTENCE,
    MOST_READBACK_BYTES,
    MOST_RESULT_BYTES,
    MOST_VALUES,
    UnusableAnswer,
    described_value,
    plain_readback,
    plain_result,
    plain_text,
    plain_value,
    sentence_of,
)
from authority.ports import Readback

SURROGATE = os.fsdecode(b"M\xfcller")
ESCAPED = "M\\udcfcller"


class Index:
    """Something that is a whole number only when it is asked."""

    def __index__(self) -> int:
        return 7


class Weight:
    """Something that is a number only when it is asked."""

    def __float__(self) -> float:
        return 2.5


class Liar(Sequence[int]):
    """A sequence that says that it has two items and never ends."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        return index


class Loud:
    """Something that cannot be shown."""

    def __repr__(self) -> NoReturn:
        raise RuntimeError("no")


class Mute(Exception):
    """An error that says nothing, and ends the process when it is asked."""

    def __str__(self) -> NoReturn:
        raise SystemExit("no")


class Point(msgspec.Struct):
    """A place."""

    x: float


@dataclasses.dataclass
class Sample:
    """A name."""

    name: str


def same(value: object, expected: object) -> None:
    found = plain_value(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SURROGATE, ESCAPED),
        (numpy.str_(SURROGATE), ESCAPED),
        ({SURROGATE: [SURROGATE]}, {ESCAPED: [ESCAPED]}),
        (Sample(SURROGATE), {"name": ESCAPED}),
        (ValueError(SURROGATE), f"ValueError: {ESCAPED}"),
    ],
)
def test_a_lone_surrogate_is_written_as_its_escape(value, expected):
    """DRV-50"""
    same(value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Index(), 7),
        (Weight(), 2.5),
        (numpy.longdouble("1.5"), 1.5),
        (numpy.longdouble("nan"), None),
        (numpy.float16(0.5), 0.5),
        (numpy.uint64(2**64 - 1), 2**64 - 1),
        (numpy.ma.masked, None),
        (numpy.ma.array([1.0, 2.0], mask=[0, 1]), [1.0, None]),
        (numpy.array(3), 3),
        (numpy.array([True, False]), [True, False]),
        (numpy.complex64(1 + 2j), {"real": 1.0, "imag": 2.0}),
        (numpy.array(["2026-03-01", "2026-03-02"], dtype="datetime64[D]"), ["2026-03-01", "2026-03-02"]),
        (numpy.timedelta64(3, "s"), 3.0),
        (2**63 - 1, 2**63 - 1),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (2**64, float(2**64)),
        (-(2**63) - 1, -float(2**63)),
        (Point(1.0), {"x": 1.0}),
        (Liar(), [0, 1]),
        ([0.5, math.nan, math.inf, -math.inf, 1], [0.5, None, None, None, 1]),
        (range(3), [0, 1, 2]),
        (datetime.timedelta(seconds=3), 3.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_behaves_as_a_number_or_a_list_is_one(value, expected):
    """DRV-50, DRV-53"""
    same(value, expected)


def nested(depth: int) -> object:
    found: object = "x"
    for _ in range(depth):
        found = [found]
    return found


def test_a_value_is_at_most_twenty_deep():
    """DRV-50"""
    assert plain_value(nested(20)) == nested(20)
    with pytest.raises(UnusableAnswer, match="too deep"):
        plain_value(nested(21))


@pytest.mark.parametrize(
    "value",
    [[[0.0] * (MOST_VALUES // 2)] * 3, {"a": [0] * MOST_VALUES, "b": 1}, numpy.zeros((1001, 1000)), 10**400],
    ids=["lists in lists", "a table", "an array", "a whole number"],
)
def test_what_is_too_much_is_refused_before_it_is_made(value):
    """DRV-50"""
    with pytest.raises(UnusableAnswer, match=r"at most 1000000|too large to be sent on"):
        plain_value(value)


def test_a_million_values_are_not_too_many():
    """DRV-50"""
    found = plain_value(numpy.zeros((1000, 999)))
    assert isinstance(found, list)
    assert len(found) == 1000


def test_a_result_is_bounded_in_bytes():
    """CMD-40"""
    text = "x" * (MOST_RESULT_BYTES - 2)
    assert len(plain_result(text)) == MOST_RESULT_BYTES
    with pytest.raises(
        UnusableAnswer, match=f"it answered {MOST_RESULT_BYTES + 1} bytes, but at most {MOST_RESULT_BYTES}"
    ):
        plain_result(text + "x")


def test_a_result_is_the_json_of_what_is_plain():
    """DRV-50"""
    assert json.loads(bytes(plain_result({"counts": numpy.arange(3), "file": SURROGATE}))) == {
        "counts": [0, 1, 2],
        "file": ESCAPED,
    }


@pytest.mark.parametrize("value", [object(), Loud(), lambda: 1, b"\xff", Index, {1: object()}])
def test_what_cannot_be_plain_is_refused_and_shown_as_far_as_it_can_be(value):
    """DRV-50"""
    with pytest.raises(UnusableAnswer):
        plain_value(value)


def test_what_cannot_be_shown_is_named_by_its_type():
    """DRV-50"""
    assert described_value(Loud()) == "a Loud"
    assert described_value("x" * 50) == f"a str, '{'x' * 36}..."
    assert described_value(SURROGATE) == "a str, 'M\\udcfcller'"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("the drive is\n blocked"), "the drive is blocked"),
        (ValueError(), "ValueError"),
        (ValueError("cannot read " + SURROGATE), "cannot read " + ESCAPED),
        (Mute(), "Mute"),
        (ValueError("x" * LONGEST_SENTENCE), "x" * LONGEST_SENTENCE),
        (ValueError("x" * (LONGEST_SENTENCE + 1)), "x" * (LONGEST_SENTENCE - 3) + "..."),
    ],
    ids=["lines", "nothing", "surrogate", "mute", "long", "too long"],
)
def test_an_error_is_one_plain_line(error, sentence):
    """DRV-52"""
    assert sentence_of(error) == sentence


def test_a_text_that_can_be_encoded_stays_as_it_is():
    """DRV-50"""
    assert plain_text("µm ° 日 😀") == "µm ° 日 😀"


@pytest.mark.parametrize("unknown", [None, math.nan, numpy.float32("inf")])
def test_a_tolerance_that_is_not_known_is_the_usual_one(unknown):
    """DRV-53, DRV-8"""
    assert plain_readback(Readback(tolerance=unknown)).tolerance == Readback().tolerance
    assert plain_readback(Readback(tolerance=numpy.float64(0.5))).tolerance == 0.5


@pytest.mark.parametrize(
    ("readback", "sentence"),
    [
        (Readback(position=True), "its position is a bool, True, which is no number"),
        (Readback(target=[1.0]), r"its target is a list, \[1.0\], which is no number"),
        (Readback(velocity="5"), "its velocity is a str, '5', which is no number"),
        (Readback(moving=2), "its moving is a int, 2, neither true nor false"),
        (Readback(moving=math.nan), "its moving is a float, nan, neither true nor false"),
        (Readback(connected=None), "its connected is a NoneType, None, neither true nor false"),
        (Readback(units=3), "its units is a int, 3, which is no text"),
        (Readback(values=[1]), r"its values are a list, \[1\], not a table of readings"),
        (Readback(values={"trace": {}}), r"its reading trace is a dict, \{\}, which is no single value"),
    ],
    ids=str,
)
def test_a_readback_that_says_nonsense_is_refused_by_the_name_of_what_is_wrong(readback, sentence):
    """DRV-51"""
    with pytest.raises(UnusableAnswer, match=f"^{sentence}$"):
        plain_readback(readback)


def test_a_readback_is_bounded_in_bytes():
    """DRV-51"""
    room = MOST_READBACK_BYTES - len(msgspec.json.encode(Readback(values={"text": ""})))
    assert plain_readback(Readback(values={"text": "x" * room})).values == {"text": "x" * room}
    with pytest.raises(UnusableAnswer, match=f"its readback is {MOST_READBACK_BYTES + 1} bytes long"):
        plain_readback(Readback(values={"text": "x" * (room + 1)}))


def test_a_readback_of_whole_numbers_is_one_of_flags_and_floats():
    """DRV-51"""
    found = plain_readback(Readback(moving=numpy.int8(1), connected=1.0, position=numpy.int64(3)))  # type: ignore[arg-type]
    assert (found.moving, found.connected, found.position) == (True, True, 3.0)
    assert (type(found.moving), type(found.position)) == (bool, float)
    assert plain_readback(Readback()).moving is None


def test_iterators_are_no_answers():
    """DRV-50"""

    def endless() -> Iterator[int]:
        while True:
            yield 1

    with pytest.raises(UnusableAnswer):
        plain_value(endless())

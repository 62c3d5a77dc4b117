"""What goes into a line to a device, and what never does."""

from __future__ import annotations

import pytest

from authority.drivers.template import filled, forbidden, refuse_more_than_values
from authority.parameters import InvalidParameters


@pytest.mark.parametrize(
    ("template", "parameters", "per_unit", "line"),
    [
        ("GO {x:.2f}", {"x": 1.5}, {}, "GO 1.50"),
        ("GO {x:.0f}", {"x": 1.5}, {"x": 2000.0}, "GO 3000"),
        ("GO {x}", {"x": 3}, {"x": 2.0}, "GO 6"),
        ("GO {x} {y}", {"x": 1.0, "y": 1.0}, {"y": 10.0}, "GO 1.0 10.0"),
        ("OUT {on}", {"on": True}, {}, "OUT 1"),
        ("OUT {on}", {"on": False}, {}, "OUT 0"),
        ("SAY {word}", {"word": "A 1,2"}, {"word": 2.0}, "SAY A 1,2"),
    ],
)
def test_a_value_is_sent_in_the_devices_units_and_a_boolean_as_1_or_0(template, parameters, per_unit, line):
    """DRV-30"""
    assert filled(template, parameters, per_unit) == line


@pytest.mark.parametrize("text", ["A;B", "A\nB", "A\r", "A\x00", "\x7f", "Ä", "\N{NO-BREAK SPACE}"])
def test_a_text_that_could_be_more_than_a_value_never_gets_into_a_line(text):
    """DRV-36"""
    assert forbidden(text) is not None
    with pytest.raises(ValueError, match=r"^word has "):
        filled("SAY {word}", {"word": text}, {})
    with pytest.raises(InvalidParameters) as refused:
        refuse_more_than_values("say", {"level": 1.0, "word": text, "good": "A"})
    assert [error["loc"] for error in refused.value.errors] == [["body", "parameters", "word"]]


def test_what_is_a_value_passes():
    """DRV-36"""
    assert forbidden("A 1,2~!") is None
    refuse_more_than_values("say", {"word": "A 1,2~!", "level": 3.0, "on": True})
    refuse_more_than_values("say", {})

"""A number that knows its unit is shown with it, and stored and computed with as the number that it is."""

from __future__ import annotations

import copy
import csv
import io
import json
import pickle
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pandas as pd
import pytest

from jupyter_motorlock.client.commands import command_from_description
from jupyter_motorlock.notebook.cells import text_of
from jupyter_motorlock.text.values import Value, provenance, reading

HERE = Value(12.5, "mm")


def test_a_value_is_shown_with_its_unit() -> None:
    """NB-70"""
    assert repr(HERE) == "12.5 mm"
    assert repr([HERE]) == "[12.5 mm]"
    assert (HERE, HERE.units) == (12.5, "mm")


def test_a_value_is_written_as_the_plain_number() -> None:
    """NB-70"""
    assert (str(HERE), f"{HERE}", f"{HERE:.3f}", f"{HERE:g}") == ("12.5", "12.5", "12.500", "12.5")
    assert json.dumps({"at": HERE}) == '{"at": 12.5}'
    text = io.StringIO()
    csv.writer(text).writerow([HERE, HERE])
    assert text.getvalue() == "12.5,12.5\r\n"


def test_a_value_is_stored_as_a_plain_float_that_needs_no_package_to_be_read() -> None:
    """NB-70"""
    for stored in (pickle.loads(pickle.dumps(HERE)), copy.copy(HERE), copy.deepcopy({"at": HERE})["at"]):
        assert (type(stored), stored) == (float, 12.5)
    assert b"motorlock" not in pickle.dumps(HERE)


def test_numpy_pandas_and_hdf5_take_a_value_for_a_number(tmp_path: Path) -> None:
    """NB-70"""
    assert np.array([HERE, 1]).dtype == np.float64
    assert pd.Series([HERE, HERE]).dtype == "float64"
    assert pd.DataFrame([{"at": HERE}])["at"].dtype == "float64"
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.attrs["at"] = HERE
        assert file.attrs["at"] == 12.5


def test_a_line_of_a_cell_shows_a_value_rounded_and_with_its_unit() -> None:
    """NB-70"""
    assert text_of(Value(0.1 + 0.2, "mm")) == "0.3 mm"
    assert text_of(0.1 + 0.2) == "0.3"


def test_what_is_computed_from_a_value_is_a_plain_float() -> None:
    """NB-70"""
    for computed in (HERE + 1, 2 * HERE, HERE - HERE, -HERE, abs(HERE), HERE / 2, round(HERE, 1), HERE**2, sum([HERE])):
        assert type(computed) is float
    assert HERE == 12.5
    assert hash(HERE) == hash(12.5)
    assert HERE < 13


@pytest.mark.parametrize(
    ("kind", "units", "answered", "shown"),
    [
        ("number", "mm", 12.5, "12.5 mm"),
        ("number", "mm", 5, "5.0 mm"),
        ("number", None, 12.5, "12.5"),
        ("integer", "steps", 5, "5"),
        ("number", "mm", None, "None"),
        ("list", "V", [1.0, 2.0], "[1.0, 2.0]"),
        ("object", None, {"a": 1}, "{'a': 1}"),
    ],
)
def test_only_a_number_that_is_declared_with_a_unit_becomes_a_value(
    kind: str, units: str | None, answered: object, shown: str
) -> None:
    """NB-70"""
    told = {"name": "x", "kind": "observe", "doc": "", "parameters": [], "returns": {"type": kind, "units": units}}
    assert repr(command_from_description({"commands": [told]})["x"].typed(answered)) == shown


READBACK = {
    "connected": True,
    "moving": True,
    "position": 12.5,
    "target": 20.0,
    "velocity": 5.0,
    "fraction": 0.5,
    "units": "mm",
    "values": {"low": 0.0, "high": 100.0},
    "error": None,
    "age_seconds": 0.05,
}
HOLDER = {"user": "ann", "note": None, "since": "2026-11-21T20:35:34+00:00"}
STATUS: dict[str, Any] = {
    "equipment_id": "stage_x",
    "readback": READBACK,
    "holder": HOLDER,
    "fence": 7,
    "lock_id": "l7",
    "session_id": "s1",
}


def test_a_reading_has_its_numbers_in_their_units_and_cannot_be_changed() -> None:
    """NB-71"""
    seen = reading(STATUS)
    assert [repr(one) for one in (seen.position, seen.target, seen.velocity)] == ["12.5 mm", "20.0 mm", "5.0 mm/s"]
    assert (seen.moving, seen.connected, seen.values["high"], seen.age_s) == (True, True, 100.0, 0.05)
    with pytest.raises(FrozenInstanceError):
        seen.position = 5  # type: ignore[misc]  # that it cannot is what is tested


def test_a_reading_of_what_has_no_position_or_unit_says_none_or_the_plain_number() -> None:
    """NB-71"""
    assert reading(STATUS | {"readback": READBACK | {"position": None}}).position is None
    assert repr(reading(STATUS | {"readback": READBACK | {"units": None}}).position) == "12.5"


def test_a_provenance_leaves_out_what_there_is_not_and_is_all_texts_and_numbers() -> None:
    """NB-72"""
    found = provenance(STATUS, "http://lab:8790", datetime(2026, 11, 21, 20, 36, tzinfo=UTC))
    assert found == {
        "equipment": "stage_x",
        "user": "ann",
        "since": "2026-11-21T20:35:34+00:00",
        "fence": 7,
        "lock_id": "l7",
        "session_id": "s1",
        "authority": "http://lab:8790",
        "time": "2026-11-21T20:36:00+00:00",
        "position": 12.5,
        "units": "mm",
    }
    assert json.loads(json.dumps(found)) == found

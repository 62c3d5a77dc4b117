"""Every mistake in a configuration is told at once, whatever was done to the lab file; none of them is a crash."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from authority.__main__ import main
from authority.settings import Misconfigured, load

Lab = dict[str, Any]
STAGE: Lab = {
    "driver": "simulated-motor",
    "label": "Sample stage",
    "observers": "alongside",
    "on_idle": "offer",
    "on_loss": "finish",
    "on_silence": "stop",
    "claim_seconds": 60.0,
    "max_hold_seconds": 3600,
    "options": {"low": -1.0, "high": 20.0, "velocity": 2.0, "units": "mm", "start": 1.0},
}
VALID: Lab = {
    "authority": {
        "host": "127.0.0.1",
        "port": 0,
        "data": "nobody-writes-here",
        "allowed_hosts": ["motors.lab"],
        "history_days": 30.0,
        "lock_timeout_sec": 60,
        "enable_lock_queue": True,
    },
    "equipment": {
        "stage_x": STAGE,
        "stage_y": {**STAGE, "options": {"low": 0.0, "high": 5.0}},
        "flaky": {"driver": "drivers:Flaky", "options": {"place": "/nowhere", "address": "COM1"}},
        "other": {"driver": "drivers:Flaky", "options": {"place": "/nowhere", "address": "COM2"}},
        "ps": {"driver": "simulated-power-supply"},
        "gauge": {
            "driver": "serial",
            "options": {
                "port": "/dev/ttyNONE",
                "stop": "STOP",
                "units": "mm",
                "low": 0.0,
                "high": 5.0,
                "tolerance": 0.1,
                "readings": {"position": {"query": "POS?", "type": "number"}},
                "control": {"go": {"send": "GO {to}", "target": "to", "parameters": {"to": {"type": "number"}}}},
            },
        },
        "bell": {
            "driver": "python",
            "options": {
                "object": "threading:Event",
                "kind": "bell",
                "stop": "clear",
                "readings": {"moving": {"get": "is_set", "type": "boolean"}},
                "control": {"ring": {"call": "set"}, "hush": {"call": "clear", "doc": "Be quiet."}},
                "observe": {"rings": {"get": "is_set", "type": "boolean"}},
            },
        },
    },
}


def toml(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Write tables as a lab file."""
    lines = [f"[{'.'.join(json.dumps(part) for part in path)}]"] if path else []
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    lines += [f"{json.dumps(key)} = {scalar(value)}" for key, value in table.items() if key not in inner]
    return "\n".join([*lines, *(toml(value, (*path, key)) for key, value in inner.items())]) + "\n"


def scalar(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, list):
        return f"[{', '.join(scalar(one) for one in value)}]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return json.dumps(value)


def mistakes(text: str, place: Path) -> tuple[str, ...]:
    """Return what a lab file is refused with; nothing where it is good."""
    file = place / "lab.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load(host=None, port=None, config=file, data=None, environ={}, dotenv=place / "none")
    except Misconfigured as refused:
        told = refused.mistakes
    else:
        return ()
    assert told
    for sentence in told:
        assert "\n" not in sentence
        assert sentence.endswith(".")
    return told


@dataclass(frozen=True)
class Spoiled:
    """One mistake made in a table, and the words that its sentence must have."""

    where: tuple[str, ...]
    key: str
    spoil: Callable[[Lab, str], None]
    words: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{self.spoil.__name__} {'.'.join(self.where)} {self.key}"

    def make(self, lab: Lab) -> None:
        table = lab
        for part in self.where:
            table = table[part]
        self.spoil(table, self.key)


def misspell(table: Lab, key: str) -> None:
    table[f"{key}x"] = table.pop(key)


def mistype(table: Lab, key: str) -> None:
    table[key] = "three" if isinstance(table[key], bool | int | float) else 3.5


def not_a_number(table: Lab, key: str) -> None:
    table[key] = math.nan


def below_zero(table: Lab, key: str) -> None:
    table[key] = -1


def drop(table: Lab, key: str) -> None:
    del table[key]


def share(table: Lab, key: str) -> None:
    table[key] = {"COM1": "COM2", "COM2": "COM1"}[table[key]]


def _single() -> list[Spoiled]:
    """List one mistake for every key that there is, of every kind that fits."""
    found = []
    for key in VALID["authority"]:
        found += [Spoiled(("authority",), key, misspell, ("[authority]", f"{key}x", f"perhaps {key} is meant"))]
        found += [Spoiled(("authority",), key, mistype, ("[authority]", key))]
    for name in VALID["equipment"]:
        at, table = f"[equipment.{name}]", VALID["equipment"][name]
        found += [Spoiled(("equipment", name), "driver", drop, (at, "needs a driver"))]
        for key in table.keys() - {"driver", "options"}:
            found += [Spoiled(("equipment", name), key, misspell, (at, f"{key}x", f"perhaps {key} is meant"))]
            found += [Spoiled(("equipment", name), key, mistype, (at, key))]
            if key.endswith("_seconds"):
                found += [Spoiled(("equipment", name), key, spoil, (at, key)) for spoil in (not_a_number, below_zero)]
        for key, value in table.get("options", {}).items():
            found += [Spoiled(("equipment", name, "options"), key, misspell, (at, f"{key}x"))]
            found += [Spoiled(("equipment", name, "options"), key, mistype, (at, key))]
            if isinstance(value, float):
                found += [Spoiled(("equipment", name, "options"), key, not_a_number, (at, key))]
    shared = ("[equipment.other]", "COM", "[equipment.flaky]", "one device is one piece")
    return [*found, Spoiled(("equipment", "other", "options"), "address", share, shared)]


SINGLE = sorted(_single(), key=repr)


def _are_independent(chosen: list[Spoiled]) -> bool:
    """Whether each can be seen whatever the others are: no two of one key, no driver gone whose options are asked."""
    places = {(one.where, one.key) for one in chosen}
    gone = {one.where for one in chosen if one.spoil is drop}
    broken = gone | {one.where[:2] for one in chosen if len(one.where) == 3 and one.spoil is not share}
    shares = any(one.spoil is share for one in chosen)
    return (
        len(places) == len(chosen)
        and not any(one.where[:2] in gone for one in chosen if len(one.where) == 3)
        and not (shares and broken & {("equipment", "flaky"), ("equipment", "other")})
    )


def test_the_lab_that_is_spoiled_here_has_no_mistake(tmp_path: Path) -> None:
    """RUN-14"""
    assert mistakes(toml(VALID), tmp_path) == ()


@pytest.mark.parametrize("one", SINGLE, ids=repr)
def test_each_mistake_is_told_with_its_table_and_its_key(one: Spoiled, tmp_path: Path) -> None:
    """RUN-5, RUN-15, RUN-16"""
    lab = copy.deepcopy(VALID)
    one.make(lab)
    told = mistakes(toml(lab), tmp_path)
    assert [sentence for sentence in told if all(word in sentence for word in one.words)], told


SHARED = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@SHARED
@given(chosen=st.lists(st.sampled_from(SINGLE), min_size=2, max_size=8, unique_by=repr))
def test_many_mistakes_are_all_told_at_once(chosen: list[Spoiled], tmp_path: Path) -> None:
    """RUN-5, RUN-14"""
    assume(_are_independent(chosen))
    lab = copy.deepcopy(VALID)
    for one in chosen:
        one.make(lab)
    told = mistakes(toml(lab), tmp_path)
    assert len(told) >= len(chosen), told
    for one in chosen:
        assert any(all(word in sentence for word in one.words) for sentence in told), (one, told)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
PLAIN = st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from([10**400, -(2**70)])
LISTS = st.lists(PLAIN | st.lists(PLAIN, max_size=2), max_size=3)
ANYTHING = PLAIN | LISTS | st.dictionaries(TEXTS, PLAIN | LISTS | st.dictionaries(TEXTS, PLAIN, max_size=2), max_size=3)


@st.composite
def spoiled_labs(draw: st.DrawFn) -> str:
    """A valid lab file to which something was done: other values, keys dropped and renamed, or its text cut up."""
    lab = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 4))):
        table, key = lab, draw(st.sampled_from(sorted(lab)))
        while isinstance(table[key], dict) and table[key] and draw(st.integers(0, 3)):
            table = table[key]
            key = draw(st.sampled_from(sorted(table)))
        match draw(st.sampled_from(["drop", "rename", "put"])):
            case "drop" if len(lab) > 1 or table is not lab:
                del table[key]
            case "rename":
                table[draw(TEXTS)] = table.pop(key)
            case _:
                table[key] = draw(ANYTHING)
        if not lab or not all(lab.values()):
            break
    text = toml(lab)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(TEXTS) + text[at + draw(st.integers(0, 3)) :]
    return text


@SHARED
@given(text=spoiled_labs())
def test_no_lab_file_makes_the_check_crash(text: str, tmp_path: Path) -> None:
    """RUN-5, RUN-14"""
    told = mistakes(text, tmp_path)
    if not told or any("is not valid TOML" in sentence for sentence in told):
        assert len(told) < 2
    # The command itself reads the environment too: it says the same or, besides, what is wrong there.
    assert main(["check", str(tmp_path / "lab.toml")]) == (2 if told else 0)

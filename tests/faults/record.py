"""Reads a motor's own record (`authority.drivers.record` says its lines) and asserts what must be true of every one.

A checker, not a test: every test of faults ends with it, and `test_record.py` shows that it finds each kind of wrong.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

Fact = dict[str, Any]


class Wrong(AssertionError):
    """What a motor was told that it must never be told; the text names the line."""


def read(path: Path) -> list[Fact]:
    """Return the lines of a record, oldest first."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check(facts: list[Fact], *, ends: Collection[int] = (), tried: Collection[int] = ()) -> None:
    """Raise `Wrong` unless fences never go back, holders never overlap, no command runs twice, and ends are stopped.

    `ends` are the numbers of lines there were whenever an authority had ended: what ran then must be stopped before
    anything else begins. `tried` are those at which a stop did not get through: then what ran may also have ended by
    itself. A motor knows no keys: a test gives every command of a fence parameters of its own.
    """
    _Checker(frozenset(ends), frozenset(tried)).check(facts)


class _Checker:
    def __init__(self, ends: frozenset[int], tried: frozenset[int]) -> None:
        self._ends, self._tried = ends, tried
        self._fence = 0
        self._running: dict[int, Fact] = {}  # what moves it, or may: by the command's number
        self._ended: set[int] = set()
        self._told: set[str] = set()
        self._owed = False
        self._excused = False

    def check(self, facts: list[Fact]) -> None:
        for number, fact in enumerate(facts):
            self._note_end(number)
            wrong = self._wrong_with(fact)
            if wrong is not None:
                raise Wrong(f"line {number + 1}: {wrong}: {json.dumps(fact)}")
        self._note_end(len(facts))
        if self._is_owed():
            raise Wrong("what ran when the authority ended was never stopped")

    def _note_end(self, number: int) -> None:
        if number in self._ends and self._running:
            self._owed, self._excused = True, False
        self._excused |= number in self._tried

    def _is_owed(self) -> bool:
        return self._owed and not (self._excused and not self._running)

    def _wrong_with(self, fact: Fact) -> str | None:
        match fact["fact"]:
            case "on":
                self._ended |= self._running.keys()
                self._running.clear()
                self._owed = False
            case "begin":
                return self._begin(fact)
            case "end":
                return self._end(fact)
            case "stop":
                self._owed = False
            case "refused":
                return "a command of a lock that has passed on came as far as the motor"
            case _:
                return "a fact that no record has"
        return None

    def _begin(self, fact: Fact) -> str | None:
        number, fence = fact["command"], fact["fence"]
        told = json.dumps([fence, fact["action"], fact["parameters"]], sort_keys=True)
        before, self._fence = self._fence, max(self._fence, fence)
        others = [other["command"] for other in self._running.values() if other["fence"] != fence]
        if fence < before:
            return f"the fence goes back from {before}"
        if self._is_owed():
            return "what ran when the authority ended was not stopped before this began"
        if others:
            return f"it overlaps command {others[0]} of another holder"
        if fence != before and fact["moving"]:
            return "the motor moves, and not by this holder's doing"
        if number in self._running or number in self._ended:
            return f"command {number} has begun before"
        if told in self._told:
            return "the same command has begun before"
        self._owed = False
        self._told.add(told)
        self._running[number] = fact
        return None

    def _end(self, fact: Fact) -> str | None:
        if self._running.pop(fact["command"], None) is None:
            return "a command ends that does not run"
        self._ended.add(fact["command"])
        return None

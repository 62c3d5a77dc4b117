"""The specification is the law: each of its rules is named by a test, and no test names a rule that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULE = re.compile(r"^\*\*([A-Z]+-\d+)\*\* (.*)$", re.MULTILINE)
NAMED = re.compile(r"\b([A-Z]+-\d+)\b")


def rules() -> dict[str, str]:
    """The rules of docs/spec.md by their id."""
    found = RULE.findall((ROOT / "docs" / "spec.md").read_text(encoding="utf-8"))
    assert len(found) == len(dict(found)), "a rule's number is used twice"
    return dict(found)


def named() -> dict[str, list[str]]:
    """The tests that name each rule in their docstring, or their module's."""
    by_rule: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, text in _docstrings(ast.parse(path.read_text(encoding="utf-8"))):
            for rule in NAMED.findall(text):
                by_rule.setdefault(rule, []).append(f"{path.name}::{name}")
    return by_rule


def _docstrings(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name.lower().startswith(
            "test"
        ):
            yield node.name, ast.get_docstring(node) or ""


def test_every_rule_that_is_in_force_is_named_by_a_test():
    """The specification's own promise."""
    in_force = {rule for rule, text in rules().items() if not text.endswith("(not yet)") and text[:8] != "(dropped"}
    missing = sorted(in_force - named().keys(), key=lambda r: (r.split("-")[0], int(r.split("-")[1])))
    assert not missing, f"{len(missing)} rules have no test: {', '.join(missing)}"


def test_no_test_names_a_rule_that_is_not_in_the_specification():
    """The specification's own promise."""
    areas = {rule.split("-")[0] for rule in rules()}
    unknown = {rule for rule in named() if rule.split("-")[0] in areas} - rules().keys()
    assert not unknown

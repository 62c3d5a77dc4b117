"""The table of refusals: each of its rows is used, what is refused is in it, and the documents agree with it."""

from __future__ import annotations

import ast
import json
import re
import string
from functools import cache
from pathlib import Path

from authority.api.refusal_table import REFUSALS, TITLES
from authority.core import refusals

ROOT = Path(__file__).parents[2]
RULES = {
    kind.__name__: kind.code for kind in vars(refusals).values() if isinstance(kind, type) and "code" in vars(kind)
}


@cache
def calls() -> tuple[ast.Call, ...]:
    """Return every call in the source of the authority."""
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "authority").rglob("*.py")]
    return tuple(node for module in modules for node in ast.walk(module) if isinstance(node, ast.Call))


def called_name(call: ast.Call) -> str:
    """Return the last part of what is called."""
    return ast.unparse(call.func).rpartition(".")[2]


def test_what_is_refused_is_in_the_table_and_all_of_the_table_is_refused_somewhere() -> None:
    """REST-3"""
    raised = set()
    for call in calls():
        name = called_name(call)
        if name in RULES:
            raised.add(RULES[name])
        if name in ("ProblemResponse", "Unidentified") and isinstance(call.args[0], ast.Constant):
            raised.add(call.args[0].value)
    assert raised == REFUSALS.keys()


def test_who_refuses_gives_the_sentence_all_the_words_that_it_has() -> None:
    """REST-3"""
    for call in calls():
        if called_name(call) == "ProblemResponse" and isinstance(call.args[0], ast.Constant):
            _, sentence = REFUSALS[call.args[0].value]
            assert isinstance(sentence, str)
            words = {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}
            assert words == {keyword.arg for keyword in call.keywords}, sentence


def test_every_refusal_of_the_rules_is_raised_by_one_of_them() -> None:
    """REST-3"""
    assert RULES.keys() <= {called_name(call) for call in calls()}


def test_no_status_or_sentence_of_a_refusal_stands_outside_the_table() -> None:
    """REST-3"""
    written_out = [
        ast.unparse(call)
        for call in calls()
        if called_name(call) == "ProblemResponse"
        and not isinstance(call.args[0], ast.Constant)
        and ast.unparse(call.args[0]) not in ("refusal.code", "unidentified.code")
    ]
    assert not written_out


def test_the_reference_lists_each_code_with_its_status() -> None:
    """REST-3"""
    reference = (ROOT / "docs" / "reference" / "rest.md").read_text(encoding="utf-8")
    section = reference.partition("## Errors")[2].partition("\n## ")[0]
    listed = {
        (code, int(status))
        for status, codes in re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)
        for code in re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", "", codes))
    }
    assert listed == {(name.partition(".")[0], status) for name, (status, _) in REFUSALS.items()}


def test_the_openapi_document_has_no_status_of_a_refusal_that_the_table_has_not() -> None:
    """REST-3 REST-16"""
    document = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8"))
    answered = {
        int(status)
        for methods in document["paths"].values()
        for operation in methods.values()
        for status, answer in operation["responses"].items()
        if "application/problem+json" in answer["content"]
    }
    statuses = {status for status, _ in REFUSALS.values()}
    assert answered <= statuses
    assert statuses <= TITLES.keys()

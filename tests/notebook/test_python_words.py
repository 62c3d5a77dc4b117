"""Parameters and commands whose names are words of Python's own, against a real authority."""

from __future__ import annotations

import inspect

import pytest
from real_lab import Authority

from jupyter_motorlock import Connection, UsageProblem
from jupyter_motorlock.handle import Handle
from jupyter_motorlock.notebook.command_lines import read_line

LAB = """
[equipment.mono]
driver = "python"
[equipment.mono.options]
object = "types:SimpleNamespace"
address = "a device of PROCESS"
arguments = { nm = 500.0 }
stop = ""
readings.nm = { get = "nm", type = "number" }
[equipment.mono.options.control.go_to]
set = "nm"
answers = "nm"
parameters.lambda = { type = "number", units = "nm" }
[equipment.mono.options.control.import]
set = "nm"
answers = "nm"
parameters.name = { type = "number" }
"""


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def mono(ann: Connection) -> Handle:
    return ann.lock("mono")


def test_a_parameter_called_by_a_word_of_python_is_written_with_an_underscore_in_python(mono: Handle) -> None:
    """DRV-67"""
    assert mono.go_to(lambda_=633) == 633.0
    assert mono.go_to(632.8) == 632.8
    assert mono.command("go_to", **{"lambda": 600}) == 600.0
    assert str(inspect.signature(mono.go_to)) == "(lambda_: float)"
    with pytest.raises(UsageProblem, match=r"^go_to got a parameter twice; write: go_to LAMBDA$"):
        mono.go_to(lambda_=633, **{"lambda": 600})


def test_a_parameter_called_by_a_word_of_python_is_typed_as_it_is_declared(ann: Connection) -> None:
    """DRV-67"""
    commands = ann.session.commands("mono")
    for words in (["go_to", "lambda=633"], ["go_to", "633"]):
        assert read_line(words, "mono", commands, {}).parameters == {"lambda": 633.0}
    with pytest.raises(UsageProblem, match=r"^go_to needs lambda, a number in nm; write: go_to LAMBDA$"):
        read_line(["go_to"], "mono", commands, {})


def test_a_command_called_by_a_word_of_python_and_a_parameter_called_name_can_be_given(mono: Handle) -> None:
    """DRV-67"""
    assert mono.import_(name=510) == 510.0
    assert mono.command("import", name=520) == 520.0
    assert {"go_to", "import_"} <= set(dir(mono))
    assert "import" not in dir(mono)

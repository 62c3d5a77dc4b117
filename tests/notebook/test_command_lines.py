"""What a person types is checked against what is declared, before anything is sent."""

import inspect
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from jupyter_motorlock.client.commands import command_from_description
from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.notebook.command_lines import CellMistake, Line, fill_names, read_cell, read_line, split_line
from jupyter_motorlock.notebook.options import read


def parameter(name: str, kind: str = "number", **more: object) -> dict[str, object]:
    declared = {"name": name, "type": kind, "units": None, "required": True, "default": None, "choices": None}
    return declared | {"doc": ""} | more


def command(name: str, *parameters: dict[str, object], units: str | None = None, doc: str = "") -> dict[str, object]:
    returns = {"type": "number", "units": units}
    return {"name": name, "kind": "control", "doc": doc, "parameters": list(parameters), "returns": returns}


COMMANDS = command_from_description(
    {
        "commands": [
            command(
                "move_to",
                parameter("position", units="mm", doc="where to go"),
                units="mm",
                doc="Go to a position and return where it came to rest.",
            ),
            command("home"),
            command(
                "configure",
                parameter("steps", "integer"),
                parameter("enabled", "boolean", required=False, default=True),
                parameter("label", "text", required=False, default=""),
                parameter("mode", "text", required=False, default="fast", choices=["fast", "slow"]),
            ),
        ]
    }
)


def sent(line: str, **names: object) -> Mapping[str, object]:
    return read_line(split_line(line), "stage_x", COMMANDS, names).parameters


def problem(line: str, **names: object) -> str:
    with pytest.raises(UsageProblem) as caught:
        sent(line, **names)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "parameters"),
    [
        ("move_to 12.5", {"position": 12.5}),
        ("move_to -3", {"position": -3.0}),
        ("move_to position=1e-3", {"position": 0.001}),
        ("move_to 5  # a comment, don't split it", {"position": 5.0}),
        ("home", {}),
        ("configure 3 off 'two words' slow", {"steps": 3, "enabled": False, "label": "two words", "mode": "slow"}),
        ("configure 3 label='run #5' enabled=true", {"steps": 3, "label": "run #5", "enabled": True}),
        ("configure 3.0 label=run#5", {"steps": 3, "label": "run#5"}),
        ("configure 3 label=12", {"steps": 3, "label": "12"}),
    ],
)
def test_words_become_the_declared_types(line: str, parameters: dict[str, object]) -> None:
    assert sent(line) == parameters
    assert all(type(value) is type(parameters[name]) for name, value in sent(line).items())


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("mvoe_to 5", "stage_x has no command mvoe_to; did you mean move_to (it has configure, home, move_to)?"),
        ("xyz", "stage_x has no command xyz; it has configure, home, move_to."),
        ("move_to", "move_to needs position, a number in mm; write: move_to POSITION"),
        ("move_to far", "position must be a number in mm, not 'far'."),
        ("move_to nan", "position must be a number in mm, not 'nan'."),
        ("move_to 1 2", "move_to: too many positional arguments; write: move_to POSITION"),
        ("home 1", "home: too many positional arguments; write: home"),
        ("move_to postion=1", "move_to: got an unexpected keyword argument 'postion'; write: move_to POSITION"),
        ("move_to 1 position=2", "move_to: multiple values for argument 'position'; write: move_to POSITION"),
        ("move_to position=1 position=2", "move_to got position twice; give it once."),
        ("configure 1.5", "steps must be a whole number, not '1.5'."),
        ("configure 1 maybe", "enabled must be true or false, not 'maybe'."),
        ("move_to 'five", "A quotation mark is not closed; close it, or put a \\ before it."),
    ],
)
def test_a_mistyped_line_is_answered_by_one_sentence(line: str, sentence: str) -> None:
    assert problem(line) == sentence


class AHandle:
    equipment_id = "stage_x"


@pytest.mark.parametrize(
    "line",
    ["move_to(3)", "stage_x.move_to(3)", "stage.move_to( 3 )", "move_to(position=3)", "move_to 3 mm", "move_to 3mm",
     "move_to {place}", "move_to({place})"],
)  # fmt: skip
def test_a_call_and_a_unit_are_taken_as_they_are_meant(line: str) -> None:
    """NB-93"""
    assert sent(line, stage=AHandle(), place=3) == {"position": 3.0}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("other.move_to(3)", "This is for stage_x, and other is another; write: move_to VALUE"),
        ("move_to 3 V", "position must be a number in mm, not 3 V: V cannot be turned into mm."),
        ("move_to place", "position must be a number in mm, not 'place'; did you mean {place}, your variable?"),
        ("move_to 1 2 mm", "move_to: too many positional arguments; write: move_to POSITION"),
        ("mvoe_to(3)", "stage_x has no command mvoe_to; did you mean move_to (it has configure, home, move_to)?"),
        (
            "for x in range(3):",
            "for is Python, and a line here is one command; loops and the like belong in a normal cell, with the "
            "handle: for place in (1, 2, 3): stage.move_to(place)",
        ),
    ],
)
def test_what_is_python_and_no_command_is_answered_by_what_to_type(line: str, sentence: str) -> None:
    """NB-93"""
    assert problem(line, place=3, other=object()) == sentence


class Millimetres(float):
    """A value that shows its unit."""

    def __repr__(self) -> str:
        return f"{float(self)} mm"


def test_names_attributes_and_indexes_are_filled_in_and_nothing_else_is_evaluated() -> None:
    """NB-50"""
    names = {"p": 1.5, "scan": SimpleNamespace(start=2.5), "xs": [3.5, 5.5], "d": {"a": 4.5}}
    assert fill_names("{p} {scan.start} {xs[0]} {xs[-1]} {d[a]} {{p}}", names) == "1.5 2.5 3.5 5.5 4.5 {p}"
    assert sent("move_to {p}", p=1.5) == {"position": 1.5}
    assert sent("move_to {d['a']}", d={"a": 4.5}) == {"position": 4.5}


def test_a_format_and_a_conversion_are_kept() -> None:
    """NB-50"""
    assert fill_names("{p:.3f} {n!r} {p:{width}.1f}", {"p": 1 / 3, "n": "a", "width": 5}) == "0.333 'a'   0.3"
    assert sent("configure 1 label={run:03d}", run=7) == {"steps": 1, "label": "007"}


def test_a_value_with_a_unit_is_filled_in_as_the_number_it_is() -> None:
    """NB-50"""
    assert sent("move_to {here}", here=Millimetres(12.5)) == {"position": 12.5}


def test_doubled_braces_are_the_braces_of_a_text() -> None:
    """NB-50"""
    assert sent("""configure 1 label='{{"a": {p}}}'""", p=2) == {"steps": 1, "label": '{"a": 2}'}


@pytest.mark.parametrize(
    "text", ["{p + 1}", "{f()}", "{}", "{0}", "{xs[0}", "{xs[i[0]]}", "{", "}", '{"a": 1}', "{p!x}", "{f:.3f}", "{p:q}"]
)
def test_expressions_in_braces_are_refused(text: str) -> None:
    """NB-50"""
    with pytest.raises(UsageProblem, match=r"cannot be filled in: .*double a brace that is meant"):
        fill_names(text, {"p": 1.5, "f": lambda: 1, "xs": [1], "i": [0]})


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("{nothing.more}", "{nothing}"),
        ("{p.nothing.more}", "{p.nothing}"),
        ("from {p} to {xs[7]}", "{xs[7]}"),
        ("{p[0]}", "{p[0]}"),
        ("{xs[a]}", "{xs[a]}"),
    ],
)
def test_a_name_without_a_value_never_stays_as_it_is_and_is_named(text: str, missing: str) -> None:
    """NB-50"""
    with pytest.raises(UsageProblem) as caught:
        fill_names(text, {"p": 1.5, "xs": [1]})
    assert str(caught.value) == f"{missing} has no value here; define it in a cell above, or correct it."


@pytest.mark.parametrize("text", ["{p.__class__}", "{p.real._secret}"])
def test_what_begins_with_an_underscore_is_the_objects_own(text: str) -> None:
    """NB-50"""
    with pytest.raises(UsageProblem, match=r"is not filled in: what begins with _ is the object's own\.$"):
        fill_names(text, {"p": 1.5})


def test_a_text_that_looks_like_a_parameter_stays_the_value_it_was_filled_in_for() -> None:
    assert sent("configure 1 true {label}", label="mode=slow") == {"steps": 1, "enabled": True, "label": "mode=slow"}


def test_a_cell_skips_blank_lines_and_comments() -> None:
    lines = read_cell("\n# first\nmove_to {p}\n\n   home   # then\n", "stage_x", COMMANDS, {"p": 1})
    assert [(line.number, line.typed) for line in lines] == [(4, "move_to 1"), (6, "home")]


def test_every_wrong_line_of_a_cell_is_found_and_numbered_as_in_the_cell() -> None:
    """NB-23"""
    lines = read_cell("move_to 1\n\nmove_to {x}\nmove_to far\nsay 'so", "stage_x", COMMANDS, {})
    assert [isinstance(line, Line) for line in lines] == [True, False, False, False]
    assert [(x.number, x.typed, str(x.problem)) for x in lines if isinstance(x, CellMistake)] == [
        (4, "move_to {x}", "{x} has no value here; define it in a cell above, or correct it."),
        (5, "move_to far", "position must be a number in mm, not 'far'."),
        (6, "say 'so", "A quotation mark is not closed; close it, or put a \\ before it."),
    ]


def test_a_command_shows_python_its_signature_and_its_help() -> None:
    signature = COMMANDS["configure"].signature
    assert str(signature) == "(steps: int, enabled: bool = True, label: str = '', mode: str = 'fast')"
    assert "position: a number in mm; where to go" in COMMANDS["move_to"].help


def test_a_required_parameter_after_an_optional_one_is_given_by_name_in_python() -> None:
    go = command_from_description({"commands": [command("go", parameter("a", required=False), parameter("b"))]})["go"]
    assert go.signature.parameters["b"].kind is inspect.Parameter.KEYWORD_ONLY
    assert go.bind([], {"b": 1}) == {"b": 1.0}


def test_the_options_of_login_are_read_with_quotes_taken_off() -> None:
    """NB-51"""
    line = "--as 'Ann B' --wait stage_x --note \"scan over night\" stage_y --timeout=10min --no-panel"
    assert read("motor_login", split_line(line)) == (
        ["stage_x", "stage_y"],
        {
            "user": "Ann B",
            "note": "scan over night",
            "timeout_s": 600,
            "priority": 0,
            "wait": True,
            "watch": False,
            "no_panel": True,
        },
    )


def test_a_negative_number_is_no_option() -> None:
    """NB-51"""
    words, given = read("motor", ["-o", "kept", "move_by", "-3", "--timeout", "1.5"])
    assert (words, given["out"], given["timeout_s"]) == (["move_by", "-3"], "kept", 1.5)


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("2min", 120), ("1h30min", 5400), ("0", 0)])
def test_a_time_is_seconds_or_has_its_unit(text: str, seconds: float) -> None:
    """NB-51"""
    assert read("motor", ["--timeout", text])[1]["timeout_s"] == seconds


@pytest.mark.parametrize(
    ("magic", "line", "sentence"),
    [
        ("motor", "--bogus", "%motor has no option --bogus; it has -o, --timeout, --no-wait, --dry-run."),
        ("motor", "--tiemout 3", "%motor has no option --tiemout; did you mean --timeout (it has -o, --timeout, "
         "--no-wait, --dry-run)?"),
        ("motor_status", "--all", "%motor_status has no option --all; it takes none."),
        ("motor", "--timeout soon", "--timeout of %motor takes a time such as 30s or 2min, not 'soon'."),
        ("motor", "--timeout -3", "--timeout of %motor takes a time such as 30s or 2min, not '-3'."),
        ("motor", "--timeout", "--timeout of %motor takes a time such as 30s or 2min, and none follows it."),
        ("motor", "-o --no-wait", "-o of %motor takes the name of a variable, and none follows it."),
        ("motor", "-o 2x", "-o of %motor takes the name of a variable, not '2x'."),
        ("motor", "--no-wait=yes", "--no-wait of %motor takes no value; write it alone."),
        ("motor_events", "--last few", "--last of %motor_events takes a whole number, not 'few'."),
    ],
)  # fmt: skip
def test_a_mistyped_option_is_answered_by_what_is_allowed(magic: str, line: str, sentence: str) -> None:
    """NB-51"""
    with pytest.raises(UsageProblem) as caught:
        read(magic, split_line(line))
    assert str(caught.value) == sentence


def test_spaces_that_a_page_or_a_chat_puts_in_are_spaces() -> None:
    """NB-50"""
    assert split_line("\ufeffmove_to\u00a012.5 \u202f'two\u00a0words'") == ["move_to", "12.5", "two words"]

"""What a person types is checked against what is declared, before anything is sent."""

import inspect
from types import SimpleNamespace

import pytest

from jupyter_motorlock.errors import UsageProblem
from jupyter_motorlock.lines import declared, fill, read_call, read_cell, read_login, tokens


def parameter(name: str, kind: str = "number", **more: object) -> dict[str, object]:
    declared = {"name": name, "type": kind, "units": None, "required": True, "default": None, "choices": None}
    return declared | {"doc": ""} | more


def command(name: str, *parameters: dict[str, object], units: str | None = None, doc: str = "") -> dict[str, object]:
    returns = {"type": "number", "units": units}
    return {"name": name, "kind": "control", "doc": doc, "parameters": list(parameters), "returns": returns}


COMMANDS = declared(
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


def sent(line: str, **names: object) -> dict[str, object]:
    return read_call(tokens(line), "stage_x", COMMANDS, names)[1]


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


def test_names_attributes_and_indexes_are_filled_in_and_nothing_else_is_evaluated() -> None:
    names = {"p": 1.5, "scan": SimpleNamespace(start=2.5), "xs": [3.5], "d": {"a": 4.5}}
    assert fill("{p} {scan.start} {xs[0]} {d[a]} {{p}}", names) == "1.5 2.5 3.5 4.5 {p}"
    assert sent("move_to {p}", p=1.5) == {"position": 1.5}
    assert sent("move_to {d['a']}", d={"a": 4.5}) == {"position": 4.5}


@pytest.mark.parametrize("text", ["{p + 1}", "{f()}", "{}", "{0}", "{xs[0}", "{xs[i[0]]}", "{"])
def test_expressions_in_braces_are_refused(text: str) -> None:
    with pytest.raises(UsageProblem):
        fill(text, {"p": 1.5, "f": lambda: 1, "xs": [1], "i": [0]})


@pytest.mark.parametrize("text", ["{nothing}", "{p.nothing}", "{xs[7]}", "{p[0]}", "{xs[a]}"])
def test_a_name_without_a_value_never_stays_as_it_is(text: str) -> None:
    with pytest.raises(UsageProblem, match="has no value here; define it in a cell above, or correct it"):
        fill(text, {"p": 1.5, "xs": [1]})


def test_a_text_that_looks_like_a_parameter_stays_the_value_it_was_filled_in_for() -> None:
    assert sent("configure 1 true {label}", label="mode=slow") == {"steps": 1, "enabled": True, "label": "mode=slow"}


def test_a_cell_skips_blank_lines_and_comments() -> None:
    calls = read_cell("\n# first\nmove_to 1\n\n   home   # then\n", "stage_x", COMMANDS, {})
    assert [called.name for called, _ in calls] == ["move_to", "home"]


def test_the_first_wrong_line_of_a_cell_is_named_by_its_number_in_the_cell() -> None:
    with pytest.raises(UsageProblem) as caught:
        read_cell("move_to 1\n\nmove_to {x}\nmove_to far", "stage_x", COMMANDS, {})
    assert str(caught.value) == "Line 4: {x} has no value here; define it in a cell above, or correct it."


def test_a_command_shows_python_its_signature_and_its_help() -> None:
    signature = COMMANDS["configure"].signature
    assert str(signature) == "(steps: int, enabled: bool = True, label: str = '', mode: str = 'fast')"
    assert "position: a number in mm; where to go" in COMMANDS["move_to"].help


def test_a_required_parameter_after_an_optional_one_is_given_by_name_in_python() -> None:
    go = declared({"commands": [command("go", parameter("a", required=False), parameter("b"))]})["go"]
    assert go.signature.parameters["b"].kind is inspect.Parameter.KEYWORD_ONLY
    assert go.bind([], {"b": 1}) == {"b": 1.0}


def test_the_options_of_login_are_read_with_quotes_taken_off() -> None:
    given = read_login(tokens("stage_x --as 'Ann B' --wait --note \"scan over night\" --timeout 0 --no-panel"))
    assert given == {
        "names": ["stage_x"],
        "user": "Ann B",
        "note": "scan over night",
        "timeout_s": 0,
        "priority": 0,
        "wait": True,
        "watch": False,
        "no_panel": True,
    }


@pytest.mark.parametrize("line", ["--bogus", "--wa", "--timeout soon", "--note"])
def test_an_option_that_is_not_there_is_a_usage_problem(line: str) -> None:
    with pytest.raises(UsageProblem, match=r"^%motor_login: .*; %motor_login\? shows how it is written\.$"):
        read_login(tokens(line))

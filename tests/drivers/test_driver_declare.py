"""A command is what its driver declared: the signature is the schema, and a wrong declaration is refused."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
import pytest

from authority.drivers.declare import DeclarationError, Range, Unit, UnitOf, commands_of, control, observe
from authority.parameters import Command, InvalidParameters, Returns, bind


class Stage:
    blocking: ClassVar[bool] = False
    units = "mm"

    @control
    def move_to(
        self,
        position: Annotated[float, Unit("mm"), Range(0, 100), "the target"],
        speed: Literal["slow", "fast"] = "slow",
        *,
        repeat: Annotated[int, Range(low=1)] = 1,
        wait: bool = True,
        label: str = "",
    ) -> Annotated[float, UnitOf("units")]:
        """Move.

        All the way.
        """
        return position

    @observe
    def position(self) -> Annotated[float, Unit("mm")]:
        """Answer the position."""
        return 0.0

    def service(self) -> None:
        """No command: nobody marked it."""


MOVE_TO = commands_of(Stage())["move_to"]


def refused(command: Command = MOVE_TO, **parameters: object) -> str:
    with pytest.raises(InvalidParameters) as refusal:
        bind(command, parameters, "stage_x")
    return str(refusal.value)


def test_commands_are_those_that_are_marked_in_the_order_they_are_written():
    assert [(one.name, one.kind) for one in commands_of(Stage()).values()] == [
        ("move_to", "control"),
        ("position", "observe"),
    ]
    assert commands_of(Stage()) == commands_of(Stage) | {
        "move_to": msgspec.structs.replace(MOVE_TO, returns=Returns("number", "mm"))
    }


def test_the_signature_is_the_schema_on_the_wire():
    wire = msgspec.json.decode(msgspec.json.encode(MOVE_TO))
    nothing = {"units": None, "low": None, "high": None, "choices": None, "doc": None}
    optional = nothing | {"required": False}
    assert wire == {
        "name": "move_to",
        "kind": "control",
        "doc": "Move.\n\nAll the way.",
        "parameters": [
            {**nothing, "name": "position", "type": "number", "units": "mm", "required": True, "default": None,
             "low": 0, "high": 100, "doc": "the target"},
            {**optional, "name": "speed", "type": "text", "default": "slow", "choices": ["slow", "fast"]},
            {**optional, "name": "repeat", "type": "integer", "default": 1, "low": 1},
            {**optional, "name": "wait", "type": "boolean", "default": True},
            {**optional, "name": "label", "type": "text", "default": ""},
        ],
        "returns": {"type": "number", "units": "mm"},
    }  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(MOVE_TO), type=Command) == MOVE_TO


def test_arguments_come_in_the_declared_order_with_defaults_and_types():
    bound = bind(MOVE_TO, {"repeat": 2.0, "position": 3}, "stage_x")
    assert list(bound.items()) == [("position", 3.0), ("speed", "slow"), ("repeat", 2), ("wait", True), ("label", "")]
    assert [type(value) for value in bound.values()] == [float, str, int, bool, str]


@pytest.mark.parametrize("edge", [0, 100, 0.0, 100.0])
def test_both_ends_of_a_range_are_allowed(edge):
    assert bind(MOVE_TO, {"position": edge}, "stage_x")["position"] == edge


NEEDS = "stage_x.move_to needs position, a number in mm from 0 to 100; you gave "


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("abc", "'abc'."),
        ("12", "'12' (a number is written without quotes)."),
        ("nan", "'nan'."),
        (True, "True."),
        (None, "None."),
        ([1], "[1]."),
        ({"a": 1}, "{'a': 1}."),
        (float("nan"), "nan."),
        (float("inf"), "inf."),
        (10**400, "1000000000000000000000000000000000000...."),
        pytest.param(10**5000, "a number too large.", id="too many digits"),
        (-0.001, "-0.001."),
        (100.5, "100.5."),
        ("x" * 1_000_000, f"'{'x' * 36}...."),
    ],
)
def test_what_is_no_number_in_the_range_is_refused_in_one_short_sentence(given, shown):
    assert refused(position=given) == NEEDS + shown


def test_a_missing_parameter_is_named_with_what_it_must_be():
    assert refused() == NEEDS + "none."


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("speed", "warp", "speed, one of 'slow', 'fast'; you gave 'warp'"),
        ("speed", 1, "speed, one of 'slow', 'fast'; you gave 1"),
        ("repeat", 1.5, "repeat, a whole number, at least 1; you gave 1.5"),
        ("repeat", 0, "repeat, a whole number, at least 1; you gave 0"),
        ("repeat", False, "repeat, a whole number, at least 1; you gave False"),
        ("wait", 1, "wait, true or false; you gave 1"),
        ("wait", "true", "wait, true or false; you gave 'true'"),
        ("label", 1, "label, a text; you gave 1"),
    ],
)
def test_each_type_is_asked_for_in_words(name, given, sentence):
    assert refused(position=1, **{name: given}) == f"stage_x.move_to needs {sentence}."


def test_an_unknown_parameter_is_refused_with_those_that_exist():
    assert refused(commands_of(Stage())["position"], pos=1) == (
        "stage_x.position takes no parameter 'pos': it takes none."
    )
    assert refused(position=1, pos=1).startswith(
        "stage_x.move_to takes no parameter 'pos': it takes position (a number in mm from 0 to 100), speed ("
    )


def test_every_wrong_parameter_is_listed_for_programs():
    with pytest.raises(InvalidParameters) as refusal:
        bind(MOVE_TO, {"pos": 1, "repeat": 0}, "stage_x")
    assert [(error["loc"], error["type"]) for error in refusal.value.errors] == [
        (["body", "parameters", "pos"], "unknown_parameter"),
        (["body", "parameters", "position"], "missing"),
        (["body", "parameters", "repeat"], "out_of_range"),
    ]
    assert str(refusal.value).count(";") >= 2


class NoDocstring:
    @control
    def go(self) -> None:
        pass


class NoType:
    @control
    def go(self, far) -> None:  # type: ignore[no-untyped-def]  # that is what the test is about
        """Go."""


class NoReturn:
    @control
    def go(self):  # type: ignore[no-untyped-def]  # that is what the test is about
        """Go."""


class WrongType:
    @control
    def go(self, far: list[float]) -> None:
        """Go."""


class WrongDefault:
    @control
    def go(self, far: Annotated[float, Range(0, 1)] = 2.0) -> None:
        """Go."""


class RangeOfText:
    @control
    def go(self, far: Annotated[str, Range(0, 1)]) -> None:
        """Go."""


class MixedChoices:
    @control
    def go(self, far: Literal[1, "a"]) -> None:
        """Go."""


class Variadic:
    @control
    def go(self, *far: float) -> None:
        """Go."""


class UnknownName:
    @control
    def go(self, far: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821 - the test is about it
        """Go."""


class Reserved:
    @control
    def stop(self) -> None:
        """Stop."""


class Blocking:
    blocking = True

    @control
    async def go(self) -> None:
        """Go."""


class NoMethod:
    @control
    @staticmethod
    def go() -> None:
        """Go."""


class Unmarked(Stage):
    def position(self) -> float:
        """Answer something else, without a word on who may."""
        return 1.0


@pytest.mark.parametrize(
    ("driver_class", "sentence"),
    [
        (NoDocstring, "NoDocstring.go has no docstring"),
        (NoType, "parameter far has no type"),
        (NoReturn, "NoReturn.go does not say what it returns"),
        (WrongType, "parameter far is list\\[float\\], but can be only float, int, bool, str or Literal"),
        (WrongDefault, "parameter far must be a number from 0 to 1, not 2.0"),
        (RangeOfText, "parameter far has a Range"),
        (MixedChoices, "parameter far mixes types"),
        (Variadic, "\\*far: .*cannot be given by name"),
        (UnknownName, "an annotation that cannot be read: name 'Nowhere' is not defined"),
        (Reserved, "Reserved.stop cannot be a command"),
        (Blocking, "Blocking.go is a coroutine"),
        (NoMethod, "NoMethod.go is no plain method"),
        (Unmarked, "Unmarked.position overrides a command: mark it"),
    ],
)
def test_a_wrong_declaration_is_refused_with_what_is_wrong(driver_class, sentence):
    with pytest.raises(DeclarationError, match=sentence):
        commands_of(driver_class())


def test_a_subclass_may_change_a_command_and_add_one():
    class Better(Stage):
        @control
        def position(self) -> float:
            """Answer the position, and now for the holder only."""
            return 1.0

        @observe
        def temperature(self) -> Annotated[float, Unit("K")]:
            """Answer the temperature."""
            return 300.0

    assert [(one.name, one.kind) for one in commands_of(Better()).values()] == [
        ("move_to", "control"),
        ("position", "control"),
        ("temperature", "observe"),
    ]


def test_what_a_command_returns_is_told_by_its_annotation():
    class Many:
        @observe
        def table(self) -> dict[str, float]:
            """Answer a table."""
            return {}

        @observe
        def row(self) -> Annotated[list[float], Unit("V")]:
            """Answer a row."""
            return []

        @control
        async def go(self) -> None:
            """Go."""

        @observe
        def name(self) -> str:
            """Answer a name."""
            return ""

    assert [one.returns for one in commands_of(Many()).values()] == [
        Returns("object"), Returns("list", "V"), Returns("nothing"), Returns("text"),
    ]  # fmt: skip

"""The keys that a table has for a device that is told lines of text: `send`, `query`, and how an answer is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from authority.drivers.declare import Range
from authority.drivers.table import (
    ControlEntry,
    ObserveEntry,
    ParameterEntry,
    ReadingEntry,
    TableOptions,
    mistakes_at,
)
from authority.drivers.template import forbidden, template_mistakes
from authority.lab_file import Mistake
from authority.parameters import answer_name, type_name, value_in_sentence

Answer = float | int | bool | str | None | list[float | None]
text_answer = Literal["number", "integer", "boolean", "text", "list"]

_TRUE = frozenset({"1", "ON", "TRUE", "YES"})
_FALSE = frozenset({"0", "OFF", "FALSE", "NO"})
_SCPI_NO_NUMBER = 9.9e37  # SCPI-99, volume 1, 7.2.1.4: this is infinity, and 9.91e37 is "not a number"


class BadAnswer(Exception):
    """The device answered what cannot be read; the text shows it."""


class TextParameter(ParameterEntry, frozen=True, kw_only=True):
    """A parameter; `per_unit` of the device's own units make one of ours, such as 2000 steps a millimetre."""

    per_unit: float | None = None

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be, a clause each."""
        yield from super().mistakes()
        yield from _scale(self.per_unit, self.type)
        for one in [*(self.choices or ()), self.default]:
            if isinstance(one, str) and forbidden(one) is not None:
                yield f"allows {one!r}, but a text to a device must be printable ASCII without ;"


class TextReading(ReadingEntry, frozen=True, kw_only=True):
    """A reading: what is asked, and how the answer is read.

    `parse` is a regular expression that must match the whole answer; its group, where it has one, is the value. `true`
    and `false` are the words of a boolean, else 1, ON, TRUE, YES and 0, OFF, FALSE, NO in any case.
    """

    query: str
    parse: str | None = None
    true: str | None = None
    false: str | None = None
    per_unit: float | None = None

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be, a clause each."""
        yield from _prefixed("query", template_mistakes(self.query, {}))
        yield from _reply(self)


class TextObserve(ObserveEntry, frozen=True, kw_only=True):
    """A query; `list` is numbers parted by commas. The rest is as in a reading."""

    query: str
    type: text_answer | None = None
    parse: str | None = None
    true: str | None = None
    false: str | None = None
    per_unit: float | None = None
    parameters: Mapping[str, TextParameter] = {}

    @property
    def answer(self) -> answer_name:
        """The type of the answer: a text where nothing else is said."""
        return self.type or "text"

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be, a clause each."""
        yield from _prefixed("query", template_mistakes(self.query, _types(self.parameters)))
        yield from _reply(self)


class TextControl(ControlEntry, frozen=True, kw_only=True):
    """A command: `send` where the device answers nothing, `query` where it answers."""

    send: str | None = None
    query: str | None = None
    type: text_answer | None = None
    parse: str | None = None
    true: str | None = None
    false: str | None = None
    per_unit: float | None = None
    parameters: Mapping[str, TextParameter] = {}

    @property
    def answer(self) -> answer_name:
        """The type of the answer: a text where nothing else is said, nothing where none is awaited."""
        if self.query is None:
            return "nothing"
        return self.type or "text"

    @property
    def line(self) -> str:
        """The template of what is sent."""
        return self.query or self.send or ""

    def mistakes(self) -> Iterator[str]:
        """Say what cannot be, a clause each."""
        if (self.send is None) == (self.query is None):
            yield "needs either send, for a command that the device does not answer, or query, for one that it answers"
            return
        key = "query"
        if self.query is None:
            key = "send"
        yield from _prefixed(key, template_mistakes(self.line, _types(self.parameters)))
        yield from _reply(self)
        given = [name for name in ("type", "parse", "true", "false", "per_unit") if getattr(self, name) is not None]
        if self.query is None and given:
            yield f"has {given[0]}, but nothing is read after send: write query where the device answers"


class TextOptions(TableOptions, frozen=True, kw_only=True):
    """The options of a device that is told lines of text.

    `stop` is sent ahead of everything. One answer may take `timeout_s` seconds and is text in `encoding`; what is sent
    is ASCII. `errors` is a query asked after each
    control command: an answer that does not begin with 0 fails it. `fence` is a line sent together with each control
    command, with the fence of the lock in `{fence}`, for a device that refuses a lower one.
    """

    timeout_s: Annotated[float, Range(0.01, 60)] = 1.0
    encoding: str = "ascii"
    read_termination: str = "\n"
    write_termination: str = "\n"
    errors: str | None = None
    fence: str | None = None
    readings: Mapping[str, TextReading] = {}
    control: Mapping[str, TextControl] = {}
    observe: Mapping[str, TextObserve] = {}

    def mistakes(self) -> Iterator[Mistake]:
        """Say what cannot be in these, and in those of the drivers that add to them."""
        lines: list[tuple[str, str | None, Mapping[str, type_name]]] = [
            ("stop", self.stop or None, {}),
            ("errors", self.errors, {}),
            ("fence", self.fence, {"fence": "integer"}),
        ]
        for key, line, types in lines:
            if line is not None:
                yield from mistakes_at(key, template_mistakes(line, types))
        if not _is_ascii_and_more(self.encoding):
            allowed = 'must be one that Python knows and that has ASCII in it, such as "latin-1", "utf-8" or "cp437"'
            yield Mistake("encoding", f"encoding is {self.encoding!r}, but {allowed}")
        for key, end in (("read_termination", self.read_termination), ("write_termination", self.write_termination)):
            if not 1 <= len(end) <= 2 or not end.isascii() or end.isprintable():
                allowed = 'must be one or two control characters, such as "\\n" or "\\r\\n"'
                yield Mistake(key, f"{key} is {end!r}, but {allowed}")

    def encoded(self, lines: str) -> bytes:
        """Return one line, or several that are parted by line feeds, as they are sent."""
        return "".join(f"{line}{self.write_termination}" for line in lines.split("\n")).encode("ascii")

    def decoded(self, raw: bytes) -> str:
        """Return an answer as text; a byte that is not of the encoding is shown as its escape."""
        return raw.decode(self.encoding, "backslashreplace")


Asking = TextReading | TextObserve | TextControl


def read_answer(entry: Asking, text: str) -> Answer:
    """Return an answer as its type, None for a number that the device does not know; raises `BadAnswer`."""
    found = text.strip()
    if entry.parse is not None:
        match = re.fullmatch(entry.parse, found)
        if match is None:
            raise BadAnswer(f"answered {value_in_sentence(text.strip())}, which does not match {entry.parse!r}")
        found = match.group(1 if match.re.groups else 0).strip()
    try:
        match entry.answer:
            case "boolean":
                return _boolean(entry, found)
            case "number":
                return _scaled(entry, found)
            case "integer":
                return _whole(found)
            case "list":
                if found:
                    return [_scaled(entry, one) for one in found.split(",")]
                return []
            case _:
                return found
    except ValueError:
        raise BadAnswer(f"answered {value_in_sentence(text.strip())}, which is no {entry.answer}") from None


def _is_ascii_and_more(encoding: str) -> bool:
    """Whether the lines of an encoding end where those of ASCII end."""
    ascii_bytes = bytes(range(128))
    try:
        return ascii_bytes.decode(encoding) == ascii_bytes.decode("ascii")
    except (LookupError, ValueError):  # ValueError: a null character in the name, or undecodable bytes
        return False


def _boolean(entry: Asking, word: str) -> bool:
    true = _TRUE if entry.true is None else {entry.true.upper()}
    false = _FALSE if entry.false is None else {entry.false.upper()}
    if word.upper() in true:
        return True
    if word.upper() in false:
        return False
    raise ValueError(word)


def _scaled(entry: Asking, word: str) -> float | None:
    number = _known(word)
    if number is None:
        return None
    return number / (entry.per_unit or 1.0)


def _known(word: str) -> float | None:
    """Return a number, None where the device says that it is none or without end."""
    number = float(word)
    if abs(number) < _SCPI_NO_NUMBER:
        return number
    return None


def _whole(word: str) -> int | None:
    number = _known(word)
    if number is None:
        return None
    if number != int(number):
        raise ValueError(word)
    return int(number)


def _reply(entry: Asking) -> Iterator[str]:
    if (entry.true is None) != (entry.false is None):
        yield "needs both true and false, the two words of a boolean, or neither"
    if entry.true is not None and entry.answer != "boolean":
        yield f"has true and false, which only a boolean can have, not {entry.answer}"
    if entry.parse is not None:
        try:
            groups = re.compile(entry.parse).groups
        except re.error as wrong:
            yield f"parse is no regular expression: {wrong}"
        else:
            if groups > 1:
                yield f"parse has {groups} groups, but only one can be the value: write (?:...) for the others"
    yield from _scale(entry.per_unit, "number" if entry.answer == "list" else entry.answer)


def _scale(per_unit: float | None, kind: answer_name) -> Iterator[str]:
    if per_unit is None:
        return
    if kind != "number":
        yield f"has per_unit, which only a number can have, not {kind}"
    elif not per_unit:
        yield "per_unit is 0, but must be how many of the device's units make one of yours"


def _types(parameters: Mapping[str, TextParameter]) -> dict[str, type_name]:
    return {name: parameter.type for name, parameter in parameters.items()}


def _prefixed(key: str, clauses: Iterator[str]) -> Iterator[str]:
    for clause in clauses:
        yield f"{key} {clause}"

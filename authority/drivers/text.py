"""A device that is told lines of text, over whatever line: one question at a time, and a stop ahead of all.

Two locks: an exchange (a question and its answer) keeps others out until it is over; a write keeps others out only
while the line is being put on the wire. A stop takes the second one alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Protocol

from authority.drivers.table_driver import TableDriver, held_within
from authority.drivers.template import filled, refuse_more_than_values
from authority.drivers.text_options import (
    Answer,
    Asking,
    BadAnswer,
    TextControl,
    TextObserve,
    TextOptions,
    TextParameter,
    TextReading,
    read_answer,
)
from authority.parameters import Scalar
from authority.ports import NEVER_STOPPED, DriverUnavailable, StopToken, fence_of_command

_MOST_ERRORS = 20
_GIVE_WAY_S = 0.05


class NoAnswer(Exception):
    """Nothing came in time."""


class LineLost(Exception):
    """The line is down; the text is a clause that says why."""


class DeviceError(Exception):
    """The device says that a command went wrong; the text is its own."""


class Line(Protocol):
    """A connection that carries lines of text. `write` may be called while another thread waits in `read`."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def duplex(self) -> bool:
        """Whether a line may be written while an answer is awaited; known once it is open."""

    def open(self) -> None:
        """Connect, or do nothing while connected; raises `LineLost`."""

    def close(self) -> None:
        """Disconnect; never raises."""

    def forget(self) -> None:
        """Have it that an answer which did not come in time is not read later, as another's; where only waiting helps,
        `drain` is told so."""

    def write(self, lines: str) -> None:
        """Send one line, or several that are parted by line feeds, in one go; raises `LineLost`."""

    def read(self) -> str:
        """Return the next line that comes in, without its end; raises `NoAnswer` and `LineLost`."""

    def drain(self, quiet_s: float) -> None:
        """Drop what came in unasked, where an old answer may still come until `quiet_s` seconds were quiet.

        Raises `LineLost`.
        """


class TextDriver(TableDriver[TextControl, TextObserve, TextReading]):
    """A device at the end of `line`."""

    def __init__(self, options: TextOptions, line: Line) -> None:
        super().__init__(options, options.control, options.observe, options.readings)
        self._options = options
        self._line = line
        self._exchange = threading.RLock()
        self._write = threading.RLock()
        self._no_stop = threading.Event()
        self._no_stop.set()
        self._open = False
        self._late = False  # an answer may still come that nobody waits for any more

    def open(self) -> None:
        """Connect, and see that the device answers; raises `DriverUnavailable`."""
        with self._exchange:
            if self._open:
                return
            self._connect()
            for name, entry in self._options.readings.items():
                self.ask(name, entry)
                break
            if self._options.errors is not None:
                self._errors()  # those of before are nobody's

    def close(self) -> None:
        """Disconnect."""
        with held_within(self._exchange, 2 * self._options.timeout_s):
            self._disconnect()

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Refuse what is beyond the limits, and a text that could be more than a value."""
        refuse_more_than_values(action, parameters)
        super().check(action, parameters)

    def perform(self, entry: TextControl, parameters: Mapping[str, Scalar], token: StopToken) -> object:
        """Send a command, with the fence before it where the device wants one, and ask whether it went well."""
        lines = filled(entry.line, parameters, _scales(entry.parameters))
        if self._options.fence is not None:
            lines = f"{self._options.fence.format(fence=fence_of_command.get())}\n{lines}"
        answer: object = None
        self._give_way()
        with self._exchange:
            if entry.query is None:
                with self._lost_on_failure():
                    self._put(lines, token)
            else:
                answer = self._read(entry, self._ask_line(lines, token))
            if self._options.errors is not None and (errors := self._errors()):
                raise DeviceError(f"{self._line.name} says {'; '.join(errors)}")
        return answer

    def inquire(self, entry: TextObserve, parameters: Mapping[str, Scalar]) -> object:
        """Ask, and return the answer."""
        self._give_way()
        return self._read(entry, self._ask_line(filled(entry.query, parameters, _scales(entry.parameters))))

    def ask(self, name: str, entry: TextReading) -> Scalar | None:
        """Ask for a reading."""
        self._give_way()
        answer = self._read(entry, self._ask_line(entry.query.format()))
        if isinstance(answer, list):
            raise BadAnswer(f"{name} of {self._line.name} is a list")
        return answer

    def halt(self) -> None:
        """Send the stop at once; only a device that cannot listen while it is asked makes it wait for the answer."""
        if self._options.stop is None or not self.has_stop:  # after a deadline, too
            return
        self._no_stop.clear()
        try:
            with contextlib.nullcontext() if self._line.duplex else self._exchange, self._write:
                if not self._open:
                    self._connect()
                self._line.write(self._options.stop.format())
        except LineLost as lost:  # an exchange that waits finds it out by itself: it is not closed under it
            raise self._unavailable(str(lost)) from lost
        finally:
            self._no_stop.set()

    def _give_way(self) -> None:
        """Let a stop go first that waits for the end of an exchange."""
        self._no_stop.wait(_GIVE_WAY_S)

    def _ask_line(self, lines: str, token: StopToken = NEVER_STOPPED) -> str:
        with self._exchange, self._lost_on_failure():
            self._require_open()
            longest_s = 0.0
            if self._late:
                longest_s = self._options.timeout_s
            self._line.drain(longest_s)
            self._late = False
            self._put(lines, token)
            return self._line.read()

    def _put(self, lines: str, token: StopToken) -> None:
        with self._write:
            self._require_open()
            token.raise_if_stopped()
            self._line.write(lines)

    def _errors(self) -> list[str]:
        """Return the errors that the device has kept, oldest first."""
        found: list[str] = []
        while self._options.errors is not None and len(found) < _MOST_ERRORS:
            text = self._ask_line(self._options.errors.format()).strip()
            if _is_no_error(text):
                break
            found.append(text)
        return found

    def _read(self, entry: Asking, text: str) -> Answer:
        try:
            return read_answer(entry, text)
        except BadAnswer as bad:
            raise BadAnswer(f"{self._line.name} {bad}") from None

    @contextlib.contextmanager
    def _lost_on_failure(self) -> Iterator[None]:
        """Close the line after a failure: a late answer must not be taken for the next one's."""
        try:
            yield
        except NoAnswer:
            self._late = True
            self._open = False
            self._line.forget()
            why = f"no answer within {self._options.timeout_s:.12g} s: check that it is switched on and connected"
            raise self._unavailable(why) from None
        except LineLost as lost:
            self._disconnect()
            raise self._unavailable(str(lost)) from lost

    def _connect(self) -> None:
        with self._write:
            if self._open:
                return
            try:
                self._line.open()
            except LineLost as lost:
                raise self._unavailable(str(lost)) from lost
            self._open = True

    def _disconnect(self) -> None:
        # A write that hangs must not keep the line from being closed: that ends it.
        with held_within(self._write, self._options.timeout_s):
            self._open = False
            self._line.close()

    def _require_open(self) -> None:
        if not self._open:
            raise self._unavailable("not connected")

    def _unavailable(self, why: str) -> DriverUnavailable:
        return DriverUnavailable(f"{self._line.name}: {why}")


def port_address(port: str) -> str:
    """Return the address of a serial port: the same by whatever name, and through whatever driver."""
    if os.path.exists(port):
        port = os.path.realpath(port)
    return f"serial:{port}"


def _is_no_error(text: str) -> bool:
    code, _, words = text.partition(",")
    with contextlib.suppress(ValueError):
        return float(code) == 0
    return words.strip().strip('"').lower() == "no error" or text.strip('"').lower() in ("no error", "ok")


def _scales(parameters: Mapping[str, TextParameter]) -> dict[str, float]:
    return {name: one.per_unit for name, one in parameters.items() if one.per_unit is not None}

"""A device at a serial port, opened so that nobody else can: its commands are a table in the lab file.

Two barriers: an flock, which refuses those who ask for one (another authority, pyserial with `exclusive`, tio), and
TIOCEXCL, by which the system refuses every further open of the port, except one by root. Neither takes the port from a
program that had it open before and locked nothing. On Windows a port has one opener in any case.
"""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Annotated, Literal, Protocol

from authority.drivers.declare import Range
from authority.drivers.text import LineLost, NoAnswer, TextDriver, port_address
from authority.drivers.text_options import TextOptions
from authority.lab_file import Mistake

if sys.platform != "win32":
    import fcntl
    import termios

_MISSING = "serial needs the package pyserial: install it with pip install 'jupyter-motorlock[serial]'"
_LONGEST_LINE = 1_000_000
_STEP_S = 0.05


class SerialOptions(TextOptions, frozen=True, kw_only=True):
    """A device at a serial `port`, such as `/dev/ttyUSB0`, or better a name that stays: `/dev/serial/by-id/...`."""

    port: str
    baud_rate: Annotated[int, Range(50, 12_000_000)] = 9600
    data_bits: Literal[5, 6, 7, 8] = 8
    parity: Literal["none", "odd", "even", "mark", "space"] = "none"
    stop_bits: Literal["1", "1.5", "2"] = "1"
    flow_control: Literal["none", "rts_cts", "xon_xoff", "dsr_dtr"] = "none"

    def mistakes(self) -> Iterator[Mistake]:
        """Say what cannot be in these."""
        yield from super().mistakes()
        if not self.port.strip():
            yield Mistake("port", "port is empty, but must be a port such as /dev/ttyUSB0 or COM3")
        if "://" in self.port:
            yield Mistake(
                "port",
                f"port is {self.port!r}, but must be a port of this machine such as /dev/ttyUSB0: a device behind a "
                'network is reached by visa, with resource = "TCPIP::HOST::PORT::SOCKET"',
            )
        try:
            import_module("serial")
        except ImportError:
            yield Mistake("port", _MISSING)


class Serial(TextDriver):
    """A device at a serial port."""

    def __init__(self, options: SerialOptions) -> None:
        super().__init__(options, _SerialLine(options))
        self._port = options.port

    @property
    def address(self) -> str | None:
        """The port itself, by whatever name: no two authorities of one machine may drive it."""
        return port_address(self._port)


class _Port(Protocol):
    """What is used of a pyserial port."""

    in_waiting: int

    def fileno(self) -> int: ...

    def read(self, size: int) -> bytes: ...

    def write(self, data: bytes) -> int | None: ...

    def close(self) -> None: ...


class _SerialLine:
    """A line over a serial port."""

    duplex = True

    def __init__(self, options: SerialOptions) -> None:
        self._options = options
        self._serial = import_module("serial")
        self._port: _Port | None = None
        self._come = b""  # what came in and is no whole line yet

    @property
    def name(self) -> str:
        return self._options.port

    def open(self) -> None:
        if self._port is not None:
            return
        options = self._options
        exclusive: bool | None = True
        if sys.platform == "win32":
            exclusive = None
        try:
            port: _Port = self._serial.Serial(
                port=options.port,
                baudrate=options.baud_rate,
                bytesize=options.data_bits,
                parity=options.parity[0].upper(),
                stopbits=float(options.stop_bits),
                rtscts=options.flow_control == "rts_cts",
                xonxoff=options.flow_control == "xon_xoff",
                dsrdtr=options.flow_control == "dsr_dtr",
                timeout=_STEP_S,
                write_timeout=options.timeout_s,
                exclusive=exclusive,
            )
        except (OSError, ValueError) as failed:
            raise LineLost(_refused(failed)) from failed
        self._port = port
        self._come = b""
        _keep_to_oneself(port)

    def close(self) -> None:
        port = self._port
        self._port = None
        if port is not None:
            with contextlib.suppress(OSError):
                _let_others(port)
            with contextlib.suppress(OSError):
                port.close()

    def forget(self) -> None:
        # The port stays open: to open it anew resets some devices, and keeps no late answer away.
        return

    def write(self, lines: str) -> None:
        try:
            self._connected().write(self._options.encoded(lines))
        except OSError as failed:
            raise LineLost(f"cannot be written to ({failed})") from failed

    def read(self) -> str:
        end = self._options.read_termination.encode("ascii")
        until = time.monotonic() + self._options.timeout_s
        while end not in self._come:
            if time.monotonic() >= until or len(self._come) > _LONGEST_LINE:
                raise NoAnswer
            self._come += self._receive()
        line, _, self._come = self._come.partition(end)
        return self._options.decoded(line)

    def drain(self, quiet_s: float) -> None:
        self._come = b""
        began = quiet_since = time.monotonic()
        if self._waiting():
            quiet_s = max(quiet_s, _STEP_S)  # the rest of a line is still on its way
        while (now := time.monotonic()) - quiet_since < quiet_s or self._waiting():
            if now - began > 10 * quiet_s + 1.0:
                raise LineLost("it sends without end and without being asked")
            if self._receive():
                quiet_since = time.monotonic()

    def _receive(self) -> bytes:
        """Return what has come, after a short wait perhaps nothing."""
        try:
            return self._connected().read(max(1, self._waiting()))
        except OSError as failed:
            raise LineLost(f"cannot be read ({failed})") from failed

    def _waiting(self) -> int:
        try:
            return self._connected().in_waiting
        except OSError as failed:
            raise LineLost(f"cannot be read ({failed})") from failed

    def _connected(self) -> _Port:
        if self._port is None:
            raise LineLost("not connected")
        return self._port


def _keep_to_oneself(port: _Port) -> None:
    """Have the system refuse every further open of the port."""
    if sys.platform != "win32":
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)


def _let_others(port: _Port) -> None:
    """Let the port be opened again, also where something else keeps it open."""
    if sys.platform != "win32":
        fcntl.ioctl(port.fileno(), termios.TIOCNXCL)


def _refused(error: Exception) -> str:
    """Say for a person why a port does not open."""
    match getattr(error, "errno", None):
        case errno.EAGAIN | errno.EBUSY:
            return "is in use by another program, which keeps it to itself: end that one, or a terminal on this port"
        case errno.ENOENT:
            return "there is no such port: check that the device is plugged in and that the name is right"
        case errno.EACCES | errno.EPERM:
            return "may not be opened by the authority's user: add that user to the port's group, often dialout"
    return f"cannot be opened ({error})"

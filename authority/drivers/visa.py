"""Any device that PyVISA reaches and that is told lines of text: its commands are a table in the lab file."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Literal, Protocol

from authority.driver_values import sentence_of
from authority.drivers.text import LineLost, NoAnswer, TextDriver, port_address
from authority.drivers.text_options import TextOptions
from authority.lab_file import Mistake

_MISSING = "visa needs the package {name}: install it with pip install 'jupyter-motorlock[visa]'"
_MOST_UNASKED = 1000  # lines or pieces
_REST_OF_LINE_S = 0.02
_BACKENDS = {"py": "pyvisa_py", "sim": "pyvisa_sim"}


class VisaOptions(TextOptions, frozen=True, kw_only=True):
    """A device at the VISA `resource`, reached with a PyVISA `backend`.

    `baud_rate`, `data_bits`, `parity` and `stop_bits` are for a serial resource. With `lock` the driver takes the
    instrument's own exclusive lock, and does not connect without it.
    """

    resource: str
    backend: str = "@py"
    lock: bool = False
    baud_rate: int | None = None
    data_bits: Literal[5, 6, 7, 8] | None = None
    parity: Literal["none", "odd", "even", "mark", "space"] | None = None
    stop_bits: Literal["1", "1.5", "2"] | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """Say what cannot be in these."""
        yield from super().mistakes()
        serial = [name for name in ("baud_rate", "data_bits", "parity", "stop_bits") if getattr(self, name) is not None]
        if serial and not self.resource.upper().startswith("ASRL"):
            yield Mistake(serial[0], f"{serial[0]} is for a serial resource, such as ASRL/dev/ttyUSB0::INSTR")
        own = self.backend.rpartition("@")[2]
        needed = ["pyvisa"]
        if own in _BACKENDS:
            needed.append(_BACKENDS[own])
        for name in needed:
            if not _imports(name):
                yield Mistake("backend", _MISSING.format(name=name))
                return
        if own in _BACKENDS:
            yield from self._resource_mistakes()

    def _resource_mistakes(self) -> Iterator[Mistake]:
        rname = import_module("pyvisa.rname")
        try:
            parsed = rname.parse_resource_name(self.resource)
        except rname.InvalidResourceName as wrong:
            yield Mistake("resource", f"resource {self.resource!r} cannot be read ({_clause(wrong)})")
            return
        if self.lock and (parsed.interface_type, parsed.resource_class) in (("TCPIP", "SOCKET"), ("ASRL", "INSTR")):
            yield Mistake(
                "lock",
                f"lock is true, but {self.resource} has no lock of its own: leave lock out, or reach the "
                "instrument by a resource that has one, such as TCPIP::HOST::INSTR",
            )


class Visa(TextDriver):
    """A VISA instrument."""

    def __init__(self, options: VisaOptions) -> None:
        super().__init__(options, _VisaLine(options))
        self._resource = options.resource

    @property
    def address(self) -> str | None:
        """The resource, by whatever spelling: no two authorities of one machine may drive it."""
        rname = import_module("pyvisa.rname")
        try:
            parsed = rname.parse_resource_name(self._resource)
        except rname.InvalidResourceName:  # a name that a maker's VISA knows
            return f"visa:{self._resource}"
        if parsed.interface_type == "ASRL" and parsed.board.startswith("/"):
            return port_address(parsed.board)
        return f"visa:{parsed}"


class _Resource(Protocol):
    """What is used of a PyVISA message based resource."""

    timeout: float
    read_termination: str

    def write_raw(self, message: bytes) -> int: ...

    def read_raw(self) -> bytes: ...

    def read_bytes(self, count: int, *, break_on_termchar: bool) -> bytes: ...

    def lock_excl(self, timeout: float) -> None: ...

    def clear(self) -> None: ...

    def close(self) -> None: ...


class _VisaLine:
    """A line over a VISA resource."""

    def __init__(self, options: VisaOptions) -> None:
        self._options = options
        self._pyvisa: ModuleType = import_module("pyvisa")
        self._resource: _Resource | None = None
        self._clear = False
        name = options.resource.upper()
        self._socket = name.endswith("::SOCKET")
        self._serial = name.startswith("ASRL")

    @property
    def name(self) -> str:
        return self._options.resource

    @property
    def duplex(self) -> bool:
        """A socket and a serial port carry both ways at once; a bus with one talker does not."""
        return self._socket or self._serial

    def open(self) -> None:
        if self._resource is not None:
            return
        options = self._options
        milliseconds = round(self._options.timeout_s * 1000)
        try:
            manager = self._pyvisa.ResourceManager(options.backend)
            resource = manager.open_resource(options.resource, open_timeout=milliseconds)
        except Exception as failed:  # backends raise anything, also a bare Exception
            raise LineLost(f"cannot be opened ({_clause(failed)})") from failed
        try:
            resource.timeout = milliseconds
            resource.read_termination = options.read_termination
            self._set_serial(resource)
            _send_at_once(resource)
            self._take_lock(resource)
            if self._clear:
                resource.clear()
        except BaseException as failed:
            resource.close()
            if isinstance(failed, LineLost) or not isinstance(failed, Exception):
                raise
            raise LineLost(f"cannot be set up ({_clause(failed)})") from failed
        self._resource = resource
        self._clear = False

    def _set_serial(self, resource: object) -> None:
        options = self._options
        constants = self._pyvisa.constants
        if options.baud_rate is not None:
            resource.baud_rate = options.baud_rate  # type: ignore[attr-defined]  # only a serial one has it
        if options.data_bits is not None:
            resource.data_bits = options.data_bits  # type: ignore[attr-defined]
        if options.parity is not None:
            resource.parity = constants.Parity[options.parity]  # type: ignore[attr-defined]
        if options.stop_bits is not None:
            name = {"1": "one", "1.5": "one_and_a_half", "2": "two"}[options.stop_bits]
            resource.stop_bits = constants.StopBits[name]  # type: ignore[attr-defined]

    def _take_lock(self, resource: _Resource) -> None:
        if not self._options.lock:
            return
        codes = self._pyvisa.constants.StatusCode
        try:
            resource.lock_excl(timeout=round(self._options.timeout_s * 1000))
        except Exception as refused:
            if getattr(refused, "error_code", None) in (codes.error_resource_locked, codes.error_timeout):
                raise LineLost("is locked by another program: end that one, it holds the instrument's lock") from None
            raise LineLost(
                f"lock is true, but there is no lock through the backend {self._options.backend} "
                f"({_clause(refused)}): leave lock out, or use another backend"
            ) from refused

    def close(self) -> None:
        resource = self._resource
        self._resource = None
        if resource is not None:
            try:
                resource.close()
            except Exception:  # noqa: BLE001 - what is lost cannot be closed properly
                return

    def forget(self) -> None:
        # A new connection of a socket brings no old answers; an instrument on a bus is told to drop them.
        self._clear = not self._socket and not self._serial
        if not self._serial:
            self.close()

    def write(self, lines: str) -> None:
        try:
            self._connected().write_raw(self._options.encoded(lines))
        except (self._pyvisa.VisaIOError, OSError) as failed:
            raise LineLost(f"cannot be written to ({_clause(failed)})") from failed

    def read(self) -> str:
        with self._reading():
            raw = self._connected().read_raw()
        return self._options.decoded(raw).removesuffix(self._options.read_termination)

    def drain(self, quiet_s: float) -> None:
        resource = self._connected()
        if not self.duplex:
            return  # a bus gives nothing unasked, and to ask for what is not there is an error
        # A new socket has no old answers, a serial port may still bring them.
        wait_s = 0.0
        if self._serial:
            wait_s = quiet_s
        count = 1
        try:
            with suppress(NoAnswer), self._reading():
                for _ in range(_MOST_UNASKED):
                    resource.timeout = round(wait_s * 1000)
                    resource.read_bytes(count, break_on_termchar=True)
                    wait_s = max(wait_s, _REST_OF_LINE_S)
                    count = 4096
                raise LineLost("it sends without end and without being asked")
        finally:
            resource.timeout = round(self._options.timeout_s * 1000)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what a backend raises into `NoAnswer`, where nothing came in time, or `LineLost`."""
        try:
            yield
        except (self._pyvisa.VisaIOError, OSError) as failed:
            if getattr(failed, "error_code", None) == self._pyvisa.constants.StatusCode.error_timeout:
                raise NoAnswer from None
            raise LineLost(f"cannot be read ({_clause(failed)})") from failed

    def _connected(self) -> _Resource:
        if self._resource is None:
            raise LineLost("not connected")
        return self._resource


def _send_at_once(resource: object) -> None:
    """Have a stop not wait on the way until what was sent before is acknowledged (some 40 ms).

    VISA does so by default; pyvisa-py 0.8 does not, and refuses the attribute that says so.
    """
    sessions: Mapping[object, object] = getattr(getattr(resource, "visalib", None), "sessions", {})
    interface = getattr(sessions.get(getattr(resource, "session", None)), "interface", None)
    if isinstance(interface, socket.socket):
        interface.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _imports(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return name in sys.modules and sys.modules[name] is not None
    return True


def _clause(error: BaseException) -> str:
    return sentence_of(error).rstrip(".")

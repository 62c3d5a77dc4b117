"""What the authority is told: flags, the environment and the lab file. The only reader of any of them.

All that is wrong is said at once: what cannot be used is added to the mistakes, and reading goes on without it.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Annotated, NamedTuple

from dotenv import dotenv_values
from msgspec import Meta, Struct
from msgspec.structs import replace

from . import lab_file
from .core.model import Policy
from .equipment_settings import EquipmentSettings, read_equipment
from .options import Options
from .parameters import Range, value_in_sentence

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8790
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HOST = re.compile(r"[\w.:%-]{1,253}")


class Misconfigured(Exception):
    """The authority cannot start as it was told to.

    Each of `mistakes` is one sentence: file, key, what is allowed; the text is all of them, one a line.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Settings(Struct, frozen=True):
    """How one authority runs."""

    host: str
    port: int
    data: Path
    token: str | None
    token_file: Path | None
    dotenv: Path | None  # the `.env` that settings were taken from
    hosts: frozenset[str]
    history_days: float
    max_connections: int
    max_connections_per_address: int
    options: Options
    equipment: tuple[EquipmentSettings, ...]


_Connections = Annotated[int, Range(1, 60_000)]
_Timeout = Annotated[int, Range(0, 31_536_000), "0 is never"]


class _AuthorityTable(Struct, frozen=True):
    """The lab file's `[authority]` table, with the defaults."""

    host: str = DEFAULT_HOST
    port: Annotated[int, Range(0, 65535), "0 takes any free one"] = DEFAULT_PORT
    data: str | None = None
    token_file: str | None = None
    allowed_hosts: list[str] = []
    history_days: Annotated[float, Meta(gt=0)] = 90.0
    max_connections: _Connections = 8192
    max_connections_per_address: _Connections = 2048
    enable_equipment_locks: bool = True
    lock_timeout_sec: _Timeout = 300
    session_timeout_sec: _Timeout = 600
    enable_lock_queue: bool = True
    enable_observer_mode: bool = True
    auto_release_on_disconnect: bool = True
    log_lock_events: bool = True


class _LabFile(Struct, frozen=True):
    """The tables of a lab file."""

    authority: Mapping[str, object] = {}
    equipment: Mapping[str, Mapping[str, object] | None] = {}


class _Source(NamedTuple):
    """Who says a key of `[authority]` before the lab file does: the flag, then each name in the environment."""

    flag: str | None
    names: tuple[str, ...]


_LABLINK = (
    "enable_equipment_locks",
    "lock_timeout_sec",
    "session_timeout_sec",
    "enable_lock_queue",
    "enable_observer_mode",
    "auto_release_on_disconnect",
    "log_lock_events",
)
# A name goes before the next one, and the environment before `.env`.
_SOURCES = {
    "host": _Source("--host", ("MOTORLOCK_HOST",)),
    "port": _Source("--port", ("MOTORLOCK_PORT",)),
    "data": _Source("--data", ("MOTORLOCK_DATA",)),
    **{key: _Source(None, (f"MOTORLOCK_{key.upper()}", f"LABLINK_{key.upper()}")) for key in _LABLINK},
}
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def load(
    *,
    host: str | None,
    port: int | None,
    config: Path | None,
    data: Path | None,
    insist: bool = False,
    environ: Mapping[str, str] = os.environ,
    dotenv: Path = Path(".env"),
) -> Settings:
    """Return the settings; a flag goes before the environment, that before `.env` and the lab file.

    Raises `Misconfigured` with all that is wrong.
    """
    mistakes: list[str] = []
    name = "the demonstration lab" if config is None else str(config)
    where = f"{name}: [authority]"
    flags = {"--host": host, "--port": port, "--data": data and str(data)}
    written = _read_dotenv(dotenv, mistakes)
    tables = _tables(name, config, mistakes)
    lab, wrong = lab_file.read_table(_AuthorityTable, tables.authority)
    mistakes += [f"{where} {mistake.clause}." for mistake in wrong]
    lab = replace(lab, **_said_before_the_lab_file(flags, [environ, written], mistakes))
    general = Policy(enforce_locks=lab.enable_equipment_locks, release_with_session=lab.auto_release_on_disconnect)
    described = {key: table for key, table in tables.equipment.items() if table is not None}
    equipment = read_equipment(name, described, general, mistakes)
    environ = written | dict(environ)
    token = _token(where, lab, environ, mistakes)
    if not _HOST.fullmatch(lab.host):
        mistakes.append(
            f"The host must be a name or an address to listen on, such as {DEFAULT_HOST}, not {lab.host!r}."
        )
    elif lab.host not in LOOPBACK and token is None and lab.token_file is None and not insist:
        mistakes.append(
            f"Binding to {lab.host} lets other machines in: set MOTORLOCK_TOKEN (or token_file in {name}) to a secret "
            "of the lab, or insist with --no-token."
        )
    token_file = None
    if token and lab.token_file:
        token_file = Path(lab.token_file).expanduser()
    settings = Settings(
        host=lab.host,
        port=lab.port,
        data=_data(lab.data, environ, mistakes),
        token=token,
        token_file=token_file,
        dotenv=dotenv.absolute() if written else None,
        hosts=frozenset(h.lower() for h in [lab.host, *lab.allowed_hosts]),
        history_days=lab.history_days,
        max_connections=lab.max_connections,
        max_connections_per_address=lab.max_connections_per_address,
        options=Options(
            locks=lab.enable_equipment_locks,
            lock_timeout_s=lab.lock_timeout_sec,
            session_timeout_s=lab.session_timeout_sec,
            queue=lab.enable_lock_queue,
            observers=lab.enable_observer_mode,
            log_events=lab.log_lock_events,
        ),
        equipment=equipment,
    )
    if mistakes:
        raise Misconfigured(*mistakes)
    return settings


def default_data(environ: Mapping[str, str]) -> Path:
    """Return where the data is kept when nobody says: below the user's state directory."""
    if os.name == "nt":
        return Path(environ.get("LOCALAPPDATA") or Path.home()) / "motorlock"
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "motorlock"


def _read_dotenv(dotenv: Path, mistakes: list[str]) -> dict[str, str]:
    """Return what stands in `.env`, which may be absent."""
    try:
        if dotenv.is_file() and not _is_ours_alone(dotenv.stat()):
            mistakes.append(
                f"{dotenv.absolute()} is another user's, or everybody can write it, so that it is not taken for "
                "settings: remove it, make it yours (chown, chmod o-w), or start in another directory."
            )
            return {}
        return {key: value for key, value in dotenv_values(dotenv).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f"{dotenv} cannot be read: {_reason(error)}.")
        return {}


def _is_ours_alone(status: os.stat_result) -> bool:
    """Say whether a file is this process's user's, or root's, and not everybody's to write.

    The group may write it: on many systems each user is a group.
    """
    if os.name == "nt":
        return True  # its owner and its rights are not in the mode
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & stat.S_IWOTH


def _tables(name: str, config: Path | None, mistakes: list[str]) -> _LabFile:
    """Return what the lab file says, nothing where it cannot be read."""
    try:
        tables, wrong = lab_file.read_table(_LabFile, tomllib.loads(_text(config)))
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f"{name} cannot be read: {_reason(error)}.")
        return _LabFile()
    except (ValueError, RecursionError) as error:
        mistakes.append(f"{name} is not valid TOML: {error}.")
        return _LabFile()
    mistakes += [f"{name}: {mistake.clause}." for mistake in wrong]
    if not tables.equipment and all(mistake.key != "equipment" for mistake in wrong):
        mistakes.append(f"{name} describes no equipment: add a table [equipment.NAME] with a driver.")
    return tables


def _text(config: Path | None) -> str:
    if config is None:
        source = files("authority") / "demo_lab.toml"
    else:
        source = config
    return source.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark


def _said_before_the_lab_file(
    flags: Mapping[str, object], environments: Sequence[Mapping[str, str]], mistakes: list[str]
) -> dict[str, object]:
    """Return the keys of `[authority]` that a flag or the environment says."""
    keys = lab_file.keys_of_struct(_AuthorityTable)
    allowed: dict[str, lab_file.Key] = {}
    said: dict[str, object] = {}
    for key, source in _SOURCES.items():
        for name, value in _said_by(source, key, flags, environments):
            allowed[name] = keys[key]
            said[name] = value
            break
    values, wrong = lab_file.read_keys(allowed, said)
    mistakes += [f"{mistake.clause}." for mistake in wrong]
    return values


def _said_by(
    source: _Source, key: str, flags: Mapping[str, object], environments: Sequence[Mapping[str, str]]
) -> Iterator[tuple[str, object]]:
    """Yield who says a key and what, the one who goes first first."""
    if source.flag is not None and flags[source.flag] not in (None, ""):
        yield source.flag, flags[source.flag]
    for environment in environments:
        for name in source.names:
            if environment.get(name):
                yield name, _value_of_text(environment[name], getattr(_AuthorityTable(), key))


def _value_of_text(text: str, default: object) -> object:
    """Return a text of the environment as a lab file would have it; one that cannot be is left for the check."""
    if isinstance(default, bool):
        return _BOOLEANS.get(text.lower(), text)
    if isinstance(default, int):
        for number in (int, float):
            with suppress(ValueError):
                return number(text)
    return text


def _token(where: str, lab: _AuthorityTable, environ: Mapping[str, str], mistakes: list[str]) -> str | None:
    if environ.get("MOTORLOCK_TOKEN", "").strip():
        return _sendable("MOTORLOCK_TOKEN", environ["MOTORLOCK_TOKEN"].strip(), mistakes)
    if lab.token_file is None:
        return None
    named = f"{where} token_file {lab_file.key_in_sentence(lab.token_file)}"
    try:
        token = Path(lab.token_file).expanduser().read_text(encoding="utf-8-sig").strip()
    except (OSError, RuntimeError, ValueError) as error:
        mistakes.append(f"{named} cannot be read: {_reason(error)}.")
        return None
    if not token:
        mistakes.append(f"{named} is empty; put the lab's secret into it.")
        return None
    return _sendable(named, token, mistakes)


def _sendable(where: str, token: str, mistakes: list[str]) -> str | None:
    """Return a token that a client can send in a header; else say where it is, and not what it is."""
    if token.isascii() and token.isprintable():
        return token
    mistakes.append(f"{where} holds a character that no client can send; take printable ASCII only.")
    return None


def _data(kept: str | None, environ: Mapping[str, str], mistakes: list[str]) -> Path:
    try:
        found = Path(kept).expanduser() if kept else default_data(environ)
    except RuntimeError as error:
        mistakes.append(f"The data cannot be kept in {lab_file.key_in_sentence(kept or '')}: {_reason(error)}.")
        return Path()
    if "\0" in str(found):
        mistakes.append(f"The data must be kept in a directory, not in {value_in_sentence(kept)}.")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).rstrip(".")

"""What the authority is told: flags, the environment and the lab file. The only reader of any of them.

All that is wrong is said at once: what cannot be used is added to the mistakes, and reading goes on without it.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from dotenv import dotenv_values

from . import lab_file_keys
from .core.model import EquipmentId, Policy
from .core.step import PARK_ACTION
from .drivers import DriverMisconfigured, build
from .drivers.declare import declared_by
from .options import Options
from .ports import Driver

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8790
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_HOST = re.compile(r"[\w.:%-]{1,253}")
_TABLES = ("authority", "equipment")
_OWN_KEYS = ("driver", "label", "options")


class Misconfigured(Exception):
    """The authority cannot start as it was told to.

    Each of `mistakes` is one sentence: file, key, what is allowed; the text is all of them, one a line.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class EquipmentSettings(msgspec.Struct, frozen=True):
    """One piece of equipment as the lab file describes it."""

    id: EquipmentId
    driver_name: str
    driver: Driver
    label: str | None
    policy: Policy


class Settings(msgspec.Struct, frozen=True):
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


_Connections = Annotated[int, msgspec.Meta(ge=1, le=60_000)]


class _Lab(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lab file's `[authority]` table."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    data: str | None = None
    token_file: str | None = None
    allowed_hosts: list[str] = []
    history_days: float = 90.0
    max_connections: _Connections = 8192
    max_connections_per_address: _Connections = 2048
    enable_equipment_locks: bool = True
    lock_timeout_sec: Annotated[int, msgspec.Meta(ge=0, le=31_536_000)] = 300
    session_timeout_sec: Annotated[int, msgspec.Meta(ge=0, le=31_536_000)] = 600
    enable_lock_queue: bool = True
    enable_observer_mode: bool = True
    auto_release_on_disconnect: bool = True
    log_lock_events: bool = True


_LABLINK = (
    "enable_equipment_locks",
    "lock_timeout_sec",
    "session_timeout_sec",
    "enable_lock_queue",
    "enable_observer_mode",
    "auto_release_on_disconnect",
    "log_lock_events",
)
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
    if config is None:
        name = "the demonstration lab"
    else:
        name = str(config)
    where = f"{name}: [authority]"
    written = _read_dotenv(dotenv, mistakes)
    tables = _tables(name, config, mistakes)
    said = lab_file_keys.read_table(where, (tables or {}).get("authority", {}), mistakes)
    lab = _lablink(lab_file_keys.read_table_as(where, said, _Lab, mistakes), environ, written, mistakes)
    equipment = () if tables is None else _equipment(name, tables.get("equipment"), lab, mistakes)
    environ = written | dict(environ)
    token = _token(where, lab, environ, mistakes)
    address = _host(host or environ.get("MOTORLOCK_HOST") or lab.host, mistakes)
    if address not in LOOPBACK and token is None and lab.token_file is None and not insist:
        mistakes.append(
            f"Binding to {address} lets other machines in: set MOTORLOCK_TOKEN (or token_file in {name}) to a secret "
            "of the lab, or insist with --no-token."
        )
    token_file = None
    if token and lab.token_file:
        token_file = Path(lab.token_file).expanduser()
    settings = Settings(
        host=address,
        port=_port(port, environ, where, lab, mistakes),
        data=_data(f"{where} data", data, environ, lab, mistakes),
        token=token,
        token_file=token_file,
        dotenv=dotenv.absolute() if written else None,
        hosts=frozenset(h.lower() for h in [address, *lab.allowed_hosts]),
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


def _tables(name: str, config: Path | None, mistakes: list[str]) -> dict[str, object] | None:
    """Return the file's tables, None where it cannot be read."""
    try:
        tables = tomllib.loads(_text(config))
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f"{name} cannot be read: {_reason(error)}.")
        return None
    except (ValueError, RecursionError) as error:
        mistakes.append(f"{name} is not valid TOML: {error}.")
        return None
    for key in sorted(tables.keys() - set(_TABLES)):
        near = lab_file_keys.did_you_mean(key, _TABLES)
        mistakes.append(
            f"{name}: there is no table [{lab_file_keys.key_in_sentence(key)}]{near}; "
            f"allowed are [authority] and [equipment.NAME]."
        )
    return tables


def _text(config: Path | None) -> str:
    if config is None:
        source = files("authority") / "demo_lab.toml"
    else:
        source = config
    return source.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark


def _lablink(lab: _Lab, environ: Mapping[str, str], written: Mapping[str, str], mistakes: list[str]) -> _Lab:
    """Return `lab` with LabLink's settings as the environment has them, MOTORLOCK_ before LABLINK_, before `.env`."""
    said: dict[str, object] = {}
    for key in _LABLINK:
        names = (f"MOTORLOCK_{key.upper()}", f"LABLINK_{key.upper()}")
        found = next(((n, source[n]) for source in (environ, written) for n in names if source.get(n)), None)
        if found is not None:
            said[key] = _problem_sentence(*found, getattr(lab, key), mistakes)
    return msgspec.structs.replace(lab, **said)


def _problem_sentence(name: str, text: str, instead: object, mistakes: list[str]) -> object:
    if isinstance(instead, bool):
        if text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        mistakes.append(f"{name} must be true or false, not {text}.")
        return instead
    if re.fullmatch(r"[0-9]{1,8}", text) and int(text) <= 31_536_000:
        return int(text)
    mistakes.append(f"{name} must be a whole number of seconds from 0 (never) to 31536000, not {text}.")
    return instead


def _token(where: str, lab: _Lab, environ: Mapping[str, str], mistakes: list[str]) -> str | None:
    if environ.get("MOTORLOCK_TOKEN", "").strip():
        return _sendable("MOTORLOCK_TOKEN", environ["MOTORLOCK_TOKEN"].strip(), mistakes)
    if lab.token_file is None:
        return None
    named = f"{where} token_file {lab_file_keys.key_in_sentence(lab.token_file)}"
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


def _host(host: str, mistakes: list[str]) -> str:
    if _HOST.fullmatch(host):
        return host
    mistakes.append(f"The host must be a name or an address to listen on, such as {DEFAULT_HOST}, not {host!r}.")
    return DEFAULT_HOST


def _port(flag: int | None, environ: Mapping[str, str], where: str, lab: _Lab, mistakes: list[str]) -> int:
    text = environ.get("MOTORLOCK_PORT")
    source = f"{where} port"
    port = lab.port
    if flag is not None:
        source = "--port"
        port = flag
    elif text:
        source = "MOTORLOCK_PORT"
        if re.fullmatch(r"[0-9]{1,5}", text):
            port = int(text)
        else:
            port = -1
    if 0 <= port <= 65535:
        return port
    if text and flag is None:
        given = text
    else:
        given = lab_file_keys.value_in_sentence(port)
    mistakes.append(f"{source} must be a number from 0 to 65535, where 0 takes any free one, not {given}.")
    return DEFAULT_PORT


def _data(where: str, flag: Path | None, environ: Mapping[str, str], lab: _Lab, mistakes: list[str]) -> Path:
    source = where
    kept = lab.data
    if environ.get("MOTORLOCK_DATA"):
        source = "MOTORLOCK_DATA"
        kept = environ[source]
    if flag is not None:
        source = "--data"
        kept = str(flag)
    try:
        if kept:
            found = Path(kept).expanduser()
        else:
            found = default_data(environ)
    except RuntimeError as error:
        mistakes.append(f"{source} {lab_file_keys.key_in_sentence(kept or '')} cannot be used: {_reason(error)}.")
        return Path()
    if "\0" in str(found):
        mistakes.append(f"{source} must be the path of a directory, not {lab_file_keys.value_in_sentence(kept)}.")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).rstrip(".")


def _equipment(name: str, tables: object, lab: _Lab, mistakes: list[str]) -> tuple[EquipmentSettings, ...]:
    if not isinstance(tables, dict) or not tables:
        mistakes.append(f"{name} describes no equipment: add a table [equipment.NAME] with a driver.")
        return ()
    found = [
        _one_equipment(f"{name}: [equipment.{lab_file_keys.key_in_sentence(key)}]", key, table, lab, mistakes)
        for key, table in tables.items()
    ]
    equipment = tuple(one for one in found if one is not None)
    _refuse_shared_devices(name, equipment, mistakes)
    return equipment


def _one_equipment(where: str, key: str, table: object, lab: _Lab, mistakes: list[str]) -> EquipmentSettings | None:
    """Return one piece of equipment, None where it can be no driver."""
    if not _ID.fullmatch(key):
        mistakes.append(f"{where}: a name has 1 to 128 letters, digits and . _ : - only.")
    if not isinstance(table, dict):
        mistakes.append(f"{where} must be a table, not {lab_file_keys.value_in_sentence(table)}.")
        return None
    label = table.get("label")
    if not isinstance(label, str | None):
        mistakes.append(f"{where} label must be a text, not {lab_file_keys.value_in_sentence(label)}.")
    general = {"enforce_locks": lab.enable_equipment_locks, "release_with_session": lab.auto_release_on_disconnect}
    asked = {k: v for k, v in table.items() if k not in _OWN_KEYS}
    policy = lab_file_keys.read_table_as(where, general | asked, Policy, mistakes, _OWN_KEYS)
    driver = _driver(where, table, mistakes)
    if policy.park and driver is not None and not _can_park(driver):
        mistakes.append(f"{where} park must be false: its driver has no control command park that needs no parameter.")
    if policy.park and not getattr(driver, "can_park", True):
        mistakes.append(f"{where} park needs a place: give its options a park_position.")
    if driver is None:
        return None
    return EquipmentSettings(EquipmentId(key), str(table["driver"]), driver, label, policy)


def _driver(where: str, table: Mapping[str, object], mistakes: list[str]) -> Driver | None:
    name = table.get("driver")
    before = len(mistakes)
    options = lab_file_keys.read_table(f"{where} options", table.get("options", {}), mistakes)
    if not isinstance(name, str):
        mistakes.append(f'{where} needs a driver, such as driver = "simulated-motor".')
    elif len(mistakes) == before:
        try:
            return build(name, options)
        except DriverMisconfigured as error:
            mistakes += [f"{where}: {' '.join(one.split())}" for one in error.mistakes]
    return None


def _can_park(driver: Driver) -> bool:
    commands = {name: one.command for name, one in declared_by(driver).items()}
    park = commands.get(PARK_ACTION)
    return park is not None and park.kind == "control" and not any(p.required for p in park.parameters)


def _refuse_shared_devices(name: str, equipment: tuple[EquipmentSettings, ...], mistakes: list[str]) -> None:
    first: dict[str, EquipmentId] = {}
    for one in equipment:
        address = one.driver.address
        if address is not None and first.setdefault(address, one.id) != one.id:
            mistakes.append(
                f"{name}: [equipment.{one.id}] has the device {address}, which is that of "
                f"[equipment.{first[address]}]; one device is one piece of equipment."
            )

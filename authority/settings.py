"""What the authority is told: flags, the environment and the lab file. The only reader of any of them."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec

from .core.model import EquipmentId, Policy
from .drivers import DriverMisconfigured, build
from .drivers.declare import DeclarationError
from .ports import Driver

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8790
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_OWN_KEYS = {"driver", "label", "options"}


class Misconfigured(Exception):
    """The authority cannot start as it was told to; the text is one sentence: file, key, what is allowed."""


class Apparatus(msgspec.Struct, frozen=True):
    """One piece of equipment as the lab file describes it."""

    id: EquipmentId
    driver: Driver
    label: str | None
    policy: Policy


class Settings(msgspec.Struct, frozen=True):
    """How one authority runs."""

    host: str
    port: int
    data: Path
    token: str | None
    hosts: frozenset[str]
    history_days: float
    apparatus: tuple[Apparatus, ...]


class _Lab(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lab file's `[authority]` table."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    data: str | None = None
    token_file: str | None = None
    allowed_hosts: list[str] = []
    history_days: float = 90.0


def load(
    *,
    host: str | None,
    port: int | None,
    config: Path | None,
    data: Path | None,
    insist: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings; a flag goes before the environment, that before the lab file. Raises `Misconfigured`."""
    name = "the demonstration lab" if config is None else str(config)
    tables = _tables(name, _text(config))
    lab = _lab(name, tables.get("authority", {}))
    host = host or environ.get("MOTORLOCK_HOST") or lab.host
    token = _token(lab, environ)
    if host not in _LOOPBACK and token is None and not insist:
        raise Misconfigured(
            f"Binding to {host} lets other machines in: set MOTORLOCK_TOKEN (or token_file in {name}) to a secret "
            "of the lab, or insist with --no-token."
        )
    kept = data or environ.get("MOTORLOCK_DATA") or lab.data
    return Settings(
        host=host,
        port=_port(port, environ, lab),
        data=Path(kept).expanduser() if kept else default_data(environ),
        token=token,
        hosts=frozenset(h.lower() for h in [host, *lab.allowed_hosts]),
        history_days=lab.history_days,
        apparatus=_apparatus(name, tables.get("equipment", {})),
    )


def _text(config: Path | None) -> str:
    if config is None:
        return (files("authority") / "demo_lab.toml").read_text(encoding="utf-8")
    try:
        return config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Misconfigured(f"{config} cannot be read: {reason}.") from None


def _tables(name: str, text: str) -> dict[str, object]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{name} is not valid TOML: {error}.") from None
    for key in tables:
        if key not in {"authority", "equipment"}:
            raise Misconfigured(f"{name}: there is no table [{key}]; allowed are [authority] and [equipment.NAME].")
    return tables


def _lab(name: str, table: object) -> _Lab:
    try:
        return msgspec.convert(table, _Lab)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{name}: [authority] {_readable(error, _Lab)}.") from None


def _readable(error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> str:
    message, _, where = str(error).partition(" - at ")
    key = where.strip("`").removeprefix("$").removeprefix(".")
    allowed = f"; allowed keys are {', '.join(kind.__struct_fields__)}" if "unknown field" in message else ""
    return f"{key}: {message}{allowed}" if key else f"{message}{allowed}"


def _token(lab: _Lab, environ: Mapping[str, str]) -> str | None:
    if environ.get("MOTORLOCK_TOKEN"):
        return environ["MOTORLOCK_TOKEN"]
    if lab.token_file is None:
        return None
    try:
        token = Path(lab.token_file).expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Misconfigured(f"token_file {lab.token_file} cannot be read: {error.strerror}.") from None
    if not token:
        raise Misconfigured(f"token_file {lab.token_file} is empty; put the lab's secret into it.")
    return token


def _port(flag: int | None, environ: Mapping[str, str], lab: _Lab) -> int:
    text = environ.get("MOTORLOCK_PORT")
    if flag is None and text and not text.isdecimal():
        raise Misconfigured(f"MOTORLOCK_PORT is a number from 0 to 65535, not {text!r}.")
    port = flag if flag is not None else int(text) if text else lab.port
    if not 0 <= port <= 65535:
        raise Misconfigured(f"The port is a number from 0 to 65535, not {port}; 0 takes any free one.")
    return port


def default_data(environ: Mapping[str, str]) -> Path:
    """Return where the data is kept when nobody says: below the user's state directory."""
    if os.name == "nt":
        return Path(environ.get("LOCALAPPDATA") or Path.home()) / "motorlock"
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "motorlock"


def _apparatus(name: str, tables: object) -> tuple[Apparatus, ...]:
    if not isinstance(tables, dict) or not tables:
        raise Misconfigured(f"{name} describes no equipment: add a table [equipment.NAME] with a driver.")
    return tuple(_one(name, str(key), table) for key, table in tables.items())


def _one(name: str, key: str, table: object) -> Apparatus:
    where = f"{name}: [equipment.{key}]"
    if not _ID.fullmatch(key):
        raise Misconfigured(f"{where}: a name has 1 to 128 letters, digits and . _ : - only.")
    if not isinstance(table, dict):
        raise Misconfigured(f"{where} must be a table with a driver.")
    driver_name, label = table.get("driver"), table.get("label")
    if not isinstance(driver_name, str):
        raise Misconfigured(f'{where} needs a driver, such as driver = "simulated-motor".')
    if label is not None and not isinstance(label, str):
        raise Misconfigured(f"{where}: label must be a text.")
    options = table.get("options", {})
    if not isinstance(options, dict):
        raise Misconfigured(f"{where}: options must be a table [equipment.{key}.options].")
    try:
        policy = msgspec.convert({k: v for k, v in table.items() if k not in _OWN_KEYS}, Policy)
    except msgspec.ValidationError as error:
        allowed = ", ".join(sorted(_OWN_KEYS) + list(Policy.__struct_fields__))
        message = _readable(error, Policy).partition(";")[0]
        raise Misconfigured(f"{where}: {message}; allowed keys are {allowed}.") from None
    try:
        driver = build(driver_name, options)
    except (DriverMisconfigured, DeclarationError) as error:
        raise Misconfigured(f"{where}: {error}") from None
    return Apparatus(EquipmentId(key), driver, label, policy)

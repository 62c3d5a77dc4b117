"""What the authority is told: flags, the environment and the lab file. The only reader of any of them."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from dotenv import dotenv_values
from msgspec import inspect

from .core.model import EquipmentId, Policy
from .drivers import DriverMisconfigured, build
from .drivers.declare import DeclarationError
from .options import Options
from .ports import Driver

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8790
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
Keys = TypeVar("Keys", bound=msgspec.Struct)
_OWN_KEYS = ("driver", "label", "options")


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
    options: Options
    apparatus: tuple[Apparatus, ...]


class _Lab(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lab file's `[authority]` table."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    data: str | None = None
    token_file: str | None = None
    allowed_hosts: list[str] = []
    history_days: float = 90.0
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
_TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


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

    Raises `Misconfigured`.
    """
    written = {key: value for key, value in dotenv_values(dotenv).items() if value is not None}
    name = "the demonstration lab" if config is None else str(config)
    tables = _tables(name, _text(config))
    lab = _converted(f"{name}: [authority]", _table(f"{name}: [authority]", tables.get("authority", {})), _Lab)
    lab = _lablink(lab, environ, written)
    environ = written | dict(environ)
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
        port=_port(port, environ, name, lab),
        data=Path(kept).expanduser() if kept else default_data(environ),
        token=token,
        hosts=frozenset(h.lower() for h in [host, *lab.allowed_hosts]),
        history_days=lab.history_days,
        options=Options(
            locks=lab.enable_equipment_locks,
            lock_timeout_s=lab.lock_timeout_sec,
            session_timeout_s=lab.session_timeout_sec,
            queue=lab.enable_lock_queue,
            observers=lab.enable_observer_mode,
            log_events=lab.log_lock_events,
        ),
        apparatus=_apparatus(name, tables.get("equipment", {}), lab),
    )


def _lablink(lab: _Lab, environ: Mapping[str, str], written: Mapping[str, str]) -> _Lab:
    """Return `lab` with LabLink's settings as the environment has them, MOTORLOCK_ before LABLINK_, before `.env`."""
    said: dict[str, object] = {}
    for key in _LABLINK:
        names = (f"MOTORLOCK_{key.upper()}", f"LABLINK_{key.upper()}")
        found = next(((n, source[n]) for source in (environ, written) for n in names if source.get(n)), None)
        if found is not None:
            said[key] = _said(*found, getattr(lab, key))
    return msgspec.structs.replace(lab, **said)


def _said(name: str, text: str, instead: object) -> object:
    if isinstance(instead, bool):
        if text.lower() not in _TRUTH:
            raise Misconfigured(f"{name} must be true or false, not {text}.")
        return _TRUTH[text.lower()]
    if not re.fullmatch(r"[0-9]{1,8}", text) or int(text) > 31_536_000:
        raise Misconfigured(f"{name} must be a whole number of seconds from 0 (never) to 31536000, not {text}.")
    return int(text)


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


def _table(where: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Misconfigured(f"{where} must be a table, not {value!r}.")
    return value


def _converted(where: str, table: Mapping[str, object], kind: type[Keys], besides: Iterable[str] = ()) -> Keys:
    """Return `table` as `kind`; what is wrong first is named with what is allowed."""
    types = {f.name: f.type for f in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in types:
            raise Misconfigured(f"{where} has no key {key}; allowed keys are {', '.join([*besides, *types])}.")
        if not _fits(value, types[key]):
            raise Misconfigured(f"{where} {key} must be {_expected(inspect.type_info(types[key]))}, not {value!r}.")
    return msgspec.convert(table, kind)


def _fits(value: object, kind: object) -> bool:
    try:
        found: object = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    # Whatever has a fraction in a lab file is a duration.
    return not isinstance(found, float) or 0 < found < math.inf


def _expected(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType(types=types):
            return _expected(types[0])
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(str(value) for value in values)}"
        case inspect.EnumType(cls=cls):
            return f"one of {', '.join(str(member.value) for member in cls)}"
        case inspect.FloatType():
            return "a finite number above 0"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.ListType():
            return "a list of texts"
        case _:
            return "a text"


def _token(lab: _Lab, environ: Mapping[str, str]) -> str | None:
    if environ.get("MOTORLOCK_TOKEN"):
        return environ["MOTORLOCK_TOKEN"]
    if lab.token_file is None:
        return None
    try:
        token = Path(lab.token_file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Misconfigured(f"token_file {lab.token_file} cannot be read: {reason}.") from None
    if not token:
        raise Misconfigured(f"token_file {lab.token_file} is empty; put the lab's secret into it.")
    return token


def _port(flag: int | None, environ: Mapping[str, str], name: str, lab: _Lab) -> int:
    text = environ.get("MOTORLOCK_PORT")
    where, port = f"{name}: [authority] port", str(lab.port)
    if flag is not None:
        where, port = "--port", str(flag)
    elif text:
        where, port = "MOTORLOCK_PORT", text
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise Misconfigured(f"{where} must be a number from 0 to 65535, where 0 takes any free one, not {port}.")
    return int(port)


def default_data(environ: Mapping[str, str]) -> Path:
    """Return where the data is kept when nobody says: below the user's state directory."""
    if os.name == "nt":
        return Path(environ.get("LOCALAPPDATA") or Path.home()) / "motorlock"
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "motorlock"


def _apparatus(name: str, tables: object, lab: _Lab) -> tuple[Apparatus, ...]:
    if not isinstance(tables, dict) or not tables:
        raise Misconfigured(f"{name} describes no equipment: add a table [equipment.NAME] with a driver.")
    return tuple(_one(name, str(key), table, lab) for key, table in tables.items())


def _one(name: str, key: str, table: object, lab: _Lab) -> Apparatus:
    where = f"{name}: [equipment.{key}]"
    if not _ID.fullmatch(key):
        raise Misconfigured(f"{where}: a name has 1 to 128 letters, digits and . _ : - only.")
    keys = _table(where, table)
    driver_name, label = keys.get("driver"), keys.get("label")
    if not isinstance(driver_name, str):
        raise Misconfigured(f'{where} needs a driver, such as driver = "simulated-motor".')
    if label is not None and not isinstance(label, str):
        raise Misconfigured(f"{where} label must be a text, not {label!r}.")
    options = _table(f"{where} options", keys.get("options", {}))
    asked = {k: v for k, v in keys.items() if k not in _OWN_KEYS}
    general = {"enforce_locks": lab.enable_equipment_locks, "release_with_session": lab.auto_release_on_disconnect}
    policy = _converted(where, general | asked, Policy, _OWN_KEYS)
    try:
        driver = build(driver_name, options)
    except (DriverMisconfigured, DeclarationError) as error:
        raise Misconfigured(f"{where}: {error}") from None
    return Apparatus(EquipmentId(key), driver, label, policy)

"""What the authority is told: flags, the environment and the lab file. The only reader of any of them.

All that is wrong is reported at once: what cannot be used is added to the mistakes, and reading goes on without it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

from . import lab_file
from .core.model import Policy
from .equipment_settings import EquipmentSettings, read_equipment
from .identity.access import Grant
from .identity.jupyterhub import JupyterHub
from .identity.principal import Source
from .options import Options, SettingSource
from .parameters import Range, value_in_sentence
from .retention import DEFAULT_HISTORY_DAYS
from .settings_files import read_dotenv, read_lab_file, read_token
from .user_settings import grants_of, hub_of, named_sources, sources_of

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8790
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ROOT_PATH = re.compile(r"(?!/api(/|$))(/[\w~-][\w.~-]*)+", re.ASCII)
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
    root_path: str
    certificate: tuple[Path, Path] | None  # and its key: https
    socket: Path | None  # in the place of host and port
    socket_mode: int
    socket_group: str | None
    data: Path
    token: str | None
    token_file: Path | None
    dotenv: Path | None  # the `.env` that settings were taken from
    hosts: frozenset[str]
    history_days: float
    max_connections: int
    max_connections_per_address: int
    options: Options
    sources: tuple[Source, ...]
    hub: JupyterHub | None
    grants: tuple[Grant, ...] | None
    equipment: tuple[EquipmentSettings, ...]


_FlaggedText = Annotated[str, SettingSource.FLAG, SettingSource.MOTORLOCK]
_Port = Annotated[int, Range(0, 65535), SettingSource.FLAG, SettingSource.MOTORLOCK, "0 takes any free one"]
_Connections = Annotated[int, Range(1, 60_000)]


class _Table(Struct, frozen=True):
    """The keys of the lab file's `[authority]` beside those of `Options`: their types, sources and defaults."""

    host: _FlaggedText = DEFAULT_HOST
    port: _Port = DEFAULT_PORT
    root_path: _FlaggedText = ""  # below which a reverse proxy shows the authority
    certfile: _FlaggedText = ""  # with keyfile: https
    keyfile: _FlaggedText = ""
    socket: _FlaggedText = ""  # in the place of host and port
    socket_mode: str = "0600"
    socket_group: str | None = None
    data: _FlaggedText = ""  # below the user's state directory
    token_file: str | None = None
    allowed_hosts: list[str] = []
    history_days: Annotated[float, Meta(gt=0)] = DEFAULT_HISTORY_DAYS
    max_connections: _Connections = 8192
    max_connections_per_address: _Connections = 2048


_KEYS = lab_file.keys_of_struct(_Table) | lab_file.keys_of_struct(Options)
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def load(
    *,
    host: str | None,
    port: int | None,
    config: Path | None,
    data: Path | None,
    insist: bool = False,
    is_open: bool = False,
    socket: Path | None = None,
    certfile: Path | None = None,
    keyfile: Path | None = None,
    root_path: str | None = None,
    environ: Mapping[str, str] = os.environ,
    dotenv: Path = Path(".env"),
) -> Settings:
    """Return the settings; a flag goes before the environment, that before `.env` and the lab file.

    It `is_open` to whoever reaches it where that is said, and where others are to be let in without a token.
    Raises `Misconfigured` with all that is wrong.
    """
    mistakes: list[str] = []
    name = "the demonstration lab" if config is None else str(config)
    where = f"{name}: [authority]"
    paths = {"--data": data, "--socket": socket, "--certfile": certfile, "--keyfile": keyfile}
    flags: dict[str, object] = {"--host": host, "--port": port, "--root-path": root_path}
    flags |= {flag: path and str(path) for flag, path in paths.items()}
    written = read_dotenv(dotenv, mistakes)
    file = read_lab_file(name, config, mistakes)
    table, options = _table(where, file.authority, [flags, environ, written], mistakes)
    general = Policy(enforce_locks=options.locks, release_with_session=options.release_on_disconnect)
    equipment = read_equipment(name, file.equipment, general, mistakes)
    environ = written | dict(environ)
    token = read_token(where, table.token_file, environ, mistakes)
    _check_host(name, table, mistakes, open_to_all=token is None and table.token_file is None and not insist)
    kept = _data(table.data, environ, mistakes)
    _check_root_path(table.root_path, mistakes)
    if bool(table.certfile) != bool(table.keyfile):
        mistakes.append("https needs both, --certfile and --keyfile (or certfile and keyfile in [authority]).")
    sources = () if is_open or insist else sources_of(named_sources(file.auth, environ), f"{name}: [auth]", mistakes)
    hub = hub_of(file.auth, sources, environ, f"{name}: [auth]", mistakes)
    socket_mode = _mode(where, table.socket_mode, mistakes)
    grants = grants_of(name, file.access, file.equipment, mistakes)
    if mistakes:
        raise Misconfigured(*mistakes)
    return Settings(
        host=table.host,
        port=table.port,
        root_path=table.root_path,
        certificate=_certificate(table),
        socket=Path(table.socket).expanduser() if table.socket else None,
        socket_mode=socket_mode,
        socket_group=table.socket_group,
        data=kept,
        token=token,
        token_file=Path(table.token_file).expanduser() if token and table.token_file else None,
        dotenv=dotenv.absolute() if written else None,
        hosts=frozenset(allowed.lower() for allowed in [table.host, *table.allowed_hosts]),
        history_days=table.history_days,
        max_connections=table.max_connections,
        max_connections_per_address=table.max_connections_per_address,
        options=options,
        sources=sources,
        hub=hub,
        grants=grants,
        equipment=equipment,
    )


def default_data(environ: Mapping[str, str]) -> Path:
    """Return where the data is kept when nobody says: below the user's state directory."""
    if os.name == "nt":
        return Path(environ.get("LOCALAPPDATA") or Path.home()) / "motorlock"
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "motorlock"


def _table(
    where: str, table: Mapping[str, object], places: Sequence[Mapping[str, object]], mistakes: list[str]
) -> tuple[_Table, Options]:
    """Return what the lab file says of the authority, and before it the `places`, of which the first goes first."""
    values, wrong = lab_file.read_keys(_KEYS, table)
    mistakes += [f"{where} {mistake.clause}." for mistake in wrong]
    keys: dict[str, lab_file.Key] = {}
    given: dict[str, object] = {}
    for key_name, key in _KEYS.items():
        for name, value in _given(key_name, key.hint, places):
            keys[name] = key
            given[name] = value
            break
    before, wrong = lab_file.read_keys(keys, given)
    mistakes += [f"{mistake.clause}." for mistake in wrong]
    values |= before
    own = {name: values.pop(name) for name in _Table.__struct_fields__ if name in values}
    return replace(_Table(), **own), replace(Options(), **values)


def _given(key: str, hint: object, places: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, object]]:
    """Yield the names that give a setting, each with its value; the one that goes first comes first."""
    marks = getattr(hint, "__metadata__", ())
    words = {"flag": key.replace("_", "-"), "KEY": key.upper()}
    names = [mark.value.format(**words) for mark in marks if isinstance(mark, SettingSource)]
    for place in places:
        for name in names:
            value = place.get(name)
            if isinstance(value, str) and value:
                yield name, _value_of_text(value, get_args(hint)[0])
            elif value is not None and value != "":
                yield name, value


def _value_of_text(text: str, kind: object) -> object:
    """Return a text of the environment as a lab file would have it; one that cannot be is left for the check."""
    if kind is bool:
        return _BOOLEANS.get(text.lower(), text)
    if kind is int:
        for number in (int, float):
            with suppress(ValueError):
                return number(text)
    return text


def _check_host(name: str, table: _Table, mistakes: list[str], *, open_to_all: bool) -> None:
    if not _HOST.fullmatch(table.host):
        text = f"The host must be a name or an address to listen on, such as {DEFAULT_HOST}, not {table.host!r}."
        mistakes.append(text)
    elif open_to_all and table.host not in LOOPBACK:
        mistakes.append(
            f"Binding to {table.host} lets other machines in: set MOTORLOCK_TOKEN (or token_file in {name}) to a "
            "secret of the lab, or insist with --no-token."
        )


def _check_root_path(root_path: str, mistakes: list[str]) -> None:
    if root_path and not _ROOT_PATH.fullmatch(root_path):
        mistakes.append(
            "The root path must begin with / and not end with it, such as /motorlock, and not be /api, "
            f"not {value_in_sentence(root_path)}."
        )


def _certificate(table: _Table) -> tuple[Path, Path] | None:
    if not table.certfile:
        return None
    return Path(table.certfile).expanduser(), Path(table.keyfile).expanduser()


def _mode(where: str, text: str, mistakes: list[str]) -> int:
    if re.fullmatch(r"0?[0-7]{3}", text):
        return int(text, base=8)
    mistakes.append(f"{where} socket_mode must be a mode such as '0660', not {value_in_sentence(text)}.")
    return 0o600


def _data(kept: str, environ: Mapping[str, str], mistakes: list[str]) -> Path:
    try:
        found = Path(kept).expanduser() if kept else default_data(environ)
    except RuntimeError as error:
        mistakes.append(f"The data cannot be kept in {lab_file.key_in_sentence(kept)}: {str(error).rstrip('.')}.")
        return Path()
    if "\0" in str(found):
        mistakes.append(f"The data must be kept in a directory, not in {value_in_sentence(kept)}.")
    return found

"""The files that settings are read from: `.env`, the lab file, and the token's."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from dotenv import dotenv_values
from msgspec import Struct

from . import lab_file
from .user_settings import AccessTable, AuthTable


class LabFile(Struct, frozen=True):
    """The tables of a lab file."""

    authority: Mapping[str, object] = {}
    auth: AuthTable = AuthTable()
    access: Sequence[AccessTable] = ()
    equipment: Mapping[str, Mapping[str, object] | None] = {}


def read_dotenv(dotenv: Path, mistakes: list[str]) -> dict[str, str]:
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


def read_lab_file(name: str, config: Path | None, mistakes: list[str]) -> LabFile:
    """Return what the lab file says, nothing where it cannot be read."""
    try:
        written = tomllib.loads(_text(config))
        if isinstance(written.get("auth"), str):  # auth = "trusted"
            written["auth"] = {"sources": [written["auth"]]}
        tables, wrong = lab_file.read_table(LabFile, written)
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f"{name} cannot be read: {_reason(error)}.")
        return LabFile()
    except (ValueError, RecursionError) as error:
        mistakes.append(f"{name} is not valid TOML: {error}.")
        return LabFile()
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


def read_token(where: str, token_file: str | None, environ: Mapping[str, str], mistakes: list[str]) -> str | None:
    """Return the lab's token, of the environment or else of its file, without white space around it; None if none."""
    if environ.get("MOTORLOCK_TOKEN", "").strip():
        return _sendable("MOTORLOCK_TOKEN", environ["MOTORLOCK_TOKEN"].strip(), mistakes)
    if token_file is None:
        return None
    named = f"{where} token_file {lab_file.key_in_sentence(token_file)}"
    try:
        token = Path(token_file).expanduser().read_text(encoding="utf-8-sig").strip()
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


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).rstrip(".")

"""Where an authority is, its token and certificates, and who the user is: settings made usable.

What cannot work is named here, at once, and not by the network later.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_motorlock.errors import UsageProblem

DEFAULT_URL = "http://127.0.0.1:8790"
UNIX_SCHEME = "unix:"
BYTE_ORDER_MARK = "\ufeff"
CA_VARIABLES = ("MOTORLOCK_CA_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True)
class Address:
    """The `url` of an authority, without user and password; `how_to_correct` says where somebody sets it."""

    url: str
    how_to_correct: str


def address(given: str | None) -> Address:
    """Return the address that is given, or else that of MOTORLOCK_URL, or else the default one.

    `http://` may be left out. Raises `UsageProblem` where it is none.
    """
    variable = os.environ.get("MOTORLOCK_URL", "").strip(f"{BYTE_ORDER_MARK} \t\r\n")
    how_to_correct = "set MOTORLOCK_URL to its address"
    if given:
        how_to_correct = "give its address"
    text = (given or variable or DEFAULT_URL).strip()
    if text.startswith(UNIX_SCHEME):
        return _unix_address(text, how_to_correct)
    with_scheme = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(with_scheme)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        is_address = False
    if not is_address or " " in text:
        where = " in MOTORLOCK_URL"
        if given:
            where = ""
        shown = text
        if "@" in text:  # it may hold a password
            shown = f"{with_scheme.partition('://')[0]}://{text.rpartition('@')[2]}"
        raise UsageProblem(f"{shown!r}{where} is no address of an authority: it reads http://HOST:PORT, or https://.")
    # User and password would be sent in place of the token.
    return Address(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}", how_to_correct)


def socket_path(url: str) -> str | None:
    """Return the path of the Unix socket that a `url` names, None where it names a host."""
    if url.startswith(UNIX_SCHEME):
        return url.removeprefix(UNIX_SCHEME)
    return None


def _unix_address(text: str, how_to_correct: str) -> Address:
    path = Path(text.removeprefix(UNIX_SCHEME)).expanduser()
    if not path.is_absolute():
        raise UsageProblem(f"{text!r} is no address of an authority: after unix: comes the whole path of its socket.")
    return Address(f"{UNIX_SCHEME}{path}", how_to_correct)


def token(given: str | None) -> str | None:
    """Return the token that is given, or else that of MOTORLOCK_TOKEN, without the space around it; None for none.

    Raises `UsageProblem` where it cannot be sent; nothing of it is shown.
    """
    found = (given or os.environ.get("MOTORLOCK_TOKEN") or "").strip().strip(BYTE_ORDER_MARK)
    if any(not " " <= letter <= "~" for letter in found):
        where = "The token in MOTORLOCK_TOKEN"
        if given:
            where = "The token"
        raise UsageProblem(f"{where} has a character that cannot be sent; copy it again.")
    return found or None


def ca_file(given: str | None, url: str) -> str | None:
    """Return the file (or folder) with the certificates that are trusted for https; None for those of `requests`.

    It is the one that is given, or else that of MOTORLOCK_CA_FILE, REQUESTS_CA_BUNDLE or SSL_CERT_FILE. Raises
    `UsageProblem` where it is not there and the authority's `url` needs it.
    """
    if not url.startswith("https:"):
        return None
    named = [(name, os.environ[name]) for name in CA_VARIABLES if os.environ.get(name)]
    if given:
        where, path = ("The setting", given)
    elif named:
        where, path = named[0]
    else:
        where, path = ("", "")
    if not path:
        return None
    if not Path(path).expanduser().exists():
        raise UsageProblem(f"{where} names a file of certificates that is not there: {path}")
    return str(Path(path).expanduser())


def user_name() -> str:
    """Return who the user is, as far as the environment knows."""
    named = os.environ.get("MOTORLOCK_USER") or os.environ.get("JUPYTERHUB_USER")
    if named:
        return named
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # no entry for this user id
        return f"somebody@{socket.gethostname()}"

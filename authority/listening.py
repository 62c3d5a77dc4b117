"""The sockets that an authority listens on: a port of a host, or a Unix socket, which a network never reaches."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

BACKLOG = 1024


def listen_on_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port of a host; raises `OSError` or `UnicodeError` where it cannot."""
    family = socket.AF_INET
    if ":" in host:
        family = socket.AF_INET6
    listening = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


@contextlib.contextmanager
def listen_on_path(path: Path, *, mode: int, group: str | None) -> Iterator[socket.socket]:
    """Listen on a Unix socket at `path`, which is removed in the end; raises `OSError` or `LookupError`.

    Who may connect is said by its `mode` and `group`. A socket that an authority left behind when it was killed is
    replaced; one on which somebody listens, or what is no socket, is left alone.
    """
    _remove_what_nobody_listens_on(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listening:
        before = os.umask(0o177)  # nobody else connects before mode and group are right
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        try:
            if group is not None:
                shutil.chown(path, group=group)
            path.chmod(mode)
            listening.listen(BACKLOG)
            listening.setblocking(False)
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _remove_what_nobody_listens_on(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(17, "it is a file, and no socket", str(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise FileExistsError(17, "somebody listens there already", str(path))


def url_of(listening: socket.socket, *, is_encrypted: bool = False) -> str:
    """Return the address that a client is given."""
    if listening.family == getattr(socket, "AF_UNIX", None):
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    if ":" in host:
        host = f"[{host}]"
    scheme = "https" if is_encrypted else "http"
    return f"{scheme}://{host}:{port}"

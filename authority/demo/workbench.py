"""JupyterLab with Ann's and Bob's notebooks side by side, in a place of its own."""

from __future__ import annotations

import contextlib
import html
import json
import os
import secrets
import socket
import subprocess
import sys
import webbrowser
from importlib.resources import files
from pathlib import Path

from authority.demo.children import Children, ended

NOTEBOOKS = ("ann.ipynb", "bob.ipynb")
# JupyterLab's own name for the file of its default workspace.
_WORKSPACE = "default-37a8.jupyterlab-workspace"


def workbench(children: Children, place: Path, url: str, *, open_browser: bool) -> None:
    """Start JupyterLab, tell its address or open the browser, and stay until Ctrl-C.

    Raises `ChildFailed` when a process ends before.
    """
    work = place / "notebooks"
    put_notebooks(work)
    _arrange(place)
    token = secrets.token_urlsafe(24)
    lab = children.start("JupyterLab", _arguments(work), _environment(place, url) | {"JUPYTER_TOKEN": token})
    address = f"{_address(children, lab, place)}lab?token={token}"
    print(f"Ann's and Bob's notebooks: {address}")
    print(f"All equipment at a glance: {url}/")
    print("Ctrl-C ends the demonstration.", flush=True)
    if open_browser and _has_display():
        open_in_browser(address, place)
    children.wait()


def open_in_browser(address: str, place: Path) -> None:
    """Open an address that bears a token by a page that only its owner reads, as all users read command lines."""
    page = place / "open.html"
    descriptor = os.open(page, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={html.escape(address)}">')
    webbrowser.open(page.as_uri())


def put_notebooks(work: Path) -> None:
    """Copy the two notebooks into a new directory."""
    work.mkdir()
    for name in NOTEBOOKS:
        (work / name).write_bytes((files("authority.demo") / "notebooks" / name).read_bytes())


def _arguments(work: Path) -> list[str]:
    # No port is asked for: the system gives a free one, which JupyterLab writes into its runtime directory.
    fixed = "jupyterlab --no-browser --ServerApp.ip=127.0.0.1 --ServerApp.port=0"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        as_root = ["--allow-root"]
    else:
        as_root = []
    no_news = "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate"
    return [*fixed.split(), *as_root, no_news, f"--ServerApp.root_dir={work}"]


def _environment(place: Path, url: str) -> dict[str, str]:
    """Keep the person's own JupyterLab out of it, and theirs free of the demonstration."""
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    own = {_variable(name): str(place / name.lower()) for name in names}
    return {**own, "IPYTHONDIR": str(place / "ipython"), "MOTORLOCK_URL": url}


def _variable(name: str) -> str:
    if name.startswith("LAB_"):
        return f"JUPYTER{name}"
    return f"JUPYTER_{name}"


def _arrange(place: Path) -> None:
    """Lay the notebooks side by side, and ask nobody whether they want news."""
    shown = [{"type": "tab-area", "currentIndex": 0, "widgets": [f"notebook:{name}"]} for name in NOTEBOOKS]
    dock = {"type": "split-area", "orientation": "horizontal", "sizes": [0.5, 0.5], "children": shown}
    data: dict[str, object] = {
        "layout-restorer:data": {
            "main": {"dock": dock, "current": f"notebook:{NOTEBOOKS[0]}"},
            "left": {"collapsed": True, "widgets": []},
            "right": {"collapsed": True, "widgets": []},
        }
    }
    for name in NOTEBOOKS:
        data[f"notebook:{name}"] = {"data": {"path": name, "factory": "Notebook"}}
    _write(place / "lab_workspaces_dir" / _WORKSPACE, {"data": data, "metadata": {"id": "default"}})
    settings = place / "lab_settings_dir" / "@jupyterlab" / "apputils-extension"
    _write(settings / "notification.jupyterlab-settings", {"fetchNews": "false", "checkForUpdates": False})


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _address(children: Children, lab: subprocess.Popen[str], place: Path) -> str:
    """Wait until JupyterLab has written down where it will listen, and listens: it writes first."""
    server_file = place / "runtime_dir" / f"jpserver-{lab.pid}.json"
    while not ended(lab, within_s=0.1):
        with contextlib.suppress(OSError, json.JSONDecodeError):  # not there yet, being written, not listening
            written = json.loads(server_file.read_text(encoding="utf-8"))
            socket.create_connection(("127.0.0.1", written["port"]), timeout=1).close()
            return str(written["url"])
    raise children.failed("JupyterLab")


def _has_display() -> bool:
    """Say whether a browser could be seen: elsewhere one without a window would take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

"""A real JupyterLab process, and notebooks opened in it by a browser."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from real_lab import PATIENCE_S
from typed import wait_until

import jupyter_motorlock
from jupyter_motorlock.panel import SETTLED_S

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TOO_SOON = "click again if you mean it"


class Lab:
    """JupyterLab on a free port of loopback, with settings of its own."""

    def __init__(self, place: Path) -> None:
        self._token = secrets.token_hex()
        self.notebooks, self._runtime = place / "notebooks", place / "runtime"
        for folder in (self.notebooks, self._runtime, self._settings(place)):
            folder.mkdir(parents=True, exist_ok=True)
        self._set(place, "notification", {"fetchNews": "false", "checkForUpdates": False})  # no toasts
        self._place = place
        own = {
            "HOME": str(place),
            "IPYTHONDIR": str(place / "ipython"),
            "JUPYTER_CONFIG_DIR": str(place / "config"),
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(place / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(place / "workspaces"),
            "PYTHONPATH": str(Path(jupyter_motorlock.__file__).parents[1]),
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
        command += [f"--IdentityProvider.token={self._token}", "--LabApp.expose_app_in_browser=True"]
        command += [f"--ServerApp.root_dir={self.notebooks}", "--ServerApp.port=0"]
        self._log = (place / "lab.log").open("wb")
        self._process = subprocess.Popen(command, env={**os.environ, **own}, stderr=self._log, stdout=self._log)
        wait_until(self._found, "JupyterLab to start")
        self.url = str(self._found()["url"])

    def know(self, authority_url: str) -> None:
        """Tell kernels from now on where the authority is, as a site's configuration does."""
        profile = self._place / "ipython" / "profile_default"
        profile.mkdir(parents=True, exist_ok=True)
        (profile / "ipython_config.py").write_text(f"c.MotorMagics.authority_url = {authority_url!r}\n")

    def dark(self, *, dark: bool) -> None:
        """Choose the theme; pages opened from now on have it."""
        self._set(self._place, "themes", {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"})

    def write(self, name: str, *cells: str) -> str:
        """Write a notebook and return the address of a workspace that has it open."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        code: dict[str, object] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        written = [{**code, "id": f"cell-{place}", "source": cell} for place, cell in enumerate(cells)]
        book = {"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        (self.notebooks / f"{name}.ipynb").write_text(json.dumps(book))
        return f"{self.url}lab/workspaces/{name}/tree/{name}.ipynb?reset&token={self._token}"

    def end_kernels(self) -> None:
        """Shut every notebook's kernel down."""
        headers = {"Authorization": f"token {self._token}"}
        for session in requests.get(f"{self.url}api/sessions", headers=headers, timeout=PATIENCE_S).json():
            requests.delete(f"{self.url}api/sessions/{session['id']}", headers=headers, timeout=PATIENCE_S)

    def end(self) -> None:
        """End it and its kernels as Ctrl-C does."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_S)
        self._log.close()

    def _found(self) -> dict[str, Any]:
        assert self._process.poll() is None, (self._place / "lab.log").read_text()
        for file in self._runtime.glob("jpserver-*.json"):
            # It may be half written, and is written before the server listens.
            with contextlib.suppress(json.JSONDecodeError, OSError):
                found: dict[str, Any] = json.loads(file.read_text())
                socket.create_connection(("127.0.0.1", found["port"]), timeout=1).close()
                return found
        return {}

    @staticmethod
    def _settings(place: Path) -> Path:
        return place / "settings" / "@jupyterlab" / "apputils-extension"

    def _set(self, place: Path, plugin: str, settings: dict[str, object]) -> None:
        (self._settings(place) / f"{plugin}.jupyterlab-settings").write_text(json.dumps(settings))


class OpenNotebook:
    """A notebook in a browser; its cells are run as Shift-Enter does."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.wait_for_function(f"{_KERNEL}?.status === 'idle'")
        page.evaluate("jupyterapp.commands.execute('notebook:move-cursor-up')")

    def run_next(self) -> None:
        """Run the selected cell and select the next, without waiting for the end."""
        self.page.evaluate("jupyterapp.commands.execute('notebook:run-cell-and-select-next') && null")

    def wait_idle(self) -> None:
        """Wait for the kernel to have nothing to do."""
        self.page.wait_for_function(f"{_KERNEL}?.status === 'idle'")

    @property
    def busy(self) -> bool:
        """Whether a cell runs."""
        return bool(self.page.evaluate(f"{_KERNEL}?.status === 'busy'"))

    @property
    def panel(self) -> Locator:
        """The panel."""
        return self.page.locator(".motorlock").last

    def click(self, label: str, then: str) -> None:
        """Click the panel's button until the panel says `then`: it wants two clicks where it has just changed."""
        button = self.panel.get_by_role("button", name=label)
        done, too_soon = (self.page.locator(".motorlock", has_text=text).last for text in (then, TOO_SOON))
        button.click()
        done.or_(too_soon).first.wait_for()
        if not done.is_visible():
            self.page.wait_for_timeout(1000 * SETTLED_S)  # the rule is a length of time
            button.click()
            done.wait_for()

    def wait_panel(self, text: str) -> None:
        """Wait until the panel says `text`."""
        self.page.locator(".motorlock", has_text=text).last.wait_for()


_KERNEL = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"

"""Real JupyterLab and Notebook 7 processes, and notebooks opened in them by a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from served import Server

from jupyter_motorlock.notebook.panel import SETTLED_S

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TOO_SOON = "click again if you mean it"


class Lab(Server):
    """JupyterLab, or with `app="notebook"` Notebook 7, with settings of its own."""

    def __init__(self, place: Path, *options: str, app: str = "jupyterlab", **env: str) -> None:
        self._is_lab = app == "jupyterlab"
        self._settings = place / "settings" / "@jupyterlab" / "apputils-extension"
        self._settings.mkdir(parents=True, exist_ok=True)
        self._set("notification", {"fetchNews": "false", "checkForUpdates": False})  # no toasts
        own = {
            "JUPYTERLAB_SETTINGS_DIR": str(place / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(place / "workspaces"),
        }
        exposed = f"--{'LabApp' if self._is_lab else 'JupyterNotebookApp'}.expose_app_in_browser=True"
        super().__init__(place, exposed, *options, app=app, **own, **env)

    def know(self, authority_url: str) -> None:
        """Tell kernels from now on where the authority is, as a site's configuration does."""
        profile = self.place / "ipython" / "profile_default"
        profile.mkdir(parents=True, exist_ok=True)
        (profile / "ipython_config.py").write_text(f"c.MotorMagics.authority_url = {authority_url!r}\n")

    def dark(self, *, dark: bool) -> None:
        """Choose the theme; pages opened from now on have it."""
        self._set("themes", {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"})

    def write(self, name: str, *cells: str, kernel: str = "python3") -> str:
        """Write a notebook and return the address at which it is open."""
        spec = {"name": kernel, "display_name": kernel, "language": "python"}
        code: dict[str, object] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        written = [{**code, "id": f"cell-{place}", "source": cell} for place, cell in enumerate(cells)]
        book = {"cells": written, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
        (self.files / f"{name}.ipynb").write_text(json.dumps(book))
        return self.address(name)

    def address(self, name: str, *, window: str = "") -> str:
        """Return the address of a notebook, in JupyterLab in the workspace of a window."""
        if self._is_lab:
            return f"{self.url}lab/workspaces/{name}{window}/tree/{name}.ipynb?reset&token={self.token}"
        return f"{self.url}notebooks/{name}.ipynb?token={self.token}"

    def _set(self, plugin: str, settings: dict[str, object]) -> None:
        (self._settings / f"{plugin}.jupyterlab-settings").write_text(json.dumps(settings))


class OpenNotebook:
    """A notebook in a browser; its cells are run as Shift-Enter does."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._arrive("idle")

    def reload(self, *, idle: bool = True) -> None:
        """Save the notebook and load the page again, with a cell that runs where `idle` is false."""
        self.save()
        self.page.reload()
        self._arrive("idle" if idle else "busy")

    def save(self) -> None:
        """Save the notebook, and with it what its cells have shown."""
        self.page.evaluate("jupyterapp.commands.execute('docmanager:save')")

    def _arrive(self, status: str) -> None:
        self.page.wait_for_function(f"{_KERNEL}?.status === '{status}'")
        self.page.evaluate("jupyterapp.commands.execute('notebook:move-cursor-up')")

    def run_next(self) -> None:
        """Run the selected cell and select the next, without waiting for the end."""
        self.page.evaluate("jupyterapp.commands.execute('notebook:run-cell-and-select-next') && null")

    def select(self, place: int) -> None:
        """Select the cell at `place`, counted from 0."""
        self.page.evaluate(f"jupyterapp.shell.currentWidget.content.activeCellIndex = {place}")

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

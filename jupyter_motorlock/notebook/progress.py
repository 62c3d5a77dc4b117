"""The bar that a running cell shows: it follows the motor, has its STOP, and is gone when the cell ends.

The thread that hears the feed moves it, and only while the cell runs: what a thread prints lands in whichever cell
ran last, and updates for ever would keep an idle kernel from being culled. It begins and ends as an empty text, so
that a notebook that is stored is the one that is run again, also for programs that pass over updates, as nbval does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape

from IPython.core.display_functions import DisplayHandle

from jupyter_motorlock.client.http import Json
from jupyter_motorlock.client.interrupt import interrupts_limited, stop_by_click
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.errors import MotorlockError
from jupyter_motorlock.notebook import panel_html, panel_widgets
from jupyter_motorlock.notebook.cells import Cell, shortened
from jupyter_motorlock.notebook.command_lines import Line
from jupyter_motorlock.text import status as status_text

LEAST_S = 0.25  # before the first update, and between two
_NOTHING = {"text/plain": ""}
_ROW = (
    "padding-left:var(--jp-code-padding);color:var(--jp-content-font-color1);"
    "font-family:var(--jp-code-font-family);font-size:var(--jp-code-font-size)"
)
_BAR = "width:16em;max-width:40%;accent-color:var(--jp-brand-color1);vertical-align:middle"


@contextmanager
def shown(session: KernelSession, cell: Cell) -> Iterator[None]:
    """Show the bar while the block runs the cell."""
    bar = Bar(session, cell)
    unsubscribe = session.subscribe(bar.on_progress)
    try:
        yield
    finally:
        with interrupts_limited(0):
            unsubscribe()
            bar.end()


class Bar:
    """The display of one cell."""

    def __init__(self, session: KernelSession, cell: Cell) -> None:
        self._session = session
        self._cell = cell
        self._guard = threading.Lock()
        self._over = False
        self._face: panel_widgets.BarFace | None = None
        self._sent_at = time.monotonic()
        self._handle = DisplayHandle()  # type: ignore[no-untyped-call]  # IPython has no types there
        self._handle.display(_NOTHING, raw=True)  # type: ignore[no-untyped-call]

    def on_progress(self, equipment_id: str | None, status: Json | None, _event: Json | None) -> None:
        """Show what the feed has told, unless something was shown just before."""
        with self._guard:
            line = self._cell.running
            now = time.monotonic()
            is_due = not self._over and now - self._sent_at >= LEAST_S
            if is_due and equipment_id == self._cell.equipment_id and status is not None and line is not None:
                self._sent_at = now
                self._show(bar_of(line, status))

    def end(self) -> None:
        """Show nothing any more."""
        with self._guard:
            self._over = True
            if self._face is not None:
                self._update(_NOTHING)
                panel_widgets.close(self._face.box)

    def stop(self) -> None:
        """Stop the motor; the error of the line says who stopped it, the bar only what went wrong."""
        try:
            is_delivered = stop_by_click(self._session, self._cell.equipment_id)["delivered"]
        except MotorlockError:
            is_delivered = False
        with self._guard:
            if not is_delivered and not self._over and self._face is not None:
                self._face.show(escape(panel_html.NOT_DELIVERED.format(name=self._cell.equipment_id)))

    def _show(self, data: Mapping[str, str]) -> None:
        is_new = self._face is None
        self._face = self._face or panel_widgets.BarFace(self._cell.equipment_id, self.stop)
        self._face.show(data["text/html"])
        if is_new:
            self._update({**self._face.bundle(), "text/plain": data["text/plain"]})

    def _update(self, data: Mapping[str, object]) -> None:
        self._handle.update(data, raw=True)  # type: ignore[no-untyped-call]


def bar_of(line: Line, status: Json) -> dict[str, str]:
    """Return a line that runs as a bar with where the motor is, and as text."""
    fraction = status["readback"]["fraction"]
    typed = shortened(line.typed)
    if fraction is None:
        value, percent = ("", "")
    else:
        value, percent = (f' value="{fraction:.3f}"', f" ({fraction:.0%})")
    text = f"{typed}: {status_text.reading_text(status)}{percent}"
    bar = f'<progress max="1"{value} style="{_BAR}" aria-label="{escape(typed)}"></progress>'
    return {"text/html": f'<div class="ml-cell" style="{_ROW}">{bar} {escape(text)}</div>', "text/plain": text}

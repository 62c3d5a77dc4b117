"""The panel under a cell: one HTML, two buttons and STOP, kept up to date by the feed.

One writer under one lock; a message leaves the kernel only when what is shown has changed, because a ticking
label would keep an idle kernel from being culled. No token enters a widget: its state is saved in notebooks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from importlib.resources import files

import ipywidgets
from IPython import get_ipython

from jupyter_motorlock import view
from jupyter_motorlock.errors import MotorlockError
from jupyter_motorlock.rows import sentence
from jupyter_motorlock.session import KernelSession

WRITE_EVERY_S = 0.25  # at most this often when only the motion changes, as in a scan
JUST_AFTER_S = 0.2
SETTLED_S = 0.5  # a button that changed its meaning less than this ago is not obeyed
BETWEEN_CELLS = "Here buttons wait for a running cell: use Interrupt or the authority's page then."
NOT_DELIVERED = "STOP was not delivered to {name}: use the hardware stop."


class Panel:
    """A live panel of one equipment; `widget` is what to display, in a front end without widgets its text."""

    def __init__(self, session: KernelSession, equipment_id: str) -> None:
        self.equipment_id = equipment_id
        self._session = session
        self._lock = threading.RLock()
        self._status: view.Fields = session.status(equipment_id)
        self._received = time.monotonic()
        self._alive = True
        self._said = ""
        self._seen: view.Shown | None = None
        self._written = self._settled = 0.0
        self._later: threading.Timer | None = None
        self._looking: threading.Timer | None = None
        self._face = _Face(self) if _front_end() else None
        self.widget: object = self._face.box if self._face else self
        self._show()
        self._look_at_the_end()
        self._unwatch = session.watch(self._heard) if self._face else lambda: None

    def __repr__(self) -> str:
        """Return the panel as text."""
        return view.plain(self._status, self._session.session_id, now=_now())

    def close(self) -> None:
        """Stop listening and take the panel off the page."""
        self._unwatch()
        with self._lock:
            for timer in filter(None, (self._later, self._looking)):
                timer.cancel()
            face, self._face = self._face, None
        if face:
            face.close()

    def bundle(self, widget: dict[str, object]) -> dict[str, object]:
        """Return what is displayed: the widget, its digits counted from now, and its text for lesser front ends."""
        with self._lock:
            if self._face and self._seen:
                self._write(self._face, self._seen)
        return {**widget, "text/plain": repr(self)}

    def click(self, place: int) -> None:
        """Do what the button at `place` says, in whatever thread the front end's click arrives."""
        with self._lock:
            deeds = self._seen.buttons if self._seen else ()
            settled = time.monotonic() - self._settled > SETTLED_S
        if not settled:
            self._say("The button had just changed: click again if you mean it.")
        elif place < len(deeds):
            self._attempt(deeds[place])

    def stop(self) -> None:
        """Stop the equipment, whoever has it; what came of it is shown in the panel."""
        said = NOT_DELIVERED.format(name=self.equipment_id)
        try:
            if self._session.stop(self.equipment_id)["delivered"]:
                said = f"{_now():%H:%M:%S} stop delivered."
        except Exception as error:  # noqa: BLE001 - an exception in a click would be seen by nobody
            said = f"{said} {error}"
        in_main = threading.current_thread() is threading.main_thread()
        self._say(f"{said} {BETWEEN_CELLS}" if in_main else said)

    def _attempt(self, deed: view.Deed) -> None:
        session = self._session
        deeds: Mapping[view.Deed, Callable[[str], object]] = {
            "Request": partial(session.acquire, queue=True),
            "Claim": session.claim,
            "Release": session.release,
            "Leave queue": session.leave,
            "Resume": session.resume,
        }
        try:
            deeds[deed](self.equipment_id)
            self._say("")
        except Exception as error:  # noqa: BLE001 - an exception in a click would be seen by nobody
            self._say(str(error) or type(error).__name__)

    def _say(self, text: str) -> None:
        with self._lock:
            self._said = text
            self._show()

    def _heard(self, equipment_id: str | None, status: view.Fields | None, event: view.Fields | None) -> None:
        with self._lock:
            if equipment_id is None:  # the feed was lost or is back
                self._alive = self._session.feed_alive
            elif equipment_id == self.equipment_id and status is not None:
                self._status, self._received = status, time.monotonic()
                self._look_at_the_end()
                if event and event["event"] == "moved_outside":
                    self._said = f"{_now():%H:%M:%S} {sentence(event)}."
            else:
                return
            self._show()

    def _show(self) -> None:
        with self._lock:
            if self._face is None:
                return
            me, now, before = self._session.session_id, _now(), self._seen
            if before and view.headline(self._status, me, now=now) != before.headline:
                self._said = ""  # it was about what is no longer so
            seen = view.shown(self._status, me, alive=self._alive, said=self._said, now=now)
            if seen == before:
                return
            wait = self._written + WRITE_EVERY_S - time.monotonic()
            if before and wait > 0 and _same_but_for_motion(seen, before):
                self._later = self._later or _started(wait, self._show_late)
            else:
                self._write(self._face, seen)

    def _show_late(self) -> None:
        with self._lock:
            self._later = None
            self._show()

    def _look_at_the_end(self) -> None:
        """Ask once when the countdown has run out: an offer to others begins without an event."""
        left = view.left_s(self._status, elapsed_s=time.monotonic() - self._received)
        if left and self._face:
            self._looking = self._looking or _started(left + JUST_AFTER_S, self._look)

    def _look(self) -> None:
        with self._lock:
            self._looking = None
            self._look_at_the_end()  # it may have been put off
        if self._looking is None:
            with suppress(MotorlockError):  # the feed says what is lost
                self._heard(self.equipment_id, self._session.status(self.equipment_id), None)

    def _write(self, face: _Face, seen: view.Shown) -> None:
        now = time.monotonic()
        left = view.left_s(self._status, elapsed_s=now - self._received)
        face.body.value = view.panel_html(seen, left)
        if not self._seen or seen.buttons != self._seen.buttons:
            face.label(seen.buttons)
            self._settled = now if self._seen else 0.0
        self._seen, self._written = seen, now


def _started(wait_s: float, call: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(wait_s, call)
    timer.daemon = True
    timer.start()
    return timer


def _same_but_for_motion(seen: view.Shown, before: view.Shown) -> bool:
    still = replace(seen, reading=before.reading, doing=before.doing, fraction=before.fraction, ends=before.ends)
    return replace(still, ends_at=before.ends_at) == before


class _Face:
    """The widgets of one panel."""

    def __init__(self, panel: Panel) -> None:
        css = files("jupyter_motorlock").joinpath("panel.css").read_text(encoding="utf-8")
        style, self.body = ipywidgets.HTML(f"<style>{css}</style>"), ipywidgets.HTML()
        style.layout.display = "none"
        self._deeds = tuple(ipywidgets.Button() for _ in range(2))
        for place, button in enumerate(self._deeds):
            button.add_class("motorlock-deed")
            button.on_click(lambda _, place=place: panel.click(place))
        stop = ipywidgets.Button(description="STOP", button_style="danger", icon="stop")
        stop.tooltip = f"Stop {panel.equipment_id} now, whoever has it"
        stop.add_class("motorlock-stop")
        stop.on_click(lambda _: panel.stop())
        row = ipywidgets.HBox([*self._deeds, stop])
        row.add_class("motorlock-buttons")
        self.box = box = ipywidgets.VBox([style, self.body, row])
        box.add_class("motorlock")
        _answer_while_busy(box)
        box._repr_mimebundle_ = lambda **_: panel.bundle(type(box)._repr_mimebundle_(box))

    def label(self, deeds: tuple[view.Deed, ...]) -> None:
        for place, button in enumerate(self._deeds):
            button.description = deeds[place] if place < len(deeds) else ""
            button.layout.visibility = "visible" if place < len(deeds) else "hidden"

    def close(self) -> None:
        for widget in reversed(list(_tree(self.box))):
            widget.close()


def _answer_while_busy(box: ipywidgets.Widget) -> None:
    """Let the front end choose the subshell that a click runs in, so that STOP works while a cell runs.

    ipykernel 7.4 instead sends it to the shell that last wrote to the widget: the one busy with the cell.
    """
    for widget in _tree(box):
        if hasattr(widget.comm, "_reply_subshell_for"):
            widget.comm._reply_subshell_for = None


def _tree(widget: ipywidgets.Widget) -> Iterable[ipywidgets.Widget]:
    yield widget
    yield widget.layout
    if hasattr(widget, "style"):
        yield widget.style
    for child in getattr(widget, "children", ()):
        yield from _tree(child)


def _front_end() -> bool:
    """Whether widgets can be shown: this Python is a Jupyter kernel."""
    return getattr(get_ipython(), "kernel", None) is not None


def _now() -> datetime:
    return datetime.now().astimezone()

"""The panel under a cell, of one equipment or of many, kept up to date by the feed.

One writer under one lock; a message leaves the kernel only when what is shown has changed, because a ticking
label would keep an idle kernel from being culled. No token enters a widget: its state is saved in notebooks.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from IPython import get_ipython

from jupyter_motorlock.client.interrupt import stop_by_click
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.errors import MotorlockError
from jupyter_motorlock.notebook import panel_actions, panel_html, panel_widgets
from jupyter_motorlock.notebook.panel_html import PanelContent
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text.rows import event_sentence, without_repeats

WRITE_EVERY_S = 0.25  # a panel is written at most this often when only the motion changes, as in a scan
WRITE_APART_S = 0.06  # and the rows of many at most one after another: 30 in motion are 16 messages a second
JUST_AFTER_S = 0.2
SETTLED_S = 0.5  # a button that changed its meaning less than this ago is not obeyed
LOOK_BACK = 50  # events, among which the newest that are news are found
BETWEEN_CELLS = "Here buttons wait for a running cell: use Interrupt or the authority's page then."


def panel_of(session: KernelSession, *names: str) -> Panel | PanelOfMany:
    """Return the session's panel of one equipment, or of several, without a name of all there is; made once."""
    wanted = tuple(dict.fromkeys(names)) or tuple(session.equipment_ids())
    if wanted not in session.panels:
        session.panels[wanted] = Panel(session, *wanted) if len(wanted) == 1 else PanelOfMany(session, *wanted)
    panel: Panel | PanelOfMany = session.panels[wanted]
    return panel


class Pace:
    """Says when the next motion may be written by panels that share it."""

    def __init__(self) -> None:
        self._free = 0.0
        self._lock = threading.Lock()

    def wait_s(self, written: float) -> float:
        """Return how long a panel that was last `written` then has to wait, and keep that moment for it."""
        with self._lock:
            now = time.monotonic()
            due = max(now, self._free, written + WRITE_EVERY_S)
            self._free = due + WRITE_APART_S
            return due - now


class Panel:
    """A live panel of one equipment; `widget` is what to display, in a front end without widgets its text.

    With the `pace` and the first `status` it is a row of many.
    """

    def __init__(
        self,
        session: KernelSession,
        equipment_id: str,
        *,
        pace: Pace | None = None,
        status: status_text.Fields | None = None,
    ) -> None:
        self.equipment_id = equipment_id
        self._session = session
        self._lock = threading.RLock()
        self._status = status or session.status(equipment_id)
        self._happened: dict[int, status_text.Fields] = {}  # by their numbers: what is fetched may be heard, too
        self._received = time.monotonic()
        self._alive = True
        self._said = ""
        self._mark = uuid.uuid4().hex
        self._answers = 0
        self._content: PanelContent | None = None
        self._pace = pace or Pace()
        self._written = self._settled = 0.0
        self._later: threading.Timer | None = None
        self._looking: threading.Timer | None = None
        if pace is None and _front_end():
            self._remember(*session.newest_events(equipment_id, LOOK_BACK))
        self.face = _face(self, row=pace is not None)
        self.widget: object = self.face.box if self.face else self
        self._unsubscribe: Callable[[], None] = lambda: None
        if self.face:
            self._show()
            self._plan_last_look()
            self._unsubscribe = session.subscribe(self._on_change)

    def __repr__(self) -> str:
        """Return the panel as text."""
        me = self._session.session_id
        return status_text.plain_text(self._status, me, now=status_text.local_now(), rights=self._rights)

    @property
    def _rights(self) -> status_text.Rights:
        return self._session.mirror.rights.get(self.equipment_id)

    def close(self) -> None:
        """Stop listening and take the panel off the page."""
        self._unsubscribe()
        with self._lock:
            for timer in filter(None, (self._later, self._looking)):
                timer.cancel()
            face = self.face
            self.face = None
        if face:
            panel_widgets.close(face.box)

    def rewrite(self) -> None:
        """Write it again, its digits counted from now, for a view that is about to open."""
        with self._lock:
            if self._content:
                self._write(self._content)

    def bundle(self, widget: dict[str, object]) -> dict[str, object]:
        """Return what is displayed: the widget, and its text for lesser front ends."""
        self.rewrite()
        return {**widget, "text/plain": repr(self)}

    def click(self, action: panel_actions.PanelAction | None) -> None:
        """Do what a button says (None: the first one), in whatever thread the front end's click arrives."""
        with self._lock:
            if self._content is None or self.face is None:
                return
            face = self.face
            wanted = action or self._content.main_action[0]
            status = self._status
            fits = wanted in {self._content.main_action[0], *dict(self._content.others)}
            settled = time.monotonic() - self._settled > SETTLED_S
        if wanted is None or not (fits and settled):
            self._answer_click("The button had just changed: click again if you mean it.")
            return
        try:
            self._answer_click(panel_actions.run_action(wanted, self._session, status, face.typed()))
        except Exception as error:  # noqa: BLE001 - an exception in a click would be seen by nobody
            self._answer_click(str(error) or type(error).__name__)
        else:
            face.empty()

    def stop(self) -> None:
        """Stop the equipment, whoever has it; what came of it is shown in the panel."""
        answer = panel_html.NOT_DELIVERED.format(name=self.equipment_id)
        try:
            reply = stop_by_click(self._session, self.equipment_id)
            if reply.get("outcome") == "nothing_to_stop":
                answer = f"{self.equipment_id} has nothing to stop."
            elif reply["delivered"]:
                answer = f"{status_text.local_now():%H:%M:%S} stop delivered."
            elif reply.get("error"):
                answer = f"{answer} The driver says: {reply['error']}"
        except Exception as error:  # noqa: BLE001 - an exception in a click would be seen by nobody
            answer = f"{answer} {error}"
        in_main = threading.current_thread() is threading.main_thread()
        self._answer_click(f"{answer} {BETWEEN_CELLS}" if in_main else answer)

    def _answer_click(self, text: str) -> None:
        with self._lock:
            self._said = text
            self._answers += 1
            self._show()

    def _on_change(
        self, equipment_id: str | None, status: status_text.Fields | None, event: status_text.Fields | None
    ) -> None:
        with self._lock:
            if equipment_id is None:  # the feed was lost or is back
                self._alive = self._session.link.feed_alive
            elif equipment_id == self.equipment_id and status is not None:
                self._status = status
                self._received = time.monotonic()
                self._plan_last_look()
                if event:
                    self._remember(event)
                    if event["event"] == "moved_outside":
                        self._said = f"{status_text.local_now():%H:%M:%S} {event_sentence(event)}."
            else:
                return
            self._show()

    def _remember(self, *events: status_text.Fields) -> None:
        known = self._happened | {event["seq"]: event for event in events if panel_html.is_news(event)}
        shown = without_repeats(known[number] for number in sorted(known))[-panel_html.MOST_EVENTS :]
        self._happened = {event["seq"]: event for event in shown}

    def _show(self, *, due: bool = False) -> None:
        with self._lock:
            if self.face is None:
                return
            me = self._session.session_id
            now = status_text.local_now()
            rights = self._rights
            before = self._content
            if before and status_text.headline(self._status, me, now=now, rights=rights) != before.headline:
                self._said = ""  # it was about what is no longer so
            happened = tuple(self._happened.values())
            content = panel_html.panel_content(
                self._status, me, alive=self._alive, said=self._said, mark=self._mark, answers=self._answers,
                happened=happened, now=now, rights=rights,
            )  # fmt: skip
            if content == before:
                return
            if before and not due and _same_but_for_motion(content, before):
                if not self._later and (wait_s := self._pace.wait_s(self._written)) > 0:
                    self._later = _started(wait_s, self._show_late)
                if self._later:
                    return
            self._write(content)

    def _show_late(self) -> None:
        with self._lock:
            self._later = None
            self._show(due=True)

    def _plan_last_look(self, elapsed_s: float = 0.0) -> None:
        """Ask once when the countdown has run out: an offer to others begins without an event."""
        left = status_text.seconds_left(self._status, elapsed_s=elapsed_s)
        if left and self.face:
            self._looking = self._looking or _started(left + JUST_AFTER_S, self._look_at_end)

    def _look_at_end(self) -> None:
        with self._lock:
            self._looking = None
            self._plan_last_look(time.monotonic() - self._received)  # it may have been put off
        if self._looking is None:
            with suppress(MotorlockError):  # the feed says what is lost
                self._on_change(self.equipment_id, self._session.status(self.equipment_id), None)

    def _write(self, content: PanelContent) -> None:
        if self.face is None:
            return
        now = time.monotonic()
        before = self._content
        self.face.show(content, status_text.seconds_left(self._status, elapsed_s=now - self._received))
        if before and _means_another(content, before):
            self._settled = now
        self._content = content
        self._written = now


class PanelOfMany:
    """Several panels as rows of one; `widget` is what to display, in a front end without widgets its text."""

    def __init__(self, session: KernelSession, *names: str) -> None:
        pace = Pace()
        statuses = [session.status(name) for name in names]  # all of them are there, or none is shown
        self._rows = [Panel(session, n, pace=pace, status=x) for n, x in zip(names, statuses, strict=True)]
        faces = [row.face for row in self._rows if row.face]
        self._box = panel_widgets.table_of_faces(faces) if faces else None
        self.widget: object = self._box or self
        if self._box:
            panel_widgets.display_widget(self._box, self.bundle)

    def __repr__(self) -> str:
        """Return the panel as text, a line for each equipment."""
        return "\n".join(repr(row).splitlines()[0] for row in self._rows)

    def bundle(self, widget: dict[str, object]) -> dict[str, object]:
        """Return what is displayed: the widget, and its text for lesser front ends."""
        for row in self._rows:
            row.rewrite()
        return {**widget, "text/plain": repr(self)}

    def close(self) -> None:
        """Stop listening and take the panel off the page."""
        for row in self._rows:
            row.close()
        if self._box:
            panel_widgets.close(self._box)


def _face(panel: Panel, *, row: bool) -> panel_widgets.RowFace | None:
    """Return the widgets of a panel; None where none can be shown."""
    if not _front_end():
        return None
    if row:
        return panel_widgets.RowFace(panel.equipment_id, panel.click, panel.stop)
    face = panel_widgets.WholeFace(panel.equipment_id, panel.click, panel.stop)
    panel_widgets.display_widget(face.box, panel.bundle)
    return face


def _front_end() -> bool:
    """Whether widgets can be shown: this Python is a Jupyter kernel."""
    return getattr(get_ipython(), "kernel", None) is not None


def _started(wait_s: float, call: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(wait_s, call)
    timer.daemon = True
    timer.start()
    return timer


def _same_but_for_motion(content: PanelContent, before: PanelContent) -> bool:
    still = replace(content, reading=before.reading, doing=before.doing, fraction=before.fraction, ends=before.ends)
    return replace(still, ends_at=before.ends_at) == before


def _means_another(content: PanelContent, before: PanelContent) -> bool:
    """Whether a button now does something else, or the same to somebody else."""
    known = dict(before.others)
    return content.main_action != before.main_action or any(
        known.get(action, words) != words for action, words in content.others
    )

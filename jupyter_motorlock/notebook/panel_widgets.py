"""The widgets of the panel: plain ipywidgets, because a kernel cannot bring an extension of its own to the browser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib.resources import files
from typing import TypeAlias

import ipywidgets

from jupyter_motorlock.notebook import panel_html
from jupyter_motorlock.notebook.panel_actions import OTHERS, PanelAction
from jupyter_motorlock.notebook.panel_html import PanelContent

Click: TypeAlias = Callable[[PanelAction | None], None]  # None is the action that the first button names
HINT = "3h overnight scan, or a reason"


class RowFace:
    """One row of many: what is so, the main action and STOP."""

    def __init__(self, equipment_id: str, click: Click, stop: Callable[[], None]) -> None:
        self._body = ipywidgets.HTML()
        self._first = _button("", "motorlock-deed", partial(click, None))
        stop_button = _button("STOP", "motorlock-stop", stop, f"STOP {equipment_id} now, whoever has it")
        self.box = _box(self._kind, self._parts(click, stop_button), "motorlock-one", *self._classes)

    _kind: type[ipywidgets.Box] = ipywidgets.HBox
    _classes: tuple[str, ...] = ("motorlock-row",)

    def _parts(self, _click: Click, stop: ipywidgets.Button) -> list[ipywidgets.Widget]:
        return [self._body, self._first, stop]

    def show(self, content: PanelContent, left_s: float | None) -> None:
        """Show it; widgets send only what is new to them."""
        action, words = content.main_action
        self._label("" if action == "Clear fault" else action or "", words)  # a row has no place for the reason
        self._body.value = panel_html.row_html(content, left_s)

    def typed(self) -> str:
        """Return what was typed for a action."""
        return ""

    def empty(self) -> None:
        """Forget what was typed."""

    def _label(self, text: str, words: str) -> None:
        self._first.description = text
        self._first.tooltip = words if text else None


class WholeFace(RowFace):
    """One panel: all that is so, the main action, STOP, and the rest behind More."""

    _kind = ipywidgets.VBox
    _classes = ("motorlock",)

    def _parts(self, click: Click, stop: ipywidgets.Button) -> list[ipywidgets.Widget]:
        self._more = ipywidgets.HTML()
        self._text = ipywidgets.Text(description="Time, note or reason:", placeholder=HINT, continuous_update=False)
        self._text.style.description_width = "initial"
        self._others = {action: _button(action, "motorlock-deed", partial(click, action)) for action in OTHERS}
        can = _box(ipywidgets.HBox, list(self._others.values()), "motorlock-can")
        more = [self._more, self._text, can, ipywidgets.HTML(panel_html.NOTIFY)]
        foot = ipywidgets.HTML(panel_html.footer_html(toggle=True))
        buttons = _box(ipywidgets.HBox, [self._first, foot, stop], "motorlock-buttons")
        return [_style(), self._body, buttons, _box(ipywidgets.VBox, more, "motorlock-more")]

    def show(self, content: PanelContent, left_s: float | None) -> None:
        """Show it; widgets send only what is new to them."""
        action, words = content.main_action
        self._label(action or "", words)
        fit = dict(content.others)
        for other, button in self._others.items():
            button.tooltip = fit.get(other, button.tooltip)
            button.layout.display = None if other in fit else "none"
        self._more.value = panel_html.details_html(content)
        self._body.value = panel_html.panel_html(content, left_s)

    def typed(self) -> str:
        """Return what was typed for a action."""
        return str(self._text.value).strip()

    def empty(self) -> None:
        """Forget what was typed."""
        self._text.value = ""


class BarFace:
    """The bar of a running cell, with the STOP of its motor."""

    def __init__(self, equipment_id: str, stop: Callable[[], None]) -> None:
        self._text = ipywidgets.HTML()
        button = _button("STOP", "motorlock-stop", stop, f"STOP {equipment_id} now")
        button.layout = ipywidgets.Layout(width="auto")
        button.style = ipywidgets.ButtonStyle(button_color="#b3261e", text_color="#fff", font_weight="bold")
        self.box = _box(ipywidgets.HBox, [self._text, button], "motorlock-bar")
        self.box.layout.align_items = "center"

    def show(self, html: str) -> None:
        """Show a text."""
        self._text.value = html

    def bundle(self) -> dict[str, object]:
        """Return what is displayed."""
        answer_clicks_in_subshells(self.box)
        found: dict[str, object] = self.box._repr_mimebundle_()
        return found


def table_of_faces(rows: Iterable[RowFace]) -> ipywidgets.VBox:
    """Return the box of the rows."""
    foot = ipywidgets.HTML(panel_html.footer_html(toggle=False))
    return _box(ipywidgets.VBox, [_style(), foot, *(face.box for face in rows)], "motorlock", "motorlock-many")


def display_widget(box: ipywidgets.Box, bundle: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """Let `bundle` have the last word on what a display of `box` sends, and let its buttons work while a cell runs."""
    answer_clicks_in_subshells(box)
    box._repr_mimebundle_ = lambda **_: bundle(type(box)._repr_mimebundle_(box))


def answer_clicks_in_subshells(box: ipywidgets.Box) -> None:
    """Let the buttons of `box` work while a cell runs.

    The front end chooses the subshell that a click runs in; ipykernel 7.4 instead sends it to the shell that last
    wrote to the widget: the one busy with the cell.
    """
    for widget in _tree(box):
        if hasattr(widget.comm, "_reply_subshell_for"):
            widget.comm._reply_subshell_for = None


def close(box: ipywidgets.Box) -> None:
    """Take it off the page, with all that is in it."""
    for widget in reversed(list(_tree(box))):
        widget.close()


def _button(label: str, kind: str, click: Callable[[], None], words: str | None = None) -> ipywidgets.Button:
    button = ipywidgets.Button(description=label, tooltip=words)
    button.add_class(kind)
    button.on_click(lambda _: click())
    return button


def _box(kind: type[ipywidgets.Box], children: list[ipywidgets.Widget], *classes: str) -> ipywidgets.Box:
    box = kind(children)
    for name in classes:
        box.add_class(name)
    return box


def _style() -> ipywidgets.HTML:
    css, script = (
        files("jupyter_motorlock.notebook").joinpath(f"panel.{kind}").read_text("utf-8") for kind in ("css", "js")
    )
    style = ipywidgets.HTML(panel_html.style_html(css, script))
    style.layout.display = "none"
    return style


def _tree(widget: ipywidgets.Widget) -> Iterable[ipywidgets.Widget]:
    yield widget
    yield widget.layout
    if hasattr(widget, "style"):
        yield widget.style
    for child in getattr(widget, "children", ()):
        yield from _tree(child)

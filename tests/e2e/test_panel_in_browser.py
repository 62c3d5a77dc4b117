"""The panel's looks and reach in a real JupyterLab: light and dark, wide and narrow, by keyboard, many at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_lab import Lab, OpenNotebook
from real_lab import Authority
from typed import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = "%load_ext jupyter_motorlock"
LOGIN = 'stage = %motor_login stage_x --as Ann --note "scan over night"'
LOOK = "%motor_panel stage_x"
MANY = "\n".join(
    f"[equipment.axis_{number:02}]\ndriver = 'simulated-motor'\nlabel = 'Axis {number} of the big machine'"
    for number in range(30)
)
# What is too wide, and what text has too little contrast with what is behind it (WCAG AA: 4.5 to 1).
FAULTS = """(() => {
  const root = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden) .motorlock'), faults = [];
  const rgb = (text) => {
    const [kind, ...n] = text.match(/color\\(srgb|rgba?|[\\d.e-]+/g), k = kind === 'color(srgb' ? 255 : 1;
    return [n[0] * k, n[1] * k, n[2] * k, n[3] === undefined ? 1 : +n[3]];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = (e) => {
    if (!e) return [255, 255, 255];
    const own = rgb(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, behind(e.parentElement));
  };
  const light = (c) => {
    const [r, g, b] = c.map((x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const e of [root, ...root.querySelectorAll('*')]) {
    const seen = getComputedStyle(e);
    if (!e.checkVisibility({ visibilityProperty: true }) || e.closest('.ml-aloud')) continue;
    const clipped = seen.overflow !== 'visible' && seen.textOverflow === 'ellipsis';
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth && !clipped && seen.display !== 'inline')
      faults.push(`${e.tagName}.${e.className} is ${e.scrollWidth} wide in ${e.clientWidth}`);
    const says = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!says || e.tagName === 'STYLE') continue;
    const under = behind(e), [a, b] = [light(over(rgb(seen.color), under)), light(under)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5)
      faults.push(`${e.className} "${e.textContent.slice(0, 30)}" has ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return faults;
})()"""
COMMAND_CUT = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('.ml-read > .ml-dim'))"
HEIGHT = "document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden) .motorlock').offsetHeight"


class Camera:
    """Takes each picture wide and narrow, and finds fault with what it sees."""

    def __init__(self, place: Path, theme: str) -> None:
        self._place, self._theme = place, theme
        self._heights: dict[int, set[int]] = {}

    def take(self, book: OpenNotebook, name: str, *, whole: bool = True) -> None:
        """Take the picture of the panel; `whole` panels all have one height."""
        for width in (480, 1200):
            book.page.set_viewport_size({"width": width, "height": 900})
            book.page.wait_for_timeout(400)  # the layout of JupyterLab follows the window
            block = "center" if whole else "start"
            book.page.evaluate(f"document.querySelector('.motorlock').scrollIntoView({{block: '{block}'}})")
            book.page.screenshot(path=self._place / f"panel-{name}-{self._theme}-{width}.png")
            assert book.page.evaluate(FAULTS) == [], f"{name} at {width}"
            if whole:
                self._heights.setdefault(width, set()).add(int(book.page.evaluate(HEIGHT)))
        assert all(len(heights) == 1 for heights in self._heights.values()), f"{name} jumps: {self._heights}"


@pytest.fixture
def camera(lab: Lab, screenshots: Path, dark: bool) -> Camera:
    lab.dark(dark=dark)
    return Camera(screenshots, "dark" if dark else "light")


def opened(page: Page) -> OpenNotebook:
    book = OpenNotebook(page)
    page.evaluate("jupyterapp.shell.collapseLeft()")
    return book


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_panel_is_readable_and_keeps_its_height_in_all_its_states(
    authority: Authority, lab: Lab, open_page: Callable[..., Page], camera: Camera, dark: bool
) -> None:
    """NB-46 NB-47 NB-43 NB-48 NB-95"""
    carl = authority.person("Carl")
    carl.acquire()
    carl.release()
    cells = [LOAD, LOGIN, "stage.move_to(95)", "1 + 1"]
    ann = opened(open_page(lab.write("ann", *cells), dark=dark))
    ann.run_next()
    ann.run_next()
    ann.wait_panel("stage_x is yours")
    ann.run_next()
    ann.wait_panel("move_to(position=95) by you")
    ann.page.locator(".ml-way > i").wait_for()
    camera.take(ann, "moving")
    ann.page.set_viewport_size({"width": 450, "height": 900})
    ann.page.wait_for_timeout(400)  # the layout of JupyterLab follows the window
    assert ann.page.evaluate(COMMAND_CUT) <= 0, "the running command is cut"
    look = f"%env MOTORLOCK_USER=Bob Bolt\n{LOAD}\n{LOOK}"
    bob = opened(open_page(lab.write("bob", look, '%motor_ask stage_x "five minutes of beam"', "1 + 1"), dark=dark))
    bob.run_next()
    bob.wait_panel("Ann (scan over night) has stage_x")
    camera.take(bob, "others")
    dora = authority.person("Dora")
    dora.acquire(wait=True)
    bob.run_next()
    ann.wait_panel("Bob Bolt asks you for stage_x")
    camera.take(ann, "asked")
    ann.page.locator(".ml-more > summary").click()
    camera.take(ann, "asked-more", whole=False)
    ann.click("Later", then="such as 10min two more scans, and press Later again")
    camera.take(ann, "asked-mistake", whole=False)
    ann.panel.get_by_label("Time, note or reason").fill("20min two more points")
    ann.click("Later", then="at")
    bob.wait_panel("(perhaps")
    camera.take(bob, "queued")
    dora.leave()
    ann.click("STOP", then="stop delivered")
    ann.click("Release", then="has stage_x")
    bob.wait_panel("It is your turn on stage_x")
    camera.take(bob, "turn")
    bob.click("Claim", then="stage_x is yours")
    camera.take(bob, "yours")
    [session] = [x for x in authority.call("GET", "/locks/sessions")["sessions"] if x["user"] == "Bob Bolt"]
    os.kill(int(session["metadata"]["pid"]), signal.SIGKILL)
    bob.page.locator(".ml-gone", has_text="This kernel has ended").wait_for()
    bob.page.get_by_role("button", name="Ok", exact=True).click()
    camera.take(bob, "gone")
    assert bob.panel.locator("button:visible").count() == 0, "a dead button looks alive"
    wait_until(lambda: authority.status()["state"] == "free", "the dead kernel's lock to be given back")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_thirty_motors_fit_into_one_panel(
    tmp_path: Path, shared_lab: Lab, open_page: Callable[..., Page], screenshots: Path, dark: bool
) -> None:
    """NB-44 NB-46 NB-47"""
    (tmp_path / "lab.toml").write_text(MANY, encoding="utf-8")
    authority = Authority(tmp_path / "data", "--config", str(tmp_path / "lab.toml"))
    try:
        shared_lab.know(authority.url)
        shared_lab.dark(dark=dark)
        camera = Camera(screenshots, "dark" if dark else "light")
        bob, carl = authority.person("Bob"), authority.person("Carl")
        bob.acquire(equipment_id="axis_03")
        carl.acquire(equipment_id="axis_03", wait=True)
        carl.acquire(equipment_id="axis_05")
        book = opened(open_page(shared_lab.write("many", LOAD, "%motor_panel", "1 + 1"), dark=dark))
        book.run_next()
        book.run_next()
        rows = book.page.locator(".motorlock-row")
        rows.nth(29).wait_for()
        third, first = rows.nth(3), rows.nth(0)
        third.get_by_text("Bob has axis_03").wait_for()
        first.get_by_role("button", name="Request").click()
        first.get_by_text("axis_00 is yours").wait_for()
        run = {"command_id": "c", "equipment_id": "axis_05", "action": "move_to", "parameters": {"position": 90}}
        authority.call("POST", "/equipment/axis_05/command", run | {"session_id": carl.session_id, "wait_seconds": 0})
        rows.nth(5).get_by_text("→ 90 mm").wait_for()
        camera.take(book, "many", whole=False)
        rows.nth(5).get_by_role("button", name="STOP axis_05").click()
        rows.nth(5).get_by_text("stop delivered").wait_for()
        bob.release(equipment_id="axis_03")
        third.get_by_text("Carl has axis_03").wait_for()
        book.page.set_viewport_size({"width": 400, "height": 900})
        book.page.wait_for_timeout(400)
        assert book.page.evaluate(FAULTS) == []
    finally:
        shared_lab.end_kernels()
        authority.end()


@pytest.fixture
def ann(authority: Authority, lab: Lab, open_page: Callable[..., Page]) -> OpenNotebook:
    """Ann's notebook, with the panel of stage_x, which she holds."""
    lab.dark(dark=False)
    book = opened(open_page(lab.write("ann", LOAD, LOGIN, "1 + 1")))
    book.run_next()
    book.run_next()
    book.wait_panel("stage_x is yours")
    return book


def test_every_control_is_reached_and_used_by_keyboard(authority: Authority, ann: OpenNotebook) -> None:
    """NB-46"""
    keys, page = ann.page.keyboard, ann.page
    ann.panel.get_by_role("button", name="Release").focus()
    reached = []
    for _ in range(7):
        reached.append(page.evaluate("(document.activeElement.ariaLabel || document.activeElement.textContent)"))
        keys.press("Tab")
    assert reached[:4] == ["Release", "More: somebody asks you", "Dock", "STOP stage_x"]
    page.locator(".ml-more > summary").focus()
    keys.press("Enter")
    page.locator(".motorlock-more").wait_for()
    keys.press("Tab")
    keys.press("Tab")  # past Dock and STOP
    keys.press("Tab")
    keys.type("3h overnight scan")
    keys.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Keep"
    keys.press("Enter")
    wait_until(lambda: authority.status()["kept"], "the promise")
    assert authority.status()["kept"]["note"] == "overnight scan"
    ann.wait_panel("kept until")
    assert page.get_by_label("Time, note or reason").input_value() == ""
    assert page.locator(".motorlock-more").is_visible(), "an update closed More"
    page.locator(".motorlock-stop").focus()
    keys.press("Space")
    ann.wait_panel("stop delivered")
    assert "stop delivered" in page.locator(".ml-aloud[role=status]").inner_text()
    page.locator(".ml-more > summary").focus()
    keys.press("Enter")
    page.locator(".motorlock-more").wait_for(state="hidden")
    cells = page.evaluate("jupyterapp.shell.currentWidget.content.widgets.length")
    assert cells == 3, "a key meant for the panel was taken as one for the notebook"


NOTED = """
window.notified = [];
window.Notification = class {
  static permission = localStorage.getItem('allowed') ?? 'default';
  static async requestPermission() {
    localStorage.setItem('allowed', 'granted');
    return (Notification.permission = 'granted');
  }
  constructor(title, options) { window.notified.push([title, options.body, options.tag]); }
};
"""


def test_the_browser_notifies_once_when_it_is_your_turn_and_only_where_it_may(
    authority: Authority, lab: Lab, open_page: Callable[..., Page]
) -> None:
    """NB-45 NB-16"""
    lab.dark(dark=False)
    page = open_page("about:blank")
    page.context.add_init_script(NOTED)  # a headless browser shows none; what it is asked to show is noted down
    evil = "<img src=x onerror=\"document.title='owned'\">"
    holder = authority.person("Dora")
    holder.acquire()
    page.goto(lab.write("bob", f"{LOAD}\n%env MOTORLOCK_USER={evil}", LOOK, "1 + 1"))
    bob = opened(page)
    bob.run_next()
    bob.run_next()
    bob.click("Request", then="You are next in the queue")
    holder.release()
    bob.wait_panel("It is your turn on stage_x")
    page.wait_for_timeout(300)
    assert page.evaluate("notified") == [], "nobody allowed it"
    bob.click("Claim", then="stage_x is yours")
    page.locator(".ml-more > summary").click()
    page.get_by_role("button", name="Notify me").click()
    page.get_by_text("This browser notifies you when it is your turn.").wait_for()
    bob.click("Release", then="stage_x is free")
    holder.acquire()
    bob.wait_panel("Dora has stage_x")
    bob.click("Request", then="You are next in the queue")
    holder.release()
    page.wait_for_function("notified.length > 0")
    [[title, body, tag]] = page.evaluate("notified")
    assert title == "stage_x: your turn"
    assert body.startswith("It is your turn on stage_x: claim it, or it passes on")
    assert str(authority.status()["fence"]) in tag
    authority.person("Emil").acquire(wait=True)  # the panel is written again
    bob.wait_panel("one waits")
    assert len(page.evaluate("notified")) == 1
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    OpenNotebook(page)
    bob.wait_panel("It is your turn on stage_x")
    page.wait_for_timeout(300)
    assert page.evaluate("notified") == [], "a reload told it again"
    again = page.context.new_page()  # in the same browser, for the same notebook and kernel
    again.goto(page.url.replace("/workspaces/bob/", "/workspaces/again/"))
    OpenNotebook(again).wait_panel("It is your turn on stage_x")
    again.wait_for_timeout(300)
    assert again.evaluate("notified") == [], "a second tab told it again"
    assert page.evaluate("document.title") != "owned"


def test_a_panel_whose_kernel_was_shut_down_or_is_not_reached_offers_nothing_and_says_why(
    lab: Lab, ann: OpenNotebook, screenshots: Path
) -> None:
    """NB-48 NB-95"""
    gone, apart = (ann.page.locator(f".{kind}:visible") for kind in ("ml-gone", "ml-apart"))
    buttons, height = ann.page.locator(".motorlock button:visible"), ann.page.evaluate(HEIGHT)
    assert (gone.count(), apart.count(), buttons.count()) == (0, 0, 3)
    lab.end_kernels()  # as idle culling does, behind this tab's back
    apart.wait_for()
    ann.page.screenshot(path=screenshots / "panel-apart.png")
    assert (gone.count(), buttons.count()) == (0, 0)
    ann.page.evaluate("jupyterapp.commands.execute('kernelmenu:shutdown') && null")
    gone.wait_for()
    assert (apart.count(), buttons.count()) == (0, 0)
    said = ann.page.locator(".jp-OutputArea-output", has_text="stage_x is yours.").last
    assert "line-through" in said.evaluate("said => getComputedStyle(said).textDecoration"), "it is not so any more"
    assert ann.page.evaluate(HEIGHT) == height

"""The authority's own page in a real browser."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_words import card, move, moving, says
from real_lab import Authority
from typed import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def position(authority: Authority) -> float:
    return float(authority.status()["readback"]["position"])


def test_the_page_shows_who_has_what_live_and_its_stop_stops(
    authority: Authority, open_page: Callable[..., Page], screenshots: Path
) -> None:
    ann, bob = authority.person("Ann"), authority.person("Bob")
    page, dark = open_page(authority.url), open_page(authority.url, dark=True)
    says(page, "stage_x", "free")
    noted = {"equipment_id": "stage_x", "session_id": ann.session_id, "note": "scan over night"}
    authority.call("POST", "/locks/acquire", noted)
    bob.acquire(wait=True)
    says(page, "stage_x", "Ann (scan over night) since")
    says(page, "stage_x", "1. Bob")
    move(ann, 90.0)
    says(page, "stage_x", "move_to(position=90)")
    wait_until(lambda: position(authority) > 3, "the motor to move")
    seen = card(page, "stage_x").locator(".position")
    before = seen.inner_text()
    assert before.endswith(" → 90 mm")
    bar = card(page, "stage_x").locator(".way i")
    wait_until(lambda: 5 < bar.bounding_box()["width"] < 200, "the bar to show how much of the way is gone")
    page.wait_for_function(
        "text => document.querySelector('[data-equipment=stage_x] .position').innerText !== text", arg=before
    )
    for name, shown in (("page-light", page), ("page-dark", dark)):
        shown.screenshot(path=screenshots / f"{name}.png")
    page.get_by_label("Your name").fill("Carl")
    page.get_by_role("button", name="Stop stage_x").click()
    says(page, "stage_x", "stopped.")
    wait_until(lambda: not moving(authority), "the motor to stop")
    assert position(authority) < 80
    assert authority.status()["stopped_by"]["user"] == "Carl"
    says(dark, "stage_x", "stage_x was stopped by Carl at ")
    page.locator("#events li", has_text="stage_x was stopped by Carl").wait_for()


def test_after_a_stop_the_page_says_who_has_to_resume_and_what_was_switched_off(
    authority: Authority, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """RUN-27 RUN-53"""
    page = open_page(authority.url)
    narrow, dark = open_page(authority.url, width=390, height=844), open_page(authority.url, width=1280, dark=True)
    ann = authority.person("Ann")
    ann.acquire()
    ann.acquire(equipment_id="ps_abc123")
    switch = {"command_id": "on", "equipment_id": "ps_abc123", "action": "set_output", "parameters": {"enabled": True}}
    authority.call("POST", "/equipment/ps_abc123/command", switch | {"session_id": ann.session_id})
    says(page, "ps_abc123", "on")
    page.get_by_label("Your name").fill("Carl")
    places = [page.get_by_role("button", name=f"Stop {name}").bounding_box() for name in ("stage_x", "ps_abc123")]
    for name in ("stage_x", "ps_abc123", "scope_123"):
        page.get_by_role("button", name=f"Stop {name}").click()
        says(page, name, "stopped.")
    for shown in (page, narrow, dark):
        says(shown, "stage_x", "Ann has to resume or log in again.")
        says(shown, "ps_abc123", "Switched off: ")
        says(shown, "ps_abc123", ": Ann has to resume")
    after = [page.get_by_role("button", name=f"Stop {name}").bounding_box() for name in ("stage_x", "ps_abc123")]
    assert after == places, "STOP moved away from under the hand"
    for shown in (narrow, dark):
        says(shown, "stage_x", "stage_x was stopped by Carl at ")
        says(shown, "scope_123", " scope_123 was stopped by Carl.")
    for name, shown in (("page-stopped", page), ("page-stopped-narrow", narrow), ("page-stopped-dark", dark)):
        shown.screenshot(path=screenshots / f"{name}.png")
    authority.call("POST", "/equipment/stage_x/resume", {"session_id": ann.session_id})
    card(page, "stage_x").get_by_text("was stopped by").wait_for(state="hidden")


JAMMED = """
[equipment.press]
driver = "tests.api.drivers:Flaky"
label = "Sample press"
stop_seconds = 0.2
options = {{ place = "{place}" }}

[equipment.stage_x]
driver = "simulated-motor"
options = {{ velocity = 1.0 }}
"""


@pytest.fixture
def press(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority one of whose motors can be unplugged, jammed, and pushed by hand."""
    (tmp_path / "lab.toml").write_text(JAMMED.format(place=tmp_path), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    running = Authority(tmp_path / "data", "--config", str(tmp_path / "lab.toml"))
    wait_until(lambda: running.status("press")["readback"]["connected"], "the device to answer")
    yield running
    running.end(signal.SIGKILL)


def test_who_may_not_clear_a_fault_is_not_offered_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., Page]
) -> None:
    """WHO-29, NB-113"""
    monkeypatch.setenv("MOTORLOCK_AUTH", "os,token")
    (tmp_path / "lab.toml").write_text(JAMMED.format(place=tmp_path), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    lab = Authority(tmp_path / "data", "--config", str(tmp_path / "lab.toml"))
    try:
        wait_until(lambda: lab.status("press")["readback"]["connected"], "the device to answer")
        token = lab.call("POST", "/tokens", {"user": "dan", "role": "observer"})["token"]
        owner, dan = open_page(lab.url), open_page(lab.url)
        dan.evaluate("token => sessionStorage.setItem('motorlock-token', token)", token)
        dan.reload()
        ann = lab.person("Ann")
        ann.acquire(equipment_id="press")
        crawl = {"command_id": "c", "equipment_id": "press", "action": "crawl", "parameters": {}, "wait_seconds": 0}
        lab.call("POST", "/equipment/press/command", crawl | {"session_id": ann.session_id})
        (tmp_path / "jammed").touch()
        ann.leave()
        for page in (owner, dan):
            says(page, "press", "press has been at fault for")
        card(owner, "press").get_by_role("button", name="clear…").click()
        card(owner, "press").get_by_role("button", name="Clear fault").wait_for()
        card(dan, "press").get_by_role("button", name="why?").click()
        assert card(dan, "press").get_by_role("button", name="Clear fault").is_hidden()
        assert card(dan, "press").get_by_role("button", name="Stop press").is_visible()
    finally:
        lab.end(signal.SIGKILL)


def test_a_fault_is_explained_on_the_page_and_cleared_there_with_a_reason(
    press: Authority, tmp_path: Path, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """RUN-8"""
    page, dark = open_page(press.url), open_page(press.url, dark=True)
    stop = page.get_by_role("button", name="Stop press")
    before = stop.bounding_box()
    ann, bob = press.person("Ann"), press.person("Bob")
    ann.acquire(equipment_id="press")
    bob.acquire(equipment_id="press", wait=True)
    crawl = {"command_id": "c", "equipment_id": "press", "action": "crawl", "parameters": {}, "wait_seconds": 0}
    press.call("POST", "/equipment/press/command", crawl | {"session_id": ann.session_id})
    for trouble in ("jammed", "unplugged"):
        (tmp_path / trouble).touch()
    ann.leave()
    for shown in (page, dark):
        says(shown, "press", "press has been at fault for")
        says(shown, "press", "Its driver cannot reach it (the cable is out)")
    assert stop.bounding_box() == before, "STOP moved away from under the hand"
    assert card(page, "press").get_by_role("button", name="Clear fault").is_hidden()
    page.screenshot(path=screenshots / "page-fault.png")
    for name, shown in (("page-fault-light", page), ("page-fault-dark", dark)):
        card(shown, "press").get_by_role("button", name="clear…").click()
        shown.screenshot(path=screenshots / f"{name}.png")
    assert card(page, "stage_x").get_by_role("button", name="clear…").is_hidden()
    page.get_by_label("Your name").fill("Carl")
    page.get_by_label("Why the fault of press can be cleared").fill("cable in again, it stands")
    card(page, "press").get_by_role("button", name="Clear fault").click()
    says(page, "press", "Bob since")
    page.locator("#events li", has_text="Carl cleared the fault of press (cable in again, it stands)").wait_for()
    card(page, "press").get_by_role("button", name="Clear fault").wait_for(state="hidden")
    card(page, "press").locator(".story").wait_for(state="hidden")


def test_equipment_that_comes_to_rest_says_whose_it_was_and_what_it_waits_for(
    press: Authority, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """RUN-8"""
    page, telephone = open_page(press.url), open_page(press.url, width=360, height=740)
    ann = press.person("Ann")
    ann.acquire()
    move(ann, 90.0)
    ann.release()
    says(page, "stage_x", "coming to rest")
    says(page, "stage_x", "because it was given back")
    for name, shown in (("page-draining", page), ("page-draining-telephone", telephone)):
        card(shown, "stage_x").get_by_role("button", name="why?").click()
        card(shown, "stage_x").locator(".story.whole").wait_for()
        card(shown, "stage_x").scroll_into_view_if_needed()
        shown.screenshot(path=screenshots / f"{name}.png")
    assert telephone.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Stop stage_x").click()
    says(page, "stage_x", "free")
    card(page, "stage_x").get_by_role("button", name="why?").wait_for(state="hidden")


def test_a_motion_from_outside_is_shown_at_the_equipment(
    press: Authority, tmp_path: Path, open_page: Callable[..., Page], screenshots: Path
) -> None:
    """RUN-8"""
    page = open_page(press.url)
    says(page, "press", "0.000 mm")
    (tmp_path / "pushed").write_text("7.25", encoding="utf-8")
    says(page, "press", " press was moved from outside to 7.25 mm.")
    page.screenshot(path=screenshots / "page-outside.png")


def test_stop_all_stops_everything_that_moves(authority: Authority, open_page: Callable[..., Page]) -> None:
    ann = authority.person("Ann")
    ann.acquire()
    move(ann, 90.0)
    page = open_page(authority.url)
    says(page, "stage_x", "→ 90 mm")
    page.get_by_role("button", name="STOP ALL").click()
    wait_until(lambda: not moving(authority), "the motor to stop")
    assert authority.status()["stopped_by"]["user"] == "the page"
    says(page, "ps_abc123", "stopped.")


def test_a_page_without_an_authority_says_that_it_is_stale_and_comes_back_by_itself(
    authority: Authority, open_page: Callable[..., Page], screenshots: Path
) -> None:
    page = open_page(authority.url)
    says(page, "stage_x", "free")
    authority.end()
    stale = page.get_by_role("alert").filter(has_text="this page is stale since")
    stale.wait_for()
    page.get_by_role("button", name="Stop stage_x").click()
    says(page, "stage_x", "Stop not delivered: use the hardware stop.")
    page.screenshot(path=screenshots / "page-stale.png")
    authority.start()
    stale.wait_for(state="hidden")
    authority.person("Ann").acquire()
    says(page, "stage_x", "Ann since")


@pytest.mark.slow
def test_an_authority_that_hangs_without_closing_is_noticed_too(
    authority: Authority, open_page: Callable[..., Page]
) -> None:
    page = open_page(authority.url)
    says(page, "stage_x", "free")
    authority.process.send_signal(signal.SIGSTOP)
    try:
        page.get_by_role("button", name="Stop stage_x").click()
        says(page, "stage_x", "Stop not delivered: use the hardware stop.")
        stale = page.get_by_role("alert").filter(has_text="this page is stale since")
        stale.wait_for()
    finally:
        authority.process.send_signal(signal.SIGCONT)
    stale.wait_for(state="hidden")


def test_what_people_write_is_shown_and_never_run(authority: Authority, open_page: Callable[..., Page]) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    mallory = authority.person(evil)
    page = open_page(authority.url)
    says(page, "stage_x", "free")
    authority.call(
        "POST", "/locks/acquire", {"equipment_id": "stage_x", "session_id": mallory.session_id, "note": evil}
    )
    says(page, "stage_x", f"{evil} ({evil})")
    page.locator("#events li", has_text=evil).first.wait_for()
    assert page.locator("img").count() == 0
    assert page.title() == "motorlock"


def test_a_telephone_shows_everything_without_scrolling_sideways(
    authority: Authority, open_page: Callable[..., Page], screenshots: Path
) -> None:
    page = open_page(authority.url, width=360, height=740)
    says(page, "stage_x", "free")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.screenshot(path=screenshots / "page-telephone.png")


def test_the_page_asks_for_the_token_once_and_keeps_it_out_of_the_address(
    guarded: Authority, open_page: Callable[..., Page]
) -> None:
    page = open_page(guarded.url)
    page.get_by_label("asks for a token").fill("the-shared-secret-of-this-lab")
    page.get_by_role("button", name="Use it").click()
    says(page, "stage_x", "free")
    page.reload()
    says(page, "stage_x", "free")
    page.get_by_role("button", name="Stop stage_x").click()
    says(page, "stage_x", "stopped.")
    assert "secret" not in page.url


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_pages_need_nobody_but_the_authority(
    authority: Authority, open_page: Callable[..., Page], path: str
) -> None:
    page = open_page("about:blank")
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(f"{message.text} {message.location['url']}"))
    page.goto(f"{authority.url}{path}")
    page.get_by_text("stage_x" if path == "/" else "/api/locks/acquire").first.wait_for()
    assert [url for url in asked if not url.startswith(authority.url)] == []
    assert complaints == []
    icon = page.locator("link[rel=icon]").evaluate("link => fetch(link.href).then(reply => reply.ok)")
    assert icon is True


def test_the_reference_page_shows_a_body_and_finds_a_path(
    authority: Authority, open_page: Callable[..., Page], screenshots: Path
) -> None:
    page = open_page(f"{authority.url}/docs")
    acquire = page.locator("details", has_text="/api/locks/acquire").first
    acquire.locator("summary").click()
    acquire.get_by_text("queue_if_busy").wait_for()
    page.screenshot(path=screenshots / "docs.png")
    page.get_by_label("Filter by path or words").fill("heartbeat")
    acquire.wait_for(state="hidden")
    page.locator("summary", has_text="heartbeat").first.wait_for()

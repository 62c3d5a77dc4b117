"""The authority's page in ten tabs of one browser, which has six connections to an authority, and in an old browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from page_words import move, moving, says
from real_lab import Authority
from typed import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
TABS = 10


def tab_of(page: Page, url: str, asked: list[str]) -> Page:
    """Open a further tab of the same browser, and note what it asks for itself."""
    tab = page.context.new_page()
    tab.set_default_timeout(30_000)
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(url)
    return tab


def streams(asked: list[str]) -> list[str]:
    return [url for url in asked if "/api/events" in url]


def test_ten_tabs_share_one_stream_and_the_tenth_stops_and_an_eleventh_loads(
    authority: Authority, open_page: Callable[..., Page]
) -> None:
    """RUN-25"""
    asked: list[str] = []
    first = open_page("about:blank")
    tabs = [tab_of(first, authority.url, asked) for _ in range(TABS)]
    for tab in tabs:
        says(tab, "stage_x", "free")
    ann = authority.person("Ann")
    ann.acquire()
    move(ann, 90.0)
    for tab in tabs:
        says(tab, "stage_x", "Ann since")
        tab.locator("#link", has_text="live").wait_for()
    assert streams(asked) == [], "a tab has a stream of its own"
    tabs[-1].get_by_role("button", name="Stop stage_x").click()
    says(tabs[-1], "stage_x", "stopped.")
    wait_until(lambda: not moving(authority), "the motor to stop")
    eleventh = tab_of(first, authority.url, asked)
    says(tabs[-1], "stage_x", "has to resume")  # where it was clicked, it says what came of it
    for tab in (*tabs[:-1], eleventh):
        says(tab, "stage_x", "was stopped by the page")
    for tab in tabs[:5]:
        tab.close()
    ann.release()
    for tab in (*tabs[5:], eleventh):
        says(tab, "stage_x", "nobody")


def test_all_tabs_say_that_they_are_stale_and_come_back_together(
    authority: Authority, open_page: Callable[..., Page]
) -> None:
    """RUN-25"""
    asked: list[str] = []
    first = open_page("about:blank")
    tabs = [tab_of(first, authority.url, asked) for _ in range(3)]
    for tab in tabs:
        says(tab, "stage_x", "free")
    authority.end()
    stale = [tab.get_by_role("alert").filter(has_text="this page is stale since") for tab in tabs]
    for alert in stale:
        alert.wait_for()
    late = tab_of(first, "about:blank", asked)
    authority.start()
    late.goto(authority.url)
    authority.person("Ann").acquire()
    for tab in (*tabs, late):
        says(tab, "stage_x", "Ann since")
    for alert in stale:
        alert.wait_for(state="hidden")
    assert streams(asked) == []


def test_a_browser_without_such_workers_listens_in_each_tab(
    authority: Authority, open_page: Callable[..., Page]
) -> None:
    """RUN-25"""
    asked: list[str] = []
    old = open_page("about:blank")
    old.context.add_init_script("delete window.SharedWorker")
    tab = tab_of(old, authority.url, asked)
    says(tab, "stage_x", "free")
    authority.person("Ann").acquire()
    says(tab, "stage_x", "Ann since")
    assert len(streams(asked)) == 1


def test_a_browser_that_cannot_start_the_worker_listens_in_each_tab(
    authority: Authority, open_page: Callable[..., Page]
) -> None:
    """RUN-25"""
    asked: list[str] = []
    old = open_page("about:blank")
    old.context.route("**/worker.js", lambda route: route.fulfill(status=404, body=""))
    tab = tab_of(old, authority.url, asked)
    says(tab, "stage_x", "free")
    assert len(streams(asked)) == 1


def test_a_token_that_one_tab_has_opens_no_other_tab(guarded: Authority, open_page: Callable[..., Page]) -> None:
    """RUN-25 WHO-6"""
    asked: list[str] = []
    first = open_page(guarded.url)
    first.get_by_label("asks for a token").fill("not the right one")
    first.get_by_role("button", name="Use it").click()
    first.get_by_label("asks for a token").wait_for()
    first.get_by_label("asks for a token").fill("the-shared-secret-of-this-lab")
    first.get_by_role("button", name="Use it").click()
    says(first, "stage_x", "free")
    second = tab_of(first, guarded.url, asked)
    second.get_by_label("asks for a token").wait_for()
    assert second.locator("article").count() == 0

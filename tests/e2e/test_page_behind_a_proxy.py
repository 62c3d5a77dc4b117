"""The authority's page where something lies between: under a path of its own, and where no stream gets through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from buffering_proxy import buffering_proxy
from page_words import move, moving, says
from real_lab import Authority
from served import Server
from typed import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture
def jupyter(tmp_path: Path) -> Iterator[Server]:
    """A Jupyter server that passes on what is on the ports of its machine."""
    pytest.importorskip("jupyter_server_proxy")
    running = Server(tmp_path / "jupyter")
    yield running
    running.end()


def use_it(page: Page, authority: Authority) -> None:
    says(page, "stage_x", "free")
    ann = authority.person("Ann")
    ann.acquire()
    says(page, "stage_x", "Ann since")
    move(ann, 90.0)
    says(page, "stage_x", "→ 90 mm")
    page.get_by_role("button", name="Stop stage_x").click()
    says(page, "stage_x", "stopped.")
    wait_until(lambda: not moving(authority), "the motor to stop")
    says(page, "stage_x", "Ann has to resume or log in again")
    page.locator("#events li", has_text="stage_x was stopped by the page").wait_for()


def test_the_page_is_live_through_jupyters_proxy(
    authority: Authority, jupyter: Server, open_page: Callable[..., Page]
) -> None:
    """RUN-26 PUSH-18"""
    port = urlsplit(authority.url).port
    page = open_page(f"{jupyter.url}proxy/{port}/?token={jupyter.token}")
    use_it(page, authority)
    assert page.locator("#link").inner_text() == "live"


def test_cards_and_stop_are_there_also_where_no_stream_gets_through(
    authority: Authority, open_page: Callable[..., Page]
) -> None:
    """RUN-26 PUSH-20"""
    with buffering_proxy(authority.url) as address:
        page = open_page(address)
        use_it(page, authority)
        assert page.locator("#link").inner_text() == "live, every 2 s"
        authority.end()
        page.get_by_role("alert").filter(has_text="this page is stale since").wait_for()

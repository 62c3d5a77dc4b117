"""The authority below the path of a reverse proxy, whether the proxy takes the prefix off or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from push_clients import EventStream, PushClient, WebSocketStream, is_snapshot
from raw_http import ask
from rest_lab import Authority, ok, refused, running

from authority.settings import Misconfigured, load

PREFIX = "/lab/motorlock"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with running(tmp_path_factory.mktemp("lab"), options=["--root-path", PREFIX]) as authority:
        yield authority


@pytest.fixture(params=["", PREFIX], ids=["taken off", "left on"])
def seen_through_a_proxy(lab: Authority, request: pytest.FixtureRequest) -> Iterator[Authority]:
    """The lab as a proxy sees it that takes the prefix off, and one that does not."""
    plain = lab.url
    lab.url += request.param
    yield lab
    lab.url = plain


def test_page_documentation_and_interface_are_there_with_and_without_the_prefix(
    seen_through_a_proxy: Authority,
) -> None:
    """WHO-43"""
    proxied = seen_through_a_proxy
    for path, begins in [("/", "<!doctype html>"), ("/docs", "<!doctype html>"), ("/page.js", "")]:
        answer = proxied.send("GET", path)
        assert answer.status_code == 200
        assert answer.text.startswith(begins)
    assert proxied.send("GET", "/health").json()["status"] == "ok"
    index = ok(proxied.send("GET", "/api"))
    assert (index["documentation"], index["openapi"]) == (f"{PREFIX}/docs", f"{PREFIX}/openapi.json")
    assert ok(proxied.send("GET", "/openapi.json"))["servers"] == [{"url": PREFIX}]


def test_a_command_and_a_stop_are_done_with_and_without_the_prefix(seen_through_a_proxy: Authority) -> None:
    """WHO-43"""
    ann = seen_through_a_proxy.person("ann")
    ann.has("stage_x")
    assert ann.command("move_to", position=1.0).json()["outcome"] == "done"
    assert ok(ann.stop("stage_x"))["delivered"]
    ann.leave()


@pytest.mark.parametrize("subscribe", [EventStream, WebSocketStream])
def test_both_streams_are_there_with_and_without_the_prefix(
    seen_through_a_proxy: Authority, subscribe: type[PushClient]
) -> None:
    """WHO-43"""
    with subscribe(seen_through_a_proxy) as stream:
        assert is_snapshot(stream.next())


def test_the_prefix_alone_leads_to_the_page_by_an_address_that_any_proxy_keeps(lab: Authority) -> None:
    """WHO-43"""
    answer = lab.send("GET", PREFIX, allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "motorlock/")
    assert lab.send("GET", PREFIX).url == f"{lab.url}{PREFIX}/"


@pytest.mark.parametrize("path", [f"{PREFIX}x/api/whoami", f"{PREFIX}{PREFIX}/api/whoami", "/motorlock/api/whoami"])
def test_what_only_looks_like_the_prefix_is_404(lab: Authority, path: str) -> None:
    """WHO-43"""
    refused(lab.send("GET", path), 404, "not_found")


def test_what_guards_a_path_guards_it_below_the_prefix_too(tmp_path: Path) -> None:
    """WHO-43 WHO-5 WHO-12"""
    with running(tmp_path, options=["--root-path", PREFIX], env={"MOTORLOCK_TOKEN": "secret"}) as lab:
        for path in ("/api/equipment/list", "/api/events", "/api/../api/whoami", "/%61pi/equipment/list"):
            status, _ = ask(lab, f"GET {PREFIX}{path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            assert status in (401, 404), path
        refused(lab.post("/equipment/stage_x/stop", {}), 401, "token_required")
        for path in (PREFIX, f"{PREFIX}/"):
            refused(lab.send("GET", path, headers={"Host": "evil.example"}), 403, "foreign_origin")


@pytest.mark.parametrize("wrong", ["motorlock", "/motorlock/", "/", "/a//b", "/../a", "/a?b", "/api", "/api/x", "/é"])
def test_a_root_path_that_is_none_is_a_sentence(wrong: str, tmp_path: Path) -> None:
    """WHO-43"""
    with pytest.raises(Misconfigured) as misconfigured:
        load(host=None, port=None, config=None, data=tmp_path, root_path=wrong, environ={})
    (mistake,) = misconfigured.value.mistakes
    assert mistake.startswith("The root path must begin with / and not end with it, such as /motorlock, ")


def test_the_environment_names_the_root_path_too(tmp_path: Path) -> None:
    """WHO-43"""
    environ = {"MOTORLOCK_ROOT_PATH": PREFIX, "HOME": str(tmp_path)}
    assert load(host=None, port=None, config=None, data=tmp_path, environ=environ).root_path == PREFIX

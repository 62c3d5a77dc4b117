"""What one may do, as one's own notebook tells it: an authority with users, and tokens of several roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from real_lab import Authority
from typed import wait_until

import jupyter_motorlock
from jupyter_motorlock import NotAllowed, Refused
from jupyter_motorlock.client.session import KernelSession


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """An authority that knows its users by the operating system and by tokens."""
    with pytest.MonkeyPatch.context() as env:
        env.setenv("MOTORLOCK_AUTH", "os,token")
        running = Authority(tmp_path_factory.mktemp("rights"))
    yield running
    running.end()


@pytest.fixture
def token_of(lab: Authority) -> Callable[..., str]:
    """Makes tokens of a role."""

    def make(role: str, *equipment: str) -> str:
        made = lab.call("POST", "/tokens", {"user": "eve", "role": role, "equipment": equipment or ["*"]})
        return str(made["token"])

    return make


def test_a_right_that_is_missing_is_an_error_of_its_own(lab: Authority, token_of: Callable[..., str]) -> None:
    """NB-110"""
    with jupyter_motorlock.connect(lab.url, token=token_of("observer")) as eve, pytest.raises(NotAllowed) as refused:
        eve.lock("stage_x")
    assert str(refused.value) == "eve lacks the right `control` to stage_x; whoever looks after the lab can give it."
    assert refused.value.data["right"] == "control"


def test_who_shows_a_token_that_is_worth_nothing_reads_where_to_put_another(lab: Authority) -> None:
    """NB-110"""
    with (
        jupyter_motorlock.connect(lab.url, token="motorlock_old") as nobody,
        pytest.raises(Refused, match="ask for a new one, and set MOTORLOCK_TOKEN to it, or type it into the page"),
    ):
        nobody.lock("stage_x")


def test_who_may_only_look_is_told_so(lab: Authority, token_of: Callable[..., str]) -> None:
    """NB-112 NB-111"""
    with jupyter_motorlock.connect(lab.url, token=token_of("observer", "stage_*")) as eve:
        assert repr(eve.rows("stage_x")).splitlines()[0] == (
            "stage_x is free. You may look at stage_x and stop it; whoever looks after the lab gives more."
        )
    with jupyter_motorlock.connect(lab.url, token=token_of("operator")) as ann:
        assert repr(ann.rows("stage_x")).splitlines()[0] == "stage_x is free."


def test_a_kernel_learns_its_rights_with_the_news_and_hears_only_of_what_it_may_see(
    lab: Authority, token_of: Callable[..., str]
) -> None:
    """NB-111"""
    session = KernelSession(lab.url, token=token_of("observer", "stage_*"))
    session.link.listen()
    wait_until(lambda: session.mirror.statuses, "the first news")
    assert session.mirror.rights == {name: ["read", "stop", "observe"] for name in ("stage_x", "stage_y")}
    assert session.mirror.statuses.keys() == {"stage_x", "stage_y"}
    session.close()

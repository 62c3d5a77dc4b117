"""What one may do, as one's own notebook tells it: an authority with users, and tokens of several roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from real_lab import Authority

import jupyter_motorlock
from jupyter_motorlock import NotAllowed, Refused


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

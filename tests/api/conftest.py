"""Fixtures of the tests that speak HTTP: one authority for each module, and for each test its own people and motor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rest_lab import Authority, Person, running

MOTORS = 80


@pytest.fixture(scope="module")
def numbers(request: pytest.FixtureRequest) -> Iterator[int]:
    """Numbers of motors that no test of the module has used; a module may ask for fewer `MOTORS`."""
    return iter(range(motors_of(request)))


def motors_of(request: pytest.FixtureRequest) -> int:
    return getattr(request.module, "MOTORS", MOTORS)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """A demonstration lab with further motors, so that no test meets what another one left."""
    demo = (Path(__file__).parents[2] / "authority" / "demo_lab.toml").read_text(encoding="utf-8")
    motors = [
        f'[equipment.motor_{n}]\ndriver = "simulated-motor"\n' for n in range(getattr(request.module, "MOTORS", MOTORS))
    ]
    with running(tmp_path_factory.mktemp("lab"), lab="\n".join([demo, *motors])) as authority:
        yield authority


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where files tell `drivers.Flaky` what is wrong with its device."""
    return tmp_path_factory.mktemp("cable")


@pytest.fixture
def motor(numbers: Iterator[int]) -> str:
    """A motor that nobody has used, with the default policies."""
    return f"motor_{next(numbers)}"


@pytest.fixture
def person(lab: Authority) -> Iterator[Callable[..., Person]]:
    """Make people, whose sessions end with the test."""
    made: list[Person] = []

    def make(name: str = "ann", **more: object) -> Person:
        made.append(lab.person(name, **more))
        return made[-1]

    yield make
    for one in made:
        one.leave()


@pytest.fixture
def ann(person: Callable[..., Person]) -> Person:
    return person("ann")


@pytest.fixture
def bob(person: Callable[..., Person]) -> Person:
    return person("bob")

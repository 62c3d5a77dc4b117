"""Fixtures of the notebook side's tests; what they give is in `real_lab`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_lab import Authority, Kernel, Person, Wire, Witness
from typed import Notebook, wait_until

import jupyter_motorlock
from jupyter_motorlock import Connection

sys.path.append(str(Path(__file__).parents[1] / "drivers"))  # a stage in a process of its own


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    running = Authority(tmp_path / "data")
    yield running
    if running.process.poll() is None:
        running.end()


@pytest.fixture(scope="module")
def one_authority(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Authority]:
    """An authority for all tests of a file, with the lab file that stands there as `LAB`."""
    place, lab = tmp_path_factory.mktemp("authority"), getattr(request.module, "LAB", None)
    config = []
    if lab is not None:
        # A device belongs to one authority of the machine, and these tests may run twice at once.
        (place / "lab.toml").write_text(lab.replace("PROCESS", str(os.getpid())), encoding="utf-8")
        config = ["--config", str(place / "lab.toml")]
    running = Authority(place / "data", *config)
    yield running
    running.end()


@pytest.fixture(scope="module")
def one_notebook(one_authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """Ann's notebook for all tests of a file: starting a kernel takes longer than most of them."""
    place = {"IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))}
    kernel = Kernel({**os.environ, **place, "MOTORLOCK_URL": one_authority.url, "MOTORLOCK_USER": "ann"})
    yield Notebook(kernel)
    kernel.end()


@pytest.fixture
def fresh_notebook(one_notebook: Notebook, one_authority: Authority) -> Iterator[Notebook]:
    """Ann's notebook as just opened: nothing is held, by nobody, and nothing moves."""

    def all_free() -> bool:
        return all(item["state"] == "free" for item in one_authority.call("GET", "/equipment/list"))

    wait_until(all_free, "what the test before held is free")
    yield one_notebook
    one_notebook.run("%reload_ext jupyter_motorlock")
    for session in one_authority.call("GET", "/locks/sessions")["sessions"]:
        one_authority.call("DELETE", f"/locks/sessions/{session['session_id']}")


@pytest.fixture
def ann(authority: Authority) -> Iterator[Connection]:
    """Ann's session in this process."""
    with jupyter_motorlock.connect(authority.url, user="ann") as made:
        yield made


@pytest.fixture
def bob(authority: Authority) -> Iterator[Person]:
    somebody = authority.person("Bob")
    yield somebody
    somebody.leave()


@pytest.fixture
def witness(authority: Authority) -> Iterator[Witness]:
    hearing = Witness(authority.url)
    yield hearing
    hearing.close()


@pytest.fixture
def wire(authority: Authority) -> Iterator[Wire]:
    line = Wire(authority.url)
    yield line
    line.close()


@pytest.fixture
def start_kernel(authority: Authority, tmp_path: Path) -> Iterator[Callable[..., Kernel]]:
    """Start kernels of a user, with what else the environment has to say (`MOTORLOCK_URL`: the authority)."""
    started: list[Kernel] = []

    def start(user: str = "ann", *, python: str = sys.executable, **env: str) -> Kernel:
        place = {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
        ours = {"MOTORLOCK_URL": authority.url, "MOTORLOCK_USER": user}
        started.append(Kernel({**os.environ, **place, **ours, **env}, python))
        return started[-1]

    yield start
    for kernel in started:
        kernel.end()


@pytest.fixture
def kernel(start_kernel: Callable[..., Kernel]) -> Kernel:
    return start_kernel()

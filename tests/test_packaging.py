"""What people install: the wheel in empty environments, with and without the authority, and the locked versions."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
import requests
from packaging.specifiers import SpecifierSet

from authority.settings import load

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PATIENCE_S = 60.0
INSTALL_S = 600.0
WHAT_A_KERNEL_LOADS = """
import sys, jupyter_motorlock
heavy = {"authority", "msgspec", "starlette", "uvicorn", "ipywidgets"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def locked() -> dict[str, str]:
    """The locked versions by normalised name."""
    lines = [line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {_plain(name): version for name, _, version in (line.partition("==") for line in lines)}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_line_of_the_constraints_is_one_exact_version_and_names_no_place() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in locked())
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in locked().values())


def test_everything_that_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {_plain(re.split(r"[\[<>=;~! ]", one)[0]) for one in wanted} - {"jupyter-motorlock"}
    assert names - locked().keys() == set()


def test_the_lab_file_of_the_readme_is_one(tmp_path: Path) -> None:
    [text] = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lab = tmp_path / "lab.toml"
    lab.write_text(text, encoding="utf-8")
    settings = load(host=None, port=None, config=lab, data=tmp_path, environ={})
    assert [(one.id, one.driver.kind, one.driver.address) for one in settings.equipment] == [
        ("stage_x", "motor", "IOC:m1")
    ]


def test_the_locked_versions_are_for_the_oldest_python_that_the_project_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    asking = {_plain(one.name): one.metadata.get("Requires-Python") for one in distributions() if _is_locked(one)}
    assert len(asking) > 40
    assert {name: python for name, python in asking.items() if oldest not in SpecifierSet(python or "")} == {}


@pytest.mark.parametrize("is_yanked", [True, False])
def test_a_locked_version_that_was_yanked_is_named_with_its_reason(tmp_path: Path, is_yanked: bool) -> None:
    """NB-87"""
    _put_into_index(tmp_path / "index", yanked="it breaks re" if is_yanked else None)
    pins = tmp_path / "constraints.txt"
    pins.write_text("# of a test\nlittle==1.0\n", encoding="utf-8")
    only_this_index = {"PIP_INDEX_URL": (tmp_path / "index").as_uri(), "PIP_CONFIG_FILE": os.devnull}
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | only_this_index
    command = [sys.executable, str(ROOT / ".ci" / "yanked_pins.py"), str(pins)]
    looked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=env)
    said = "little==1.0 was yanked (it breaks re); lock another.\n" if is_yanked else ""
    assert (looked.returncode, looked.stderr) == (int(is_yanked), said)


def _put_into_index(index: Path, *, yanked: str | None) -> None:
    """Make a package index with one release of one package."""
    name, facts = "little-1.0-py3-none-any.whl", "little-1.0.dist-info"
    page = index / "little"
    page.mkdir(parents=True)
    with zipfile.ZipFile(page / name, "w") as wheel:
        wheel.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: little\nVersion: 1.0\n")
        wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{facts}/RECORD", "")
    mark = "" if yanked is None else f' data-yanked="{yanked}"'
    (page / "index.html").write_text(f'<!DOCTYPE html><a href="{name}"{mark}>{name}</a>', encoding="utf-8")


def test_a_notebook_is_exported_with_the_locked_versions(tmp_path: Path) -> None:
    """NB-87"""
    book = ROOT / "notebooks" / "01-first-move.ipynb"
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path), str(book)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert "move_to" in (tmp_path / "01-first-move.html").read_text(encoding="utf-8")


def _is_locked(found: Distribution) -> bool:
    return locked().get(_plain(found.name)) == found.version


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/python.md", "docs/notebook.md"])
def test_every_link_and_picture_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as it would be published."""
    place = tmp_path_factory.mktemp("wheel")
    _call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(place), str(ROOT))
    [built] = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def kernel_side(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment with the wheel and no extras."""
    return _environment(tmp_path_factory.mktemp("kernel"), str(wheel))


@pytest.fixture(scope="module")
def authority_side(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment with the wheel and the extra for the authority."""
    return _environment(tmp_path_factory.mktemp("authority"), f"{wheel}[authority]")


def _environment(place: Path, what: str) -> Path:
    _call(sys.executable, "-m", "venv", str(place))
    programs = place / ("Scripts" if sys.platform == "win32" else "bin")
    _call(str(programs / "python"), "-m", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS), what)
    return programs


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    assert done.returncode == 0, done.stderr


def _run(programs: Path, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(programs / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, cwd=cwd)


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_S)
def test_the_wheel_holds_what_is_no_python_too_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = [
        "api/page/page.html",
        "api/page/worker.js",
        "api/page/docs.html",
        "demo_lab.toml",
        "demo/notebooks/ann.ipynb",
        "demo/notebooks/bob.ipynb",
    ]
    ours = ["notebook/panel.css", "notebook/panel.js", "py.typed"]
    assert {*(f"authority/{name}" for name in wanted), *(f"jupyter_motorlock/{name}" for name in ours)} <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "authority",
        "jupyter_motorlock",
        "motorlock.py",
    }


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_S)
def test_a_kernel_needs_only_the_light_client(kernel_side: Path, tmp_path: Path) -> None:
    ran = _run(kernel_side, "python", "-c", WHAT_A_KERNEL_LOADS, cwd=tmp_path)
    assert ran.stdout.strip() == "[]", ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_S)
@pytest.mark.parametrize(
    ("command", "extra"), [("serve", "authority"), ("check lab.toml", "authority"), ("demo", "demo")]
)
def test_without_the_extra_the_command_line_says_how_to_install_it(
    kernel_side: Path, tmp_path: Path, command: str, extra: str
) -> None:
    """RUN-6, RUN-10"""
    ran = _run(kernel_side, "motorlock", *command.split(), cwd=tmp_path)
    assert ran.returncode == 2
    [sentence] = ran.stderr.splitlines()
    assert f"pip install 'jupyter-motorlock[{extra}]'" in sentence


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_S)
def test_without_the_extra_a_terminal_speaks_with_an_authority(kernel_side: Path, tmp_path: Path) -> None:
    """RUN-17"""
    ran = _run(kernel_side, "motorlock", "stop", "stage_x", "--url", "http://127.0.0.1:1", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    [sentence] = ran.stderr.splitlines()
    assert "STOP NOT DELIVERED" in sentence
    assert "http://127.0.0.1:1" in sentence


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_S)
def test_with_the_extra_the_authority_serves_its_page_and_ends_on_sigterm(authority_side: Path, tmp_path: Path) -> None:
    command = [str(authority_side / "motorlock"), "serve", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as authority:
        try:
            assert authority.stdout is not None
            said = authority.stdout.readline()
            found = re.fullmatch(r"motorlock authority listening on (http://127\.0\.0\.1:\d+)\n", said)
            assert found, said
            url = found.group(1)
            assert requests.get(f"{url}/health", timeout=PATIENCE_S).json()["status"] == "ok"
            page = requests.get(f"{url}/", timeout=PATIENCE_S)
            assert page.ok
            assert "STOP" in page.text
            assert requests.get(f"{url}/docs", timeout=PATIENCE_S).ok
            authority.send_signal(signal.SIGTERM)
            assert authority.wait(PATIENCE_S) == 0
        finally:
            if authority.poll() is None:
                authority.kill()

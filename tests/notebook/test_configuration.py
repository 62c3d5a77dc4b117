"""Where a kernel's settings come from, and the recipes of docs/notebook.md, in real kernels."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from real_lab import Authority, Kernel
from typed import Notebook

import jupyter_motorlock
from jupyter_motorlock.notebook.magics import MotorMagics

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"
NOWHERE = "http://127.0.0.1:9"
SETTINGS = "get_ipython().find_line_magic('motor_login').__self__"


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, which has what this one has."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    here = [str(Path(jupyter_motorlock.__file__).parents[1]), *(path for path in sys.path if "site-packages" in path)]
    (packages / "here.pth").write_text("\n".join(here), encoding="utf-8")
    return place


def configure(place: Path, text: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "ipython_config.py").write_text(text)


def recipes() -> list[str]:
    """The pieces of configuration that the page shows."""
    found = re.findall(r"```python\n(c\..*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 2
    return found


def test_the_users_own_file_goes_before_the_environments_and_that_before_the_variables(
    authority: Authority, environment: Path, start_kernel: Callable[..., Kernel], tmp_path: Path
) -> None:
    """NB-61 WHO-2"""
    load = "c.InteractiveShellApp.extensions.append('jupyter_motorlock')\n"
    site = f"c.MotorMagics.authority_url = {authority.url!r}\nc.MotorMagics.user = 'the environment'\n"
    configure(environment / "etc" / "ipython", load + site)

    def holder(code: str = "", **env: str) -> str:
        python = str(environment / "bin" / "python")
        kernel = start_kernel(python=python, IPYTHONDIR=str(tmp_path / "mine"), MOTORLOCK_URL=NOWHERE, **env)
        ann = Notebook(kernel, load=False)
        ann.value(f"{code}\n%motor_login stage_x --no-panel")
        found = str(authority.status()["holder"]["user"])
        assert ann.run("%unload_ext jupyter_motorlock").status == "ok"
        return found

    assert holder(MOTORLOCK_USER="the variable") == "the environment"
    configure(tmp_path / "mine" / "profile_default", "c.MotorMagics.user = 'mine'\n")
    assert holder() == "mine"
    assert holder("%config MotorMagics.user = 'this kernel'") == "this kernel"


def test_without_a_file_the_variables_decide_and_without_them_this_machine(
    authority: Authority, start_kernel: Callable[..., Kernel]
) -> None:
    """NB-61"""
    ann = Notebook(start_kernel())
    ann.value("%motor_login stage_x --no-panel")
    assert authority.status()["holder"]["user"] == "ann"
    ann.run("%unload_ext jupyter_motorlock")
    bare = Notebook(start_kernel(MOTORLOCK_URL="", MOTORLOCK_USER=""))
    assert "http://127.0.0.1:8790" in bare.value(f"{SETTINGS}.session.client.url")


@pytest.mark.parametrize("place", [0, 1], ids=["at the start", "lazily"])
def test_the_recipes_for_loading_by_itself_work_as_they_are_written(
    authority: Authority, start_kernel: Callable[..., Kernel], tmp_path: Path, place: int
) -> None:
    """NB-62"""
    both = recipes()[place] + recipes()[0].splitlines()[1]
    configure(tmp_path / "mine" / "profile_default", both.replace("http://lab-machine:8790", authority.url))
    ann = Notebook(start_kernel(IPYTHONDIR=str(tmp_path / "mine"), MOTORLOCK_URL=NOWHERE), load=False)
    assert ann.value("import sys; 'jupyter_motorlock' in sys.modules") == str(place == 0)
    assert authority.call("GET", "/locks/sessions")["count"] == 0
    assert ("%motor_login" in ann.complete("%motor_lo")) == (place == 0)
    ann.value("stage = %motor_login stage_x")
    assert ann.value("%%motor\nmove_to 0.5") == "0.5 mm"
    ann.run("%unload_ext jupyter_motorlock")


@pytest.mark.parametrize("cell", ["%%motor stage_x\nposition", "%motor_status"])
def test_the_first_magic_of_all_may_be_any(
    authority: Authority, start_kernel: Callable[..., Kernel], tmp_path: Path, cell: str
) -> None:
    """NB-62"""
    configure(tmp_path / "mine" / "profile_default", recipes()[1])
    ann = Notebook(start_kernel(IPYTHONDIR=str(tmp_path / "mine")), load=False)
    out = ann.run(cell)
    assert "stage_x is free" in out.stdout or out.error.startswith("LockRequired")


def test_the_lazy_recipe_names_every_magic() -> None:
    """NB-62"""
    named = set(re.findall(r'^ +"(motor\w*)",', recipes()[1], re.MULTILINE))
    assert named == {name for kind in MotorMagics.magics.values() for name in kind}

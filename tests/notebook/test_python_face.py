"""The Python face against a real authority: values, readings, provenance, completion, and life without IPython."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]  # it has no types
import pytest
import xarray
from real_lab import PATIENCE_S, Authority, Kernel

import jupyter_motorlock
from jupyter_motorlock import Connection, LockRequired, Value, handle
from jupyter_motorlock.client import http
from jupyter_motorlock.extras import history as extras_history


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


def test_a_command_answers_a_number_in_its_unit(ann: Connection) -> None:
    """NB-70"""
    with ann.lock("stage_x") as stage:
        assert repr(stage.move_to(0.5)) == "0.5 mm"
        assert isinstance(stage.position(), Value)
        assert stage.position() + 1 == 1.5
        assert isinstance(stage.status(), dict)


def test_a_reading_needs_no_lock(ann: Connection, authority: Authority) -> None:
    """NB-71"""
    with ann.lock("stage_x") as stage:
        stage.move_to(0.75)
    seen = stage.reading
    assert authority.status()["state"] == "free"
    assert (repr(seen.position), seen.moving, seen.connected) == ("0.75 mm", False, True)
    assert (seen.values["low"], seen.values["high"]) == (0.0, 100.0)


def test_provenance_says_who_measures_under_which_lock_and_where(ann: Connection, authority: Authority) -> None:
    """NB-72"""
    before = datetime.now(UTC)
    with ann.lock("stage_x", note="scan 12") as stage:
        stage.move_to(1.25)
        found = stage.provenance()
        lock = authority.status()
    assert (found["user"], found["note"], found["equipment"]) == ("ann", "scan 12", "stage_x")
    assert (found["fence"], found["lock_id"], found["session_id"]) == (
        lock["fence"],
        lock["lock_id"],
        lock["session_id"],
    )
    assert (found["position"], found["units"], found["authority"]) == (1.25, "mm", authority.url)
    assert found["since"] == lock["holder"]["since"]
    assert before <= datetime.fromisoformat(str(found["time"])) <= datetime.now(UTC)
    assert str(found["time"]).endswith("+00:00")


def test_provenance_can_be_stored_as_it_is(ann: Connection, tmp_path: Path) -> None:
    """NB-72"""
    with ann.lock("stage_x") as stage:
        found = stage.provenance()
    assert json.loads(json.dumps(found)) == found
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.attrs.update(found)
        assert dict(file.attrs) == found
    xarray.Dataset({"counts": ("x", [1.0])}, attrs=found).to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "data.nc", engine="h5netcdf") as kept:
        assert kept.attrs == found


def test_there_is_never_a_provenance_of_somebody_elses_lock(ann: Connection, authority: Authority) -> None:
    """NB-72"""
    stage = ann.lock("stage_x")
    stage.release()
    with pytest.raises(LockRequired, match=r"^Without the lock there is no provenance to give: stage_x is free\.$"):
        stage.provenance()
    bob = authority.person("Bob")
    bob.acquire()
    with pytest.raises(LockRequired, match=r"no provenance to give: Bob .*has stage_x"):
        stage.provenance()
    bob.leave()
    watching = ann.watch("stage_x")
    with pytest.raises(LockRequired):
        watching.provenance()


def test_no_secret_of_the_address_gets_into_a_provenance(authority: Authority) -> None:
    """NB-72"""
    address = authority.url.replace("http://", "http://ann:sesame@") + "/?key=sesame"
    with jupyter_motorlock.connect(address, token="sesame") as connection, connection.lock("stage_x") as stage:
        assert "sesame" not in json.dumps(stage.provenance())


WITHOUT_IPYTHON = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"IPython", "ipykernel", "ipywidgets", "traitlets", "jupyter_client"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
import jupyter_motorlock
with jupyter_motorlock.connect(sys.argv[1], user="ann") as lab:
    with lab.lock("stage_x", note="a script") as stage:
        print(repr(stage.move_to(0.5)), stage.position(), stage.reading.moving, stage)
        stage.stop("enough")
        print(stage.provenance()["note"], [name for name in dir(stage) if name.startswith("move")])
    print(stage.lock["state"])
print(sorted({name.partition(".")[0] for name in sys.modules} & {"IPython", "ipykernel", "ipywidgets", "traitlets"}))
"""


def test_a_handle_works_where_there_is_no_ipython(authority: Authority) -> None:
    """NB-73"""
    command = [sys.executable, "-c", WITHOUT_IPYTHON, authority.url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ran.returncode == 0, ran.stderr
    moved, noted, state, loaded = ran.stdout.splitlines()
    assert moved.startswith("0.5 mm 0.5 False stage_x")
    assert noted == "a script ['move_by', 'move_to']"
    assert (state, loaded) == ("free", "[]")


def _ask(kernel: Kernel, what: str, code: str) -> dict[str, Any]:
    """Ask a kernel what the front end asks it at Tab and Shift-Tab."""
    answer = getattr(kernel.client, what)(code, len(code), reply=True, timeout=PATIENCE_S)
    content: dict[str, Any] = answer["content"]
    return content


def _names(completed: dict[str, Any]) -> set[str]:
    return {match.rpartition(".")[2] for match in completed["matches"]}


@pytest.mark.parametrize("jedi", [True, False])
def test_tab_completes_the_commands_and_shift_tab_explains_one(
    start_kernel: Callable[..., Kernel], authority: Authority, jedi: bool
) -> None:
    """NB-73"""
    kernel = start_kernel()
    kernel.run(f"get_ipython().Completer.use_jedi = {jedi}")
    kernel.run(f"import jupyter_motorlock; stage = jupyter_motorlock.connect({authority.url!r}).lock('stage_x')")
    wanted = {"move_to", "position", "stop", "reading", "provenance", "lock"}
    assert wanted <= _names(_ask(kernel, "complete", "stage."))
    assert _names(_ask(kernel, "complete", "stage.mo")) == {"move_by", "move_to"}
    explained = _ask(kernel, "inspect", "stage.move_to")["data"]["text/plain"]
    assert "(position: float)" in explained
    assert "position: a number in mm" in explained
    kernel.run("stage.release()")


EDITOR = """
from jupyter_motorlock import Handle, Value, connect

with connect("http://127.0.0.1:8790").lock("stage_x") as stage:
    reveal_type(stage)
    reveal_type(stage.reading.position)
    reveal_type(stage.provenance())
    there: float = stage.move_to(12.5) + 1
    reveal_type(Value(1.0, "mm") + 1)
"""


@pytest.mark.slow
def test_an_editor_is_told_the_types(tmp_path: Path) -> None:
    """NB-73"""
    (tmp_path / "scan.py").write_text(EDITOR, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", "scan.py"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    revealed = [line.partition("Revealed type is ")[2] for line in ran.stdout.splitlines() if "Revealed" in line]
    assert [text.replace("builtins.", "").replace("jupyter_motorlock.", "").strip('"') for text in revealed] == [
        "handle.Handle",
        "text.values.Value | float | None",
        "dict[str, str | int | float]",
        "float",
    ]
    assert ran.returncode == 0, ran.stdout


def test_data_bear_the_authoritys_time_where_the_kernels_clock_is_wrong(
    ann: Connection, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TIME-1"""

    class SlowClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain datetime will do
            return datetime.now(tz) - timedelta(minutes=10)

    for module in (http, extras_history, handle):
        monkeypatch.setattr(module, "datetime", SlowClock)
    with ann.lock("stage_x") as stage:
        found = stage.provenance()
        assert datetime.fromisoformat(str(found["time"])) >= datetime.fromisoformat(str(found["since"]))
        assert not ann.history("stage_x", since="5min").empty


def test_the_clock_follows_what_the_authority_tells() -> None:
    """TIME-1"""
    clock = http.AuthorityClock()
    clock.set_from_header("Sun, 29 Nov 2020 10:00:00 GMT")
    assert clock.now().isoformat().startswith("2020-11-29T10:00:0")
    clock.set_from("2021-01-01T00:00:30.5+00:00")
    clock.set_from_header("Fri, 01 Jan 2021 00:00:30 GMT")  # in whole seconds: the message is better
    assert clock.now() >= datetime(2021, 1, 1, 0, 0, 30, 500000, tzinfo=UTC)
    clock.set_from_header("Fri, 01 Jan 2021 02:00:00 GMT")  # its clock was changed
    assert clock.now().hour == 2
    for nonsense in (None, "", "soon"):
        clock.set_from_header(nonsense)
        clock.set_from(nonsense or "")
    assert clock.now().hour == 2

"""Bad configurations: each gets one sentence that names file, key and what is allowed, and exit status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rest_lab import ROOT, ok, running

from authority.settings import Misconfigured, load

MOTOR = '[equipment.m]\ndriver = "simulated-motor"\n'
KEYS = (
    "driver, label, options, enforce_locks, release_with_session, observers, on_idle, on_loss, on_silence, "
    "claim_seconds, max_hold_seconds, max_keep_seconds, park, finish_seconds, stop_seconds"
)

BAD = {
    "an authority that is no table": (f"authority = 3\n{MOTOR}", "{file}: authority must be a table, not 3."),
    "a source of identity that does not exist": (
        f'auth = {{ sources = ["oss", "token"] }}\n{MOTOR}',
        "{file}: auth.sources[0] must be one of 'os', 'token', ",
    ),
    "a host that is no text": (
        f'[authority]\nallowed_hosts = ["a", 3]\n{MOTOR}',
        "{file}: [authority] allowed_hosts[1] must be a text, not 3.",
    ),
    "hosts that are a text": (
        f'[authority]\nallowed_hosts = "a"\n{MOTOR}',
        "{file}: [authority] allowed_hosts must be a list, not 'a'.",
    ),
    "a port that is true": (
        f"[authority]\nport = true\n{MOTOR}",
        "{file}: [authority] port must be a whole number from 0 to 65535, not true; 0 takes any free one.",
    ),
    "no TOML": ("[equipment", "{file} is not valid TOML: "),
    "no equipment": ("", "{file} describes no equipment: add a table [equipment.NAME] with a driver."),
    "equipment that is no table": (
        "equipment = 3", "{file}: equipment must be a table, not 3.",
    ),
    "an unknown table": (
        f"[motors]\n{MOTOR}", "{file}: motors is no key here; allowed are authority, auth, access, equipment.",
    ),
    "an unknown key of the authority": (
        f"[authority]\nprot = 1\n{MOTOR}",
        "{file}: [authority] prot is no key here, perhaps port is meant; allowed are host, port, ",
    ),
    "access without a role": (
        f'[[access]]\nusers = ["ann"]\n{MOTOR}',
        "{file}: [[access]] number 1 needs a role (observer, operator or admin), or rights in its place.",
    ),
    "access with a role and rights": (
        f'[[access]]\nusers = ["ann"]\nrole = "admin"\nrights = ["read"]\n{MOTOR}',
        "{file}: [[access]] number 1 needs a role (observer, operator or admin), or rights in its place.",
    ),
    "access for nobody": (
        f'[[access]]\nrole = "admin"\n{MOTOR}',
        "{file}: [[access]] number 1 is for nobody; name users or groups ('*' among the users is everybody).",
    ),
    "access to what is not there": (
        f'[[access]]\nusers = ["ann"]\nrole = "admin"\nequipment = ["laser*"]\n{MOTOR}',
        "{file}: [[access]] number 1: no equipment of this lab is called 'laser*'.",
    ),
    "trusted beside a source": (
        f'[auth]\nsources = ["trusted", "os"]\n{MOTOR}',
        "{file}: [auth] sources: 'trusted' stands alone, for in a trusted network nobody is asked.",
    ),
    "no source": (
        f"[auth]\nsources = []\n{MOTOR}", "{file}: [auth] sources must name one at least, or 'trusted'.",
    ),
    "a port that is a text": (
        f'[authority]\nport = "high"\n{MOTOR}',
        "{file}: [authority] port must be a whole number from 0 to 65535, not 'high'; 0 takes any free one.",
    ),
    "a port that is too high": (
        f"[authority]\nport = 70000\n{MOTOR}",
        "{file}: [authority] port must be a whole number from 0 to 65535, not 70000; 0 takes any free one.",
    ),
    "history without end": (
        f"[authority]\nhistory_days = -1\n{MOTOR}",
        "{file}: [authority] history_days must be more than 0, not -1.",
    ),
    "a name with a blank": (
        '[equipment."stage x"]\ndriver = "simulated-motor"',
        "{file}: [equipment.stage x]: a name has 1 to 128 letters, digits and . _ : - only.",
    ),
    "no driver": (
        "[equipment.m]", '{file}: [equipment.m] needs a driver, such as driver = "simulated-motor".',
    ),
    "equipment of one word": ('[equipment]\nm = "motor"', "{file}: equipment.m must be a table, not 'motor'."),
    "a label that is a number": (f"{MOTOR}label = 3", "{file}: [equipment.m] label must be a text, not 3."),
    "options that are no table": (
        f"{MOTOR}options = 3", "{file}: [equipment.m] options must be a table, not 3.",
    ),
    "an unknown key of equipment": (
        f"{MOTOR}colour = 1", "{file}: [equipment.m] colour is no key here; allowed are " + KEYS + ".",
    ),
    "a policy that does not exist": (
        f'{MOTOR}observers = "maybe"',
        "{file}: [equipment.m] observers must be one of 'apart', 'alongside', not 'maybe'.",
    ),
    "another one": (
        f'{MOTOR}on_idle = "sleep"',
        "{file}: [equipment.m] on_idle must be one of 'release', 'offer', 'keep', not 'sleep'.",
    ),
    "and another one": (
        f'{MOTOR}on_loss = "park"', "{file}: [equipment.m] on_loss must be one of 'stop', 'finish', not 'park'.",
    ),
    "seconds that are a text": (
        f'{MOTOR}claim_seconds = "5"',
        "{file}: [equipment.m] claim_seconds must be a number, not '5' (a number is written without quotes).",
    ),
    "seconds below zero": (
        f"{MOTOR}stop_seconds = -5", "{file}: [equipment.m] stop_seconds must be more than 0, not -5.",
    ),
    "a turn of no time": (
        f"{MOTOR}max_hold_seconds = 0",
        "{file}: [equipment.m] max_hold_seconds must be more than 0, not 0.",
    ),
    "seconds that never pass": (
        f"{MOTOR}claim_seconds = inf", "{file}: [equipment.m] claim_seconds must be a number, not inf.",
    ),
}  # fmt: skip


def sentence(text: str, tmp_path: Path, **environ: str) -> str:
    """Return what a lab file is refused with."""
    file = tmp_path / "lab.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured) as refused:
        load(host=None, port=None, config=file, data=None, environ=environ)
    said = str(refused.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_lab_file_is_one_sentence_with_file_key_and_what_is_allowed(text: str, said: str, tmp_path: Path) -> None:
    """RUN-5"""
    expected = said.format(file=tmp_path / "lab.toml")
    found = sentence(text, tmp_path)
    whole = said.endswith(".")  # what the TOML reader says is its own, and there are many keys
    assert (found if whole else found[: len(expected)]) == expected


def test_parking_needs_a_driver_that_can(tmp_path: Path) -> None:
    """LOSS-22 RUN-5"""
    assert sentence('[equipment.m]\ndriver = "simulated-power-supply"\npark = true\n', tmp_path) == (
        f"{tmp_path / 'lab.toml'}: [equipment.m] park must be false: its driver has no control command park that needs "
        "no parameter."
    )
    place = f"{tmp_path / 'lab.toml'}: [equipment.m] park needs a place: give its options a park_position."
    assert sentence(f"{MOTOR}park = true\n", tmp_path) == place
    file = tmp_path / "lab.toml"
    file.write_text(f"{MOTOR}park = true\noptions = {{park_position = 1.0}}\n", encoding="utf-8")
    (motor,) = load(host=None, port=None, config=file, data=None, environ={}).equipment
    assert motor.policy.park


@pytest.mark.parametrize(
    "driver", ["no-such-driver", "no.such.module:Class", "authority.drivers.simulated:Nothing", "os:getcwd", ""]
)
def test_a_driver_that_cannot_be_found_is_a_bad_configuration(driver: str, tmp_path: Path) -> None:
    """DRV-1 RUN-5"""
    found = sentence(f'[equipment.m]\ndriver = "{driver}"\n', tmp_path)
    assert found.startswith(f"{tmp_path / 'lab.toml'}: [equipment.m]")
    assert "driver" in found


@pytest.mark.parametrize("options", ["{ colour = 1 }", '{ low = "a" }', "{ low = 5, high = 1 }"])
def test_options_that_a_driver_does_not_take_are_a_bad_configuration(options: str, tmp_path: Path) -> None:
    """DRV-1 RUN-5"""
    found = sentence(f"{MOTOR}options = {options}\n", tmp_path)
    assert found.startswith(f"{tmp_path / 'lab.toml'}: [equipment.m]")


def test_a_lab_file_that_is_not_there_or_is_no_text_is_named(tmp_path: Path) -> None:
    """RUN-5"""
    missing, binary = tmp_path / "missing.toml", tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for file, why in [(missing, "No such file or directory"), (binary, "it is not UTF-8 text"), (tmp_path, "Is a dir")]:
        with pytest.raises(Misconfigured) as refused:
            load(host=None, port=None, config=file, data=None, environ={})
        assert str(refused.value).startswith(f"{file} cannot be read: {why}")


@pytest.mark.parametrize(("text", "shown"), [("high", "'high'"), ("-1", "-1"), ("70000", "70000"), ("1.5", "1.5")])
def test_a_bad_port_in_the_environment_is_named(text: str, shown: str, tmp_path: Path) -> None:
    """RUN-5"""
    found = sentence(MOTOR, tmp_path, MOTORLOCK_PORT=text)
    assert found == f"MOTORLOCK_PORT must be a whole number from 0 to 65535, not {shown}; 0 takes any free one."


def test_a_bad_port_flag_is_named(tmp_path: Path) -> None:
    """RUN-5"""
    with pytest.raises(Misconfigured) as refused:
        load(host=None, port=-1, config=None, data=None, environ={})
    assert str(refused.value) == "--port must be a whole number from 0 to 65535, not -1; 0 takes any free one."


def test_a_token_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    """RUN-5 WHO-5"""
    token = tmp_path / "token"
    text = f'[authority]\ntoken_file = "{token}"\n{MOTOR}'
    named = f"{tmp_path / 'lab.toml'}: [authority] token_file {token}"
    assert sentence(text, tmp_path) == f"{named} cannot be read: No such file or directory."
    token.write_bytes(b"\xff")
    assert sentence(text, tmp_path) == f"{named} cannot be read: it is not UTF-8 text."
    token.write_text("\n", encoding="utf-8")
    assert sentence(text, tmp_path) == f"{named} is empty; put the lab's secret into it."


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "lab.example"])
def test_a_bind_beyond_loopback_without_a_token_is_refused_in_one_sentence(host: str, tmp_path: Path) -> None:
    """WHO-4"""
    found = sentence(f'[authority]\nhost = "{host}"\n{MOTOR}', tmp_path)
    assert found == (
        f"Binding to {host} lets other machines in: set MOTORLOCK_TOKEN (or token_file in {tmp_path / 'lab.toml'}) "
        "to a secret of the lab, or insist with --no-token."
    )


def test_a_bind_beyond_loopback_is_taken_with_a_token_or_when_insisted_on() -> None:
    """WHO-4"""
    token = {"MOTORLOCK_TOKEN": "x"}
    assert load(host="0.0.0.0", port=0, config=None, data=None, environ=token).token == "x"
    assert load(host="0.0.0.0", port=0, config=None, data=None, insist=True, environ={}).token is None


def test_flag_goes_before_environment_and_that_before_the_lab_file(tmp_path: Path) -> None:
    """REST-28"""
    file = tmp_path / "lab.toml"
    file.write_text(f'[authority]\nport = 1\ndata = "{tmp_path / "a"}"\n{MOTOR}', encoding="utf-8")
    environ = {"MOTORLOCK_PORT": "2", "MOTORLOCK_DATA": str(tmp_path / "b")}
    of_file = load(host=None, port=None, config=file, data=None, environ={})
    of_environ = load(host=None, port=None, config=file, data=None, environ=environ)
    of_flag = load(host=None, port=3, config=file, data=tmp_path / "c", environ=environ)
    assert [(s.port, s.data.name) for s in (of_file, of_environ, of_flag)] == [(1, "a"), (2, "b"), (3, "c")]


def test_the_data_is_kept_below_the_users_state_directory_when_nobody_says_where(tmp_path: Path) -> None:
    """RUN-4"""
    found = load(host=None, port=0, config=None, data=None, environ={"XDG_STATE_HOME": str(tmp_path)})
    assert found.data == tmp_path / "motorlock"


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["--config", "{place}/lab.toml"], {}, "motorlock: {place}/lab.toml cannot be read: No such file or dir"),
        (["--host", "0.0.0.0"], {}, "motorlock: Binding to 0.0.0.0 lets other machines in: "),
        (["--port", "70000"], {}, "motorlock: --port must be a whole number from 0 to 65535, "),
        (["--host", "192.0.2.1"], {"MOTORLOCK_TOKEN": "x"}, "motorlock: Cannot listen on 192.0.2.1 port 0: "),
        (["--host", "no.such.host.invalid"], {"MOTORLOCK_TOKEN": "x"},
         "motorlock: Cannot listen on no.such.host.invalid port 0: "),
        (["--data", "/proc/nowhere"], {}, "motorlock: /proc/nowhere cannot be used: No such file or directory."),
    ],
)  # fmt: skip
def test_an_authority_that_cannot_start_says_why_in_one_line_and_exits_with_2(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], said: str
) -> None:
    """RUN-5 WHO-4"""
    given = ["--port", "0", "--data", str(tmp_path / "data"), *(a.format(place=tmp_path) for a in arguments)]
    command = [sys.executable, "-m", "authority", "serve", *given]
    env = {**os.environ, **environ}
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, env=env)
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith(said.format(place=tmp_path)), found.stderr
    assert found.stderr.count("\n") == 1


def test_data_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """STORE-9 RUN-5"""
    kept = tmp_path / "motorlock.sqlite3"
    kept.write_text("something else entirely, but long enough to be looked at by anybody\n" * 10, encoding="utf-8")
    before = kept.read_bytes()
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert found.returncode == 2
    assert found.stderr.startswith(f"motorlock: The data in {tmp_path} cannot be used: ")
    assert kept.read_bytes() == before


def test_the_ready_line_names_the_port_that_was_free(tmp_path: Path) -> None:
    """WHO-3: RUN-1 RUN-2 RUN-3"""
    with running(tmp_path) as authority:
        assert authority.url.startswith("http://127.0.0.1:")
        assert ok(authority.send("GET", "/health"))["equipment"] == 4
        assert authority.equipment() == ["stage_x", "stage_y", "ps_abc123", "scope_123"]

"""`motorlock check`, as the lab engineer runs it before anything is opened."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from rest_lab import PATIENCE_S, ROOT

LAB = """
[authority]
port = 8791

[equipment.stage_x]
driver = "simulated-motor"
label = "Sample stage, x"
observers = "alongside"
on_loss = "finish"

[equipment.stage_x.options]
low = -2.0
high = 20.0

[equipment.cable]
driver = "drivers:Flaky"

[equipment.cable.options]
place = "{place}"
address = "COM1"
"""
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]), "MOTORLOCK_TOKEN": ""}


def check(place: Path, text: str, *arguments: str, command: str = "check") -> subprocess.CompletedProcess[str]:
    """Run the command on a lab file, as a process of its own."""
    lab = place / "lab.toml"
    lab.write_text(text.format(place=place), encoding="utf-8")
    named = [str(lab)] if command == "check" else ["--config", str(lab), "--data", str(place / "data")]
    ran = [sys.executable, "-m", "authority", command, *named, *arguments]
    return subprocess.run(ran, capture_output=True, text=True, timeout=PATIENCE_S, cwd=place, env=ENV)


def test_a_lab_file_without_mistakes_is_described(tmp_path: Path) -> None:
    """RUN-14"""
    found = check(tmp_path, LAB)
    assert (found.returncode, found.stderr) == (0, "")
    first, *lines = found.stdout.splitlines()
    assert first == f"{tmp_path / 'lab.toml'}: no mistake, 2 pieces of equipment"
    assert "serves 127.0.0.1 port 8791, asks for no token" in lines
    stage, cable = found.stdout.split("\n\n")[1:]
    assert stage.splitlines() == [
        "stage_x (Sample stage, x)",
        "  driver    simulated-motor, kind motor",
        "  control   move_to(position: a number in mm within the limits -2 to 20 mm) -> number in mm",
        "  control   move_by(distance: a number in mm within the limits -2 to 20 mm) -> number in mm",
        "  control   home() -> number in mm",
        "  control   park() -> number in mm",
        "  control   set_velocity(velocity: a number in mm/s, at least 0) -> number in mm/s",
        "  observe   position() -> number in mm",
        "  observe   status() -> object",
        "  policy    observers = 'alongside'",
        "  policy    on_loss = 'finish'",
        "  warning   a move goes on, for up to 60 s, after the kernel that ordered it has died",
    ]
    assert "  driver    drivers:Flaky, kind motor, device COM1" in cable
    assert "  warning   nothing bounds position of move_to, as far as is known before cable is reached: " in cable


def test_limits_are_told_in_the_words_of_the_driver(tmp_path: Path) -> None:
    """RUN-14"""
    found = check(
        tmp_path,
        """
[equipment.z]
driver = "visa"
[equipment.z.options]
resource = "TCPIP::127.0.0.1::1::SOCKET"
units = "mm"
high = 100.0
max_velocity = 50.0
stop = "STOP"
[equipment.z.options.readings]
moving = {{ query = "MOV?", type = "boolean" }}
[equipment.z.options.control.go]
send = "GO {{to}} {{speed}}"
target = "to"
velocity = "speed"
parameters = {{ to = {{ type = "number" }}, speed = {{ type = "number" }} }}
""",
    )
    assert (
        "  control   go(to: a number in mm within the limit, at most 100 mm, "
        "speed: a number in mm/s within the limit 50 mm/s)"
    ) in found.stdout.splitlines()


def test_what_a_table_allows_and_may_regret_is_a_warning(tmp_path: Path) -> None:
    """RUN-30"""
    found = check(
        tmp_path,
        """
[equipment.z]
driver = "visa"
[equipment.z.options]
resource = "TCPIP::127.0.0.1::1::SOCKET"
stop = "STOP"
[equipment.z.options.readings]
position = {{ query = "POS?", type = "number" }}
moving = {{ query = "MOV?", type = "boolean" }}
[equipment.z.options.control.go]
send = "GO {{to}}"
target = "to"
until = "rest"
parameters = {{ to = {{ type = "number", low = 0, high = 1 }} }}
""",
    )
    assert (found.returncode, found.stderr) == (0, "")
    warnings = [line for line in found.stdout.splitlines() if line.startswith("  warning ")]
    assert warnings == ["  warning   a move is done wherever it comes to rest (go): give a tolerance"]


@pytest.mark.parametrize("command", ["check", "serve"])
def test_every_mistake_is_a_line_and_nothing_was_opened(tmp_path: Path, command: str) -> None:
    """RUN-5, RUN-14, RUN-15, RUN-16"""
    text = LAB.replace("port = 8791", "prot = 8791").replace("low = -2.0", "low = true").replace("alongside", "aside")
    twin = '[equipment.twin]\ndriver = "drivers:Flaky"\noptions = {{ place = "{place}", address = "COM1" }}\n'
    found = check(tmp_path, text + twin, command=command)
    assert (found.returncode, found.stdout) == (2, "")
    lab = f"motorlock: {tmp_path / 'lab.toml'}: "
    port, observers, low, shared = found.stderr.splitlines()
    assert port.startswith(f"{lab}[authority] prot is no key here, perhaps port is meant; allowed are host, port, ")
    assert observers == f"{lab}[equipment.stage_x] observers must be one of 'apart', 'alongside', not 'aside'."
    assert low.startswith(f"{lab}[equipment.stage_x]: Driver 'simulated-motor': low must be a number, not true.")
    assert shared == (
        f"{lab}[equipment.twin] has the device COM1, which is that of [equipment.cable]; "
        "one device is one piece of equipment."
    )
    assert not (tmp_path / "data").exists()


def test_a_slip_in_the_syntax_is_told_with_its_line_and_column(tmp_path: Path) -> None:
    """RUN-14"""
    found = check(tmp_path, '[equipment.m]\ndriver = "simulated-motor"\nlabel = = 3\n')
    assert found.returncode == 2
    assert (
        found.stderr == f"motorlock: {tmp_path / 'lab.toml'} is not valid TOML: Invalid value (at line 3, column 9).\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="only there files have such rights")
def test_a_token_that_others_can_read_is_a_warning_and_no_mistake(tmp_path: Path) -> None:
    """RUN-14"""
    token = tmp_path / "token"
    token.write_text("of the lab", encoding="utf-8")
    text = '[authority]\ntoken_file = "{place}/token"\n[equipment.m]\ndriver = "simulated-motor"\n'
    token.chmod(0o644)
    warned = check(tmp_path, text)
    assert (warned.returncode, f"warning: {token} can be read by others: chmod 600 {token}" in warned.stdout) == (
        0,
        True,
    )
    token.chmod(stat.S_IRUSR | stat.S_IWUSR)
    quiet = check(tmp_path, text)
    assert (quiet.returncode, "can be read by others" in quiet.stdout) == (0, False)
    assert "of the lab" not in warned.stdout + quiet.stdout


def test_a_lab_that_lets_everybody_in_is_told_so(tmp_path: Path) -> None:
    """RUN-14, WHO-4"""
    text = '[authority]\nhost = "0.0.0.0"\n[equipment.m]\ndriver = "simulated-motor"\nenforce_locks = false\n'
    assert check(tmp_path, text).returncode == 2
    found = check(tmp_path, text, "--no-token")
    assert found.returncode == 0
    assert "warning: whoever reaches this machine may drive everything: there is no token" in found.stdout
    assert "  warning   locks are switched off: everybody may drive it, and nothing arbitrates" in found.stdout

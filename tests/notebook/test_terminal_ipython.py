"""IPython in a terminal, which cannot change what it has shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from real_lab import PATIENCE_S, Authority


def test_a_terminal_gets_the_text_of_a_cell_once_and_no_bar(authority: Authority, tmp_path: Path) -> None:
    """NB-57"""
    script = tmp_path / "cell.ipy"
    script.write_text(
        "%load_ext jupyter_motorlock\n"
        "stage = %motor_login stage_x --no-panel\n"
        "get_ipython().run_cell_magic('motor', '', 'move_to 5\\nmove_to 2')\n"
        "get_ipython().run_cell_magic('motor', ';', 'position')\n"
    )
    env = {**os.environ, "MOTORLOCK_URL": authority.url, "IPYTHONDIR": str(tmp_path), "TERM": "dumb"}
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", str(script)]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert ran.stdout == "stage_x is yours.\nmove_to 5  →  5 mm\nmove_to 2  →  2 mm\n"
    assert ran.stderr == ""

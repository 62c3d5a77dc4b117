"""Say which locked versions their authors have withdrawn: `python .ci/yanked_pins.py constraints.txt`.

A pinned version is installed even when it was yanked, and pip only warns. The package index is all that is asked.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

WARNING = re.compile(
    r"yanked version: '(?P<name>[^']+)' candidate \(version (?P<version>\S+) .*\n"
    r"(?:Reason for being yanked: (?P<reason>.*))?"
)
LOOK = ["install", "--dry-run", "--no-deps", "--ignore-installed", "--disable-pip-version-check", "--requirement"]


def yanked_pins(constraints: Path) -> list[str]:
    """Return a sentence for each yanked version; raises `SystemExit` where pip cannot find a version at all."""
    command = [sys.executable, "-m", "pip", *LOOK, str(constraints)]
    looked = subprocess.run(command, capture_output=True, text=True, check=False)
    if looked.returncode != 0:
        raise SystemExit(looked.stderr)
    return [
        f"{found['name']}=={found['version']} was yanked ({found['reason'] or 'no reason given'}); lock another."
        for found in WARNING.finditer(looked.stderr)
    ]


if __name__ == "__main__":
    sentences = yanked_pins(Path(sys.argv[1]))
    sys.stderr.writelines(f"{sentence}\n" for sentence in sentences)
    sys.exit(1 if sentences else 0)

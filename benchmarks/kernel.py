"""What a notebook feels: the import, and one command from a handle, beside `requests`."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

import requests

import jupyter_motorlock


def kernel_side(url: str, rounds: int) -> None:
    """Print the import's cost and a command's, beside their floors."""
    _imports(rounds)
    _commands(url, rounds)


def _imports(rounds: int) -> None:
    mine = [_import_ms("jupyter_motorlock, jupyter_motorlock.client.session") for _ in range(rounds)]
    floor = [_import_ms("requests") for _ in range(rounds)]
    extension = [_import_ms("IPython.core.magic", "jupyter_motorlock.notebook.extension") for _ in range(rounds)]
    what = "import of the kernel side, ms (floor: import requests)"
    ratio = median(mine) / median(floor)
    print(f"{what:<58} {median(mine):>9.1f} {median(floor):>9.1f} {'ms':<6} {ratio:>6.2f}")
    what = "%load_ext in a kernel that has IPython (floor: import requests)"
    print(f"{what:<58} {median(extension):>9.1f} {median(floor):>9.1f} ms     target < 150 ms where requests takes 78")


def _import_ms(*modules: str) -> float:
    first = "".join(f"import {m}\n" for m in modules[:-1])
    code = f"import time\n{first}t = time.perf_counter()\nimport {modules[-1]}\nprint(time.perf_counter() - t)"
    return 1e3 * float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def _commands(url: str, rounds: int) -> None:
    plain = requests.Session()
    plain.trust_env = False
    body = {"command_id": "c", "equipment_id": "m5", "action": "nudge", "parameters": {}, "session_id": "x" * 36}
    ratios, mine, floors = [], [], []
    with jupyter_motorlock.connect(url).lock("m70") as motor:
        for _ in range(rounds):
            took, floor = [], []
            for _ in range(200):
                began = time.perf_counter()
                motor.position()
                took.append(time.perf_counter() - began)
                began = time.perf_counter()
                plain.post(url + "/echo", json=body, timeout=5).json()
                floor.append(time.perf_counter() - began)
            mine.append(1e6 * median(took))
            floors.append(1e6 * median(floor))
            ratios.append(mine[-1] / floors[-1])
    what = "a command from a handle, as the user feels it, p50"
    spread = f"({min(ratios):.2f}-{max(ratios):.2f})"
    print(f"{what:<58} {median(mine):>9.1f} {median(floors):>9.1f} us     {median(ratios):>6.2f} {spread}  <= 1.3")

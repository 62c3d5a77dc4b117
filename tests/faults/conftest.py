"""The trials borrow the clock, drivers and lab of the service's tests, and the processes of others'."""

from __future__ import annotations

import sys
from pathlib import Path

for neighbour in ("service", "notebook", "drivers"):
    sys.path.append(str(Path(__file__).parents[1] / neighbour))

"""The trials of the service borrow its tests' clock, drivers and lab."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "service"))

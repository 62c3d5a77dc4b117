"""The demonstration: a lab of its own for an hour, with Ann's and Bob's notebooks."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from .children import ChildFailed, Children
from .lab import LabUnavailable, refuse_missing, start_lab
from .play import Unexpected, play
from .workbench import workbench

__all__ = ["run"]


def run(headless: bool, epics: bool, open_browser: bool) -> int:
    """Show two people sharing a motor, until Ctrl-C or the end of the play; returns the exit status.

    `headless` runs the notebooks against each other in two kernels and answers 0 only if all went as it should;
    else JupyterLab is started with them. `epics` takes motor records of an EPICS server for the stages.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="motorlock-demo-", ignore_cleanup_errors=True) as place:
        try:
            refuse_missing(headless=headless, epics=epics)
            with Children(Path(place)) as children:
                url = start_lab(children, Path(place), epics=epics)
                if headless:
                    play(url, Path(place))
                else:
                    workbench(children, Path(place), url, open_browser=open_browser)
        except LabUnavailable as missing:
            print(f"motorlock: {missing}", file=sys.stderr)
            return 2
        except (ChildFailed, Unexpected) as wrong:
            print(f"motorlock: {wrong}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nThe demonstration is over; nothing of it is left.")
            return 130 if headless else 0
    return 0

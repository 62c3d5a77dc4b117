"""The environment of the tests: the same on every machine, at every hour, whoever starts them and how.

pytest and everything that it starts see a few variables of the machine's and none of the user's, a home of their own,
one locale, a morning, signals that end processes as usual, and a standard input. What they start ends with them, too:
see `reaper`.
"""

from __future__ import annotations

import locale
import os
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import reaper

# What a machine has to say of itself; everything else that a user may have set is left out.
KEPT = ["PATH", "TMPDIR", "TEMP", "TMP", "USER", "LOGNAME", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH", "PY_COLORS"]
KEPT += ["LD_PRELOAD", "MOTORLOCK_SCREENSHOTS"]
KEPT_PREFIXES = ("CONDA_", "COV_", "FAKETIME", "HYPOTHESIS_", "LD_LIBRARY_", "PIP_", "PLAYWRIGHT_", "PYTEST_")
LOCALE = "C.UTF-8"
MORNING_HOUR = 9
REAPER = pytest.StashKey[reaper.Reaper]()
# A shell ignores these for `nohup` and for what it starts in the background, and every descendant inherits that.
OFTEN_IGNORED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGCHLD")


def pytest_configure(config: pytest.Config) -> None:
    """Give this process, and with it all that it starts, the environment of the tests."""
    home = None
    if reaper.MARK not in os.environ:  # a worker of pytest-xdist inherits what its pytest has made
        home = tempfile.mkdtemp(prefix="motorlock-tests-home-")
        own = own_variables(os.environ, home, datetime.now(UTC))
        os.environ.clear()
        os.environ.update(own)
    time.tzset()
    locale.setlocale(locale.LC_ALL, LOCALE)
    os.umask(0o022)
    take_signals_as_usual()
    open_standard_input()
    config.stash[REAPER] = reaper.Reaper(home)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the tests have left."""
    config.stash[REAPER].finish()


def own_variables(inherited: Mapping[str, str], home: str, now: datetime) -> dict[str, str]:
    """Return the variables that the tests have in a process that has `inherited` these."""
    kept = {name: value for name, value in inherited.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
    # Most tests have several people in one process: they call themselves as they like, as in a trusted network.
    own = {"HOME": home, "LC_ALL": LOCALE, "TZ": zone_where_it_is_morning(now), "MOTORLOCK_AUTH": "trusted"}
    return {**variables_of_pip(inherited), **kept, **own}


def variables_of_pip(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what pip, and only pip, goes on to know of the machine: its cache, its index, and the way to it."""
    inherited_home = Path(inherited.get("HOME", "/"))
    config = inherited_home / ".config" / "pip" / "pip.conf"
    certificates = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    proxies = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    found = {
        "PIP_CACHE_DIR": str(inherited_home / ".cache" / "pip"),
        "PIP_CONFIG_FILE": str(config) if config.exists() else "",
        "PIP_CERT": next((inherited[name] for name in certificates if inherited.get(name)), ""),
        "PIP_PROXY": next((inherited[name] for name in proxies if inherited.get(name)), ""),
    }
    return {name: value for name, value in found.items() if value}


def zone_where_it_is_morning(now: datetime) -> str:
    """Return a time zone, as TZ names it, where `now` is in the hour `MORNING_HOUR`.

    Times up to some hours ahead lie on the same day there, so they are shown without a date.
    """
    hours_west = (now.astimezone(UTC).hour - MORNING_HOUR + 12) % 24 - 12
    return f"<LAB>{hours_west}"


def take_signals_as_usual() -> None:
    """Let children get the usual reaction to the signals that this process was started to ignore, and block none.

    This process goes on ignoring what it ignored, but by a handler, which children do not inherit.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for name in OFTEN_IGNORED:
        number = getattr(signal, name)
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def open_standard_input() -> None:
    """Have an empty standard input where there is none: the next file that is opened would become it."""
    try:
        os.fstat(0)
    except OSError:
        os.open(os.devnull, os.O_RDONLY)  # the lowest free number
        os.set_inheritable(0, True)

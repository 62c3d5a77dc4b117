"""A demonstration lab for programs written for LabLink."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

READY = "motorlock authority listening on "


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an authority that serves the demonstration lab, as the page's programs name it."""
    place = tmp_path_factory.mktemp("lablink")
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().removeprefix(READY) + "/api"
        process.terminate()
        assert process.wait(30) == 0

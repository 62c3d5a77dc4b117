"""What a method of a wrapped object takes: its own signature, whatever `functools.wraps` says of it."""

from __future__ import annotations

import functools

import pytest
from qcodes.parameters import Parameter

from authority.drivers.object_paths import NoSuch, refuse_unfit, refuse_unmakeable


def handing_on(method):
    @functools.wraps(method)
    def inner(self, *args, **kwargs):
        return method(self, *args, **kwargs)

    return inner


def renaming(method):
    @functools.wraps(method)
    def inner(self, level):
        return method(self, level)

    return inner


class Source:
    """A source whose channel is a QCoDeS parameter, beside methods that wrap others."""

    def __init__(self) -> None:
        self.ch1 = Parameter("ch1", set_cmd=self.apply, get_cmd=lambda: 1.0)

    def apply(self, volts: float) -> None:
        """Apply a voltage."""

    handed_on = handing_on(apply)
    renamed = renaming(apply)


@pytest.mark.parametrize(
    ("path", "taken", "refused"),
    [("ch1.set", "value", "volts"), ("handed_on", "volts", "level"), ("renamed", "level", "volts")],
)
def test_a_method_that_wraps_another_is_called_with_its_own_parameters(path, taken, refused):
    """DRV-45, RUN-31"""
    source = Source()
    refuse_unfit(source, path, [taken])
    with pytest.raises(NoSuch, match=rf"cannot be called with \({refused}\)"):
        refuse_unfit(source, path, [refused])
    if path != "ch1.set":
        getattr(source, path)(**{taken: 1.0})


def test_a_function_that_wraps_another_makes_the_object_with_its_own_parameters():
    """DRV-45"""

    def make(port: str) -> Source:
        return Source()

    @functools.wraps(make)
    def made(address: str) -> Source:
        return make(address)

    refuse_unmakeable(made, [], {"address": "COM1"})
    with pytest.raises(NoSuch, match="cannot be made with args and arguments as given"):
        refuse_unmakeable(made, [], {"port": "COM1"})

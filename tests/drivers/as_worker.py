"""A driver called as a worker calls it, also where a test calls it directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from authority.drivers.declare import Declared, declared_by
from authority.drivers.table_driver import TableDriver
from authority.ports import NEVER_STOPPED, StopSource, StopToken, stop_token_of_command

DriverT = TypeVar("DriverT")


def as_worker(driver: DriverT) -> DriverT:
    """Let each command of `driver` have a stop token, unless the test gives one, and its `stop` end it."""
    source = StopSource()
    give_order = driver.stop

    def stop() -> None:
        with source.stopping():
            give_order()

    def with_token(run: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **parameters: object) -> object:
            context = copy_context()
            if stop_token_of_command.get() is NEVER_STOPPED:
                context.run(stop_token_of_command.set, source.token())
            return context.run(run, *arguments, **parameters)

        return call

    driver.stop = stop
    declared = declared_by(driver)
    if isinstance(driver, TableDriver):
        driver.declared = {name: Declared(one.command, with_token(one.run)) for name, one in declared.items()}
    else:
        for name, one in declared.items():
            setattr(driver, name, with_token(one.run))
    return driver


@contextmanager
def command_under(token: StopToken) -> Iterator[None]:
    """Let a command that is called within have `token`."""
    before = stop_token_of_command.set(token)
    try:
        yield
    finally:
        stop_token_of_command.reset(before)

"""What a call returned that is not over yet: an ophyd status, or a future of `concurrent.futures`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeGuard


class Pending(NamedTuple):
    """Something that will be done, or have failed: `call_when_over` calls back once it is over, from any thread."""

    done: Callable[[], bool]
    call_when_over: Callable[[Callable[[object], None]], None]
    error: Callable[[], BaseException | None]


class _Status(Protocol):
    done: bool

    def add_callback(self, callback: Callable[[object], None]) -> None: ...

    def exception(self) -> BaseException | None: ...


class _Future(Protocol):
    def done(self) -> bool: ...

    def add_done_callback(self, callback: Callable[[object], None]) -> None: ...

    def exception(self) -> BaseException | None: ...


def pending_of(result: object) -> Pending | None:
    """Return `result` as something to wait for, None where it is an answer."""
    if _is_status(result):
        return Pending(lambda: result.done, result.add_callback, result.exception)
    if _is_future(result):
        return Pending(result.done, result.add_done_callback, result.exception)
    return None


def _is_status(result: object) -> TypeGuard[_Status]:
    return _has(result, "add_callback", "exception") and isinstance(getattr(result, "done", None), bool)


def _is_future(result: object) -> TypeGuard[_Future]:
    return _has(result, "add_done_callback", "exception") and callable(getattr(result, "done", None))


def _has(result: object, *methods: str) -> bool:
    return all(callable(getattr(result, name, None)) for name in methods)

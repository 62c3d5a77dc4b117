"""What a call returned that is not over yet: an ophyd status, or a future of `concurrent.futures`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeGuard

__all__ = ["Pending", "pending_of"]


class Pending(Protocol):
    """Something that will be done, or have failed."""

    def done(self) -> bool:
        """Whether it is over."""

    def tell(self, wake: Callable[[], None]) -> None:
        """Call `wake` once it is over, from any thread."""

    def error(self) -> BaseException | None:
        """Return why it has failed, None where it has not."""


class _Status(Protocol):
    done: bool

    def add_callback(self, callback: Callable[[object], None]) -> None: ...

    def exception(self) -> BaseException | None: ...


class _Future(Protocol):
    def done(self) -> bool: ...

    def add_done_callback(self, callback: Callable[[object], None]) -> None: ...

    def exception(self) -> BaseException | None: ...


class _OfStatus:
    def __init__(self, status: _Status) -> None:
        self._status = status

    def done(self) -> bool:
        return self._status.done

    def tell(self, wake: Callable[[], None]) -> None:
        self._status.add_callback(lambda _: wake())

    def error(self) -> BaseException | None:
        return self._status.exception()


class _OfFuture:
    def __init__(self, future: _Future) -> None:
        self._future = future

    def done(self) -> bool:
        return self._future.done()

    def tell(self, wake: Callable[[], None]) -> None:
        self._future.add_done_callback(lambda _: wake())

    def error(self) -> BaseException | None:
        return self._future.exception()


def pending_of(result: object) -> Pending | None:
    """Return `result` as something to wait for, None where it is an answer."""
    if _is_status(result):
        return _OfStatus(result)
    if _is_future(result):
        return _OfFuture(result)
    return None


def _is_status(result: object) -> TypeGuard[_Status]:
    return _has(result, "add_callback", "exception") and isinstance(getattr(result, "done", None), bool)


def _is_future(result: object) -> TypeGuard[_Future]:
    return _has(result, "add_done_callback", "exception") and callable(getattr(result, "done", None))


def _has(result: object, *methods: str) -> bool:
    return all(callable(getattr(result, name, None)) for name in methods)

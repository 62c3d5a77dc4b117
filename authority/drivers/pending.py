"""What a call returned that is not over yet: an ophyd status, or a future of `concurrent.futures`."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple


class Pending(NamedTuple):
    """Something that will be done, or have failed: `call_when_over` calls back once it is over, from any thread."""

    done: Callable[[], bool]
    call_when_over: Callable[[Callable[[object], None]], None]
    error: Callable[[], BaseException | None]


def pending_of(result: object) -> Pending | None:
    """Return `result` as something to wait for, None where it is an answer."""
    if _has_methods(result, "add_callback", "exception") and isinstance(getattr(result, "done", None), bool):
        call_when_over, error = attrgetter("add_callback", "exception")(result)
        return Pending(lambda: bool(attrgetter("done")(result)), call_when_over, error)
    if _has_methods(result, "add_done_callback", "exception", "done"):
        return Pending(*attrgetter("done", "add_done_callback", "exception")(result))
    return None


def _has_methods(result: object, *names: str) -> bool:
    return all(callable(getattr(result, name, None)) for name in names)

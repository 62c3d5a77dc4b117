"""`motorlock wrap`: a lab file's draft for a Python class that somebody has, from looking at it.

Nothing is made of the class and no equipment is touched; importing its module runs what the module runs.
"""

from __future__ import annotations

from authority.drivers.object_paths import NoSuch, imported
from authority.wrap.draft import draft_of

__all__ = ["CannotWrap", "wrap"]


class CannotWrap(Exception):
    """There is no such class to look at; the text is a clause for a person."""


def wrap(place: str) -> str:
    """Return the draft for `package.module:Class`, in TOML; raises `CannotWrap`."""
    try:
        found = imported(place)
    except NoSuch as wrong:
        raise CannotWrap(str(wrong)) from wrong
    if not isinstance(found, type):
        raise CannotWrap(f"{place} is a {type(found).__name__}, no class: name the class of what it makes")
    return draft_of(place, found)

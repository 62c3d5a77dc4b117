"""What people write, and the names that they give themselves: printable, and none of the authority's own."""

from __future__ import annotations

import unicodedata

# What events and sentences call the authority itself, and people without a name.
_RESERVED = frozenset({"the authority", "authority", "somebody", "nobody", "you"})
_RESERVED_BEGINNINGS = ("somebody at ", "a program at ")
USER_LIMIT = 128


def printable(text: str) -> str:
    """Replace what a screen obeys instead of showing it, or does not show at all, by a space.

    So no text moves a terminal's cursor, turns a line's direction round, or makes a name look like another one.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " for one in text).strip()


def claimed_user(*names: object) -> str | None:
    """Return the first name that somebody may give themselves; None where none is.

    What Unicode counts as another way to write the same (wide letters, ligatures) is written in the plain one.
    """
    for name in names:
        if not isinstance(name, str):
            continue
        user = " ".join(unicodedata.normalize("NFKC", printable(name)).split())[:USER_LIMIT].strip()
        plain = user.casefold()
        if plain and plain not in _RESERVED and not plain.startswith(_RESERVED_BEGINNINGS):
            return user
    return None

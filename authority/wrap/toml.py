"""Values, keys and comments as TOML has them; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

__all__ = ["comment", "key_of", "short", "toml"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 118
_SHORT = 60


def toml(value: object) -> str:
    """Return a text, number, boolean or list as TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's, but for the one control character that JSON lets through.
            return json.dumps(_sound(value), ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(toml(one) for one in value)}]"
        case _:
            return repr(value)


def key_of(name: str) -> str:
    """Return a key, quoted where it must be."""
    if _BARE.fullmatch(name):
        return name
    return toml(name)


def comment(text: str) -> Iterator[str]:
    """Yield a comment in lines that are not too long."""
    line = "#"
    for word in _sound(text).split():
        if len(line) + len(word) > _WIDTH and line != "#":
            yield line
            line = "#"
        line += f" {word}"
    yield line


def short(value: object) -> str:
    """Return the `repr` of a value for a comment: in one line, not long, the same each time."""
    text = re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(value).split()))
    if len(text) <= _SHORT:
        return text
    return text[: _SHORT - 3] + "..."


def _sound(text: str) -> str:
    """Return a text without what no TOML file can hold: lone surrogates and, in comments, control characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(one if one in "\n\t" or one.isprintable() or one == " " else " " for one in whole)

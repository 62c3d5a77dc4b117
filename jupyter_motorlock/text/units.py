"""Numbers that know their unit, brought into the unit that a parameter is declared in, and lengths of time. Pure.

Takes our own `Value`, the quantities of pint, astropy and their like (by what they can do: none of them is needed),
and typed text such as `3 mm`. What cannot be converted is refused with both units named: 12.5 mm is never 12.5 um.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from typing import SupportsFloat

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_PLAIN = re.compile(rf"\s*({_NUMBER})\s*")
_WITH_UNIT = re.compile(rf"\s*({_NUMBER})\s*([^\s\d.+-]\S*)\s*")

A_TIME = "a time such as 30s or 2min"
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d)")
_PREFIXES: Mapping[str, Fraction] = {
    "": Fraction(1), "G": Fraction(10**9), "M": Fraction(10**6), "k": Fraction(10**3), "d": Fraction(1, 10),
    "c": Fraction(1, 100), "m": Fraction(1, 10**3), "u": Fraction(1, 10**6), "µ": Fraction(1, 10**6),
    "μ": Fraction(1, 10**6), "n": Fraction(1, 10**9), "p": Fraction(1, 10**12), "f": Fraction(1, 10**15),
}  # fmt: skip
_WITH_PREFIX = ("m", "s", "rad", "V", "A", "W", "Hz", "N", "J", "eV", "Pa", "T", "K", "g", "bar", "Ohm")
_DEGREE = Fraction(math.pi) / 180
_OTHERS: Mapping[str, tuple[str, Fraction]] = {
    **dict.fromkeys(("in", "inch"), ("m", Fraction(254, 10**4))),
    **dict.fromkeys(("micron", "microns"), ("m", Fraction(1, 10**6))),
    **dict.fromkeys(("Å", "angstrom", "Angstrom"), ("m", Fraction(1, 10**10))),
    **dict.fromkeys(("deg", "°", "degree", "degrees"), ("rad", _DEGREE)),
    **dict.fromkeys(("arcmin",), ("rad", _DEGREE / 60)),
    **dict.fromkeys(("arcsec",), ("rad", _DEGREE / 3600)),
    **dict.fromkeys(("sec", "second", "seconds"), ("s", Fraction(1))),
    **dict.fromkeys(("min", "minute", "minutes"), ("s", Fraction(60))),
    **dict.fromkeys(("h", "hour", "hours"), ("s", Fraction(3600))),
    **dict.fromkeys(("radian", "radians"), ("rad", Fraction(1))),
    **dict.fromkeys(("volt", "volts"), ("V", Fraction(1))),
}


class WrongUnit(ValueError):
    """A number in a unit that cannot be turned into the one that is wanted; the text is a clause for a person."""


def number_in(given: object, units: str | None) -> float:
    """Return `given` as a finite number in `units`, None where the parameter has no unit.

    Raises `WrongUnit` where its own unit is another kind of thing, and `ValueError` or `TypeError` where it is no
    number: truth values and complex numbers, also numpy's, are none.
    """
    if isinstance(given, str):
        number = _typed(given, units)
    elif (own := _unit_of(given)) is not None and units:
        number = _converted(given, own, units)
    else:
        number = _plain(given)
    if not math.isfinite(number):
        raise ValueError
    return number


def is_number_with_unit(number: str, unit: str, units: str | None) -> bool:
    """Whether two typed words are one number with its unit, such as `3 mm`, for a parameter in `units`."""
    return bool(_PLAIN.fullmatch(number)) and (unit == units or _known(unit) is not None)


def _typed(text: str, units: str | None) -> float:
    if plain := _PLAIN.fullmatch(text):
        return float(plain[1])
    typed = _WITH_UNIT.fullmatch(text)
    if typed is None:
        raise ValueError
    if not units:
        if _known(typed[2]):
            raise WrongUnit(f"it has no unit, and {typed[2]} is one")
        raise ValueError
    return float(typed[1]) * _factor(typed[2], units)


def _plain(given: object) -> float:
    """Return what is a real number, of Python's kinds and of numpy's, as a float."""
    if isinstance(given, bool | complex) or not isinstance(given, SupportsFloat):
        raise TypeError
    dtype = getattr(given, "dtype", None)  # what numpy and its like know of their numbers
    if dtype is not None and getattr(dtype, "kind", None) not in ("i", "u", "f"):
        kind = str(dtype)
        if hasattr(dtype, "kind") or "bool" in kind or "complex" in kind:
            raise TypeError
    return float(given)


def _unit_of(given: object) -> str | None:
    """Return the unit that a quantity says it is in, None where it is a plain number."""
    for name in ("units", "unit"):  # pint and ours say `units`, astropy says `unit`
        unit = getattr(given, name, None)
        if unit is not None and not callable(unit):
            return str(unit)
    attributes = getattr(given, "attrs", None)  # xarray keeps it among the attributes
    unit = None
    if isinstance(attributes, Mapping):
        unit = attributes.get("units")
    if unit is None:
        return None
    return str(unit)


def _converted(given: object, own: str, units: str) -> float:
    convert = getattr(given, "to", None)
    if callable(convert) and own != units:
        with suppress(Exception):  # somebody else's library: what it cannot do, ours perhaps can
            there = convert(units)
            return _plain(getattr(there, "magnitude", getattr(there, "value", there)))
    number = _plain(getattr(given, "magnitude", getattr(given, "value", given)))
    return number * _factor(own, units)


def _factor(own: str, units: str) -> float:
    """Return by what a number in `own` is multiplied to be one in `units`."""
    if own == units:
        return 1.0
    here = _known(own)
    there = _known(units)
    if here is None or there is None or here[0] != there[0]:
        raise WrongUnit(f"{own} cannot be turned into {units}")
    return float(here[1] / there[1])


def _known(unit: str) -> tuple[str, Fraction] | None:
    """Return what kind of thing a unit measures, as its base unit, and how many of those it is."""
    above, slash, below = unit.partition("/")
    if slash:
        counted = _known(above.strip())
        per = _known(below.strip())
        if counted is None or per is None:
            return None
        return (f"{counted[0]}/{per[0]}", counted[1] / per[1])
    if unit in _OTHERS:
        return _OTHERS[unit]
    for base in _WITH_PREFIX:
        if unit.endswith(base) and unit.removesuffix(base) in _PREFIXES:
            return base, _PREFIXES[unit.removesuffix(base)]
    return None


def read_span(text: str) -> float | None:
    """Return a length of time such as `3h`, `1h30min` or `45s` in seconds; None for what is none."""
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum((float(number) * _SECONDS[unit] for number, unit in parts), 0.0)


def read_seconds(text: str) -> float:
    """Return a length of time in seconds, where a number alone is seconds; raises `ValueError` for what is none."""
    span = read_span(text if text[-1:].isalpha() else f"{text}s")
    if span is None:
        raise ValueError
    if span.is_integer():
        return int(span)
    return span

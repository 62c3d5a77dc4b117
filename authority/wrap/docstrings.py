"""What a docstring says plainly of units and types; what it says otherwise is not guessed."""

from __future__ import annotations

import re
from types import MappingProxyType

from authority.drivers.parameters import type_name

__all__ = ["parameter_lines", "summary_of", "type_in", "type_of_value_in", "units_in"]

_SYMBOLS = frozenset(
    [
        *["V", "mV", "uV", "µV", "kV", "A", "mA", "uA", "µA", "nA", "W", "mW", "kW", "Ohm", "Ω", "kOhm", "MOhm"],
        *["Hz", "kHz", "MHz", "GHz", "s", "ms", "us", "µs", "ns", "dB", "dBm", "dBc", "%", "rpm", "sccm", "slm"],
        *["mm", "um", "µm", "nm", "cm", "deg", "°", "rad", "mrad", "K", "mK", "°C", "T", "mT", "Oe"],
        *["Pa", "hPa", "kPa", "mbar", "bar", "Torr", "psi", "V/s", "A/s", "mm/s", "um/s", "µm/s", "nm/s", "deg/s"],
        *["K/s", "K/min", "°C/min", "T/min", "A/V", "V/Hz"],
    ]
)
_WORDS = MappingProxyType(
    {
        "amp": "A",
        "ampere": "A",
        "amperes": "A",
        "amps": "A",
        "celsius": "°C",
        "counts": "counts",
        "degree": "deg",
        "degrees": "deg",
        "gauss": "G",
        "gigahertz": "GHz",
        "hertz": "Hz",
        "kelvin": "K",
        "kilohertz": "kHz",
        "megahertz": "MHz",
        "meter": "m",
        "meters": "m",
        "micrometer": "µm",
        "micrometers": "µm",
        "microns": "µm",
        "microseconds": "µs",
        "milliamps": "mA",
        "millimeter": "mm",
        "millimeters": "mm",
        "millimetres": "mm",
        "milliseconds": "ms",
        "millivolts": "mV",
        "minute": "min",
        "minutes": "min",
        "nanometer": "nm",
        "nanometers": "nm",
        "nanoseconds": "ns",
        "ohm": "Ohm",
        "ohms": "Ohm",
        "percent": "%",
        "radians": "rad",
        "second": "s",
        "seconds": "s",
        "steps": "steps",
        "tesla": "T",
        "torr": "Torr",
        "volt": "V",
        "volts": "V",
        "watt": "W",
        "watts": "W",
    }
)
_IN = re.compile(r"\bin (?:units of )?([^\s,.;:()\[\]]+)(?: (celsius|per (\w+)))?", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"[(\[]([^\s()\[\]]{1,6})[)\]]")
_TYPES: MappingProxyType[str, type_name] = MappingProxyType(
    {
        "bool": "boolean",
        "boolean": "boolean",
        "float": "number",
        "floating": "number",
        "int": "integer",
        "integer": "integer",
        "str": "text",
        "string": "text",
    }
)
_OF_VALUE = re.compile(
    r"\((bool|boolean|float|int|integer|str|string)\b|\b(boolean|float|floating point|integer|string) property\b",
    re.IGNORECASE,
)


def summary_of(text: str) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def units_in(text: str) -> str | None:
    """Return the one unit that the first sentence names, as in `in mm`, `in volts` or `(V)`; else None."""
    sentence = re.split(r"\.\s+[A-Z]", " ".join(text.split()))[0]
    found = {_unit_of(*one.groups()) for one in _IN.finditer(sentence)} - {None}
    found |= {one for one in _IN_BRACKETS.findall(sentence) if one in _SYMBOLS}
    if len(found) == 1:
        return found.pop()
    return None


def type_of_value_in(text: str) -> type_name | None:
    """Return the one type that a property's docstring names, as in `(bool)` or `An integer property`; else None."""
    found = {_TYPES[(one or other).lower().split()[0]] for one, other in _OF_VALUE.findall(text)}
    if len(found) == 1:
        return found.pop()
    return None


def parameter_lines(text: str, name: str) -> str:
    """Return what a docstring says of one parameter, in the way of Sphinx or of NumPy; "" for nothing."""
    sphinx = re.search(rf":param\s+(?:\w+\s+)?{re.escape(name)}\s*:(.*?)(?=\n\s*:|\n\s*\n|\Z)", text, re.DOTALL)
    numpy = re.search(rf"^( *){re.escape(name)} *:(.*(?:\n\1 +\S.*)*)", text, re.MULTILINE)
    if sphinx:
        return sphinx.group(1)
    if numpy:
        return numpy.group(2)
    return ""


def type_in(text: str, name: str) -> type_name | None:
    """Return the type that a docstring gives a parameter where that is a plain one."""
    named = re.search(rf":param\s+(\w+)\s+{re.escape(name)}\s*:", text) or re.search(
        rf":type\s+{re.escape(name)}\s*:\s*(\w+)", text
    )
    first = named or re.match(r"\s*\(?(\w+)", parameter_lines(text, name))
    if first:
        return _TYPES.get(first.group(1).lower())
    return None


def _unit_of(word: str, tail: str | None, each: str | None) -> str | None:
    unit = word if word in _SYMBOLS else _WORDS.get(word.lower())
    if unit is None or tail is None:
        return unit
    if each is None:
        return "°C"
    per = _WORDS.get(each.lower())
    return f"{unit}/{per}" if per else None

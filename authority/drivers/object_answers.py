"""What a Python object answers, in the type and the unit that the lab file says; what is not of it is refused."""

from __future__ import annotations

from authority.driver_values import PlainValue, UnusableAnswer, described_value, plain_value
from authority.parameters import Scalar, answer_name


def as_type(value: object, kind: answer_name, units: str | None = None) -> PlainValue:
    """Return `value` as the type that the lab file says, None for a number that is not finite.

    Raises `UnusableAnswer`.
    """
    if kind == "nothing":
        return None
    found = plain_value(value, units)
    if found is None and value is not None and kind in ("number", "integer"):
        return None  # not a number, or infinite: it is not known
    match kind, found:
        case "number", bool():
            pass
        case "number", int() | float():
            return float(found)
        case "integer", bool():
            pass
        case ("integer", int()) | ("text", str()) | ("boolean", bool()) | ("list", list()) | ("object", _):
            return found
        case "integer", float() if found.is_integer():
            return int(found)
        case "boolean", int() | float() if found in (0, 1):
            return bool(found)
        case "text", int() | float():
            return str(found)
    raise UnusableAnswer(f"it answered {described_value(value)}, which is no {kind}: check its type in the lab file")


def as_scalar(value: object, kind: answer_name, units: str | None = None) -> Scalar | None:
    """Return a reading as its type, None where there is none now; raises `UnusableAnswer`."""
    found = None
    if value is not None:
        found = as_type(value, kind, units)
    if isinstance(found, list | dict):
        raise UnusableAnswer(
            f"it answered {described_value(value)}, which is no single value: name one of its elements"
        )
    return found

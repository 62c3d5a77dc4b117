"""What a person reads off: a number that knows its unit, a reading, and the provenance of data. Pure.

A `Value` shows its unit where it is displayed and is the plain number wherever it is stored or computed with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from jupyter_motorlock.text.status import number_text as shown_digits

if TYPE_CHECKING:
    from jupyter_motorlock.text.status import Fields

Plain: TypeAlias = float | int | bool | str | None


class Value(float):
    """A number with its `units`, shown as `12.5 mm`.

    Only its `repr` has the unit: `str`, formats, JSON, pickles and arrays have the plain number, and what is computed
    from it is a plain float.
    """

    __slots__ = ("units",)

    units: str

    def __new__(cls, number: float, units: str) -> Value:
        """Return `number`, which is in `units`."""
        made = super().__new__(cls, number)
        made.units = units
        return made

    def __repr__(self) -> str:
        return f"{float(shown_digits(self))!r} {self.units}"

    __str__ = float.__repr__

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        """Be stored as a plain float, which can be read where this package is not."""
        return float, (float(self),)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a piece of equipment said of itself, as the authority has it; reading it needs no lock.

    `velocity` is that of a move, in units per second. `age_s` is how many seconds ago the equipment said this; while
    it is not `connected`, `error` says why. `values` has what else it tells, such as `low` and `high`, its limits.
    """

    equipment_id: str
    position: Value | float | None
    target: Value | float | None
    velocity: Value | float | None
    moving: bool
    connected: bool
    values: Mapping[str, Plain]
    age_s: float
    error: str | None


def reading(status: Fields) -> Reading:
    """Return the readback in a `Status` of the authority."""
    told = status["readback"]
    units = told["units"]

    def measured(name: str, per: str = "") -> Value | float | None:
        number = told[name]
        return number if number is None or not units else Value(number, f"{units}{per}")

    return Reading(
        equipment_id=status["equipment_id"],
        position=measured("position"),
        target=measured("target"),
        velocity=measured("velocity", "/s"),
        moving=told["moving"],
        connected=told["connected"],
        values=dict(told["values"]),
        age_s=told["age_seconds"],
        error=told["error"],
    )


def provenance(status: Fields, authority: str, now: datetime) -> dict[str, str | int | float]:
    """Return who had the equipment of `status` under which lock at `now`, and where it was, to be stored with data.

    What is not there (a note, a position) is left out, so that every value can be an attribute in any file format.
    """
    holder = status["holder"]
    told = status["readback"]
    known = {
        "equipment": status["equipment_id"],
        "user": holder["user"],
        "note": holder["note"],
        "since": holder["since"],
        "fence": status["fence"],
        "lock_id": status["lock_id"],
        "session_id": status["session_id"],
        "authority": authority,
        "time": now.astimezone(UTC).isoformat(),
        "position": told["position"],
        "units": told["units"],
    }
    return {name: value for name, value in known.items() if value is not None}

"""How far and how fast a motor may move, and in which words a person hears of what is beyond that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from authority.ports import OutsideLimits


class MoveFailed(Exception):
    """A motion did not begin or did not arrive, and not because of a stop of ours; the text says why."""


def lower_bound(low: float | None) -> float:
    """Return a lower limit, minus infinity where there is none."""
    return -math.inf if low is None else low


def upper_bound(high: float | None) -> float:
    """Return an upper limit, infinity where there is none."""
    return math.inf if high is None else high


def with_unit(number: float, units: str | None, per: str = "") -> str:
    """Return a number with its unit, for a sentence; `per` is such as `/s`."""
    if not units:
        return f"{number:.12g}"
    return f"{number:.12g} {units}{per}".rstrip()


def refuse_outside(target: float, low: float, high: float, units: str | None, *, always: bool) -> None:
    """Raise `OutsideLimits` for a target beyond limits, either of which may be infinite."""
    if low <= target <= high:
        return
    if low == -math.inf:
        limits = f"the limit, at most {with_unit(high, units)}"
    elif high == math.inf:
        limits = f"the limit, at least {with_unit(low, units)}"
    else:
        limits = f"the limits {low:.12g} to {with_unit(high, units)}"
    raise OutsideLimits(f"{with_unit(target, units)} is outside {limits}", always=always)


def refuse_velocity(velocity: float, max_velocity: float, units: str | None, *, always: bool) -> None:
    """Raise `OutsideLimits` for a velocity, in `units` per second, at which nothing may move."""
    asked = with_unit(velocity, units, "/s")
    if not 0 < velocity < math.inf:
        raise OutsideLimits(f"{asked} is no velocity: it must be more than 0", always=always)
    if velocity > max_velocity:
        raise OutsideLimits(f"{asked} is above max_velocity, {with_unit(max_velocity, units, '/s')}", always=always)


def wrong_limits(low: float, high: float, places: Mapping[str, float | None]) -> Iterator[str]:
    """Say what cannot be in the limits of a lab file and in the places that must be within them, a clause each."""
    if not low < high:
        yield f"low is {low:.12g} and high is {high:.12g}, but low must be less than high"
        return
    for name, position in places.items():
        if position is not None and not low <= position <= high:
            yield f"{name} is {position:.12g}, but must be from {low:.12g} to {high:.12g}"


def wrong_speeds(
    velocity: float | None, max_velocity: float | None, others: Mapping[str, float | None]
) -> Iterator[str]:
    """Say what cannot be in the velocities of a lab file and in `others` that must be positive, a clause each."""
    for name, value in {"velocity": velocity, "max_velocity": max_velocity, **others}.items():
        if value is not None and not 0 < value < math.inf:
            yield f"{name} is {value:.12g}, but must be more than 0 and finite"
    if velocity is not None and max_velocity is not None and 0 < max_velocity < velocity < math.inf:
        yield f"velocity is {velocity:.12g}, but max_velocity is {max_velocity:.12g}"

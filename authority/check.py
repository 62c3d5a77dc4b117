"""What `motorlock check` says of a lab file without mistakes: what there is, what bounds it, what to think twice about.

Limits are found by asking each driver what it would refuse, which sends nothing to the device.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial

from msgspec import structs

from .connection_check import read_devices
from .core.model import EquipmentId, Policy, RestMethod
from .driver_calls import call_concurrent
from .drivers.declare import declared_by
from .equipment_settings import EquipmentSettings
from .parameters import Command, Parameter, Returns, described, value_in_sentence
from .ports import Driver, OutsideLimits, Readback
from .settings import LOOPBACK, Settings

_FAR_AWAY = 1e300  # no axis goes there
_CONTROL = "control"
_REFUSED_BOUND = re.compile(r" is (?:outside|above|faster than) (.*)")  # as the drivers of ours refuse


def lab_report(settings: Settings, read: Mapping[EquipmentId, Readback]) -> Iterator[str]:
    """Yield the lines: how it would be served, then each piece of equipment with its warnings, and what was read."""
    pieces = "1 piece"
    if len(settings.equipment) != 1:
        pieces = f"{len(settings.equipment)} pieces"
    yield f"no mistake, {pieces} of equipment"
    asks = "asks for no token"
    if settings.token:
        asks = "asks for a token"
    yield f"serves {settings.host} port {settings.port or 'any that is free'}, {asks}"
    yield f"keeps its data in {settings.data}, events for {settings.history_days:g} days"
    yield from (f"warning: {text}" for text in _warnings(settings))
    for one in settings.equipment:
        yield ""
        yield from _described(one, read.get(one.id))


async def connected_lab_report(settings: Settings) -> tuple[list[str], int]:
    """Open every device and return the lines, with what each reads, and how many cannot be reached."""
    async with read_devices(settings.equipment) as read:
        return list(lab_report(settings, read)), sum(not one.connected for one in read.values())


def _described(one: EquipmentSettings, read: Readback | None) -> Iterator[str]:
    commands = [found.command for found in declared_by(one.driver).values()]
    limits = _limits(one.driver, commands)
    label = ""
    if one.label:
        label = f" ({one.label})"
    yield f"{one.id}{label}"
    yield f"  driver    {one.driver_name}, kind {one.driver.kind}{_at(one.driver)}"
    if read is not None:
        yield f"  reads     {_reading(read)}"
    for command in sorted(commands, key=lambda found: found.kind != _CONTROL):
        yield f"  {command.kind:<9} {_call(command, limits)}"
    for key, value in _set(one.policy).items():
        yield f"  policy    {key} = {value}"
    warnings = [*_unbounded(one, limits, read), *_warnings_of(one.driver), *_risks(one.policy)]
    yield from (f"  warning   {text}" for text in warnings)


def _reading(read: Readback) -> str:
    if not read.connected:
        return f"NOTHING, it cannot be reached: {(read.error or 'it does not say why').rstrip('.')}"
    units = ""
    if read.units:
        units = f" {read.units}"
    numbers = [("position", read.position, units), ("target", read.target, units)]
    numbers += [("velocity", read.velocity, units and f"{units}/s")]
    parts = [f"{name} {value:.6g}{unit}" for name, value, unit in numbers if value is not None]
    if read.moving:
        parts.append("moving")
    else:
        parts.append("at rest")
    parts += [f"{name} {_value(value)}" for name, value in read.values.items()]
    return ", ".join(parts)


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value_in_sentence(value)


def _at(driver: Driver) -> str:
    if driver.address is not None:
        return f", device {driver.address}"
    return ""


def _call(command: Command, limits: dict[str, str | None]) -> str:
    takes = []
    for one in command.parameters:
        limit = limits.get(f"{one.name} of {command.name}")
        within = ""
        if limit:
            within = f" within {limit}"
        takes.append(f"{one.name}: {described(one)}{within}")
    return f"{command.name}({', '.join(takes)}){_answers(command.returns)}"


def _answers(returns: Returns) -> str:
    if returns.type == "nothing":
        return ""
    if returns.units:
        return f" -> {returns.type} in {returns.units}"
    return f" -> {returns.type}"


def _limits(driver: Driver, commands: list[Command]) -> dict[str, str | None]:
    """Return what the driver itself refuses of each number that its declaration leaves open; None where nothing."""
    return {
        f"{one.name} of {command.name}": _refusal(driver, command, one)
        for command in commands
        for one in command.parameters
        if command.kind == _CONTROL and _is_open(one)
    }


def _is_open(one: Parameter) -> bool:
    return one.type in ("number", "integer") and one.choices is None and one.low is None and one.high is None


def _refusal(driver: Driver, command: Command, one: Parameter) -> str | None:
    """Return the limits that a target far out, on either side, is refused with."""
    others = {other.name: _harmless(other) for other in command.parameters}
    found: str | None = None
    for far in (_FAR_AWAY, -_FAR_AWAY):
        with suppress(Exception):  # a driver that is not open may know nothing yet
            try:
                call_concurrent(partial(driver.check, command.name, others | {one.name: far}))
            except OutsideLimits as refused:
                found = found or _limits_refused(refused)
    return found


def _limits_refused(refused: OutsideLimits) -> str:
    found = _REFUSED_BOUND.search(str(refused))
    if found is None:
        return "limits of the driver"
    return found[1]


def _harmless(one: Parameter) -> object:
    if one.default is not None:
        return one.default
    if one.choices is not None:
        return one.choices[0]
    return {"text": "", "boolean": False}.get(one.type, one.low or 0)


def _unbounded(one: EquipmentSettings, limits: dict[str, str | None], read: Readback | None) -> Iterator[str]:
    # A driver that checks one of its commands is trusted to check the others by the same limits.
    if limits and not any(limits.values()):
        known = ""
        if read is None or not read.connected:
            known = f", as far as is known before {one.id} is reached"
        yield f"nothing bounds {' and '.join(limits)}{known}: give limits, or be sure of the device's own"


def _warnings_of(driver: Driver) -> Iterable[str]:
    """Return what the driver itself thinks may be regretted; not every driver has an opinion."""
    own: Callable[[], Iterable[str]] | None = getattr(driver, "warnings", None)
    return own() if callable(own) else ()


def _set(policy: Policy) -> dict[str, str]:
    """Return the keys of a policy that are not as they are by default."""
    pairs = ((f, getattr(policy, f.name)) for f in structs.fields(policy))
    return {f.name: value_in_sentence(getattr(value, "value", value)) for f, value in pairs if value != f.default}


def _risks(policy: Policy) -> Iterator[str]:
    if not policy.enforce_locks:
        yield "locks are switched off: everybody may drive it, and nothing arbitrates"
    if not policy.release_with_session:
        yield "the lock of a session that has ended stays, commandable by nobody, until it idles out or is forced"
    if policy.on_loss is RestMethod.FINISH:
        yield f"a move goes on, for up to {policy.finish_seconds:g} s, after the kernel that ordered it has died"
    if policy.on_silence is RestMethod.STOP:
        yield "a move of a holder who falls silent, as a closed laptop does, is stopped when somebody else asks"
    if policy.claim_seconds < 10:
        yield f"who waits has only {policy.claim_seconds:g} s to take up the lock"


def _warnings(settings: Settings) -> Iterator[str]:
    if settings.host not in LOOPBACK and settings.token is None:
        yield "whoever reaches this machine may drive everything: there is no token"
    if settings.token_file is not None and os.name == "posix":
        mode = settings.token_file.stat().st_mode
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            yield f"{settings.token_file} can be read by others: chmod 600 {settings.token_file}"

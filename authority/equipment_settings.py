"""The equipment that a lab file describes: its driver, made with its options, and its policy."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from . import lab_file
from .core.model import EquipmentId, Policy
from .core.step import PARK_ACTION
from .drivers import DriverMisconfigured, build
from .drivers.declare import declared_by
from .ports import Driver

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class EquipmentSettings(Struct, frozen=True):
    """One piece of equipment as the lab file describes it."""

    id: EquipmentId
    driver_name: str
    driver: Driver
    label: str | None
    policy: Policy


class _EquipmentTable(Struct, frozen=True):
    """The table `[equipment.NAME]`, which has the keys of a policy, too."""

    driver: str = ""
    label: str | None = None
    options: Mapping[str, object] = {}


_KEYS = lab_file.keys_of_struct(_EquipmentTable) | lab_file.keys_of_struct(Policy)


def read_equipment(
    name: str, tables: Mapping[str, Mapping[str, object] | None], policy: Policy, mistakes: list[str]
) -> tuple[EquipmentSettings, ...]:
    """Return the equipment in the lab file `name`; `policy` is for what a table does not say.

    What is None is no table, which was said before.
    """
    equipment = []
    for key, table in tables.items():
        where = f"{name}: [equipment.{lab_file.key_in_sentence(key)}]"
        if not _ID.fullmatch(key):
            mistakes.append(f"{where}: a name has 1 to 128 letters, digits and . _ : - only.")
        if table is None:
            continue
        one = _one_equipment(where, key, table, policy, mistakes)
        if one is not None:
            equipment.append(one)
    mistakes += _shared_devices(name, equipment)
    return tuple(equipment)


def _one_equipment(
    where: str, key: str, table: Mapping[str, object], policy: Policy, mistakes: list[str]
) -> EquipmentSettings | None:
    """Return one piece of equipment, None where it can be no driver."""
    values, wrong = lab_file.read_keys(_KEYS, table)
    mistakes += [f"{where} {mistake.clause}." for mistake in wrong]
    own = {name: values.pop(name) for name in _EquipmentTable.__struct_fields__ if name in values}
    entry = replace(_EquipmentTable(), **own)
    policy = replace(policy, **values)
    if "driver" not in table:
        mistakes.append(f'{where} needs a driver, such as driver = "simulated-motor".')
        return None
    if {"driver", "options"} & {mistake.key.partition(".")[0] for mistake in wrong}:
        return None
    try:
        driver = build(entry.driver, entry.options)
    except DriverMisconfigured as error:
        mistakes += [f"{where}: {' '.join(one.split())}" for one in error.mistakes]
        return None
    if policy.park and not _can_park(driver):
        mistakes.append(f"{where} park must be false: its driver has no control command park that needs no parameter.")
    if policy.park and not getattr(driver, "can_park", True):
        mistakes.append(f"{where} park needs a place: give its options a park_position.")
    return EquipmentSettings(EquipmentId(key), entry.driver, driver, entry.label, policy)


def _can_park(driver: Driver) -> bool:
    park = declared_by(driver).get(PARK_ACTION)
    if park is None or park.command.kind != "control":
        return False
    return not any(parameter.required for parameter in park.command.parameters)


def _shared_devices(name: str, equipment: list[EquipmentSettings]) -> list[str]:
    mistakes = []
    first: dict[str, EquipmentId] = {}
    for one in equipment:
        address = one.driver.address
        if address is not None and first.setdefault(address, one.id) != one.id:
            mistakes.append(
                f"{name}: [equipment.{one.id}] has the device {address}, which is that of "
                f"[equipment.{first[address]}]; one device is one piece of equipment."
            )
    return mistakes

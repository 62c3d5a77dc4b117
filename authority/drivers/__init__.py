"""The drivers, and how the lab file's words become one: `resolve` a name, `build` with options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TypeGuard, get_type_hints

from msgspec import Struct

from authority import lab_file
from authority.drivers.declare import BadOptions, DeclarationError, declared_by
from authority.drivers.table import TableOptions, table_mistakes
from authority.lab_file import did_you_mean
from authority.parameters import value_in_sentence
from authority.ports import Driver

__all__ = ["DriverMisconfigured", "build", "known_drivers", "resolve"]

_GROUP = "motorlock.drivers"
# The same as in pyproject.toml, so that a checkout which nobody installed has them too.
_OWN = MappingProxyType(
    {
        "simulated-motor": "authority.drivers.simulated:SimulatedMotor",
        "simulated-power-supply": "authority.drivers.simulated_instruments:SimulatedPowerSupply",
        "simulated-oscilloscope": "authority.drivers.simulated_instruments:SimulatedOscilloscope",
        "epics-motor": "authority.drivers.epics:EpicsMotor",
        "python": "authority.drivers.python_object:PythonObject",
        "visa": "authority.drivers.visa:Visa",
        "serial": "authority.drivers.serial_port:Serial",
    }
)


class DriverMisconfigured(Exception):
    """The lab file names a driver or options that cannot be; the text is one sentence for a person.

    `mistakes` has a sentence for each of them, the text is the first.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__(mistakes[0])
        self.mistakes = mistakes


def known_drivers() -> dict[str, str]:
    """Return where each driver that can be named lives, `package.module:Class` by name, sorted."""
    known = {entry.name: entry.value for entry in entry_points(group=_GROUP)}
    return dict(sorted((known | _OWN).items()))


def resolve(name: str) -> type[Driver]:
    """Return the driver class of a known name or of `package.module:Class`; raises `DriverMisconfigured`."""
    place = name if ":" in name else _OWN.get(name) or known_drivers().get(name)
    if place is None:
        known = ", ".join(known_drivers())
        raise DriverMisconfigured(
            f"There is no driver {name!r}{did_you_mean(name, known_drivers())}: known are {known}, "
            "and package.module:Class names your own."
        )
    module_name, _, class_name = place.partition(":")
    found = getattr(_imported(module_name, name), class_name, None)
    if found is None:
        raise DriverMisconfigured(f"Driver {name!r}: the module {module_name} has no {class_name!r}.")
    if not _is_driver(found):
        missing = ", ".join(_missing(found)) or "being a class"
        raise DriverMisconfigured(f"Driver {name!r}: {class_name} is no driver, it lacks {missing}.")
    return found


def build(driver_name: str, options: Mapping[str, object]) -> Driver:
    """Return a driver, not opened yet, made with a lab file's `options`; raises `DriverMisconfigured`."""
    driver_class = resolve(driver_name)
    arguments, mistakes = _arguments(driver_class, options)
    if mistakes:
        raise DriverMisconfigured(*(f"Driver {driver_name!r}: {mistake.clause}." for mistake in mistakes))
    make: Callable[..., Driver] = driver_class
    try:
        driver = make(**arguments)
        declared_by(driver)
        address = driver.address
    except DeclarationError as wrong:
        raise DriverMisconfigured(f"Driver {driver_name!r}: {wrong}") from wrong
    except BadOptions as wrong:
        sentences = [f"Driver {driver_name!r} refuses its options: {clause}." for clause in wrong.clauses]
        raise DriverMisconfigured(*sentences) from wrong
    except Exception as wrong:  # foreign code: it may raise anything
        raise DriverMisconfigured(f"Driver {driver_name!r} refuses its options: {wrong}.") from wrong
    if not isinstance(address, str | None):
        raise DriverMisconfigured(
            f"Driver {driver_name!r}: its address must be a text or None, not {value_in_sentence(address)}."
        )
    return driver


def _imported(module_name: str, driver_name: str) -> object:
    try:
        return import_module(module_name)
    except (Exception, SystemExit) as wrong:  # foreign code runs on import
        raise DriverMisconfigured(
            f"Driver {driver_name!r}: the module {module_name} cannot be imported ({wrong})."
        ) from wrong


def _is_driver(found: object) -> TypeGuard[type[Driver]]:
    return isinstance(found, type) and not _missing(found)


def _missing(found: object) -> list[str]:
    """Name what the port asks for and `found` has not."""
    methods = ("open", "close", "readback", "stop", "check")
    missing = [f"{name}()" for name in methods if not callable(getattr(found, name, None))]
    missing += [
        name for name, kind in (("kind", str), ("blocking", bool)) if not isinstance(getattr(found, name, None), kind)
    ]
    if not hasattr(found, "address"):
        missing.append("address")
    return missing


def _arguments(
    driver_class: type[Driver], options: Mapping[str, object]
) -> tuple[dict[str, object], list[lab_file.Mistake]]:
    """Return what the class is called with, and what is wrong; one that takes `options` gets them as a whole."""
    cannot = f"{driver_class.__qualname__} cannot be made from a lab file:"
    try:
        hints = get_type_hints(driver_class.__init__, include_extras=True)
    except (NameError, TypeError) as wrong:
        raise DriverMisconfigured(f"{cannot} its annotations cannot be read ({wrong}).") from wrong
    whole = hints.get("options")
    if isinstance(whole, type) and issubclass(whole, Struct):
        made, mistakes = lab_file.read_table(whole, options)
        if isinstance(made, TableOptions):
            mistakes += table_mistakes(made, list(mistakes))
        return {"options": made}, mistakes
    try:
        keys = lab_file.keys_of_call(driver_class, hints)
    except ValueError as wrong:
        raise DriverMisconfigured(f"{cannot} {wrong}.") from wrong
    return lab_file.read_keys(keys, options)

"""The drivers, and how the lab file's words become one: `resolve` a name, `build` with options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType, NoneType, UnionType
from typing import TypeGuard, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from authority.drivers.convert import convert, is_table, table_value
from authority.drivers.declare import DeclarationError, declared_by, parameter_of
from authority.drivers.parameters import BadOptions, Parameter, described, fit
from authority.drivers.table import TableOptions, table_mistakes
from authority.lab_file_keys import did_you_mean, value_in_sentence
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
    arguments = _arguments(driver_class, driver_name, options)
    make: Callable[..., Driver] = driver_class
    try:
        driver = make(**arguments)
        declared_by(driver)
        address = driver.address
    except DeclarationError as wrong:
        raise DriverMisconfigured(f"Driver {driver_name!r}: {wrong}") from wrong
    except BadOptions as wrong:
        said = [f"Driver {driver_name!r} refuses its options: {clause}." for clause in wrong.clauses]
        raise DriverMisconfigured(*said) from wrong
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


def _arguments(driver_class: type[Driver], driver_name: str, options: Mapping[str, object]) -> dict[str, object]:
    given, mistakes = _given_options(driver_class, driver_name, options)
    if mistakes:
        raise DriverMisconfigured(*mistakes)
    return given


def _given_options(
    driver_class: type[Driver], driver_name: str, options: Mapping[str, object]
) -> tuple[dict[str, object], list[str]]:
    """Return the constructor's arguments, and a sentence for each mistake."""
    hints = _hints(driver_class)
    tables = {name: hint for name, hint in hints.items() if name != "return" and is_table(hint)}
    whole = tables.get("options")
    if isinstance(whole, type) and issubclass(whole, Struct):
        made, found = convert(whole, options)
        if isinstance(made, TableOptions):
            found += table_mistakes(made, list(found))
        return {"options": made}, [f"Driver {driver_name!r}: {mistake.clause}." for mistake in found]
    declared = _options(driver_class)
    takes = ", ".join([*(f"{one.name} ({described(one)})" for one in declared.values()), *map(_table_named, tables)])
    mistakes = [
        f"Driver {driver_name!r} has no option {name!r}{did_you_mean(name, [*declared, *tables])}: "
        f"its options are {takes or 'none'}."
        for name in sorted(options.keys() - declared.keys() - tables.keys())
    ]
    required = {one.name: described(one) for one in declared.values() if one.required}
    parameters = inspect.signature(driver_class).parameters
    required |= {name: "a table" for name in tables if parameters[name].default is inspect.Parameter.empty}
    mistakes += [
        f"Driver {driver_name!r} needs the option {name!r}, {what}."
        for name, what in required.items()
        if name not in options
    ]
    arguments: dict[str, object] = {}
    for name in [name for name in options if name in declared]:
        try:
            arguments[name] = fit(declared[name], options[name])
        except ValueError as wrong:
            mistakes.append(f"Driver {driver_name!r}: option {name!r} {wrong}.")
    for name in [name for name in options if name in tables]:
        arguments[name], found = table_value(tables[name], options[name], name)
        mistakes += [f"Driver {driver_name!r}: {mistake.clause}." for mistake in found]
    return arguments, mistakes


def _table_named(name: str) -> str:
    return f"{name} (a table)"


def _options(driver_class: type[Driver]) -> dict[str, Parameter]:
    """Return what a lab file may set by a value: the constructor's parameters of a type that a lab file can hold."""
    hints = _hints(driver_class)
    options: dict[str, Parameter] = {}
    for name, given in inspect.signature(driver_class).parameters.items():
        required = given.default is given.empty
        if is_table(hints.get(name)):
            continue
        try:
            option = parameter_of(name, _without_none(hints.get(name)), required=required)
        except ValueError as wrong:
            if required and given.kind not in (given.VAR_POSITIONAL, given.VAR_KEYWORD):
                text = f"{driver_class.__qualname__} cannot be made from a lab file: {name} {wrong}."
                raise DriverMisconfigured(text) from wrong
            continue  # such as a clock that only tests pass in
        options[name] = option
    return options


def _hints(driver_class: type[Driver]) -> dict[str, object]:
    try:
        return get_type_hints(driver_class.__init__, include_extras=True)
    except (NameError, TypeError) as wrong:
        text = f"{driver_class.__qualname__} cannot be made from a lab file: its annotations cannot be read ({wrong})."
        raise DriverMisconfigured(text) from wrong


def _without_none(hint: object) -> object:
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kept = [one for one in get_args(hint) if one is not NoneType]
    if len(kept) == 1:
        return kept[0]
    return hint

"""A table of the lab file becomes a Struct, and every mistake in it is told with its key: `convert`.

Unknown keys, missing ones and values of a wrong type are mistakes; nothing is dropped in silence and nothing guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, NamedTuple, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from authority.drivers.declare import parameter_of
from authority.drivers.parameters import described, fit
from authority.lab_file_keys import did_you_mean, value_in_sentence

_Made = TypeVar("_Made", bound=Struct)


class Mistake(NamedTuple):
    """What is wrong at a key such as `control.move_to.until`; `clause` names the key and has no full stop."""

    key: str
    clause: str


def convert(kind: type[_Made], table: Mapping[str, object], key: str = "") -> tuple[_Made, list[Mistake]]:
    """Return `table` as `kind`, and what is wrong in it.

    Where there are mistakes, what is returned is a draft for further checks: a wrong value is replaced by its
    default, or by None where it has none.
    """
    mistakes: list[Mistake] = []
    return _struct(kind, table, key, mistakes), mistakes


def is_table(hint: object) -> bool:
    """Tell whether a constructor's parameter with this annotation is given as a table: a Struct or a mapping."""
    hint = _plain(hint)
    return _is_struct(hint) or _is_mapping(hint)


def table_value(hint: object, value: object, key: str) -> tuple[object, list[Mistake]]:
    """Return a value as the table that `hint` says, and what is wrong in it, as `convert` does."""
    mistakes: list[Mistake] = []
    return _value(hint, value, key, mistakes), mistakes


def _struct(kind: type[_Made], table: Mapping[str, object], key: str, mistakes: list[Mistake]) -> _Made:
    hints = get_type_hints(kind, include_extras=True)
    known = {field.encode_name: field for field in fields(kind)}
    for name in table:
        if name not in known:
            allowed = f"allowed are {', '.join(known)}"
            near = did_you_mean(name, known)
            mistakes.append(Mistake(_below(key, name), f"{_below(key, name)} is no key here{near}; {allowed}"))
    made: dict[str, object] = {}
    for name, field in known.items():
        hint = hints[field.name]
        where = _below(key, name)
        if name in table:
            found = _value(hint, table[name], where, mistakes)
            if found is not None:
                made[field.name] = found
                continue
        elif _required(field):
            mistakes.append(Mistake(where, f"{where} is missing; it needs {_needs(hint)}"))
        if _required(field):
            if _is_mapping(_plain(hint)):
                made[field.name] = {}
            else:
                made[field.name] = None
    return kind(**made)


def _value(hint: object, value: object, key: str, mistakes: list[Mistake]) -> object:
    hint = _plain(hint)
    if hint is object:
        return value
    if _is_struct(hint):
        if isinstance(value, Mapping):
            return _struct(hint, value, key, mistakes)
    elif _is_mapping(hint):
        if isinstance(value, Mapping):
            _, each = get_args(hint)
            return {name: _value(each, one, _below(key, name), mistakes) for name, one in value.items()}
    elif _is_list(hint):
        if isinstance(value, list):
            each = get_args(hint)[0]
            return [_value(each, one, f"{key}[{place}]", mistakes) for place, one in enumerate(value)]
    elif _is_union(hint):
        if _is_scalar(value):
            return value
    else:
        try:
            return fit(parameter_of(key, hint), value)
        except ValueError as wrong:
            mistakes.append(Mistake(key, f"{key} {wrong}"))
            return None
    mistakes.append(Mistake(key, f"{key} needs {_needs(hint)}; you gave {value_in_sentence(value)}"))
    return None


def _needs(hint: object) -> str:
    hint = _plain(hint)
    if _is_struct(hint) or _is_mapping(hint):
        return "a table"
    if _is_list(hint):
        return "a list"
    if hint is object or _is_union(hint):
        return "a text, a finite number, true or false"
    return described(parameter_of("", hint))


def _plain(hint: object) -> object:
    """Return a hint without `| None`, which a lab file cannot write, and a Struct's without what annotates it."""
    if _is_union(hint):
        kept = [one for one in get_args(hint) if one is not NoneType]
        if len(kept) == 1:
            hint = kept[0]
    if get_origin(hint) is Annotated and (is_table(get_args(hint)[0]) or _is_list(get_args(hint)[0])):
        return get_args(hint)[0]
    return hint


def _is_struct(hint: object) -> TypeGuard[type[Struct]]:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _is_mapping(hint: object) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_list(hint: object) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Sequence)


def _is_union(hint: object) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | bool | str)


def _required(field: FieldInfo) -> bool:
    return field.default is NODEFAULT and field.default_factory is NODEFAULT


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name

"""What a lab file says: each of its tables becomes a typed Struct, and every mistake in it is one sentence.

Unknown keys, missing ones and values of a wrong type are mistakes; nothing is dropped in silence and nothing guessed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, NamedTuple, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields

from .parameters import Parameter, described, fit, parameter_of, value_in_sentence

StructT = TypeVar("StructT", bound=Struct)


class Mistake(NamedTuple):
    """What is wrong at a key such as `control.move_to.until`; `clause` names the key and has no full stop."""

    key: str
    clause: str


class Key(NamedTuple):
    """A key that a table may have: the name under which its value is handed on, and its annotated type."""

    argument: str
    hint: object
    required: bool


def read_table(kind: type[StructT], table: Mapping[str, object]) -> tuple[StructT, list[Mistake]]:
    """Return `table` as `kind`, and what is wrong in it.

    Where there are mistakes, what is returned is a draft for further checks: a wrong value is replaced by its
    default, or by None where it has none.
    """
    mistakes: list[Mistake] = []
    return _struct(kind, table, "", mistakes), mistakes


def read_keys(keys: Mapping[str, Key], table: Mapping[str, object]) -> tuple[dict[str, object], list[Mistake]]:
    """Return the sound values of a table by the arguments that they are for, and what is wrong in it."""
    mistakes: list[Mistake] = []
    return _arguments(keys, table, "", mistakes), mistakes


def keys_of_struct(kind: type[Struct]) -> dict[str, Key]:
    """Return the keys of a table that becomes a Struct."""
    hints = get_type_hints(kind, include_extras=True)
    keys = {}
    for field in fields(kind):
        required = field.default is NODEFAULT and field.default_factory is NODEFAULT
        keys[field.encode_name] = Key(field.name, hints[field.name], required)
    return keys


def keys_of_call(make: Callable[..., object], hints: Mapping[str, object]) -> dict[str, Key]:
    """Return the keys of a table that `make` is called with: its parameters of a type that a lab file can write.

    Raises `ValueError` with a clause where one of another type is required.
    """
    keys: dict[str, Key] = {}
    for name, given in inspect.signature(make).parameters.items():
        required = given.default is given.empty
        if given.kind in (given.VAR_POSITIONAL, given.VAR_KEYWORD):
            continue
        try:
            _expected(hints.get(name))
        except ValueError as wrong:
            if required:
                raise ValueError(f"{name} {wrong}") from wrong
            continue  # such as a clock that only tests pass in
        keys[name] = Key(name, hints[name], required)
    return keys


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return a clause that names the allowed word that was probably meant; empty where none is near."""
    words = list(allowed)
    for spelling in (str, str.lower):
        spelled = {spelling(one): one for one in words}
        for near in get_close_matches(spelling(word), spelled, n=1):
            return f", perhaps {spelled[near]} is meant"
    return ""


def key_in_sentence(key: str) -> str:
    """Return a key as it fits into a sentence of one line."""
    if key.isprintable() and key:
        return key
    return repr(key)


def _struct(kind: type[StructT], table: Mapping[str, object], key: str, mistakes: list[Mistake]) -> StructT:
    keys = keys_of_struct(kind)
    arguments = _arguments(keys, table, key, mistakes)
    for one in keys.values():
        if one.required and _is_mapping(_plain(one.hint)):
            arguments.setdefault(one.argument, {})
        elif one.required:
            arguments.setdefault(one.argument, None)
    return kind(**arguments)


def _arguments(
    keys: Mapping[str, Key], table: Mapping[str, object], where: str, mistakes: list[Mistake]
) -> dict[str, object]:
    for name in table:
        if name not in keys:
            allowed = ", ".join(keys) or "none"
            _add(mistakes, _below(where, name), f"is no key here{did_you_mean(name, keys)}; allowed are {allowed}")
    arguments: dict[str, object] = {}
    for name, key in keys.items():
        if name in table:
            found = _value(key.hint, table[name], _below(where, name), mistakes)
            if found is not None:
                arguments[key.argument] = found
        elif key.required:
            _add(mistakes, _below(where, name), f"is missing; it must be {_expected(key.hint)}")
    return arguments


def _value(hint: object, value: object, key: str, mistakes: list[Mistake]) -> object:
    """Return a value as its type, None where it is wrong."""
    hint = _plain(hint)
    if hint is object:
        return value
    if _is_struct(hint) and isinstance(value, Mapping):
        return _struct(hint, value, key, mistakes)
    if _is_mapping(hint) and isinstance(value, Mapping):
        each = get_args(hint)[1]
        return {name: _value(each, one, _below(key, name), mistakes) for name, one in value.items()}
    if _is_list(hint) and isinstance(value, list):
        each = get_args(hint)[0]
        values = [_value(each, one, f"{key}[{place}]", mistakes) for place, one in enumerate(value)]
        return [one for one in values if one is not None]
    if _is_union(hint) and _is_scalar(value):
        return value
    words = _words_of_several(hint)
    if words is not None:
        _add(mistakes, key, f"must be {words}, not {value_in_sentence(value)}")
        return None
    return _single(hint, value, key, mistakes)


def _single(hint: object, value: object, key: str, mistakes: list[Mistake]) -> object:
    schema = _schema(hint)
    try:
        found = fit(schema, value)
    except ValueError as wrong:
        doc = f"; {schema.doc}" if schema.doc else ""
        _add(mistakes, key, f"{wrong}{doc}")
        return None
    for mark in getattr(hint, "__metadata__", ()):
        above = mark.gt if isinstance(mark, Meta) else None
        if above is not None and isinstance(found, float) and not found > above:
            _add(mistakes, key, f"must be more than {above:g}, not {value_in_sentence(value)}")
            return None
    if _is_enum(hint):
        return hint(found)
    return found


def _expected(hint: object) -> str:
    """Say what a value must be; raises `ValueError` where no lab file can write it."""
    hint = _plain(hint)
    return _words_of_several(hint) or described(_schema(hint))


def _words_of_several(hint: object) -> str | None:
    """Say what a value must be where it is no single value of one type."""
    if _is_struct(hint) or _is_mapping(hint):
        return "a table"
    if _is_list(hint):
        return "a list"
    if hint is object or _is_union(hint):
        return "a text, a finite number, true or false"
    return None


def _schema(hint: object) -> Parameter:
    if _is_enum(hint):
        return Parameter(name="", type="text", choices=tuple(member.value for member in hint))
    return parameter_of("", hint)


def _plain(hint: object) -> object:
    """Return a hint without `| None`, which a lab file cannot write, and a table's or a list's without its marks."""
    if get_origin(hint) in (Union, UnionType):
        kept = [one for one in get_args(hint) if one is not NoneType]
        if len(kept) == 1:
            hint = kept[0]
    if get_origin(hint) is Annotated and _words_of_several(get_args(hint)[0]) is not None:
        return get_args(hint)[0]
    return hint


def _is_struct(hint: object) -> TypeGuard[type[Struct]]:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _is_enum(hint: object) -> TypeGuard[type[Enum]]:
    return isinstance(hint, type) and issubclass(hint, Enum)


def _is_mapping(hint: object) -> bool:
    return get_origin(hint) in (dict, Mapping)


def _is_list(hint: object) -> bool:
    return get_origin(hint) in (list, Sequence)


def _is_union(hint: object) -> bool:
    """Whether a hint is a union of single values, any of which a lab file can write."""
    return get_origin(hint) in (Union, UnionType) and set(get_args(hint)) <= {float, int, bool, str, NoneType}


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | bool | str)


def _add(mistakes: list[Mistake], key: str, clause: str) -> None:
    mistakes.append(Mistake(key, f"{key_in_sentence(key)} {clause}"))


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name

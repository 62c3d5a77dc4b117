"""Lines of text to a device: a template with placeholders such as `MOVE {position:.4f}`, and what may stand in them.

A text parameter can never end a line or begin another command: what could is refused before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Formatter

from authority.parameters import InvalidParameters, Scalar, type_name

_SAMPLES: Mapping[type_name, Scalar] = {"number": 1.5, "integer": 1, "boolean": 1, "text": "x"}


def template_mistakes(template: str, types: Mapping[str, type_name]) -> Iterator[str]:
    """Say what is wrong with a template whose placeholders must be just these parameters, a clause each."""
    if not template.strip():
        yield "is empty"
    if not template.isascii() or not template.isprintable():
        yield f"is {template!r}, but must be one line of printable ASCII; the driver ends it"
    try:
        fields = [(name, spec, turned) for _, name, spec, turned in Formatter().parse(template) if name is not None]
    except ValueError as wrong:
        yield f"is {template!r}, whose braces cannot be read ({wrong}); a brace itself is written twice"
        return
    has_wrong_placeholder = False
    for name, spec, turned in fields:
        if name not in types or turned:
            has_wrong_placeholder = True
            known = "there are no parameters"
            if types:
                known = f"parameters are {', '.join(types)}"
            shown = f"{{{name}}}"
            if turned:
                shown = f"{{{name}!{turned}}}"
            yield f"has the placeholder {shown}, but {known}"
            continue
        try:
            format(_SAMPLES[types[name]], spec or "")
        except ValueError as wrong:
            yield f"has the placeholder {{{name}:{spec}}}, which no {types[name]} can fill ({wrong})"
    for name in types:
        if not has_wrong_placeholder and name not in {field for field, _, _ in fields}:
            yield f"has no placeholder {{{name}}}, but there is a parameter {name}"


def filled(template: str, parameters: Mapping[str, Scalar], per_unit: Mapping[str, float]) -> str:
    """Return the line: a boolean is 1 or 0, a number in the device's units, of which `per_unit` make one of ours.

    Raises `ValueError` for a text that could be more than a value.
    """
    values: dict[str, Scalar] = {}
    for name, value in parameters.items():
        if isinstance(value, str) and (mark := forbidden(value)) is not None:
            raise ValueError(f"{name} has {mark}")
        if isinstance(value, bool):
            values[name] = int(value)
        else:
            values[name] = value
        if name in per_unit and isinstance(value, int | float):
            values[name] = type(value)(value * per_unit[name])
    return template.format(**values)


def refuse_more_than_values(action: str, parameters: Mapping[str, object]) -> None:
    """Raise `InvalidParameters` for a text that could end the line or begin another command."""
    errors = []
    for name, value in parameters.items():
        mark = None
        if isinstance(value, str):
            mark = forbidden(value)
        if mark is not None:
            clause = f"{action} cannot send {name}: a text there must be printable ASCII without ;, and this has {mark}"
            errors.append({"loc": ["body", "parameters", name], "msg": clause, "type": "not_allowed"})
    if errors:
        raise InvalidParameters(errors)


def forbidden(text: str) -> str | None:
    """Return the first character of a text that a device could take for more than a value, shown; None if none."""
    for mark in text:
        if mark == ";" or not mark.isascii() or not mark.isprintable():
            return repr(mark)
    return None

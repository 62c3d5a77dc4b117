"""The OpenAPI document, made from the same doors and types that serve the requests."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from authority import __version__

from .bodies import Problem
from .doors import Door
from .problems import TITLES

_REF = "#/components/schemas/{name}"
_ALWAYS = (403, 503)


def document(doors: Sequence[Door]) -> dict[str, object]:
    """Return the OpenAPI 3.1 document of `doors`."""
    types = [Problem, *(d.answer for d in doors), *(d.body for d in doors if d.body is not None)]
    types += [kind for d in doors for _, kind, _ in d.query]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_anything, ref_template=_REF)
    of_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, object]] = {}
    for door in doors:
        paths.setdefault(door.path, {})[door.method.lower()] = _operation(door, of_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "motorlock authority",
            "version": __version__,
            "description": "Who may drive which equipment, now. Push is described in docs/reference/rest.md.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "lab": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "header", "name": "Motorlock-Session"},
            },
        },
    }


def _anything(kind: type) -> dict[str, object]:  # noqa: ARG001 - a driver's data may be any JSON
    return {"description": "any JSON value"}


def _operation(door: Door, of_type: dict[int, dict[str, object]]) -> dict[str, object]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "maxLength": 128}}
        for name in re.findall(r"{(\w+)}", door.path)
    ]
    for name, kind, default in door.query:
        schema = of_type[id(kind)] | {"default": default}
        parameters.append({"name": name, "in": "query", "required": False, "schema": schema})
    answer = {"description": door.summary, "content": {"application/json": {"schema": of_type[id(door.answer)]}}}
    responses: dict[str, object] = {str(status): answer for status in door.statuses}
    for code in sorted({*door.codes, *_ALWAYS, *((400, 413, 415, 422) if door.body is not None else ())}):
        responses[str(code)] = _refusal(code, of_type[id(Problem)])
    operation: dict[str, object] = {
        "summary": door.summary,
        "operationId": door.handler.__name__,
        "tags": [door.path.split("/")[2] if door.path.startswith("/api/") else "health"],
        "responses": responses,
    }
    if parameters:
        operation["parameters"] = parameters
    if door.body is not None:
        content = {"application/json": {"schema": of_type[id(door.body)]}}
        operation["requestBody"] = {"required": not door.body_optional, "content": content}
    return operation


def _refusal(code: int, schema: dict[str, object]) -> dict[str, object]:
    return {"description": TITLES[code], "content": {"application/problem+json": {"schema": schema}}}

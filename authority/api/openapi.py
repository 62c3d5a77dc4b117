"""The OpenAPI document, made from the same routes and types that serve the requests."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

import msgspec

from authority import __version__

from .answers import Problem
from .refusal_table import TITLES
from .routing import Route

_REF = "#/components/schemas/{name}"
_ALWAYS = (403, 413)
_WITH_BODY = (408, 415, 422)
_STREAM = {
    "summary": "What happens, as server-sent events",
    "operationId": "events",
    "tags": ["events"],
    "security": [{}, {"lab": []}, {"session": []}, {"lab": [], "session": []}],
    "parameters": [
        {"name": "role", "in": "query", "schema": {"enum": ["watch", "feed", "keeper"], "default": "watch"}},
        {"name": "session_id", "in": "query", "schema": {"type": "string"}},
        {"name": "after", "in": "query", "schema": {"type": "integer"}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
    ],
}


def openapi_document(routes: Sequence[Route]) -> dict[str, object]:
    """Return the OpenAPI 3.1 document of `routes`."""
    types = [Problem, *(route.answer_type for route in routes)]
    types += [body for route in routes if (body := route.body_type or route.own_body) is not None]
    types += [kind for route in routes for kind, _ in route.query.values()]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_any_value, ref_template=_REF)
    for component in components.values():
        if "description" in component:  # a docstring, which Python indents up to 3.12
            component["description"] = inspect.cleandoc(component["description"])
    of_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of_type)
    stream = {"description": "an endless stream", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    refusals = {str(code): _refusal(code, of_type[id(Problem)]) for code in (401, 403, 404, 422, 503)}
    paths["/api/events"] = {"get": _STREAM | {"responses": {"200": stream, **refusals}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "motorlock authority",
            "version": __version__,
            "description": "Who may drive which equipment, now. Push is described in docs/reference/rest.md.",
        },
        "security": [{}, {"lab": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "lab": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "header", "name": "Motorlock-Session"},
            },
        },
    }


def _any_value(kind: type) -> dict[str, object]:  # noqa: ARG001 - a driver's data may be any JSON
    return {"description": "any JSON value"}


def _operation(route: Route, of_type: dict[int, dict[str, object]]) -> dict[str, object]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "maxLength": 128}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    for name, (kind, default) in route.query.items():
        schema = of_type[id(kind)]
        if default is not None:
            schema = schema | {"default": default}
        parameters.append({"name": name, "in": "query", "required": False, "schema": schema})
    if "/command" in route.path:
        schema = {"type": "string", "minLength": 1, "maxLength": 128}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema})
    answer = {"description": route.summary, "content": {"application/json": {"schema": of_type[id(route.answer_type)]}}}
    responses: dict[str, object] = {str(status): answer for status in route.statuses}
    for code in _codes(route):
        responses[str(code)] = _refusal(code, of_type[id(Problem)])
    tag = "health"
    if route.path.startswith("/api/"):
        tag = route.path.split("/")[2]
    operation: dict[str, object] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "tags": [tag],
        "responses": responses,
    }
    if 401 in route.codes:
        operation["security"] = [{}, {"lab": []}, {"session": []}, {"lab": [], "session": []}]
    if parameters:
        operation["parameters"] = parameters
    body = route.body_type or route.own_body
    if body is not None:
        content = {"application/json": {"schema": of_type[id(body)]}}
        operation["requestBody"] = {"required": route.own_body is None, "content": content}
    return operation


def _codes(route: Route) -> list[int]:
    codes = {*route.codes, *_ALWAYS}
    if route.body_type is not None:
        codes.update(_WITH_BODY)
    if route.path.startswith("/api/"):
        codes.add(401)
    if not route.open_to_all:
        codes.add(503)
    return sorted(codes)


def _refusal(code: int, schema: dict[str, object]) -> dict[str, object]:
    return {"description": TITLES[code], "content": {"application/problem+json": {"schema": schema}}}

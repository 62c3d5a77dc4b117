"""Finds a path's route in one walk over its segments; what is no route goes on to the pages.

Starlette tries its routes one after another behind two layers of wrappers: a fifth of what a login costs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from .routing import AppContext, Route, RouteEndpoint


@dataclass
class _Node:
    """What lies below one prefix of segments; `any` takes a segment as a parameter of that name."""

    fixed: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    name: str = ""
    routes: dict[str, RouteEndpoint] = field(default_factory=dict)


class Router:
    """An ASGI application of all routes; `rest` serves every other path and method."""

    def __init__(self, app_context: AppContext, routes: tuple[Route, ...], rest: ASGIApp) -> None:
        """Lay out the segments of `routes`."""
        self._root = _Node()
        self._rest = rest
        for route in routes:
            node = self._root
            for segment in route.path.split("/"):
                node = self._below(node, segment)
            node.routes[route.method] = RouteEndpoint(app_context, route)

    def _below(self, node: _Node, segment: str) -> _Node:
        if not segment.startswith("{"):
            return node.fixed.setdefault(segment, _Node())
        if node.any is None:
            node.any = _Node(name=segment.strip("{}"))
        return node.any

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await (self._find(scope) or self._rest)(scope, receive, send)

    def _find(self, scope: Scope) -> RouteEndpoint | None:
        node = self._root
        parameters = {}
        for segment in scope["path"].split("/"):
            below = node.fixed.get(segment)
            if below is None:
                below = node.any
                if below is None or not segment:
                    return None
                parameters[below.name] = segment
            node = below
        scope["path_params"] = parameters
        method = scope["method"]
        if method == "HEAD":
            method = "GET"
        return node.routes.get(method)

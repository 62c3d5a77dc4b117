"""What a route is: one method and path, what goes in, what comes out. One list makes the routes and OpenAPI.

A path's route is found in one walk over its segments. Starlette tries its routes one after another behind two layers of
wrappers: a fifth of what a login costs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from authority.committer import StoreFailed
from authority.core.refusals import Refusal
from authority.identity.access import Right
from authority.service import RequestFailed

from .guard import TELLING_CODES, note_refused
from .problems import ProblemResponse, refusal_to_problem
from .request_body import read_small_body
from .request_context import AppContext, Query, RequestContext

_JSON = {"content-type": "application/json"}
# What is still to come on such a connection is the rest of a body that nobody reads.
_BODY_LEFT_UNREAD = frozenset({400, 408, 413})

Served = TypeVar("Served", bound=ASGIApp)
# A plain function, or a coroutine.
Handler = Callable[..., object]


@dataclass(frozen=True)
class Route:
    """One method and path. A plain function handles it in one step; a coroutine waits for the disk itself.

    What the handler says of its `body` and of what it returns are the types of the body and of the answer. One that
    returns a response names the type in `answer`; one that reads the body itself, which may be missing, in `own_body`.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: Any = None
    own_body: Any = None
    query: Query = field(default_factory=dict)
    codes: tuple[int, ...] = ()
    statuses: tuple[int, ...] = (200,)
    open_to_all: bool = False
    right: Right | None = Right.READ

    @cached_property
    def names_equipment(self) -> bool:
        """Whether the path names the equipment to which its right is asked for; else it is to any of the lab."""
        return "{equipment_id}" in self.path

    @cached_property
    def answer_type(self) -> Any:
        """The type of the answer."""
        return self.answer or get_type_hints(self.handler)["return"]

    @cached_property
    def body_type(self) -> Any:
        """The type of the body that the handler takes; None where a body means nothing."""
        return get_type_hints(self.handler).get("body")


class RouteEndpoint:
    """Serves one route, as an ASGI application of its own."""

    def __init__(self, app_context: AppContext, route: Route) -> None:
        """Serve `route` with what `app_context` holds."""
        self._app_context = app_context
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Parse, ask once, render."""
        right = self._route.right or Right.READ
        context = RequestContext(self._app_context, Request(scope, receive), self._route.query, right)
        response = await respond_or_refuse(context, self._serve(context))
        await response(scope, receive, send)

    async def _serve(self, context: RequestContext) -> Response:
        route = self._route
        service = context.service
        received = (context.request.scope, context.headers, context.request.receive)
        arguments: tuple[object, ...] = (context,)
        if route.body_type is not None:
            arguments += (await context.app.bodies.read(route.body_type, *received),)
        elif route.own_body is None:
            await read_small_body(*received)  # it means nothing
        if route.right is not None and not route.names_equipment:
            context.require_anywhere(route.right)
        if service.failure is not None and not route.open_to_all:
            raise StoreFailed
        is_committed = False
        try:
            answer = route.handler(*arguments)
            if isinstance(answer, Coroutine):
                # A coroutine waits for its own commit: what others decided since does not delay its answer.
                answer = await answer
                is_committed = True
        finally:
            if not is_committed and not route.open_to_all:
                await service.wait_until_committed()
        if isinstance(answer, Response):
            return answer
        return Response(msgspec.json.encode(answer), 200, _JSON)


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


async def respond_or_refuse(context: RequestContext, serving: Awaitable[Served]) -> Served | Response:
    """Return the answer, or the problem that a refusal becomes."""
    service = context.service
    try:
        return await serving
    except Refusal as refusal:
        refused = refusal_to_problem(refusal, service.views, service.clock.now())
    except ProblemResponse as problem_response:
        refused = problem_response
    except RequestFailed:
        refused = ProblemResponse("request_failed")
    except StoreFailed:
        refused = ProblemResponse("store_unavailable")
    if refused.code in TELLING_CODES:
        note_refused(context.app.users.refused, refused.code, context.request.scope)
    response = refused.response()
    if refused.status in _BODY_LEFT_UNREAD:
        response.headers["connection"] = "close"
    return response

"""The app factory: the routes, the streams, the page and the document, behind the guard."""

from __future__ import annotations

from importlib.resources import files

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from authority.identity.users import Users
from authority.options import Options
from authority.service import Service

from . import commands, equipment, locks, queue, sessions
from . import users as user_routes
from .guard import Guard
from .openapi import openapi_document
from .path_prefix import PathPrefix
from .problems import ProblemResponse
from .push import HEADERS, Streams
from .push import PATH as EVENTS
from .request_context import AppContext
from .routing import Router
from .session_ids import SessionIds
from .stop_first import StopFirstScheduler
from .websocket import PATH, WebSocketEndpoint

ROUTES = (
    *equipment.ROUTES,
    *commands.ROUTES,
    *locks.ROUTES,
    *sessions.ROUTES,
    *queue.ROUTES,
    *user_routes.ROUTES,
)
PARTS = (
    ("page.css", "text/css"),
    ("page.js", "text/javascript"),
    ("words.js", "text/javascript"),
    ("listen.js", "text/javascript"),
    ("worker.js", "text/javascript"),
    ("icon.svg", "image/svg+xml"),
    ("docs.css", "text/css"),
    ("docs.js", "text/javascript"),
)

_DEFAULTS = Options()
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'self'",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def make_app(
    service: Service,
    ids: SessionIds,
    *,
    hosts: frozenset[str] = frozenset(),
    users: Users,
    options: Options = _DEFAULTS,
    root_path: str = "",
) -> ASGIApp:
    """Return the ASGI app that serves `service` to its users, below `root_path` too."""
    app_context = AppContext(service, ids, options, users)
    streams = Streams(app_context)
    pages = Starlette(
        routes=[
            Route(EVENTS, _method_not_allowed, methods=["GET"]),
            Route(PATH, _upgrade_required, methods=["GET"]),
            Route("/api", _json(_index(root_path)), methods=["GET"]),
            Route("/openapi.json", _json(_document(root_path)), methods=["GET"]),
            Route("/", _part("page.html", "text/html"), methods=["GET"]),
            *(Route(f"/{name}", _part(name, media_type), methods=["GET"]) for name, media_type in PARTS),
            Route("/docs", _part("docs.html", "text/html"), methods=["GET"]),
            *_prefix_routes(root_path),
            # What the router did not take: another method of a route.
            *(Route(route.path, _method_not_allowed, methods=[route.method]) for route in ROUTES),
        ],
        exception_handlers={HTTPException: _not_found},
    )
    pages.router.redirect_slashes = not root_path  # Starlette would lead away from the prefix
    router = Router(app_context, ROUTES, pages)

    sockets = WebSocketEndpoint(streams)

    async def push_or_route(scope: Scope, receive: Receive, send: Send) -> None:
        # Not behind Starlette's routes: what is pushed goes to the connection itself, and a stream is long.
        if scope["type"] == "websocket":
            await sockets(scope, receive, send)
        elif scope["path"] == EVENTS and scope["method"] == "GET":
            await streams(scope, receive, send)
        elif scope["path"] == EVENTS and scope["method"] == "HEAD":
            await Response(headers={name.decode(): value.decode() for name, value in HEADERS})(scope, receive, send)
        else:
            await router(scope, receive, send)

    guard = Guard(push_or_route, hosts=hosts, users=users, session_tokens=app_context.session_tokens)
    scheduler = StopFirstScheduler(guard)
    if not root_path:
        return scheduler
    return PathPrefix(scheduler, root_path)


def _prefix_routes(root_path: str) -> list[Route]:
    """Return what leads from the prefix alone to the page, whose addresses are relative to it."""
    if not root_path:
        return []
    page = RedirectResponse(f"{root_path.rpartition('/')[2]}/")
    return [Route(root_path, page, methods=["GET"])]


def _document(root_path: str) -> dict[str, object]:
    document = openapi_document(ROUTES)
    if root_path:
        document["servers"] = [{"url": root_path}]
    return document


def _index(root_path: str) -> dict[str, object]:
    """Return what there is, for who looks around."""
    paths = [{"method": route.method, "path": route.path, "summary": route.summary} for route in ROUTES]
    paths += [
        {"method": "GET", "path": EVENTS, "summary": "What happens, as server-sent events"},
        {"method": "GET", "path": PATH, "summary": "What happens, as a WebSocket"},
    ]
    return {
        "name": "motorlock",
        "documentation": f"{root_path}/docs",
        "openapi": f"{root_path}/openapi.json",
        "paths": paths,
    }


def _read(name: str) -> str:
    return (files("authority.api") / name).read_text(encoding="utf-8")


def _part(name: str, media_type: str) -> Response:
    return Response(_read(f"page/{name}"), media_type=media_type, headers=_PAGE_HEADERS)


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


async def _upgrade_required(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    answer = ProblemResponse("upgrade_required").response()
    answer.headers["upgrade"] = "websocket"
    return answer


async def _method_not_allowed(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    raise HTTPException(405)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        answer = ProblemResponse("method_not_allowed", method=request.method, path=request.url.path).response()
        answer.headers.update(error.headers or {})
        return answer
    return ProblemResponse("not_found", path=request.url.path).response()

"""The path below which a reverse proxy shows the authority: the routes are there too, and also where they always are.

So it is no matter whether the proxy takes the prefix off before it passes a request on.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class PathPrefix:
    """Takes a prefix off the path of each request that has it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        """Serve `app` below `prefix`, such as `/motorlock`, too."""
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on. The prefix alone is left: it has a redirect of its own."""
        path: str = scope["path"]
        if path.startswith(f"{self._prefix}/"):
            scope["path"] = path.removeprefix(self._prefix)
        await self._app(scope, receive, send)

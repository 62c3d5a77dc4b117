"""The authority with an echo route of the same stack beside its routes, so that both are measured on one loop."""

from __future__ import annotations

import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from authority import serve, settings
from authority.api import app as factory
from authority.log_format import set_up

from .floor import Bell, echo
from .limits import raise_descriptor_limit
from .stop import stamp


def main(lab: Path, data: Path) -> int:
    """Serve the lab file `lab`, and the floors, on a free port."""

    def with_floors(*args: object, **options: object) -> ASGIApp:
        bell = Bell()
        app = factory.make_app(*args, **options)  # type: ignore[arg-type]
        floors = Starlette(
            routes=[
                Route("/echo", echo, methods=["POST"]),
                Route("/listen", bell.listen),
                Route("/ring", bell.ring, methods=["POST"]),
                Route("/stamp", stamp, methods=["POST"]),
            ]
        )

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            is_floor = scope.get("path") in {"/echo", "/listen", "/ring", "/stamp"}
            await (floors if is_floor else app)(scope, receive, send)

        return both

    serve.make_app = with_floors  # type: ignore[assignment]
    raise_descriptor_limit()
    output = set_up("info", "text")
    told = settings.load(host=None, port=0, config=lab, data=data)
    return serve.serve(told, lambda url: print(f"listening on {url}", flush=True), write_events=output.write_events)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

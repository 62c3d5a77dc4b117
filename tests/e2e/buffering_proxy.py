"""A proxy under a path of its own that passes nothing on before it has all of it, so that no stream gets through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

PREFIX = "/lab/proxy/8790"
LONGEST_ANSWER_S = 20.0


@contextmanager
def buffering_proxy(url: str) -> Iterator[str]:
    """Serve the authority at `url` below `PREFIX`; give the address of its page there."""

    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: text for name, text in self.headers.items() if name.lower() not in ("host", "connection")}
            # As browsers say it of the proxy; what is behind it has to be told its own name.
            headers.pop("Origin", None)
            path = self.path.removeprefix(PREFIX)
            with suppress(requests.RequestException, OSError):  # whoever asked is answered with an end
                answer = whole(self.command, f"{url}{path}", headers, body)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["content-type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)
                return
            self.close_connection = True

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}/"
    finally:
        server.shutdown()
        server.server_close()


def whole(method: str, url: str, headers: dict[str, str], body: bytes) -> requests.Response:
    """Return an answer once all of it is there; a stream never is."""
    with requests.Session() as http:
        http.trust_env = False
        return http.request(method, url, headers=headers, data=body, timeout=LONGEST_ANSWER_S)

"""HTTP to an authority of this machine that listens on a Unix socket: nobody on the network reaches it."""

from __future__ import annotations

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError


class UnixSocketAdapter(HTTPAdapter):
    """Connects to the socket at `path`, whichever host a URL names."""

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__()

    def init_poolmanager(self, *given: Any, **more: Any) -> None:
        """Make the connections to the socket; `requests` calls this with what it wants of them."""
        super().init_poolmanager(*given, **more)
        path = self._path

        class Connection(HTTPConnection):
            """A connection to the socket."""

            def _new_conn(self) -> socket.socket:
                line = socket.socket(socket.AF_UNIX)
                try:
                    if isinstance(self.timeout, (int, float)):
                        line.settimeout(self.timeout)
                    line.connect(path)
                except TimeoutError:
                    line.close()
                    raise ConnectTimeoutError(self, f"no answer at {path}") from None
                except OSError as error:
                    line.close()
                    raise NewConnectionError(self, str(error)) from error
                return line

        class Pool(HTTPConnectionPool):
            """Connections to the socket."""

            ConnectionCls = Connection

        self.poolmanager.pool_classes_by_scheme = {"http": Pool}

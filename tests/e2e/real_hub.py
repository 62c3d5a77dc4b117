"""A real JupyterHub with its proxy, on ports of this test's own, and kernels that it has started for its users."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types, and IPython brings it
import pytest
import requests
from jupyter_client.blocking.client import BlockingKernelClient

PATIENCE_S = 60.0
ROOT = Path(__file__).parents[2]
CONFIG = """
import sys
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.pid_file = {place!r} + "/proxy.pid"
c.JupyterHub.db_url = "sqlite:///" + {place!r} + "/hub.sqlite"
c.JupyterHub.cookie_secret_file = {place!r} + "/cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {place!r} + "/home/{{username}}"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser", "--allow-root"]
c.Spawner.environment = {{"MOTORLOCK_URL": {authority_url!r}, "JUPYTER_RUNTIME_DIR": {place!r} + "/runtime"}}
c.JupyterHub.load_groups = {{"beamline": {{"users": ["ann"]}}}}
c.Authenticator.allowed_users = {{"ann", "bob"}}

# What docs/hub.md says, from here on
c.JupyterHub.services = [{{"name": "motorlock"}}, {{"name": "test", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "user", "scopes": ["self", "access:services!service=motorlock"]}},
    {{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "access:servers"]}},
]
c.Spawner.server_token_scopes = [
    "users:activity!user",
    "access:servers!server",
    "access:services!service=motorlock",
    "tokens!user",
]
"""


def proxy_program() -> str:
    """Return where configurable-http-proxy is; skip the test with a sentence where it or the Hub is missing."""
    found = shutil.which("configurable-http-proxy", path=f"{os.environ['PATH']}:{ROOT}/.venv/node_modules/.bin")
    if find_spec("jupyterhub") is None or found is None:
        pytest.skip(
            "needs JupyterHub and its proxy: pip install 'jupyter-motorlock[long]', and "
            "npm install --prefix .venv configurable-http-proxy"
        )
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Hub:
    """One Hub, which starts servers that find the authority at `authority_url` on `hub_port`."""

    def __init__(self, place: Path, hub_port: int) -> None:
        self._place = place
        self._hub_port = hub_port
        self.api_url = f"http://127.0.0.1:{hub_port}/hub/api"
        self._token = secrets.token_hex(16)
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["Authorization"] = f"token {self._token}"
        self._kernels: list[BlockingKernelClient] = []
        self._left: list[psutil.Process] = []

    def start(self, authority_url: str) -> None:
        """Start it and wait until it answers."""
        port, proxy_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        (self._place / "runtime").mkdir(parents=True)
        (self._place / "hub_config.py").write_text(
            CONFIG.format(
                port=port,
                hub_port=self._hub_port,
                proxy_port=proxy_port,
                proxy=proxy_program(),
                place=str(self._place),
                authority_url=authority_url,
                token=self._token,
            )
        )
        self._log = (self._place / "hub.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(self._place / "hub_config.py")],
            cwd=self._place,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._until(lambda: self._http.get(f"{self.url}/hub/api/").ok, "the Hub answers")

    def request(self, method: str, path: str, body: object = None, *, token: str | None = None) -> requests.Response:
        """Make a request of the Hub, or of a user's server through its proxy, as the test or with a `token`."""
        headers = {"Authorization": f"token {token}"} if token else None
        return self._http.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=PATIENCE_S)

    def kernel(self, user: str) -> Kernel:
        """Start a user's server, and in it a kernel."""
        self.request("POST", f"/hub/api/users/{user}/server").raise_for_status()
        self._until(
            lambda: self.request("GET", f"/user/{user}/api/status").headers.get("Content-Type") == "application/json",
            f"the server of {user} answers",
        )
        made = self.request("POST", f"/user/{user}/api/kernels", {})
        made.raise_for_status()
        client = BlockingKernelClient()
        client.load_connection_file(str(self._place / "runtime" / f"kernel-{made.json()['id']}.json"))
        client.start_channels()
        client.wait_for_ready(timeout=PATIENCE_S)
        self._kernels.append(client)
        return Kernel(client)

    def kill(self) -> None:
        """Kill the Hub alone; its proxy, and the servers and kernels of its users, live on until `close`."""
        self._left = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()

    def close(self, users: tuple[str, ...] = ("ann", "bob")) -> None:
        """End all of it."""
        for client in self._kernels:
            client.shutdown()
            client.stop_channels()
        if self.process.poll() is None:
            for user in users:
                self.request("DELETE", f"/hub/api/users/{user}/server")
            self.process.terminate()
            self.process.wait(PATIENCE_S)
        for process in self._left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()  # by its id and the time when it began
        self._log.close()
        self._http.close()

    def _until(self, condition: Any, what: str) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                if condition():
                    return
            except requests.ConnectionError:
                pass
            log = (self._place / "hub.log").read_text()
            assert time.monotonic() < give_up, f"waited in vain: {what}\n{log[-4000:]}"
            assert self.process.poll() is None, f"the Hub has ended\n{log[-4000:]}"
            time.sleep(0.1)


class Kernel:
    """A kernel of a user of the Hub, in which code is run as in a notebook."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str) -> str:
        """Run a cell and return what it shows: text, results, and the lines of an error."""
        shown: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.append(content["text"])
            elif message["msg_type"] in ("execute_result", "display_data"):
                shown.append(content["data"].get("text/plain", ""))
            elif message["msg_type"] == "error":
                shown.extend(content["traceback"])

        self._client.execute_interactive(code, timeout=PATIENCE_S, output_hook=keep, allow_stdin=False)
        return "\n".join(shown)

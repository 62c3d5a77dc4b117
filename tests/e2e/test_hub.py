"""Two users of a real JupyterHub, with real servers and kernels that it has started (docs/hub.md)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from real_hub import PATIENCE_S, Hub, free_ports, proxy_program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LAB = """
[auth]
sources = ["jupyterhub"]
hub_api_url = "{api_url}"

[[access]]
role = "operator"
groups = ["beamline"]

[[access]]
role = "observer"
users = ["bob"]

[equipment.stage_x]
driver = "simulated-motor"
"""
MINT = """
import os, requests
answer = requests.post(
    os.environ["JUPYTERHUB_API_URL"] + "/users/ann/tokens",
    headers={"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]},
    json={"expires_in": 60, "scopes": ["access:services!service=motorlock"]},
)
print(answer.json()["token"])
"""


@contextmanager
def authority(place: Path, api_url: str) -> Iterator[str]:
    (place / "lab.toml").write_text(LAB.format(api_url=api_url), encoding="utf-8")
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(place / "data")]
    process = subprocess.Popen(
        [*command, "--config", str(place / "lab.toml")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MOTORLOCK_AUTH": ""},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip().partition("listening on ")[2]
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Hub, str]]:
    """A Hub and an authority that asks it."""
    proxy_program()  # says so where it is missing
    hub = Hub(tmp_path, free_ports(1)[0])
    with authority(tmp_path, hub.api_url) as url:
        try:
            hub.start(url)
            yield hub, url
        finally:
            hub.close()


def test_users_of_a_hub_are_told_apart_without_set_up_and_their_own_tokens_stay_with_the_hub(
    lab: tuple[Hub, str],
) -> None:
    """WHO-36, WHO-37, WHO-38, WHO-39, WHO-40"""
    hub, url = lab
    ann = hub.kernel("ann")
    ann.run("%load_ext jupyter_motorlock")
    ann.run("%motor_login stage_x")
    assert "stage_x is yours" in ann.run("%motor_status stage_x")
    bob = hub.kernel("bob")
    bob.run("%load_ext jupyter_motorlock")
    assert "ann" in bob.run("%motor_status stage_x")
    assert "lacks the right `control`" in bob.run("%motor_login stage_x")

    own_token = ann.run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip()
    refused = requests.get(f"{url}/api/whoami", headers={"Authorization": f"Bearer {own_token}"}, timeout=PATIENCE_S)
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_token")
    token = ann.run(MINT).strip()
    me = requests.get(f"{url}/api/whoami", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S).json()
    assert (me["user"], me["source"], me["groups"]) == ("ann", "jupyterhub", ["beamline"])
    assert hub.request("GET", "/user/ann/api/kernels", token=own_token).status_code == 200
    assert hub.request("GET", "/user/ann/api/kernels", token=token).status_code == 403

    hub.kill()
    assert "1 mm" in ann.run("%%motor stage_x\nmove_to 1.0")
    assert "stage_x is yours" in ann.run("%motor_status stage_x")
    shown = bob.run("from jupyter_motorlock.client.session import KernelSession\nKernelSession().acquire('stage_x')")
    assert "does not answer, so that nothing proves who you are" in shown

"""The demonstration's laboratory: the authority, and with `--epics` a server of motor records."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

from authority.demo.children import Children

READY = " listening on "
STAGES = {"stage_x": ("mtr3", "Sample stage, x"), "stage_y": ("mtr2", "Sample stage, y")}


class LabUnavailable(Exception):
    """What the demonstration needs is not installed; the text is one sentence for a person."""


def refuse_missing(*, headless: bool, epics: bool) -> None:
    """Raise `LabUnavailable` when a package is missing that such a demonstration needs."""
    needed = ["msgspec", "starlette", "uvicorn", *([] if headless else ["jupyterlab"]), *(["caproto"] if epics else [])]
    for name in needed:
        if importlib.util.find_spec(name) is None:
            extras = "demo"
            if epics:
                extras = "demo,epics"
            raise LabUnavailable(
                f"The demonstration needs {name}, which is not installed: pip install 'jupyter-motorlock[{extras}]'"
            )


def start_lab(children: Children, place: Path, *, epics: bool) -> str:
    """Start the laboratory on free ports of this machine and return the authority's address."""
    if epics:
        env, config = _motor_records(children, place)
    else:
        env, config = ({}, [])
    arguments = [
        "authority",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--open",
        "--data",
        str(place / "data"),
        *config,
    ]
    authority = children.start("authority", arguments, env)
    line = ""
    if authority.stdout is not None:
        line = authority.stdout.readline()
    if READY not in line:
        authority.wait()
        raise children.failed("authority")
    return line.partition(READY)[2].strip()


def _motor_records(children: Children, place: Path) -> tuple[dict[str, str], list[str]]:
    """Start caproto's motor records on a port of their own; answer what the authority needs to drive them."""
    prefix = f"demo{os.getpid()}:"
    port = _free_port()
    here = {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(port + 1),
    }
    serving = {
        "EPICS_CAS_SERVER_PORT": str(port),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_PORT": str(port + 1),
    }
    command = "caproto.ioc_examples.fake_motor_record --interfaces 127.0.0.1 --prefix"
    children.start("motor records", [*command.split(), prefix], {**here, **serving})
    config = place / "lab.toml"
    config.write_text("\n".join(_stage(name, prefix) for name in STAGES), encoding="utf-8")
    return here, ["--config", str(config)]


def _stage(name: str, prefix: str) -> str:
    record, label = STAGES[name]
    return f"""\
[equipment.{name}]
driver = "epics-motor"
label = "{label} ({prefix}{record})"
observers = "alongside"

[equipment.{name}.options]
prefix = "{prefix}{record}"
velocity = 10.0
units = "mm"
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

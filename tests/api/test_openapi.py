"""The OpenAPI document: the committed one is the served one, and the authority does what it says.

`python tests/api/test_openapi.py` writes docs/reference/openapi.json anew.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rest_lab import Authority, running

from authority.api.app import ROUTES
from authority.api.openapi import openapi_document

MOTORS = 1
COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

ENDLESS_STREAM = "/api/events"


def rendered() -> str:
    """Return the document as it is committed."""
    return json.dumps(openapi_document(ROUTES), indent=1, sort_keys=True) + "\n"


def test_the_committed_openapi_document_is_that_of_the_code() -> None:
    """REST-16"""
    assert COMMITTED.read_text(encoding="utf-8") == rendered(), "run: python tests/api/test_openapi.py"


def test_the_served_openapi_document_is_that_of_the_code(lab: Authority) -> None:
    """REST-16"""
    assert lab.send("GET", "/openapi.json").json() == json.loads(rendered())


def test_the_document_names_every_path_of_the_reference(lab: Authority) -> None:
    """REST-16"""
    paths = lab.send("GET", "/openapi.json").json()["paths"]
    named = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    expected = {f"{route.method} {route.path}" for route in ROUTES} | {"GET /api/events"}
    assert named == expected


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="needs schemathesis")
def test_whatever_is_sent_the_authority_answers_as_its_document_says(tmp_path: Path) -> None:
    """REST-16 REST-17"""
    with running(tmp_path) as authority:
        person = authority.person("schemathesis", timeout_seconds=0)
        person.has("ps_abc123")
        (tmp_path / "schemathesis.toml").write_text(
            '[parameters]\n"path.equipment_id" = "ps_abc123"\n', encoding="utf-8"
        )
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{authority.url}/openapi.json"]
        command += ["--checks", CHECKS, "--max-examples", "15"]
        command += ["--exclude-path", ENDLESS_STREAM]
        command += ["--generation-deterministic", "--no-color", "--continue-on-failure"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=tmp_path)
        assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
        assert "Traceback" not in authority.log


if __name__ == "__main__":
    COMMITTED.write_text(rendered(), encoding="utf-8")

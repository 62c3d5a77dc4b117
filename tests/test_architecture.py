"""The import contracts of pyproject.toml, and what the rules may import."""

from __future__ import annotations

import subprocess
import sys

import grimp
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

PLAIN = {"__future__", "collections", "enum", "msgspec", "typing"}


def test_every_import_contract_holds() -> None:
    """RUN-10"""
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


def test_the_rules_import_nothing_that_could_do_or_know_more_than_rules() -> None:
    graph = grimp.build_graph("authority", include_external_packages=True, cache_dir=None)
    core = {"authority.core", *graph.find_descendants("authority.core")}
    imported = {name for module in core for name in graph.find_modules_directly_imported_by(module)}
    assert imported - core <= PLAIN
    assert "authority.core.rules" in core
    assert "authority.core.model" in imported


SERVES = """
import sys
import authority.serve
from authority.__main__ import parser

parser("serve").parse_args(["serve"])
print({"jupyter_motorlock", "requests"} & set(sys.modules))
"""


def test_an_authority_that_serves_loads_nothing_of_a_clients() -> None:
    ran = subprocess.run([sys.executable, "-c", SERVES], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"

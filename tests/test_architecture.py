"""The import contracts of pyproject.toml, and what the rules may import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
LINT_IMPORTS = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
PLAIN = {"__future__", "collections", "enum", "msgspec", "typing"}


def test_every_import_contract_holds() -> None:
    """RUN-10"""
    # In a process of its own: it switches off the loggers that there are.
    ended = subprocess.run([sys.executable, "-c", LINT_IMPORTS], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


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

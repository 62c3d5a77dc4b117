"""Run the tests of what was changed since the last commit: `make test-changed`.

A test file belongs to a change when it was changed itself, or when it imports a module that was.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]
PACKAGES = ("authority", "jupyter_motorlock")


def changed_files() -> list[Path]:
    """Return what differs from the last commit, new files included, relative to the top."""
    tracked = ["git", "diff", "--name-only", "HEAD"]
    untracked = ["git", "ls-files", "--others", "--exclude-standard"]
    names: list[str] = []
    for command in (tracked, untracked):
        names += subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout.splitlines()
    return [Path(name) for name in names if (TOP / name).exists()]


def tests_of(changed: list[Path]) -> list[Path]:
    """Return the test files that were changed, or that import a changed module by its full name."""
    modules = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in changed
        if path.suffix == ".py" and path.parts[0] in PACKAGES
    }
    found: list[Path] = []
    for test in sorted((TOP / "tests").rglob("test_*.py")):
        relative = test.relative_to(TOP)
        if "e2e" in relative.parts:
            continue
        source = test.read_text(encoding="utf-8")
        imports = any(f"from {module} import" in source or f"import {module}\n" in source for module in modules)
        if imports or relative in changed:
            found.append(relative)
    return found


def main() -> int:
    """Run them; return pytest's exit status, 0 where there is nothing to run."""
    tests = tests_of(changed_files())
    if not tests:
        print("Nothing with tests of its own was changed since the last commit.")
        return 0
    arguments = ["-q", "-n", "2", "-m", "not browser and not slow", *map(str, tests)]
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=TOP, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

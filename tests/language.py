"""Count how the code speaks and compare it with the aims of the house style: `make words`.

Counted are, in the packages, conditional expressions and parallel assignments per 1,000 lines that are not blank, names
of one letter outside comprehensions, and circles of imports, lazy and typing-only ones included; in the tests, uses of
what is private to others.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).parents[1]
PACKAGES = ("authority", "jupyter_motorlock")
CONDITIONAL_EXPRESSIONS_PER_1000 = 8.0
PARALLEL_ASSIGNMENTS_PER_1000 = 1.0
# `_` says that a value is not used; `T` is the usual name of a type variable.
ALLOWED_LETTERS = frozenset({"_", "T"})
PRIVATE_ACCESSES_IN_TESTS = 7
# Code that a test sends to a kernel stands in a text, and counts as well.
_PRIVATE_ACCESS = re.compile(r"(?<!\bself)(?<!\bcls)\.(_(?!_)[A-Za-z]\w*)")
_PUBLIC_ALL_THE_SAME = frozenset({"_exit", "_current_frames"})


class Counts(NamedTuple):
    """What was found in the source of one file."""

    lines: int
    conditional_expressions: int
    parallel_assignments: int
    single_letters: tuple[str, ...]


def count(source: str) -> Counts:
    """Count the source of one module."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    return Counts(
        lines=sum(1 for line in source.splitlines() if line.strip()),
        conditional_expressions=sum(isinstance(node, ast.IfExp) for node in nodes),
        parallel_assignments=sum(_is_parallel_assignment(node) for node in nodes),
        single_letters=tuple(sorted(_single_letters(nodes))),
    )


def _is_parallel_assignment(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign):
        return False
    return isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)


def _single_letters(nodes: list[ast.AST]) -> Iterator[str]:
    in_comprehensions = {
        id(name)
        for node in nodes
        if isinstance(node, ast.comprehension)
        for name in ast.walk(node.target)
        if isinstance(name, ast.Name)
    }
    for node in nodes:
        name = ""
        if isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in in_comprehensions:
            name = node.id
        elif isinstance(node, ast.alias) and node.asname:
            name = node.asname
        if len(name) == 1 and name not in ALLOWED_LETTERS:
            yield f"{name} (line {getattr(node, 'lineno', '?')})"


def private_accesses(source: str) -> list[str]:
    """Return each use of a private attribute of something else than `self`; `_repr_html_` is a protocol of IPython."""
    return [
        f"{name} (line {number})"
        for number, line in enumerate(source.splitlines(), 1)
        for name in _PRIVATE_ACCESS.findall(line)
        if name not in _PUBLIC_ALL_THE_SAME and not name.endswith("_")
    ]


def import_circles(modules: dict[str, str]) -> list[list[str]]:
    """Return each circle of modules that import one another; `modules` has the source of each by its dotted name."""
    imports = {name: sorted(_imported(name, source, modules)) for name, source in modules.items()}
    return [sorted(group) for group in _strongly_connected(imports) if len(group) > 1]


def _imported(name: str, source: str, modules: dict[str, str]) -> set[str]:
    package = name.split(".") if _is_package(name, modules) else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                found.add(submodule if submodule in modules else base)
    return {target for target in found if target in modules and target != name}


def _is_package(name: str, modules: dict[str, str]) -> bool:
    return any(other.startswith(f"{name}.") for other in modules)


def _strongly_connected(graph: dict[str, list[str]]) -> list[list[str]]:
    """Return the strongly connected components (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], index[target])
        if lowest[node] == index[node]:
            start = stack.index(node)
            components.append(stack[start:])
            del stack[start:]

    for node in graph:
        if node not in index:
            visit(node)
    return components


def sources() -> dict[str, str]:
    """Return the source of every module of the packages, by its dotted name."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in sorted((TOP / package).rglob("*.py")):
            parts = path.relative_to(TOP).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = path.read_text(encoding="utf-8")
    return found


def main() -> int:
    """Print the counts and what is beyond the aims; return the exit status."""
    modules = sources()
    counts = {name: count(source) for name, source in modules.items()}
    lines = sum(found.lines for found in counts.values())
    conditional = 1000 * sum(found.conditional_expressions for found in counts.values()) / lines
    parallel = 1000 * sum(found.parallel_assignments for found in counts.values()) / lines
    letters = [f"{name}: {letter}" for name, found in counts.items() for letter in found.single_letters]
    circles = import_circles(modules)
    print(
        f"{lines} lines: {conditional:.1f} conditional expressions and {parallel:.1f} parallel assignments per 1,000,"
    )
    print(f"{len(letters)} names of one letter outside comprehensions, {len(circles)} circles of imports.")
    wrong = [f"name of one letter in {letter}" for letter in letters]
    wrong += [f"circle of imports: {', '.join(circle)}" for circle in circles]
    if conditional > CONDITIONAL_EXPRESSIONS_PER_1000:
        wrong.append(f"more than {CONDITIONAL_EXPRESSIONS_PER_1000:g} conditional expressions per 1,000 lines")
    if parallel > PARALLEL_ASSIGNMENTS_PER_1000:
        wrong.append(f"more than {PARALLEL_ASSIGNMENTS_PER_1000:g} parallel assignment per 1,000 lines")
    private = [
        f"{path.relative_to(TOP)}: {access}"
        for path in sorted((TOP / "tests").rglob("*.py"))
        for access in private_accesses(path.read_text(encoding="utf-8"))
    ]
    print(f"{len(private)} uses in tests of what is private to others.")
    if len(private) > PRIVATE_ACCESSES_IN_TESTS:
        wrong += [f"more than {PRIVATE_ACCESSES_IN_TESTS} uses in tests of what is private to others", *private]
    for sentence in wrong:
        print(f"  {sentence}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

"""What the documentation says of the code: the files, modules, classes and functions that it names are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TypeGuard

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "authority", ROOT / "jupyter_motorlock")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = [ARCHITECTURE, ROOT / "CONTRIBUTING.md", *DECISIONS]
PYTHON_FILE = re.compile(r"[\w/]+\.py\b")
IN_BACKTICKS = re.compile(r"`([^`\n]+)`")
DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
CLASS_NAME = re.compile(r"[A-Z]\w*[a-z]\w*")
RULE = re.compile(r"^\*\*([A-Z]+-\d+)\*\* (.*)$", re.MULTILINE)
STILL_LONG = {"RUN-44"}
STATUS = re.compile(r"Status: (proposed|accepted|superseded by \S+), \d{4}-\d\d-\d\d\.")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*(\"'])")
MODULE_NAME = re.compile(r"[a-z_]+")
# A row of the table of what lives where: a folder, and what is said of its modules.
FOLDER_ROW = re.compile(r"^\| `([\w/]+)` \|(.*)\|$", re.MULTILINE)


def exists(path: str) -> bool:
    """Whether `path` is a file or folder, from the top of the repository or from one of the two packages."""
    return any((start / path).exists() for start in (ROOT, *PACKAGES))


@cache
def names_in_code() -> frozenset[str]:
    """Each module, class, function and method of the two packages, with its full name."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found.add(module)
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    found.add(f"{module}.{node.name}")
                if isinstance(node, ast.ClassDef):
                    found.update(f"{module}.{node.name}.{member.name}" for member in node.body if is_function(member))
    return frozenset(found)


def is_function(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def is_in_code(name: str) -> bool:
    """Whether `name`, which may leave out the packages in front, is defined."""
    return any(known == name or known.endswith(f".{name}") for known in names_in_code())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_python_file_that_a_page_names_exists(page: Path) -> None:
    named = PYTHON_FILE.findall(page.read_text(encoding="utf-8"))
    if page.parent.name == "decisions":  # "a user's own `authority.py`" is no file of ours
        named = [path for path in named if "/" in path]
    missing = sorted({path for path in named if not is_python_file(path)})
    assert not missing, f"{page.name} names files that do not exist: {missing}"


def is_python_file(path: str) -> bool:
    """Whether `path` exists; a bare name may be in any folder of the two packages."""
    if "/" in path:
        return exists(path)
    return exists(path) or any(list(package.rglob(path)) for package in PACKAGES)


def test_each_class_and_function_that_the_architecture_names_is_defined() -> None:
    named = IN_BACKTICKS.findall(ARCHITECTURE.read_text(encoding="utf-8"))
    in_code = [
        name
        for name in named
        if CLASS_NAME.fullmatch(name) or (DOTTED_NAME.fullmatch(name) and not exists(name) and not name.endswith(".py"))
    ]
    assert len(in_code) > 10, "the page names its classes and functions in backticks"
    missing = sorted({name for name in in_code if not is_in_code(name)})
    assert not missing, f"architecture.md names what the code does not define: {missing}"


def test_each_module_of_the_architecture_table_is_in_its_folder() -> None:
    rows = FOLDER_ROW.findall(ARCHITECTURE.read_text(encoding="utf-8"))
    assert len(rows) >= 6, "the table of what lives where has a row for each folder"
    missing = []
    for folder, what in rows:
        names = [name for name in IN_BACKTICKS.findall(what) if MODULE_NAME.fullmatch(name)]
        missing += [f"{folder}/{name}.py" for name in names if not exists(f"{folder}/{name}.py")]
    assert not missing, f"architecture.md names modules that do not exist: {missing}"


def test_the_first_thing_under_the_readmes_title_is_the_moving_picture() -> None:
    title, _, picture = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:3]
    assert title == "# motorlock"
    [file] = re.findall(r"^!\[.+\]\((.+)\)$", picture)
    with Image.open(ROOT / file) as film:
        assert 8 <= film.n_frames <= 12
    assert (ROOT / file).stat().st_size <= 1_000_000


def test_the_readme_has_at_most_500_words_before_more() -> None:
    before_more, found, _ = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## More\n")
    assert found
    assert len(before_more.split()) <= 500


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_each_decision_record_has_its_status_and_date_under_its_title(page: Path) -> None:
    assert STATUS.match(page.read_text(encoding="utf-8").splitlines()[2])


def test_no_sentence_of_a_rule_has_more_than_30_words() -> None:
    rules = RULE.findall((ROOT / "docs" / "spec.md").read_text(encoding="utf-8"))
    long = {name for name, text in rules for sentence in SENTENCE_END.split(text) if len(sentence.split()) > 30}
    long -= STILL_LONG
    assert not long, f"split the long sentences of {', '.join(sorted(long))} in docs/spec.md"

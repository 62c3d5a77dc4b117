"""All tests run in one environment, which `environment` makes, and the long ones begin first."""

from __future__ import annotations

from pathlib import Path

import pytest
from environment import pytest_configure, pytest_unconfigure

__all__ = ["pytest_collection_modifyitems", "pytest_configure", "pytest_unconfigure"]

TESTS = Path(__file__).parent
# From those that start and end many processes to those that only compute.
FOLDERS_BY_DURATION = ["faults", "notebook", "drivers", "contract", "api", "service", "store", "core"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first, so that at the end no worker is busy with a long file while the others wait."""
    items.sort(key=_folder_by_duration)


def _folder_by_duration(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
    return FOLDERS_BY_DURATION.index(folder) if folder in FOLDERS_BY_DURATION else -1

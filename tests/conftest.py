"""All tests run in one environment, which `environment` makes."""

from __future__ import annotations

from environment import pytest_configure, pytest_unconfigure

__all__ = ["pytest_configure", "pytest_unconfigure"]

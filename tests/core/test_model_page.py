"""The model's page says what the code does."""

from __future__ import annotations

from pathlib import Path

from tests.core.draw_model import diagram

PAGE = Path(__file__).parents[2] / "docs" / "model.md"


def test_the_diagram_of_the_model_is_the_one_the_code_draws():
    """LOSS-8"""
    drawn = diagram()
    assert f"```mermaid\n{drawn}\n```" in PAGE.read_text(encoding="utf-8"), f"docs/model.md must hold:\n{drawn}"

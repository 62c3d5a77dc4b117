"""The model's page says what the code does."""

from __future__ import annotations

from pathlib import Path

from authority.core.model import Equipment, EquipmentId, LossCause, Policy, RestMethod
from authority.core.step import how_to_rest
from tests.core.draw_model import diagram

PAGE = Path(__file__).parents[2] / "docs" / "model.md"


def test_the_diagram_of_the_model_is_the_one_the_code_draws():
    """LOSS-8"""
    drawn = diagram()
    assert f"```mermaid\n{drawn}\n```" in PAGE.read_text(encoding="utf-8"), f"docs/model.md must hold:\n{drawn}"


OF_A_LOCK = [why for why in LossCause if why not in (LossCause.UPGRADED, LossCause.EXCLUSIVE_GRANT)]


def how(why: LossCause, **policy: RestMethod) -> RestMethod:
    return how_to_rest(Equipment(id=EquipmentId("x"), policy=Policy(**policy)), why)


def rest_of(why: LossCause) -> str:
    """A row of the table: how rest is reached by default, and what in the lab file changes it."""
    keys = [
        key
        for key in ("on_loss", "on_silence")
        if how(why, **{key: RestMethod.STOP}) != how(why, **{key: RestMethod.FINISH})
    ]
    return f"| `{why}` | {how(why)} | {keys[0] if keys else 'nothing'} |"


def test_the_page_tells_how_rest_is_reached_for_each_way_of_losing_a_lock():
    """LOSS-4, LOSS-5"""
    rows = "\n".join(rest_of(why) for why in OF_A_LOCK)
    assert f"|---|---|---|\n{rows}\n" in PAGE.read_text(encoding="utf-8"), f"docs/model.md must hold:\n{rows}"

"""What the tests of the authority's page say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from real_lab import Authority, Person

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def card(page: Page, equipment_id: str) -> Locator:
    return page.locator(f"[data-equipment={equipment_id}]")


def says(page: Page, equipment_id: str, text: str) -> None:
    page.locator(f"[data-equipment={equipment_id}]", has_text=text).wait_for()


def move(person: Person, position: float) -> None:
    asked = {
        "command_id": f"to-{position}",
        "equipment_id": "stage_x",
        "action": "move_to",
        "parameters": {"position": position},
        "session_id": person.session_id,
        "wait_seconds": 0,
    }
    assert person.authority.call("POST", "/equipment/stage_x/command", asked)["outcome"] == "running"


def moving(authority: Authority) -> bool:
    return bool(authority.status()["readback"]["moving"])

"""What somebody may do with which equipment (WHO-29, WHO-30)."""

from __future__ import annotations

import pytest

from authority.identity.access import ALL_RIGHTS, NO_RIGHTS, ROLES, Access, Grant, Right
from authority.identity.principal import UNPROVED, Principal

ANN = Principal("ann", "os", frozenset({"beamline"}))
BOB = Principal("bob", "os", frozenset({"students"}))
OWNER = Principal("lab", "os", owns_authority=True)


def test_a_role_has_the_rights_of_the_lesser_ones() -> None:
    assert ROLES["observer"] < ROLES["operator"] < ROLES["admin"] == ALL_RIGHTS


@pytest.mark.parametrize("role", ROLES)
def test_whoever_may_see_equipment_may_stop_it(role: str) -> None:
    assert {Right.READ, Right.STOP} <= ROLES[role]


def test_in_the_trusted_network_everybody_has_all_rights() -> None:
    assert Access(is_trusted=True).rights(UNPROVED, "stage_x") == ALL_RIGHTS


def test_without_a_decision_of_the_lab_everybody_let_in_is_an_operator_and_its_owner_an_admin() -> None:
    access = Access()
    assert access.rights(ANN, "stage_x") == access.rights(UNPROVED, "stage_x") == ROLES["operator"]
    assert access.rights(OWNER, "stage_x") == ALL_RIGHTS


def test_rights_are_given_by_user_and_by_group_for_all_or_for_some_equipment() -> None:
    access = Access(
        [
            Grant(ROLES["operator"], users=("ann",), equipment=("stage_*",)),
            Grant(ROLES["observer"], groups=("students",)),
            Grant(frozenset({Right.FORCE}), groups=("beamline",)),
        ]
    )
    assert access.rights(ANN, "stage_x") == ROLES["operator"] | {Right.FORCE}
    assert access.rights(ANN, "laser") == {Right.FORCE}
    assert access.rights(BOB, "laser") == ROLES["observer"]
    assert access.rights(UNPROVED, "stage_x") == NO_RIGHTS
    assert not access.may(BOB, Right.CONTROL, "stage_x")


def test_a_star_among_the_users_is_everybody_whose_name_is_proved() -> None:
    access = Access([Grant(ROLES["observer"], users=("*",))])
    assert access.may(BOB, Right.READ, "stage_x")
    assert not access.may(UNPROVED, Right.READ, "stage_x")


def test_who_runs_the_authority_is_an_admin_also_where_the_lab_names_others() -> None:
    assert Access([]).rights(OWNER, "stage_x") == ALL_RIGHTS

"""What somebody may do with which equipment: rights, the roles that bundle them, and who is given them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct

from .principal import Principal


class Right(StrEnum):
    """One thing that one may be allowed, in the order in which they weigh."""

    READ = "read"
    STOP = "stop"
    OBSERVE = "observe"
    CONTROL = "control"
    PRIORITY = "priority"
    FORCE = "force"
    CLEAR_FAULT = "clear-fault"
    SESSIONS = "sessions"
    TOKENS = "tokens"


class RoleName(StrEnum):
    """A bundle of rights."""

    OBSERVER = "observer"
    OPERATOR = "operator"
    ADMIN = "admin"


_OBSERVER = frozenset({Right.READ, Right.STOP, Right.OBSERVE})
_OPERATOR = _OBSERVER | {Right.CONTROL}
ALL_RIGHTS = frozenset(Right)
ROLES: Mapping[RoleName, frozenset[Right]] = {
    RoleName.OBSERVER: _OBSERVER,
    RoleName.OPERATOR: _OPERATOR,
    RoleName.ADMIN: ALL_RIGHTS,
}
NO_RIGHTS = frozenset[Right]()


class Grant(Struct, frozen=True):
    """Rights to the equipment that a pattern names (`*` and `?` as in file names), for users and groups.

    `*` among the users is everybody whose name is proved.
    """

    rights: frozenset[Right]
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    equipment: tuple[str, ...] = ("*",)

    def is_for(self, principal: Principal) -> bool:
        """Whether it is given to somebody."""
        if principal.user is None:
            return False
        return "*" in self.users or principal.user in self.users or not principal.groups.isdisjoint(self.groups)

    def covers(self, equipment_id: str) -> bool:
        """Whether the equipment is among what it is for."""
        return any(fnmatchcase(equipment_id, pattern) for pattern in self.equipment)


class Access:
    """Says what somebody may do, as the lab decided it."""

    def __init__(
        self,
        grants: Iterable[Grant] | None = None,
        *,
        is_trusted: bool = False,
        token_grant: Callable[[str], Grant | None] = lambda _: None,
    ) -> None:
        """Give rights by `grants`; None is a lab that decided nothing: whoever is let in is an operator.

        Who bears a token has what `token_grant` says of it, and no more.

        In a trusted network (`is_trusted`) everybody has all rights. So has whoever the authority runs as, always:
        they can read its data and change the lab file.
        """
        self._grants = None
        if grants is not None:
            self._grants = tuple(grants)
        self.is_trusted = is_trusted
        self._token_grant = token_grant
        self._rights: dict[tuple[Principal, str], frozenset[Right]] = {}

    def rights(self, principal: Principal, equipment_id: str) -> frozenset[Right]:
        """Return what somebody may do with equipment."""
        if principal.token is not None:  # it may be revoked at any time
            grant = self._token_grant(principal.token)
            if grant is None or not grant.covers(equipment_id):
                return NO_RIGHTS
            return grant.rights
        key = (principal, equipment_id)
        found = self._rights.get(key)
        if found is None:
            if len(self._rights) >= _REMEMBERED:
                self._rights.clear()
            found = self._decide(principal, equipment_id)
            self._rights[key] = found
        return found

    def may(self, principal: Principal, right: Right, equipment_id: str) -> bool:
        """Whether somebody may do something with equipment."""
        return right in self.rights(principal, equipment_id)

    def may_anywhere(self, principal: Principal, right: Right, equipment_ids: Iterable[str]) -> bool:
        """Whether somebody has a right to any equipment of the lab."""
        return any(right in self.rights(principal, name) for name in equipment_ids)

    def sees_all(self, principal: Principal, equipment_ids: Iterable[str]) -> bool:
        """Whether nothing of the lab is hidden from somebody."""
        return all(self.may(principal, Right.READ, name) for name in equipment_ids)

    def _decide(self, principal: Principal, equipment_id: str) -> frozenset[Right]:
        if self.is_trusted or principal.owns_authority:
            return ALL_RIGHTS
        if self._grants is None:
            return _OPERATOR
        given = (grant.rights for grant in self._grants if grant.is_for(principal) and grant.covers(equipment_id))
        return NO_RIGHTS.union(*given)


_REMEMBERED = 65536

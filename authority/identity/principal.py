"""Who makes a request, as far as it is proved."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

Source: TypeAlias = Literal["os", "token", "jupyterhub"]


class Principal(Struct, frozen=True):
    """Who makes a request. `user` is None where nothing proves it: such a request calls itself as it likes.

    `owns_authority` is whether the authority runs as this user of the operating system, `token` the id of the token
    that proves it, whose rights are those of the request.
    """

    user: str | None = None
    source: Source | None = None
    groups: frozenset[str] = frozenset()
    owns_authority: bool = False
    token: str | None = None

    def named(self, label: str | None) -> str | None:
        """Return the name that is shown: what is proved first, and beside it what they call themselves.

        A label that says the same again, as `ann` or `ann@bench` does of ann, is left out.
        """
        if self.user is None:
            return label
        if label is None or label.partition("@")[0].casefold() == self.user.casefold():
            return self.user
        return f"{self.user} ({label})"


UNPROVED = Principal()

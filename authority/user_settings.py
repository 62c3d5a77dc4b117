"""What a lab file says of its users: how they are identified (`[auth]`), and what they may do (`[[access]]`)."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct

from .identity.access import ROLES, Grant, Right, RoleName
from .identity.jupyterhub import JupyterHub
from .identity.principal import Source


class SourceName(StrEnum):
    """A source of identity, or the word for a network that is trusted without any."""

    OS = "os"
    TOKEN = "token"  # noqa: S105 - it is the name of a source
    JUPYTERHUB = "jupyterhub"
    TRUSTED = "trusted"


class AuthTable(Struct, frozen=True):
    """The lab file's `[auth]` table; `hub_service` is what the Hub calls this authority."""

    sources: Sequence[SourceName] = (SourceName.OS, SourceName.TOKEN)
    hub_api_url: str | None = None
    hub_service: str = "motorlock"


class AccessTable(Struct, frozen=True):
    """One of the lab file's `[[access]]` tables: a role, or rights one by one, for users and groups."""

    role: RoleName | None = None
    rights: Sequence[Right] = ()
    users: Sequence[str] = ()
    groups: Sequence[str] = ()
    equipment: Sequence[str] = ("*",)


_SOURCES: dict[SourceName, Source] = {
    SourceName.OS: "os",
    SourceName.TOKEN: "token",
    SourceName.JUPYTERHUB: "jupyterhub",
}


def named_sources(table: AuthTable, environ: Mapping[str, str]) -> Sequence[str]:
    """Return the sources that are named, in MOTORLOCK_AUTH (`os,token`) or else in the lab file."""
    written = environ.get("MOTORLOCK_AUTH", "")
    if written:
        return [name.strip() for name in written.split(",")]
    return table.sources


def sources_of(names: Sequence[SourceName | str], where: str, mistakes: list[str]) -> tuple[Source, ...]:
    """Return the sources of identity in their order; none is a network that is trusted."""
    found: list[Source] = []
    for name in names:
        if name == SourceName.TRUSTED:
            if len(names) > 1:
                mistakes.append(f"{where} sources: 'trusted' stands alone, for in a trusted network nobody is asked.")
            return ()
        if name not in set(SourceName):
            mistakes.append(f"{where} must name os, token, jupyterhub or trusted, not {name}.")
            continue
        found.append(_SOURCES[SourceName(name)])
    if not found and not mistakes:
        mistakes.append(f"{where} sources must name one at least, or 'trusted'.")
    if found == ["os"] and sys.platform != "linux":
        mistakes.append(f"{where} sources: this system does not say whose process connects; take 'token' as well.")
    return tuple(found)


def hub_of(
    table: AuthTable, sources: Sequence[Source], environ: Mapping[str, str], where: str, mistakes: list[str]
) -> JupyterHub | None:
    """Return the Hub that is asked who somebody is; None where it is no source."""
    if "jupyterhub" not in sources:
        return None
    api_url = table.hub_api_url or environ.get("JUPYTERHUB_API_URL", "")
    try:
        return JupyterHub(api_url, table.hub_service)
    except ValueError:
        mistakes.append(
            f"{where} hub_api_url (or JUPYTERHUB_API_URL) must be the address of the Hub's interface, such as "
            f"http://127.0.0.1:8081/hub/api, not {api_url!r}."
        )
        return None


def grants_of(
    lab: str, tables: Sequence[AccessTable], equipment_ids: Collection[str], mistakes: list[str]
) -> tuple[Grant, ...] | None:
    """Return who is given which rights; None where the lab file says nothing of it."""
    for number, table in enumerate(tables, start=1):
        where = f"{lab}: [[access]] number {number}"
        if (table.role is None) == (not table.rights):
            mistakes.append(f"{where} needs a role (observer, operator or admin), or rights in its place.")
        if not table.users and not table.groups:
            mistakes.append(f"{where} is for nobody; name users or groups ('*' among the users is everybody).")
        unused = [
            pattern for pattern in table.equipment if not any(fnmatchcase(name, pattern) for name in equipment_ids)
        ]
        mistakes += [f"{where}: no equipment of this lab is called {pattern!r}." for pattern in unused]
    if not tables:
        return None
    return tuple(_grant(table) for table in tables)


def _grant(table: AccessTable) -> Grant:
    rights = frozenset(table.rights)
    if table.role is not None:
        rights = ROLES[table.role]
    return Grant(rights, tuple(table.users), tuple(table.groups), tuple(table.equipment))

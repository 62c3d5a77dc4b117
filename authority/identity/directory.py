"""The names and groups of this machine's users, which a network may hold: asked beside the loop, and remembered."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

REMEMBERED_S = 300.0


class SystemUser(NamedTuple):
    """A user of the operating system."""

    name: str
    groups: frozenset[str]


class UserDirectory:
    """Says who has a number."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._known: dict[int, tuple[float, SystemUser]] = {}
        self._asking: dict[int, asyncio.Task[SystemUser]] = {}

    async def user(self, user_id: int, *, within_s: float) -> SystemUser:
        """Return the user of a number; one whose name does not come within `within_s` seconds is called by it.

        What was known is good while the directory does not answer.
        """
        known = self._known.get(user_id)
        if known is not None and time.monotonic() - known[0] < REMEMBERED_S:
            return known[1]
        asking = self._asking.get(user_id)
        if asking is None:
            asking = asyncio.create_task(self._ask(user_id))
            self._asking[user_id] = asking
        try:
            return await asyncio.wait_for(asyncio.shield(asking), within_s)
        except (TimeoutError, OSError):
            if known is not None:
                return known[1]
            return _unnamed(user_id)

    async def _ask(self, user_id: int) -> SystemUser:
        try:
            found = await asyncio.to_thread(_look_up, user_id)
            self._known[user_id] = (time.monotonic(), found)
            return found
        finally:
            del self._asking[user_id]


def _look_up(user_id: int) -> SystemUser:
    import grp  # neither is on Windows
    import os
    import pwd

    try:
        entry = pwd.getpwuid(user_id)
    except KeyError:
        return _unnamed(user_id)
    groups = set[str]()
    for group_id in os.getgrouplist(entry.pw_name, entry.pw_gid):
        try:
            groups.add(grp.getgrgid(group_id).gr_name)
        except KeyError:
            continue
    return SystemUser(entry.pw_name, frozenset(groups))


def _unnamed(user_id: int) -> SystemUser:
    return SystemUser(f"user {user_id}", frozenset())

"""What one peer address may have at once, so that no client takes what is meant for all.

Counted by the address that a connection comes from, not by what a client says of itself. What began before a restart
counts for nobody.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from authority.core.model import Equipment, SessionId, Table

from .problems import ProblemResponse

KIB = 1024


@dataclass(frozen=True)
class Quota:
    """The limits of one address; `unused` sessions are those of which nothing was heard since they began."""

    sessions: int
    unused: int
    metadata_bytes: int
    places: int


OF_THIS_MACHINE = Quota(sessions=8192, unused=2048, metadata_bytes=16 * 1024 * KIB, places=90)
OF_ANOTHER = Quota(sessions=2048, unused=256, metadata_bytes=4 * 1024 * KIB, places=50)


@dataclass
class _Peer:
    sessions: dict[SessionId, int] = field(default_factory=dict)  # and the bytes of their metadata
    begun: int = 0
    """How many sessions it has at most that were not used: counted up here, and counted anew at the limit."""
    metadata_bytes: int = 0


class Quotas:
    """The sessions of each address, as far as this run of the authority has seen them begin."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._peers: dict[str, _Peer] = {}

    def may_begin(self, address: str, metadata_bytes: int, table: Table) -> None:
        """Refuse a further session where its address has as many as it may have."""
        peer = self._peers.get(address)
        if peer is None:
            return
        quota = _quota(address)
        full = len(peer.sessions) >= quota.sessions or peer.begun >= quota.unused
        if full or peer.metadata_bytes + metadata_bytes > quota.metadata_bytes:
            self._count_anew(peer, table)
        if len(peer.sessions) >= quota.sessions:
            raise ProblemResponse("too_many_sessions", limit=quota.sessions)
        if peer.begun >= quota.unused:
            raise ProblemResponse("too_many_sessions.unused", limit=quota.unused)
        if peer.metadata_bytes + metadata_bytes > quota.metadata_bytes:
            raise ProblemResponse("too_many_sessions.metadata", mib=quota.metadata_bytes // KIB // KIB)

    def begun(self, address: str, session: SessionId, metadata_bytes: int) -> None:
        """Take note of a session that has begun."""
        peer = self._peers.setdefault(address, _Peer())
        peer.sessions[session] = metadata_bytes
        peer.begun += 1
        peer.metadata_bytes += metadata_bytes

    def may_wait(self, address: str, equipment: Equipment, session: SessionId) -> None:
        """Refuse a further place in a queue in which the sessions of one address have as many as they may have."""
        quota = _quota(address)
        peer = self._peers.get(address)
        if peer is None or len(equipment.queue) < quota.places:
            return
        waiting = [entry.session for entry in equipment.queue]
        if session not in waiting and sum(1 for one in waiting if one in peer.sessions) >= quota.places:
            raise ProblemResponse("too_many_waiting", limit=quota.places, equipment=equipment.id)

    def _count_anew(self, peer: _Peer, table: Table) -> None:
        peer.sessions = {key: size for key, size in peer.sessions.items() if table.session(key) is not None}
        alive = [session for key in peer.sessions if (session := table.session(key)) is not None]
        peer.begun = sum(1 for s in alive if s.last_seen == s.created_at and not s.equipment)
        peer.metadata_bytes = sum(peer.sessions.values())


def _quota(address: str) -> Quota:
    try:
        is_here = ipaddress.ip_address(address).is_loopback
    except ValueError:  # a Unix socket has no address
        is_here = True
    if is_here:
        return OF_THIS_MACHINE
    return OF_ANOTHER


class PeerLimit:
    """So many at once for each address: who is one too many waits, and nobody else does.

    What nobody asks for any more is forgotten.
    """

    def __init__(self, at_once: int) -> None:
        """Let `at_once` of each peer go on."""
        self._at_once = at_once
        self._places: dict[str, asyncio.Semaphore] = {}
        self._asking: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, peer: str) -> AsyncIterator[None]:
        """Wait for a place of `peer`, and keep it."""
        self._asking[peer] += 1
        try:
            async with self._places.setdefault(peer, asyncio.Semaphore(self._at_once)):
                yield
        finally:
            self._asking[peer] -= 1
            if not self._asking[peer]:
                del self._asking[peer], self._places[peer]

"""What became of each control command, so that asking again with the same key never runs it twice."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import msgspec

from .ports import CommandRow, Store

KEPT_IN_MEMORY = 10_000


class Call:
    """One control command from its acceptance to its reply. `digest` is None where no idempotency key came with it."""

    def __init__(self, key: str, command_id: str, equipment: str, digest: bytes | None) -> None:
        """Begin a call without a reply."""
        self.key = key
        self.command_id = command_id
        self.equipment = equipment
        self.digest = digest
        self.data: object = None
        self.stops = 0
        self.reply: bytes | None = None
        self.over = asyncio.Event()

    def conclude(self, reply: bytes) -> None:
        """Let who waits have the reply: it is on disk."""
        self.reply = reply
        self.over.set()


class _Reply(msgspec.Struct):
    """Which command a recorded reply is of."""

    command_id: str = ""
    equipment_id: str = ""


class Journal:
    """The calls of this run, the newest in memory; older ones and those of earlier runs come from the store."""

    def __init__(self, store: Store) -> None:
        """Begin with what the store knows."""
        self._store = store
        self._calls: OrderedDict[str, Call] = OrderedDict()

    def find(self, key: str) -> Call | None:
        """Return the call recorded under a client's key, of this run or of an earlier one."""
        call = self._calls.get(key)
        if call is not None:
            return call
        row = self._store.command(key)
        if row is None:
            return None
        told = msgspec.json.decode(row.reply, type=_Reply) if row.reply is not None else _Reply()
        call = Call(key, told.command_id, told.equipment_id, row.digest)
        call.reply = row.reply
        call.over.set()
        return call

    def open(self, call: Call) -> None:
        """Remember a call that was accepted."""
        self._calls[call.key] = call

    def get(self, key: str) -> Call | None:
        """Return a call of this run."""
        return self._calls.get(key)

    def drop(self, key: str) -> None:
        """Forget a call: it was refused, or it has no client's key and is over."""
        self._calls.pop(key, None)

    def abandon(self) -> None:
        """Let nobody wait for a reply that will never be written; what they then ask for says why."""
        for call in self._calls.values():
            call.over.set()

    def trim(self) -> None:
        """Keep memory bounded: the oldest calls that are over go; the store still has those that bear a key."""
        while len(self._calls) > KEPT_IN_MEMORY:
            key, call = next(iter(self._calls.items()))
            if not call.over.is_set():
                self._calls.move_to_end(key)
                return
            del self._calls[key]


def row(call: Call, at: float, reply: bytes | None) -> CommandRow | None:
    """Return what the store keeps of a call, if it bears a client's key."""
    return None if call.digest is None else CommandRow(call.key, call.digest, at, reply)

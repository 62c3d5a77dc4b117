"""What became of each control command, so that asking again with the same key never runs it twice.

Memory and disk are bounded in bytes: the newest replies are in memory, and a result that is too large for the disk is
recorded without its data, with a sentence that says so.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import msgspec

from .codec import encode_reply
from .core.messages import CommandFinished
from .core.model import Outcome
from .ports import NEVER_STOPPED, CommandRow, Store

REPLIES_IN_MEMORY = 10_000
REPLY_BYTES_IN_MEMORY = 32 * 2**20
LARGEST_KEPT_RESULT_BYTES = 64 * 2**10


class JournalCall:
    """One control command from its acceptance to its reply. `digest` is None where no idempotency key came with it."""

    def __init__(self, key: str, command_id: str, equipment: str, digest: bytes | None) -> None:
        """Begin a call without a reply."""
        self.key = key
        self.command_id = command_id
        self.equipment = equipment
        self.digest = digest
        self.data: msgspec.Raw | None = None
        self.stop_token = NEVER_STOPPED
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
        self._calls: OrderedDict[str, JournalCall] = OrderedDict()
        self._bytes = 0  # of the replies of these calls

    def find(self, key: str) -> JournalCall | None:
        """Return the call recorded under a client's key, of this run or of an earlier one."""
        call = self._calls.get(key)
        if call is not None:
            return call
        row = self._store.command(key)
        if row is None:
            return None
        if row.reply is not None:
            reply = msgspec.json.decode(row.reply, type=_Reply)
        else:
            reply = _Reply()
        call = JournalCall(key, reply.command_id, reply.equipment_id, row.digest)
        call.reply = row.reply
        call.over.set()
        return call

    def open(self, call: JournalCall) -> None:
        """Remember a call that goes on, until newer calls take its room."""
        self._calls[call.key] = call
        self.trim()

    def conclude(self, call: JournalCall, reply: bytes) -> None:
        """Let who waits have the reply: it is on disk, as far as it is kept there."""
        if self._calls.get(call.key) is call:
            self._bytes += len(reply)
        call.data = None
        call.conclude(reply)
        self.trim()

    def get(self, key: str) -> JournalCall | None:
        """Return a call of this run."""
        return self._calls.get(key)

    def call_of(self, event: CommandFinished) -> JournalCall | None:
        """Return the call of a command that ended, of this run or an earlier one; None where no reply is due."""
        call = self._calls.get(event.key)
        if call is not None:
            return call
        row = self._store.command(event.key)
        if row is None:
            return None
        return JournalCall(event.key, event.command_id, event.equipment, row.digest)

    def remove(self, key: str) -> None:
        """Forget a call: it was refused, or it has no client's key and is over."""
        call = self._calls.pop(key, None)
        if call is not None and call.reply is not None:
            self._bytes -= len(call.reply)

    def abandon(self) -> None:
        """Let nobody wait for a reply that will never be written; what they then ask for says why."""
        for call in self._calls.values():
            call.over.set()

    def trim(self) -> None:
        """Keep memory bounded: the oldest calls that are over go; the store still has those that bear a key."""
        if not self._is_too_much():
            return
        for call in list(self._calls.values()):
            if call.over.is_set():
                self.remove(call.key)
                if not self._is_too_much():
                    return

    def _is_too_much(self) -> bool:
        return len(self._calls) > REPLIES_IN_MEMORY or self._bytes > REPLY_BYTES_IN_MEMORY


def journal_row(call: JournalCall, at: float, reply: bytes | None) -> CommandRow | None:
    """Return what the store keeps of a call, if it bears a client's key."""
    if call.digest is None:
        return None
    return CommandRow(call.key, call.digest, at, reply)


def reply_of(call: JournalCall, event: CommandFinished, timestamp: str) -> bytes:
    """Return the reply to a command, byte for byte as it is answered now and whenever it is asked for again."""
    data = None
    if event.outcome is Outcome.DONE:
        data = call.data
    return encode_reply(call.command_id, call.equipment, event.outcome, data, event.error, timestamp)


def kept_reply(call: JournalCall, event: CommandFinished, timestamp: str, whole: bytes) -> bytes:
    """Return what of a reply is kept on disk: all of it, or where its data is too large, a sentence in their place."""
    if call.data is None or len(call.data) <= LARGEST_KEPT_RESULT_BYTES:
        return whole
    sentence = (
        f"{call.equipment} has done it, but its answer of {len(call.data)} bytes is not kept any more: what is larger "
        f"than {LARGEST_KEPT_RESULT_BYTES} bytes is only for who waits for it"
    )
    return encode_reply(call.command_id, call.equipment, event.outcome, None, sentence, timestamp)

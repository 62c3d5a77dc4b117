"""What a step puts on disk, and what is pushed of it once it is there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec

from . import journal
from .codec import encode_event
from .committer import Committer
from .core import messages
from .core.model import EquipmentId, SessionId, Table
from .core.step import Step
from .hub import Hub, Message
from .ports import Batch, CommandRow, EventRow
from .views import Views
from .worker import Worker


class Recorder:
    """Hands the events, entries and replies of each step to the committer, and the messages about them to the hub."""

    def __init__(
        self,
        table: Table,
        views: Views,
        workers: Mapping[EquipmentId, Worker],
        calls: journal.Journal,
        committer: Committer,
        hub: Hub,
        *,
        seq: int,
    ) -> None:
        """Go on after the event `seq`."""
        self.seq = seq
        self._table = table
        self._views = views
        self._workers = workers
        self._journal = calls
        self._committer = committer
        self._hub = hub

    def encode(self, step: Step) -> Batch:
        """Return what the step puts on disk. Nothing has changed yet: what cannot be encoded can still be refused."""
        batch = Batch(events=[], equipment={}, sessions={}, commands=[])
        timestamp = self._views.time(step.now)
        for event in step.events:
            if event.stored:
                batch.events.append(self._event_row(event, self.seq + len(batch.events) + 1, timestamp))
        if batch.events:
            _encode_entries(step, batch)
        return batch

    def _event_row(self, event: messages.Event, seq: int, timestamp: str) -> EventRow:
        key = None
        readback = None
        if isinstance(event, messages.EquipmentEvent):
            key = event.equipment
            readback = self._workers[key].readback
        body = encode_event(event, seq, timestamp, readback)
        session: SessionId | None = getattr(event, "session", None)
        return EventRow(seq, event.at, key, session, body)

    def record_event(self, row: EventRow) -> None:
        """Let an event be written with the next commit, and pushed after it."""
        self._committer.open_batch().events.append(row)
        self.seq = row.seq
        if self._hub:
            self._push_change(row)

    def record_entries(self, written: Batch) -> None:
        """Let the changed entries of a step be written with its events."""
        batch = self._committer.open_batch()
        batch.equipment.update(written.equipment)
        batch.sessions.update(written.sessions)

    def record_command_started(self, key: str, at: float) -> journal.JournalCall | None:
        """Let the row of a command that begins be written; return its call, None where it is not of this run."""
        call = self._journal.get(key)
        if call is not None:
            self._write_command(journal.journal_row(call, at, None))
        return call

    def record_command_finished(self, event: messages.CommandFinished, timestamp: str) -> None:
        """Let the reply of a command that ended be written, and delivered after it to who waits."""
        call = self._journal.call_of(event)
        if call is None:
            return
        whole = journal.reply_of(call, event, timestamp)
        kept_reply = journal.kept_reply(call, event, timestamp, whole)
        self._write_command(journal.journal_row(call, event.at, kept_reply))
        self._committer.call_when_committed(partial(self._journal.conclude, call, whole))
        if call.digest is None:
            self._journal.remove(call.key)

    def _write_command(self, row: CommandRow | None) -> None:
        if row is not None:
            self._committer.open_batch().commands.append(row)

    def push_status_changes(self, events: list[messages.Event]) -> None:
        """Push how equipment stands now where no event of its own tells it: a countdown began, a holder fell silent."""
        if not self._hub:
            return
        for event in events:
            if isinstance(event, messages.SessionSuspect | messages.SessionResumed) or (
                isinstance(event, messages.SessionSeen) and event.busy is not None
            ):
                session = self._table.session(event.session)
                for key in session.equipment if session is not None else ():
                    self._push(Message("status", msgspec.json.encode(self._views.status(key)), equipment=key))

    def _push_change(self, row: EventRow) -> None:
        if row.equipment is None:
            status = b"null"
        else:
            status = msgspec.json.encode(self._views.status(EquipmentId(row.equipment)))
        data = b'{"seq":%d,"event":%s,"status":%s}' % (row.seq, row.body, status)
        self._push(Message("change", data, row.seq, equipment=row.equipment))

    def _push(self, message: Message) -> None:
        self._committer.call_when_committed(partial(self._hub.publish, message))


def _encode_entries(step: Step, batch: Batch) -> None:
    for key, equipment in step.table.equipment_changed.items():
        batch.equipment[key] = msgspec.json.encode(equipment)
    for name, session in step.table.sessions_changed.items():
        if session is None:
            batch.sessions[name] = None
        else:
            batch.sessions[name] = msgspec.json.encode(session)

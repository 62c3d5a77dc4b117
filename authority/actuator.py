"""What an event asks of a driver: to begin a command, to stop, to come to rest before the lock passes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping

from .committer import Committer
from .core import messages
from .core.model import Command, Drain, Equipment, EquipmentId, RestMethod, SessionId, Table
from .recorder import Recorder
from .stop_delivery import StopResult
from .worker import Worker

RETRY_STOP_S = 0.5
LONGEST_RETRY_S = 16.0

RecordStop = Callable[[EquipmentId, SessionId | None, str | None, str | None, StopResult], None]


class Actuator:
    """Has the workers do what was decided: a command once its start is on disk, a stop at once."""

    def __init__(
        self,
        table: Table,
        workers: Mapping[EquipmentId, Worker],
        recorder: Recorder,
        committer: Committer,
        *,
        spawn: Callable[[Coroutine[object, object, None]], None],
        record_stop: RecordStop,
    ) -> None:
        """Run what takes time with `spawn`; `record_stop` lets a stop that was tried have happened."""
        self._table = table
        self._workers = workers
        self._recorder = recorder
        self._committer = committer
        self._spawn = spawn
        self._record_stop = record_stop
        self._stoppers: dict[EquipmentId, str] = {}

    def actuate(self, event: messages.EquipmentEvent, timestamp: str) -> None:
        """Do what an event asks of the driver or of a waiting caller; `timestamp` is its time as a reply says it."""
        match event:
            case messages.CommandStarted(command=command):
                self._start_command(event.equipment, command, event.at)
            case messages.CommandFinished():
                self._recorder.record_command_finished(event, timestamp)
            case messages.LockDraining(drain=drain) if drain.how is RestMethod.STOP and drain.stop_owed:
                # The stop goes out at once: it harms nobody if the commit behind it should fail.
                self.bring_to_rest(event.equipment, drain)
            case messages.HolderGone() if self.is_active(event.equipment):
                self.bring_to_rest(event.equipment, None)
            case _:
                pass

    def _start_command(self, key: EquipmentId, command: Command, at: float) -> None:
        """Have a command begin, a parking too, once its start is on disk."""
        self._stoppers.pop(key, None)
        worker = self._workers[key]
        call = self._recorder.record_command_started(command.key, at)
        token = worker.stop_token()
        if call is not None:
            token = call.stop_token
        self._committer.call_when_committed(lambda: worker.run(command, token))

    def is_active(self, key: EquipmentId) -> bool:
        """Whether the equipment moves or runs a command."""
        equipment = self._table.equipment(key)
        return equipment is not None and (
            equipment.moving or equipment.running is not None or self._workers[key].readback.moving is True
        )

    def may_move(self, equipment: Equipment) -> bool:
        """Whether it moved when it was last heard of, and cannot be read now: no lock passes on a guess."""
        return equipment.moving and not self._workers[equipment.id].readback.connected

    def stopper(self, key: EquipmentId) -> str | None:
        """Return who stopped the equipment since its last command began."""
        return self._stoppers.get(key)

    async def deliver_stop(self, key: EquipmentId, user: str | None) -> StopResult:
        """Give the driver the order, and return whether it took it in time; its record is to follow."""
        if user is not None:
            # The command may end before the stop is recorded, and says then who stopped it.
            self._stoppers[key] = user
        return await self._workers[key].stop()

    def bring_to_rest(self, key: EquipmentId, drain: Drain | None) -> None:
        """Stop what was left moving, in a task of its own."""
        self._spawn(self.stop_until_taken(key, drain))

    async def stop_until_taken(self, key: EquipmentId, drain: Drain | None) -> None:
        """Stop what was left moving, again and again until the driver takes it or it is no longer wanted.

        A stop that fails like the one before is no event of its own: a device may be off for a weekend.
        """
        reason = None
        if drain is not None:
            reason = str(drain.why)
        pause = RETRY_STOP_S
        result = await self.deliver_stop(key, None)
        self._record_stop(key, None, None, reason, result)
        while not result.delivered:
            await _rest_or_return(self._workers[key], pause)
            if not self._stop_is_wanted(key):
                return
            pause = min(2 * pause, LONGEST_RETRY_S)
            result = await self.deliver_stop(key, None)
            if result.delivered:
                self._record_stop(key, None, None, reason, result)

    def _stop_is_wanted(self, key: EquipmentId) -> bool:
        equipment = self._table.equipment(key)
        return equipment is not None and equipment.fault is None and (equipment.drain is not None or equipment.moving)


async def _rest_or_return(worker: Worker, seconds: float) -> None:
    """Let so much time pass before a stop is tried again, less when the device is back: it may still move."""
    for _ in range(round(seconds / RETRY_STOP_S)):
        await asyncio.sleep(RETRY_STOP_S)
        if worker.readback.connected:
            return

"""What a restart begins with: the stored state is loaded, and what an earlier run left moving is stopped."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TypeVar

import msgspec

from .actuator import Actuator
from .core import messages
from .core.evolve import session_after_restart
from .core.model import Equipment, EquipmentId, Policy, Session, Table
from .ports import StoredState, StoredStateUnreadable
from .worker import Worker

Row = TypeVar("Row", Equipment, Session)


def load_state(table: Table, stored: StoredState, policies: Mapping[EquipmentId, Policy], now: float) -> None:
    """Fill the table with what is stored of the equipment in the lab file; raises `StoredStateUnreadable`."""
    for key, policy in policies.items():
        body = stored.equipment.get(key)
        if body is None:
            known = Equipment(id=key)
        else:
            known = _decoded(body, Equipment, f"equipment {key}")
        table.put(msgspec.structs.replace(known, policy=policy))
    for name, body in stored.sessions.items():
        session = session_after_restart(_decoded(body, Session, f"session {name}"), now)
        known_only = tuple(key for key in session.equipment if key in policies)
        table.put(msgspec.structs.replace(session, equipment=known_only))


def _decoded(body: bytes, kind: type[Row], whose: str) -> Row:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoredStateUnreadable(f"the row of {whose} cannot be read ({error})") from None


class Recovery:
    """Stops after a restart what an earlier run left moving, at once or when its readback is back."""

    def __init__(
        self,
        table: Table,
        workers: Mapping[EquipmentId, Worker],
        actuator: Actuator,
        *,
        spawn: Callable[[Coroutine[object, object, None]], None],
        apply: Callable[[messages.Request], object],
    ) -> None:
        """Decide with `apply`, and run with `spawn` what takes time."""
        self._table = table
        self._workers = workers
        self._actuator = actuator
        self._spawn = spawn
        self._apply = apply
        self._left_moving: set[EquipmentId] = set()  # by an earlier run, when it was last heard of

    def begin(self) -> None:
        """Recover every piece of equipment."""
        for equipment in list(self._table.all_equipment()):
            self._apply(messages.Recover(equipment=equipment.id))
            self._stop_what_was_left(equipment)

    def _stop_what_was_left(self, before: Equipment) -> None:
        """Stop the equipment if it ran a command, owed a stop or moved `before` the restart."""
        if before.running is not None:
            self._spawn(self._stop_first(before.id))
        elif before.drain is not None and before.drain.stop_owed:
            self._actuator.bring_to_rest(before.id, before.drain)
        elif before.moving and before.lock is not None and before.lock.has_driven:
            self._left_moving.add(before.id)

    def readback_changed(self, key: EquipmentId, *, moving: bool) -> None:
        """Stop what was left moving, if it still moves when it is heard of for the first time."""
        if key in self._left_moving and self._workers[key].readback.connected:
            self._left_moving.remove(key)
            if moving:
                self._spawn(self._stop_first(key))

    async def _stop_first(self, key: EquipmentId) -> None:
        """Stop what an earlier run left moving; what is accepted until it stands never begins."""
        worker = self._workers[key]
        equipment = self._table.equipment(key)
        assert equipment is not None
        with worker.stopping():
            await self._actuator.stop_until_taken(key, None)
            await worker.wait_until_resting(equipment.policy.stop_seconds)

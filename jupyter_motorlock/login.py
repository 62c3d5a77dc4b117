"""How a script or a notebook comes by its handles: `login`, and the `Connection` of a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from jupyter_motorlock.client import targets
from jupyter_motorlock.client.interrupt import hear_interrupts, interrupts_limited
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.errors import EquipmentInUse, Interrupted, LockRequired
from jupyter_motorlock.handle import Handle, Handles
from jupyter_motorlock.text.rows import RowList

if TYPE_CHECKING:
    from pandas import DataFrame


def login(
    session: KernelSession,
    names: Sequence[str],
    *,
    watch: bool = False,
    wait: bool = False,
    note: str | None = None,
    timeout_s: int | None = None,
    priority: int = 0,
    on_answer: Callable[[], None] | None = None,
) -> Handles:
    """Log `session` in to all of `names`, or to none, and return a handle for each.

    `watch` asks for observer locks; `wait` queues behind the holders and returns when it is this session's turn
    (an interrupt leaves the queue); `on_answer` is called when the request was not refused, before any waiting.
    Raises `EquipmentInUse` when somebody else has one of them and `wait` is false.
    """
    names = [targets.resolve_name(session, name) for name in names]
    new = [name for name in names if name not in session.mirror.held()]
    mode = "exclusive"
    if watch:
        mode = "observer"
    hear_interrupts(session)
    with interrupts_limited(1) as raise_if_clicked:
        try:
            reply = session.acquire(*names, mode=mode, queue=wait, note=note, timeout_s=timeout_s, priority=priority)
            if on_answer is not None:
                on_answer()
            if reply.get("status") == "queued":
                session.wait_for(*names, go_on=raise_if_clicked)
        except KeyboardInterrupt:
            with interrupts_limited(0):
                if new and not session.leave(new[0]):  # what came of the request is given back
                    for name in new:
                        with suppress(LockRequired):
                            session.release(name)
            sentence = f"You stopped the login to {' and '.join(names)}; you are not in its queue."
            raise Interrupted(sentence) from None
        except EquipmentInUse as refused:
            raise _in_own_use(refused, session.user) from None
    return Handles(Handle(session, name) for name in names)


def _in_own_use(refused: EquipmentInUse, user: str) -> EquipmentInUse:
    """Return the refusal in words for one who holds it in another notebook, where that is so."""
    holder = refused.data.get("holder")
    if not isinstance(holder, Mapping) or holder.get("user") != user:
        return refused
    name = ""
    if holder.get("client_name"):
        name = f" ({holder['client_name']})"
    equipment_id = refused.data["equipment_id"]
    sentence = f"{equipment_id} is held by another notebook of yours{name}; log out there, or wait in the queue."
    return EquipmentInUse(sentence, code=refused.code, status=refused.status, data=refused.data)


class Connection:
    """One session with an authority, for scripts: `with connect(url).lock("stage_x") as stage: ...`."""

    def __init__(self, session: KernelSession) -> None:
        self.session = session

    def lock(
        self, equipment_id: str, *, wait: bool = False, note: str | None = None, timeout_s: int | None = None
    ) -> Handle:
        """Log in to `equipment_id` and return its handle; with `wait`, queue until it is this session's turn."""
        return login(self.session, [equipment_id], wait=wait, note=note, timeout_s=timeout_s)[0]

    def lock_all(
        self, *names: str, wait: bool = False, note: str | None = None, timeout_s: int | None = None
    ) -> Handles:
        """Log in to all of `names`, or to none: `with lab.lock_all("stage_x", "stage_y") as (x, y): ...`."""
        return login(self.session, names, wait=wait, note=note, timeout_s=timeout_s)

    def watch(self, equipment_id: str, *, wait: bool = False) -> Handle:
        """Return a handle with an observer lock: it reads and does not move."""
        return login(self.session, [equipment_id], watch=True, wait=wait)[0]

    def equipment(self) -> list[dict[str, object]]:
        """Return what the authority has, with the holder and the queue length of each."""
        return [dict(item) for item in self.session.equipment_list()]

    def rows(self, *names: str) -> RowList:
        """Return who has what, as a row for each of `names`, or for all there is: `pandas.DataFrame(lab.rows())`."""
        return self.session.rows(*names)

    def events(self, equipment_id: str, last: int = 20, *, ids: bool = False) -> RowList:
        """Return the newest events of the equipment, at most `last` (1 to 1000), oldest first, as a row each.

        With `ids` the rows have those of sessions, locks, places and commands, too.
        """
        return self.session.events(equipment_id, last, ids=ids)

    def history(
        self, *names: str, since: datetime | timedelta | str | None = None, last: int | None = None
    ) -> DataFrame:
        """Return what happened to `names`, or to all there is, as `jupyter_motorlock.motor_history` does."""
        from jupyter_motorlock.extras.history import history  # pandas is loaded when it is needed

        return history(self.session, names, since=since, last=last)

    def close(self) -> None:
        """End the session: what it holds is released, and it leaves every queue."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

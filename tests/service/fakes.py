"""A clock that stands still, stores that wait or die, drivers that do as a test says, and a lab that has them all."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar

import msgspec

from authority.committer import StoreFailed
from authority.core import messages
from authority.core.model import Equipment, EquipmentId, LockMode, Policy, Session, SessionId
from authority.drivers.declare import control, observe
from authority.journal import JournalCall
from authority.ports import (
    Batch,
    Clock,
    Driver,
    DriverUnavailable,
    MotionStopped,
    OutsideLimits,
    Readback,
)
from authority.service import Service
from authority.store.sqlite import SqliteStore
from authority.worker import Worker

PATIENCE_S = 20.0  # how long a condition may take before a test gives up; never a measure of speed
X, Y = EquipmentId("stage_x"), EquipmentId("stage_y")


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)


async def apply_and_wait(service: Service, request: messages.Request) -> tuple[messages.Event, ...]:
    """Decide `request`, and return its events or its refusal once both may be told."""
    try:
        return service.apply(request)
    finally:
        await service.wait_until_committed()


class VirtualClock:
    """Implements `ports.Clock`: time passes when a test says so."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self._now = at
        self._wall_offset = 0.0

    def now(self) -> float:
        return self._now

    def wall(self, at: float) -> float:
        return at + self._wall_offset

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock, as an operator or a time server does."""
        self._wall_offset += seconds


class Disk(SqliteStore):
    """A real store that counts its writes, can be held before one, and can die before or after one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._writer.execute("PRAGMA synchronous=OFF")  # nobody cuts the power here, and the tests are many
        self.writes = 0
        self.wrote: list[Batch] = []
        self.keeps_batches = True
        self.let = threading.Event()
        self.let.set()
        self.held = threading.Event()
        self.dies_at: int | None = None
        self.dies_after_writing = False

    def write(self, batch: Batch) -> None:
        self.held.set()
        self.let.wait()
        self.writes += 1
        dies = self.dies_at is not None and self.writes >= self.dies_at
        if dies and not self.dies_after_writing:
            raise OSError(28, "No space left on device")
        super().write(batch)
        if self.keeps_batches:
            self.wrote.append(batch)
        if dies:
            raise OSError(5, "Input/output error")

    def hold(self) -> None:
        """Keep every write from now on waiting until `let` is set."""
        self.held.clear()
        self.let.clear()


class _Recorder:
    """What both drivers share: they note every call, and have no limits but 100."""

    kind: ClassVar[str] = "motor"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.position = 0.0
        self.moving = False
        self.down = False

    @property
    def address(self) -> str | None:
        return None

    def open(self) -> None:
        self.calls.append("open")
        if self.down:
            raise DriverUnavailable("the cable is out")

    def close(self) -> None:
        self.calls.append("close")

    def readback(self) -> Readback:
        if self.down:
            raise DriverUnavailable("the cable is out")
        return Readback(moving=self.moving, position=self.position, units="mm")

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        if parameters.get("position") == 101.0:
            raise OutsideLimits("101 mm is outside 0 to 100 mm")

    def driven(self) -> list[str]:
        """What moved or stopped it, in order."""
        return [c for c in self.calls if c not in ("open", "close")]


class Slide(_Recorder):
    """A driver that does not block: its move ends when a test lets it arrive, or by a stop unless it is deaf."""

    blocking: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.deaf = False
        self._end: asyncio.Future[bool] | None = None

    @control
    async def move_to(self, position: float) -> float:
        """Move, and answer the position on arrival."""
        self.calls.append(f"move_to {position:g}")
        if position < 0:
            raise ValueError("the drive is\nblocked")
        self.moving = True
        self._end = asyncio.get_running_loop().create_future()
        arrived = await self._end
        self.moving = False
        if not arrived:
            raise MotionStopped("stopped on the way")
        self.position = position
        return position

    @control
    def nudge(self) -> float:
        """Begin to move and return at once."""
        self.calls.append("nudge")
        self.moving = True
        return self.position

    @observe
    def where(self) -> float:
        """Answer the position."""
        return self.position

    def stop(self) -> None:
        self.calls.append("stop")
        if self.down:
            raise DriverUnavailable("the cable is out")
        if self.deaf:
            return
        self.moving = False
        if self._end is not None and not self._end.done():
            self._end.set_result(False)

    def arrive(self) -> None:
        """Let the move end where it was to end."""
        assert self._end is not None
        self._end.set_result(True)


class Press(_Recorder):
    """A driver that blocks: its move waits in its thread; any call named in `hangs` waits until `free` is set."""

    blocking: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.hangs: set[str] = set()
        self.free = threading.Event()
        self.threads: dict[str, int] = {}
        self.at_once = 0
        self.most_at_once = 0
        self._ended = threading.Event()
        self._stopped = False
        self._guard = threading.Lock()

    def _enter(self, name: str) -> None:
        self.threads[name] = threading.get_ident()
        if name in self.hangs:
            self.free.wait()

    @control
    def move_to(self, position: float) -> float:
        """Move, and answer the position on arrival."""
        with self._guard:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.calls.append(f"move_to {position:g}")
        self._stopped, self.moving = False, True
        self._enter("move_to")
        self._ended.wait()
        self._ended.clear()
        self.moving = False
        with self._guard:
            self.at_once -= 1
        if self._stopped:
            raise MotionStopped("stopped on the way")
        self.position = position
        return position

    @observe
    def where(self) -> float:
        """Answer the position."""
        self._enter("where")
        return self.position

    def readback(self) -> Readback:
        self._enter("readback")
        return super().readback()

    def stop(self) -> None:
        self.calls.append("stop")
        self._enter("stop")
        if self.moving:
            self._stopped = True
            self._ended.set()

    def arrive(self) -> None:
        """Let the move end where it was to end."""
        self._ended.set()

    def let_go(self) -> None:
        """End whatever still waits in a thread of this driver."""
        self.hangs.clear()
        self.free.set()
        self._ended.set()


class Lab:
    """A service with its workers on one data directory, and words for what people do."""

    def __init__(
        self, disk: Disk, clock: Clock, drivers: Mapping[EquipmentId, Driver], policies: Mapping[EquipmentId, Policy]
    ) -> None:
        self.disk = disk
        self.failures: list[BaseException] = []
        self.workers = {key: Worker(key, driver, clock) for key, driver in drivers.items()}
        known = {key: policies.get(key, Policy()) for key in drivers}
        self.service = Service(disk, clock, self.workers, known, on_failure=self.failures.append)
        self._numbers = itertools.count(1)
        self._seq_at_start = self.service.seq

    def person(self, name: str, *, keeper: bool = False, timeout_s: float = 600.0) -> SessionId:
        """Begin a session."""
        now = self.service.clock.now()
        session = Session(
            id=SessionId(name), user=name.title(), created_at=now, last_seen=now, keeper=keeper, timeout_s=timeout_s
        )
        self.service.apply(messages.OpenSession(session=session))
        return session.id

    def login(
        self, who: SessionId, key: EquipmentId = X, *, wait: bool = False, mode: LockMode = LockMode.EXCLUSIVE
    ) -> tuple[messages.Event, ...]:
        """Ask for the lock."""
        name = f"{self._seq_at_start}-{next(self._numbers)}"
        return self.service.apply(
            messages.Acquire(
                session=who, equipment=key, wait=wait, mode=mode, lock_id=f"lock_{name}", queue_id=f"queue_{name}"
            )
        )

    def order(
        self, who: SessionId, position: float, key: EquipmentId = X, *, idempotency: str | None = None, action: str = ""
    ) -> JournalCall:
        """Give a control command and return its call, without waiting for it."""
        digest = None if idempotency is None else b"digest"
        call = JournalCall(idempotency or f"call-{next(self._numbers)}", "c", key, digest)
        parameters: dict[str, object] = {} if action else {"position": position}
        self.service.control(
            call,
            messages.Control(
                session=who, equipment=key, key=call.key, command_id="c", action=action or "move_to",
                parameters=parameters,
            ),
        )  # fmt: skip
        return call

    def at(self, key: EquipmentId = X) -> Equipment:
        """How the equipment stands in memory."""
        found = self.service.table.equipment(key)
        assert found is not None
        return found

    def events(self, key: EquipmentId | None = None) -> list[str]:
        """The names of the stored events, oldest first."""
        return [msgspec.json.decode(row.body)["event"] for row in self.service.events(equipment=key, limit=1000)]

    async def connected(self) -> None:
        """Return once every driver has been read."""
        await until(lambda: all(w.readback.connected for w in self.workers.values()))
        await self.service.wait_until_committed()


@asynccontextmanager
async def lab(
    path: Path,
    drivers: Mapping[EquipmentId, Driver] | None = None,
    *,
    clock: Clock | None = None,
    policies: Mapping[EquipmentId, Policy] | None = None,
    started: bool = True,
    disk: type[Disk] = Disk,
) -> AsyncIterator[Lab]:
    """A running lab on the data at `path`; ends everything that it started."""
    kept = disk(path)
    given: Mapping[EquipmentId, Driver] = {X: Slide()} if drivers is None else drivers
    made = Lab(kept, clock or VirtualClock(), given, policies or {})
    try:
        if started:
            made.service.start()
            await made.connected()
        yield made
    finally:
        kept.let.set()
        for driver in given.values():
            if isinstance(driver, Press):
                driver.let_go()
        with suppress(StoreFailed):
            await made.service.close()
        kept.close()


async def reply(call: JournalCall) -> dict[str, object]:
    """Return what a caller is told, once it may be told."""
    async with asyncio.timeout(PATIENCE_S):
        await call.over.wait()
    assert call.reply is not None
    told: dict[str, object] = msgspec.json.decode(call.reply)
    return told

"""Draws the states of one equipment from the code itself: every step the core can take, collected breadth first.

`python -m tests.core.draw_model` prints the diagram that docs/model.md must hold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from authority.codec import event_name
from authority.core import messages
from authority.core.evolve import evolve
from authority.core.model import Equipment, EquipmentId, LockMode, LossCause, Outcome, Session, SessionId, Table
from authority.core.refusals import Refusal
from authority.core.rules import decide

X = EquipmentId("stage_x")
ANN, BOB = SessionId("ann"), SessionId("bob")
DEPTH = 5
# Beyond each of these some clock has run out: a stop's, a move's that was to finish, a claim's, an idle lock's.
JUMPS = (6.0, 61.0, 130.0, 400.0)


def moves(now: float) -> Iterator[tuple[messages.Request, float]]:
    """Everything that can be asked of one equipment by two people, its worker and time."""
    for s in (ANN, BOB):
        for wait in (False, True):
            yield messages.Acquire(equipment=X, session=s, lock_id="l", queue_id=f"q{s}", wait=wait), now
        yield messages.Acquire(equipment=X, session=s, lock_id="l", queue_id=f"o{s}", mode=LockMode.OBSERVER), now
        yield messages.Claim(equipment=X, session=s), now
        yield messages.Release(equipment=X, session=s), now
        yield (
            messages.Control(equipment=X, session=s, key=f"k{s}", command_id="c", action="move_to", parameters={}),
            now,
        )
    yield messages.Release(equipment=X, session=ANN, stop=True), now
    yield messages.ForceRelease(equipment=X, session=BOB, by="Bob"), now
    yield messages.EndSession(session=ANN, why=LossCause.GONE), now
    for moving in (False, True):
        yield messages.FinishCommand(equipment=X, key="kann", outcome=Outcome.DONE, error=None, moving=moving), now
        yield messages.Stop(equipment=X, delivered=True, moving=moving, user=None), now
    yield messages.Stop(equipment=X, delivered=False, moving=True, user=None), now
    yield messages.MotionReport(equipment=X, moving=False), now
    yield messages.ClearFault(equipment=X, by="Bob", reason="looked at it"), now
    for jump in JUMPS:
        yield messages.TimerTick(equipment=X), now + jump


def transitions() -> dict[tuple[str, str], set[str]]:
    """Return which events lead from which state to which other, over all that is reached."""
    table = Table()
    table.put(Equipment(id=X))
    for s in (ANN, BOB):
        table.put(Session(id=s, user=s, created_at=0.0, last_seen=0.0, timeout_s=0))
    found: dict[tuple[str, str], set[str]] = {}
    seen: set[bytes] = set()
    todo = deque([(table, 0.0, 0)])
    while todo:
        before, now, depth = todo.popleft()
        for request, at in moves(now):
            try:
                events = decide(before, request, at)
            except Refusal:
                continue
            after = Table(before)
            for event in events:
                was = _state(after)
                evolve(after, event)
                if was != _state(after):
                    found.setdefault((was, _state(after)), set()).add(event_name(event))
            key = _key(after, at)
            if key not in seen and depth + 1 < DEPTH:
                seen.add(key)
                todo.append((_flat(after), at, depth + 1))
    return found


def _state(table: Table) -> str:
    e = table.equipment(X)
    assert e is not None
    return e.state


def _flat(overlay: Table) -> Table:
    flat = Table()
    for key in (X,):
        entry = overlay.equipment(key)
        assert entry is not None
        flat.put(entry)
    for name in (ANN, BOB):
        session = overlay.session(name)
        if session is not None:
            flat.put(session)
    return flat


def _key(table: Table, now: float) -> bytes:
    """Two situations are one when they differ only in how long ago all was: times go in relative to now, coarsely."""
    e = table.equipment(X)
    raw = msgspec.to_builtins([e, table.session(ANN), table.session(BOB)])
    return msgspec.json.encode(_relative(raw, now))


_TIMES = frozenset({"since", "used_at", "deadline", "claim_by", "blocking_since", "at", "started_at", "last_seen"})
_IGNORED = frozenset({"losses", "fence", "created_at", "idle_since", "blocked_s"})


def _relative(value: object, now: float) -> object:
    if isinstance(value, dict):
        return {
            k: round(v - now) if k in _TIMES and isinstance(v, float) else _relative(v, now)
            for k, v in value.items()
            if k not in _IGNORED
        }
    return [_relative(v, now) for v in value] if isinstance(value, list) else value


def diagram() -> str:
    """Return the states of the core as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> free"]
    for (was, becomes), names in sorted(transitions().items()):
        lines.append(f"    {was} --> {becomes}: {', '.join(sorted(names))}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(diagram())

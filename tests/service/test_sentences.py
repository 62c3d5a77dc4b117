"""What people read of events and of a status, as the authority says it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from authority import sentences
from authority.codec import encode_event
from authority.core import messages
from authority.core.model import (
    Command,
    Drain,
    Equipment,
    EquipmentId,
    HolderAsk,
    KeepPromise,
    Lock,
    LockLoss,
    LockMode,
    LossCause,
    ObserverLock,
    Outcome,
    Policy,
    QueueEntry,
    RestMethod,
    Session,
    SessionId,
    StoppedBy,
)
from authority.ports import Readback

X = EquipmentId("stage_x")
ANN = SessionId("s-ann")
WHO: dict[str, Any] = {"session": ANN, "user": "Ann", "user_verified": False, "client_name": "scan.ipynb"}
LOCK = Lock(**WHO, lock_id="l", fence=7, timeout_s=900.0, since=60.0, used_at=60.0, note="night scan")
ENTRY = QueueEntry(**WHO, queue_id="q", mode=LockMode.EXCLUSIVE, timeout_s=900.0, at=0.0, priority=0, note="align")


def on_stage(kind: type[messages.EquipmentEvent], **details: object) -> messages.Event:
    return kind(**{"at": 100.0, "equipment": X, "session": ANN, "user": "Ann"} | details)  # type: ignore[arg-type]


def of_session(kind: type[messages.SessionEvent], **details: object) -> messages.Event:
    return kind(at=100.0, session=ANN, user="Ann", **details)  # type: ignore[arg-type]


def ended(why: LossCause, by: str | None = None, reason: str | None = None) -> messages.Event:
    loss = LockLoss(session=ANN, user="Ann", fence=7, why=why, at=100.0, by=by, reason=reason)
    return on_stage(messages.LockEnded, lock_id="l", duration_seconds=40.0, loss=loss)


def draining(why: LossCause, *, parking: bool = False) -> messages.Event:
    drain = Drain(why=why, how=RestMethod.STOP, since=100.0, deadline=105.0, parking=parking)
    return on_stage(messages.LockDraining, lock_id="l", fence=7, drain=drain)


def asked(answer: Any = None, **details: Any) -> messages.Event:
    ask = HolderAsk(at=100.0, due=220.0, reason="beam time", answer=answer, **details)
    return on_stage(messages.AskChanged, user="Bob", holder="Ann", queue_id="q", ask=ask)


def command(action: str, **parameters: object) -> Command:
    return Command(key="k", command_id="c", session=ANN, user="Ann", fence=7, action=action, parameters=parameters)


def finished(outcome: Outcome, error: str | None = None) -> messages.Event:
    return on_stage(
        messages.CommandFinished, key="k", command_id="c", action="home", outcome=outcome, error=error, moving=False
    )


def stopped(by: str | None, *, delivered: bool = True, error: str | None = None, reason: Any = None) -> messages.Event:
    return on_stage(
        messages.Stopped, by=by, reason=reason, delivered=delivered, error=error, moving=False, blocks=False
    )


SESSION = Session(id=ANN, user="Ann", client_name="scan.ipynb", created_at=0.0, last_seen=0.0)
EVENTS: list[tuple[messages.Event, str]] = [
    (of_session(messages.SessionCreated, opened=SESSION), "Ann's session began (scan.ipynb)"),
    (of_session(messages.SessionSuspect), "Ann's session is silent"),
    (of_session(messages.SessionResumed), "Ann's session is heard again"),
    (
        of_session(messages.SessionOver, why=LossCause.SESSION_ENDED, reason=None, duration_seconds=1.0),
        "Ann's session ended",
    ),
    (
        of_session(messages.SessionOver, why=LossCause.GONE, reason="the kernel was shut down", duration_seconds=1.0),
        "Ann's session ended: the kernel was shut down",
    ),
    (on_stage(messages.LockAcquired, lock=LOCK), "Ann has stage_x (night scan)"),
    (on_stage(messages.LockAcquired, lock=LOCK, from_queue=True), "Ann has stage_x after waiting (night scan)"),
    (on_stage(messages.LockRefreshed, lock_id="l", new_timeout=900.0, note=None), "Ann goes on with stage_x"),
    (on_stage(messages.LockClaimed, lock_id="l"), "Ann claimed stage_x"),
    (
        on_stage(messages.LockKept, lock_id="l", kept=KeepPromise(until=699.9999999, note="lunch")),
        "Ann keeps stage_x for 10 min (lunch)",
    ),
    (on_stage(messages.LockKept, lock_id="l", kept=None), "Ann no longer keeps stage_x"),
    (draining(LossCause.LOGOUT), "Ann's lock on stage_x ends as soon as it is at rest: it was given back"),
    (draining(LossCause.GONE, parking=True), "Ann's lock on stage_x ends as soon as it is parked: the kernel is gone"),
    (on_stage(messages.HolderGone, why=LossCause.GONE), "stage_x is kept for Ann, although the kernel is gone"),
    (ended(LossCause.LOGOUT), "Ann gave stage_x back"),
    (ended(LossCause.DOWNGRADED), "Ann gave stage_x back and watches it"),
    (ended(LossCause.HANDED_OVER, "Ann", "to Bob"), "Ann handed stage_x over to Bob"),
    (ended(LossCause.FORCED, "Bob", "beam time"), "Bob took stage_x from Ann by force (beam time)"),
    (ended(LossCause.TURN, "Bob"), "Ann lost stage_x: the turn was over and Bob was waiting"),
    (ended(LossCause.SESSION_EXPIRED), "Ann lost stage_x: the session was silent for too long"),
    (
        on_stage(messages.ObserverAcquired, observing=ObserverLock(**WHO, timeout_s=9.0, since=0.0, used_at=0.0)),
        "Ann watches stage_x",
    ),
    (on_stage(messages.ObserverEnded, why=LossCause.LOGOUT), "Ann no longer watches stage_x"),
    (
        on_stage(messages.ObserverEnded, why=LossCause.EXCLUSIVE_GRANT, by="Bob"),
        "Ann no longer watches stage_x: Bob has it now",
    ),
    (on_stage(messages.Queued, entry=ENTRY, position=2), "Ann is number 2 in the queue for stage_x (align)"),
    (
        on_stage(messages.QueueLeft, queue_id="q", result="granted"),
        "Ann left the queue for stage_x: it was granted",
    ),
    (on_stage(messages.QueueLeft, queue_id="q", result="left"), "Ann left the queue for stage_x"),
    (
        on_stage(messages.SwapOffered, queue_id="q", partner="p"),
        "Ann offers to swap places for stage_x",
    ),
    (
        on_stage(messages.SwapOffered, queue_id="q", partner=None),
        "Ann no longer offers to swap places for stage_x",
    ),
    (
        on_stage(messages.QueueSwapped, queue_id="q", partner="p", by="Bob"),
        "Ann and Bob swapped places for stage_x",
    ),
    (asked(), "Bob asks Ann for stage_x (beam time)"),
    (asked("later", promised_at=715.0, note="lunch"), "Ann promises Bob stage_x in 10 min 15 s (lunch)"),
    (asked("no"), "Ann cannot give stage_x to Bob now"),
    (asked("unanswered"), "Ann did not answer Bob, who asked for stage_x"),
    (
        on_stage(messages.CommandStarted, command=command("move_to", position=13.005892970002606, wait=True)),
        "Ann started move_to(position=13.005893, wait=on) on stage_x",
    ),
    (finished(Outcome.DONE), "Ann's home on stage_x is done"),
    (finished(Outcome.FAILED, "no switch."), "Ann's home on stage_x failed: no switch"),
    (finished(Outcome.NOT_RUN), "Ann's home on stage_x was not run"),
    (stopped("Bob", reason="too close"), "stage_x was stopped by Bob (too close)"),
    (stopped(None, reason="gone"), "stage_x was stopped by the authority (the kernel is gone)"),
    (
        stopped("Bob", delivered=False, reason="smoke", error="the cable is out"),
        "the STOP of stage_x by Bob was NOT DELIVERED: the cable is out",
    ),
    (
        stopped("Bob", error="it has nothing to stop"),
        "the STOP of stage_x by Bob stopped nothing: it has nothing to stop",
    ),
    (on_stage(messages.Resumed), "Ann goes on with stage_x after the stop"),
    (on_stage(messages.Faulted, user=None, reason="it did not rest"), "stage_x has a fault: it did not rest"),
    (on_stage(messages.FaultCleared, by="Bob", reason="new cable"), "Bob cleared the fault of stage_x (new cable)"),
    (
        on_stage(messages.FenceRaised, user=None, fence=9),
        "the device of stage_x had obeyed fence 9 already, so its locks go on above it",
    ),
    (on_stage(messages.MovedOutside, user=None, position=7.25), "stage_x was moved from outside to 7.25 mm"),
]


@pytest.mark.parametrize(("event", "text"), EVENTS)
def test_every_event_is_said_in_one_line_of_plain_words_in_the_third_person(event: messages.Event, text: str) -> None:
    """RUN-50"""
    readback = Readback(connected=True, moving=False, position=1.0, units="mm")
    assert msgspec.json.decode(encode_event(event, 5, "2026-11-21T14:02:00Z", readback))["text"] == text


def test_no_kind_of_event_is_without_words() -> None:
    """RUN-50"""
    kinds = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, messages.Event) and kind.stored
    }
    assert kinds - {messages.Event, messages.EquipmentEvent, messages.SessionEvent} == {type(x) for x, _ in EVENTS}


def an_equipment(**changes: Any) -> Equipment:
    return Equipment(id=X, policy=Policy(), **changes)


@pytest.mark.parametrize(
    ("equipment", "is_silent", "text"),
    [
        (an_equipment(), False, "stage_x is free."),
        (an_equipment(lock=LOCK), False, "Ann (night scan) has stage_x since T60; nobody waits."),
        (an_equipment(lock=LOCK, queue=(ENTRY,)), False, "Ann (night scan) has stage_x since T60; one waits."),
        (
            an_equipment(lock=msgspec.structs.replace(LOCK, claim_by=180.0, note=None), queue=(ENTRY, ENTRY)),
            False,
            "Ann has stage_x since T60 and has not claimed it yet; 2 wait.",
        ),
        (
            an_equipment(lock=LOCK),
            True,
            "Ann (night scan) has stage_x since T60 and is silent, so whoever asks gets it at rest; nobody waits.",
        ),
        (
            an_equipment(lock=msgspec.structs.replace(LOCK, kept=KeepPromise(until=900.0, note="lunch"))),
            False,
            "Ann (night scan) has stage_x since T60, kept until T900 (lunch); nobody waits.",
        ),
        (
            an_equipment(lock=LOCK, drain=Drain(why=LossCause.IDLE, how=RestMethod.STOP, since=0.0, deadline=5.0)),
            False,
            "stage_x is coming to rest and then passes on from Ann; nobody waits.",
        ),
        (
            an_equipment(fault="it did not come to rest."),
            False,
            "stage_x has a fault (it did not come to rest) and is given to nobody until the fault is cleared.",
        ),
    ],
)
def test_a_status_says_who_has_it_since_when_why_and_how_many_wait(
    equipment: Equipment, is_silent: bool, text: str
) -> None:
    """RUN-51"""
    said = sentences.status_sentence(equipment, is_silent=is_silent, is_kept=True, time=lambda at: f"T{at:g}")
    assert said == text


def test_a_stop_says_who_stopped_it_when_why_and_who_has_to_go_on() -> None:
    """RUN-51"""
    stop = StoppedBy(session=None, user="Bob", at=70.0, reason="too close")
    assert sentences.stop_sentence(an_equipment(lock=LOCK), stop, lambda at: f"T{at:g}") == (
        "stage_x was stopped by Bob at T70 (too close): Ann has to resume or log in again."
    )


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (HolderAsk(at=0.0, due=9.0, reason="beam time"), "asks for it (beam time)"),
        (
            HolderAsk(at=0.0, due=9.0, answer="later", promised_at=50.0, note="lunch"),
            "asked for it; the holder promised T50 (lunch)",
        ),
        (HolderAsk(at=0.0, due=9.0, answer="no"), "asked for it; the holder said no"),
        (HolderAsk(at=0.0, due=9.0, answer="unanswered"), "asked for it; the holder did not answer"),
    ],
)
def test_an_ask_says_what_was_asked_or_answered(ask: HolderAsk, text: str) -> None:
    """RUN-51"""
    assert sentences.ask_clause(ask, lambda at: f"T{at:g}") == text


def test_every_cause_of_an_end_has_a_clause_of_its_own() -> None:
    """RUN-52"""
    clauses = {sentences.cause_clause(why, "Bob", "to Bob") for why in LossCause}
    assert len(clauses) == len(LossCause)
    assert all("{" not in clause and "_" not in clause for clause in clauses)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0 s"),
        (45.4, "45 s"),
        (252.3, "4 min 12 s"),
        (599.9999, "10 min"),
        (3600.0, "1 h"),
        (7500.0, "2 h 5 min"),
    ],
)
def test_a_length_of_time_is_said_as_people_say_it(seconds: float, text: str) -> None:
    """RUN-50"""
    assert sentences.duration_text(seconds) == text

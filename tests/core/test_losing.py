"""How a lock is lost without the next one finding a motor that moves."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.model import LossCause, Outcome, Policy, RestMethod, Role
from authority.core.refusals import EquipmentAtFault, EquipmentInUse, LockLost, NoFault, NoLock

from .given import (
    ANN,
    BOB,
    CEM,
    EVE,
    Lab,
    X,
    acquire,
    claim,
    clear_fault,
    connected,
    control,
    dropped,
    end,
    finish,
    force,
    given,
    gone,
    kinds,
    moved,
    release,
    stop,
    stopped_by_the_authority,
    the,
    watch,
)  # fmt: skip

MOVING = (acquire(ANN), control(ANN))


def test_the_right_to_send_ends_at_once_and_the_lock_passes_on_at_rest():
    """LOSS-1, LOSS-2, LOSS-9, LOSS-10"""
    lab = given(*MOVING, acquire(BOB, wait=True), release(ANN))
    assert (lab.x.state, lab.holder, lab.x.lock.session) == ("draining", None, ANN)
    lab.refuses(control(ANN, "another"), LockLost)
    lab.do(finish(moving=True))
    assert lab.x.state == "draining"
    assert kinds(lab.do(moved(False))) == ["MotionChanged", "LockEnded", "QueueLeft", "LockAcquired"]
    assert (lab.holder, lab.x.lock.fence) == (BOB, 2)


def test_rest_waits_for_the_stop_that_was_ordered():
    """LOSS-2"""
    lab = given(*MOVING, gone(ANN), finish(moving=False))
    assert (lab.x.state, lab.x.drain.stop_owed) == ("draining", True)
    lab.do(stopped_by_the_authority())
    assert lab.x.state == "free"


def test_who_never_moved_it_leaves_it_at_rest_whatever_the_readback_says():
    """LOSS-3"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), moved(True), gone(ANN))
    assert lab.holder == BOB
    lab.do(release(BOB))
    assert lab.x.state == "free"


@pytest.mark.parametrize("last", [gone(ANN), end(ANN), force(BOB)], ids=["gone", "end", "force"])
def test_death_end_and_force_stop_what_moves(last):
    """LOSS-4, LOSS-12"""
    lab = given(*MOVING, last)
    drain = the(messages.LockDraining, lab.history).drain
    assert (drain.how, drain.stop_owed, drain.deadline) == (RestMethod.STOP, True, 5)


def test_an_expired_session_stops_what_moves():
    """LOSS-4, LIVE-15"""
    lab = given(acquire(EVE, timeout_s=0), control(EVE), finish(moving=True))
    lab.until(600)
    assert (lab.x.drain.why, lab.x.drain.how) == (LossCause.SESSION_EXPIRED, RestMethod.STOP)


def test_the_lab_file_may_let_the_motion_of_the_dead_finish_but_force_always_stops():
    """LOSS-4"""
    policy = Policy(on_loss=RestMethod.FINISH)
    assert given(*MOVING, gone(ANN), policy=policy).x.drain.how is RestMethod.FINISH
    assert given(*MOVING, force(BOB), policy=policy).x.drain.how is RestMethod.STOP


def test_a_voluntary_release_lets_the_motion_finish_for_a_minute_and_then_stops_it():
    """LOSS-5, LOSS-7"""
    lab = given(*MOVING, release(ANN))
    lab.until(59.9)
    assert (lab.x.drain.how, lab.x.drain.stop_owed) == (RestMethod.FINISH, False)
    lab.until(60)
    assert (lab.x.drain.how, lab.x.drain.stop_owed, lab.x.drain.deadline) == (RestMethod.STOP, True, 65)
    lab.until(65)
    assert lab.x.state == "fault"


def test_a_missed_claim_and_idling_let_the_motion_finish():
    """LOSS-5"""
    lab = given(acquire(EVE, timeout_s=50), control(EVE), finish(moving=True))
    lab.until(50)
    assert (lab.x.drain.why, lab.x.drain.how) == (LossCause.IDLE, RestMethod.FINISH)


def test_the_lab_file_may_stop_what_the_silent_left_moving():
    """LOSS-5"""
    for on_silence in (RestMethod.FINISH, RestMethod.STOP):
        lab = given(*MOVING, acquire(BOB, wait=True), policy=Policy(on_silence=on_silence))
        lab.until(60, beating=[BOB])
        assert (lab.x.drain.why, lab.x.drain.how) == (LossCause.SILENCE, on_silence)


def test_release_with_stop_stops_at_once():
    """LOSS-6"""
    lab = given(*MOVING, release(ANN, stop=True))
    assert (lab.x.drain.how, lab.x.drain.stop_owed, lab.x.drain.deadline) == (RestMethod.STOP, True, 5)
    lab = given(acquire(ANN), release(ANN, stop=True))
    assert lab.x.state == "free"


def test_what_does_not_come_to_rest_is_at_fault():
    """LOSS-7, LOSS-8"""
    lab = given(*MOVING, acquire(BOB, wait=True), gone(ANN))
    lab.until(4.9)
    assert lab.x.state == "draining"
    events = lab.until(5)
    assert kinds(events) == ["Faulted", "LockEnded"]
    assert (lab.x.state, lab.holder, lab.waiting) == ("fault", None, [BOB])


def test_a_stop_that_did_not_arrive_ends_in_a_fault():
    """LOSS-7, LOSS-18"""
    lab = given(*MOVING, gone(ANN), stopped_by_the_authority(delivered=False, moving=True), finish(moving=True))
    lab.until(5)
    assert lab.x.state == "fault"


def test_a_driver_that_is_lost_in_mid_move_is_not_at_rest():
    """LOSS-18"""
    lab = given(*MOVING, moved(True), finish(moving=True), release(ANN))
    assert lab.x.state == "draining"
    lab = given(*MOVING, finish(moving=False), release(ANN))
    assert lab.x.state == "free"


def test_there_are_four_states():
    """LOSS-8"""
    lab = given()
    seen = [lab.x.state]
    for request in (acquire(ANN), control(ANN), gone(ANN)):
        lab.do(request)
        seen.append(lab.x.state)
    lab.until(5)
    assert [*seen, lab.x.state] == ["free", "held", "held", "draining", "fault"]


def test_while_draining_who_asks_is_refused_or_waits_also_the_last_holder():
    """LOSS-11"""
    lab = given(*MOVING, release(ANN))
    for who in (ANN, BOB):
        assert lab.refuses(acquire(who), EquipmentInUse).equipment.state == "draining"
    lab.refuses(watch(CEM), EquipmentInUse)
    lab.do(acquire(BOB, wait=True))
    lab.do(acquire(ANN, wait=True))
    lab.do(finish())
    assert (lab.holder, lab.waiting) == (BOB, [ANN])


def test_a_fault_is_granted_to_nobody():
    """LOSS-13"""
    lab = given(*MOVING, acquire(BOB, wait=True), gone(ANN))
    lab.until(5)
    for request in (acquire(CEM), acquire(CEM, wait=True), control(CEM), control(BOB), acquire(BOB)):
        lab.refuses(request, EquipmentAtFault)
    lab.do(finish(moving=False))
    lab.until(1000)
    assert (lab.x.state, lab.waiting) == ("fault", [BOB])
    lab.refuses(release(BOB), NoLock)


def test_a_cleared_fault_frees_the_equipment_and_grants_the_next():
    """LOSS-14, FORCE-3"""
    lab = given(*MOVING, acquire(BOB, wait=True), gone(ANN))
    lab.until(5)
    events = lab.do(clear_fault())
    assert kinds(events) == ["FaultCleared", "QueueLeft", "LockAcquired"]
    assert (the(messages.FaultCleared, events).by, lab.x.state, lab.x.lock.fence) == ("Cem", "held", 2)


def test_without_a_fault_there_is_nothing_to_clear():
    """LOSS-14"""
    given().refuses(clear_fault(), NoFault)
    given(*MOVING, gone(ANN)).refuses(clear_fault(), NoFault)


def test_after_a_cleared_fault_the_next_commands_wait_for_the_call_that_still_hangs():
    """LOSS-14, CMD-4"""
    lab = given(*MOVING, acquire(BOB, wait=True), gone(ANN))
    lab.until(5)
    lab.do(clear_fault())
    assert kinds(lab.do(control(BOB, "mine"))) == ["LockClaimed", "CommandAccepted"]
    events = lab.do(finish("move", moving=False))
    assert the(messages.CommandStarted, events).command.key == "mine"


def test_a_fault_survives_a_restart():
    """LOSS-15"""
    lab = given(*MOVING, gone(ANN))
    lab.until(5)
    lab.restart(after=100)
    assert lab.x.state == "fault"


def test_the_last_loss_says_who_under_which_fence_why_by_whom_and_when():
    """LOSS-17"""
    lab = given(*MOVING)
    lab.until(10)
    lab.do(force(BOB, reason="smoke"))
    lab.until(11)
    lab.do(finish())
    lab.do(stopped_by_the_authority())
    loss = lab.x.losses[-1]
    assert (loss.session, loss.user, loss.fence, loss.why) == (ANN, "Ann", 1, LossCause.FORCED)
    assert (loss.by, loss.reason, loss.at) == ("Bob", "smoke", 10)


def test_the_last_holder_dies_while_its_motion_finishes_and_it_is_stopped():
    """LOSS-19"""
    lab = given(*MOVING, release(ANN), gone(ANN))
    assert (lab.x.drain.how, lab.x.drain.stop_owed, lab.x.drain.why) == (RestMethod.STOP, True, LossCause.LOGOUT)


def test_the_last_holder_dies_by_lost_connections_while_it_waits_again():
    """LOSS-19, LIVE-3"""
    lab = given(connected(ANN), connected(ANN, Role.KEEPER), *MOVING, release(ANN), acquire(ANN, wait=True))
    lab.do(dropped(ANN))
    lab.do(dropped(ANN, Role.KEEPER))
    lab.until(5)
    assert (lab.waiting, lab.x.drain.how, lab.x.drain.stop_owed) == ([], RestMethod.STOP, True)


def test_the_death_of_a_waiter_stops_nothing():
    """LOSS-19"""
    lab = given(*MOVING, acquire(BOB, wait=True), release(ANN), gone(BOB))
    assert (lab.x.drain.how, lab.x.drain.stop_owed) == (RestMethod.FINISH, False)


def test_the_polite_end_of_the_last_holder_lets_its_motion_finish():
    """LOSS-19, LOSS-5"""
    lab = given(*MOVING, release(ANN), end(ANN))
    assert lab.x.drain.how is RestMethod.FINISH


def test_a_grant_that_nobody_claims_while_the_last_motion_is_over_passes_on_at_rest():
    """CLAIM-3, LOSS-9"""
    lab = given(*MOVING, acquire(BOB, wait=True), release(ANN), finish())
    assert lab.holder == BOB
    lab.until(120)
    assert lab.x.state == "free"
    lab.refuses(claim(BOB), LockLost)


def test_motion_of_its_own_does_not_delay_who_never_drove():
    """LOSS-3"""
    lab = given(acquire(ANN), moved(True), messages.MotionReport(equipment=X, moving=True, outside=12.5), release(ANN))
    assert (lab.x.state, kinds(lab.history).count("MovedOutside")) == ("free", 1)


# -- parking

PARKS = Policy(park=True, max_hold_seconds=100)
DROVE = (acquire(ANN), control(ANN), finish())


def parked(*requests: messages.Request) -> Lab:
    return given(*requests, policy=PARKS)


def park_of(lab: Lab) -> str | None:
    """The key of the parking that runs."""
    running = lab.x.running
    return running.key if running is not None and running.action == "park" else None


def test_what_was_driven_is_parked_under_the_old_fence_before_the_lock_passes_on():
    """LOSS-16"""
    lab = parked(*DROVE, acquire(BOB, wait=True))
    assert kinds(lab.do(release(ANN))) == ["LockDraining", "CommandStarted"]
    assert (lab.x.state, lab.holder, lab.x.running.fence, lab.x.running.user) == ("draining", None, 1, "the authority")
    lab.refuses(acquire(CEM), EquipmentInUse)
    lab.do(finish(park_of(lab)))
    assert (lab.holder, lab.x.fence, park_of(lab)) == (BOB, 2, None)


def test_a_move_that_still_runs_at_the_end_of_the_lock_is_finished_then_parked():
    """LOSS-16, LOSS-5"""
    lab = parked(*MOVING, release(ANN))
    assert park_of(lab) is None
    lab.do(finish(moving=True))
    assert park_of(lab) is None
    lab.do(moved(False))
    lab.do(finish(park_of(lab), moving=True))
    assert lab.x.state == "draining"
    lab.do(moved(False))
    assert (lab.x.state, park_of(lab)) == ("free", None)


@pytest.mark.parametrize(
    "before",
    [
        (acquire(ANN),),
        (*DROVE, stop(BOB)),
        (*DROVE, stop(ANN)),
        (acquire(ANN), control(ANN), finish(outcome=Outcome.FAILED)),
        (*MOVING, stop(None, moving=True), finish(outcome=Outcome.STOPPED)),
    ],
    ids=["never driven", "stopped by another", "stopped by the holder", "failed", "stopped in a move"],
)
def test_nothing_is_parked_that_was_not_driven_or_did_not_arrive_or_was_stopped_since(before):
    """LOSS-16"""
    lab = parked(*before, release(ANN))
    assert (lab.x.state, park_of(lab)) == ("free", None)


@pytest.mark.parametrize(
    "last", [gone(ANN), end(ANN), force(BOB), release(ANN, stop=True), watch(ANN)],
    ids=["gone", "end", "force", "release with a stop", "downgrade"],
)  # fmt: skip
def test_death_force_and_who_wants_no_motion_park_nothing(last):
    """LOSS-16, LOSS-6"""
    lab = parked(*DROVE, last)
    assert park_of(lab) is None


def test_where_death_lets_a_motion_finish_it_is_parked_too():
    """LOSS-16"""
    lab = given(*DROVE, gone(ANN), policy=Policy(park=True, on_loss=RestMethod.FINISH))
    assert park_of(lab) == "park 1"


def test_after_a_stop_the_next_move_that_arrives_is_parked_again():
    """LOSS-16"""
    lab = parked(*DROVE, stop(ANN), control(ANN, "again"), finish("again"), release(ANN))
    assert park_of(lab) == "park 1"


def test_a_stop_ends_the_parking_for_good():
    """LOSS-16"""
    lab = parked(*DROVE, acquire(BOB, wait=True), release(ANN), stop(BOB, moving=True))
    lab.do(finish("park 1", outcome=Outcome.STOPPED, moving=True))
    lab.do(moved(False))
    assert (lab.holder, park_of(lab)) == (BOB, None)


def test_a_parking_that_does_not_end_is_stopped_and_then_at_fault():
    """LOSS-16, LOSS-5, LOSS-7"""
    lab = parked(*DROVE, acquire(BOB, wait=True), release(ANN))
    lab.until(60)
    assert lab.x.drain.how is RestMethod.STOP
    lab.until(65)
    assert (lab.x.state, lab.holder) == ("fault", None)


def test_a_parking_that_fails_lets_the_lock_pass():
    """LOSS-16"""
    lab = parked(*DROVE, acquire(BOB, wait=True), release(ANN), finish("park 1", outcome=Outcome.FAILED))
    assert lab.holder == BOB


def test_who_loses_the_lock_by_dying_while_it_is_parked_does_not_end_the_parking():
    """LOSS-16, LOSS-19"""
    lab = parked(*DROVE, release(ANN), gone(ANN))
    assert (park_of(lab), lab.x.drain.how) == ("park 1", RestMethod.FINISH)


def test_what_is_to_be_parked_is_not_at_rest_for_who_asks_without_waiting():
    """LOSS-16, LIVE-9, LIVE-10"""
    lab = parked(*DROVE)
    lab.until(61, beating=(BOB, CEM))
    lab.refuses(acquire(BOB), EquipmentInUse)
    assert lab.x.state == "held"
    lab.do(acquire(BOB, wait=True))
    assert (park_of(lab), lab.x.drain.why) == ("park 1", LossCause.SILENCE)
    lab.do(finish("park 1"))
    assert lab.holder == BOB


def test_an_heir_gets_what_was_handed_over_once_it_is_parked():
    """LOSS-16, QUEUE-12"""
    lab = parked(*DROVE, acquire(CEM, wait=True), acquire(BOB, wait=True))
    lab.do(messages.HandOver(session=ANN, equipment=X, to=lab.x.queue[1].queue_id))
    assert (lab.x.state, park_of(lab)) == ("draining", "park 1")
    lab.do(finish("park 1"))
    assert lab.holder == BOB


def test_a_parking_that_the_end_of_the_authority_cut_off_is_not_begun_again():
    """LOSS-16, STORE-4"""
    lab = parked(*DROVE, acquire(BOB, wait=True), release(ANN))
    assert the(messages.CommandFinished, lab.restart(after=1)).outcome is Outcome.UNKNOWN
    lab.do(stopped_by_the_authority())
    assert (lab.holder, park_of(lab)) == (BOB, None)

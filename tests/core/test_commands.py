"""Commands one after another under one fence, and a stop that is everybody's."""

from __future__ import annotations

import pytest

from authority.core import messages
from authority.core.control import COMMANDS_LIMIT
from authority.core.model import LossCause, Outcome
from authority.core.refusals import (
    EquipmentAtFault,
    LockLost,
    LockRequired,
    NotHolder,
    StoppedByAnother,
    TooBusy,
    UnknownEquipment,
)

from .given import (
    ANN,
    BOB,
    CEM,
    EquipmentId,
    SessionId,
    X,
    Y,
    acquire,
    control,
    end,
    finish,
    force,
    given,
    gone,
    kinds,
    observe,
    release,
    resume,
    stop,
    stopped_by_the_authority,
    the,
    watch,
)  # fmt: skip


def outcomes(events):
    return [(e.key, e.outcome) for e in events if isinstance(e, messages.CommandFinished)]


def test_a_control_command_needs_the_exclusive_lock():
    """CMD-1"""
    lab = given(acquire(ANN))
    lab.refuses(control(BOB), LockRequired)
    assert the(messages.CommandStarted, lab.do(control(ANN))).command.action == "move_to"


def test_control_commands_run_one_after_another_in_the_order_of_acceptance():
    """CMD-4, CMD-15, CMD-16"""
    lab = given(acquire(ANN))
    started = [kinds(lab.do(control(ANN, key))) for key in ("a", "b", "c")]
    assert started == [["CommandStarted"], ["CommandAccepted"], ["CommandAccepted"]]
    for key, following in (("a", "b"), ("b", "c")):
        assert lab.x.running.key == key
        assert kinds(lab.do(finish(key))) == ["CommandFinished", "CommandStarted"]
        assert lab.x.running.key == following
    lab.do(finish("c"))
    assert (lab.x.running, lab.x.accepted) == (None, ())


def test_only_so_many_commands_may_wait_and_a_further_one_changes_nothing():
    """CMD-18"""
    lab = given(acquire(ANN), control(ANN), *(control(ANN, f"k{n}") for n in range(COMMANDS_LIMIT)))
    lab.refuses(control(ANN, "one too many"), TooBusy)
    lab.do(finish())
    assert kinds(lab.do(control(ANN, "now it fits"))) == ["CommandAccepted"]


def test_observe_commands_do_not_wait_and_neither_does_other_equipment():
    """CMD-5"""
    lab = given(acquire(ANN), acquire(ANN, Y), control(ANN))
    lab.do(observe(ANN))
    assert kinds(lab.do(control(ANN, "other", Y))) == ["CommandStarted"]


def test_a_command_without_a_fence_is_stamped_with_the_present_one():
    """CMD-6"""
    lab = given(acquire(ANN), release(ANN), acquire(ANN), control(ANN))
    assert lab.x.running.fence == 2


def test_a_command_in_flight_outlives_its_lock_and_keeps_its_outcome():
    """CMD-7, LOSS-1"""
    lab = given(acquire(ANN), control(ANN), release(ANN))
    assert lab.x.running.fence == 1
    finished = the(messages.CommandFinished, lab.do(finish()))
    assert (finished.session, finished.outcome) == (ANN, Outcome.DONE)


@pytest.mark.parametrize(
    "last", [release(ANN), force(BOB), gone(ANN), end(ANN)], ids=["release", "force", "gone", "end"]
)
def test_a_command_that_waits_is_not_run_when_its_lock_ends(last):
    """CMD-7, CMD-15"""
    lab = given(acquire(ANN), control(ANN, "a"), control(ANN, "b"), control(ANN, "c"))
    assert outcomes(lab.do(last)) == [("b", Outcome.NOT_RUN), ("c", Outcome.NOT_RUN)]
    assert (lab.x.running.key, lab.x.accepted) == ("a", ())


def test_the_same_command_id_runs_twice():
    """CMD-11"""
    lab = given(acquire(ANN), control(ANN, "a"), finish("a"))
    assert kinds(lab.do(control(ANN, "a"))) == ["CommandStarted"]


def test_status_shows_the_command_that_runs():
    """CMD-16"""
    lab = given(acquire(ANN))
    lab.until(3)
    lab.do(control(ANN))
    running = lab.x.running
    assert (running.action, running.parameters, running.user, running.started_at) == (
        "move_to",
        {"position": 5},
        "Ann",
        3,
    )


def test_a_command_that_fails_keeps_the_lock():
    """CMD-17"""
    lab = given(acquire(ANN), control(ANN), finish(outcome=Outcome.FAILED))
    assert (lab.holder, lab.history[-1].outcome) == (ANN, Outcome.FAILED)


def test_the_end_of_a_command_that_is_not_in_flight_is_nothing():
    """CMD-4"""
    lab = given(acquire(ANN), control(ANN, "a"), control(ANN, "b"))
    assert lab.do(finish("b")) == ()
    assert lab.do(finish("a", Y)) == ()
    assert lab.x.running.key == "a"


# -- stop


@pytest.mark.parametrize("who", [ANN, BOB, CEM, SessionId("nobody"), None])
@pytest.mark.parametrize(
    "before",
    [
        (), (acquire(ANN),), (acquire(ANN), control(ANN)), (acquire(ANN), control(ANN), release(ANN)),
        (acquire(ANN), acquire(BOB, wait=True)),
    ],
    ids=["free", "held", "running", "draining", "wanted"],
)  # fmt: skip
def test_anybody_may_stop_in_every_state_and_it_moves_no_lock(before, who):
    """STOP-1, STOP-2, STOP-7, STOP-12"""
    lab = given(*before)
    lock, fence, queue = lab.x.lock and lab.x.lock.lock_id, lab.x.fence, lab.x.queue
    for _ in range(2):
        assert "Stopped" in kinds(lab.do(stop(who, moving=True)))
    assert (lab.x.lock and lab.x.lock.lock_id, lab.x.fence, lab.x.queue) == (lock, fence, queue)


def test_equipment_at_fault_can_be_stopped():
    """STOP-1"""
    lab = given(acquire(ANN), control(ANN), gone(ANN))
    lab.until(5)
    lab.do(stop(BOB))
    assert lab.x.state == "fault"


def test_a_stop_by_a_session_that_has_ended_is_carried_out():
    """STOP-2"""
    lab = given(acquire(ANN), end(BOB), stop(BOB))
    assert lab.x.stopped_by is not None
    given().refuses(stop(BOB, EquipmentId("nowhere")), UnknownEquipment)


def test_a_stop_that_was_not_delivered_says_so():
    """STOP-4"""
    lab = given(acquire(ANN), control(ANN))
    assert the(messages.Stopped, lab.do(stop(BOB, delivered=False, moving=True))).delivered is False


def test_a_stop_ends_the_commands_that_wait_without_their_reaching_the_driver():
    """STOP-5, CMD-15"""
    lab = given(acquire(ANN), control(ANN, "a"), control(ANN, "b"))
    assert outcomes(lab.do(stop(ANN))) == [("b", Outcome.STOPPED)]
    assert lab.x.running.key == "a"
    assert kinds(lab.do(finish("a", outcome=Outcome.STOPPED))) == ["CommandFinished"]


@pytest.mark.parametrize("who", [BOB, None, SessionId("nobody")])
def test_after_somebodys_stop_control_is_refused_until_the_holder_resumes_or_logs_in_again(who):
    """STOP-6"""
    for way_back in (resume(ANN), acquire(ANN)):
        lab = given(acquire(ANN), control(ANN), stop(who), finish(outcome=Outcome.STOPPED))
        refused = lab.refuses(control(ANN, "again"), StoppedByAnother)
        assert (refused.stop.session, refused.stop.at, bool(refused.stop.user)) == (who, 0, True)
        lab.do(observe(ANN))
        lab.do(way_back)
        assert kinds(lab.do(control(ANN, "again"))) == ["CommandStarted"]


def test_the_holders_own_stop_and_the_authoritys_block_nothing():
    """STOP-6"""
    for order in (stop(ANN), stopped_by_the_authority()):
        lab = given(acquire(ANN), control(ANN), order, finish(outcome=Outcome.STOPPED))
        assert kinds(lab.do(control(ANN, "again"))) == ["CommandStarted"]


def test_only_the_holder_resumes():
    """STOP-8"""
    lab = given(acquire(ANN), stop(BOB))
    lab.refuses(resume(BOB), NotHolder)
    given().refuses(resume(ANN), NotHolder)


def test_a_resume_without_a_stop_says_nothing():
    """STOP-8"""
    assert kinds(given(acquire(ANN)).do(resume(ANN))) == []


def test_the_next_holder_starts_without_the_stop():
    """STOP-9"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), stop(CEM), release(ANN))
    assert (lab.holder, lab.x.stopped_by) == (BOB, None)
    assert kinds(lab.do(control(BOB))) == ["LockClaimed", "CommandStarted"]


def test_a_stop_of_what_nobody_holds_leaves_nothing_to_resume():
    """STOP-9"""
    lab = given(stop(BOB), acquire(ANN))
    assert kinds(lab.do(control(ANN))) == ["CommandStarted"]
    lab = given(acquire(ANN), control(ANN), release(ANN), stop(BOB))
    assert lab.x.stopped_by is None


def test_a_stop_ends_a_draining_sooner():
    """STOP-1, LOSS-9"""
    lab = given(acquire(ANN), control(ANN), acquire(BOB, wait=True), release(ANN), stop(CEM))
    lab.do(finish(outcome=Outcome.STOPPED))
    assert lab.holder == BOB


def test_checks_come_in_the_order_fault_lock_stop():
    """LOSS-13, LOCK-10, STOP-6"""
    lab = given(acquire(ANN), stop(BOB))
    lab.refuses(control(BOB), LockRequired)
    lab = given(acquire(ANN), control(ANN), gone(ANN))
    lab.until(5)
    lab.refuses(control(BOB), EquipmentAtFault)


def test_a_watcher_who_lost_the_exclusive_lock_is_told_how():
    """LOCK-11, OBS-2"""
    lab = given(acquire(ANN), watch(ANN))
    assert lab.refuses(control(ANN), LockLost).loss.why == LossCause.DOWNGRADED
    assert lab.x.id == X


def test_a_stop_ends_with_the_right_to_send():
    """STOP-9, LOSS-1"""
    lab = given(acquire(ANN), control(ANN), stop(BOB, moving=True))
    assert lab.x.stopped_by is not None
    lab.do(release(ANN))
    assert (lab.x.state, lab.x.stopped_by) == ("draining", None)

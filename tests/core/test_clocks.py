"""Life, silence, idling and turn: lunch, the laptop's lid, a walk through the Wi-Fi, a scan overnight."""

from __future__ import annotations

import pytest

from authority.core import clocks, messages
from authority.core.clocks import FORGET_SILENT_S
from authority.core.model import LossCause, Policy, Role
from authority.core.refusals import EquipmentInUse, LockLost, NoLock, SessionEnded

from .given import (
    ANN,
    BOB,
    CEM,
    DAN,
    EVE,
    X,
    Y,
    Z,
    acquire,
    activity,
    beat,
    claim,
    connected,
    control,
    dropped,
    end,
    finish,
    given,
    gone,
    kinds,
    leave,
    observe,
    release,
    resume,
    stop,
    the,
    watch,
)  # fmt: skip

HOUR = 3600.0


# -- the stories


def test_lunch_nobody_else_comes_and_the_lock_is_hers_under_the_same_fence():
    """IDLE-4, IDLE-5, LIVE-6"""
    lab = given(acquire(ANN), control(ANN), finish())
    lab.until(HOUR)
    assert (lab.holder, lab.x.fence) == (ANN, 1)
    assert kinds(lab.do(control(ANN, "after lunch", fence=1))) == ["CommandStarted"]


def test_lunch_somebody_else_comes_and_gets_it_in_that_step():
    """IDLE-5, LOCK-11"""
    lab = given(acquire(ANN))
    lab.until(HOUR)
    assert kinds(lab.do(acquire(BOB))) == ["LockEnded", "LockAcquired"]
    loss = lab.refuses(control(ANN), LockLost).loss
    assert (loss.why, loss.by, loss.at) == (LossCause.OFFERED, "Bob", HOUR)


def test_laptop_lid_nobody_wants_the_motor_and_all_is_as_before():
    """LIVE-6, LIVE-7"""
    lab = given(acquire(ANN))
    assert kinds(lab.until(8 * HOUR, beating=[])).count("LockEnded") == 0
    assert (lab.session(ANN).suspect, lab.holder) == (True, ANN)
    assert kinds(lab.do(beat(ANN))) == ["SessionResumed"]
    assert kinds(lab.do(control(ANN, fence=1))) == ["CommandStarted"]


def test_laptop_lid_somebody_waits_and_gets_it_the_moment_she_is_suspect():
    """LIVE-11, LIVE-6, LOCK-11"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(59.9, beating=[BOB])
    assert lab.holder == ANN
    events = lab.until(60, beating=[BOB])
    assert the(messages.LockEnded, events).loss.why == LossCause.SILENCE
    assert lab.holder == BOB
    assert lab.refuses(control(ANN), LockLost).loss.by == "Bob"


def test_wifi_roam_a_silence_shorter_than_the_lease_is_nothing():
    """LIVE-3, LIVE-6"""
    lab = given(connected(ANN), connected(ANN, Role.KEEPER), acquire(ANN), acquire(BOB, wait=True))
    lab.until(59, beating=[BOB, CEM])
    lab.do(beat(ANN))
    lab.until(118, beating=[BOB])
    assert (lab.holder, lab.session(ANN).suspect) == (ANN, False)


def test_wifi_roam_one_stream_of_two_is_enough():
    """LIVE-4"""
    lab = given(connected(ANN), connected(ANN, Role.KEEPER), acquire(ANN), dropped(ANN))
    lab.until(1000)
    assert lab.lives(ANN)


def test_wifi_roam_a_stream_that_is_back_within_five_seconds_is_enough():
    """LIVE-3"""
    lab = given(connected(ANN), connected(ANN, Role.KEEPER), acquire(ANN), dropped(ANN), dropped(ANN, Role.KEEPER))
    lab.until(4.9)
    lab.do(connected(ANN))
    lab.until(1000)
    assert lab.holder == ANN


def test_overnight_scan_a_busy_kernel_does_not_idle():
    """IDLE-3, IDLE-2"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    for n in range(20):
        lab.do(beat(ANN, busy=True))
        lab.do(control(ANN, f"point {n}"))
        lab.until(lab.now + 10, busy=True)
        lab.do(finish(f"point {n}"))
        lab.until(lab.now + 600, busy=True)
    assert (lab.holder, lab.waiting) == (ANN, [BOB])
    lab.do(beat(ANN, busy=False))
    lab.until(lab.now + 299)
    assert lab.holder == ANN
    lab.until(lab.now + 1)
    assert lab.holder == BOB


# -- life and death


def test_gone_proves_death():
    """LIVE-2, LIVE-17, LOSS-9"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    events = lab.do(gone(ANN))
    assert (the(messages.SessionOver, events).why, lab.holder, lab.lives(ANN)) == (LossCause.GONE, BOB, False)


def test_both_connections_lost_for_five_seconds_prove_death():
    """LIVE-3"""
    lab = given(connected(ANN), connected(ANN, Role.KEEPER), acquire(ANN))
    lab.until(10)
    lab.do(dropped(ANN, Role.KEEPER))
    lab.do(dropped(ANN))
    lab.until(14.9)
    assert lab.holder == ANN
    ended = the(messages.SessionOver, lab.until(15))
    assert (ended.session, ended.why, lab.holder) == (ANN, LossCause.CONNECTIONS_LOST, None)


def test_connections_that_the_authority_itself_closes_prove_nothing():
    """LIVE-5"""
    lab = given(connected(ANN), connected(ANN, Role.KEEPER), acquire(ANN), dropped(ANN))
    lab.do(messages.DetachConnection(session=ANN, role=Role.KEEPER, ours=True))
    lab.until(30)
    assert lab.holder == ANN
    lab.do(connected(ANN))
    lab.do(dropped(ANN))
    lab.until(36)
    assert lab.holder is None


def test_no_connection_counts_as_lost_before_it_was_opened():
    """LIVE-4, LIVE-5"""
    lab = given(acquire(ANN))
    lab.until(1000)
    assert lab.holder == ANN


def test_a_closing_that_comes_after_the_end_of_its_session_is_nothing():
    """LIVE-3, LIVE-17"""
    lab = given(connected(ANN), gone(ANN))
    assert lab.do(dropped(ANN)) == ()


def test_a_suspect_session_that_speaks_is_suspect_no_more_whatever_it_asks():
    """LIVE-7"""
    for request in (beat(ANN), observe(ANN), acquire(ANN), claim(ANN), activity(ANN), connected(ANN), resume(ANN)):
        lab = given(acquire(ANN))
        lab.until(60, beating=[])
        assert lab.session(ANN).suspect
        lab.do(request)
        assert (lab.session(ANN).suspect, lab.holder, lab.x.fence) == (False, ANN, 1)


def test_a_plain_request_gets_what_a_silent_holder_has_in_that_step():
    """LIVE-8"""
    lab = given(acquire(ANN))
    lab.until(61, beating=[BOB])
    events = lab.do(acquire(BOB))
    assert kinds(events) == ["LockEnded", "LockAcquired"]
    assert (the(messages.LockEnded, events).loss.why, lab.holder, lab.x.lock.fence) == (LossCause.SILENCE, BOB, 2)


def test_a_plain_request_for_what_a_silent_holder_still_moves_changes_nothing():
    """LIVE-9"""
    lab = given(acquire(ANN), control(ANN))
    lab.until(61, beating=[BOB])
    lab.refuses(acquire(BOB), EquipmentInUse)
    assert lab.holder == ANN


def test_a_request_that_waits_for_what_a_silent_holder_has_at_rest_gets_it():
    """LIVE-10"""
    lab = given(acquire(ANN))
    lab.until(61, beating=[BOB])
    lab.do(acquire(BOB, wait=True))
    assert (lab.holder, lab.waiting) == (BOB, [])


def test_a_request_that_waits_for_what_a_silent_holder_still_moves_begins_the_draining():
    """LIVE-10"""
    lab = given(acquire(ANN), control(ANN))
    lab.until(61, beating=[BOB])
    lab.do(acquire(BOB, wait=True))
    assert (lab.x.state, lab.x.drain.why, lab.waiting) == ("draining", LossCause.SILENCE, [BOB])
    lab.do(finish())
    assert lab.holder == BOB


def test_silence_ends_every_lock_that_somebody_waits_for():
    """LIVE-11"""
    lab = given(acquire(ANN, X), acquire(ANN, Y), acquire(BOB, X, wait=True), acquire(CEM, Y, wait=True))
    lab.until(60, beating=[BOB, CEM])
    assert (lab.x.lock.session, lab.y.lock.session) == (BOB, CEM)


def test_a_late_timer_leaves_no_lock_with_a_silent_holder():
    """LIVE-11, LIVE-18"""
    lab = given(acquire(ANN, X), acquire(ANN, Y), acquire(BOB, Y, wait=True))
    lab.until(59, beating=[BOB, CEM])
    lab.late(60)
    lab.do(acquire(CEM, X))
    lab.ring()
    assert (lab.x.lock.session, lab.y.lock.session) == (CEM, BOB)


def test_a_word_that_comes_after_the_lease_comes_too_late_however_late_the_timer():
    """LIVE-18, LIVE-11"""
    for word in (beat(ANN), control(ANN, what=Y), connected(ANN)):
        lab = given(acquire(ANN, X), acquire(ANN, Y), acquire(BOB, X, wait=True))
        lab.until(59, beating=[BOB])
        lab.late(60)
        lab.do(word)
        assert (lab.x.lock.session, lab.y.lock.session, lab.session(ANN).suspect) == (BOB, ANN, False)


def test_a_silent_waiter_who_speaks_to_a_silent_holder_gets_the_lock_in_that_step():
    """LIVE-11, LIVE-12, QUEUE-7"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(60, beating=[])
    assert (lab.holder, lab.session(BOB).suspect) == (ANN, True)
    lab.do(beat(BOB))
    assert lab.holder == BOB


def test_nothing_passes_on_between_the_silent():
    """LIVE-11, LIVE-12"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(10 * HOUR, beating=[])
    assert (lab.holder, lab.waiting) == (ANN, [BOB])


def test_a_silent_session_ends_after_a_day_with_all_it_holds_watches_and_waits_for():
    """LIVE-13"""
    lab = given(acquire(ANN), watch(BOB, Y), acquire(CEM, wait=True), acquire(DAN, Z))
    lab.until(FORGET_SILENT_S - 1, beating=[DAN])
    assert (lab.holder, lab.waiting) == (ANN, [CEM])
    lab.until(FORGET_SILENT_S, beating=[DAN])
    assert [lab.lives(name) for name in (ANN, BOB, CEM, DAN)] == [False, False, False, True]
    assert (lab.holders, lab.queues, lab.y.observers) == ((None, None, DAN), ([], [], []), ())


def test_who_never_comes_back_after_a_restart_ends_a_day_after_it():
    """LIVE-13, LIVE-20"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.restart(after=HOUR)
    lab.until(HOUR + FORGET_SILENT_S - 1, beating=[])
    assert (lab.holder, lab.waiting) == (ANN, [BOB])
    lab.until(HOUR + FORGET_SILENT_S, beating=[])
    assert (lab.holder, lab.waiting, lab.lives(ANN)) == (None, [], False)


def test_who_speaks_within_the_day_has_all_it_had():
    """LIVE-13, LIVE-7"""
    lab = given(acquire(ANN))
    lab.until(FORGET_SILENT_S - 1, beating=[])
    lab.do(beat(ANN))
    lab.until(FORGET_SILENT_S + HOUR)
    assert (lab.holder, lab.session(ANN).suspect) == (ANN, False)


def test_a_suspended_kernel_whose_keeper_beats_is_not_silent():
    """LIVE-14"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(10 * HOUR, busy=True)
    assert (lab.holder, lab.session(ANN).suspect) == (ANN, False)


def test_a_program_lives_by_its_timeout_which_every_request_restarts():
    """LIVE-15"""
    lab = given(acquire(EVE, timeout_s=0))
    for at, word in ((500, beat(EVE)), (1000, control(EVE, what=X)), (1001, finish())):
        lab.until(at)
        lab.do(word)
    lab.until(1600.5)
    assert lab.holder == EVE
    ended = the(messages.SessionOver, lab.until(1601))
    assert (ended.why, lab.holder) == (LossCause.SESSION_EXPIRED, None)


def test_a_request_after_the_timeout_finds_the_session_ended():
    """LIVE-15, LIVE-18"""
    lab = given(acquire(EVE, timeout_s=0))
    lab.late(600)
    lab.refuses(beat(EVE), SessionEnded)
    lab.refuses(control(EVE), SessionEnded)
    lab.do(acquire(ANN))
    assert lab.holder == ANN


def test_a_program_with_timeout_zero_lives_for_ever():
    """LIVE-15"""
    lab = given()
    lab.do(messages.OpenSession(session=messages.Session(id=CEM, user="Cem", created_at=0, last_seen=0, timeout_s=0)))
    lab.until(1e9, beating=[])
    assert lab.lives(CEM)


def test_the_timeout_of_a_program_stands_still_while_its_command_runs():
    """LIVE-16, IDLE-2"""
    lab = given(acquire(EVE), control(EVE))
    lab.until(5000)
    assert lab.holder == EVE
    lab.do(finish())
    lab.until(5299)
    assert lab.holder == EVE


def test_the_timeout_of_a_program_stands_still_while_its_stream_is_open():
    """LIVE-16"""
    lab = given(acquire(EVE, timeout_s=0), connected(EVE))
    lab.until(5000)
    lab.do(dropped(EVE))
    assert kinds(lab.until(5001)) == []
    assert lab.holder == EVE
    lab.until(5600)
    assert not lab.lives(EVE)


def test_a_command_that_outlives_its_lock_still_keeps_its_session():
    """LIVE-16, LOSS-7"""
    lab = given(acquire(EVE), control(EVE), release(EVE))
    lab.until(66)
    assert lab.x.state == "fault"
    lab.until(5000)
    assert lab.lives(EVE)
    lab.do(finish(moving=False))
    lab.until(5599)
    assert lab.lives(EVE)
    lab.until(5600)
    assert not lab.lives(EVE)


def test_a_session_that_ends_loses_all_it_has_in_one_step():
    """LIVE-17"""
    lab = given(acquire(ANN, X), acquire(BOB, Y), acquire(ANN, Y, wait=True), watch(CEM, X, wait=True))
    lab.do(acquire(DAN, X, wait=True))
    lab.do(end(ANN))
    assert (lab.x.lock.session, [e.session for e in lab.y.queue], lab.y.lock.session) == (DAN, [], BOB)
    for request in (acquire(ANN), control(ANN), leave(ANN), end(ANN), beat(ANN), connected(ANN)):
        lab.refuses(request, SessionEnded)


def test_a_waiter_whose_session_ended_before_the_grant_is_not_granted():
    """LIVE-17, LIVE-18, QUEUE-7"""
    lab = given(acquire(ANN), acquire(EVE, wait=True), acquire(BOB, wait=True))
    lab.until(599, busy=True)
    lab.late(600)
    granted = the(messages.LockAcquired, lab.do(end(ANN)))
    assert (granted.session, lab.x.fence) == (BOB, 2)


def test_what_is_due_ends_before_a_request_of_that_very_instant():
    """LIVE-18, IDLE-6, LOCK-11"""
    lab = given(acquire(EVE, timeout_s=100))
    lab.late(99.9)
    lab.do(observe(EVE))
    lab.late(199.9)
    assert lab.refuses(control(EVE), LockLost).loss.why == LossCause.IDLE
    lab.do(acquire(EVE))
    assert lab.x.lock.fence == 2


def test_a_beat_that_comes_after_the_idle_time_ran_out_does_not_save_the_lock():
    """LIVE-18, IDLE-5"""
    lab = given(acquire(ANN, timeout_s=50), acquire(BOB, wait=True))
    lab.until(49)
    lab.late(50)
    lab.do(beat(ANN, busy=True))
    assert lab.holder == BOB


# -- idling


@pytest.mark.parametrize("use", [control(EVE), observe(EVE), activity(EVE), acquire(EVE), claim(EVE)])
def test_use_restarts_the_idle_time(use):
    """IDLE-1, IDLE-6"""
    lab = given(acquire(EVE))
    lab.until(200)
    lab.do(use)
    if use == control(EVE):
        lab.do(finish())
    lab.until(301)
    held = lab.holder == EVE
    assert held == (use != claim(EVE)), "a claim of what is claimed changes nothing (CLAIM-6)"


def test_the_end_of_a_command_restarts_the_idle_time():
    """IDLE-1, IDLE-2"""
    lab = given(acquire(EVE), control(EVE))
    lab.until(1000)
    lab.do(finish())
    lab.until(1299)
    assert lab.holder == EVE
    lab.until(1300)
    assert lab.holder is None


def test_resume_restarts_the_idle_time():
    """IDLE-1, STOP-6"""
    lab = given(acquire(EVE), stop(BOB))
    lab.until(200)
    lab.do(resume(EVE))
    lab.until(499)
    assert lab.holder == EVE


def test_no_idle_time_means_never():
    """IDLE-1"""
    lab = given(acquire(ANN, timeout_s=0), acquire(BOB, wait=True))
    lab.until(10 * HOUR)
    assert lab.holder == ANN


def test_a_heartbeat_restarts_no_idle_time():
    """IDLE-3, LIVE-1"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    lab.until(299)
    assert lab.holder == ANN
    lab.until(300)
    assert lab.holder == BOB


def test_idling_releases_what_a_program_holds_and_only_offers_what_a_kernel_holds():
    """IDLE-4, IDLE-5, IDLE-6"""
    lab = given(acquire(EVE, X), acquire(ANN, Y))
    lab.until(300)
    assert (lab.x.lock, lab.y.lock.session) == (None, ANN)


@pytest.mark.parametrize(
    ("on_idle", "alone", "wanted"), [("release", None, BOB), ("offer", ANN, BOB), ("keep", ANN, ANN)]
)
def test_the_lab_file_decides_what_idling_means(on_idle, alone, wanted):
    """IDLE-4, IDLE-5, IDLE-6, IDLE-7"""
    lab = given(acquire(ANN), policy=Policy(on_idle=on_idle))
    lab.until(301)
    assert lab.holder == alone
    lab.do(acquire(BOB, wait=True))
    assert lab.holder == wanted


def test_offered_use_before_somebody_asks_restarts_the_idle_time():
    """IDLE-5, LOCK-4"""
    lab = given(acquire(ANN))
    lab.until(1000)
    lab.do(acquire(ANN))
    lab.refuses(acquire(BOB), EquipmentInUse)
    assert (lab.holder, lab.x.fence) == (ANN, 1)


def test_offered_passes_on_the_moment_the_idle_time_of_a_wanted_lock_runs_out():
    """IDLE-5"""
    lab = given(acquire(ANN), acquire(BOB, wait=True))
    events = lab.until(300)
    assert (the(messages.LockEnded, events).loss.why, lab.holder) == (LossCause.OFFERED, BOB)


def test_an_observer_who_asks_does_not_end_what_is_offered_unless_it_waits():
    """IDLE-5, LIVE-11, OBS-4"""
    lab = given(acquire(ANN))
    lab.until(301)
    lab.refuses(watch(BOB), EquipmentInUse)
    lab.do(watch(BOB, wait=True))
    assert (lab.observing, lab.holder) == ([BOB], None)


def test_activity_without_a_lock_is_refused():
    """IDLE-9"""
    lab = given(acquire(ANN))
    lab.refuses(activity(BOB), NoLock)
    lab.refuses(activity(ANN, Y), NoLock)


def test_people_see_the_one_countdown_that_ends_the_lock_next():
    """IDLE-10, TURN-3"""
    policy = Policy(max_hold_seconds=200)
    lab = given(acquire(ANN), acquire(EVE, Y), policy=policy)
    assert clocks.ending(lab.table, lab.x) == clocks.Ending("offer", 300)
    assert clocks.ending(lab.table, lab.y) == clocks.Ending("idle", 300)
    lab.do(acquire(BOB, wait=True))
    assert clocks.ending(lab.table, lab.x) == clocks.Ending("turn", 200)
    lab.do(release(ANN))
    assert clocks.ending(lab.table, lab.x) == clocks.Ending("claim", 120)
    lab.do(control(BOB))
    assert clocks.ending(lab.table, lab.x) is None
    lab.do(gone(BOB))
    assert clocks.ending(lab.table, lab.x) == clocks.Ending("drain", 5)
    lab.until(5)
    assert clocks.ending(lab.table, lab.x) is None
    lab = given(acquire(ANN))
    lab.until(60, beating=[])
    assert clocks.ending(lab.table, lab.x) == clocks.Ending("silence", None)


# -- turn


def test_a_turn_counts_only_while_somebody_waits_and_adds_up():
    """TURN-1, TURN-2"""
    lab = given(acquire(ANN), policy=Policy(max_hold_seconds=100, on_idle="keep"))
    lab.until(1000)
    for at in (1000, 2000, 3000):
        lab.until(at)
        lab.do(acquire(BOB, wait=True))
        lab.until(at + 30)
        lab.do(leave(BOB))
    lab.until(5000)
    assert lab.holder == ANN
    lab.do(acquire(BOB, wait=True))
    lab.until(5009.9)
    assert lab.holder == ANN
    events = lab.until(5010)
    assert (the(messages.LockEnded, events).loss.why, lab.holder) == (LossCause.TURN, BOB)


def test_use_does_not_restart_a_turn():
    """TURN-1"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), policy=Policy(max_hold_seconds=100))
    for at in (30, 60, 90):
        lab.until(at)
        lab.do(acquire(ANN))
    lab.until(100)
    assert lab.holder == BOB


def test_alongside_a_waiting_observer_counts_no_turn():
    """TURN-1, OBS-6"""
    lab = given(acquire(ANN), watch(BOB), policy=Policy(max_hold_seconds=100, observers="alongside", on_idle="keep"))
    lab.until(1000)
    assert lab.holder == ANN


def test_at_the_end_of_a_turn_the_motion_may_finish():
    """TURN-2, LOSS-5"""
    lab = given(acquire(ANN), control(ANN), acquire(BOB, wait=True), policy=Policy(max_hold_seconds=100))
    lab.until(100)
    assert (lab.x.state, lab.x.drain.why, lab.x.drain.how) == ("draining", LossCause.TURN, "finish")


def test_a_turn_that_runs_out_while_only_the_silent_wait_ends_when_one_of_them_speaks():
    """TURN-2, LIVE-12"""
    lab = given(acquire(ANN), acquire(BOB, wait=True), policy=Policy(max_hold_seconds=100, on_idle="keep"))
    lab.until(500, beating=[ANN])
    assert lab.holder == ANN
    lab.do(beat(BOB))
    assert lab.holder == BOB


def test_an_expired_lock_names_both_parties():
    """LOSS-20"""
    lab = given(acquire(EVE), acquire(BOB, wait=True), acquire(CEM, wait=True))
    lab.until(300)
    lab.until(420)
    ended = [(e.user, e.loss.why, e.loss.by) for e in lab.history if isinstance(e, messages.LockEnded)]
    assert ended == [("Eve", LossCause.IDLE, "Bob"), ("Bob", LossCause.UNCLAIMED, "Cem")]

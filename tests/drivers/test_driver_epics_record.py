"""The EPICS motor against a record that behaves as documented: a real server process on loopback (`motor_ioc`)."""

from __future__ import annotations

import threading

import pytest
from as_worker import command_under

pytest.importorskip("caproto")

from epics_motors import FAST, SLOW, WAIT_S, until

from authority.drivers.epics import EpicsMotor, VelocityNotTaken
from authority.drivers.limits import MoveFailed
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits, StopToken

pytestmark = pytest.mark.epics

GO, STOP, PAUSE = 3, 0, 1


def test_a_jog_goes_on_for_its_seconds_and_answers_the_position(motor_of, outsider):
    """DRV-22"""
    outsider.write(f"{SLOW}:Position", 20.0)
    motor = motor_of(SLOW)
    motor.check("jog", {"direction": "forward", "seconds": 1.0})
    forward = motor.jog("forward")
    assert 20.1 < forward < 50
    assert motor.jog("reverse", 0.5) < forward
    assert not motor.readback().moving
    assert (outsider.read(f"{SLOW}.JOGF"), outsider.read(f"{SLOW}.JOGR")) == (0, 0)


def test_a_jog_that_is_stopped_is_stopped_and_its_button_is_not_left_pressed(motor_of, outsider, other_thread):
    """DRV-10, DRV-22, DRV-26"""
    motor = motor_of(SLOW)
    jog = other_thread.submit(motor.jog, "forward", 0.0)
    until(motor, lambda seen: seen.moving and seen.position > 0.1)
    motor.stop()
    with pytest.raises(MotionStopped, match=r"^stopped at .* mm$"):
        jog.result(WAIT_S)
    assert until(motor, lambda seen: not seen.moving).position < 50
    assert outsider.read(f"{SLOW}.JOGF") == 0


def test_a_jog_that_does_not_move_has_failed_and_says_why(motor_of, outsider):
    """DRV-21, DRV-22"""
    outsider.write(f"{FAST}.CNEN", 0)
    motor = motor_of()
    with pytest.raises(
        MoveFailed, match=r"^the jog of sim:m1 did not begin at 0 mm: it is switched off \(CNEN\): enable it$"
    ):
        motor.jog("forward", 0.1)


def test_a_stop_at_the_very_start_of_a_jog_is_not_lost(motor_of, other_thread):
    """DRV-22"""
    motor = motor_of(SLOW)
    pressed = threading.Event()
    press = motor.record.put

    def put(field, value, **how):
        press(field, value, **how)
        if (field, value) == ("JOGF", 1):
            pressed.set()

    motor.record.put = put
    jog = other_thread.submit(motor.jog, "forward", 0.0)
    assert pressed.wait(WAIT_S)
    motor.stop()
    with pytest.raises(MotionStopped):
        jog.result(WAIT_S)
    assert until(motor, lambda seen: not seen.moving).position < 50


def test_a_stop_between_the_velocity_and_the_order_to_move_keeps_the_order_back(motor_of):
    """STOP-5, DRV-10"""
    motor = motor_of(velocity=2.0)
    write = motor.record.put
    written = []

    def put(field, value, **how):
        write(field, value, **how)
        written.append(field)
        if field == "VELO":
            motor.stop()

    motor.record.put = put
    with pytest.raises(MotionStopped):
        motor.move_to(3.0)
    assert written == ["VELO", "STOP"]


def test_the_tolerance_says_also_what_is_a_motion_from_outside(motor_of):
    """DRV-8"""
    assert motor_of(tolerance=0.05).readback().tolerance == 0.05


@pytest.mark.parametrize(
    "order", [lambda m: m.move_to(3.0), lambda m: m.jog("forward"), lambda m: m.park()], ids=["move", "jog", "park"]
)
def test_a_command_that_a_stop_overtook_on_its_way_here_is_not_sent(motor_of, order):
    """STOP-5, DRV-10"""
    motor = motor_of(park_position=2.0)
    target = motor.readback().target
    token = StopToken()
    token.stop()
    with command_under(token), pytest.raises(MotionStopped):
        order(motor)
    assert (motor.readback().target, motor.readback().moving) == (target, False)


@pytest.mark.parametrize(
    ("options", "limit"),
    [({"prefix": SLOW, "high": 1.6}, "1.6 mm"), pytest.param({"prefix": FAST}, "10 mm", marks=pytest.mark.slow)],
)
def test_a_jog_ends_before_the_soft_limit_of_lab_file_or_record(motor_of, options, limit):
    """DRV-22"""
    motor = motor_of(**options)
    ours, its_own = f"was ended at .* mm, before the soft limit {limit}", "ended at .* mm: .*LVIO.*"
    with pytest.raises(MoveFailed, match=rf"^the jog of {options['prefix']} ({ours}|{its_own})$"):
        motor.jog("forward", seconds=0)
    seen = until(motor, lambda seen: not seen.moving)
    assert 0.1 < seen.position <= float(limit.removesuffix(" mm"))


def test_a_jog_without_room_before_the_limit_is_refused_before_anything_is_sent(motor_of):
    """DRV-22"""
    motor = motor_of()
    sentence = "^a jog reverse at 5 mm/s needs one second's way, and the limit 0 mm is nearer$"
    with pytest.raises(OutsideLimits, match=sentence):
        motor.check("jog", {"direction": "reverse", "seconds": 1.0})
    with pytest.raises(OutsideLimits, match=sentence):
        motor.jog("reverse")
    assert motor.position() == 0


def test_a_jog_onto_a_limit_switch_has_failed_and_names_it(motor_of, outsider):
    """DRV-20, DRV-21, DRV-24"""
    motor = motor_of(SLOW)
    outsider.write(f"{SLOW}:HardHigh", 0.6)
    with pytest.raises(MoveFailed, match=r"^the jog of sim:slow ended at 0.6 mm: it ran onto its high limit switch$"):
        motor.jog("forward", seconds=0)
    values = until(motor, lambda seen: seen.values["alarm"] == "minor").values
    assert (values["at_high_limit"], values["at_low_limit"], values["alarm_status"]) == (True, False, "high")
    for further in (lambda: motor.jog("forward"), lambda: motor.move_to(2.0), lambda: motor.tweak("forward", 0.1)):
        with pytest.raises(MoveFailed, match=r"^sim:slow stands on its high limit switch at 0.6 mm: it can"):
            further()
    assert motor.move_to(0.3) == pytest.approx(0.3)
    assert until(motor, lambda seen: not seen.values["at_high_limit"]).values["alarm"] == "none"


def test_a_move_that_ends_on_a_limit_switch_has_failed_and_names_it(motor_of, outsider):
    """DRV-21, DRV-24"""
    motor = motor_of()
    outsider.write(f"{FAST}:HardLow", 4.0)
    outsider.write(f"{FAST}:Position", 5.0)
    until(motor, lambda seen: seen.position == 5.0 and not seen.values["at_low_limit"])
    with pytest.raises(MoveFailed, match=r"^sim:m1 rests at 4 mm, not at 1 mm: it ran onto its low limit switch$"):
        motor.move_to(1.0)
    assert motor.readback().values["at_low_limit"] is True


def test_a_tweak_moves_by_its_step_or_by_that_of_the_record(motor_of, outsider):
    """DRV-23"""
    motor = motor_of()
    assert motor.tweak("forward", 0.5) == pytest.approx(0.5)
    assert outsider.read(f"{FAST}.TWV") == 0.5
    assert motor.tweak("forward") == pytest.approx(1.0)
    assert motor.tweak("reverse", 0.25) == pytest.approx(0.75)


def test_a_tweak_beyond_the_limits_never_reaches_the_record(motor_of, outsider):
    """DRV-23"""
    outsider.write(f"{FAST}.TWV", 5.0)
    motor = motor_of(high=4.0)
    for step, asked in ((4.5, "4.5 mm"), (0.0, "5 mm")):
        with pytest.raises(OutsideLimits, match=f"^{asked} is outside the limits 0 to 4 mm$"):
            motor.check("tweak", {"direction": "forward", "step": step})
        with pytest.raises(OutsideLimits, match=f"^{asked} is outside the limits 0 to 4 mm$"):
            motor.tweak("forward", step)
    assert (outsider.read(f"{FAST}.TWV"), motor.position()) == (5.0, 0.0)


@pytest.mark.parametrize(
    ("fields", "velocity", "sentence"),
    [
        ({}, 8.5, "8.5 mm/s is above max_velocity, 8 mm/s"),
        ({"VMAX": 6.0}, 7.0, "7 mm/s is above the record's VMAX, 6 mm/s"),
        ({"VBAS": 0.5}, 0.25, "0.25 mm/s is below the record's VBAS, 0.5 mm/s"),
        ({}, 0.0, "0 mm/s is no velocity: it must be more than 0"),
        ({}, float("nan"), "nan mm/s is no velocity: it must be more than 0"),
    ],
)
def test_a_velocity_beyond_the_limits_never_reaches_the_record(motor_of, outsider, fields, velocity, sentence):
    """DRV-13"""
    for field, value in fields.items():
        outsider.write(f"{FAST}.{field}", value)
    motor = motor_of(max_velocity=8.0)
    with pytest.raises(OutsideLimits, match=f"^{sentence}$"):
        motor.check("set_velocity", {"velocity": velocity})
    with pytest.raises(OutsideLimits, match=f"^{sentence}$"):
        motor.set_velocity(velocity)
    assert outsider.read(f"{FAST}.VELO") == 5.0


def test_a_lab_file_velocity_beyond_that_of_the_record_moves_nothing(motor_of, outsider):
    """DRV-13"""
    outsider.write(f"{FAST}.VMAX", 6.0)
    motor = motor_of(velocity=7.0)
    for refused in (lambda: motor.check("move_to", {"position": 1.0}), lambda: motor.move_to(1.0)):
        with pytest.raises(OutsideLimits, match=r"^7 mm/s is above the record's VMAX, 6 mm/s$"):
            refused()
    assert (outsider.read(f"{FAST}.VELO"), motor.position()) == (5.0, 0.0)
    assert motor.readback().values["max_velocity"] == 6.0


def test_a_record_that_is_faster_than_the_lab_file_allows_is_not_moved(motor_of):
    """DRV-13"""
    motor = motor_of(max_velocity=4.0, home_with="HOMF")
    for what, field, action in (("move", "VELO", "move_to"), ("jog", "JVEL", "jog"), ("home", "HVEL", "home")):
        asked = {"move_to": {"position": 1.0}, "jog": {"direction": "forward"}, "home": {}}[action]
        sentence = rf"^sim:m1 would {what} at 5 mm/s \({field}\), above max_velocity, 4 mm/s$"
        with pytest.raises(OutsideLimits, match=sentence) as refused:
            motor.check(action, asked)
        assert not refused.value.always  # a set_velocity before it helps
        with pytest.raises(OutsideLimits, match=sentence):
            getattr(motor, action)(*asked.values())
    assert motor.set_velocity(4.0) == 4.0
    assert motor.move_to(0.5) == pytest.approx(0.5)


def test_a_velocity_that_was_set_holds_for_later_moves(motor_of, outsider):
    """DRV-27"""
    motor = motor_of(velocity=4.0)
    assert motor.set_velocity(8.0) == 8.0
    assert motor.move_to(1.0) == pytest.approx(1.0)
    assert outsider.read(f"{FAST}.VELO") == 8.0


def test_a_velocity_that_the_record_does_not_take_is_told(motor_of, outsider):
    """DRV-27"""
    motor = motor_of()
    outsider.write(f"{FAST}.VMAX", 6.0)
    known = motor.record.number
    motor.record.number = lambda field: 0.0 if field == "VMAX" else known(field)  # as if it was changed just now
    with pytest.raises(VelocityNotTaken, match=r"^sim:m1 was given the velocity 9 mm/s and took 6 mm/s: look at"):
        motor.set_velocity(9.0)


def test_park_moves_to_the_position_of_the_lab_file(motor_of):
    """DRV-25"""
    motor = motor_of(park_position=1.5)
    assert motor.park() == pytest.approx(1.5)
    assert motor.readback().values["park_position"] == 1.5


def test_park_is_refused_where_the_lab_file_gives_no_position_or_one_beyond_the_record(motor_of):
    """DRV-25"""
    with pytest.raises(MoveFailed, match=r"^sim:m1 has nowhere to park: its lab file entry needs park_position$"):
        motor_of().park()
    beyond = motor_of(park_position=11.0)
    assert (beyond.can_park, EpicsMotor(FAST).can_park) == (True, False)
    for refused in (lambda: beyond.check("park", {}), beyond.park):
        with pytest.raises(OutsideLimits, match=r"^11 mm is outside the limits 0 to 10 mm$"):
            refused()
    with pytest.raises(ValueError, match="park_position is 11, but must be from 0 to 4"):
        EpicsMotor(FAST, low=0.0, high=4.0, park_position=11.0)
    assert beyond.position() == 0


def test_home_finds_the_home_switch(motor_of, outsider):
    outsider.write(f"{FAST}:HomeSwitch", 1.5)
    motor = motor_of(home_with="HOMF")
    assert motor.home() == pytest.approx(1.5)
    assert until(motor, lambda seen: seen.target == pytest.approx(1.5))


def test_home_that_is_stopped_is_stopped(motor_of, outsider, other_thread):
    """DRV-10"""
    outsider.write(f"{SLOW}:HomeSwitch", 90.0)
    motor = motor_of(SLOW, home_with="HOMF")
    home = other_thread.submit(motor.home)
    until(motor, lambda seen: seen.moving and seen.position > 0.1)
    motor.stop()
    with pytest.raises(MotionStopped, match=r"^stopped at "):
        home.result(WAIT_S)
    assert until(motor, lambda seen: not seen.moving).position < 50
    assert outsider.read(f"{SLOW}.HOMF") == 0


def test_home_that_ends_on_a_limit_switch_has_failed_and_is_not_tried_again_into_it(motor_of, outsider):
    """DRV-20, DRV-21"""
    outsider.write(f"{FAST}:HomeSwitch", 5.0)
    motor = motor_of(home_with="HOMR")
    with pytest.raises(MoveFailed, match=r"^sim:m1 ran onto its low limit switch at -1 mm and has not found its home"):
        motor.home()
    with pytest.raises(MoveFailed, match=r"^sim:m1 stands on its low limit switch at -1 mm"):
        motor.home()
    assert outsider.read(f"{FAST}.HOMR") == 0


def test_with_an_invalid_alarm_nothing_moves_and_a_stop_is_sent_all_the_same(motor_of, outsider):
    """DRV-20, DRV-24"""
    motor = motor_of(home_with="HOMF", park_position=1.0)
    outsider.write(f"{FAST}:CommError", 1)
    values = until(motor, lambda seen: seen.values["alarm"] == "invalid").values
    assert values["alarm_status"] == "comm"
    moves = (
        lambda: motor.move_to(1.0),
        lambda: motor.tweak("forward"),
        lambda: motor.jog("forward"),
        motor.home,
        motor.park,
    )
    for move in moves:
        with pytest.raises(MoveFailed, match=r"^sim:m1 is not moved while its alarm is invalid \(comm\): look at"):
            move()
    motor.stop()
    assert (outsider.read(f"{FAST}.VAL"), outsider.read(f"{FAST}.JOGF"), outsider.read(f"{FAST}.HOMF")) == (0, 0, 0)
    outsider.write(f"{FAST}:CommError", 0)
    until(motor, lambda seen: seen.values["alarm"] == "none")
    assert motor.move_to(1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("spmg", "word"), [(STOP, "Stop"), (PAUSE, "Pause")])
def test_a_record_that_is_not_set_to_go_is_not_sent_anything_and_the_sentence_says_so(motor_of, outsider, spmg, word):
    """DRV-20"""
    motor = motor_of(home_with="HOMF")
    outsider.write(f"{FAST}.SPMG", spmg)
    until(motor, lambda _: motor.record.number("SPMG") == spmg)
    for move in (lambda: motor.move_to(1.0), lambda: motor.jog("forward"), motor.home):
        with pytest.raises(MoveFailed, match=rf"^sim:m1 is set to {word} \(SPMG\) and would not move: set it to Go$"):
            move()
    outsider.write(f"{FAST}.SPMG", GO)
    assert (motor.position(), outsider.read(f"{FAST}.DMOV")) == (0, 1)


@pytest.mark.slow
def test_a_move_that_is_paused_is_stopped_at_its_deadline_and_the_sentence_says_that_it_was_paused(
    motor_of, outsider, other_thread
):
    """DRV-11, DRV-21"""
    motor = motor_of(SLOW, move_deadline_s=1.0)
    move = other_thread.submit(motor.move_to, 50.0)
    until(motor, lambda seen: seen.moving)
    outsider.write(f"{SLOW}.SPMG", PAUSE)
    with pytest.raises(
        MoveFailed, match=r"was not there after 1 s and was stopped at .* mm: it is set to Pause \(SPMG\)$"
    ):
        move.result(WAIT_S)
    outsider.write(f"{SLOW}.SPMG", GO)
    assert until(motor, lambda seen: not seen.moving).position < 50


def test_a_move_during_which_somebody_says_stop_at_the_record_has_failed_and_says_so(motor_of, outsider, other_thread):
    """DRV-21"""
    motor = motor_of(SLOW)
    move = other_thread.submit(motor.move_to, 50.0)
    until(motor, lambda seen: seen.moving)
    outsider.write(f"{SLOW}.SPMG", STOP)
    with pytest.raises(MoveFailed, match=r"^sim:slow rests at .* mm, not at 50 mm: it was set to Stop \(SPMG\)$"):
        move.result(WAIT_S)


@pytest.mark.parametrize(
    ("arranged", "clause"),
    [
        ({f"{FAST}.CNEN": 0}, r"it is switched off \(CNEN\): enable it"),
        pytest.param(
            {f"{FAST}:Slip": 0.9},
            r"the record tried again as often as it may and gave up \(MISS\)",
            marks=pytest.mark.slow,
        ),
        ({f"{FAST}:Problem": 1}, r"its controller reports a problem or a stall \(MSTA\)"),
        # The record takes equal limits for what they say; the driver, as older ones do, for none.
        ({f"{FAST}.HLM": 0.5, f"{FAST}.LLM": 0.5}, r"the record refuses to go beyond its soft limits \(LVIO\)"),
    ],
)
def test_a_move_that_does_not_arrive_names_the_reason_that_the_record_knows(motor_of, outsider, arranged, clause):
    """DRV-21"""
    motor = motor_of()
    for name, value in arranged.items():
        outsider.write(name, value)
    until(motor, lambda seen: seen.values["high"] is None or f"{FAST}.HLM" not in arranged)
    with pytest.raises(MoveFailed, match=rf"^sim:m1 rests at .* mm, not at 3 mm: {clause}$"):
        motor.move_to(3.0)


def test_a_motor_that_is_stuck_is_stopped_at_the_deadline(motor_of, outsider):
    """DRV-11"""
    motor = motor_of(move_deadline_s=0.5)
    outsider.write(f"{FAST}:Stuck", 1)
    with pytest.raises(MoveFailed, match=r"^sim:m1 was not there after 0.5 s and was stopped at 0 mm$"):
        motor.move_to(3.0)
    assert not motor.readback().moving


@pytest.mark.slow
def test_a_motor_that_obeys_no_stop_is_not_said_to_stand(motor_of, outsider):
    """DRV-11"""
    motor = motor_of(SLOW, move_deadline_s=0.5)
    outsider.write(f"{SLOW}:Deaf", 1)
    with pytest.raises(MoveFailed, match=r"not there after 0.5 s and does not obey STOP: it still moves, at .* mm$"):
        motor.move_to(80.0)
    assert motor.readback().moving
    outsider.write(f"{SLOW}:Deaf", 0)


def test_a_record_lost_during_a_jog_is_told_and_what_was_set_holds_when_it_is_back(motor_of, ioc, other_thread):
    """DRV-6, DRV-27"""
    motor = motor_of(SLOW)
    motor.set_velocity(2.0)
    jog = other_thread.submit(motor.jog, "forward", 0.0)
    until(motor, lambda seen: seen.moving)
    ioc.kill()
    try:
        with pytest.raises(DriverUnavailable, match=r"^sim:slow was lost during a jog: it may still be moving$"):
            jog.result(WAIT_S)
        assert until(motor, lambda seen: not seen.connected).moving  # nobody knows that it rests
        for use in (lambda: motor.jog("forward"), lambda: motor.tweak("forward"), lambda: motor.set_velocity(1.0)):
            with pytest.raises(DriverUnavailable):
                use()
    finally:
        ioc.start()
    back = until(motor, lambda seen: seen.connected)
    assert (back.moving, back.velocity) == (False, 1.0)
    assert motor.move_to(0.5) == pytest.approx(0.5)
    assert motor.record.fetch("VELO") == 2.0

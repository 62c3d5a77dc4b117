"""The simulated record keeps to what the motor record's documentation says: what is tried on it is worth that much."""

from __future__ import annotations

import pytest
from motor_record import GO, INVALID, MAJOR, MINOR, MOVE, NO_ALARM, PAUSE, STAT_COMM, STAT_HIGH, STOP, Axis, MotorRecord


@pytest.fixture
def axis() -> Axis:
    return Axis(0.0, hard_low=-1.0, hard_high=11.0, home_switch=0.0)


@pytest.fixture
def record(axis: Axis) -> MotorRecord:
    record = MotorRecord(axis, low=0.0, high=10.0, velocity=5.0, accl=0.1)
    record.posts.clear()
    return record


def posts_of(record: MotorRecord, field: str) -> list[float]:
    return [value for name, value in record.posts if name == field]


def test_a_move_takes_the_time_of_its_trapezoid_and_shows_one_pulse_of_dmov(record):
    record.put("VAL", 5.0)
    record.pass_time(0.5)
    assert (record.dmov, record.movn, record.tdir) == (0, 1, 1)
    assert 2.0 < record.rbv < 2.5
    record.pass_time(0.7)
    assert (record.dmov, record.movn, record.rbv) == (1, 0, pytest.approx(5.0))
    assert posts_of(record, "DMOV") == [0, 1]


def test_dmov_is_pulsed_also_where_there_is_no_way_to_go(record):
    record.put("VAL", 0.0)
    assert posts_of(record, "DMOV") == [0, 1]
    assert posts_of(record, "MOVN") == []


def test_a_stop_is_reset_at_once_decelerates_and_makes_val_agree_with_rbv(record):
    record.put("VAL", 8.0)
    record.pass_time(0.5)
    at = record.rbv
    record.put("STOP", 1)
    assert posts_of(record, "STOP") == [1, 0]
    assert record.movn == 1
    record.pass_time(1.0)
    assert at < record.rbv == record.val < 8.0
    assert record.dmov == 1


def test_a_target_beyond_the_soft_limits_raises_lvio_and_val_goes_back(record):
    record.put("VAL", 10.5)
    assert (record.lvio, record.val, record.dmov, record.movn) == (1, 0.0, 1, 0)
    assert posts_of(record, "DMOV") == [0, 1]
    record.put("VAL", 1.0)
    record.pass_time(1.0)
    assert (record.lvio, record.rbv) == (0, pytest.approx(1.0))


def test_a_jog_goes_on_until_the_button_is_let_go(record):
    record.put("JOGF", 1)
    record.pass_time(0.5)
    assert (record.dmov, record.movn) == (0, 1)
    record.put("JOGF", 0)
    record.pass_time(0.5)
    assert (record.dmov, record.movn, record.jogf) == (1, 0, 0)
    assert 2.0 < record.rbv == record.val < 4.0


def test_a_jog_is_stopped_within_one_second_of_a_soft_limit_and_does_not_begin_there(record):
    record.put("JOGF", 1)
    record.pass_time(5.0)
    assert (record.lvio, record.jogf, record.dmov) == (1, 0, 1)
    assert 5.0 < record.rbv < 6.0
    record.put("JOGF", 1)
    record.pass_time(1.0)
    assert (record.lvio, record.jogf, record.movn) == (1, 0, 0)


def test_a_jog_pressed_on_a_limit_switch_waits_there_for_as_long_as_it_is_pressed(record, axis):
    axis.position = axis.hard_high = 3.0
    record.process(callback=True)
    record.put("JOGF", 1)
    record.pass_time(1.0)
    assert (record.jogf, record.movn) == (1, 0)
    axis.position = 2.0
    record.process(callback=True)
    record.put("SPMG", PAUSE)
    record.put("SPMG", GO)
    record.pass_time(0.1)
    assert record.movn == 1  # the danger that a driver has to see to


def test_a_tweak_moves_by_twv_and_resets_its_button(record):
    record.put("TWV", 0.5)
    record.put("TWF", 1)
    record.pass_time(1.0)
    assert (record.rbv, record.twf) == (pytest.approx(0.5), 0)
    record.put("TWR", 1)
    record.pass_time(1.0)
    assert record.rbv == pytest.approx(0.0)


def test_a_limit_switch_ends_a_move_makes_val_agree_and_raises_the_alarm_of_hlsv(record, axis):
    axis.hard_high = 4.0
    record.put("VAL", 8.0)
    record.pass_time(3.0)
    assert (record.hls, record.rbv, record.val, record.dmov, record.miss) == (1, 4.0, 4.0, 1, 0)
    assert (record.sevr, record.stat) == (MINOR, STAT_HIGH)
    record.put("VAL", 3.0)
    record.pass_time(3.0)
    assert (record.hls, record.rbv, record.sevr) == (0, pytest.approx(3.0), NO_ALARM)


def test_home_goes_to_the_home_switch_and_its_button_comes_back(record, axis):
    axis.position = 5.0
    record.process(callback=True)
    record.put("HOMR", 1)
    with pytest.raises(ValueError, match="homing already"):
        record.put("HOMR", 1)
    record.pass_time(3.0)
    assert (record.rbv, record.val, record.homr, record.dmov) == (0.0, 0.0, 0, 1)


def test_home_without_a_switch_on_its_way_runs_onto_the_limit_switch(record):
    record.axis.home_switch = -0.5
    record.put("HOMF", 1)
    record.pass_time(5.0)
    assert (record.rbv, record.hls, record.homf, record.dmov) == (11.0, 1, 0, 1)


def test_pause_holds_a_move_and_go_ends_it(record):
    record.put("VAL", 8.0)
    record.pass_time(0.5)
    record.put("SPMG", PAUSE)
    record.pass_time(5.0)
    assert (record.dmov, record.movn, record.val) == (0, 0, 8.0)
    assert record.rbv < 8.0
    record.put("SPMG", GO)
    record.pass_time(5.0)
    assert (record.dmov, record.rbv) == (1, pytest.approx(8.0))


def test_spmg_stop_makes_val_agree_and_moves_nothing_until_go(record):
    record.put("VAL", 8.0)
    record.pass_time(0.5)
    record.put("SPMG", STOP)
    record.pass_time(1.0)
    assert record.val == record.rbv
    record.put("VAL", 5.0)
    record.pass_time(1.0)
    assert record.rbv < 3.0


def test_move_becomes_pause_when_the_motion_is_over(record):
    record.put("SPMG", MOVE)
    record.put("VAL", 1.0)
    record.pass_time(2.0)
    assert (record.rbv, record.spmg) == (pytest.approx(1.0), PAUSE)


def test_a_motor_that_falls_short_is_tried_again_until_miss(record, axis):
    axis.slip = 0.9
    record.rtry = 3
    record.put("VAL", 8.0)
    record.pass_time(20.0)
    assert (record.rcnt, record.miss, record.dmov) == (4, 1, 1)
    assert posts_of(record, "DMOV") == [0, 1]
    axis.slip = 0.0
    record.put("VAL", 1.0)
    record.pass_time(5.0)
    assert record.miss == 0


def test_velocities_are_forced_between_vbas_and_vmax(record):
    record.put("VMAX", 6.0)
    record.put("VBAS", 0.5)
    record.put("VELO", 7.0)
    record.put("JVEL", 0.1)
    assert (record.velo, record.jvel) == (6.0, 0.5)


def test_the_controllers_state_becomes_the_alarm(record, axis):
    axis.comm_error = True
    record.process(callback=True)
    assert (record.sevr, record.stat) == (INVALID, STAT_COMM)
    axis.comm_error, axis.problem = False, True
    record.process(callback=True)
    assert record.sevr == MAJOR


def test_a_new_target_behind_it_turns_a_move_round(record):
    record.put("VAL", 8.0)
    record.pass_time(0.8)
    record.put("VAL", 1.0)
    record.pass_time(5.0)
    assert (record.rbv, record.dmov) == (pytest.approx(1.0), 1)
    assert posts_of(record, "DMOV") == [0, 1]

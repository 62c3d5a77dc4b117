"""Whether a motion of the EPICS motor arrived: by what the record says, not by a tolerance that suits another unit."""

from __future__ import annotations

import pytest

pytest.importorskip("caproto")

from epics_motors import FAST, WAIT_S, until

from authority.drivers.limits import MoveFailed

pytestmark = pytest.mark.epics

MRES, RDBD = 0.0001, 0.001  # of the simulated record, in mm
LOOSE = 0.01  # mm, more than the ways that are asked here
MISSED = r"the record tried again as often as it may and gave up \(MISS\)"
OFF = r"it is switched off \(CNEN\): enable it"
PROBLEM = r"its controller reports a problem or a stall \(MSTA\)"


@pytest.mark.parametrize(
    ("fields", "tolerance"), [({}, RDBD), ({"RDBD": 0.0}, MRES), ({"RDBD": 0.05}, 0.05), ({"RDBD": -1.0}, MRES)]
)
def test_the_tolerance_is_the_deadband_of_the_record_and_at_least_its_resolution(motor_of, outsider, fields, tolerance):
    """DRV-60"""
    motor = motor_of()
    for field, value in fields.items():
        outsider.write(f"{FAST}.{field}", value)
    assert until(motor, lambda seen: seen.tolerance == pytest.approx(tolerance))
    assert motor_of(tolerance=0.5).readback().tolerance == 0.5


def test_a_record_that_goes_by_its_encoder_shows_no_less_than_the_encoders_step(motor_of, outsider):
    """DRV-60"""
    outsider.write(f"{FAST}.ERES", -0.02)
    motor = motor_of()
    assert until(motor, lambda _: motor.record.number("ERES") == -0.02).tolerance == RDBD
    outsider.write(f"{FAST}.UEIP", 1)
    until(motor, lambda seen: seen.tolerance == 0.02)
    outsider.write(f"{FAST}.UEIP", 0)
    until(motor, lambda seen: seen.tolerance == RDBD)


@pytest.mark.parametrize("tolerance", [None, LOOSE])
@pytest.mark.parametrize(
    ("arranged", "clause"),
    [
        ({f"{FAST}.CNEN": 0}, OFF),
        ({f"{FAST}:Problem": 1}, PROBLEM),
        ({f"{FAST}:Slip": 1.0}, MISSED),
        ({f"{FAST}:Slip": 1.0, f"{FAST}.RTRY": 0}, "nobody stopped it here: look for .* or slips"),
        ({f"{FAST}.RTRY": 0, f"{FAST}:Slip": 0.8}, "nobody stopped it here: look for .* or slips"),
    ],
    ids=["switched off", "problem", "missed", "slips", "slips in part"],
)
def test_a_small_move_of_a_motor_that_does_not_move_has_failed_whatever_the_tolerance(
    motor_of, outsider, arranged, clause, tolerance
):
    """DRV-61"""
    outsider.write(f"{FAST}:Position", 5.0)
    for name, value in arranged.items():
        outsider.write(name, value)
    motor = motor_of(tolerance=tolerance)
    until(motor, lambda seen: seen.position == 5.0)
    with pytest.raises(MoveFailed, match=rf"^sim:m1 rests at 5(\.001)? mm, not at 5.005 mm: {clause}"):
        motor.move_to(5.005)


def test_a_move_to_where_the_motor_is_arrives_also_when_it_cannot_move(motor_of, outsider):
    """DRV-61: what is nearer than a step is no way."""
    outsider.write(f"{FAST}:Slip", 1.0)
    outsider.write(f"{FAST}.RTRY", 0)
    motor = motor_of()
    assert motor.move_to(0.0) == 0.0
    assert motor.move_to(0.4 * MRES) == 0.0


def test_a_small_move_that_arrives_is_done(motor_of):
    """DRV-61"""
    motor = motor_of(tolerance=LOOSE)
    places = [motor.move_to(step * 0.002) for step in range(1, 4)]
    assert places == pytest.approx([0.002, 0.004, 0.006])
    assert motor.move_by(MRES) == pytest.approx(0.006 + MRES)


def test_a_move_that_gave_up_nearby_has_failed_whatever_the_tolerance(motor_of, outsider):
    """DRV-61: it went most of its way, and the record says that it missed."""
    outsider.write(f"{FAST}:Slip", 0.5)
    outsider.write(f"{FAST}.RTRY", 1)
    motor = motor_of(tolerance=0.5)
    with pytest.raises(MoveFailed, match=rf"^sim:m1 rests at 0.75 mm, but {MISSED}$"):
        motor.move_to(1.0)
    outsider.write(f"{FAST}:Slip", 0.0)
    assert motor.move_to(2.0) == pytest.approx(2.0)


def test_a_motor_that_is_switched_off_on_its_way_has_failed_whatever_the_tolerance(motor_of, outsider, other_thread):
    """DRV-61"""
    motor = motor_of(tolerance=9.0)
    move = other_thread.submit(motor.move_to, 8.0)
    until(motor, lambda seen: seen.position > 2.5)
    outsider.write(f"{FAST}.CNEN", 0)
    with pytest.raises(MoveFailed, match=rf"^sim:m1 rests at .* mm, not at 8 mm: {OFF}$"):
        move.result(WAIT_S)


def test_a_home_that_moves_nothing_has_failed(motor_of, outsider):
    """DRV-62"""
    outsider.write(f"{FAST}:HomeSwitch", 2.0)
    motor = motor_of(home_with="HOMF")
    outsider.write(f"{FAST}.CNEN", 0)
    with pytest.raises(MoveFailed, match=rf"^sim:m1 did not begin to home and rests at 0 mm: {OFF}$"):
        motor.home()
    assert outsider.read(f"{FAST}.HOMF") == 0
    outsider.write(f"{FAST}.CNEN", 1)
    assert motor.home() == pytest.approx(2.0)


def test_a_home_of_a_motor_that_stands_on_its_home_switch_is_done_unless_it_is_switched_off(motor_of, outsider):
    """DRV-62"""
    motor = motor_of(home_with="HOMR")  # the switch is at 0, where it stands
    assert motor.home() == 0.0
    outsider.write(f"{FAST}.CNEN", 0)
    with pytest.raises(MoveFailed, match=rf"^sim:m1 did not begin to home and rests at 0 mm: {OFF}$"):
        motor.home()


def test_a_jog_that_moves_nothing_has_failed(motor_of, outsider):
    """DRV-62"""
    outsider.write(f"{FAST}:Stuck", 1)
    motor = motor_of()
    with pytest.raises(MoveFailed, match=r"^the jog of sim:m1 did not begin at 0 mm: nobody stopped it here"):
        motor.jog("forward", 0.2)


@pytest.mark.parametrize(
    ("direction", "home_with", "switch"),
    [(0, "HOMF", "high"), (0, "HOMR", "low"), (1, "HOMF", "low"), (1, "HOMR", "high")],
)
def test_homing_goes_by_the_dial_whose_direction_the_record_says(motor_of, outsider, direction, home_with, switch):
    """DRV-20: a motor that stands on the switch that lies in the direction of its homing is not sent into it."""
    hard, place = ("HardHigh", 4.0) if switch == "high" else ("HardLow", 6.0)
    outsider.write(f"{FAST}:Position", 5.0)
    outsider.write(f"{FAST}:{hard}", place)
    outsider.write(f"{FAST}.DIR", direction)
    try:
        motor = motor_of(home_with=home_with)
        until(motor, lambda seen: seen.values[f"at_{switch}_limit"] and motor.record.number("DIR") == direction)
        with pytest.raises(MoveFailed, match=rf"^sim:m1 stands on its {switch} limit switch at 5 mm"):
            motor.home()
        with pytest.raises(MoveFailed, match="limit switch"):
            motor.move_to(5.5 if switch == "high" else 4.5)
    finally:
        outsider.write(f"{FAST}.DIR", 0)

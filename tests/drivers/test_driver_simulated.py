"""The simulated instruments are true in time, stop at once and keep their limits."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

from authority.drivers.declare import commands_of
from authority.drivers.simulated import NoParkPosition, SimulatedMotor
from authority.drivers.simulated_instruments import SimulatedOscilloscope, SimulatedPowerSupply
from authority.parameters import bind
from authority.ports import Driver, MotionStopped, OutsideLimits


def test_a_move_takes_the_time_that_distance_and_velocity_need(clock):
    """DRV-5"""
    motor = SimulatedMotor(velocity=10, clock=clock)
    began = clock()
    assert clock.run(motor.move_to(25.0)) == 25.0
    assert clock() - began == pytest.approx(2.5)
    assert motor.position() == 25.0
    assert not motor.readback().moving


@pytest.mark.parametrize(("start", "target", "after_1_s"), [(0.0, 50.0, 10.0), (50.0, 0.0, 40.0)])
def test_the_position_during_a_move_is_a_function_of_time(clock, start, target, after_1_s):
    motor = SimulatedMotor(start=start, velocity=10, clock=clock)

    async def look():
        move = asyncio.create_task(motor.move_to(target))
        await asyncio.sleep(1)
        seen = motor.readback()
        await move
        return seen

    seen = clock.run(look())
    assert seen.position == pytest.approx(after_1_s)
    assert (seen.moving, seen.units, seen.target, seen.velocity) == (True, "mm", target, 10)


def test_a_stop_freezes_the_position_and_ends_the_running_command(clock):
    motor = SimulatedMotor(velocity=10, clock=clock)

    async def stopped():
        move = asyncio.create_task(motor.move_to(50.0))
        await asyncio.sleep(2)
        motor.stop()
        at, moving = motor.position(), motor.readback().moving
        with pytest.raises(MotionStopped, match="stopped at 20 mm"):
            await move
        await asyncio.sleep(10)
        return at, moving

    assert clock.run(stopped()) == (pytest.approx(20.0), False)
    assert motor.position() == pytest.approx(20.0)


def test_a_stop_from_another_thread_ends_the_running_command():
    motor = SimulatedMotor(velocity=0.001)

    async def stopped():
        move = asyncio.create_task(motor.move_to(50.0))
        await asyncio.sleep(0)
        threading.Thread(target=motor.stop).start()
        with pytest.raises(MotionStopped):
            await move

    # In debug mode the loop refuses what another thread may not do to it.
    asyncio.run(asyncio.wait_for(stopped(), timeout=30), debug=True)


def test_a_stop_at_rest_does_not_end_the_next_move(clock):
    motor = SimulatedMotor(clock=clock)
    motor.stop()
    assert clock.run(motor.move_to(5.0)) == 5.0
    motor.stop()
    assert clock.run(motor.move_by(1.0)) == 6.0


def test_a_stop_after_the_loop_has_gone_still_freezes_the_position(clock):
    motor = SimulatedMotor(velocity=1, clock=clock)

    async def leave():
        move = asyncio.create_task(motor.move_to(50.0))
        await asyncio.sleep(3)
        move.cancel()

    clock.run(leave())
    assert motor.readback().moving
    motor.stop()
    clock.now += 10
    assert motor.readback().position == pytest.approx(3.0)


def test_a_new_move_starts_from_where_the_motor_is_and_ends_the_one_before(clock):
    motor = SimulatedMotor(velocity=10, clock=clock)

    async def turn_back():
        first = asyncio.create_task(motor.move_to(90.0))
        await asyncio.sleep(3)
        began = clock()
        final = await motor.move_to(10.0)
        with pytest.raises(MotionStopped):
            await first
        return final, clock() - began

    assert clock.run(turn_back()) == (10.0, pytest.approx(2.0))


def test_move_by_counts_from_the_present_position_and_home_goes_home(clock):
    motor = SimulatedMotor(home_position=2.0, start=40.0, clock=clock)
    assert clock.run(motor.move_by(-15.5)) == 24.5
    assert clock.run(motor.home()) == 2.0


@pytest.mark.parametrize(
    ("action", "parameters", "sentence"),
    [
        ("move_to", {"position": 140.0}, "140 mm is outside the limits 0 to 100 mm"),
        ("move_to", {"position": -0.5}, "-0.5 mm is outside the limits 0 to 100 mm"),
        ("move_to", {"position": float("nan")}, "nan mm is outside the limits 0 to 100 mm"),
        ("move_by", {"distance": 41.0}, "101 mm is outside the limits 0 to 100 mm"),
        ("move_by", {"distance": -61.0}, "-1 mm is outside the limits 0 to 100 mm"),
    ],
)
def test_a_target_outside_the_limits_is_refused_before_and_within_the_command(clock, action, parameters, sentence):
    motor = SimulatedMotor(start=60.0, clock=clock)
    with pytest.raises(OutsideLimits, match=f"^{sentence}$") as refused:
        motor.check(action, parameters)
    assert refused.value.always is (action == "move_to")
    with pytest.raises(OutsideLimits, match=f"^{sentence}$"):
        clock.run(getattr(motor, action)(**parameters))
    assert motor.position() == 60.0


@pytest.mark.parametrize(
    ("velocity", "sentence"),
    [
        (20.5, "20.5 mm/s is above max_velocity, 20 mm/s"),
        (0.0, "0 mm/s is no velocity: it must be more than 0"),
        (-1.0, "-1 mm/s is no velocity: it must be more than 0"),
        (float("inf"), "inf mm/s is no velocity: it must be more than 0"),
        (float("nan"), "nan mm/s is no velocity: it must be more than 0"),
    ],
)
def test_a_velocity_beyond_the_limits_is_refused_before_and_within_the_command(velocity, sentence):
    """DRV-13"""
    motor = SimulatedMotor(max_velocity=20.0)
    with pytest.raises(OutsideLimits, match=f"^{sentence}$") as refused:
        motor.check("set_velocity", {"velocity": velocity})
    assert refused.value.always
    with pytest.raises(OutsideLimits, match=f"^{sentence}$"):
        motor.set_velocity(velocity)
    assert motor.readback().velocity == 10.0


def test_a_velocity_that_is_set_is_that_of_the_next_move(clock):
    motor = SimulatedMotor(max_velocity=20.0, clock=clock)
    motor.check("set_velocity", {"velocity": 20})
    assert motor.set_velocity(20.0) == 20.0
    began = clock()
    clock.run(motor.move_to(50.0))
    assert clock() - began == pytest.approx(2.5)
    assert (motor.readback().velocity, motor.readback().values["max_velocity"]) == (20.0, 20.0)
    assert commands_of(motor)["set_velocity"].parameters[0].units == "mm/s"


def test_park_moves_to_the_position_of_the_lab_file(clock):
    """DRV-25"""
    motor = SimulatedMotor(park_position=5.0, start=40.0, clock=clock)
    assert clock.run(motor.park()) == 5.0
    assert motor.position() == 5.0
    assert motor.readback().values["park_position"] == 5.0


def test_park_is_refused_where_the_lab_file_gives_no_position(clock):
    """DRV-25"""
    motor = SimulatedMotor(start=40.0, clock=clock)
    with pytest.raises(NoParkPosition, match=r"^there is nowhere to park: the lab file entry needs park_position$"):
        clock.run(motor.park())
    assert motor.position() == 40.0


def test_both_limits_are_allowed_targets(clock):
    motor = SimulatedMotor(start=60.0, clock=clock)
    motor.check("move_to", {"position": 0.0})
    motor.check("move_by", {"distance": 40})
    motor.check("home", {})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"low": 5.0, "high": 5.0}, "low must be less than high"),
        ({"velocity": 0.0}, "velocity is 0, but must be more than 0"),
        ({"velocity": float("inf")}, "finite"),
        ({"low": 10.0}, "home_position is 0, but must be from 10 to 100"),
        ({"start": 101.0}, "start is 101, but must be from 0 to 100"),
        ({"park_position": -1.0}, "park_position is -1, but must be from 0 to 100"),
        ({"max_velocity": 9.0}, "velocity is 10, but max_velocity is 9"),
    ],
)
def test_a_motor_that_cannot_be_is_refused_when_it_is_made(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        SimulatedMotor(**options)


def test_the_motor_shows_its_unit_and_answers_a_bare_position(clock):
    motor = SimulatedMotor(units="deg", start=3.0, clock=clock)
    assert motor.position() == 3.0
    assert motor.status() == {
        "position": 3.0, "units": "deg", "moving": False, "velocity": 10.0, "target": 3.0, "low": 0.0, "high": 100.0,
    }  # fmt: skip
    commands = commands_of(motor)
    assert commands["move_to"].parameters[0].units == "deg"
    assert commands["position"].returns.units == "deg"


def test_the_power_supply_answers_what_was_set_and_a_stop_turns_it_off():
    supply = SimulatedPowerSupply()
    assert (supply.set_voltage(12.5), supply.set_current(0.5), supply.set_output(True)) == (12.5, 0.5, True)
    assert (supply.get_voltage(), supply.get_current()) == (12.5, 0.5)
    assert supply.get_status() == {"voltage": 12.5, "current": 0.5, "output": True}
    supply.stop()
    as_lablink = {"voltage_set": 12.5, "voltage_actual": 0.0, "current_set": 0.5, "current_actual": 0.0}
    assert supply.readback().values == {
        "voltage": 12.5, "current": 0.5, "output": False, **as_lablink, "output_enabled": False,
    }  # fmt: skip


def test_the_oscilloscope_shows_one_screen_of_a_sine():
    scope = SimulatedOscilloscope()
    scope.set_timebase(1e-4)
    wave = scope.get_waveform(2)
    samples = wave["samples_v"]
    assert len(samples) == 1000
    assert wave["dt_s"] * 1000 == pytest.approx(10 * 1e-4)
    assert max(samples) == pytest.approx(2.0, rel=1e-3)
    rises = sum(1 for before, after in itertools.pairwise(samples) if before <= 0 < after)
    assert rises == round(scope.get_measurement(2)["frequency_hz"] * 1e-3)
    scope.stop()
    assert scope.readback().values == {"timebase": 1e-4}


@pytest.mark.parametrize("driver", [SimulatedMotor(), SimulatedPowerSupply(), SimulatedOscilloscope()])
def test_every_simulated_instrument_can_be_opened_stopped_and_closed(driver: Driver):
    driver.open()
    driver.stop()
    assert driver.address is None
    assert driver.readback().connected
    driver.close()


def test_the_demonstration_lab_has_the_commands_that_were_promised():
    kinds = {
        name: command.kind
        for driver in (SimulatedMotor(), SimulatedPowerSupply(), SimulatedOscilloscope())
        for name, command in commands_of(driver).items()
    }
    assert kinds == {
        "move_to": "control", "move_by": "control", "home": "control", "park": "control", "set_velocity": "control",
        "position": "observe", "status": "observe",
        "set_voltage": "control", "set_current": "control", "set_output": "control",
        "get_voltage": "observe", "get_current": "observe", "get_status": "observe",
        "get_waveform": "observe", "get_measurement": "observe", "set_timebase": "control",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("driver", "action", "parameters"),
    [
        (SimulatedPowerSupply(), "set_voltage", {"voltage": 30}),
        (SimulatedPowerSupply(), "set_current", {"current": 5.0}),
        (SimulatedPowerSupply(), "set_output", {"enabled": True}),
        (SimulatedOscilloscope(), "get_waveform", {"channel": 4}),
        (SimulatedOscilloscope(), "set_timebase", {"timebase": 0.5}),
    ],
)
def test_what_the_schema_allows_the_instrument_takes(driver, action, parameters):
    driver.check(action, parameters)
    getattr(driver, action)(**bind(commands_of(driver)[action], parameters, "it"))

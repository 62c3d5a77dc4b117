"""The EPICS motor against caproto's fake motor record, a real server process on loopback."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from epics_motors import WAIT_S, motors, until
from epics_server import CAPROTOS, EpicsServer, serving

pytest.importorskip("caproto")

from caproto import DEFAULT_PROTOCOL_VERSION, VersionRequest
from caproto.threading.client import Context

from authority.drivers.channel_access import Record, client
from authority.drivers.declare import commands_of
from authority.drivers.epics import EpicsMotor
from authority.drivers.limits import MoveFailed
from authority.drivers.simulated import SimulatedMotor
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits

pytestmark = pytest.mark.epics


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EpicsServer]:
    """`sim:mtr1` goes 1 unit/s from 0 to 10, `sim:mtr3` 3 units/s from 0 to 30."""
    with serving(CAPROTOS, tmp_path_factory.mktemp("epics") / "server.log") as server:
        yield server


@pytest.fixture
def motor_of(server: EpicsServer, closing: ThreadPoolExecutor) -> Iterator[Callable[..., EpicsMotor]]:
    with motors("sim:mtr3", closing) as make:
        yield make


def test_a_move_answers_the_position_where_it_arrived(motor_of):
    """DRV-9"""
    motor = motor_of()
    target = 1.5 if motor.position() < 1 else 0.5
    assert motor.move_to(target) == pytest.approx(target)
    assert motor.position() == pytest.approx(target)
    seen = motor.readback()
    assert (seen.connected, seen.moving, seen.target) == (True, False, pytest.approx(target))
    assert (seen.values["low"], seen.values["high"], seen.velocity) == (0, 30, 3)


def test_a_move_to_where_the_motor_is_arrives_too(motor_of):
    motor = motor_of()
    motor.move_to(1.0)
    assert motor.move_to(1.0) == pytest.approx(1.0)


def test_move_by_counts_from_where_the_motor_is(motor_of):
    motor = motor_of()
    motor.move_to(1.0)
    assert motor.move_by(0.4) == pytest.approx(1.4)
    assert motor.move_by(-0.4) == pytest.approx(1.0)


def test_progress_is_seen_while_it_moves(motor_of, other_thread):
    motor = motor_of()
    motor.move_to(0.0)
    move = other_thread.submit(motor.move_to, 3.0)
    seen = until(motor, lambda seen: seen.moving and (seen.position or 0) > 0.5)
    assert seen.position < 3.0
    assert motor.status()["moving"] is True
    assert move.result(WAIT_S) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("options", "position", "sentence"),
    [
        ({}, 30.5, "30.5 is outside the limits 0 to 30"),
        ({"high": 4.0, "units": "mm"}, 5.0, "5 mm is outside the limits 0 to 4 mm"),
        ({"low": 2.0, "high": 400.0}, 1.0, "1 is outside the limits 2 to 30"),
        ({}, float("nan"), "nan is outside the limits 0 to 30"),
    ],
)
def test_a_target_outside_the_tighter_limits_never_reaches_the_record(motor_of, options, position, sentence):
    motor = motor_of(**options)
    target = motor.readback().target
    with pytest.raises(OutsideLimits, match=f"^{sentence}$") as refused:
        motor.check("move_to", {"position": position})
    assert refused.value.always
    with pytest.raises(OutsideLimits, match=f"^{sentence}$"):
        motor.move_to(position)
    with pytest.raises(OutsideLimits) as refused:
        motor.check("move_by", {"distance": 100.0})
    assert not refused.value.always
    assert motor.record.fetch("VAL") == target


def test_a_stop_from_another_thread_ends_the_waiting_move_short_of_its_target(motor_of, other_thread):
    motor = motor_of("sim:mtr1")
    away = 0.0 if motor.position() > 5 else 9.5
    move = other_thread.submit(motor.move_to, away)
    until(motor, lambda seen: seen.moving)
    motor.stop()
    with pytest.raises(MotionStopped, match=r"^stopped at "):
        move.result(WAIT_S)
    rest = until(motor, lambda seen: not seen.moving)
    assert abs(rest.position - away) > 1


def test_a_stop_at_the_very_start_of_a_move_is_not_lost(motor_of, other_thread):
    motor = motor_of("sim:mtr1")
    away = 0.0 if motor.position() > 5 else 9.5
    move = other_thread.submit(motor.move_to, away)
    # Before the record has begun to move: there it would forget a stop and go all the way.
    until(motor, lambda seen: seen.target == away)
    motor.stop()
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)
    assert abs(until(motor, lambda seen: not seen.moving).position - away) > 1


def test_a_stop_at_rest_does_not_end_the_next_move(motor_of):
    motor = motor_of()
    motor.stop()
    assert motor.move_to(0.7) == pytest.approx(0.7)


def test_a_move_that_takes_longer_than_its_deadline_is_stopped_and_failed(motor_of):
    """DRV-11"""
    motor = motor_of("sim:mtr1", move_deadline_s=0.7, units="mm")
    away = 0.0 if motor.position() > 5 else 9.5
    with pytest.raises(MoveFailed, match=r"^sim:mtr1 was not there after 0.7 s and was stopped at .* mm$"):
        motor.move_to(away)
    seen = motor.readback()
    assert not seen.moving
    assert abs(seen.position - away) > 1


def test_a_move_that_somebody_else_ends_has_failed_and_says_where_it_rests(motor_of, other_thread):
    motor, elsewhere = motor_of("sim:mtr1"), motor_of("sim:mtr1")
    away = 0.0 if motor.position() > 5 else 9.5
    move = other_thread.submit(motor.move_to, away)
    until(elsewhere, lambda seen: seen.moving)
    elsewhere.stop()
    with pytest.raises(MoveFailed, match=r"^sim:mtr1 rests at .*, not at .*: nobody stopped it here"):
        move.result(WAIT_S)


@pytest.mark.slow
def test_a_motion_ordered_elsewhere_is_seen_and_not_run_over(motor_of, other_thread):
    motor, elsewhere = motor_of("sim:mtr1"), motor_of("sim:mtr1")
    away = 0.0 if motor.position() > 5 else 9.9
    move = other_thread.submit(elsewhere.move_to, away)
    until(motor, lambda seen: seen.moving)
    with pytest.raises((MoveFailed, MotionStopped), match="moved by somebody outside"):
        motor.move_to(5.0)
    elsewhere.stop()
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)


def test_the_velocity_of_the_lab_file_is_written_before_a_move(motor_of):
    motor = motor_of("sim:mtr2", velocity=5.0)
    motor.move_to(1.0 if motor.position() < 0.5 else 0.0)
    assert until(motor, lambda seen: seen.velocity == 5.0)


def test_home_is_refused_with_what_to_do_where_the_lab_file_does_not_say_how(motor_of):
    with pytest.raises(MoveFailed, match=r'^sim:mtr3 cannot home: its lab file entry needs home_with = "HOMF"'):
        motor_of().home()


def test_a_record_that_does_not_begin_to_home_is_told_and_its_button_is_not_left_pressed(motor_of):
    """DRV-26"""
    motor = motor_of(home_with="HOMF")
    with pytest.raises(MoveFailed, match=r"^sim:mtr3 did not begin to home and rests at .*: nobody stopped it here"):
        motor.home()  # this record does nothing about HOMF
    assert motor.record.fetch("HOMF") == 0


def test_a_record_without_a_jog_velocity_is_not_jogged(motor_of):
    """DRV-22"""
    motor = motor_of()
    with pytest.raises(OutsideLimits, match=r"^sim:mtr3 has no jog velocity: set its JVEL$"):
        motor.check("jog", {"direction": "forward", "seconds": 1.0})
    with pytest.raises(OutsideLimits, match=r"^sim:mtr3 has no jog velocity: set its JVEL$"):
        motor.jog("forward")


def test_an_unreachable_record_is_unavailable_and_named(server):
    motor = EpicsMotor("sim:nobody", connect_timeout_s=0.5)
    try:
        with pytest.raises(DriverUnavailable, match=r"^sim:nobody does not answer over Channel Access"):
            motor.open()
        assert not motor.readback().connected
        for use in (motor.position, motor.status, motor.stop, lambda: motor.move_to(1.0), lambda: motor.move_by(1.0)):
            with pytest.raises(DriverUnavailable):
                use()
    finally:
        motor.close()


def test_a_server_that_dies_makes_the_motor_unavailable_until_it_is_back(motor_of, server, other_thread):
    motor = motor_of("sim:mtr1")
    away = 0.0 if motor.position() > 5 else 9.5
    move = other_thread.submit(motor.move_to, away)
    until(motor, lambda seen: seen.moving)
    server.kill()
    try:
        with pytest.raises(DriverUnavailable, match="lost during a move: it may still be moving"):
            move.result(WAIT_S)
        lost = until(motor, lambda seen: not seen.connected)
        assert (lost.position, lost.moving) == (None, True)  # nobody knows that it rests
        assert "does not answer" in lost.error
        for use in (motor.position, motor.stop, lambda: motor.move_to(1.0)):
            with pytest.raises(DriverUnavailable):
                use()
    finally:
        server.start()
    back = until(motor, lambda seen: seen.connected)
    assert not back.moving
    assert back.position == pytest.approx(0.0)  # the fake record begins anew: not what was cached
    assert motor.move_to(0.5) == pytest.approx(0.5)


def test_a_server_that_hangs_cannot_be_told_to_stop_and_that_is_said(motor_of, server):
    motor = motor_of()
    server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(DriverUnavailable, match="does not answer"):
            motor.stop()
    finally:
        server.process.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_a_record_lost_for_long_is_searched_afresh_and_found(server, monkeypatch):
    contexts = []

    class CountedContext(Context):
        def __init__(self) -> None:
            contexts.append(self)
            super().__init__()

    monkeypatch.setattr("caproto.threading.client.Context", CountedContext)
    record = Record("sim:mtr3", ["RBV"], ["STOP"], start_afresh_s=1.0)
    try:
        record.open(WAIT_S)
        before = len(contexts)
        server.kill()
        for _ in range(WAIT_S * 10):
            with record.changed:
                record.changed.wait(0.1)
            if not record.connected:
                record.seek()
            if len(contexts) > before:
                break
        assert len(contexts) > before
        record.start_afresh_s = WAIT_S
        server.start()
        record.open(WAIT_S)
        assert record.fetch("RBV") == 0.0
    finally:
        if server.process is None:
            server.start()
        record.close()


def test_a_search_on_a_socket_that_is_being_closed_ends_without_a_traceback():
    """RUN-19"""
    open_context, _ = client()
    context = open_context()
    context.broadcaster.udp_sock.close()
    context.broadcaster.send(VersionRequest(0, DEFAULT_PROTOCOL_VERSION))
    context.disconnect(wait=False)


def test_a_record_that_lacks_fields_is_named_as_no_motor_record(server):
    record = Record("sim:mtr3", ["RBV", "NOPE"], [])
    try:
        with pytest.raises(DriverUnavailable, match=r"^sim:mtr3 has no field NOPE: check that it is a motor record$"):
            record.open(2.0)
    finally:
        record.close()


def test_the_record_is_the_address_and_its_fields_are_no_prefix():
    assert EpicsMotor("sim:mtr1").address == "sim:mtr1"
    for prefix in ("", "sim mtr", "sim:mtr1.VAL"):
        with pytest.raises(ValueError, match="prefix"):
            EpicsMotor(prefix)


def test_the_motor_declares_what_the_simulated_one_does_and_jog_and_tweak():
    commands = commands_of(EpicsMotor("sim:mtr1", units="mm"))
    kinds = {name: command.kind for name, command in commands.items()}
    of_any = {name: command.kind for name, command in commands_of(SimulatedMotor()).items()}
    assert kinds == of_any | {"jog": "control", "tweak": "control"}
    assert commands["move_to"].parameters[0].units == "mm"
    assert commands["set_velocity"].parameters[0].units == "mm/s"

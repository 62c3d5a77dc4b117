"""A table in the lab file becomes a driver, or every mistake in it is told."""

from __future__ import annotations

import asyncio
import threading
import tomllib

import fakes
import pytest
from as_worker import as_worker
from desk import Desk

from authority.drivers import DriverMisconfigured, build
from authority.drivers.declare import Declared, declared_by
from authority.drivers.limits import MoveFailed
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits

SOUND = """
kind = "motor"
units = "mm"
low = 0
high = 100
max_velocity = 20.0
stop = "halt"
tolerance = 0.5
start_s = 0
[readings]
position = { type = "number" }
moving = { type = "boolean" }
humidity = { type = "number", units = "%" }
[control.move_to]
doc = "Move to a position and answer it on arrival."
register = "goal"
target = "position"
until = "rest"
answers = "position"
parameters = { position = { type = "number", low = -1000, high = 1000, doc = "where to" } }
[control.move_by]
register = "shift"
distance = "entry"
until = "rest"
answers = "position"
parameters = { entry = { type = "number" } }
[control.set_velocity]
register = "speed"
velocity = "velocity"
parameters = { velocity = { type = "number" } }
[observe.spectrum]
type = "object"
parameters = { channel = { type = "integer", default = 1, choices = [1, 2] } }
"""
SILENT = """
kind = "motor"
units = "mm"
tolerance = 0.5
start_s = 0
settle_s = 0.05
stop = "halt"
[readings]
position = { type = "number" }
[control.move_to]
register = "goal"
target = "position"
until = "rest"
answers = "position"
parameters = { position = { type = "number" } }
"""  # of a device that does not say whether it moves
LAMP = """
stop = ""
[readings]
position = { type = "number" }
[control.lamp]
register = "lamp"
"""  # of a device that has nothing to stop


def desk(text: str = SOUND, **more: object) -> Desk:
    made = as_worker(build("desk:Desk", tomllib.loads(text) | more))
    assert isinstance(made, Desk)
    return made


def run(driver: Desk, action: str, **parameters: object) -> object:
    return driver.declared[action].run(**parameters)


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(DriverMisconfigured) as wrong:
        desk(text)
    assert str(wrong.value) == wrong.value.mistakes[0]
    start = "Driver 'desk:Desk': "
    assert all(one.startswith(start) and one.endswith(".") for one in wrong.value.mistakes)
    return tuple(one.removeprefix(start).removesuffix(".") for one in wrong.value.mistakes)


def test_a_table_says_which_commands_there_are_and_of_which_kind():
    """DRV-30, CMD-1"""
    commands = {name: one.command for name, one in declared_by(desk()).items()}
    assert {name: one.kind for name, one in commands.items()} == {
        "move_to": "control", "move_by": "control", "set_velocity": "control", "spectrum": "observe",
    }  # fmt: skip
    move_to = commands["move_to"]
    assert move_to.doc == "Move to a position and answer it on arrival."
    (position,) = move_to.parameters
    assert (position.name, position.units, position.low, position.high) == ("position", "mm", -1000, 1000)
    assert (move_to.returns.type, move_to.returns.units) == ("number", "mm")
    assert commands["set_velocity"].parameters[0].units == "mm/s"
    assert commands["set_velocity"].returns.type == "nothing"
    channel = commands["spectrum"].parameters[0]
    assert (channel.required, channel.default, channel.choices) == (False, 1, (1, 2))
    assert run(desk(), "spectrum", channel=2) == {"answered": {"channel": 2}}


def test_what_readings_says_is_the_readback():
    """DRV-30"""
    driver = desk(start=3)
    assert driver.kind == "motor"
    shown, said = driver.readback(), {"humidity": 40.0, "low": 0.0, "high": 100.0}
    assert (shown.position, shown.moving, shown.units, dict(shown.values)) == (3.0, False, "mm", said)


def test_the_tolerance_says_also_what_is_a_motion_from_outside():
    """DRV-8"""
    assert desk().readback().tolerance == 0.5
    assert desk(SOUND.replace("tolerance = 0.5", "")).readback().tolerance == 1e-3


def test_a_move_ends_when_the_device_rests_and_answers_the_reading():
    """DRV-33"""
    assert run(desk(), "move_to", position=7.0) == 7.0
    assert run(desk(start=5), "move_by", entry=-3.0) == 2.0


@pytest.mark.parametrize(
    ("action", "parameters", "sentence"),
    [
        ("move_to", {"position": 100.1}, "100.1 mm is outside the limits 0 to 100 mm"),
        ("move_to", {"position": -0.1}, "-0.1 mm is outside the limits 0 to 100 mm"),
        ("move_by", {"entry": 51.0}, "101 mm is outside the limits 0 to 100 mm"),
        ("set_velocity", {"velocity": -21.0}, "-21 mm/s is faster than the limit 20 mm/s"),
    ],
)
def test_what_is_beyond_the_limits_is_refused_before_anything_is_sent(action, parameters, sentence):
    """DRV-32, DRV-3"""
    driver = desk(start=50)
    driver.readback()
    for refusing in (lambda: driver.check(action, parameters), lambda: run(driver, action, **parameters)):
        with pytest.raises(OutsideLimits) as refused:
            refusing()
        assert (str(refused.value), refused.value.always) == (sentence, action != "move_by")
    assert driver.written == []


@pytest.mark.parametrize(
    ("action", "parameters"),
    [("move_to", {"position": 0.0}), ("move_by", {"entry": -50.0}), ("move_by", {"entry": 0.0})],
)
def test_a_target_of_zero_and_a_distance_of_zero_are_judged_as_every_other(action, parameters):
    """DRV-32"""
    driver = desk(SOUND.replace("low = 0", "low = 1"), start=0 if parameters.get("entry") == 0.0 else 50)
    driver.readback()
    for refusing in (lambda: driver.check(action, parameters), lambda: run(driver, action, **parameters)):
        with pytest.raises(OutsideLimits, match=r"^0 mm is outside the limits 1 to 100 mm$"):
            refusing()
    assert driver.written == []


def test_a_velocity_of_zero_where_nothing_may_go_faster_passes():
    """DRV-32"""
    still = desk(SOUND.replace("max_velocity = 20.0", "max_velocity = 0"))
    still.check("set_velocity", {"velocity": 0.0})
    with pytest.raises(OutsideLimits, match=r"^0\.1 mm/s is faster than the limit 0 mm/s$"):
        still.check("set_velocity", {"velocity": 0.1})


def test_a_limit_on_one_side_is_told_as_one():
    """DRV-32"""
    above = desk(SOUND.replace("high = 100\n", "").replace("low = 0\n", "low = 1\n"))
    with pytest.raises(OutsideLimits, match=r"^0 mm is outside the limit, at least 1 mm$"):
        above.check("move_to", {"position": 0.0})
    above.check("move_to", {"position": 900.0})
    below = desk(SOUND.replace("low = 0\n", "").replace("high = 100\n", "high = 0\n"))
    with pytest.raises(OutsideLimits, match=r"^1 mm is outside the limit, at most 0 mm$"):
        below.check("move_to", {"position": 1.0})
    below.check("move_to", {"position": 0.0})


def test_what_is_within_the_limits_passes():
    """DRV-32"""
    driver = desk(start=50)
    driver.readback()
    for action, parameters in [("move_to", {"position": 100.0}), ("move_by", {"entry": -50.0})]:
        driver.check(action, parameters)
    driver.check("set_velocity", {"velocity": 20.0})
    driver.check("spectrum", {"channel": 1})


def test_a_distance_is_judged_again_from_where_its_command_begins():
    """DRV-32"""
    driver = desk(start=50)
    driver.readback()
    driver.check("move_by", {"entry": 40.0})
    driver.position = driver.goal = 70.0
    with pytest.raises(OutsideLimits, match="110 mm is outside"):
        run(driver, "move_by", entry=40.0)
    assert driver.written == []


def test_a_distance_from_a_position_that_is_not_known_is_not_gone():
    """DRV-32"""
    driver = desk()
    driver.position = None
    with pytest.raises(MoveFailed, match="its position is not known now"):
        run(driver, "move_by", entry=1.0)
    assert driver.written == []


def test_a_distance_behind_a_running_command_is_not_judged_from_the_middle_of_its_way():
    """DRV-32"""
    driver = desk(start=0)

    def look() -> None:
        driver.on_ask = lambda: None
        driver.readback()
        driver.check("move_by", {"entry": -5.0})

    driver.on_ask = look
    run(driver, "move_to", position=10.0)
    with pytest.raises(OutsideLimits):
        driver.readback() and driver.check("move_by", {"entry": -50.0})


def test_a_move_that_takes_too_long_is_stopped_and_has_failed():
    """DRV-33"""
    driver = desk(SOUND.replace('register = "goal"', 'register = "goal"\ndeadline_s = 0.01'))
    driver.never_rests = True
    with pytest.raises(MoveFailed, match=r"was not at rest after 0\.01 s and was stopped at \d+ mm"):
        run(driver, "move_to", position=90.0)
    assert driver.written[-1] == ("stop", None)


def test_a_move_that_moves_nothing_has_failed_whatever_the_tolerance():
    """DRV-64"""
    for text in (SOUND, SOUND.replace("tolerance = 0.5", "")):
        driver = desk(text, start=5)
        driver.stuck_at = 5.0
        driver.readback()
        with pytest.raises(MoveFailed, match=r"^rests at 5 mm, not at 5\.4 mm, and nobody stopped it here"):
            run(driver, "move_to", position=5.4)
    assert run(driver, "move_to", position=5.000001) == 5.0  # too little a way to be seen in a position
    within = desk(start=5)
    within.stuck_at = 5.0
    within.readback()
    assert run(within, "move_to", position=5.05) == 5.0  # no tenth of the tolerance


def test_a_short_move_that_the_device_says_it_made_is_done():
    """DRV-64: its position need not show so little a way."""
    driver = desk(start=5)
    driver.readback()
    driver.never_rests = True
    driver.on_ask = lambda: setattr(driver, "never_rests", driver.position == 5.0 and not driver.written)
    driver.stuck_at = 5.0
    answers = iter([True, False, False])
    asked = driver.ask
    driver.ask = lambda name, entry: next(answers, False) if name == "moving" else asked(name, entry)
    assert run(driver, "move_to", position=5.4) == 5.0


def test_a_device_that_says_no_moving_rests_when_its_position_has_settled():
    """DRV-63"""
    driver = desk(SILENT)
    asked = driver.ask

    def ask(name: str, entry: object) -> float | bool:
        asked("moving", entry)  # by which it goes one further
        return asked(name, entry)

    driver.ask = ask
    assert run(driver, "move_to", position=4.0) == 4.0
    driver.stuck_at = 6.0
    with pytest.raises(MoveFailed, match=r"^rests at 6 mm, not at 9 mm, and nobody stopped it here"):
        run(driver, "move_to", position=9.0)


def test_a_device_that_says_no_moving_moves_until_it_has_settled_also_after_a_stop_that_did_nothing():
    """DRV-63"""
    driver = desk(SILENT.replace("settle_s = 0.05", "settle_s = 600"))
    assert driver.readback().moving
    driver.stop()
    driver.position += 1
    assert driver.readback().moving


def test_a_device_moves_while_a_command_of_ours_that_moves_it_is_carried_out():
    """DRV-65"""
    driver = desk(SOUND.replace('until = "rest"', ""))
    seen = []
    perform = driver.perform

    def look(*arguments: object) -> object:
        seen.append(driver.readback().moving)
        return perform(*arguments)

    driver.perform = look
    run(driver, "set_velocity", velocity=1.0)
    run(driver, "move_to", position=0.0)
    assert seen == [False, True]
    assert driver.readback().moving is False


def test_what_is_allowed_and_may_be_regretted_is_told():
    """RUN-30"""
    assert list(desk().warnings()) == []
    assert list(desk(SILENT).warnings()) == []
    (unchecked,) = desk(SOUND.replace("tolerance = 0.5", "")).warnings()
    assert unchecked == "a move is done wherever it comes to rest (move_to, move_by): give a tolerance"
    (unseen,) = desk(LAMP).warnings()
    assert unseen.startswith("it has a position and no reading moving: after half a second of standing still ")
    assert desk(LAMP).readback().moving is None


def test_a_move_that_ends_elsewhere_has_failed():
    """DRV-33"""
    driver = desk()
    driver.stuck_at = 5.0
    with pytest.raises(MoveFailed, match=r"^rests at 5 mm, not at 7 mm, and nobody stopped it here"):
        run(driver, "move_to", position=7.0)


def test_a_stop_at_rest_ends_no_move_that_comes_later():
    """DRV-10"""
    driver = desk()
    driver.stop()
    assert run(driver, "move_to", position=7.0) == 7.0


def test_a_stop_during_a_move_ends_it_as_stopped():
    """DRV-10"""
    driver = desk()

    def interrupt() -> None:
        driver.on_ask = lambda: None
        driver.stop()

    driver.on_ask = interrupt
    with pytest.raises(MotionStopped, match=r"^stopped at 0 mm"):
        run(driver, "move_to", position=90.0)
    assert driver.written == [("goal", 90.0), ("stop", None)]


def test_a_command_of_a_device_with_nothing_to_stop_is_never_told_as_stopped(tmp_path):
    """DRV-66"""
    driver = desk(LAMP)
    called = threading.Event()
    go_on = threading.Event()

    def slowly(*_: object) -> object:
        called.set()
        assert go_on.wait(20)

    driver.perform = slowly

    async def stop_in_between() -> None:
        async with fakes.lab(tmp_path / "store", {fakes.X: driver}) as here:
            ann = here.person("ann")
            here.login(ann)
            call = here.order(ann, 0.0, action="lamp")
            await fakes.until(called.is_set)
            assert await here.service.stop(fakes.X, None, "Cem", None)
            go_on.set()
            assert (await fakes.reply(call))["outcome"] == "done"

    asyncio.run(stop_in_between())
    assert driver.written == []


def test_what_was_not_sent_when_a_stop_came_is_not_sent_any_more():
    """DRV-10"""
    driver = desk()
    driver.on_ask = driver.stop  # while the position is asked that the distance counts from
    with pytest.raises(MotionStopped, match="before the device had the command"):
        run(driver, "move_by", entry=5.0)
    assert driver.written == [("stop", None)]


def test_what_a_stop_overtakes_between_the_authoritys_look_and_the_drivers_is_not_sent(tmp_path):
    """STOP-5, DRV-10"""
    driver = desk()
    called, go_on = threading.Event(), threading.Event()
    move_to = driver.declared["move_to"]

    def slowly(**parameters: object) -> object:
        called.set()
        assert go_on.wait(20)
        return move_to.run(**parameters)

    driver.declared = {**driver.declared, "move_to": Declared(move_to.command, slowly)}

    async def stop_in_between() -> None:
        async with fakes.lab(tmp_path / "store", {fakes.X: driver}) as here:
            ann = here.person("ann")
            here.login(ann)
            call = here.order(ann, 5.0)
            await fakes.until(called.is_set)
            assert await here.service.stop(fakes.X, None, "Cem", None)
            go_on.set()
            assert (await fakes.reply(call))["outcome"] == "stopped"

    asyncio.run(stop_in_between())
    assert driver.written == [("stop", None)]


def test_a_move_outlives_a_connection_that_is_lost_once():
    """DRV-33"""
    driver = desk()

    def cut() -> None:
        driver.on_ask, driver.lost = (lambda: None), 1

    driver.on_ask = cut
    assert run(driver, "move_to", position=7.0) == 7.0


def test_a_move_outlives_one_answer_that_cannot_be_read():
    """DRV-33"""
    driver = desk()

    def garble() -> None:
        driver.on_ask = lambda: None
        raise ValueError("#?!")

    driver.on_ask = garble
    assert run(driver, "move_to", position=7.0) == 7.0


def test_a_move_whose_answers_stay_bad_says_that_it_may_be_moving():
    """DRV-33"""
    driver = desk()

    def garble() -> None:
        raise ValueError("#?!")

    driver.on_ask = garble
    with pytest.raises(MoveFailed, match=r"^#\?!; it may be moving$"):
        run(driver, "move_to", position=7.0)


def test_a_move_whose_device_stays_away_says_that_it_may_still_move():
    """DRV-33"""
    driver = desk()
    driver.lost = 5
    with pytest.raises(DriverUnavailable, match=r"^the cable is out; it may be moving$"):
        run(driver, "move_to", position=7.0)


@pytest.mark.parametrize(
    ("instead", "by", "sentence"),
    [
        ('stop = "halt"', "", 'stop is missing, but there are control commands: say what stops it, or stop = "" where '
         "there is nothing to stop"),
        ('stop = "halt"', 'stop = " "', "stop is empty, but control.move_to moves: what moves must have a stop"),
        ("low = 0", "low = 100.0", "low is 100 and high is 100, but low must be less than high"),
        ("low = 0", "low = nan", "low must be a number, not nan"),
        ("max_velocity = 20.0", "max_velocity = -1", "max_velocity must be a number, at least 0, not -1"),
        ('until = "rest"', 'until = "done"', "control.move_to.until must be one of 'rest', not 'done'"),
        ('answers = "position"', 'answers = "place"', "control.move_to has answers = 'place', but its readings are "
         "position, moving, humidity"),
        ('target = "position"', 'target = "place"', "control.move_to has target = 'place', but its parameters are "
         "position"),
        ('target = "position"', 'target = "position"\ndistance = "position"', "control.move_to has both target and "
         "distance: it can be only one of them"),
        ('answers = "position"', 'answers = "position"\ntype = "text"', "control.move_to has both answers and type: "
         "the type is that of the reading"),
        ("[control.move_by]", "[control._by]", "control._by cannot be called so: a name has letters, digits and _ and "
         "begins with a letter"),
        ("[control.move_by]", "[control.stop]", "control.stop cannot be called so: every driver has that name"),
        ("[observe.spectrum]", "[observe.move_to]", "observe.move_to is under control, too: a command can be only one "
         "of them"),
        ("entry = { ", 'entry = { units = "um", ', "control.move_by parameters.entry is in um, but units of the "
         "position is mm"),
        ("entry = { ", "entry = { low = 2, high = 1, ", "control.move_by parameters.entry low is 2 and high is 1, but "
         "low must be less than high"),
        ("[1, 2]", "[2, 3]", "observe.spectrum parameters.channel default must be one of 2, 3, not 1"),
        ("[1, 2]", "[]", "observe.spectrum parameters.channel has choices without any"),
        ("[1, 2]", '[1, "x"]', "observe.spectrum parameters.channel choice must be one of 1, 'x', not 'x'"),
        ('moving = { type = "boolean" }', 'moving = { type = "number" }', 'readings.moving is type = "number", but '
         'needs type = "boolean"'),
        ('position = { type = "number" }', 'position = { type = "number", units = "m" }', "readings.position is in m, "
         "but units of the position is mm: nothing converts them"),
        ('target = "position"', "", ""),
    ],
)  # fmt: skip
def test_each_mistake_in_a_table_is_one_sentence_with_its_key(instead, by, sentence):
    """DRV-31"""
    text = SOUND.replace(instead, by, 1)
    assert text != SOUND
    if sentence:
        assert mistakes(text) == (sentence,)
    else:  # another command is limited
        desk(text)


def test_limits_that_hold_for_no_command_are_a_mistake():
    """DRV-31"""
    text = SOUND.replace('target = "position"', "").replace('distance = "entry"', "").replace('velocity = "', 'doc = "')
    assert mistakes(text) == (
        'low and high hold for no command: say target = "PARAMETER" or distance = "PARAMETER" in the control command '
        "that moves, or give the parameter limits of its own, as in parameters = { voltage = { low = 0, high = 30 } }",
        'max_velocity holds for no command: say velocity = "PARAMETER" in the control command that sets it, or give '
        "the parameter a high of its own",
    )


REST = "a reading moving, or a reading position and a tolerance, by which to see that it rests"


def test_a_reading_by_which_to_see_rest_is_needed_and_a_position_for_a_distance():
    """DRV-31, DRV-63"""
    text = SOUND.replace("moving = {", "shaking = {").replace('position = { type = "number" }', "")
    assert mistakes(text) == (
        f"control.move_to has until = \"rest\", which needs {REST}",
        "control.move_to has answers = 'position', but its readings are shaking, humidity",
        "control.move_by has a distance, which needs a reading position to count from",
        f"control.move_by has until = \"rest\", which needs {REST}",
        "control.move_by has answers = 'position', but its readings are shaking, humidity",
    )  # fmt: skip


@pytest.mark.parametrize(("key", "what"), [("target", "a target"), ("distance", "a distance")])
def test_what_moves_needs_a_reading_by_which_to_see_that_it_rests_also_where_nothing_waits_for_it(key, what):
    """DRV-63"""
    text = SILENT.replace('until = "rest"', "").replace("target", key)
    desk(text)
    for lacking in ("tolerance = 0.5", 'position = { type = "number" }'):
        told = mistakes(text.replace(lacking, "").replace('answers = "position"', ""))
        assert told[-1] == f"control.move_to has {what}, which needs {REST}"


def test_all_mistakes_are_told_at_once_and_none_for_what_another_one_spoils():
    """DRV-31"""
    text = (
        SOUND.replace('target = "position"', 'taget = "position"')
        .replace('register = "shift"', "")
        .replace("high = 100\n", 'high = "far"\n')
        .replace('humidity = { type = "number"', 'humidity = { type = "percent"')
        .replace("[1, 2]", "[2, 3]")
    )
    assert mistakes(text) == (
        "high must be a number, not 'far'",
        "readings.humidity.type must be one of 'number', 'integer', 'boolean', 'text', not 'percent'",
        "control.move_to.taget is no key here, perhaps target is meant; allowed are doc, parameters, type, units, "
        "target, distance, velocity, "
        "until, answers, deadline_s, register",
        "control.move_by.register is missing; it must be a text",
        "observe.spectrum parameters.channel default must be one of 2, 3, not 1",
    )


def test_a_stop_that_is_missing_is_told_beside_a_word_that_is_misspelt():
    """DRV-31"""
    text = SOUND.replace('target = "position"', 'taget = "position"').replace('stop = "halt"\n', "")
    taget, stop = mistakes(text)
    assert taget.startswith("control.move_to.taget is no key here")
    assert stop.startswith("stop is missing, but there are control commands")


def test_a_position_in_units_that_nobody_said_is_a_mistake():
    """DRV-31"""
    text = SOUND.replace('units = "mm"\n', "").replace(
        'position = { type = "number" }', 'position = { type = "number", units = "mm" }'
    )
    assert mistakes(text) == (
        "readings.position is in mm, but units of the position is not said: nothing converts them",
    )


def test_what_must_be_a_table_is_said_to_be_one():
    """DRV-31"""
    assert mistakes('stop = ""\ncontrol = 3\n[observe]\nlook = "x"') == (
        "control must be a table, not 3",
        "observe.look must be a table, not 'x'",
    )


def test_an_option_of_a_drivers_own_may_be_a_table(tmp_path, monkeypatch):
    """DRV-31"""
    (tmp_path / "our_tables.py").write_text(
        "from collections.abc import Mapping\n"
        "import msgspec\n"
        "from authority.drivers.simulated_instruments import SimulatedPowerSupply\n"
        "class Channel(msgspec.Struct):\n"
        "    gain: float\n"
        "    names: list[str] = []\n"
        "class Scope(SimulatedPowerSupply):\n"
        "    def __init__(self, port: str, first: Channel, more: Mapping[str, Channel] | None = None) -> None:\n"
        "        super().__init__()\n"
        "        self.given = port, first, more\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    first = {"gain": 2, "names": ["a"]}
    scope = build("our_tables:Scope", {"port": "x", "first": first, "more": {"b": {"gain": 0.5}}})
    port, channel, more = scope.given
    assert (port, channel.gain, channel.names, more["b"].gain) == ("x", 2.0, ["a"], 0.5)
    with pytest.raises(DriverMisconfigured) as wrong:
        build("our_tables:Scope", {"prot": "x", "more": {"b": {"names": ["a", 3]}}})
    assert wrong.value.mistakes == (
        "Driver 'our_tables:Scope': prot is no key here, perhaps port is meant; allowed are port, first, more.",
        "Driver 'our_tables:Scope': port is missing; it must be a text.",
        "Driver 'our_tables:Scope': first is missing; it must be a table.",
        "Driver 'our_tables:Scope': more.b.gain is missing; it must be a number.",
        "Driver 'our_tables:Scope': more.b.names[1] must be a text, not 3.",
    )

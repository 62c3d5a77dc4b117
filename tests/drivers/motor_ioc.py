"""A simulated motor-record server over Channel Access: for tests, and for whoever has no motor at hand.

    python tests/drivers/motor_ioc.py --prefix sim: --interfaces 127.0.0.1

serves, in mm, `sim:m1` (0 to 10, 5 mm/s), `sim:m2` (-10 to 20, 10 mm/s) and `sim:slow` (0 to 100, 1 mm/s). Beside each
record are PVs that arrange the metal: `sim:m1:HardHigh` and `:HardLow` (where the limit switches are), `:HomeSwitch`,
`:Position` (put there by hand), `:Stuck` (it is told to go and never gets anywhere), `:Deaf` (it obeys no stop),
`:Slip` (the part of each way that it falls short), `:CommError`, `:Problem`, and `:Reset`, by which all is as at the
start. What the record does, and what it does not, is told in `motor_record`.
"""

from __future__ import annotations

import time
from textwrap import dedent

from caproto import AlarmSeverity, AlarmStatus, SkipWrite
from caproto.server import PVGroup, PvpropertyDouble, SubGroup, ioc_arg_parser, pvproperty, run
from motor_record import Axis, MotorRecord

TICK_S = 0.02
_EACH_ONE_COUNTS = {"DMOV", "MOVN", "STOP", "MIP"}  # of the others, only the last of a tick is told
_PUT = {"VAL", "RLV", "TWF", "TWR", "TWV", "HOMF", "HOMR", "JOGF", "JOGR", "STOP", "SPMG", "SYNC", "CNEN", "HLM", "LLM"}
_ARRANGED = ("hard_high", "hard_low", "home_switch", "position", "slip", "stuck", "deaf", "comm_error", "problem")
_PUT |= {"VELO", "JVEL", "HVEL", "VBAS", "VMAX", "ACCL", "JAR", "RDBD", "RTRY", "HLSV"}


class _Drive(PvpropertyDouble):
    """VAL: its control limits are told to clients, but a put beyond them is the record's to judge, not caproto's."""

    async def verify_value(self, value):
        return await self.putter(self, value)


class Motor(PVGroup):
    """One motor record and the PVs of its axis."""

    motor = pvproperty(value=0.0, name="", dtype=_Drive, record="motor", precision=4)
    hard_high = pvproperty(value=0.0, name=":HardHigh", alarm_group="axis")
    hard_low = pvproperty(value=0.0, name=":HardLow", alarm_group="axis")
    home_switch = pvproperty(value=0.0, name=":HomeSwitch", alarm_group="axis")
    position = pvproperty(value=0.0, name=":Position", alarm_group="axis")
    slip = pvproperty(value=0.0, name=":Slip", alarm_group="axis")
    stuck = pvproperty(value=0, name=":Stuck", alarm_group="axis")
    deaf = pvproperty(value=0, name=":Deaf", alarm_group="axis")
    comm_error = pvproperty(value=0, name=":CommError", alarm_group="axis")
    problem = pvproperty(value=0, name=":Problem", alarm_group="axis")
    reset = pvproperty(value=0, name=":Reset", alarm_group="axis")

    def __init__(self, *args, low, high, velocity, units, accl=0.1, **kwargs):
        super().__init__(*args, **kwargs)
        self.units = units
        self.nature = {"low": low, "high": high, "velocity": velocity, "accl": accl}
        self.record = self._fresh()
        self.alarmed = (0, 0)
        self.telling = False
        for field in _PUT:
            self._channel(field).putter = self._putter(field)
        for attribute in _ARRANGED:
            getattr(self, attribute).putter = self._arranger(attribute)

    def _fresh(self):
        low, high = self.nature["low"], self.nature["high"]
        axis = Axis(0.0, hard_low=low - 1.0, hard_high=high + 1.0, home_switch=low)
        return MotorRecord(axis, **self.nature)

    def _channel(self, field):
        return self.motor if field == "VAL" else self.motor.get_field(field)

    def _putter(self, field):
        async def put(channel, value):
            if isinstance(value, str):
                value = channel.enum_strings.index(value)
            self.record.put(field, value)
            await self._tell()
            raise SkipWrite

        return put

    def _arranger(self, attribute):
        async def put(_channel, value):
            kind = type(getattr(self.record.axis, attribute))
            setattr(self.record.axis, attribute, kind(value))
            self.record.process(callback=True)
            await self._tell()

        return put

    @reset.putter
    async def reset(self, _channel, _value):
        self.record = self._fresh()
        await self._tell_nature()
        await self._tell()
        raise SkipWrite

    @motor.startup
    async def motor(self, _channel, async_lib):
        await self._channel("EGU").write(self.units)
        # SEVR and STAT follow by themselves; what a client is told with RBV is the record's alarm, too.
        self._channel("RBV").alarm = self.motor.alarm
        await self._tell_nature()
        await self._tell()
        last = time.monotonic()
        while True:
            await async_lib.library.sleep(TICK_S)
            now = time.monotonic()
            self.record.pass_time(now - last)
            last = now
            await self._tell()

    async def _tell_nature(self):
        for field in ("ACCL", "JAR", "RDBD", "RTRY", "HLSV", "MRES"):
            await self._channel(field).write(getattr(self.record, field.lower()), verify_value=False)
        for attribute in _ARRANGED:
            await getattr(self, attribute).write(getattr(self.record.axis, attribute), verify_value=False)

    async def _tell(self):
        """Send what has changed to the clients, in order, also when a put comes while a tick is being told."""
        if self.telling:
            return
        self.telling = True
        try:
            while self.record.posts or self.alarmed != (self.record.sevr, self.record.stat):
                await self._tell_fields()
                await self._tell_alarm()
        finally:
            self.telling = False

    async def _tell_fields(self):
        posts, self.record.posts = self.record.posts, []
        last = {field: index for index, (field, _) in enumerate(posts)}
        for index, (field, value) in enumerate(posts):
            if field in _EACH_ONE_COUNTS or last[field] == index:
                await self._channel(field).write(value, verify_value=False)
        if {"HLM", "LLM"} & last.keys():
            limits = {"upper_ctrl_limit": self.record.hlm, "lower_ctrl_limit": self.record.llm}
            await self.motor.write_metadata(units=self.units, **limits)
        if "RBV" in last:
            await self.position.write(self.record.rbv, verify_value=False)

    async def _tell_alarm(self):
        if self.alarmed != (self.record.sevr, self.record.stat):
            self.alarmed = self.record.sevr, self.record.stat
            severity, status = AlarmSeverity(self.record.sevr), AlarmStatus(self.record.stat)
            await self.motor.alarm.write(severity=severity, status=status)


class MotorServer(PVGroup):
    """Three simulated motor records."""

    m1 = SubGroup(Motor, prefix="m1", low=0.0, high=10.0, velocity=5.0, units="mm")
    m2 = SubGroup(Motor, prefix="m2", low=-10.0, high=20.0, velocity=10.0, units="mm")
    slow = SubGroup(Motor, prefix="slow", low=0.0, high=100.0, velocity=1.0, units="mm")


if __name__ == "__main__":
    options, how = ioc_arg_parser(default_prefix="sim:", desc=dedent(__doc__))
    run(MotorServer(**options).pvdb, **how)

"""A motor record, and the axis behind it, as the record's documentation and `motorRecord.cc` (R7) describe them.

Of the record: VAL, RLV, TWV, TWF and TWR, HOMF and HOMR, JOGF and JOGR, STOP, SPMG, SYNC, DMOV with its 1/0/1 pulse,
MOVN, LVIO, HLS and LLS, retries and MISS, VELO, JVEL and HVEL forced between VBAS and VMAX, CNEN, and SEVR and STAT
from the switches and the controller's state.

What it does not do: user and dial coordinates are one (OFF 0, DIR "Pos", no SET); DVAL, DRBV and DIFF follow but do not
drive; there are no raw steps, but a smallest move of MRES; no backlash, no DLY, no encoder or readback link, no OMSL,
no DISP, no links, no STUP (the state is always fresh); a put-callback does not wait for the end of a motion.

Of the axis: it accelerates evenly (JAR, or VELO in ACCL seconds), stands still at once on a limit switch, and homes by
going in the direction it is told to until it meets the home switch or a limit switch. Homing redefines no position.
"""

from __future__ import annotations

import math
from enum import IntFlag

STEP_S = 0.005  # of the axis's own time

PUT_PROCESSES = "VAL RLV TWF TWR HOMF HOMR JOGF JOGR STOP SPMG SYNC CNEN HLM LLM"
BLINK = {"VAL", "RLV", "TWF", "TWR"}
STOP, PAUSE, MOVE, GO = range(4)
NO_ALARM, MINOR, MAJOR, INVALID = range(4)
STAT_NONE, STAT_HIGH, STAT_LOW, STAT_STATE, STAT_COMM = 0, 4, 6, 7, 9
DONE_BIT, PLUS_BIT, HOME_BIT, PROBLEM_BIT, GAIN_BIT, COMM_BIT, MINUS_BIT = 0x2, 0x4, 0x8, 0x200, 0x800, 0x1000, 0x2000


class Mip(IntFlag):
    """What the record is at (MIP)."""

    DONE = 0
    JOGF, JOGR, HOMF, HOMR, MOVE, RETRY, STOP, JOG_REQ, JOG_STOP = (1 << n for n in range(9))
    JOG = JOGF | JOGR
    HOME = HOMF | HOMR


class Axis:
    """The controller and the metal; positions in the record's unit, `powered` is its amplifier."""

    def __init__(self, position: float, hard_low: float, hard_high: float, home_switch: float) -> None:
        self.position, self.velocity = position, 0.0
        self.hard_low, self.hard_high, self.home_switch = hard_low, hard_high, home_switch
        self.powered = True
        self.stuck = self.deaf = self.comm_error = self.problem = False
        self.slip = 0.0  # the part of each way that a move falls short
        self._aim: float | None = None
        self._speed, self._accel = 0.0, 1.0
        self.moving = False
        self.news = False  # the controller has something to tell the record

    @property
    def at_high(self) -> bool:
        return self.position >= self.hard_high

    @property
    def at_low(self) -> bool:
        return self.position <= self.hard_low

    def move(self, target: float, speed: float, accel: float) -> None:
        self._begin(self.position + (target - self.position) * (1 - self.slip), abs(speed), accel)

    def jog(self, speed: float, accel: float) -> None:
        self._begin(math.copysign(math.inf, speed), abs(speed), accel)

    def home(self, direction: int, speed: float, accel: float) -> None:
        ahead = (self.home_switch - self.position) * direction >= 0
        self._begin(self.home_switch if ahead else direction * math.inf, abs(speed), accel)

    def stop(self) -> None:
        if not self.deaf:
            self._aim = None
        self.news = True

    def _begin(self, aim: float, speed: float, accel: float) -> None:
        self._aim, self._speed, self._accel = aim, speed, max(accel, 1e-6)
        self.moving = self.powered and not self.problem
        self.news = True

    def step(self, dt: float) -> None:
        if not self.moving:
            return
        if not self.powered or self.problem:
            self.moving, self.velocity = False, 0.0
            return
        if self.stuck and self._aim is not None:
            return
        left = 0.0 if self._aim is None else self._aim - self.position
        brake = math.sqrt(2 * self._accel * abs(left)) if math.isfinite(left) else math.inf
        wanted = 0.0 if self._aim is None else math.copysign(min(self._speed, brake), left)
        most = self._accel * dt
        self.velocity += min(max(wanted - self.velocity, -most), most)
        way = self.velocity * dt
        arrives = self._aim is not None and abs(way) >= abs(left) and abs(self.velocity) <= self._speed + most
        self.position = self._aim if arrives and self._aim is not None else self.position + way
        high, low = self.position >= self.hard_high, self.position <= self.hard_low
        on_switch = (high and self.velocity > 0) or (low and self.velocity < 0)
        if on_switch:
            self.position = min(max(self.position, self.hard_low), self.hard_high)
        if arrives or on_switch or (self._aim is None and self.velocity == 0):
            self.moving, self.velocity, self._aim = False, 0.0, None


class MotorRecord:
    """The record; its fields are the attributes of the same names in small letters."""

    POSTED = (
        "VAL DVAL RLV TWF TWR HOMF HOMR JOGF JOGR STOP SPMG LSPG SYNC CNEN HLM LLM DHLM DLLM VELO JVEL HVEL VBAS VMAX "
        "TWV RDBD MRES RBV DRBV DIFF RCNT MISS MSTA TDIR HLS LLS MOVN LVIO MIP DMOV"
    )

    def __init__(self, axis: Axis, *, low: float, high: float, velocity: float, accl: float) -> None:
        self.axis = axis
        self.val = self.rbv = self.lval = axis.position
        self.hlm, self.llm = high, low
        self.velo = self.jvel = self.hvel = velocity
        self.vbas = self.vmax = 0.0
        self.accl, self.jar = accl, velocity / accl
        self.twv, self.rlv = 1.0, 0.0
        self.twf = self.twr = self.homf = self.homr = self.jogf = self.jogr = self.stop = self.sync = 0
        self.spmg = self.lspg = GO
        self.cnen, self.hlsv = 1, MINOR
        self.mres, self.rdbd, self.rtry = 0.0001, 0.001, 10
        self.rcnt = self.miss = self.tdir = self.hls = self.lls = self.movn = self.lvio = 0
        self.cdir = 1
        self.dmov, self.pp, self.mip = 1, False, Mip.DONE
        self.sevr, self.stat = NO_ALARM, STAT_NONE
        self._again = False
        self._told: dict[str, float] = {}
        self.posts: list[tuple[str, float]] = []
        self._motor_info()
        self._alarms()
        self._post()

    @property
    def dval(self) -> float:
        return self.val

    @property
    def drbv(self) -> float:
        return self.rbv

    @property
    def diff(self) -> float:
        return self.val - self.rbv

    @property
    def dhlm(self) -> float:
        return self.hlm

    @property
    def dllm(self) -> float:
        return self.llm

    @property
    def msta(self) -> int:
        axis = self.axis
        bits = ((not axis.moving, DONE_BIT), (axis.at_high, PLUS_BIT), (axis.at_low, MINUS_BIT))
        bits += ((axis.position == axis.home_switch, HOME_BIT),)
        bits += ((axis.problem, PROBLEM_BIT), (axis.comm_error, COMM_BIT), (True, GAIN_BIT))
        return sum(bit for holds, bit in bits if holds)

    def put(self, field: str, value: float) -> None:
        """Take what a client writes; `ValueError` where the record refuses the write itself."""
        if field in ("HOMF", "HOMR") and self.mip & Mip.HOME:
            raise ValueError(f"{field}: homing already")
        if field in BLINK and self.dmov:
            self.dmov = 0
            self._post()
        setattr(self, field.lower(), value)
        self._special(field)
        self._post()
        if field in PUT_PROCESSES.split():
            self.process(callback=False)

    def pass_time(self, seconds: float) -> None:
        """Let the axis move on, and the record hear of it as from its device support."""
        while seconds > 0:
            if not (self.axis.moving or self.axis.news or self._again):
                return
            self.axis.news = self._again = False
            self.axis.step(min(seconds, STEP_S))
            seconds -= STEP_S
            self.process(callback=True)

    def process(self, *, callback: bool) -> None:
        was_violated = self.lvio
        if not callback or not self._hear():
            self._guard_limits(was_violated)
            if self.stop or self.spmg in (STOP, PAUSE) or not callback or self.dmov or self.mip & Mip.RETRY:
                self._do_work()
        self._alarms()
        self._post()

    def _special(self, field: str) -> None:
        """Act on a field that was written, before the record is processed."""
        match field:
            case "VBAS" | "VMAX":
                setattr(self, field.lower(), max(0.0, getattr(self, field.lower())))
            case "VELO" | "JVEL" | "HVEL":
                value = max(getattr(self, field.lower()), self.vbas)
                setattr(self, field.lower(), min(value, self.vmax) if self.vmax else value)
                if field == "JVEL" and self.mip & Mip.JOG and self.axis.moving:
                    self.axis.jog(self.jvel if self.jogf else -self.jvel, self.jar)
            case "CNEN":
                self.axis.powered = bool(self.cnen)
            case "JOGF" | "JOGR":
                pressed, switch = (self.jogf, self.hls) if field == "JOGF" else (self.jogr, self.lls)
                if not pressed:
                    self.mip &= ~Mip.JOG_REQ
                elif self.mip == Mip.DONE and not switch:
                    self.mip |= Mip.JOG_REQ

    def _motor_info(self) -> None:
        axis = self.axis
        self.rbv = round(axis.position / self.mres) * self.mres
        self.tdir = int(axis.velocity > 0) if axis.velocity else self.tdir
        self.hls, self.lls = int(axis.at_high), int(axis.at_low)
        active = self._on_switch_ahead()
        self.movn = int(axis.moving and not active and not axis.problem)
        if active or axis.problem:
            self._clear_buttons()

    def _on_switch_ahead(self) -> bool:
        return bool(self.hls if self.cdir else self.lls)

    def _hear(self) -> bool:
        """Take in what the controller says; true when the record looks again before it goes on."""
        self._motor_info()
        if self.movn:
            self.dmov = 0
            wrong_way = (self.diff >= 0) != bool(self.cdir) and abs(self.diff) > 2 * self.rdbd
            if wrong_way and self.mip & (Mip.MOVE | Mip.RETRY) and not self.mip & Mip.STOP:
                self.axis.stop()
                self.mip |= Mip.STOP
                self.pp = False
            return False
        if not self.dmov:
            self.dmov = 1
            if self.mip in (Mip.JOGF, Mip.JOGR):
                self.mip = Mip.DONE
                self._clear_buttons()
                self.pp = True
        if self.mip != Mip.DONE and self._on_switch_ahead():
            self.dmov, self.pp, self.mip, self._again = 0, True, Mip.DONE, True
            return True
        if self.pp:
            if self.val != self.lval and not self.mip & (Mip.STOP | Mip.JOG_STOP):
                if self.mip & Mip.HOME:
                    self._clear_buttons()
                self.mip = Mip.DONE
                return False
            self._post_process()
        if self._on_switch_ahead():
            self.mip = Mip.DONE
        elif self.dmov and self.mip != Mip.DONE:
            self._maybe_retry()
        return False

    def _guard_limits(self, was_violated: int) -> None:
        if self._no_limits():
            self.lvio = 0
        elif self.mip & Mip.JOG:
            self.lvio = int(self._jogs_too_far(self.rbv))
        elif self.mip & Mip.HOME:
            self.lvio = 0
        if self.lvio and not was_violated:
            self.stop = 1
            self._clear_buttons()

    def _do_work(self) -> None:
        if self.spmg != self.lspg or self.stop:
            stop = bool(self.stop)
            if self.spmg != self.lspg:
                self.lspg = self.spmg
            else:
                self.stop = 0
            if self._halts(stop):
                return
        if self._press_buttons():
            return
        if self.spmg in (STOP, PAUSE):
            return
        if self.val != self.lval or not self.dmov:
            self._drive()
        elif self.sync and self.mip == Mip.DONE:
            self._sync_target()
            self.sync = 0

    def _halts(self, stop: bool) -> bool:
        """Obey STOP and SPMG; true when that is all there is to do."""
        if stop or self.spmg in (STOP, PAUSE):
            if stop or self.spmg == STOP:
                if self.mip == Mip.DONE or self.mip & (Mip.STOP | Mip.RETRY):
                    if self.mip & Mip.RETRY:
                        self.mip, self.dmov = Mip.DONE, 1
                    self.axis.stop()
                    return True
                if self.movn:
                    self.pp = True
                    self._clear_buttons()
                else:
                    self._sync_target()
            if self.mip & Mip.HOME:
                self._clear_buttons()
            self.mip = Mip.STOP
            self.axis.stop()
            return True
        if self.spmg == GO:
            if (self.jogf and not self.hls) or (self.jogr and not self.lls):
                self.mip = Mip.JOG_REQ
            elif self.mip == Mip.STOP:
                self.mip = Mip.DONE
        else:
            self.mip, self.rcnt = Mip.DONE, 0
        return False

    def _press_buttons(self) -> bool:
        """Home, jog, end a jog, tweak; true when there is nothing else to do."""
        halted = self.spmg in (STOP, PAUSE)
        forward = self.homf and not self.mip & Mip.HOMF and not self.hls
        if forward or (self.homr and not self.mip & Mip.HOMR and not self.lls):
            self._home(halted)
            return True
        if not self.mip & Mip.JOG and not halted and self.mip & Mip.JOG_REQ:
            self._jog()
            return True
        if not self.mip & Mip.JOG_REQ and self.mip & Mip.JOG:
            self.pp = True
            self.mip = (self.mip | Mip.JOG_STOP) & ~Mip.JOG
            self.axis.stop()
            return True
        if self.mip & Mip.JOG_STOP:
            return True
        if self.twf or self.twr:
            self.val += self.twv * (1 if self.twf else -1)
            self.twf = self.twr = 0
        if self.rlv:
            self.val += self.rlv
            self.rlv = 0.0
        return False

    def _home(self, halted: bool) -> None:
        if halted:
            self.dmov = 0
            return
        self.mip = Mip.HOMF if self.homf else Mip.HOMR
        self.pp = True
        if self.movn:
            self.mip |= Mip.STOP
            self.axis.stop()
        else:
            self._send_home()

    def _send_home(self) -> None:
        self.cdir = int(bool(self.mip & Mip.HOMF))
        self.dmov, self.rcnt = 0, 0
        self.axis.home(1 if self.cdir else -1, self.hvel, self.hvel / self.accl)

    def _jog(self) -> None:
        if not self._no_limits() and self._jogs_too_far(self.val):
            self.lvio, self.jogf, self.jogr = 1, 0, 0
            return
        self.mip = Mip.JOGF if self.jogf else Mip.JOGR
        self.pp = True
        if self.movn:
            self.mip |= Mip.STOP
            self.axis.stop()
            return
        self.dmov = 0
        self.cdir = int(bool(self.jogf))
        self.axis.jog(self.jvel if self.jogf else -self.jvel, self.jar)

    def _drive(self) -> None:
        """Go to VAL, as far as limits, the present motion and the smallest move allow."""
        steps = abs(round(self.val / self.mres) - round(self.rbv / self.mres))
        retry = bool(self.mip & Mip.RETRY)
        if steps < (round(self.rdbd / self.mres) if retry else 1):
            if not self.dmov and self.mip in (Mip.DONE, Mip.RETRY):
                self.dmov, self.mip = 1, Mip.DONE
            self.lval = self.val
            return
        if not retry:
            self.rcnt = 0
        back = (self.val > self.hlm and self.val < self.lval) or (self.val < self.llm and self.val > self.lval)
        outside = not self._no_limits() and not back and not self.llm <= self.val <= self.hlm
        self.lvio = int(outside or self.llm > self.hlm)
        if self.lvio:
            self.val = self.lval
            if retry:
                self.mip = Mip.DONE
            if self.mip == Mip.DONE:
                self.dmov = 1
        elif self.mip in (Mip.DONE, Mip.RETRY):
            self.mip |= Mip.MOVE
            self.dmov = 0
            self.lval = self.val
            self.cdir = int(self.diff >= 0)
            self.axis.move(self.val, self.velo, self.velo / self.accl)

    def _post_process(self) -> None:
        self.pp = False
        if not self.mip & Mip.MOVE:
            self.val = self.rbv
        if self.mip & Mip.HOME:
            if self.mip & Mip.STOP:
                self.pp = True
                self.mip &= ~Mip.STOP
                self._send_home()
            else:
                self.homf = self.homr = 0
                self.mip &= ~Mip.HOME
        self.mip &= ~(Mip.JOG_STOP | Mip.MOVE | Mip.STOP)
        self.lval = self.val

    def _maybe_retry(self) -> None:
        if abs(self.diff) < self.rdbd:
            self.mip &= Mip.JOG_REQ
            self.miss = 0
            if self.spmg == MOVE:
                self.spmg = PAUSE
            return
        if self.rtry == 0:
            self.mip &= Mip.JOG_REQ
            return
        self.rcnt += 1
        if self.rcnt > self.rtry:
            self.mip, self.miss, self.lval = Mip.DONE, 1, self.val
        else:
            self.dmov, self.mip = 0, Mip.RETRY

    def _no_limits(self) -> bool:
        return self.hlm == self.llm == 0

    def _jogs_too_far(self, position: float) -> bool:
        forward = self.jogf and position > self.hlm - self.jvel
        return bool(forward or (self.jogr and position < self.llm + self.jvel) or self.llm > self.hlm)

    def _clear_buttons(self) -> None:
        self.jogf = self.jogr = self.homf = self.homr = 0

    def _sync_target(self) -> None:
        self._motor_info()
        self.val = self.lval = self.rbv

    def _alarms(self) -> None:
        self.sevr, self.stat = NO_ALARM, STAT_NONE
        if self.hlsv and (self.hls or self.val > self.hlm) and not self._no_limits():
            self.sevr, self.stat = self.hlsv, STAT_HIGH
        elif self.hlsv and (self.lls or self.val < self.llm) and not self._no_limits():
            self.sevr, self.stat = self.hlsv, STAT_LOW
        elif self.axis.comm_error:
            self.sevr, self.stat = INVALID, STAT_COMM
        elif self.axis.problem:
            self.sevr, self.stat = MAJOR, STAT_STATE

    def _post(self) -> None:
        for field in self.POSTED.split():
            value = getattr(self, field.lower())
            if self._told.get(field) != value:
                self._told[field] = value
                self.posts.append((field, value))

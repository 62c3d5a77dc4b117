"""A simulated power supply and a simulated oscilloscope."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from authority.drivers.declare import Range, Unit, control, observe
from authority.drivers.simulated import Simulated
from authority.ports import Readback

_ONLY_CHANNEL = 1
Channel = Annotated[int, Range(_ONLY_CHANNEL, _ONLY_CHANNEL), "the supply has one"]


@dataclass
class _Output:
    """What is set at one channel of a power supply, in V and A."""

    voltage: float = 0.0
    current: float = 0.0
    enabled: bool = False

    def shown(self) -> dict[str, float | bool]:
        return {"voltage": self.voltage, "current": self.current, "output": self.enabled}


class SimulatedPowerSupply(Simulated):
    """A power supply of 30 V and 5 A with one channel and no load: its output has the voltage that is set, no current.

    It reads what is set, and what is there, also under the names of LabLink's control panel, which names the channel
    in every command.
    """

    kind: ClassVar[str] = "power_supply"
    blocking: ClassVar[bool] = False

    def __init__(self) -> None:
        self._outputs = {_ONLY_CHANNEL: _Output()}

    def readback(self) -> Readback:
        """Return the setpoints, whether the output is on and what is there, in our words and in LabLink's."""
        output = self._outputs[_ONLY_CHANNEL]
        voltage_actual = 0.0
        if output.enabled:
            voltage_actual = output.voltage
        as_lablink_reads = {
            "voltage_set": output.voltage,
            "voltage_actual": voltage_actual,
            "current_set": output.current,
            "current_actual": 0.0,
            "output_enabled": output.enabled,
        }
        return Readback(moving=False, values=output.shown() | as_lablink_reads)

    def stop(self) -> None:
        """Turn the output off."""
        for output in self._outputs.values():
            output.enabled = False

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Allow all: the declared ranges say what may be set."""

    @control
    def set_voltage(
        self, voltage: Annotated[float, Unit("V"), Range(0, 30)], channel: Channel = _ONLY_CHANNEL
    ) -> Annotated[float, Unit("V")]:
        """Set the voltage and answer it."""
        self._outputs[channel].voltage = voltage
        return voltage

    @control
    def set_current(
        self, current: Annotated[float, Unit("A"), Range(0, 5)], channel: Channel = _ONLY_CHANNEL
    ) -> Annotated[float, Unit("A")]:
        """Set the current limit and answer it."""
        self._outputs[channel].current = current
        return current

    @control
    def set_output(self, enabled: bool, channel: Channel = _ONLY_CHANNEL) -> bool:
        """Turn the output on or off and answer which it is."""
        self._outputs[channel].enabled = enabled
        return enabled

    @observe
    def get_voltage(self, channel: Channel = _ONLY_CHANNEL) -> Annotated[float, Unit("V")]:
        """Answer the voltage that is set."""
        return self._outputs[channel].voltage

    @observe
    def get_current(self, channel: Channel = _ONLY_CHANNEL) -> Annotated[float, Unit("A")]:
        """Answer the current limit that is set."""
        return self._outputs[channel].current

    @observe
    def get_status(self, channel: Channel = _ONLY_CHANNEL) -> dict[str, float | bool]:
        """Answer the voltage in V, the current in A and whether the output is on."""
        return self._outputs[channel].shown()


class SimulatedOscilloscope(Simulated):
    """An oscilloscope of four channels, each with a steady sine: channel n has n kHz and n V of amplitude."""

    kind: ClassVar[str] = "oscilloscope"
    blocking: ClassVar[bool] = False

    _SAMPLES: ClassVar[int] = 1000
    _DIVISIONS: ClassVar[int] = 10

    def __init__(self) -> None:
        self._timebase = 1e-3

    def readback(self) -> Readback:
        """Return the timebase in seconds per division."""
        return Readback(moving=False, values={"timebase": self._timebase})

    def stop(self) -> None:
        """Do nothing: an oscilloscope only looks."""

    def check(self, action: str, parameters: Mapping[str, object]) -> None:
        """Allow all: the declared ranges say what may be set."""

    @observe
    def get_waveform(self, channel: Annotated[int, Range(1, 4)]) -> dict[str, int | float | list[float]]:
        """Answer one screen of a channel: `dt_s` between samples, and `samples_v` in V."""
        dt = self._timebase * self._DIVISIONS / self._SAMPLES
        step = 2 * math.pi * self._frequency(channel) * dt
        samples = [channel * math.sin(step * index) for index in range(self._SAMPLES)]
        return {"channel": channel, "dt_s": dt, "samples_v": samples}

    @observe
    def get_measurement(self, channel: Annotated[int, Range(1, 4)]) -> dict[str, int | float]:
        """Answer a channel's frequency in Hz, and peak to peak, RMS and mean in V."""
        return {
            "channel": channel,
            "frequency_hz": self._frequency(channel),
            "peak_to_peak_v": 2.0 * channel,
            "rms_v": channel / math.sqrt(2),
            "mean_v": 0.0,
        }

    @control
    def set_timebase(
        self, timebase: Annotated[float, Unit("s"), Range(1e-9, 50), "seconds per division"]
    ) -> Annotated[float, Unit("s")]:
        """Set the time that one division of the screen shows and answer it."""
        self._timebase = timebase
        return self._timebase

    @staticmethod
    def _frequency(channel: int) -> float:
        return 1000.0 * channel

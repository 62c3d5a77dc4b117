"""A motor as a QCoDeS parameter, `stage.qcodes()`; the extra `qcodes` brings QCoDeS.

Setting it moves and returns on arrival, so that any loop of QCoDeS waits for the motor; an interrupt stops it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qcodes.parameters import Parameter
from qcodes.validators import Numbers

from jupyter_motorlock.errors import MotorlockError
from jupyter_motorlock.extras.axis import Axis, EquipmentHandle

_NO_LIMIT = float("inf")


class MotorParameter(Parameter):
    """One number of the equipment as QCoDeS sets and gets it; made by `handle.qcodes()`.

    Its validator has the limits that were known when it was made. A snapshot has who moves it under which lock as
    `provenance`, None where this session does not hold it.
    """

    def __init__(self, handle: EquipmentHandle, axis: Axis, name: str) -> None:
        self._handle = handle
        self._axis = axis
        low, high = axis.limits()
        super().__init__(
            name,
            label=axis.equipment_id,
            unit=axis.units or "",
            vals=Numbers(-_NO_LIMIT if low is None else low, _NO_LIMIT if high is None else high),
            docstring=axis.move.help,
        )

    def get_raw(self) -> float:
        """Return where it is, as a plain number; raises `MotorlockError` where that is not known."""
        return self._axis.place().position

    def set_raw(self, value: float) -> None:
        """Move there and return on arrival; raises what the command raises."""
        self._handle.command(self._axis.move.name, **self._axis.bind(value))

    def snapshot_base(
        self, update: bool | None = True, params_to_skip_update: Sequence[str] | None = None
    ) -> dict[Any, Any]:
        """Return what QCoDeS keeps of every parameter, and the provenance."""
        try:
            provenance = self._handle.provenance()
        except MotorlockError:
            provenance = None
        return {**super().snapshot_base(update, params_to_skip_update), "provenance": provenance}


def device(handle: EquipmentHandle, axis: Axis, name: str) -> MotorParameter:
    """Return the parameter of `handle`; QCoDeS wants a `name` that Python could have."""
    return MotorParameter(handle, axis, re.sub(r"\W|^(?=\d)", "_", name))

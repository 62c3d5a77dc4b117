"""The errors a notebook user meets, split by what can be done about them.

MotorlockError
├── Refused             a rule of the authority said no (`code`, `status`, `data`)
│   ├── EquipmentInUse      somebody else has it: wait in the queue, or ask them
│   ├── LockRequired        log in first
│   ├── LockLost            you had the lock: log in again
│   ├── StoppedBySomebody   look why, then log in again or resume
│   ├── InvalidRequest      correct the name, the parameter or the target
│   ├── DriverUnavailable   the equipment cannot be reached now; the lock is kept
│   └── SessionEnded        the session is over; the next login makes a new one
├── Unreachable         no authority answers at the address
├── CommandFailed       the command ran and failed, did not run, or its end is unknown
├── CommandStopped      somebody, perhaps you, stopped the motion
└── UsageProblem        a mistyped line or setting
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal


class MotorlockError(Exception):
    """Shown as one sentence in a notebook, as a normal exception elsewhere."""

    def _render_traceback_(self) -> list[str]:  # IPython calls this; no import needed
        return [f"{type(self).__name__}: {self}"]


class Refused(MotorlockError):
    """A rule of the authority said no; nothing was changed.

    `code` is the stable name of the refusal, `status` the HTTP status, `data` every field of the answer.
    """

    what_to_type = ""
    codes = frozenset[str]()  # the codes of the authority that are this class

    def __init__(self, sentence: str, *, code: str, status: int, data: Mapping[str, object]) -> None:
        super().__init__(sentence)
        self.code = code
        self.status = status
        self.data = data

    def _render_traceback_(self) -> list[str]:
        """Say in a notebook what to type, too: the authority's sentence is for every kind of client."""
        name, wait = self.data.get("equipment_id"), " --wait" if self.data.get("holder") else ""
        hint = self.what_to_type.format(name=name, wait=wait)
        if not hint or name is None:
            return super()._render_traceback_()
        return [f"{type(self).__name__}: {str(self).removesuffix('.')} ({hint})."]


class EquipmentInUse(Refused):
    """Somebody else holds the equipment; `data` has `holder`, `since`, `note` and `queue_length`."""

    what_to_type = "%motor_login {name} --wait, or %motor_ask {name}"
    codes = frozenset({"equipment_in_use"})


class LockRequired(Refused):
    """The request needs a lock that this session does not have."""

    codes = frozenset({"lock_required", "observe_required", "not_holder"})
    what_to_type = "%motor_login {name}{wait}"


class LockLost(Refused):
    """This session had the lock and lost it; `data` has `by`, `why` and `at`."""

    codes = frozenset({"lock_lost"})
    what_to_type = "%motor_login {name}{wait}"


class StoppedBySomebody(Refused):
    """Somebody else stopped the equipment; control is refused until the holder logs in again or resumes."""

    codes = frozenset({"stopped_by"})
    what_to_type = "%motor_resume {name}"


class InvalidRequest(Refused):
    """An unknown name, a missing or ill-typed parameter, or a target outside the limits."""

    codes = frozenset({"unknown_equipment", "unknown_command", "unknown_entry"})


class DriverUnavailable(Refused):
    """The authority cannot reach the equipment now; the lock is kept and the driver reconnects."""

    codes = frozenset({"driver_unavailable"})


class SessionEnded(Refused):
    """The authority no longer has this session."""

    codes = frozenset({"session_ended", "unknown_session"})


class Unreachable(MotorlockError):
    """The authority does not answer.

    `kind` says how far the request came: `no_connection` (it was never sent), `broken` (the connection ended
    before the answer) or `silent` (no answer in time); after the last two it may have been carried out.
    """

    def __init__(self, url: str, kind: Literal["no_connection", "broken", "silent"], *, outcome: str = "") -> None:
        super().__init__(
            f"No motorlock authority answers at {url}{outcome}; start it with `motorlock serve`, "
            "or set MOTORLOCK_URL to its address."
        )
        self.kind = kind


class CommandFailed(MotorlockError):
    """A command that did not do what was asked; `outcome` is `failed`, `unknown` or `not_run`."""

    def __init__(self, sentence: str, *, outcome: str) -> None:
        super().__init__(sentence)
        self.outcome = outcome


class CommandStopped(MotorlockError):
    """A command that ended because the equipment was stopped."""


class UsageProblem(MotorlockError):
    """A line or a setting that cannot be understood; the sentence says what is allowed."""


def refusal(problem: Mapping[str, object], status: int) -> Refused:
    """Return the error for a `problem+json` answer; codes that are not known here become a plain `Refused`."""
    code = str(problem.get("code") or "refused")
    sentence = str(problem.get("detail") or problem.get("title") or f"The authority refused ({status}).")
    fitting = (kind for kind in Refused.__subclasses__() if code in kind.codes)
    kind = next(fitting, InvalidRequest if status == 422 else Refused)
    return kind(sentence, code=code, status=status, data=problem)

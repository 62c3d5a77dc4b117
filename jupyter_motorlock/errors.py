"""The errors a notebook user meets, split by what can be done about them.

MotorlockError
├── Refused             a rule of the authority said no (`code`, `status`, `data`)
│   ├── EquipmentInUse      somebody else has it: wait in the queue, or ask them
│   ├── LockRequired        log in first
│   ├── LockLost            you had the lock: log in again
│   ├── StoppedBySomebody   look why, then log in again or resume
│   ├── NotAllowed          you lack a right: whoever looks after the lab can give it
│   ├── InvalidRequest      correct the name, the parameter or the target
│   ├── DriverUnavailable   the equipment cannot be reached now; the lock is kept
│   └── SessionEnded        the session is over; the next login makes a new one
├── Unreachable         no authority answers at the address
│   └── Untrusted           what answers has a certificate that is not trusted, or no https
├── CommandFailed       the command ran and failed, did not run, or its end is unknown
├── CommandStopped      somebody, perhaps you, stopped the motion
│   └── CommandTimedOut     it took longer than the time it was given, and was stopped
├── StillRuns           the command is not over, and goes on
├── DryRunRefused       a dry run found lines that would be refused
└── UsageProblem        a mistyped line or setting
    └── UnknownName         no equipment has this name

Interrupted             you interrupted it: no `Exception`, so that nothing which goes on after errors goes on after it
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from typing import Literal, Self


class SentenceError(BaseException):
    """What every error of ours has: it is shown as one sentence in a notebook, as a normal exception elsewhere.

    `became` is what is said of the line of a cell that ended so.
    """

    became = "failed"
    _place: tuple[str, str] = ("", "")

    def in_cell(self, line: str, ran: str) -> Self:
        """Say with the sentence also which line of a cell it was, and what of the cell ran."""
        self._place = line, ran
        return self

    def hint(self) -> str:
        """Return what to type, for a notebook; the sentence is for every kind of client."""
        return ""

    def __str__(self) -> str:
        return self._told("")

    def shown(self) -> str:
        """Return the sentence with the hint."""
        return self._told(self.hint())

    def _render_traceback_(self) -> list[str]:  # IPython calls this; no import needed
        return [f"{type(self).__name__}: {self.shown()}"]

    def _told(self, hint: str) -> str:
        sentence = super().__str__()
        (line, ran) = self._place
        if hint:
            sentence = f"{sentence.removesuffix('.')} ({hint})."
        if ran:
            sentence = f"{sentence.removesuffix('.')}; {ran}."
        if line:
            return f"{line}: {sentence}"
        return sentence


class MotorlockError(SentenceError, Exception):
    """Every error of ours but `Interrupted`."""


class Interrupted(SentenceError, KeyboardInterrupt, CancelledError):
    """An interrupt, or STOP in this kernel's own panel, ended what the cell or the thread did; what moved was stopped.

    No `except Exception` catches it. A task of asyncio that ends with it counts as cancelled: any other
    KeyboardInterrupt in a task would end the event loop, and with it the kernel (docs/decisions/0012).
    """

    became = "stopped"


class Refused(MotorlockError):
    """A rule of the authority said no; nothing was changed.

    `code` is the stable name of the refusal, `status` the HTTP status, `data` every field of the answer.
    """

    became = "refused"
    what_to_type = ""
    codes = frozenset[str]()  # the codes of the authority that are this class

    def __init__(self, sentence: str, *, code: str, status: int, data: Mapping[str, object]) -> None:
        super().__init__(sentence)
        self.code = code
        self.status = status
        self.data = data

    def hint(self) -> str:
        """Return what to type, where that is known."""
        name = self.data.get("equipment_id")
        wait = ""
        if self.data.get("holder"):
            wait = " --wait"
        if name:
            return self.what_to_type.format(name=name, wait=wait)
        return ""


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


class NotAllowed(Refused):
    """The user lacks a right, which is `right` in `data`."""

    codes = frozenset({"not_allowed"})


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

    became = "not known"

    def __init__(
        self,
        url: str,
        kind: Literal["no_connection", "broken", "silent"],
        *,
        outcome: str = "",
        how_to_correct: str = "set MOTORLOCK_URL to its address",
    ) -> None:
        super().__init__(
            f"No motorlock authority answers at {url}{outcome}; start it with `motorlock serve`, or {how_to_correct}."
        )
        self.kind = kind


class Untrusted(Unreachable):
    """The encrypted connection was not made: the certificate is not trusted, or there is no https. Nothing was sent."""

    def __init__(self, sentence: str) -> None:
        MotorlockError.__init__(self, sentence)
        self.kind = "no_connection"


class CommandFailed(MotorlockError):
    """A command that did not do what was asked; `outcome` is `failed`, `unknown` or `not_run`.

    It is `done` where the command was carried out and its answer is not kept any more.
    """

    def __init__(self, sentence: str, *, outcome: str) -> None:
        super().__init__(sentence)
        self.outcome = outcome


class CommandStopped(MotorlockError):
    """A command that ended because the equipment was stopped."""

    became = "stopped"


class CommandTimedOut(CommandStopped, TimeoutError):
    """A command that took longer than the time it was given; its equipment was stopped."""


class StillRuns(MotorlockError, TimeoutError):
    """The time to wait is over and the command is not; it goes on, and can be waited for again."""


class DryRunRefused(MotorlockError):
    """A dry run found lines that would be refused now; `refusals` has the error of each. Nothing was sent."""

    def __init__(self, sentence: str, refusals: Sequence[MotorlockError]) -> None:
        super().__init__("\n".join([sentence, *(f"  {refusal.shown()}" for refusal in refusals)]))
        self.refusals = refusals


class UsageProblem(MotorlockError):
    """A line or a setting that cannot be understood; the sentence says what is allowed."""


class UnknownName(UsageProblem):
    """A name that no equipment has; the sentence says what there is, and what is near."""


def error_from_problem(problem: Mapping[str, object], status: int) -> Refused:
    """Return the error for a `problem+json` answer; codes that are not known here become a plain `Refused`."""
    code = str(problem.get("code") or "refused")
    sentence = str(problem.get("detail") or problem.get("title") or f"The authority refused ({status}).")
    fitting = (kind for kind in Refused.__subclasses__() if code in kind.codes)
    kind = next(fitting, InvalidRequest if status == 422 else Refused)
    return kind(sentence, code=code, status=status, data=problem)

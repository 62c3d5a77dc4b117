"""A command as it is asked for, and its checks in their order, for what is run and for what is only asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authority.core import messages
from authority.core.control import permit_control, permit_observe
from authority.core.model import EquipmentId, Session, SessionId
from authority.core.refusals import LockLost, LockRequired, ObserveRequired
from authority.driver_calls import DriverFailed
from authority.identity.access import Right
from authority.parameters import Command, InvalidParameters, bind
from authority.ports import DriverUnavailable, OutsideLimits
from authority.sentences import in_parentheses

from . import bodies
from .problems import ProblemResponse
from .request_context import RequestContext

RIGHT_TO_RUN = {"control": Right.CONTROL, "observe": Right.OBSERVE}


@dataclass(frozen=True)
class CommandRequest:
    """A command of equipment that is there, as it is declared, by a session that may be asked for it.

    Without a session, where locks are switched off, it is one of the proved user, else of everybody at that address.
    """

    context: RequestContext
    equipment_id: EquipmentId
    declared: Command
    session: Session | None
    fence: int | None
    parameters: Mapping[str, object]

    @property
    def session_id(self) -> SessionId:
        """The session that the command is of."""
        if self.session is None:
            return SessionId(f"{self.context.principal.user or 'anybody'} at {self.context.peer}")
        return self.session.id

    def admit(self) -> dict[str, object]:
        """Check the lock, the parameters and limits, and the driver; return the parameters as the driver gets them."""
        equipment = self.context.equipment(self.equipment_id)
        worker = self.context.worker(self.equipment_id)
        if self.declared.kind == "observe":
            permit_observe(equipment, self.session_id)
        else:
            permit_control(equipment, self.session_id, self.fence)
        try:
            parameters: dict[str, object] = dict(bind(self.declared, self.parameters, self.equipment_id))
            worker.check(self.declared.name, parameters)
        except InvalidParameters as error:
            raise ProblemResponse("invalid.parameters", {"errors": error.errors}, message=str(error)) from None
        except OutsideLimits as error:
            problem = str(error).rstrip(".")
            refused = ProblemResponse("outside_limits.parameters", equipment=self.equipment_id, problem=problem)
            refused.always = error.always
            raise refused from None
        except (DriverFailed, DriverUnavailable) as failed:
            raise ProblemResponse(
                "driver_unavailable.check", equipment=self.equipment_id, action=self.declared.name, why=failed
            ) from None
        if not worker.readback.connected:
            raise driver_unavailable(self.equipment_id, worker.readback.error)
        return parameters

    def observe_message(self) -> messages.Observe:
        """Return what the rules decide of a command that only observes."""
        return messages.Observe(equipment=self.equipment_id, session=self.session_id)

    def control_message(self, command_id: str, parameters: dict[str, object], key: str = "") -> messages.Control:
        """Return what the rules decide of a control command: on the newest state, with all that is due."""
        return messages.Control(
            equipment=self.equipment_id,
            session=self.session_id,
            key=key,
            command_id=command_id,
            action=self.declared.name,
            parameters=parameters,
            fence=self.fence,
        )


def command_request(
    context: RequestContext, action: str, parameters: Mapping[str, object], asked: bodies.CommandBody | bodies.CheckBody
) -> CommandRequest:
    """Check the equipment, the command and the session; the other checks are those of `admit`."""
    equipment_id = context.equipment_id
    declared = context.worker(equipment_id).commands.get(action)
    if declared is None:
        names = ", ".join(context.worker(equipment_id).commands)
        raise ProblemResponse("unknown_command", equipment=equipment_id, action=action, names=names)
    context.require(RIGHT_TO_RUN[declared.kind], equipment_id)
    session = _session_of_command(context, equipment_id, declared, asked.session_id or "")
    return CommandRequest(context, equipment_id, declared, session, asked.fence, parameters)


def _session_of_command(
    context: RequestContext, equipment_id: EquipmentId, declared: Command, name: str
) -> Session | None:
    equipment = context.equipment(equipment_id)
    session = context.service.table.session(SessionId(name))
    if session is not None:
        context.require_session_token(session)
    elif not equipment.policy.enforce_locks:
        return None
    elif declared.kind == "observe":
        raise ObserveRequired(equipment)
    elif not name:
        raise ProblemResponse("session_required", equipment=equipment_id)
    else:
        loss = equipment.loss(SessionId(name))
        if loss is None and not context.app.ids.made(name):
            raise LockRequired(equipment)
        raise LockLost(equipment, loss)
    return session


def driver_unavailable(equipment_id: str, error: str | None) -> ProblemResponse:
    """Return the refusal of a command whose device cannot be reached."""
    return ProblemResponse("driver_unavailable", equipment=equipment_id, why=in_parentheses(error))

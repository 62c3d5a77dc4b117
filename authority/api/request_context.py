"""One request as a handler sees it: who makes it, what it may do, and the state of the authority."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from starlette.requests import Request

from authority.core import messages
from authority.core.model import Equipment, EquipmentId, Session, SessionId
from authority.core.refusals import SessionEnded, UnknownEquipment, UnknownSession
from authority.identity.access import Right
from authority.identity.principal import UNPROVED, Principal
from authority.identity.users import Users
from authority.options import Options
from authority.service import Service
from authority.worker import Worker

from .claimed_names import claimed_user
from .guard import PRINCIPAL
from .problems import ProblemResponse
from .quotas import Quotas
from .request_body import BodyReader, invalid_request
from .session_ids import SessionIds
from .session_tokens import SessionTokens

# Of each query parameter its type, and its value where it is not given.
Query = Mapping[str, tuple[Any, object]]


@dataclass(frozen=True)
class AppContext:
    """What all routes lead to."""

    service: Service
    ids: SessionIds
    options: Options
    users: Users
    quotas: Quotas = field(default_factory=Quotas)
    bodies: BodyReader = field(default_factory=BodyReader)

    @cached_property
    def session_tokens(self) -> SessionTokens:
        """The living sessions by their tokens."""
        return SessionTokens(self.service.table)


class RequestContext:
    """One request at a route: its parts, parsed and checked in the order of the specification."""

    def __init__(self, app_context: AppContext, request: Request, query: Query, right: Right = Right.READ) -> None:
        """Keep the request, whose query has the parameters `query`; `right` is what its route asks for."""
        self.right = right
        self.headers: dict[bytes, bytes] = dict(request.scope["headers"])
        self.app = app_context
        self.service = app_context.service
        self.request = request
        self.path: dict[str, str] = request.path_params
        self._query = query

    @property
    def equipment_id(self) -> EquipmentId:
        """The equipment of the path, or 404."""
        return self.known_equipment_id(self.path["equipment_id"])

    def known_equipment_id(self, name: str) -> EquipmentId:
        """Return `name` as an id of equipment for which the route's right is there, or refuse.

        What somebody may not see is not there for them.
        """
        if name not in self.service.workers or not self.may(Right.READ, name):
            raise UnknownEquipment(EquipmentId(name))
        self.require(self.right, name)
        return EquipmentId(name)

    def may(self, right: Right, equipment_id: str) -> bool:
        """Whether who makes the request may do something with equipment."""
        return self.app.users.access.may(self.principal, right, equipment_id)

    def require(self, right: Right, equipment_id: str) -> None:
        """Refuse unless who makes the request has a right to equipment."""
        if not self.may(right, equipment_id):
            raise not_allowed(right, equipment_id, self.user_called())

    def may_anywhere(self, right: Right) -> bool:
        """Whether who makes the request has a right to some equipment of the lab."""
        return self.app.users.access.may_anywhere(self.principal, right, self.service.workers)

    def require_anywhere(self, right: Right) -> None:
        """Refuse unless who makes the request has a right to some equipment of the lab."""
        if not self.may_anywhere(right):
            raise not_allowed(right, None, self.user_called())

    def equipment(self, key: EquipmentId) -> Equipment:
        """Return how equipment of this lab stands."""
        found = self.service.table.equipment(key)
        assert found is not None
        return found

    def visible_equipment(self) -> list[Equipment]:
        """Return how everything stands that may be seen."""
        return [equipment for equipment in self.service.table.all_equipment() if self.may(Right.READ, equipment.id)]

    def worker(self, key: EquipmentId) -> Worker:
        """Return who calls the driver."""
        return self.service.workers[key]

    def session(self, name: str) -> Session:
        """Return the living session `name`, without acting for it."""
        found = self.service.table.session(SessionId(name))
        if found is None:
            if self.app.ids.made(name):
                raise SessionEnded(SessionId(name))
            raise UnknownSession(SessionId(name))
        return found

    def acting_session(self, name: str) -> Session:
        """Return the session this request acts for; with a secret one the request must bear its token."""
        session = self.session(name)
        self.require_session_token(session)
        return session

    def session_or_new(self, name: str) -> Session:
        """Return the session, or begin one for an id that the client chose (LabLink's own client does)."""
        for request in self.requests_to_begin(name):
            self.begin(request)
        return self.acting_session(name)

    def begin(self, request: messages.OpenSession) -> None:
        """Begin a session, unless its peer has as many as one may have."""
        session = request.session
        metadata_bytes = 0
        if session.metadata:
            metadata_bytes = len(msgspec.json.encode(session.metadata))
        self.app.quotas.may_begin(self.peer, metadata_bytes, self.service.table)
        self.service.apply(request)
        self.app.quotas.begun(self.peer, session.id, metadata_bytes)
        self.app.session_tokens.add(session)

    def requests_to_begin(self, name: str) -> tuple[messages.OpenSession, ...]:
        """Return what begins a session for an id that the client chose, nothing where it exists or has ended."""
        if self.service.table.session(SessionId(name)) is not None or self.app.ids.made(name):
            return ()
        return (messages.OpenSession(session=self.new_session(SessionId(name))),)

    def new_session(self, session_id: SessionId, *labels: object) -> Session:
        """Return a session of who makes the request, whose name is the proved one or the first usable label."""
        now = self.service.clock.now()
        session = Session(
            id=session_id,
            user=self.user_called(*labels) or f"a program at {self.peer}",
            user_verified=self.principal.user is not None,
            identity=self.principal.user,
            client_ip=self.peer,
            created_at=now,
            last_seen=now,
            timeout_s=self.app.options.session_timeout_s,
        )
        # Not where another session's token proved it: then one proof by the Hub would be good for ever.
        if self.principal.source == "jupyterhub" and b"authorization" in self.headers:
            groups = tuple(sorted(self.principal.groups))
            session = msgspec.structs.replace(session, proved_by=self.principal.source, groups=groups)
        return session

    @property
    def principal(self) -> Principal:
        """Who makes the request, as far as that is proved."""
        found: Principal = self.request.scope.get("state", {}).get(PRINCIPAL, UNPROVED)
        return found

    def user_called(self, *labels: object) -> str | None:
        """Return the name that is shown of who makes the request: the proved one, or the first usable label."""
        return self.principal.named(claimed_user(*labels))

    @property
    def peer(self) -> str:
        """The address the request came from."""
        if self.request.client is not None:
            return self.request.client.host
        return "unknown"

    def require_session_token(self, session: Session) -> None:
        """Refuse unless the request bears the token of `session`, or is by its user where it has no token."""
        if session.secret_sha256 is None:
            if session.identity not in (None, self.principal.user):
                raise ProblemResponse("not_your_session", user=session.user)
            return
        given = hashlib.sha256(self.headers.get(b"motorlock-session", b"")).hexdigest()
        if not hmac.compare_digest(given, session.secret_sha256):
            raise ProblemResponse("bad_session_token")

    def query(self, name: str) -> Any:
        """Return a query parameter, converted and checked as the route has it."""
        kind, default = self._query[name]
        text = self.request.query_params.get(name)
        if text is None:
            return default
        try:
            return msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError as error:
            raise invalid_request(name, str(error)) from None


def not_allowed(right: Right, equipment_id: str | None, user: str | None) -> ProblemResponse:
    """Return the refusal of somebody who lacks a right: which one it is, and who can give it."""
    where = ""
    if equipment_id is not None:
        where = f" to {equipment_id}"
    data = {"right": right, "equipment_id": equipment_id}
    return ProblemResponse("not_allowed", data, user=user or "Somebody without a name", right=right, where=where)

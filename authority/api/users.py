"""The routes of users: who one is, what one may do, and the tokens of the lab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

from authority.codec import iso
from authority.identity.access import ROLES, Right, RoleName
from authority.identity.principal import Source
from authority.identity.tokens import TokenRecord, UnknownToken

from .bodies import Limit, Name
from .claimed_names import claimed_user
from .problems import ProblemResponse
from .request_body import invalid_request
from .request_context import Query, RequestContext
from .routing import Route

_Pattern = Annotated[str, Meta(min_length=1, max_length=128)]
_LONGEST_S = 3650 * 86400.0


class WhoAmI(Struct):
    """Who makes the request: `user` is null where nothing proves it, `rights` are those to each piece of equipment."""

    user: str | None
    user_verified: bool
    source: Source | None
    groups: list[str]
    rights: dict[str, list[Right]]
    text: str


class TokenBody(Struct, forbid_unknown_fields=True):
    """A token for a user: what it allows, by a role or right by right, and to which equipment (patterns)."""

    user: Name
    role: RoleName | UnsetType = UNSET
    rights: list[Right] | UnsetType = UNSET
    equipment: Annotated[list[_Pattern], Meta(min_length=1, max_length=100)] = field(default_factory=lambda: ["*"])
    expires_seconds: Annotated[float, Meta(gt=0, le=_LONGEST_S)] | None = None


class TokenView(Struct, kw_only=True):
    """A token, without what it is."""

    token_id: str
    user: str
    role: str | None
    rights: list[Right]
    equipment: list[str]
    created_at: str
    expires_at: str | None


class NewTokenView(TokenView, kw_only=True):
    """A token as its creator gets it, this once."""

    token: str


class TokensAnswer(Struct):
    """All tokens that are not revoked."""

    tokens: list[TokenView]


class RevokedAnswer(Struct):
    """A token is worth nothing any more."""

    success: bool
    token_id: str


class RefusedView(Struct):
    """One refusal: when, what was refused to whom, and from where."""

    at: str
    code: str
    user: str
    peer: str
    method: str
    path: str


class RefusedAnswer(Struct):
    """The newest refusals, the oldest of them first; those before the authority's start are in its log alone."""

    refused: list[RefusedView]


def refused(context: RequestContext) -> RefusedAnswer:
    """Show the newest refusals that tell of somebody who does not belong, or lacks a right."""
    limit = context.query("limit")
    found = context.app.users.refused.newest(limit)
    return RefusedAnswer([RefusedView(**{**structs.asdict(one), "at": iso(one.at)}) for one in found])


def whoami(context: RequestContext) -> WhoAmI:
    """Tell who makes the request, and what they may do."""
    principal = context.principal
    rights = {}
    for equipment in context.visible_equipment():
        rights[str(equipment.id)] = [right for right in Right if context.may(right, equipment.id)]
    return WhoAmI(
        user=principal.user,
        user_verified=principal.user is not None,
        source=principal.source,
        groups=sorted(principal.groups),
        rights=rights,
        text=f"{_WHO[principal.source].format(user=principal.user)}: {_rights_text(rights)}.",
    )


_WHO = {
    None: "Nothing proves who you are",
    "os": "You are {user}, as the operating system says",
    "token": "You are {user}, as your token says",
    "jupyterhub": "You are {user}, as the Hub says",
}


def _rights_text(rights: Mapping[str, list[Right]]) -> str:
    """Return "operator of stage_x and stage_y; observer of laser": a role where the rights are those of one."""
    names_of: dict[str, list[str]] = {}
    for name, given in rights.items():
        may = next((role for role, bundle in ROLES.items() if bundle == set(given)), f"rights {', '.join(given)}")
        names_of.setdefault(may, []).append(name)
    return "; ".join(f"{may} of {', '.join(names)}" for may, names in names_of.items()) or "nothing here is for you"


async def create_token(context: RequestContext, body: TokenBody) -> NewTokenView:
    """Make a token."""
    if (body.role is UNSET) == (body.rights is UNSET):
        raise invalid_request("role", "name one, or `rights` in its place")
    role = ""
    rights = frozenset[Right]()
    if isinstance(body.role, str):
        role = body.role
        rights = ROLES[role]
    elif isinstance(body.rights, list):
        rights = frozenset(body.rights)
    user = claimed_user(body.user)
    if user is None:
        raise invalid_request("user", "the authority calls itself so, or nobody")
    token, record = context.app.users.tokens.create(user, role, rights, tuple(body.equipment), body.expires_seconds)
    await _keep_tokens(context)
    return NewTokenView(token=token, **structs.asdict(_view(record)))


def list_tokens(context: RequestContext) -> TokensAnswer:
    """List the tokens, the oldest first."""
    return TokensAnswer([_view(record) for record in context.app.users.tokens.all()])


async def revoke_token(context: RequestContext) -> RevokedAnswer:
    """Make a token worth nothing."""
    token_id = context.path["token_id"]
    try:
        context.app.users.tokens.revoke(token_id)
    except UnknownToken:
        raise ProblemResponse("unknown_token", token_id=token_id) from None
    await _keep_tokens(context)
    return RevokedAnswer(True, token_id)


async def _keep_tokens(context: RequestContext) -> None:
    await context.service.keep("tokens", context.app.users.tokens.text)


def _view(record: TokenRecord) -> TokenView:
    expires_at = None
    if record.expires_at is not None:
        expires_at = iso(record.expires_at)
    return TokenView(
        token_id=record.token_id,
        user=record.user,
        role=record.role or None,
        rights=[right for right in Right if right in record.rights],
        equipment=list(record.equipment),
        created_at=iso(record.created_at),
        expires_at=expires_at,
    )


_NEWEST: Query = {"limit": (Limit, 100)}

ROUTES = (
    Route("GET", "/api/whoami", whoami, "Who makes the request, and what they may do", right=None),
    Route(
        "GET", "/api/refused", refused, "What was refused to whom", query=_NEWEST, codes=(403, 422), right=Right.TOKENS
    ),
    Route("GET", "/api/tokens", list_tokens, "The tokens of the lab", codes=(403,), right=Right.TOKENS),
    Route("POST", "/api/tokens", create_token, "Make a token", codes=(403, 422), right=Right.TOKENS),
    Route("DELETE", "/api/tokens/{token_id}", revoke_token, "Revoke a token", codes=(403, 404), right=Right.TOKENS),
)

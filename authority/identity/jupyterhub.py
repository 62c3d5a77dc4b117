"""Asks a JupyterHub whose a token is. It is asked beside the loop, at a login only, and for three seconds at most."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from .principal import Principal

ANSWER_WITHIN_S = 3.0
_ASKED_AT_ONCE = 4
_LONGEST_ANSWER = 256 * 1024
_LONGEST_TOKEN = 1024
_REFUSED = frozenset({401, 403})


class HubUnavailable(Exception):
    """The Hub does not answer, or not as a Hub does."""


class _Owner(msgspec.Struct):
    """What the Hub says of a token: whose it is, and what it allows."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    kind: str
    scopes: Sequence[str]
    groups: Sequence[str] = ()


class JupyterHub:
    """The Hub whose users are let in."""

    def __init__(self, api_url: str, service: str, *, within_s: float = ANSWER_WITHIN_S) -> None:
        """Take tokens for the Hub's `service`; `api_url` is its JUPYTERHUB_API_URL.

        Raises `ValueError` where that is no address.
        """
        self.service = service
        self._api = urlsplit(api_url.rstrip("/"))
        if self._api.scheme not in ("http", "https") or not self._api.hostname or self._api.port == 0:
            raise ValueError(api_url)
        self._within_s = within_s
        # Of its own: a Hub that is slow never keeps the names of this machine's users waiting.
        self._threads = ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="motorlock-hub")

    async def principal(self, token: bytes) -> Principal | None:
        """Return whom a token proves, None where it is no token of the Hub for this service alone.

        Raises `HubUnavailable` where the Hub does not answer in time.
        """
        if len(token) > _LONGEST_TOKEN:
            return None
        asking = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, token)
        try:
            status, body = await asyncio.wait_for(asking, self._within_s)
        except (TimeoutError, OSError, http.client.HTTPException) as error:
            raise HubUnavailable from error
        if status in _REFUSED:
            return None
        try:
            if status != http.client.OK:
                raise HubUnavailable
            owner = msgspec.json.decode(body, type=_Owner)
        except msgspec.DecodeError as error:
            raise HubUnavailable from error
        if owner.kind != "user" or not owner.name.isprintable() or not self._is_for_service_alone(owner):
            return None
        return Principal(owner.name, "jupyterhub", frozenset(owner.groups))

    def _is_for_service_alone(self, owner: _Owner) -> bool:
        """Whether a token opens this service and nothing else: any other could start code as its owner."""
        access = f"access:services!service={self.service}"
        harmless = {f"read:users:{field}!user={owner.name}" for field in ("name", "groups")}
        return set(owner.scopes) - harmless == {access}

    def _ask(self, token: bytes) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            headers = {"Authorization": f"token {token.decode('latin-1')}"}
            connection.request("GET", f"{self._api.path}/user", headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_LONGEST_ANSWER)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host = self._api.hostname or ""
        if self._api.scheme == "https":
            return http.client.HTTPSConnection(host, self._api.port, timeout=self._within_s)
        return http.client.HTTPConnection(host, self._api.port, timeout=self._within_s)

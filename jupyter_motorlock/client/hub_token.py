"""Asks the JupyterHub that started this process for a token that says who its user is, and opens nothing else.

The process has a token of its own, which also starts code as its user: that one is shown to nobody but the Hub.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from urllib.parse import quote

import requests

from jupyter_motorlock.client import address

EXPIRES_S = 60
_USED_S = 45.0
_TIMEOUT_S = (1.25, 2.8)  # to connect, to answer


class NoHubToken(Exception):
    """The Hub gives no token; the text is one sentence that says what to do."""


class HubTokens:
    """The tokens of one process, for one service of its Hub."""

    def __init__(self, api_url: str, user: str, own_token: str, service: str) -> None:
        self._api_url = api_url.rstrip("/")
        self._user = user
        self._own_token = own_token
        self._service = service
        self._newest: tuple[float, str] | None = None

    @property
    def usable(self) -> str | None:
        """The newest token while it is good for a while yet."""
        if self._newest is None or time.monotonic() - self._newest[0] > _USED_S:
            return None
        return self._newest[1]

    def ask(self, service: object) -> str:
        """Return a new token for what calls itself this `service`; raises `NoHubToken`."""
        if service != self._service:
            raise NoHubToken(
                f"This authority is the Hub's service {service}, and this kernel takes it for {self._service}; set "
                f"MOTORLOCK_HUB_SERVICE={service} if you trust it."
            )
        asked_at = time.monotonic()
        token = self._ask()
        self._newest = (asked_at, token)
        return token

    def _ask(self) -> str:
        scope = f"access:services!service={self._service}"
        try:
            with requests.Session() as http:
                http.trust_env = False  # ~/.netrc would replace our token
                http.verify = address.ca_file(None, self._api_url) or True
                response = http.post(
                    f"{self._api_url}/users/{quote(self._user, safe='')}/tokens",
                    json={"expires_in": EXPIRES_S, "scopes": [scope], "note": f"to log in to {self._service}"},
                    headers={"Authorization": f"token {self._own_token}"},
                    timeout=_TIMEOUT_S,
                    allow_redirects=False,
                )
        except requests.RequestException:
            raise NoHubToken(
                f"The Hub at {self._api_url} does not answer, so that nothing proves who you are; try again later."
            ) from None
        if response.status_code == requests.codes.created:
            return str(response.json()["token"])
        raise NoHubToken(
            f"The Hub gives this notebook no token for {self._service} ({response.status_code}), so nothing proves "
            "who you are; ask who looks after the Hub to set it up as in docs/hub.md, then start your server anew."
        )


def hub_tokens(environ: Mapping[str, str] = os.environ) -> HubTokens | None:
    """Return where the tokens of this process come from, None where no Hub has started it."""
    api_url, user, own_token = (environ.get(f"JUPYTERHUB_{name}") for name in ("API_URL", "USER", "API_TOKEN"))
    if not api_url or not user or not own_token:
        return None
    return HubTokens(api_url, user, own_token, environ.get("MOTORLOCK_HUB_SERVICE") or "motorlock")

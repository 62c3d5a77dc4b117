"""HTTP calls to the authority; which path has which fields is for those who call to know.

Every call may be repeated without harm, so a connection that breaks is tried once more; a command bears a key
under which the authority runs it at most once.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlsplit

import requests

from jupyter_motorlock.client import address
from jupyter_motorlock.client.hub_token import NoHubToken, hub_tokens
from jupyter_motorlock.client.unix_socket import UnixSocketAdapter
from jupyter_motorlock.errors import Refused, Unreachable, Untrusted, UsageProblem, error_from_problem

T = TypeVar("T")
Kind: TypeAlias = Literal["no_connection", "broken", "silent"]
Json: TypeAlias = dict[str, Any]
"""A decoded answer; whoever reads it knows its fields from the REST reference."""

CONNECT_S = 1.25  # a name with two addresses is given up after twice this
QUICK_S = 2.8  # the authority answers in milliseconds; people are told within 3 s
COMMAND_WAIT_S = 10.0  # one wait for the end of a command; a cut line shows within this and the margin
COMMAND_MARGIN_S = 3.0
RECONNECT_S = 30.0  # how long a command that was sent is asked for again
CLOCK_OFF_S = 2.0  # a clock that differs by more is plainly another one
STREAM_SILENCE_S = 15.0  # the authority gives a sign of life every 5 s


class AuthorityClock:
    """What time it is at the authority: a kernel's own clock may be minutes off, and data bear the authority's times.

    It goes on from the newest time that the authority has told: in a pushed message, else in the head of an answer.
    """

    def __init__(self) -> None:
        self._told: tuple[datetime, float] | None = None

    def set_from(self, now: str) -> None:
        """The authority has just said that it is `now`, an ISO time."""
        try:
            self._told = (datetime.fromisoformat(now).astimezone(UTC), time.monotonic())
        except ValueError:
            return

    def set_from_header(self, date: str | None) -> None:
        """An answer came with this `Date`, in whole seconds; it counts where the clock is plainly another one."""
        try:
            there = parsedate_to_datetime(date or "").astimezone(UTC)
        except ValueError:
            return
        if abs((there - self.now()).total_seconds()) > CLOCK_OFF_S:
            self._told = (there, time.monotonic())

    def now(self) -> datetime:
        """Return the authority's time in UTC; it is this machine's where the authority has told no other."""
        if self._told is None:
            return datetime.now(UTC)
        then, at = self._told
        return then + timedelta(seconds=time.monotonic() - at)


class Client:
    """Calls the authority at `url`; safe to use from any thread and after a fork.

    Every method raises `Refused` (or the class of it that fits) when a rule says no, and `Unreachable` within
    3 s when nobody answers. `session_token` is the secret of the session the calls act for. `quick_s` is how long a
    call waits for its answer, `wait_s` how long the authority is let wait for the end of a command before it is asked
    again, and `silence_s` after what silence a stream counts as broken.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, ca_file: str | None = None) -> None:
        there = address.address(url)
        self.url = there.url
        self._socket_path = address.socket_path(there.url)
        self._how_to_correct = there.how_to_correct
        self.session_token: str | None = None
        self.token = address.token(token)
        self._hub_tokens = None if self.token else hub_tokens()
        self.ca_file = address.ca_file(ca_file, self.url)
        self.quick_s = QUICK_S
        self.wait_s = COMMAND_WAIT_S
        self.silence_s = STREAM_SILENCE_S
        self.clock = AuthorityClock()
        self._per_thread = threading.local()

    def call(self, method: str, *path: str, body: Json | None = None, params: Mapping[str, str] | None = None) -> Json:
        """Make one call; `path` has the parts after `/api`, as docs/reference/rest.md lists them."""
        return self._answer(dict, method, path, json=body, params=params)

    def equipment_list(self) -> list[Json]:
        """Return what there is and who holds it."""
        return self._answer(list, "GET", ("equipment", "list"))

    def rights(self) -> dict[str, list[str]]:
        """Return what the user may do with each piece of equipment; empty where the authority does not tell."""
        try:
            found: dict[str, list[str]] = self.call("GET", "whoami")["rights"]
        except Refused:  # an older authority, or one that cannot tell who we are
            return {}
        return found

    def command(self, equipment_id: str, body: Json, *, key: str, within_s: float = math.inf) -> Json:
        """Run a command and return its end, or what is known of it `within_s` seconds later.

        Asks again under the same `key` while it runs and when the connection breaks, so that a lost answer never
        means a second move. A command that could not be sent raises `Unreachable` at once; one that may have been
        sent is asked for during `RECONNECT_S` more.
        """
        return self._end_of("POST", equipment_id, key, within_s, lambda wait: {"json": body | {"wait_seconds": wait}})

    def past_command(self, equipment_id: str, session_id: str, *, key: str, within_s: float = math.inf) -> Json:
        """Return the end of a command that was sent, or what is known of it `within_s` seconds later; runs nothing."""
        who = {"session_id": session_id}
        asked = partial(self._end_of, "GET", equipment_id, key, within_s)
        return asked(lambda wait: {"params": who | {"wait_seconds": str(wait)}})

    def _end_of(
        self, method: str, equipment_id: str, key: str, within_s: float, asked: Callable[[float], dict[str, Any]]
    ) -> Json:
        path = ("equipment", equipment_id, "command")
        until = time.monotonic() + within_s
        give_up: float | None = None
        while True:
            wait_s = max(0.0, min(self.wait_s, until - time.monotonic()))
            try:
                response = self._send(method, path, key=key, patience_s=wait_s + COMMAND_MARGIN_S, **asked(wait_s))
            except Unreachable as lost:
                if give_up is None and lost.kind == "no_connection":
                    raise
                give_up = give_up or time.monotonic() + RECONNECT_S
                if time.monotonic() > give_up:
                    unknown = ", and whether the command ended is not known"
                    raise self._unreachable("silent", unknown) from lost
                time.sleep(0.2)
                continue
            answer = self._decoded(dict, response)
            if response.status_code != 202 or time.monotonic() >= until:
                return answer
            give_up = time.monotonic() + RECONNECT_S

    def open_stream(self, params: Mapping[str, str]) -> requests.Response:
        """Open the stream of server-sent events; reading it raises when nothing comes for `silence_s`."""
        response = self._send("GET", ("events",), params=params, patience_s=self.silence_s, stream=True)
        if response.status_code != 200:
            self._decoded(dict, response)  # raises what the refusal says
            raise self._stranger()
        return response

    def close(self) -> None:
        """Close this thread's connections; a later call opens new ones."""
        self._http().close()

    # How a call is made

    def _answer(self, kind: type[T], method: str, path: Sequence[str], **asked: Any) -> T:
        try:
            response = self._send(method, path, **asked)
        except Unreachable as lost:
            if lost.kind != "broken":
                raise
            response = self._send(method, path, **asked)  # the kept connection was stale
        return self._decoded(kind, response)

    def _send(
        self, method: str, path: Sequence[str], *, key: str | None = None, patience_s: float | None = None, **asked: Any
    ) -> requests.Response:
        """Send what was `asked`, in the words of `requests`, again with a token of the Hub where one is asked for.

        An answer that does not come within `patience_s`, else within `quick_s`, is none.
        """
        patience_s = patience_s or self.quick_s
        token = self.token
        if self._hub_tokens is not None and self.session_token is None:
            token = self._hub_tokens.usable

        def send(token: str | None) -> requests.Response:
            return self._send_once(method, path, token, key=key, patience_s=patience_s, **asked)

        response = send(token)
        if response.status_code == requests.codes.unauthorized and self._hub_tokens is not None:
            token = self._new_hub_token(response)
            if token is not None:
                response = send(token)
        return response

    def _new_hub_token(self, response: requests.Response) -> str | None:
        """Return a token of the Hub where a refusal asks for one, and None where its own sentence says enough."""
        try:
            problem = response.json()
        except ValueError:
            return None
        if self._hub_tokens is None or not isinstance(problem, dict) or "hub_service" not in problem:
            return None
        try:
            return self._hub_tokens.ask(problem["hub_service"])
        except NoHubToken as error:
            if problem["code"] == "bad_session_token":  # the session has ended
                return None
            raise error_from_problem({**problem, "detail": str(error)}, response.status_code) from None

    def _send_once(
        self,
        method: str,
        path: Sequence[str],
        token: str | None,
        *,
        key: str | None,
        patience_s: float,
        **asked: Any,
    ) -> requests.Response:
        headers = {
            "Authorization": f"Bearer {token}" if token else None,
            "Motorlock-Session": self.session_token,
            "Idempotency-Key": key,
        }
        try:
            response = self._http().request(
                method,
                "/".join([f"{self._base}/api", *(quote(part, safe="") for part in path)]),
                headers=headers,  # requests leaves out what is None
                timeout=(CONNECT_S, patience_s),
                allow_redirects=False,  # a redirect would carry the secrets elsewhere
                **asked,
            )
        except requests.exceptions.SSLError as error:
            raise self._untrusted(error) from None
        except requests.RequestException as error:
            raise self._unreachable(_connection_stage(error), _unknown_host(error, self.url)) from None
        self.clock.set_from_header(response.headers.get("Date"))
        return response

    @property
    def _base(self) -> str:
        if self._socket_path is not None:
            return "http://localhost"
        return self.url

    def _unreachable(self, kind: Kind, outcome: str = "") -> Unreachable:
        return Unreachable(self.url, kind, outcome=outcome, how_to_correct=self._how_to_correct)

    def _untrusted(self, error: requests.exceptions.SSLError) -> Untrusted:
        """Return what is wrong with an encrypted connection: the certificate, or that it is none."""
        text = str(error)
        if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
            return Untrusted(f"What answers at {self.url} does not speak https; write http:// if it is an authority.")
        why = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or text
        known_by = "the certificates known here"
        if self.ca_file:
            known_by = f"the certificates in {self.ca_file}"
        return Untrusted(
            f"The certificate of {self.url} is not trusted by {known_by} ({why}); set MOTORLOCK_CA_FILE to the file "
            "with the lab's own certificate."
        )

    def _http(self) -> requests.Session:
        """Return this thread's own session: `requests` is not safe across threads, nor across a fork."""
        if getattr(self._per_thread, "pid", None) != os.getpid():
            http = requests.Session()
            http.trust_env = False  # ~/.netrc would replace our token, a proxy take our LAN calls
            http.verify = self.ca_file or True
            if self._socket_path is not None:
                http.mount("http://", UnixSocketAdapter(self._socket_path))
            self._per_thread.http = http
            self._per_thread.pid = os.getpid()
        kept: requests.Session = self._per_thread.http
        return kept

    def _decoded(self, kind: type[T], response: requests.Response) -> T:
        try:
            answer = response.json()
        except ValueError:
            raise self._stranger() from None
        if response.status_code < 300 and isinstance(answer, kind):
            return answer
        if response.status_code >= 300 and isinstance(answer, dict) and "code" in answer:
            raise error_from_problem(answer, response.status_code)
        raise self._stranger()

    def _stranger(self) -> UsageProblem:
        how = self._how_to_correct.replace("its address", "the address that `motorlock serve` printed")
        return UsageProblem(f"What answers at {self.url} is not a motorlock authority; {how}.")


def _unknown_host(error: requests.RequestException, url: str) -> str:
    cause = getattr(next(iter(error.args), None), "reason", None)
    if type(cause).__name__ == "NameResolutionError":
        return f"; the name {urlsplit(url).hostname} is not known here"
    return ""


def _connection_stage(error: requests.RequestException) -> Kind:
    cause = next(iter(error.args), None)
    if isinstance(error, requests.ConnectTimeout) or hasattr(cause, "reason"):  # it never got a connection
        return "no_connection"
    if isinstance(error, requests.Timeout):
        return "silent"
    return "broken"

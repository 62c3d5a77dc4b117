"""What ties one kernel to the authority: its session, the feed, the keeper and the exit hooks.

Made lazily: the authority hears of the kernel at the first login, and keeper and exit hooks start then.
"""

from __future__ import annotations

import os
import threading
from pathlib import PurePath

from jupyter_motorlock.client.feed import Feed
from jupyter_motorlock.client.http import Client, Json
from jupyter_motorlock.client.in_flight import CallsInFlight
from jupyter_motorlock.client.lifecycle import ExitHooks, KeeperProcess, replace_descriptors
from jupyter_motorlock.client.state_mirror import StateMirror
from jupyter_motorlock.errors import MotorlockError, Refused, Unreachable, UsageProblem

DEFAULT_LEASE_S = 60.0


class Link:
    """Creates the session when it is first needed, and again after its end; keeps the mirror true by listening.

    `busy` says whether a cell runs.
    """

    def __init__(self, client: Client, user: str, mirror: StateMirror, in_flight: CallsInFlight) -> None:
        self.busy = False
        self._client = client
        self._user = user
        self._mirror = mirror
        self._in_flight = in_flight
        self._closed = False
        self._pid = os.getpid()
        self._making = threading.RLock()
        self._feed: Feed | None = None
        self._keeper: KeeperProcess | None = None
        self._hooks = ExitHooks(self._say_gone, self._disown)

    @property
    def feed_alive(self) -> bool:
        """Whether news arrives; False before the first login or subscriber."""
        return self._feed is not None and self._feed.alive

    def session(self) -> str:
        """Return the id of the session, which the first call makes; raise `MotorlockError` in a fork."""
        if os.getpid() != self._pid:
            raise MotorlockError(
                "This process is a fork of the one that logged in; call jupyter_motorlock.connect() in it "
                "to get a session of its own."
            )
        with self._making:
            if self._closed:
                raise MotorlockError("This session was closed; log in again, or call jupyter_motorlock.connect().")
            session_id = self._mirror.session_id or self._create()
            self._hooks.install()
            return session_id

    def listen(self) -> None:
        """Start the feed, or connect it anew for the session there is now."""
        with self._making:
            if self._feed is None and not self._closed:
                self._feed = Feed(
                    self._client, self._mirror, on_message=self._on_message, on_ended=self.forget_ended_session
                )
                self._feed.start()
            elif self._feed is not None and self._feed.session_id != self._mirror.session_id:
                self._feed.reconnect()

    def set_busy(self, busy: bool) -> None:
        """Tell the authority, through the keeper, whether a cell runs; makes no request and never waits."""
        self.busy = busy  # a session that begins in the middle of a cell begins busy
        if busy:
            self._in_flight.begin_cell()
        keeper = self._keeper
        if keeper is not None and os.getpid() == self._pid:
            keeper.set_busy(busy)

    def forget_ended_session(self, session_id: str | None, sentence: str) -> None:
        """The authority says that the session `session_id` has ended; where it is still ours, we forget it."""
        with self._making:
            if session_id is not None and session_id == self._mirror.session_id:
                self._forget(sentence)

    def close(self) -> None:
        """End the session for good; what it holds is released. Does not raise when the authority is not there.

        Where the authority does not answer, the keeper goes on trying.
        """
        if os.getpid() != self._pid:
            return
        self._in_flight.close()
        with self._making:
            self._closed = True
            feed = self._feed
            self._feed = None
            gone = None
            if self._mirror.session_id is not None:
                try:
                    self._client.call("DELETE", "locks", "sessions", self._mirror.session_id)
                except Unreachable:
                    gone = "the session was closed while the authority did not answer"
                except Refused:
                    pass  # it has ended already
            self._forget(None, gone=gone)
            self._hooks.remove()
        if feed is not None:
            feed.close()
        self._client.close()

    def _create(self) -> str:
        lease_s = _lease()
        who: Json = {"client_name": _client_name(), "user": self._user, "metadata": {"pid": str(self._pid)}}
        asked = who | {"secret": True, "keeper": True, "lease_seconds": lease_s}
        made = self._client.call("POST", "locks", "sessions", "create", body=asked)
        session_id = str(made["session_id"])
        secret = str(made["session_token"])
        self._client.session_token = secret
        config = {
            "url": self._client.url,
            "session_id": session_id,
            "session_token": secret,
            "token": self._client.token or "",
            "ca_file": self._client.ca_file or "",
            "lease_s": str(lease_s),
        }
        self._keeper = KeeperProcess(config, busy=self.busy)
        self._mirror.start_session(session_id)
        self._keeper.ensure_running()
        self.listen()
        return session_id

    def _forget(self, sentence: str | None, *, gone: str | None = None) -> None:
        """Forget the session; the keeper ends, after saying `gone` where there is something to say."""
        keeper = self._keeper
        self._keeper = None
        self._client.session_token = None
        self._mirror.end_session(sentence)
        if keeper is not None:
            keeper.end(gone)
            keeper.wait(0.0 if gone else 1.0)

    def _on_message(self, event: str, data: Json) -> None:
        """Take in a pushed message; every one, also a sign of life, is an occasion to look after the keeper."""
        keeper = self._keeper
        if keeper is not None:
            keeper.ensure_running()
        if isinstance(now := data.get("now"), str):
            self._client.clock.set_from(now)
        self._mirror.handle_message(event, data)
        if event == "change" and (fact := data["event"])["event"] in ("session_ended", "session_expired"):
            self.forget_ended_session(fact["session_id"], fact.get("text") or fact["event"])

    # Called by the exit hooks, which may take no lock that another thread could hold for long

    def _say_gone(self, reason: str) -> None:
        """Tell the authority that this kernel ends."""
        if self._keeper is not None:
            self._mirror.held_changed = lambda: None  # what ends now, the kernel after a restart is told of
            self._keeper.say_gone(reason)

    def _disown(self) -> None:
        """Be, in a fork, nobody's session."""
        replace_descriptors(part.fd for part in (self._feed, self._keeper) if part is not None)
        self._making = threading.RLock()  # another thread may have held it when the process was forked
        self._feed = self._keeper = None
        self._mirror.forget_in_fork()
        self._in_flight.forget_in_fork()
        self._client.session_token = None


def _client_name() -> str:
    """Return the notebook's name where the front end tells it; a label, not an identity."""
    return PurePath(os.environ.get("JPY_SESSION_NAME", "")).name or "Python"


def _lease() -> float:
    """Return how many seconds of silence make the session suspect (MOTORLOCK_LEASE_SECONDS, default 60)."""
    text = os.environ.get("MOTORLOCK_LEASE_SECONDS", "")
    try:
        if text:
            return float(text)
        return DEFAULT_LEASE_S
    except ValueError:
        raise UsageProblem(f"MOTORLOCK_LEASE_SECONDS must be a number of seconds, not {text!r}.") from None

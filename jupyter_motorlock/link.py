"""What ties one kernel to the authority: its session, the feed, the keeper and the exit hooks.

Made lazily: the authority hears of the kernel at the first login, and keeper and exit hooks start then.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath

from jupyter_motorlock.client import Client, Json
from jupyter_motorlock.errors import MotorlockError, Refused, Unreachable, UsageProblem
from jupyter_motorlock.feed import Feed
from jupyter_motorlock.liveness import ExitHooks, Keeper
from jupyter_motorlock.mirror import Callback, Mirror

DEFAULT_LEASE_S = 60.0


class Link(Mirror):
    """Creates the session when it is first needed, and again after its end; keeps the mirror true by listening."""

    def __init__(self, client: Client, user: str) -> None:
        super().__init__()
        self.client, self.user = client, user
        self._closed = False
        self._pid = os.getpid()
        self._making = threading.RLock()
        self._feed: Feed | None = None
        self._keeper: Keeper | None = None
        self._busy = False
        self._told: Mapping[str, str] | None = None  # what the keeper was told
        self._hooks = ExitHooks(lambda: self._told, self._is_said, self._descriptors, self._disown)

    @property
    def feed_alive(self) -> bool:
        """Whether news arrives; False before the first login or `watch`."""
        return self._feed is not None and self._feed.alive

    def session(self) -> str:
        """Return the id of the session, which the first call makes; raise `MotorlockError` in a fork."""
        if os.getpid() != self._pid:
            raise MotorlockError(
                "This process is a fork of the one that logged in; call jupyter_motorlock.connect() in it "
                "to get a session of its own."
            )
        if self._closed:
            raise MotorlockError(
                "This session was closed; log in again, or call jupyter_motorlock.connect() for a new one."
            )
        with self._making:
            session_id = self.session_id or self._create()
            self._hooks.install()
            return session_id

    def watch(self, callback: Callback) -> Callable[[], None]:
        """Watch as the mirror says; what is to be heard is listened for from now on."""
        unsubscribe = super().watch(callback)
        self.listen()
        return unsubscribe

    def listen(self) -> None:
        """Start the feed, or connect it anew for the session there is now."""
        with self._making:
            if self._feed is None and not self._closed:
                self._feed = Feed(self.client, self)
                self._feed.start()
            elif self._feed is not None and self._feed.session_id != self.session_id:
                self._feed.reconnect()

    def busy(self, busy: bool) -> None:
        """Tell the authority, through the keeper, whether a cell runs; makes no request and never waits."""
        self._busy = busy  # a session that begins in the middle of a cell begins busy
        keeper = self._keeper
        if keeper is not None and os.getpid() == self._pid:
            keeper.busy(busy)

    def is_over(self, sentence: str) -> None:
        """The authority says that the session has ended."""
        with self._making:
            if self.session_id is not None:
                self._forget(sentence)

    def close(self) -> None:
        """End the session for good; what it holds is released. Does not raise when the authority is not there.

        Where the authority does not answer, the keeper goes on trying.
        """
        if os.getpid() != self._pid:
            return
        self._closed = True
        with self._making:
            feed, self._feed, gone = self._feed, None, None
            if self.session_id is not None:
                try:
                    self.client.call("DELETE", "locks", "sessions", self.session_id)
                except Unreachable:
                    gone = "the session was closed while the authority did not answer"
                except Refused:
                    pass  # it has ended already
            self._forget(None, gone=gone)
            self._hooks.remove()
        if feed is not None:
            feed.close()

    def _create(self) -> str:
        lease_s = _lease()
        asked: Json = {"client_name": _client_name(), "user": self.user, "metadata": {"pid": str(self._pid)}}
        ours = {"secret": True, "keeper": True, "lease_seconds": lease_s}
        made = self.client.call("POST", "locks", "sessions", "create", body=asked | ours)
        session_id, secret = str(made["session_id"]), str(made["session_token"])
        self.client.session_token = secret
        self._told = {
            "url": self.client.url,
            "session_id": session_id,
            "session_token": secret,
            "token": self.client.token or "",
            "lease_s": str(lease_s),
        }
        self.begin(session_id)
        self._keeper = Keeper(self._told, busy=self._busy)
        self._keeper.tend()
        self.listen()
        return session_id

    def _forget(self, sentence: str | None, *, gone: str | None = None) -> None:
        """Forget the session; the keeper ends, after saying `gone` where there is something to say."""
        keeper, self._keeper, self._told = self._keeper, None, None
        self.client.session_token = None
        self.end(sentence)
        if keeper is not None:
            keeper.end(gone)
            keeper.wait(0.0 if gone else 1.0)

    # Called by the feed, in its thread

    def session_to_speak_for(self) -> str | None:
        """Return the session whose connection the feed is."""
        return self.session_id

    def heard(self, event: str, data: Json) -> None:
        """Take in a pushed message; every one, also a sign of life, is an occasion to look after the keeper."""
        keeper = self._keeper
        if keeper is not None:
            keeper.tend()
        super().heard(event, data)
        fact = data["event"] if event == "change" else {}
        if fact.get("event") in ("session_ended", "session_expired") and fact["session_id"] == self.session_id:
            self.is_over(f"{fact['event']}: {fact.get('why')}")

    def feed_changed(self) -> None:
        """Tell the watchers that the feed was lost, or is there."""
        self.tell(None, None, None)

    def session_is_over(self, session_id: str, sentence: str) -> None:
        """The feed was refused because its session has ended."""
        if session_id == self.session_id:
            self.is_over(sentence)

    # Called by the exit hooks, which may take no lock that another thread could hold for long

    def _is_said(self) -> None:
        self._told = None
        if self._keeper is not None:
            self._keeper.end()

    def _descriptors(self) -> Iterable[int]:
        feed, keeper = self._feed, self._keeper
        return (feed.fd if feed else -1, keeper.pipe_fd if keeper else -1)

    def _disown(self) -> None:
        self._making = threading.RLock()  # another thread may have held it when the process was forked
        Mirror.__init__(self)
        self._told = self._feed = self._keeper = None
        self.client.session_token = None


def _client_name() -> str:
    """Return the notebook's name where the front end tells it; a label, not an identity."""
    return PurePath(os.environ.get("JPY_SESSION_NAME", "")).name or "Python"


def _lease() -> float:
    """Return how many seconds of silence make the session suspect (MOTORLOCK_LEASE_SECONDS, default 60)."""
    text = os.environ.get("MOTORLOCK_LEASE_SECONDS", "")
    try:
        return float(text) if text else DEFAULT_LEASE_S
    except ValueError:
        raise UsageProblem(f"MOTORLOCK_LEASE_SECONDS must be a number of seconds, not {text!r}.") from None

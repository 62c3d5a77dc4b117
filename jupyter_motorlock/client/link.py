"""What ties one kernel to the authority: its session, the feed, the keeper and the exit hooks.

Made lazily: the authority hears of the kernel at the first login, and keeper and exit hooks start then.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath

from jupyter_motorlock.client.feed import Feed
from jupyter_motorlock.client.http import Client, Json
from jupyter_motorlock.client.in_flight import CallsInFlight
from jupyter_motorlock.client.lifecycle import ExitHooks, KeeperProcess
from jupyter_motorlock.client.state_mirror import Callback, StateMirror
from jupyter_motorlock.errors import MotorlockError, Refused, Unreachable, UsageProblem

DEFAULT_LEASE_S = 60.0


class Link(StateMirror):
    """Creates the session when it is first needed, and again after its end; keeps the mirror true by listening.

    `told` is what the keeper was told, None when there is nothing to say at the kernel's end.
    """

    def __init__(self, client: Client, user: str) -> None:
        super().__init__()
        self.client = client
        self.user = user
        self._closed = False
        self._pid = os.getpid()
        self._making = threading.RLock()
        self._feed: Feed | None = None
        self._keeper: KeeperProcess | None = None
        self._busy = False
        self.in_flight = CallsInFlight()
        self.keeper_config: Mapping[str, str] | None = None
        self._hooks = ExitHooks(self)

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
        with self._making:
            if self._closed:
                raise MotorlockError("This session was closed; log in again, or call jupyter_motorlock.connect().")
            session_id = self.session_id or self._create()
            self._hooks.install()
            return session_id

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Watch as the mirror says; what is to be heard is listened for from now on."""
        unsubscribe = super().subscribe(callback)
        self.listen()
        return unsubscribe

    def listen(self) -> None:
        """Start the feed, or connect it anew for the session there is now."""
        with self._making:
            if self._feed is None and not self._closed:
                self._feed = Feed(self)
                self._feed.start()
            elif self._feed is not None and self._feed.session_id != self.session_id:
                self._feed.reconnect()

    def set_busy(self, busy: bool) -> None:
        """Tell the authority, through the keeper, whether a cell runs; makes no request and never waits."""
        self._busy = busy  # a session that begins in the middle of a cell begins busy
        if busy:
            self.in_flight.begin_cell()
        keeper = self._keeper
        if keeper is not None and os.getpid() == self._pid:
            keeper.set_busy(busy)

    @property
    def is_busy(self) -> bool:
        """Whether a cell runs."""
        return self._busy

    def forget_ended_session(self, session_id: str | None, sentence: str) -> None:
        """The authority says that the session `session_id` has ended; where it is still ours, we forget it."""
        with self._making:
            if session_id is not None and session_id == self.session_id:
                self._forget(sentence)

    def close(self) -> None:
        """End the session for good; what it holds is released. Does not raise when the authority is not there.

        Where the authority does not answer, the keeper goes on trying.
        """
        if os.getpid() != self._pid:
            return
        self.in_flight.close()
        with self._making:
            self._closed = True
            feed = self._feed
            self._feed = None
            gone = None
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
        self.client.close()

    def _create(self) -> str:
        lease_s = _lease()
        who: Json = {"client_name": _client_name(), "user": self.user, "metadata": {"pid": str(self._pid)}}
        asked = who | {"secret": True, "keeper": True, "lease_seconds": lease_s}
        made = self.client.call("POST", "locks", "sessions", "create", body=asked)
        session_id = str(made["session_id"])
        secret = str(made["session_token"])
        self.client.session_token = secret
        self.keeper_config = {
            "url": self.client.url,
            "session_id": session_id,
            "session_token": secret,
            "token": self.client.token or "",
            "ca_file": self.client.ca_file or "",
            "lease_s": str(lease_s),
        }
        self.start_session(session_id)
        self._keeper = KeeperProcess(self.keeper_config, busy=self._busy)
        self._keeper.ensure_running()
        self.listen()
        return session_id

    def _forget(self, sentence: str | None, *, gone: str | None = None) -> None:
        """Forget the session; the keeper ends, after saying `gone` where there is something to say."""
        keeper = self._keeper
        self._keeper = None
        self.keeper_config = None
        self.client.session_token = None
        self.end_session(sentence)
        if keeper is not None:
            keeper.end(gone)
            keeper.wait(0.0 if gone else 1.0)

    def handle_message(self, event: str, data: Json) -> None:
        """Take in a pushed message; every one, also a sign of life, is an occasion to look after the keeper."""
        keeper = self._keeper
        if keeper is not None:
            keeper.ensure_running()
        if isinstance(now := data.get("now"), str):
            self.client.clock.set_from(now)
        super().handle_message(event, data)
        if event == "change":
            fact = data["event"]
        else:
            fact = {}
        if fact.get("event") in ("session_ended", "session_expired"):
            self.forget_ended_session(fact["session_id"], f"{fact['event']}: {fact.get('why')}")

    # Called by the exit hooks, which may take no lock that another thread could hold for long

    def mark_end_announced(self) -> None:
        """The authority knows that this kernel ends."""
        self.keeper_config = None
        if self._keeper is not None:
            self._keeper.end()

    def descriptors(self) -> Iterable[int]:
        """Return the connections a fork must not hold open."""
        feed = self._feed
        keeper = self._keeper
        return (feed.fd if feed else -1, keeper.pipe_fd if keeper else -1)

    def disown(self) -> None:
        """Be, in a fork, nobody's session."""
        self._making = threading.RLock()  # another thread may have held it when the process was forked
        StateMirror.__init__(self)
        self.keeper_config = self._feed = self._keeper = None
        self.in_flight = CallsInFlight()
        self.client.session_token = None


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

"""One authority from start to end: wires store, workers, service and routes, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Sequence
from functools import partial

from .api.app import make_app
from .api.http_server import http_server
from .api.server_certificate import ServerCertificate
from .api.session_ids import SessionIds
from .clock import SystemClock
from .committer import StoreFailed
from .exclusive_files import AlreadyInUse, Held, lock_device, lock_file
from .identity.users import Users
from .listening import listen_on_path, listen_on_port, url_of
from .ports import Batch, StoredStateUnreadable
from .service import Service
from .settings import Misconfigured, Settings
from .store import DATABASE
from .store.sqlite import SqliteStore
from .worker import Worker

log = logging.getLogger("motorlock")
WriteEvents = Callable[[Sequence[bytes]], None]
EXIT_STORE_FAILED = 70
# Another program has the database, or the disk is full or in trouble: a later start may succeed.
_MAY_RESOLVE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_PRIMARY_CODE = 0xFF


def serve(settings: Settings, announce: Callable[[str], None], *, write_events: WriteEvents) -> int:
    """Serve until SIGTERM or SIGINT; `announce` gets the address once it answers. Returns the exit status.

    `write_events` gets the lock events for the log, each one as JSON, in the store's thread.
    """
    with contextlib.ExitStack() as held:
        try:
            for handle in _lock_everything(settings):
                held.callback(handle.close)
            store = SqliteStore(settings.data / DATABASE)
            certificate = _certificate(settings)
            listening = _listen(settings, held)
        except (AlreadyInUse, sqlite3.Error, OSError, UnicodeError, LookupError) as error:
            if isinstance(error, sqlite3.Error) and _may_pass(error):
                log.critical(_bind_failure_sentence(settings, error))
                return EXIT_STORE_FAILED
            raise Misconfigured(_bind_failure_sentence(settings, error)) from None
        held.callback(store.close)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            try:
                return runner.run(_serve(settings, store, listening, certificate, announce, write_events))
            except StoredStateUnreadable as error:
                raise Misconfigured(_bind_failure_sentence(settings, error)) from None


def _may_pass(error: sqlite3.Error) -> bool:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE in _MAY_RESOLVE


def _lock_everything(settings: Settings) -> list[Held]:
    """Make sure that no other authority of this machine has the same data or the same device."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = [lock_file(settings.data / "authority.lock", f"The data directory {settings.data}")]
    return held + [lock_device(address, a.id) for a in settings.equipment if (address := a.driver.address) is not None]


def _certificate(settings: Settings) -> ServerCertificate | None:
    if settings.certificate is None:
        return None
    if sys.platform == "win32":
        raise Misconfigured("https is not served on Windows yet; leave certfile and keyfile out.")
    try:
        return ServerCertificate(*settings.certificate)
    except OSError as error:
        named = " or ".join(map(str, settings.certificate))
        raise Misconfigured(f"The certificate {named} cannot be used: {error.strerror or error}.") from None


def _listen(settings: Settings, held: contextlib.ExitStack) -> socket.socket:
    if settings.socket is None:
        return held.enter_context(listen_on_port(settings.host, settings.port))
    path = settings.socket
    return held.enter_context(listen_on_path(path, mode=settings.socket_mode, group=settings.socket_group))


def _bind_failure_sentence(settings: Settings, error: Exception) -> str:
    if isinstance(error, AlreadyInUse):
        return str(error)
    if isinstance(error, StoredStateUnreadable):
        return f"The data in {settings.data} cannot be used: {error}; restore a backup."
    if isinstance(error, sqlite3.Error):
        return f"The data in {settings.data} cannot be used: {error}."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}."
    if isinstance(error, OSError):
        reason = error.strerror
    else:
        reason = str(error)
    if settings.socket is not None:
        return f"Cannot listen on {settings.socket}: {reason}; choose another with --socket."
    return f"Cannot listen on {settings.host} port {settings.port}: {reason}; choose another with --port."


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(
    settings: Settings,
    store: SqliteStore,
    listening: socket.socket,
    certificate: ServerCertificate | None,
    announce: Callable[[str], None],
    write_events: WriteEvents,
) -> int:
    ended = asyncio.Event()
    failed = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    _log_what_is_unusual(settings)
    service = _service(settings, store, write_events, failed)
    ids = SessionIds(store.meta("session_key", secrets.token_hex(32)))
    users = Users(
        settings.sources,
        shared_token=settings.token,
        grants=settings.grants,
        kept_tokens=store.meta("tokens", "[]"),
        hub=settings.hub,
    )
    app = make_app(
        service, ids, hosts=settings.hosts, users=users, options=settings.options, root_path=settings.root_path
    )
    server = http_server(
        app,
        connections_in_all=settings.max_connections,
        connections_per_address=settings.max_connections_per_address,
        equipment_count=len(settings.equipment),
        certificate=certificate,
    )
    service.start()
    with contextlib.suppress(StoreFailed):
        # What the recovery decided is on disk before the routes open, so that nobody asks for an outcome in between.
        await service.wait_until_committed()
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    waiting = asyncio.create_task(ended.wait())
    ending = asyncio.create_task(_end_after_failure(service, failed, ended))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    announce(url_of(listening, is_encrypted=certificate is not None))
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await service.close()
        server.should_exit = True
        await serving
        waiting.cancel()
        ending.cancel()
    if service.failure is None:
        return 0
    return EXIT_STORE_FAILED


def _log_what_is_unusual(settings: Settings) -> None:
    if settings.dotenv is not None:
        log.info("settings were taken from %s, too", settings.dotenv)
    if not settings.options.locks:
        log.warning("equipment locks are switched off: everybody may drive everything, and nothing arbitrates")


def _service(settings: Settings, store: SqliteStore, write_events: WriteEvents, failed: asyncio.Event) -> Service:
    """Return the service over a worker for each piece of equipment; `failed` is set when the store fails."""

    def on_failure(error: BaseException) -> None:
        log.critical("only stop is served from now on, and the authority ends once nothing moves: %r", error)
        failed.set()

    clock = SystemClock(not_before=store.load().wall)
    on_written = None
    if settings.options.log_events and log.isEnabledFor(logging.INFO):
        on_written = partial(_log_lock_events, write_events)
    return Service(
        store,
        clock,
        {one.id: Worker(one.id, one.driver, clock, label=one.label) for one in settings.equipment},
        {one.id: one.policy for one in settings.equipment},
        history_days=settings.history_days,
        on_written=on_written,
        on_failure=on_failure,
    )


async def _end_after_failure(service: Service, failed: asyncio.Event, ended: asyncio.Event) -> None:
    """End the process after its store has failed, so that whoever watches over it starts it anew."""
    await failed.wait()
    await service.rest_after_failure()
    log.critical("the authority ends, because its store has failed")
    ended.set()


def _log_lock_events(write_events: WriteEvents, batch: Batch) -> None:
    """Write what a commit said of locks and sessions; called in the store's thread, once a commit."""
    events = [row.body for row in batch.events if b'"event":"command_' not in row.body]
    if events:
        write_events(events)

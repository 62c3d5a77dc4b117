"""The authority from a terminal: status, events, why, stop, release, clear-fault, whoami, token.

Nothing here needs a lock. What people wrote is shown without the control characters that a terminal would obey.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from jupyter_motorlock.client import targets
from jupyter_motorlock.client.session import KernelSession
from jupyter_motorlock.client.stop_line import stop_everything, stop_typed
from jupyter_motorlock.errors import MotorlockError, UnknownName, UsageProblem
from jupyter_motorlock.text import status as status_text
from jupyter_motorlock.text.rows import event_rows, status_rows
from jupyter_motorlock.text.units import read_span

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

Event: TypeAlias = Mapping[str, Any]
Do: TypeAlias = Callable[[KernelSession, argparse.Namespace], int]

REFUSED = 1
USAGE = 2
MOST_EVENTS = 1000
ROLES = ("observer", "operator", "admin")


def add_to(commands: Commands) -> None:
    """Add the commands to a command line; `run` carries out the one that was parsed."""
    one = _command(commands, "status", _status, "who has what, who waits and what it reads")
    one.add_argument("names", nargs="*", metavar="NAME", help="all there is to say of these (default: a line of each)")
    _json(one)
    one = _command(commands, "events", _events, "what happened")
    one.add_argument("name", nargs="?", metavar="NAME", help="of this equipment (default: of all)")
    one.add_argument("--last", type=_count, default=20, metavar="N", help="the newest N (default 20, at most 1000)")
    one.add_argument("--follow", action="store_true", help="go on with what happens from now on, until Ctrl-C")
    _json(one)
    one = _command(commands, "why", _why, "why equipment stands as it does, and who can change that")
    one.add_argument("name", metavar="NAME")
    one = _command(commands, "stop", _stop, "stop equipment now, whoever has it")
    one.add_argument("names", nargs="*", metavar="NAME")
    one.add_argument("--all", action="store_true", help="all there is, instead of what is named")
    one.add_argument("--reason", metavar="TEXT", help="why; everybody is shown it")
    one = _command(commands, "release", _release, "take equipment from its holder; it is stopped")
    one.add_argument("name", metavar="NAME")
    one.add_argument(
        "--force", action="store_true", required=True, help="say that you mean it: a terminal holds nothing"
    )
    one.add_argument("--reason", required=True, metavar="TEXT", help="why; the holder is shown it, with your name")
    one = _command(commands, "clear-fault", _clear_fault, "say that equipment at fault stands and may be driven again")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--reason", required=True, metavar="TEXT", help="what you found and did")
    one = _command(commands, "whoami", _whoami, "who you are to the authority, and what you may do")
    _json(one)
    _add_token_commands(commands.add_parser("token", help="tokens for single users: create, list, revoke"))


def _add_token_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="token_command", required=True)
    one = _command(commands, "create", _create_token, "make a token for a user; it is shown this once")
    one.add_argument("user", metavar="USER")
    one.add_argument("--role", required=True, choices=ROLES, help="what it allows")
    one.add_argument(
        "--equipment", action="append", metavar="PATTERN", help="which equipment, such as 'stage_*' (default: all)"
    )
    one.add_argument("--expires", type=_span, metavar="TIME", help="for how long it is good, such as 90d or 12h")
    one = _command(commands, "list", _list_tokens, "the tokens that are good, without what they are")
    _json(one)
    one = _command(commands, "revoke", _revoke_token, "make a token worth nothing, at once")
    one.add_argument("token_id", metavar="ID", help="as token list shows it")


def run(arguments: argparse.Namespace) -> int:
    """Carry out what was parsed; returns 0 when it is done, 1 when it was not possible, 2 for a mistake in the line."""
    do: Do = arguments.do
    try:
        return do(KernelSession(arguments.url), arguments)
    except MotorlockError as error:
        print_line(f"motorlock: {error}", sys.stderr)
        if isinstance(error, UsageProblem) and not isinstance(error, UnknownName):
            return USAGE
        return REFUSED


def _command(commands: Commands, name: str, do: Do, what: str) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    one.add_argument("--url", help="address of the authority (default MOTORLOCK_URL, else http://127.0.0.1:8790)")
    one.set_defaults(do=do)
    return one


def _json(one: argparse.ArgumentParser) -> None:
    one.add_argument("--json", action="store_true", help="for programs: one JSON object a line, as REST answers it")


def _span(text: str) -> float:
    span = read_span(text)
    if not span:
        raise argparse.ArgumentTypeError(f"it must be a time such as 90d or 12h, not {text}")
    return span


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MOST_EVENTS):
        raise argparse.ArgumentTypeError(f"it must be a whole number from 1 to {MOST_EVENTS}, not {text}")
    return int(text)


def _status(session: KernelSession, arguments: argparse.Namespace) -> int:
    names = [targets.resolve_name(session, name) for name in arguments.names]
    found = [session.status(name) for name in names or session.equipment_ids()]
    if arguments.json:
        return _as_json(found)
    print_line(repr(status_rows(found, None, whole=bool(arguments.names), now=status_text.local_now())))
    return 0


def _events(session: KernelSession, arguments: argparse.Namespace) -> int:
    news: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    show = _as_json if arguments.json else _show
    if arguments.follow:
        # What happens while the past is asked for is heard already; what is in both is known by its number.
        session.subscribe(lambda name, _status, event: news.put(event) if event or name is None else None)
    if arguments.name:
        arguments.name = targets.resolve_name(session, arguments.name)
    past = _newest(session, arguments.name, arguments.last)
    show(past)
    newest_seq = past[-1]["seq"] if past else 0
    lost = False
    while arguments.follow:
        event = news.get()
        if event is None:
            lost = _say_of_the_line(lost, alive=session.link.feed_alive)
        elif event["seq"] > newest_seq and arguments.name in (None, event["equipment_id"]):
            newest_seq = event["seq"]
            show([event])
    return 0


def _newest(session: KernelSession, name: str | None, last: int) -> list[Event]:
    found: list[Event] = []
    for one in [name] if name else session.equipment_ids():
        found += session.newest_events(one, last)
    return sorted(found, key=lambda event: int(event["seq"]))[-last:]


def _why(session: KernelSession, arguments: argparse.Namespace) -> int:
    name = targets.resolve_name(session, arguments.name)
    print_line(session.client.call("GET", "equipment", name, "why")["text"])
    return 0


def _stop(session: KernelSession, arguments: argparse.Namespace) -> int:
    names = arguments.names
    reason = arguments.reason
    if not names and not arguments.all:
        raise UsageProblem(f"Say what to stop, or --all: {targets.equipment_list_text(session.equipment_list())}.")
    try:
        if arguments.all:
            done = stop_everything(session, reason)
        else:
            done = stop_typed(session, names, how_all="motorlock stop --all", reason=reason)
        print_line(f"{done}.")
    except MotorlockError as failed:
        print_line(f"motorlock: STOP NOT DELIVERED: {failed}", sys.stderr)
        return REFUSED
    return 0


def _release(session: KernelSession, arguments: argparse.Namespace) -> int:
    name = targets.resolve_name(session, arguments.name)
    try:
        reply = session.release(name, force=True, reason=arguments.reason)
        status = session.status(name)
    finally:
        session.close()
    if reply["status"] == "not_locked":
        print_line(f"motorlock: Nothing was taken: {_headline(status)}", sys.stderr)
        return REFUSED
    lost = status["last_lost"] or {}
    print_line(f"{name} was taken from {lost.get('user') or 'its holder'}, who is told that you did it and why.")
    print_line(_headline(status))
    return 0


def _clear_fault(session: KernelSession, arguments: argparse.Namespace) -> int:
    name = targets.resolve_name(session, arguments.name)
    session.clear_fault(name, arguments.reason)
    print_line(f"The fault of {name} is cleared. {_headline(session.status(name))}")
    return 0


def _whoami(session: KernelSession, arguments: argparse.Namespace) -> int:
    found = session.client.call("GET", "whoami")
    if arguments.json:
        return _as_json([found])
    print_line(found["text"])
    return 0


def _create_token(session: KernelSession, arguments: argparse.Namespace) -> int:
    body = {"user": arguments.user, "role": arguments.role, "expires_seconds": arguments.expires}
    if arguments.equipment:
        body["equipment"] = arguments.equipment
    made = session.client.call("POST", "tokens", body=body)
    print_line(made["token"])
    print_line(f"motorlock: {_token_text(made)}. Its user sets it as MOTORLOCK_TOKEN; keep no copy.", sys.stderr)
    return 0


def _list_tokens(session: KernelSession, arguments: argparse.Namespace) -> int:
    tokens = session.client.call("GET", "tokens")["tokens"]
    if arguments.json:
        return _as_json(tokens)
    for token in tokens:
        print_line(_token_text(token))
    return 0


def _revoke_token(session: KernelSession, arguments: argparse.Namespace) -> int:
    revoked = session.client.call("DELETE", "tokens", arguments.token_id)
    print_line(f"The token {revoked['token_id']} is worth nothing any more.")
    return 0


def _token_text(token: Mapping[str, Any]) -> str:
    may = token["role"] or ", ".join(token["rights"])
    until = ""
    if token["expires_at"]:
        until = f", until {status_text.clock_text(token['expires_at'])}"
    return f"{token['token_id']}: {token['user']}, {may} of {', '.join(token['equipment'])}{until}"


def _headline(status: Mapping[str, Any]) -> str:
    return status_text.headline(status, None, now=status_text.local_now())


def _say_of_the_line(lost: bool, *, alive: bool) -> bool:
    """Say that the line is lost, or is back; returns whether it is lost."""
    if lost == alive:
        said = "no word from the authority, which is tried again"
        if alive:
            said = "the authority is back"
        print_line(f"motorlock: {said}.", sys.stderr)
    return not alive


def _show(events: Sequence[Event]) -> int:
    if events:
        print_line(repr(event_rows(events, now=status_text.local_now())))
    return 0


def _as_json(found: Iterable[Mapping[str, Any]]) -> int:
    for one in found:
        print_line(json.dumps(one))
    return 0


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Write lines at once; what is not printable is shown and not sent."""
    plain = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    print(plain, file=stream or sys.stdout, flush=True)

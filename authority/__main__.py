"""The command line: `motorlock serve`, `check`, `backup`, `demo`; the others are a client's."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from authority import __version__
from authority.log_format import FORMATS, LEVELS

EXIT_NOT_POSSIBLE = 1
EXIT_USAGE = 2
_OF_THE_AUTHORITY = {"serve", "check", "demo"}
_HOW = "pip install 'jupyter-motorlock[{extra}]'"


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    if argv is None:
        words = sys.argv[1:]
    else:
        words = argv
    arguments = parser(words[0] if words else None).parse_args(words)
    try:
        match arguments.command:
            case "serve":
                return _serve(arguments)
            case "check":
                return _check(arguments)
            case "backup":
                return _backup(arguments)
            case "demo":
                return _demo(arguments)
            case _:
                from jupyter_motorlock import cli

                return cli.run(arguments)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in {"authority", "jupyter_motorlock"}:
            raise
        extra = "authority"
        if arguments.command == "demo":
            extra = "demo"
        print(
            f"motorlock: {arguments.command} needs {missing.name}, which is not installed: {_HOW.format(extra=extra)}",
            file=sys.stderr,
        )
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read what we print has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the command line; without the commands of a client where `command` is one of the authority's own.

    An authority that serves does without the packages that a client needs.
    """
    parser = argparse.ArgumentParser(prog="motorlock", description="One motor, several notebooks, one holder.")
    parser.add_argument("--version", action="version", version=f"motorlock {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run the authority that owns the equipment")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1: this machine only)")
    serve.add_argument("--port", type=int, help="port to listen on (default 8790; 0 takes any free one)")
    serve.add_argument("--socket", type=Path, metavar="PATH", help="listen on this Unix socket, and on no port")
    serve.add_argument("--root-path", metavar="/PATH", help="answer below this path of a reverse proxy too")
    serve.add_argument("--certfile", type=Path, metavar="PEM", help="speak https with this certificate")
    serve.add_argument("--keyfile", type=Path, metavar="PEM", help="the certificate's key")
    serve.add_argument("--config", type=Path, metavar="lab.toml", help="the lab file (default: a demonstration lab)")
    serve.add_argument("--data", type=Path, metavar="DIR", help="where locks and history are kept")
    serve.add_argument("--no-token", action="store_true", help="insist on letting other machines in without a token")
    serve.add_argument("--open", action="store_true", help="let in whoever reaches it, under any name")
    serve.add_argument(
        "--log-level", choices=LEVELS, default="info", help="leave out of the log what is less than this (default info)"
    )
    serve.add_argument(
        "--log-format", choices=FORMATS, default="text", help="text for people, json for programs (default text)"
    )
    check = commands.add_parser("check", help="tell every mistake in a lab file, or what it describes")
    check.add_argument("config", type=Path, metavar="lab.toml", help="the lab file")
    check.add_argument("--connect", action="store_true", help="also open each device and read it; nothing is moved")
    check.add_argument("--no-token", action="store_true", help="as for serve")
    backup = commands.add_parser("backup", help="copy the data of an authority, also while it serves")
    backup.add_argument("target", type=Path, metavar="DIR", help="a new directory for the copy")
    backup.add_argument("--config", type=Path, metavar="lab.toml", help="the lab file, where it names the data")
    backup.add_argument("--data", type=Path, metavar="DIR", help="where locks and history are kept, as for serve")
    demo = commands.add_parser("demo", help="try it: the authority, JupyterLab, and the notebooks of Ann and Bob")
    demo.add_argument("--headless", action="store_true", help="run the notebooks against each other, tell the story")
    demo.add_argument("--epics", action="store_true", help="drive a simulated EPICS motor record")
    demo.add_argument("--no-browser", action="store_true", help="print the address instead of opening a browser")
    if command not in _OF_THE_AUTHORITY:
        from jupyter_motorlock import cli

        cli.add_to(commands)
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    from .log_format import set_up
    from .serve import serve
    from .settings import Misconfigured, load

    output = set_up(arguments.log_level, arguments.log_format)
    try:
        settings = load(
            host=arguments.host,
            port=arguments.port,
            config=arguments.config,
            data=arguments.data,
            insist=arguments.no_token,
            is_open=arguments.open,
            socket=arguments.socket,
            certfile=arguments.certfile,
            keyfile=arguments.keyfile,
            root_path=arguments.root_path,
        )
        status = serve(
            settings,
            lambda url: print(f"motorlock authority listening on {url}", flush=True),
            write_events=output.write_events,
        )
    except Misconfigured as error:
        return _mistaken(error.mistakes)
    try:
        sys.stderr.flush()
    except OSError:  # a log on a full disk: Python would end with 120 for what it could not write
        os._exit(status)
    return status


def _check(arguments: argparse.Namespace) -> int:
    import asyncio
    import logging

    from .check import connected_lab_report, lab_report
    from .settings import Misconfigured, load

    try:
        settings = load(host=None, port=None, config=arguments.config, data=None, insist=arguments.no_token)
    except Misconfigured as error:
        return _mistaken(error.mistakes)
    if arguments.connect:
        # The report says what cannot be reached; the log would say it a second time.
        logging.getLogger("motorlock").addHandler(logging.NullHandler())
        lines, lost = asyncio.run(connected_lab_report(settings))
    else:
        lines = list(lab_report(settings, {}))
        lost = 0
    print(f"{arguments.config}: ", end="")
    print(*lines, sep="\n", flush=True)
    if lost:
        print(f"motorlock: {lost} of {len(settings.equipment)} cannot be reached.", file=sys.stderr)
    return EXIT_NOT_POSSIBLE if lost else 0


def _backup(arguments: argparse.Namespace) -> int:
    from .backup import BackupFailed, back_up
    from .settings import Misconfigured, load

    try:
        settings = load(host=None, port=None, config=arguments.config, data=arguments.data, insist=True)
        copy = back_up(settings.data, arguments.target)
    except Misconfigured as error:
        return _mistaken(error.mistakes)
    except BackupFailed as error:
        print(f"motorlock: {error}.", file=sys.stderr)
        return EXIT_NOT_POSSIBLE
    print(f"{copy} is a copy of the data in {settings.data}.")
    return 0


def _mistaken(mistakes: Sequence[str]) -> int:
    for mistake in mistakes:
        print(f"motorlock: {mistake}", file=sys.stderr)
    return EXIT_USAGE


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import run

    return run(headless=arguments.headless, epics=arguments.epics, open_browser=not arguments.no_browser)


if __name__ == "__main__":
    sys.exit(main())

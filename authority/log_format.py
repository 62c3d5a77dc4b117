"""How the log looks: one line for each record, as text for a person or as JSON for a program that collects logs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
TEXT, JSON = FORMATS


class TextFormatter(logging.Formatter):
    """Time, logger, level and message in one line; the lines of a traceback follow it, each one indented."""

    def __init__(self) -> None:
        """Begin each line with the local time."""
        super().__init__("%(asctime)s %(name)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging calls it so
        """Return the line, in which what is not printable is escaped: nobody else can begin a line of the log."""
        return _printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging calls it so
        """Return the traceback, whose lines cannot be taken for records."""
        text = super().formatException(ei)  # type: ignore[arg-type] # it is what logging gives
        return "\n".join(f"    {_printable(line)}" for line in text.splitlines())


class JsonFormatter(logging.Formatter):
    """One JSON object in a line: `time` (UTC, ISO 8601), `level`, `logger`, `message`, and an `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = _fields(record.created, record.levelname, record.name, record.getMessage())
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up(level: str, log_format: str) -> None:
    """Write what is logged to the standard error, from `level` on and in `log_format`.

    Packages beside our own are heard from "info" on at most: what they say to find a bug of theirs may show a secret.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == JSON else TextFormatter())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(threshold, logging.INFO), handlers=[handler])
    logging.getLogger("motorlock").setLevel(threshold)


def event_line(event: bytes, written_at: float, log_format: str) -> str:
    """Return the line of a lock event, which is JSON already; `written_at` is in seconds of the wall clock."""
    text = event.decode()
    if log_format == TEXT:
        return text
    fields = _fields(written_at, "INFO", "motorlock", "lock event")
    return json.dumps({**fields, "event": json.loads(text)})


def _fields(created: float, level: str, logger: str, message: str) -> dict[str, object]:
    time = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return {"time": time, "level": level.lower(), "logger": logger, "message": message}


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)

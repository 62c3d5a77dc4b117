"""How the log looks: one line for each record, as text for a person or as JSON for a program that collects logs."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from queue import Full, Queue

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
JSON = "json"
LINES_WAITING = 10_000
CLOSE_S = 1.0
STANDARD_ERROR = 2


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


class LogOutput(logging.Handler):
    """Writes to the standard error in a thread of its own: a log that nobody reads keeps nobody waiting.

    What comes while `LINES_WAITING` entries wait to be written is left out.
    """

    def __init__(self, log_format: str) -> None:
        """Write records and lock events in `log_format`."""
        super().__init__()
        self._format = log_format
        self._waiting: Queue[str] = Queue(LINES_WAITING)
        self.setFormatter(JsonFormatter() if log_format == JSON else TextFormatter())
        threading.Thread(target=self._write_all, name="motorlock-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written."""
        try:
            self._put(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)

    def write_events(self, events: Sequence[bytes]) -> None:
        """Have lock events written, which are JSON already, one a line."""
        lines = [event.decode() for event in events]
        if self._format == JSON:
            head = json.dumps(_fields(time.time(), "INFO", "motorlock", "lock event")).removesuffix("}")
            lines = [f'{head}, "event": {line}}}' for line in lines]
        self._put("\n".join(lines))

    def close(self) -> None:
        """Wait for what is not written yet, for `CLOSE_S` at most; called as the process ends."""
        with self._waiting.all_tasks_done:
            self._waiting.all_tasks_done.wait_for(lambda: not self._waiting.unfinished_tasks, CLOSE_S)
        super().close()

    def _put(self, lines: str) -> None:
        with contextlib.suppress(Full):
            self._waiting.put_nowait(lines)

    def _write_all(self) -> None:
        while True:
            left = memoryview(f"{self._waiting.get()}\n".encode(errors="backslashreplace"))
            with contextlib.suppress(OSError):  # nobody reads the log any more, or its disk is full
                while left:
                    # Not by way of sys.stderr, whose lock a full pipe would keep from everybody.
                    left = left[os.write(STANDARD_ERROR, left) :]
            self._waiting.task_done()


def set_up(level: str, log_format: str) -> LogOutput:
    """Write what is logged to the standard error, from `level` on and in `log_format`; return what writes it.

    Packages beside our own are heard from "info" on at most: what they say to find a bug of theirs may show a secret.
    """
    output = LogOutput(log_format)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(threshold, logging.INFO), handlers=[output])
    logging.getLogger("motorlock").setLevel(threshold)
    return output


def _fields(created: float, level: str, logger: str, message: str) -> dict[str, object]:
    told_at = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return {"time": told_at, "level": level.lower(), "logger": logger, "message": message}


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)

"""A stage that speaks SCPI over TCP, and over a pseudo-terminal: `python examples/scpi_stage.py`.

Commands: `MOVE 12.5`, `MOVE:REL -1`, `HOME`, `VEL 5`, `STOP`, `SYST:FENCE 7` (the fence of what follows on this
connection). Queries: `POS?`, `TARG?`, `MOV?`, `VEL?`, `TEMP?`, `LIM:LOW?`, `LIM:HIGH?`, `*IDN?`, `SYST:ERR?`. In
millimetres and seconds; a line may hold several, parted by semicolons, and ends with a line feed.

Faults, by any connection or with `--fault`: `SIM:HANG`, `SIM:TWICE`, `SIM:GARBLE` (an answer never comes, comes twice,
is none), `SIM:LATE 2` (comes 2 s later) and `SIM:HOLD` (comes at `SIM:OK`) hold for all answers to come, or with a
query such as `SIM:HANG MOV?` for those to it; `SIM?` names them, and how many are held, in any case; `SIM:OK` ends
them. `SIM:DROP` closes all connections, `SIM:REFUSE 3` also takes none for 3 s. What is ordered is done also while no
answer comes.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import time
import tty
from collections import deque
from collections.abc import Callable
from functools import partial

from simulated_stage import Refused, Stage

_LINE_LIMIT = 4096
_LOOK_AGAIN_S = 0.02


class Undefined(Exception):
    """There is no such command or query; the text is its header."""


class Dialogue:
    """What one connection says and hears; `answer` sends a line back."""

    def __init__(self, device: Device, answer: Callable[[str], None]) -> None:
        self._device = device
        self._answer = answer
        self._fence = 0
        self._pending = b""

    def hear(self, data: bytes) -> None:
        """Take what came in and do what is complete."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        self._pending = self._pending[-_LINE_LIMIT:]
        for line in lines:
            for part in line.decode("ascii", "replace").strip().split(";"):
                if part.strip():
                    self._do(part.strip())

    def _do(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        word = word.upper()
        try:
            if word == "SYST:FENCE":
                self._fence = int(rest)
            elif word.startswith("SIM:"):
                self._device.fault(word.removeprefix("SIM:"), rest.strip())
            elif word.endswith("?"):
                self._device.say(word, self._device.answer(word), self._answer)
            else:
                self._device.order(word, rest, self._fence)
        except Refused as refused:
            self._device.errors.append(f'-200,"Execution error;{refused}"')
        except Undefined as unknown:
            self._device.errors.append(f'-113,"Undefined header;{unknown}"')
        except ValueError:
            self._device.errors.append(f'-104,"Data type error;{text}"')


class Device:
    """The stage, its queue of errors, and what is wrong with its answers."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.errors: deque[str] = deque(maxlen=20)
        self._faults: list[tuple[str, str, float]] = []  # which, for which query ("" is all), seconds
        self._held: list[Callable[[], None]] = []
        self.drop: Callable[[float], None] = lambda _: None

    def order(self, word: str, rest: str, fence: int) -> None:
        """Carry out a command; raises `Refused`, `Undefined`, and `ValueError` for what is no number."""
        stage = self.stage
        match word:
            case "STOP":
                stage.stop()
            case "MOVE":
                stage.move("move", _number(rest), fence)
            case "MOVE:REL":
                stage.move("move", stage.position + _number(rest), fence)
            case "HOME":
                stage.move("home", stage.home, fence)
            case "VEL":
                stage.set_velocity(_number(rest), fence)
            case _:
                raise Undefined(word)

    def answer(self, word: str) -> str:
        """Return the answer to a query; raises `Undefined`."""
        stage = self.stage
        match word:
            case "*IDN?":
                return "motorlock,SCPI stage,0,1"
            case "POS?":
                return f"{stage.position:.6f}"
            case "TARG?":
                return f"{stage.target:.6f}"
            case "MOV?":
                return str(int(stage.moving))
            case "VEL?":
                return f"{stage.velocity:.6f}"
            case "LIM:LOW?":
                return f"{stage.low:.6f}"
            case "LIM:HIGH?":
                return f"{stage.high:.6f}"
            case "TEMP?":
                return "293.150"
            case "SIM?":
                held = ""
                if self._held:
                    held = f" {len(self._held)}"
                return (" ".join(which for which, _, _ in self._faults) or "OK") + held
            case "SYST:ERR?":
                if self.errors:
                    return self.errors.popleft()
                return '0,"No error"'
        raise Undefined(word)

    def fault(self, word: str, rest: str) -> None:
        """Be faulty from now on, or no more; raises `Undefined`, and `ValueError`."""
        match word:
            case "OK":
                self._faults.clear()
                held = self._held
                self._held = []
                for answer in held:
                    answer()
            case "DROP":
                self.drop(0.0)
            case "REFUSE":
                self.drop(_number(rest))
            case "LATE":
                seconds, _, query = rest.partition(" ")
                self._faults.append((word, query.strip().upper(), _number(seconds)))
            case "HANG" | "HOLD" | "TWICE" | "GARBLE":
                self._faults.append((word, rest.upper(), 0.0))
            case _:
                raise Undefined(f"SIM:{word}")

    def say(self, query: str, text: str, send: Callable[[str], None]) -> None:
        """Send an answer, as faulty as ordered."""
        present = {which: seconds for which, of, seconds in self._faults if of in ("", query) and query != "SIM?"}
        if "HANG" in present:
            return
        if "GARBLE" in present:
            text = "#?!" + text[::-1] + "x"
        if "TWICE" in present:
            text = f"{text}\n{text}"
        if "HOLD" in present:
            self._held.append(partial(send, text))
        elif "LATE" in present:
            asyncio.get_running_loop().call_later(present["LATE"], send, text)
        else:
            send(text)


class Server:
    """Serves the device over TCP on `host` and `port`; 0 is any free one."""

    def __init__(self, device: Device, host: str, port: int) -> None:
        self._device = device
        self._host = host
        self.port = port
        self._open: set[asyncio.StreamWriter] = set()
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        device.drop = self._drop

    async def listen(self) -> None:
        """Take connections from now on; raises `OSError` where the port is taken."""
        self._listening = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(line: str) -> None:
            if not writer.is_closing():
                writer.write(line.encode("ascii") + b"\n")

        self._open.add(writer)
        dialogue = Dialogue(self._device, send)
        try:
            while data := await reader.read(_LINE_LIMIT):
                dialogue.hear(data)
        except ConnectionError:
            return
        finally:
            self._open.discard(writer)
            writer.close()

    def _drop(self, seconds: float) -> None:
        for writer in self._open:
            writer.transport.abort()
        if seconds and self._listening is not None:
            self._listening.close()
            task = asyncio.get_running_loop().create_task(self._listen_again(seconds))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _listen_again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.listen()


def open_terminal(device: Device) -> str:
    """Serve the device on a new pseudo-terminal, too, and return its name; call it on the loop."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    tty.setraw(slave)
    os.close(slave)  # as with a real port, nobody has it open now
    dialogue = Dialogue(device, lambda line: _write(master, line))
    _listen(master, dialogue)
    return name


def _listen(terminal: int, dialogue: Dialogue) -> None:
    asyncio.get_running_loop().add_reader(terminal, _hear, terminal, dialogue)


def _hear(terminal: int, dialogue: Dialogue) -> None:
    try:
        dialogue.hear(os.read(terminal, _LINE_LIMIT))
    except OSError:  # nobody has it open: the system says so again and again
        loop = asyncio.get_running_loop()
        loop.remove_reader(terminal)
        loop.call_later(_LOOK_AGAIN_S, _listen, terminal, dialogue)


def _write(terminal: int, lines: str) -> None:
    os.write(terminal, lines.replace("\n", "\r\n").encode("ascii") + b"\r\n")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


async def _note_arrivals(stage: Stage) -> None:
    """Let the record say when a move arrived, also where nobody asks."""
    while True:
        await asyncio.sleep(0.02)
        stage.position  # noqa: B018 - asking is what notes it


async def _run(given: argparse.Namespace) -> None:
    stage = Stage(given.low, given.high, given.velocity, given.start, given.record, time.monotonic)
    device = Device(stage)
    server = Server(device, given.host, given.port)
    await server.listen()
    dialogue = Dialogue(device, lambda _: None)
    for fault in given.fault:
        dialogue.hear(f"{fault}\n".encode())
    terminal = ""
    if given.pty:
        terminal = f" and {open_terminal(device)}"
    print(f"SCPI stage listening on {given.host}:{server.port}{terminal}", flush=True)  # noqa: T201
    await _note_arrivals(stage)


def main() -> int:
    """Serve a stage until Ctrl-C; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python examples/scpi_stage.py", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5025, help="TCP port, 0 takes any free one (default 5025)")
    parser.add_argument("--pty", action="store_true", help="serve a pseudo-terminal, too, and name it")
    parser.add_argument("--low", type=float, default=0.0, help="mm (default 0)")
    parser.add_argument("--high", type=float, default=100.0, help="mm (default 100)")
    parser.add_argument("--velocity", type=float, default=10.0, help="mm/s (default 10)")
    parser.add_argument("--start", type=float, default=0.0, help="mm: where it stands, and its home (default 0)")
    parser.add_argument("--record", metavar="FILE", help="what it was told, one JSON object a line")
    parser.add_argument("--fault", action="append", default=[], help="such as 'SIM:LATE 2'; may be given several times")
    try:
        asyncio.run(_run(parser.parse_args()))
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as wrong:
        print(f"The simulated stage cannot start: {wrong}.", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

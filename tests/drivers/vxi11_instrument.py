"""An instrument that speaks VXI-11 over a real socket, with the lock that VXI-11 has; no more than a driver needs."""

from __future__ import annotations

import socket
import struct
import threading

CREATE_LINK, WRITE, READ, CLEAR, LOCK, UNLOCK, DESTROY_LINK = 10, 11, 12, 15, 18, 19, 23
LOCKED_BY_ANOTHER, NO_LOCK = 11, 12
END = 4


class Vxi11Instrument:
    """Answers `*IDN?`; `told` is what was written to it; `holder` the link that has the lock.

    A read (`reading` is set then) waits until it `may_answer`.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.holder: int | None = None
        self.reading = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._links = 0
        self._answers: dict[int, bytes] = {}
        self._guard = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def resource(self) -> str:
        return f"TCPIP::127.0.0.1,{self.port}::inst0::INSTR"

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as calls:
            while head := calls.read(4):
                call = calls.read(struct.unpack(">I", head)[0] & 0x7FFFFFFF)
                xid, _, _, _, _, procedure = struct.unpack(">6I", call[:24])
                if procedure == READ:
                    self.reading.set()
                    self.may_answer.wait()
                reply = self._answer(procedure, call[40:])  # both credentials are empty
                body = struct.pack(">6I", xid, 1, 0, 0, 0, 0) + reply
                connection.sendall(struct.pack(">I", 0x80000000 | len(body)) + body)

    def _answer(self, procedure: int, given: bytes) -> bytes:
        with self._guard:
            if procedure == CREATE_LINK:
                self._links += 1
                return struct.pack(">iiII", 0, self._links, 0, 1024)
            (link,) = struct.unpack(">i", given[:4])
            if procedure in (WRITE, READ, CLEAR, LOCK) and self.holder not in (None, link):
                return struct.pack(">iI", LOCKED_BY_ANOTHER, 0) + (b"\0" * 4 if procedure == READ else b"")
            return self._do(procedure, link, given)

    def _do(self, procedure: int, link: int, given: bytes) -> bytes:
        if procedure == WRITE:
            (size,) = struct.unpack(">I", given[16:20])
            text = given[20 : 20 + size].decode("ascii").strip()
            self.told.append(text)
            if text == "*IDN?":
                self._answers[link] = b"motorlock,VXI-11 instrument,0,1\n"
            return struct.pack(">iI", 0, size)
        if procedure == READ:
            answer = self._answers.pop(link, b"")
            return struct.pack(">iiI", 0, END, len(answer)) + answer + b"\0" * (-len(answer) % 4)
        if procedure == LOCK:
            self.holder = link
        elif self.holder == link and procedure in (UNLOCK, DESTROY_LINK):
            self.holder = None
        elif procedure == UNLOCK:
            return struct.pack(">i", NO_LOCK)
        return struct.pack(">i", 0)

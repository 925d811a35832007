"""A wire between a run and its warehouse that counts operations and fails the one it is told to.

An operation is what a client asks the server to do: a statement, or the end of a COPY. Whoever
asks, and with which library: psycopg, dbt and Great Expectations speak the same protocol.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

_STARTUP = 196608  # the protocol's version; requests for encryption have other numbers
_WRITES = re.compile(
    r"\b(insert|update|delete|create|drop|alter|copy|commit|truncate|comment on|ops\.publish"
    r"|ops\.roll_back|ops\.take_delivery_ids|set role|advisory)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Fault:
    """What happens to the `number`-th operation.

    Attributes:
        is_done: whether the server still carries it out, though nobody hears of it.
        then: called at that moment, to kill whoever asked; None cuts the session instead.
    """

    number: int
    is_done: bool
    then: Callable[[], None] | None


@dataclass
class _Session:
    """One client's session: what it has prepared, and whether the server is heard any more."""

    client: socket.socket
    server: socket.socket
    statements: dict[bytes, str] = field(default_factory=dict)
    portals: dict[bytes, str] = field(default_factory=dict)
    is_muted: bool = False
    answered: threading.Event = field(default_factory=threading.Event)


class Wire:
    """Listens on `port`; every session goes on to the warehouse.

    Attributes:
        operations: the texts of what was asked since the last `arm`.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.operations: list[str] = []
        self._fault: Fault | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, fault: Fault | None) -> None:
        with self._lock:
            self._fault, self.operations = fault, []

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except OSError:
                    client.close()
                    continue
                session = _Session(client, server)
                for pump in (self._forward, self._answer):
                    threading.Thread(target=pump, args=(session,), daemon=True).start()

    def _forward(self, session: _Session) -> None:
        """From the client to the server, message by message."""
        try:
            version = 0
            while version != _STARTUP:
                start = _read(session.client, 8)
                length, version = struct.unpack("!ii", start)
                session.server.sendall(start + _read(session.client, length - 8))
            while True:
                head = _read(session.client, 5)
                body = _read(session.client, struct.unpack("!i", head[1:])[0] - 4)
                fault = self._count(session, head[:1], body)
                if fault is None:
                    session.server.sendall(head + body)
                else:
                    self._fail(session, fault, head + body)
        except OSError:
            _close(session.server)

    def _answer(self, session: _Session) -> None:
        """From the server to the client, until the fault; then what the server says is lost."""
        with contextlib.suppress(OSError):
            while data := session.server.recv(2**16):
                if session.is_muted:
                    session.answered.set()
                else:
                    session.client.sendall(data)
        if not session.is_muted:
            _close(session.client)

    def _count(self, session: _Session, kind: bytes, body: bytes) -> Fault | None:
        text = _text(session, kind, body)
        if text is None:
            return None
        with self._lock:
            self.operations.append(text)
            fault = self._fault
            return fault if fault and len(self.operations) == fault.number else None

    def _fail(self, session: _Session, fault: Fault, message: bytes) -> None:
        session.is_muted = True
        if fault.is_done:
            # Sync makes the server answer, which says that it has done it.
            session.server.sendall(message if message[:1] in b"Qc" else message + b"S\0\0\0\4")
            session.answered.wait(60)
        if fault.then:
            fault.then()
        _close(session.server)
        _close(session.client)
        raise OSError("cut")


def is_write(operation: str) -> bool:
    """Whether an operation may change something, or end a transaction that did."""
    return bool(_WRITES.search(operation))


def _text(session: _Session, kind: bytes, body: bytes) -> str | None:
    """The operation that a message asks for; none if it only prepares one."""
    parts = body.split(b"\0", 2)
    if kind == b"P":
        session.statements[parts[0]] = parts[1].decode(errors="replace")
    elif kind == b"B":
        session.portals[parts[0]] = session.statements.get(parts[1], "")
    elif kind == b"E":
        return session.portals.get(parts[0], "")
    elif kind == b"Q":
        return parts[0].decode(errors="replace")
    elif kind == b"c":
        return "end of copy"
    return None


def _read(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise OSError("the other side has gone")
        data += more
    return data


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()

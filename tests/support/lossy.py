"""A way to an HTTP server on which the first answer is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def losing_first_answer(address: str, path: str) -> Iterator[str]:
    """An address that hands on each request, but not the answer to the first POST to `path`."""
    host, port = address.removeprefix("http://").split(":")
    lost = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            _hand_on(client, (host, int(port)), path, lost)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert lost.is_set()
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def _hand_on(client: socket.socket, to: tuple[str, int], path: str, lost: threading.Event) -> None:
    with client, socket.create_connection(to) as server:
        asked = client.recv(1_000_000)
        head, _, body = asked.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
             if line.startswith(b"content-length")), 0,
        )  # fmt: skip
        while len(body) < length:
            body += client.recv(1_000_000)
        server.sendall(head + b"\r\n\r\n" + body)  # urllib asks for Connection: close
        answer = b""
        while piece := server.recv(1_000_000):
            answer += piece
        if head.startswith(b"POST") and path.encode() in head and not lost.is_set():
            lost.set()
            return
        client.sendall(answer)

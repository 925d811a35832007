"""An HTTP server on this machine that notes what it is told, as a channel or a collector would."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What was told to it while it was up; down, its port stays its own.

    Attributes:
        answer: HTTP's code.
        waits: seconds before each answer.
        heard: the bodies, JSON where they are; only what was answered well counts.
        paths: where each of them was sent.
    """

    port: int = 0
    answer: int = 200
    waits: float = 0.0
    heard: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def up(self, answer: int = 200) -> Iterator[Receiver]:
        self.answer = answer
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", self.port), Handler) as server:
            self.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body: Any = request.rfile.read(int(request.headers["Content-Length"]))
        if "json" in request.headers.get("Content-Type", ""):
            body = json.loads(body)
        if self.answer < 300:
            self.heard.append(body)
            self.paths.append(request.path)
        time.sleep(self.waits)
        request.send_response(self.answer)
        request.send_header("Content-Length", "0")
        request.end_headers()

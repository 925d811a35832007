"""The folder of an orchestrator: logs, secrets, process ids and the remembered port.

Secrets stand in files that only their owner reads. Killed: what is missing is made at the next
start.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from orchestration.warehouse_server import embedded


@dataclass(frozen=True)
class Place:
    """`var/<orchestrator>`."""

    folder: Path

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def passfile(self) -> Path:
        return self.folder / "passfile"

    @property
    def processes(self) -> Path:
        return self.folder / "processes.json"

    @property
    def port(self) -> int:
        """The remembered port of the server; chosen free at the first call."""
        path = self.folder / "port"
        if not path.exists():
            with socket.socket() as probe:
                probe.bind((embedded.HOST, 0))
                path.write_text(str(probe.getsockname()[1]))
        return int(path.read_text())

    @property
    def address(self) -> str:
        return f"http://{embedded.HOST}:{self.port}"

    def secret(self, name: str, size: int = 32) -> str:
        """A random value that stays the same, kept in a file of its own."""
        path = self.folder / name
        if not path.exists():
            write_secret(path, base64.urlsafe_b64encode(secrets.token_bytes(size)).decode())
        return path.read_text()


def write_secret(path: Path, text: str) -> None:
    """Write `text` where only its owner reads it; there is never half a file."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)

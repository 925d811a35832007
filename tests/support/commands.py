"""Commands as users call them, each a real process, forked from one that has everything loaded.

`python -m orchestration <verb>` loads for seconds; a copy of a process that has loaded starts at
once, and can be killed like any other. See `warm.py`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestration.settings import PROJECT, environment_with
from tests.support import shared
from tests.support.patience import Deadline, until


@dataclass
class Process:
    """A running command."""

    pid: int
    output: Path
    _warm: Path
    _code: int | None = field(default=None, init=False)

    def kill(self) -> None:
        """End it as the kernel does when memory runs out; it is gone when this returns."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def has_ended(self) -> bool:
        return self._ends_within(0)

    def wait(self, seconds: float = 90) -> int:
        """Its exit code, negative if it was killed."""
        if not self._ends_within(seconds):
            os.kill(self.pid, signal.SIGKILL)
            raise AssertionError(f"still running after {seconds} s:\n{self.said}")
        if self._code is None:
            self._code = _ask(self._warm, reap=self.pid)
        return self._code

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def returned(self) -> Any:
        """What a step returned."""
        return json.loads(self.output.with_suffix(".returned").read_text())

    def _ends_within(self, seconds: float) -> bool:
        if self._code is not None:
            return True
        # It stays a zombie until it is reaped, so that its number cannot become another's.
        end = os.pidfd_open(self.pid)
        deadline = Deadline(seconds)
        try:
            while not select.select([end], [], [], 0.2 if seconds else 0)[0]:
                if deadline.is_over():
                    return False
            return True
        finally:
            os.close(end)


def start(
    kind: str, arguments: tuple[object, ...], variables: dict[str, str], output: Path
) -> Process:
    """Start a command.

    Args:
        kind: `verb` of the command line, `step` as runners call it, or `parse` the project.
        output: the file that takes what it says.
    """
    output.touch()
    warm = _warm()
    asked = {"kind": kind, "arguments": arguments, "variables": variables, "output": str(output)}
    return Process(_ask(warm, **asked), output, warm)


def _warm() -> Path:
    """The socket of the run's warm process, started by whoever needs it first."""
    return shared.once("warm", _start_warm) / "socket"


def _start_warm(folder: Path) -> None:
    path = folder / "socket"
    with (folder / "log").open("w") as log:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", str(path)], cwd=PROJECT,
            env=environment_with({"COLUMNS": "200", "PYTHONPATH": str(PROJECT)}),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    until(path.exists, otherwise=lambda: (folder / "log").read_text())
    assert program.poll() is None
    shared.forget(program)


def _ask(warm: Path, **request: object) -> int:
    with socket.socket(socket.AF_UNIX) as asking, asking.makefile("r") as answer:
        asking.connect(str(warm))
        asking.sendall(json.dumps(request).encode() + b"\n")
        return int(answer.readline())

"""Commands as real processes, forked from a warm one; see `warm.py`."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestration.settings import environment_with


@dataclass
class Process:
    """A running command."""

    pid: int
    output: Path
    _forks: Forks
    _code: int | None = None

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

    def wait(self, seconds: float = 60) -> int:
        """Its exit code, negative if it was killed."""
        if not self._ends_within(seconds):
            self.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.said}")
        if self._code is None:
            self._code = self._forks.ask(reap=self.pid)
        return self._code

    @property
    def said(self) -> str:
        return self.output.read_text()

    def _ends_within(self, seconds: float) -> bool:
        if self._code is not None:
            return True
        # It stays a zombie until it is reaped, so that its number cannot become another's.
        end = os.pidfd_open(self.pid)
        try:
            return bool(select.select([end], [], [], seconds)[0])
        finally:
            os.close(end)


class Forks:
    """Starts commands of a checkout."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._parent = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("warm.py")], cwd=checkout, text=True,
            env=environment_with({"PYTHONPATH": str(checkout), "COLUMNS": "200"}),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(self, arguments: tuple[str, ...], variables: dict[str, str]) -> Process:
        output = self._folder / f"output-{next(self._numbers)}"
        output.touch()
        pid = self.ask(arguments=arguments, variables=variables, output=str(output))
        return Process(pid, output, self)

    def ask(self, **request: object) -> int:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())

    def end(self) -> None:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()
